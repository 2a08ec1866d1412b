//! Servers of others, as far as their answers sender: testdata/servers, replayed byte for byte over TLS.

use crate::client::tests::{acceptor_with, make_pki};
use ::rustls::client::danger::HandshakeSignatureValid;
use ::rustls::pki_types::{CertificateDer, UnixTime};
use ::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use ::rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The folders of testdata/servers.
pub(crate) const SERVERS: [&str; 5] = ["libest", "globalsign", "bouncycastle", "chain", "old"];

/// Answers each request with the file of its operation, and closes the connection without
/// close_notify. A POST without a password and a certificate gets `401`, and one with the label
/// `wait` gets `202`.
pub(crate) struct ReplayServer {
    pub(crate) port: u16,
    /// Holds `root.pem`, by which it is verified.
    pub(crate) folder: tempfile::TempDir,
    /// Head and body of each request.
    pub(crate) seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl ReplayServer {
    pub(crate) fn start(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_pki(folder.path());
        let answers = answers(name);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, pki) = (Arc::clone(&seen), folder.path().to_owned());
        let (sender, port) = std::sync::mpsc::channel();
        // Lives as long as the test's process.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let acceptor = acceptor_with(&pki, Arc::new(Anybody));
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap().port()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, answers) = (acceptor.clone(), answers.clone());
                    tokio::spawn(answer(stream, acceptor, answers, Arc::clone(&log)));
                }
            });
        });
        Self { port: port.recv().unwrap(), folder, seen }
    }
}

/// Accepts each certificate: it is that of the fixture, or one that a test generated.
#[derive(Debug)]
struct Anybody;

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, ::rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, ::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, ::rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// The folder of a server's answers.
pub(crate) fn answers(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/servers").join(name)
}

async fn answer(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    answers: PathBuf,
    log: Arc<Mutex<Vec<(String, String)>>>,
) -> Option<()> {
    let mut stream = acceptor.accept(stream).await.ok()?;
    let certificate = stream.get_ref().1.peer_certificates().is_some();
    let (head, body) = request(&mut stream).await?;
    log.lock().unwrap().push((head.clone(), body.clone()));
    let path = head.split(' ').nth(1)?;
    let operation = path.rsplit('/').next()?;
    // OpenSSL's base64 reader in libest accepts lines of 64 or 76 columns only.
    let libest = answers.ends_with("libest") && head.starts_with("POST");
    if libest && (!body.ends_with('\n') || body.lines().any(|line| line.len() > 76)) {
        return None;
    }
    let post = head.starts_with("POST");
    let allowed = certificate || head.to_ascii_lowercase().contains("\nauthorization:");
    let file = match () {
        () if post && !allowed => "401",
        () if post && path.contains("/wait/") => "202",
        () => operation,
    };
    let bytes = std::fs::read(answers.join(format!("{file}.http"))).ok()?;
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()?;
    if file == "202" && answers.ends_with("libest") {
        // Neither a length nor an end.
        std::future::pending::<()>().await;
    }
    // The TCP connection ends without a close_notify.
    stream.get_mut().0.shutdown().await.ok()
}

async fn request(stream: &mut TlsStream<TcpStream>) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8(bytes.clone()).ok()?;
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&buffer[..length]);
    }
}

mod tests {
    use super::*;
    use crate::client::{Client, ClientConfig, ClientIdentity, Error, PasswordAccount, Trust};
    use crate::pki::{CertificateFields, CsrAttrsResponse, CsrBuilder, PrivateKey, pem};
    use std::time::Duration;
    use zeroize::Zeroizing;

    fn device_key() -> PrivateKey {
        let pem = std::fs::read(answers("device.key")).unwrap();
        PrivateKey::from_pem(Zeroizing::new(pem), None).unwrap()
    }

    fn config(server: &ReplayServer, label: Option<&str>) -> ClientConfig {
        let root = std::fs::read(server.folder.path().join("root.pem")).unwrap();
        let trust = Trust::Anchors(pem::decode_certificates(&root).unwrap());
        let address = format!("localhost:{}", server.port).parse().unwrap();
        let mut config = ClientConfig::new(address, trust);
        config.label = label.map(|label| label.parse().unwrap());
        let password = Zeroizing::new("secret".to_owned());
        config.account = Some(PasswordAccount { name: "device".to_owned(), password });
        config
    }

    fn spki(certificate: &[u8]) -> Vec<u8> {
        CertificateFields::parse(certificate).unwrap().public_key_spki.to_vec()
    }

    /// Client finding 3: cacerts, csrattrs, enroll, reenroll, serverkeygen as other servers answer.
    #[tokio::test]
    async fn reads_the_answers_of_other_servers() {
        let key = device_key();
        let csr = CsrBuilder::new().subject("CN=device").unwrap().build(&key).unwrap();
        let own = key.public_key_spki_der().unwrap();
        for name in SERVERS {
            let server = ReplayServer::start(name);
            let mut config = config(&server, None);
            let client = Client::new(config.clone()).unwrap();
            let answer = client.cacerts().await.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(answer.bag.len(), 2, "{name}");
            assert!(answer.bag.iter().all(|each| CertificateFields::parse(each).is_ok()), "{name}");

            let asked = match client.connect().await.unwrap().csrattrs().await {
                Ok(asked) => asked.map(|der| CsrAttrsResponse::parse(&der).unwrap().lines().len()),
                Err(Error::Rejected(rejection)) if rejection.status == 404 => None,
                Err(error) => panic!("{name}: {error}"),
            };
            let expected = match name {
                "libest" | "old" => Some(1),
                "globalsign" => Some(3),
                _ => None,
            };
            assert_eq!(asked, expected, "{name}");

            let certificate = client.simple_enroll(&csr).await;
            let certificate = certificate.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(spki(&certificate), own, "{name}");
            if answers(name).join("serverkeygen.http").exists() {
                let mut connection = client.connect().await.unwrap();
                let made = connection.server_key_gen(&csr, None).await;
                let made = made.unwrap_or_else(|error| panic!("{name}: {error}"));
                let generated_key = made.key.public_key_spki_der().unwrap();
                assert_eq!(spki(&made.certificate), generated_key, "{name}");
            }

            config.account = None;
            config.identity =
                Some(ClientIdentity { chain: vec![certificate], key: Arc::new(device_key()) });
            let renewed = Client::new(config).unwrap().simple_reenroll(&csr).await;
            let renewed = renewed.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(spki(&renewed), own, "{name}");
            let seen = server.seen.lock().unwrap();
            let posts = seen.iter().filter(|(head, _)| head.starts_with("POST"));
            for (_, body) in posts.filter(|(_, body)| !body.is_empty()) {
                assert!(body.ends_with('\n') && !body.contains('\r'), "{name}");
                assert!(body.lines().all(|line| line.len() <= 64), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn reads_retry_after_of_other_servers() {
        let key = device_key();
        let csr = CsrBuilder::new().subject("CN=device").unwrap().build(&key).unwrap();
        for (name, expected) in [
            ("libest", Some(Duration::from_secs(3600))),
            ("globalsign", Some(Duration::from_secs(600))),
            ("bouncycastle", None),
            ("chain", Some(Duration::from_secs(120))),
            ("old", None),
        ] {
            let server = ReplayServer::start(name);
            let client = Client::new(config(&server, Some("wait"))).unwrap();
            let error = client.simple_enroll(&csr).await.unwrap_err();
            let Error::Pending { retry_after, .. } = error else { panic!("{name}: {error}") };
            if name == "bouncycastle" {
                assert!(retry_after.is_some(), "a date");
            } else {
                assert_eq!(retry_after, expected, "{name}");
            }
        }
    }
}
