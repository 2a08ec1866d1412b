//! The EST client (RFC 7030) of the program `est`.
//!
//! A [`Client`] has a server, trust anchors and credentials. It verifies the server before it sends a
//! request. [`Client::connect`] opens a [`Connection`] for several requests; the other methods open
//! one for each request.
//!
//! Credentials go to a verified server only: the certificate in the handshake, the password with
//! enrollments, by the best scheme that the server offers. `/cacerts` never carries a password. The
//! bootstrap by fingerprint carries neither password nor certificate.

mod address;
mod answer;
mod body;
mod config;
mod connection;
mod error;
mod keygen;
pub mod multipart;
#[cfg(feature = "server")]
pub mod operator;
mod password;
mod tolerant;
mod trust;

#[cfg(test)]
pub(crate) mod replay;
#[cfg(test)]
pub(crate) mod tests;

pub use address::{DEFAULT_PORT, ServerAddress};
pub use config::{Account, ClientConfig, Identity, PasswordScheme, Timeouts, TlsVersions};
pub use connection::{Connection, MAX_ANSWER, Response};
pub use error::{Error, ServerRejection, TlsError};
pub use hyper::HeaderMap;
pub use keygen::GeneratedKey;
pub use trust::{ServerChain, Trust, fingerprint, parse_fingerprint, show_fingerprint};

use crate::clock::Clock;
use crate::pki::CertificateFields;
use crate::types::{Label, Operation};
use connection::Peer;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use password::Password;
use rustls::CipherSuite;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use trust::{Anchors, Criteria, Verifier};

/// An EST client for one server.
pub struct Client {
    config: ClientConfig,
    provider: Arc<CryptoProvider>,
    identity: Option<Arc<CertifiedKey>>,
    peer: Arc<Peer>,
    /// Built at the first connection; with a fingerprint, by the bootstrap.
    trusted: OnceCell<Trusted>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.config.server).finish_non_exhaustive()
    }
}

struct Trusted {
    connector: TlsConnector,
    /// The same without the device's certificate.
    anonymous: TlsConnector,
    /// The CA certificates that the bootstrap by fingerprint verified.
    bootstrapped: Option<CaCertificates>,
}

/// CA certificates from a verified server (RFC 7030 §4.1).
#[derive(Debug, Clone)]
pub struct CaCertificates {
    /// The answer to `/cacerts` of the label, each as DER.
    pub bag: Vec<Vec<u8>>,
    /// The chain of the server that answered.
    pub server: ServerChain,
    /// The certificate whose fingerprint was given; it need not be in the bag.
    pub pinned: Option<Vec<u8>>,
}

struct ClockTime(Arc<dyn Clock>);

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClockTime({})", self.0.now())
    }
}

impl ClockTime {
    fn unix(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().unix()))
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.unix())
    }
}

impl Client {
    /// Checks the configuration; does not connect.
    ///
    /// # Errors
    /// [`Error::Config`] if anchors, identity or account cannot be used, [`Error::Address`] if the
    /// host can be in no certificate.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let mut provider = aws_lc_rs::default_provider();
        if config.cipher_bits > 128 {
            provider.cipher_suites.retain(|suite| !has_aes_128(suite.suite()));
        }
        let provider = Arc::new(provider);
        let name =
            ServerName::try_from(config.server.host().to_owned()).map_err(|_| Error::Address {
                seen: config.server.host().to_owned(),
                why: "the host is neither a DNS name nor an IP address",
            })?;
        let identity = match &config.identity {
            Some(identity) => Some(certified_key(identity)?),
            None => None,
        };
        let criteria = Arc::new(Criteria {
            name,
            algorithms: provider.signature_verification_algorithms,
            accept_cmc_ra: config.accept_cmc_ra,
            clock: Arc::clone(&config.clock),
        });
        let peer = Arc::new(Peer {
            server: config.server.clone(),
            label: config.label.clone(),
            password: Password::new(config.account.clone(), config.scheme)?,
            timeouts: config.timeouts,
            clock: Arc::clone(&config.clock),
            criteria,
        });
        let client = Self { config, provider, identity, peer, trusted: OnceCell::new() };
        client.configured()?;
        Ok(client)
    }

    /// The anchors of the configuration; none with a fingerprint.
    fn configured(&self) -> Result<Option<Anchors>, Error> {
        let sort = |sets: &[_]| Anchors::sort(sets, self.config.accept_cmc_ra).map(Some);
        match &self.config.trust {
            Trust::Fingerprint(_) => Ok(None),
            Trust::Anchors(anchors) => sort(std::slice::from_ref(anchors)),
            Trust::AnyOf(sets) => sort(sets),
        }
    }

    /// Connects to the server and verifies it. With a fingerprint, the first call fetches and
    /// checks the CA certificates over a connection of their own.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Timeout`], [`Error::Tls`], [`Error::Fingerprint`].
    pub async fn connect(&self) -> Result<Connection, Error> {
        let trusted = self.trusted().await?;
        Connection::open(Arc::clone(&self.peer), &trusted.connector).await
    }

    /// Fetches the CA certificates (RFC 7030 §4.1), each as DER, from a server that is verified.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::cacerts`].
    pub async fn cacerts(&self) -> Result<CaCertificates, Error> {
        if let Some(bootstrapped) = &self.trusted().await?.bootstrapped {
            return Ok(bootstrapped.clone());
        }
        let mut connection = self.connect().await?;
        let bag = connection.cacerts().await?;
        Ok(CaCertificates { bag, server: connection.server_chain(), pinned: None })
    }

    /// The certificate with the fingerprint that was given, once the bootstrap has found it.
    #[must_use]
    pub fn pinned(&self) -> Option<&[u8]> {
        self.trusted.get()?.bootstrapped.as_ref()?.pinned.as_deref()
    }

    /// Enrolls over a new connection; see [`Connection::simple_enroll`].
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::simple_enroll`].
    pub async fn simple_enroll(&self, csr: &[u8]) -> Result<Vec<u8>, Error> {
        self.probe_challenge(Operation::SimpleEnroll).await?;
        match self.connect().await?.simple_enroll(csr).await {
            Err(Error::Challenged) => self.connect().await?.simple_enroll(csr).await,
            outcome => outcome,
        }
    }

    /// Re-enrolls over a new connection; see [`Connection::simple_reenroll`].
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::simple_reenroll`].
    pub async fn simple_reenroll(&self, csr: &[u8]) -> Result<Vec<u8>, Error> {
        self.probe_challenge(Operation::SimpleReenroll).await?;
        match self.connect().await?.simple_reenroll(csr).await {
            Err(Error::Challenged) => self.connect().await?.simple_reenroll(csr).await,
            outcome => outcome,
        }
    }

    /// Sends one request as it is over a new connection; see [`Connection::request`].
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::request`].
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<hyper::body::Bytes>,
    ) -> Result<Response, Error> {
        self.connect().await?.request(method, path, headers, body).await
    }

    async fn trusted(&self) -> Result<&Trusted, Error> {
        self.trusted
            .get_or_try_init(|| async {
                match (&self.config.trust, self.configured()?) {
                    (Trust::Fingerprint(wanted), _) => self.bootstrap(wanted).await,
                    (_, Some(anchors)) => self.trusting(anchors, None),
                    (_, None) => Err(trust::no_anchors()),
                }
            })
            .await
    }

    /// Fetches `/cacerts` from a server not trusted yet, without any credentials; keeps the
    /// certificate that has the fingerprint as the only anchor; and believes nothing before the
    /// chain shown in that same handshake leads to it (RFC 7030 §4.1.1). The handshake's signature
    /// was verified, so the whole answer came from the server that the anchor vouches for.
    ///
    /// The CA of a label need not be the CA of the server's certificate. So the certificate is also
    /// searched in the chain that the server shows, and in `/cacerts` without a label. It may come
    /// from anywhere: its fingerprint is what is trusted.
    async fn bootstrap(&self, wanted: &[u8; 32]) -> Result<Trusted, Error> {
        let stranger = self.connector(None, None)?;
        let label = self.config.label.clone();
        let (bag, server) = self.unverified_cacerts(&stranger, label.clone()).await?;
        let mut candidates = bag.clone();
        add_candidates(&mut candidates, &[], &server);
        let found = |candidates: &[Vec<u8>]| {
            candidates.iter().find(|each| fingerprint(each) == *wanted).cloned()
        };
        let mut pinned = found(&candidates);
        if pinned.is_none()
            && label.is_some()
            && let Ok((bag, server)) = self.unverified_cacerts(&stranger, None).await
        {
            add_candidates(&mut candidates, &bag, &server);
            pinned = found(&candidates);
        }
        let Some(pinned) = pinned else {
            return Err(Error::Fingerprint {
                seen: candidates.iter().map(|each| describe(each)).collect(),
            });
        };
        let helpers = candidates.iter().filter(|each| **each != pinned);
        let anchors = Anchors::new([&pinned], helpers, self.config.accept_cmc_ra)?;
        server.verify(&anchors).map_err(|error| Error::Tls((&error).into()))?;
        self.trusting(anchors, Some(CaCertificates { bag, server, pinned: Some(pinned) }))
    }

    /// Fetches `/cacerts` of a label from a server that is not verified.
    async fn unverified_cacerts(
        &self,
        stranger: &TlsConnector,
        label: Option<Label>,
    ) -> Result<(Vec<Vec<u8>>, ServerChain), Error> {
        let peer = Arc::new(Peer {
            server: self.config.server.clone(),
            label,
            password: Password::new(None, PasswordScheme::Offered)?,
            timeouts: self.config.timeouts,
            clock: Arc::clone(&self.config.clock),
            criteria: Arc::clone(&self.peer.criteria),
        });
        let mut connection = Connection::open(peer, stranger).await?;
        Ok((connection.cacerts().await?, connection.server_chain()))
    }

    fn trusting(
        &self,
        anchors: Anchors,
        bootstrapped: Option<CaCertificates>,
    ) -> Result<Trusted, Error> {
        let anonymous = self.connector(Some(anchors.clone()), None)?;
        let connector = self.connector(Some(anchors), self.identity.clone())?;
        Ok(Trusted { connector, anonymous, bootstrapped })
    }

    /// Probes the server's authentication challenge, if a password must accompany the certificate.
    ///
    /// Where either suffices, a server does not challenge clients with a certificate, and would
    /// decide as if there were no password. So the probe is sent without the certificate.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::request`].
    pub async fn probe_challenge(&self, operation: Operation) -> Result<(), Error> {
        if self.identity.is_none() || !self.peer.password.waits() {
            return Ok(());
        }
        let anonymous = &self.trusted().await?.anonymous;
        let peer = Arc::clone(&self.peer);
        let mut connection = Connection::open(peer, anonymous).await?;
        let path = connection.path(operation);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/pkcs10"));
        let answer = connection.send("POST", &path, headers, hyper::body::Bytes::new()).await?;
        if answer.status == 401 {
            self.peer.password.receive_challenge(&answer.headers, false);
        }
        Ok(())
    }

    fn connector(
        &self,
        anchors: Option<Anchors>,
        identity: Option<Arc<CertifiedKey>>,
    ) -> Result<TlsConnector, Error> {
        let versions: &[&rustls::SupportedProtocolVersion] = match self.config.tls {
            TlsVersions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersions::Tls12 => &[&rustls::version::TLS12],
            TlsVersions::Tls13 => &[&rustls::version::TLS13],
        };
        let verifier = Verifier::new(anchors, self.provider.signature_verification_algorithms);
        let builder = rustls::ClientConfig::builder_with_details(
            Arc::clone(&self.provider),
            Arc::new(ClockTime(Arc::clone(&self.config.clock))),
        )
        .with_protocol_versions(versions)
        .map_err(|error| Error::Config { what: "TLS", why: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
        let mut tls = match identity {
            Some(identity) => {
                let resolver: Arc<dyn ResolvesClientCert> =
                    Arc::new(SingleCertAndKey::from(identity));
                builder.with_client_cert_resolver(resolver)
            }
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A device connects a few times a year.
        tls.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(tls)))
    }
}

const fn has_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// Adds the certificates of a bag, and the CA certificates of the chain shown, once each.
fn add_candidates(candidates: &mut Vec<Vec<u8>>, bag: &[Vec<u8>], server: &ServerChain) {
    let shown = server.certificates.iter().skip(1).map(|each| each.to_vec());
    for certificate in bag.iter().cloned().chain(shown) {
        if !candidates.contains(&certificate) {
            candidates.push(certificate);
        }
    }
}

/// Fingerprint and subject, for a person to compare.
fn describe(certificate: &[u8]) -> String {
    let subject = CertificateFields::parse(certificate)
        .map_or_else(|_| "(unreadable)".to_owned(), |fields| fields.subject_text());
    format!("{} {subject}", show_fingerprint(&fingerprint(certificate)))
}

fn certified_key(identity: &Identity) -> Result<Arc<CertifiedKey>, Error> {
    let error = |why: String| Error::Config { what: "the certificate and key of the device", why };
    let Some(certificate) = identity.chain.first() else {
        return Err(error("there is not a certificate".to_owned()));
    };
    // Not by rustls, which parses version 3 only; a certificate that was issued may be of version 1.
    let fields = CertificateFields::parse(certificate).map_err(|cause| error(cause.to_string()))?;
    let spki = identity.key.public_key_spki_der().map_err(|cause| error(cause.to_string()))?;
    if fields.public_key_spki != spki {
        return Err(error("the certificate is not for this key".to_owned()));
    }
    let chain = identity.chain.iter().map(|each| CertificateDer::from(each.clone())).collect();
    let key = identity.key.to_pkcs8_der().map_err(|cause| error(cause.to_string()))?;
    // Borrowed, so that the serialized key is overwritten when this returns.
    let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::Pkcs8(key.as_slice().into()))
        .map_err(|cause| error(cause.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
