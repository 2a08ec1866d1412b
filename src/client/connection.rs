//! One TLS connection to an EST server, and requests over it.

use crate::binding::{HandshakeSecret, Recorded, Side};
use crate::client::error::{TlsError, tls_error};
use crate::client::password::PasswordAuthenticator;
use crate::client::tolerant::Tolerant;
use crate::client::trust::{Criteria, ServerChain};
use crate::client::{Error, GeneratedKey, ServerAddress, Timeouts, answer, body, keygen};
use crate::clock::Clock;
use crate::digest::Target;
use crate::pki::keygen::Decryption;
use crate::pki::request_public_key_spki;
use crate::types::{Binding, Label, Operation};
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper_util::rt::TokioIo;
use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body as received.
    pub body: Bytes,
}

impl Response {
    /// The first field of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The parameters of a connection except those of TLS.
pub(super) struct ConnectionTarget {
    pub(super) server: ServerAddress,
    pub(super) label: Option<Label>,
    /// The password, if an account is configured. None during the bootstrap.
    pub(super) password: PasswordAuthenticator,
    pub(super) timeouts: Timeouts,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) criteria: Arc<Criteria>,
}

/// An open connection. Requests follow each other over the same TLS session.
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    peer: Arc<ConnectionTarget>,
    certificates: Vec<CertificateDer<'static>>,
    version: Option<ProtocolVersion>,
    binding: Binding,
    /// Why TLS broke after the handshake, such as a client certificate rejected in TLS 1.3.
    error: Arc<Mutex<Option<TlsError>>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.peer.server).finish_non_exhaustive()
    }
}

async fn within<T>(
    what: &'static str,
    after: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::time::timeout(after, work).await.map_err(|_| Error::Timeout { what, after })
}

/// Whether an answer says where its body ends.
fn has_length(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

impl Connection {
    pub(super) async fn open(
        peer: Arc<ConnectionTarget>,
        connector: &TlsConnector,
    ) -> Result<Self, Error> {
        let name = peer.criteria.name.clone();
        let address = (peer.server.host(), peer.server.port());
        let unreachable = |source| Error::Connect { server: peer.server.to_string(), source };
        let stream =
            within("accept a connection", peer.timeouts.connect, TcpStream::connect(address))
                .await?
                .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let secret = HandshakeSecret::default();
        let connector = TlsConnector::from(secret.client(connector.config()));
        let mut stream = within(
            "finish the TLS handshake",
            peer.timeouts.handshake,
            connector.connect(name, Recorded::new(stream, Side::Client)),
        )
        .await?
        .map_err(|error| match tls_error(&error) {
            Some(error) => Error::Tls(error),
            None => Error::Tls(TlsError::Broken(error.to_string())),
        })?;
        let (recorded, session) = stream.get_mut();
        let binding = secret.binding(recorded, session);
        let certificates = session.peer_certificates().unwrap_or_default().to_vec();
        let version = session.protocol_version();
        let (sender, driver) = http1::Builder::new()
            // Some servers compare names of fields letter by letter.
            .title_case_headers(true)
            .handshake(TokioIo::new(Tolerant(stream)))
            .await
            .map_err(|error| Error::Http(error.to_string()))?;
        let error = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&error);
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = tls_error(&error);
            }
        });
        Ok(Self { sender, peer, certificates, version, binding, error })
    }

    /// The chain that the server showed, its own certificate first.
    #[must_use]
    pub fn server_certificates(&self) -> Vec<Vec<u8>> {
        self.certificates.iter().map(|certificate| certificate.to_vec()).collect()
    }

    /// The same chain, to be verified by other anchors.
    #[must_use]
    pub fn server_chain(&self) -> ServerChain {
        let criteria = Arc::clone(&self.peer.criteria);
        ServerChain { certificates: self.certificates.clone(), criteria }
    }

    /// Whether this connection speaks TLS 1.3.
    #[must_use]
    pub fn is_tls13(&self) -> bool {
        self.version == Some(ProtocolVersion::TLSv1_3)
    }

    /// The binding of a CSR to this connection (RFC 7030 §3.5).
    #[must_use]
    pub const fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Whether the server accepts another request over this connection. Many EST servers close it
    /// after each (RFC 7030 §3.2 allows both).
    pub async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends one request unchanged and reads the whole answer, whatever its status. Only `Host` and
    /// `Content-Length` are added.
    ///
    /// # Errors
    /// [`Error::Http`] or [`Error::Tls`] if the connection breaks, [`Error::Timeout`],
    /// [`Error::TooLong`].
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response, Error> {
        let mut fields = HeaderMap::new();
        for (name, value) in headers {
            let error = || Error::Http(format!("{name}: {value:?} is no header field"));
            fields.append(
                HeaderName::try_from(*name).map_err(|_| error())?,
                HeaderValue::from_str(value).map_err(|_| error())?,
            );
        }
        self.send(method, path, fields, body.into()).await
    }

    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Error> {
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(body))
            .map_err(|error| Error::Http(error.to_string()))?;
        *request.headers_mut() = headers;
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::from_str(&self.peer.server.to_string())
                .map_err(|error| Error::Http(error.to_string()))?;
            request.headers_mut().insert(HOST, host);
        }
        let sender = &mut self.sender;
        let exchange = async {
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            // libest sends 202 without a length and keeps the connection open.
            if head.status == StatusCode::ACCEPTED && !has_length(&head.headers) {
                return Ok((head, Ok(Collected::default())));
            }
            Ok::<_, hyper::Error>((head, Limited::new(body, MAX_ANSWER).collect().await))
        };
        let (head, body) = match within("answer", self.peer.timeouts.answer, exchange).await? {
            Ok(answer) => answer,
            Err(error) => return Err(self.broken(&error)),
        };
        let body = match body {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(Error::TooLong { limit: MAX_ANSWER });
            }
            Err(error) => return Err(self.broken(&*error)),
        };
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let kept = || self.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match tls_error(error).or_else(kept) {
            Some(error) => Error::Tls(error),
            None => {
                let mut text = error.to_string();
                if let Some(cause) = error.source() {
                    text = format!("{text}: {cause}");
                }
                Error::Http(text)
            }
        }
    }

    /// The path of an operation, with the label (RFC 7030 §3.2.2).
    #[must_use]
    pub fn path(&self, operation: Operation) -> String {
        match &self.peer.label {
            Some(label) => format!("/.well-known/est/{label}/{operation}"),
            None => format!("/.well-known/est/{operation}"),
        }
    }

    /// Fetches the CA certificates (RFC 7030 §4.1), each as DER. No credentials are sent.
    ///
    /// # Errors
    /// [`Error::Rejected`], [`Error::Malformed`] also if the answer has no certificate, or those of
    /// [`Connection::request`].
    pub async fn cacerts(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let operation = Operation::CaCerts;
        let path = self.path(operation);
        let accept = [("accept", "application/pkcs7-mime")];
        let response = self.request("GET", &path, &accept, Bytes::new()).await?;
        let certificates = answer::parse_certificates(operation, &response, self.peer.clock.now())?;
        if certificates.is_empty() {
            return Err(Error::Malformed {
                operation: operation.as_str(),
                why: "it holds no certificate".to_owned(),
            });
        }
        Ok(certificates)
    }

    /// Fetches the CSR attributes (RFC 7030 §4.5) as DER; none if the server demands nothing. No credentials are sent.
    ///
    /// # Errors
    /// [`Error::Rejected`] with 404 if the server does not offer this, [`Error::Malformed`], or
    /// those of [`Connection::request`].
    pub async fn csrattrs(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(Operation::CsrAttrs);
        let accept = [("accept", "application/csrattrs")];
        let response = self.request("GET", &path, &accept, Bytes::new()).await?;
        answer::parse_csrattrs(&response, self.peer.clock.now())
    }

    /// Enrolls (RFC 7030 §4.2.1): sends a PKCS#10 request as DER, returns the certificate as DER.
    ///
    /// # Errors
    /// [`Error::Pending`], [`Error::Rejected`], [`Error::Malformed`] also if the certificate is not
    /// for the key of the request, or those of [`Connection::request`].
    pub async fn simple_enroll(&mut self, csr: &[u8]) -> Result<Vec<u8>, Error> {
        self.enroll(Operation::SimpleEnroll, csr).await
    }

    /// Renews or rekeys (RFC 7030 §4.2.2), otherwise as [`Connection::simple_enroll`].
    ///
    /// # Errors
    /// Those of [`Connection::simple_enroll`].
    pub async fn simple_reenroll(&mut self, csr: &[u8]) -> Result<Vec<u8>, Error> {
        self.enroll(Operation::SimpleReenroll, csr).await
    }

    /// Sends a POST, with the password by a scheme that the server offers.
    ///
    /// # Errors
    /// [`Error::Challenged`] if the server closed the connection after its challenge; as
    /// [`Connection::request`].
    pub(super) async fn post(
        &mut self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Error> {
        // One for the challenge, one with the password, one more for a stale nonce.
        let mut challenged = false;
        for last in [false, false, true] {
            let mut headers = headers.clone();
            let field = self.peer.password.field(Target { method: "POST", uri: path })?;
            let sent = field.is_some();
            if let Some(field) = field {
                headers.insert(AUTHORIZATION, field);
            }
            let response = match self.send("POST", path, headers, body.clone()).await {
                // The server had closed the connection after its challenge.
                Err(Error::Http(_)) if challenged => return Err(Error::Challenged),
                other => other?,
            };
            challenged = true;
            let again = response.status == 401
                && self.peer.password.receive_challenge(&response.headers, sent);
            if last || !again {
                return Ok(response);
            }
            if !self.is_open().await {
                break;
            }
        }
        Err(Error::Challenged)
    }

    async fn enroll(&mut self, operation: Operation, csr: &[u8]) -> Result<Vec<u8>, Error> {
        let spki = request_public_key_spki(csr).map_err(|error| Error::Config {
            what: "the certification request",
            why: error.to_string(),
        })?;
        let response = self.post_csr(operation, csr, "application/pkcs7-mime").await?;
        answer::issued(operation, &response, self.peer.clock.now(), &spki)
    }

    /// Requests a key generated by the server (RFC 7030 §4.4): sends a PKCS#10 request as DER. The
    /// key in it determines the kind. With `decryption` the request must name that key
    /// ([`crate::pki::keygen::ask_for_encryption`]), and an unencrypted key is rejected.
    ///
    /// # Errors
    /// [`Error::Pending`], [`Error::Rejected`], or those of [`Connection::request`].
    /// [`Error::Malformed`] also if the certificate is not for the key, or if an encrypted key is not
    /// signed by this server.
    pub async fn server_key_gen(
        &mut self,
        csr: &[u8],
        decryption: Option<Decryption<'_>>,
    ) -> Result<GeneratedKey, Error> {
        let operation = Operation::ServerKeyGen;
        let response = self.post_csr(operation, csr, "multipart/mixed").await?;
        let chain = self.server_certificates();
        keygen::generated_key(&response, decryption, &chain, self.peer.clock.now())
    }

    async fn post_csr(
        &mut self,
        operation: Operation,
        csr: &[u8],
        accept: &'static str,
    ) -> Result<Response, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/pkcs10"),
            // Has no effect (RFC 8951 §3), but servers from before 2020 require it.
            ("content-transfer-encoding", "base64"),
            ("accept", accept),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let path = self.path(operation);
        self.post(&path, headers, body::encode(csr).into()).await
    }
}
