//! A whole server on port 0 with a temporary folder, a clock that is set, and a client that sends
//! what it is reported, byte for byte.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test binaries; a test stops at the first surprise"
)]

use estd::{
    binding::{HandshakeSecret, Recorded, Side},
    clock::{Clock, SetClock},
    config,
    entropy::SystemEntropy,
    policy::RenewalWindow,
    server::{self, Environment, Running},
    store::{Filter, Issuance},
    telemetry::audit::{Event, EventId, Trail},
    types::{Binding, Serial, Time},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOW: u64 = 1_795_262_400;
/// The password of account `tester`.
pub(crate) const PASSWORD: &str = "p:ss w\u{f6}rd";

/// The unlabeled rules with a manufacturer of devices, whose anchor is in this file. More keys of
/// `[est]` may follow.
pub(crate) fn accepting(anchor: impl std::fmt::Debug) -> String {
    format!(
        "[manufacturer.maker]\nanchors = [{anchor:?}]\n\
         [est]\naccept = [\"certificate\", \"password\", \"ra\", \"manufacturer:maker\"]\n"
    )
}

/// The status for a client without credentials: a password is no help for a renewal (D-41).
pub(crate) fn status_without_password(operation: &str) -> u16 {
    if operation.ends_with("simplereenroll") { 403 } else { 401 }
}

/// Reads a configuration. Unless it says more, certificates can be renewed at once: most tests do not
/// wait for half of a lifetime.
fn parse(text: &str, folder: &Path) -> Result<config::Settings, config::SettingErrors> {
    let mut settings = config::parse(text, &folder.join("est.toml"), &|_| None)?;
    if !text.contains("renewal.window") && !text.contains("\nwindow") {
        let policies = &mut settings.live.policies;
        let all = std::iter::once(&mut policies.unlabeled).chain(policies.labels.values_mut());
        all.for_each(|rules| rules.renewal.window = ALWAYS);
    }
    Ok(settings)
}

/// `window = "36500d"`.
const ALWAYS: RenewalWindow = RenewalWindow::Left(std::time::Duration::from_secs(36_500 * 86_400));

/// Keeps events, so that a test can look at them.
#[derive(Default)]
pub(crate) struct Kept(pub Mutex<Vec<(Option<EventId>, Event)>>);

impl Trail for Kept {
    fn publish(&self, id: Option<EventId>, event: &Event) {
        self.0.lock().unwrap().push((id, event.clone()));
    }
}

pub(crate) struct TestServer {
    pub running: Running,
    pub clock: Arc<SetClock>,
    pub events: Arc<Kept>,
    pub folder: TempDir,
    text: String,
}

impl TestServer {
    /// The defaults, with a store in memory.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The defaults and `more`, TOML sections.
    pub(crate) async fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, more, "memory", NOW).await
    }

    pub(crate) async fn start_in(folder: TempDir, more: &str, backend: &str, now: u64) -> Self {
        Self::start_behind(folder, more, backend, now, |events, _| events).await
    }

    /// As [`TestServer::start_in`]; events reach the test through the trail that `wrap` returns.
    pub(crate) async fn start_behind(
        folder: TempDir,
        more: &str,
        backend: &str,
        now: u64,
        wrap: impl FnOnce(Arc<dyn Trail>, Arc<dyn Clock>) -> Arc<dyn Trail>,
    ) -> Self {
        let text = format!(
            "version = 1\n[store]\nbackend = \"{backend}\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n{more}"
        );
        let settings = parse(&text, folder.path()).unwrap();
        let clock = Arc::new(SetClock::new(Time::from_unix(now)));
        let events = Arc::new(Kept::default());
        let environment = Environment {
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SystemEntropy::new()),
            trail: wrap(Arc::clone(&events) as _, Arc::clone(&clock) as _),
        };
        let running = server::start(settings, environment).await.unwrap();
        let server = Self { running, clock, events, folder, text };
        if backend == "memory" {
            server.add_account("tester", PASSWORD, None).await;
        }
        server
    }

    pub(crate) async fn add_account(&self, name: &str, password: &str, labels: Option<Vec<&str>>) {
        let hash = estd::ra::hash(password, &SystemEntropy::new()).unwrap();
        self.add_account_with(name, estd::store::Password::Hash(hash), labels).await;
    }

    /// A registration authority, under the label "ra".
    pub(crate) async fn registration_authority(&self, subject: &str) -> Identity {
        self.add_account("line-ra", PASSWORD, Some(vec!["ra"])).await;
        let usage = "extendedKeyUsage=clientAuth,1.3.6.1.5.5.7.3.28";
        let (csr, key) = new_csr(&["-subj", subject, "-addext", usage]);
        let reply = self.send(post("ra/simpleenroll", &csr, &basic("line-ra", PASSWORD))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        Identity { pem: reply.certificate_pem(), key }
    }

    /// An account of Digest with both algorithms.
    pub(crate) async fn add_digest_account(&self, name: &str, password: &str, realm: &str) {
        let kinds = estd::ra::Recomputed { md5: true, identity_proof: true };
        let kept = estd::ra::recomputable(name, realm, password, kinds).unwrap();
        self.add_account_with(name, estd::store::Password::Recomputable(Box::new(kept)), None)
            .await;
    }

    pub(crate) async fn add_account_with(
        &self,
        name: &str,
        password: estd::store::Password,
        labels: Option<Vec<&str>>,
    ) {
        let account = estd::store::Account {
            name: name.to_owned(),
            password,
            added: self.clock.now(),
            expires: None,
            labels: labels
                .map(|labels| labels.iter().map(|label| label.parse().unwrap()).collect()),
        };
        let event = Event::new(
            self.clock.now(),
            estd::telemetry::audit::Name::AccountAdded,
            estd::types::Actor::server(),
        );
        self.running.store().add_account(account, event).await.unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    /// Its configuration.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn settings(&self, more: &str) -> Result<config::Settings, config::SettingErrors> {
        parse(&format!("{}{more}", self.text), self.folder.path())
    }

    /// Ends it and gives its folder back, for another start.
    pub(crate) async fn stop(self) -> TempDir {
        self.running.stop().await;
        self.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn anchor(&self) -> PathBuf {
        self.path("data/ca/default/root.pem")
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address(), None, &[&rustls::version::TLS13, &rustls::version::TLS12])
            .await
            .unwrap()
    }

    pub(crate) async fn connect_as(&self, identity: &Identity) -> Connection {
        let versions: &[&SupportedProtocolVersion] =
            &[&rustls::version::TLS13, &rustls::version::TLS12];
        Connection::open(self.address(), Some(identity), versions).await.unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> Reply {
        self.connect().await.send(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\n\r\n"))
            .await
    }

    /// A CSR as `openssl base64` wraps it, with the password of `tester`.
    pub(crate) async fn enroll(&self, csr: &[u8]) -> Reply {
        self.send(post("simpleenroll", csr, &basic("tester", PASSWORD))).await
    }

    /// A new device of this subject with a P-256 key.
    pub(crate) async fn device(&self, subject: &str) -> Identity {
        let (csr, key) = new_csr(&["-subj", subject]);
        self.identity(&csr, key).await
    }

    pub(crate) async fn identity(&self, csr: &[u8], key: String) -> Identity {
        let reply = self.enroll(csr).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        Identity { pem: reply.certificate_pem(), key }
    }

    pub(crate) async fn issued(&self) -> Vec<Arc<Issuance>> {
        self.running.store().list(&Filter::default(), None, 100_000).await.unwrap()
    }

    pub(crate) fn events_named(&self, name: &str) -> Vec<Event> {
        let events = self.events.0.lock().unwrap();
        events
            .iter()
            .map(|(_, event)| event.clone())
            .filter(|event| event.name.as_str() == name)
            .collect()
    }

    /// Whether the trail names this request.
    pub(crate) fn has_event_of(&self, id: &str) -> bool {
        let events = self.events.0.lock().unwrap();
        events.iter().any(|(_, event)| {
            event.request_id.as_ref().is_some_and(|reported| reported.as_str() == id)
        })
    }

    /// Has openssl verify a certificate at [`NOW`], with nothing but the anchor and what else is in
    /// `untrusted`.
    pub(crate) fn verify(&self, untrusted: &str, leaf: &str) {
        openssl(&[
            "verify",
            "-attime",
            &NOW.to_string(),
            "-x509_strict",
            "-CAfile",
            self.anchor().to_str().unwrap(),
            "-untrusted",
            untrusted,
            leaf,
        ]);
    }

    /// Writes a file into the test's folder and returns its path.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A certificate with its key, PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub pem: String,
    pub key: String,
}

impl Identity {
    pub(crate) fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap().to_vec()
    }
}

/// TLS that believes every server.
pub(crate) fn client_config(
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.pem.as_bytes())
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A connection, and what a CSR is bound to it by.
pub(crate) struct Connection(TlsStream<Recorded<TcpStream>>, Binding);

impl Connection {
    pub(crate) async fn open(
        address: SocketAddr,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<Self> {
        let mut config = client_config(identity, versions);
        config.resumption = rustls::client::Resumption::disabled();
        Self::open_with(address, Arc::new(config)).await
    }

    pub(crate) async fn open_with(
        address: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let secret = HandshakeSecret::default();
        let connector = TlsConnector::from(secret.client(&config));
        let mut stream = connector.connect(name, Recorded::new(tcp, Side::Client)).await?;
        let (recorded, tls) = stream.get_mut();
        let binding = secret.binding(recorded, tls);
        Ok(Self(stream, binding))
    }

    pub(crate) fn tls(&self) -> &rustls::ClientConnection {
        self.0.get_ref().1
    }

    pub(crate) fn binding(&self) -> &Binding {
        &self.1
    }

    /// The client's own port.
    pub(crate) fn local_port(&self) -> u16 {
        self.0.get_ref().0.inner().local_addr().unwrap().port()
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A server that rejects early may have closed: what counts is its answer.
        let _ = self.0.write_all(bytes.as_ref()).await;
        let _ = self.0.flush().await;
    }

    pub(crate) async fn send(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.try_send(request).await.expect("an answer")
    }

    /// The answer, or nothing if the connection ends before all of it arrived.
    pub(crate) async fn try_send(&mut self, request: impl AsRef<[u8]>) -> Option<Reply> {
        let head = request.as_ref().starts_with(b"HEAD ");
        self.write(request).await;
        self.try_read(head).await
    }

    /// Reads one answer.
    pub(crate) async fn read(&mut self, without_body: bool) -> Reply {
        self.try_read(without_body).await.expect("an answer")
    }

    async fn try_read(&mut self, without_body: bool) -> Option<Reply> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four: &[u8]| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut bytes).await?;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                line.split_once(": ")
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .unwrap()
            })
            .collect();
        let mut body = bytes.split_off(end);
        let status = start.split(' ').nth(1).unwrap().parse().unwrap();
        let reply = Reply { start, status, headers, body: Vec::new() };
        let length: usize = if without_body || status == 100 {
            0
        } else {
            reply.header("Content-Length").map_or(0, |length| length.parse().unwrap())
        };
        while body.len() < length {
            self.more(&mut body).await?;
        }
        Some(Reply { body, ..reply })
    }

    /// All that comes until the server ends the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        while self.more(&mut bytes).await.is_some() {}
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn more(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let mut more = [0; 4096];
        match self.0.read(&mut more).await {
            Ok(0) | Err(_) => None,
            Ok(read) => {
                bytes.extend_from_slice(&more[..read]);
                Some(())
            }
        }
    }

    /// Reads an byte; 0 when the server has ended the connection as TLS ends.
    pub(crate) async fn end(&mut self) -> std::io::Result<usize> {
        self.0.read(&mut [0; 1]).await
    }

    /// Whether the server ends the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0; 1]).await, Ok(1..))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub start: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reason of a rejection: that of a 401 is a header field, because its body is empty.
    pub(crate) fn reason(&self) -> String {
        self.header("X-Reason").map_or_else(|| self.text(), str::to_owned)
    }

    /// The certificates in a certs-only answer, by openssl, PEM.
    pub(crate) fn certificates(&self) -> Vec<String> {
        let compact: Vec<u8> =
            self.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let der = openssl_with(&["base64", "-d", "-A"], &compact);
        let pem =
            String::from_utf8(openssl_with(&["pkcs7", "-inform", "DER", "-print_certs"], &der))
                .unwrap();
        pem.split_inclusive("-----END CERTIFICATE-----\n")
            .filter_map(|block| block.find("-----BEGIN").map(|at| block[at..].to_owned()))
            .collect()
    }

    pub(crate) fn certificate_pem(&self) -> String {
        let mut all = self.certificates();
        assert_eq!(all.len(), 1, "only the issued certificate");
        all.remove(0)
    }
}

/// The verifier that believes every server.
pub(crate) fn anyone() -> Arc<dyn ServerCertVerifier> {
    Arc::new(Anyone)
}

/// Believes every server: other tests verify its certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The TBSCertificate of a certificate, with another serial number of the same length.
pub(crate) fn tbs_with(certificate: &[u8], serial: &Serial, other: &Serial) -> Vec<u8> {
    let mut tbs = estd::pki::cert::tbs(certificate).unwrap().to_vec();
    let (own, other) = (serial.as_bytes(), other.as_bytes());
    let place = tbs.windows(own.len()).position(|part| part == own).unwrap();
    tbs[place..place + own.len()].copy_from_slice(other);
    tbs
}

pub(crate) fn base64(der: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(der)
}

pub(crate) fn wrapped(der: &[u8]) -> String {
    let line = base64(der);
    line.as_bytes()
        .chunks(64)
        .map(|part| format!("{}\n", std::str::from_utf8(part).unwrap()))
        .collect()
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(format!("{user}:{password}").as_bytes()))
}

/// A POST of a CSR, wrapped. `more` are header lines with their ends.
pub(crate) fn post(operation: &str, csr: &[u8], more: &str) -> Vec<u8> {
    post_body(
        operation,
        wrapped(csr).as_bytes(),
        &format!("Content-Type: application/pkcs10\r\n{more}"),
    )
}

/// A POST of any body. `headers` are header lines with their ends, without Content-Length.
pub(crate) fn post_body(operation: &str, body: &[u8], headers: &str) -> Vec<u8> {
    let head = format!(
        "POST /.well-known/est/{operation} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn openssl(arguments: &[&str]) -> Vec<u8> {
    openssl_with(arguments, &[])
}

pub(crate) fn openssl_with(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A P-256 key and a CSR (DER) that openssl makes with these arguments.
pub(crate) fn new_csr(arguments: &[&str]) -> (Vec<u8>, String) {
    let key = new_key("EC");
    (csr_with(&key, arguments), key)
}

/// A private key, PEM: `EC` (P-256), a curve's name, `RSA:2048`, `ED25519`.
pub(crate) fn new_key(kind: &str) -> String {
    let arguments: Vec<String> = match kind.split_once(':') {
        Some(("RSA", bits)) => ["genpkey", "-algorithm", "RSA", "-pkeyopt"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("rsa_keygen_bits:{bits}")])
            .collect(),
        _ if kind == "ED25519" => ["genpkey", "-algorithm", "ED25519"].map(str::to_owned).to_vec(),
        _ => {
            let curve = if kind == "EC" { "P-256" } else { kind };
            ["genpkey", "-algorithm", "EC", "-pkeyopt"]
                .map(str::to_owned)
                .into_iter()
                .chain([format!("ec_paramgen_curve:{curve}")])
                .collect()
        }
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    String::from_utf8(openssl(&arguments)).unwrap()
}

/// A CSR (DER) with this key.
pub(crate) fn csr_with(key: &str, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, key).unwrap();
    let mut all = vec!["req", "-new", "-key", path.to_str().unwrap(), "-outform", "DER"];
    all.extend_from_slice(arguments);
    openssl(&all)
}

/// A certificate (PEM) of openssl's with other dates: valid from the beginning of 2026, to 2049. openssl
/// 3.0 counts from today's date and cannot be given a start, and no test may depend on the day on which it
/// runs.
pub(crate) fn backdated(pem: &[u8], issuer_key: &Path) -> Vec<u8> {
    dated(pem, issuer_key, "260101000000Z", "491231235959Z")
}

/// A certificate (PEM) of openssl's with other dates (UTCTime), signed afresh by openssl with its issuer's
/// key.
pub(crate) fn dated(pem: &[u8], issuer_key: &Path, not_before: &str, not_after: &str) -> Vec<u8> {
    use der::{Any, Decode, Encode, Tag, Tagged, asn1::BitString};
    #[derive(der::Sequence)]
    struct Signed {
        content: Any,
        algorithm: Any,
        signature: BitString,
    }
    let time = |text: &str| Any::new(Tag::UtcTime, text.as_bytes()).unwrap();
    let der = openssl_with(&["x509", "-outform", "DER"], pem);
    let signed = Signed::from_der(&der).unwrap();
    let mut fields: Vec<Any> = signed.content.decode_as().unwrap();
    // version [0], serialNumber, signature, issuer, validity: openssl numbers no version 1.
    let validity = fields.iter().position(|one| one.tag() == Tag::Sequence).unwrap() + 2;
    let dates = vec![time(not_before), time(not_after)].to_der().unwrap();
    fields[validity] = Any::from_der(&dates).unwrap();
    let content = fields.to_der().unwrap();
    let key = issuer_key.to_str().unwrap();
    let signature = openssl_with(&["dgst", "-sha256", "-sign", key], &content);
    let content = Any::from_der(&content).unwrap();
    let signature = BitString::from_bytes(&signature).unwrap();
    let der = Signed { content, signature, ..signed }.to_der().unwrap();
    openssl_with(&["x509", "-inform", "DER"], &der)
}

/// A self-signed CA of somebody else, and a device of its: (the CA's certificate, a file in the
/// folder; device).
pub(crate) fn stranger(folder: &Path, subject: &str, extensions: &str) -> (PathBuf, Identity) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (ca_key, key) = (new_key("EC"), new_key("EC"));
    std::fs::write(at("s-ca.key"), &ca_key).unwrap();
    let ca = openssl(&[
        "req",
        "-x509",
        "-new",
        "-key",
        &at("s-ca.key"),
        "-subj",
        "/CN=Stranger CA",
        "-days",
        "9000",
    ]);
    let ca = backdated(&ca, &folder.join("s-ca.key"));
    std::fs::write(at("s-ca.pem"), &ca).unwrap();
    std::fs::write(at("s.csr"), csr_with(&key, &["-subj", subject])).unwrap();
    // Without any extension openssl issues a certificate of version 1.
    std::fs::write(at("s.ext"), format!("subjectKeyIdentifier = hash\n{extensions}")).unwrap();
    let pem = openssl(&[
        "x509",
        "-req",
        "-inform",
        "DER",
        "-in",
        &at("s.csr"),
        "-CA",
        &at("s-ca.pem"),
        "-CAkey",
        &at("s-ca.key"),
        "-set_serial",
        "4711",
        "-days",
        "9000",
        "-extfile",
        &at("s.ext"),
    ]);
    let pem = backdated(&pem, &folder.join("s-ca.key"));
    (folder.join("s-ca.pem"), Identity { pem: String::from_utf8(pem).unwrap(), key })
}

/// Returns the output of openssl for a certificate.
pub(crate) fn described(pem: &str) -> String {
    String::from_utf8(openssl_with(&["x509", "-noout", "-text"], pem.as_bytes())).unwrap()
}
