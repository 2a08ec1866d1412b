//! Tests of the client against a canned EST server; OpenSSL generates its certificates and answers.

use crate::client::*;
use crate::pki::{CsrBuilder, PrivateKey};
use crate::types::{Code, KeyKind};
use ::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ::rustls::server::WebPkiClientVerifier;
use ::rustls::{RootCertStore, ServerConfig};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

const CONFIGURATION: &str = "
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
subjectAltName = DNS:localhost
extendedKeyUsage = serverAuth,1.3.6.1.5.5.7.3.28
[device]
extendedKeyUsage = clientAuth
";

/// An RSA key of 4096 bits, SHA-256, and challengePassword: the sample of RFC 9908.
const ASKED: &str = "MCkGCSqGSIb3DQEJBzARBgkqhkiG9w0BAQExBAICEAAGCSqGSIb3DQEBCw==";

/// `/cacerts`, `/csrattrs` (with the label `asks`), `/simpleenroll` and `/simplereenroll` over TLS. Labels choose how it misbehaves:
/// `busy`, `many`, `pending` (the first time), `early` (403), `other-key`. The label `factory` has the CA of that name, and
/// `/cacerts` there holds nothing else; under `both` it holds the server's root as well.
pub(crate) struct CannedServer {
    pub(crate) port: u16,
    pub(crate) folder: tempfile::TempDir,
    /// Method, path, whether a password and whether a client certificate was received.
    seen: Arc<Mutex<Vec<(String, bool, bool)>>>,
}

fn openssl(folder: &Path, arguments: &str, input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tests need the openssl command");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
    output.stdout
}

/// Root, issuing CA under it, server under that, and `factory`, a root with no part in the server's
/// chain: `NAME.pem` and `NAME.key`.
pub(super) fn make_pki(folder: &Path) {
    std::fs::write(folder.join("c.cnf"), CONFIGURATION).unwrap();
    for (name, issuer, section) in [
        ("root", None, "ca"),
        ("issuing", Some("root"), "ca"),
        ("server", Some("issuing"), "server"),
        ("factory", None, "ca"),
    ] {
        let signer = issuer
            .map_or_else(String::new, |issuer| format!("-CA {issuer}.pem -CAkey {issuer}.key"));
        openssl(
            folder,
            &format!(
                "req -x509 -config c.cnf -extensions {section} -newkey ec -pkeyopt \
                 ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} {signer}"
            ),
            b"",
        );
    }
}

impl CannedServer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_pki(folder.path());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sender, port) = std::sync::mpsc::channel();
        let (path, log) = (folder.path().to_owned(), Arc::clone(&seen));
        // Lives as long as the test's process.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(&path, log, &sender));
        });
        Self { port: port.recv().unwrap(), folder, seen }
    }

    pub(crate) fn der(&self, name: &str) -> Vec<u8> {
        openssl(self.folder.path(), &format!("x509 -in {name}.pem -outform DER"), b"")
    }

    /// Lets OpenSSL judge a certificate.
    pub(crate) fn verify(&self, certificate: &Path) {
        let certificate = certificate.to_str().unwrap();
        openssl(
            self.folder.path(),
            &format!("verify -CAfile root.pem -untrusted issuing.pem {certificate}"),
            b"",
        );
    }

    fn config(&self, trust: Trust) -> ClientConfig {
        ClientConfig::new(format!("localhost:{}", self.port).parse().unwrap(), trust)
    }

    fn client(&self, trust: Trust) -> Client {
        Client::new(self.config(trust)).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<(String, bool, bool)> {
        self.seen.lock().unwrap().clone()
    }
}

/// TLS with the certificate of `server`; certificates of clients are accepted and not demanded.
fn acceptor(folder: &Path) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    for ca in ["root", "issuing", "factory"] {
        roots.add(openssl(folder, &format!("x509 -in {ca}.pem -outform DER"), b"").into()).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .unwrap();
    acceptor_with(folder, verifier)
}

/// The same with another judge of clients.
pub(super) fn acceptor_with(
    folder: &Path,
    verifier: Arc<dyn ::rustls::server::danger::ClientCertVerifier>,
) -> TlsAcceptor {
    let chain: Vec<CertificateDer<'static>> = ["server", "issuing"]
        .iter()
        .map(|name| openssl(folder, &format!("x509 -in {name}.pem -outform DER"), b"").into())
        .collect();
    let key = openssl(folder, "pkcs8 -topk8 -nocrypt -in server.key -outform DER", b"");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.into()))
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(
    folder: &Path,
    seen: Arc<Mutex<Vec<(String, bool, bool)>>>,
    sender: &std::sync::mpsc::Sender<u16>,
) {
    let acceptor = acceptor(folder);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    sender.send(listener.local_addr().unwrap().port()).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, seen, folder) = (acceptor.clone(), Arc::clone(&seen), folder.to_owned());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let certificate = stream.get_ref().1.peer_certificates().is_some();
            let service = service_fn(|request| answer(request, &folder, &seen, certificate));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    folder: &Path,
    seen: &Mutex<Vec<(String, bool, bool)>>,
    certificate: bool,
) -> Result<hyper::Response<Full<Bytes>>, std::convert::Infallible> {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").cloned();
    let repeated = {
        let mut seen = seen.lock().unwrap();
        // Requests without credentials were rejected.
        let repeated = seen
            .iter()
            .any(|(before, password, certificate)| *before == path && (*password || *certificate));
        seen.push((path.clone(), authorization.is_some(), certificate));
        repeated
    };
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let certs_only = |files: &str| {
        let der = openssl(folder, &format!("crl2pkcs7 -nocrl -outform DER {files}"), b"");
        hyper::Response::builder()
            .header("content-type", "application/pkcs7-mime; smime-type=certs-only")
            .body(Full::new(STANDARD.encode(der).into()))
            .unwrap()
    };
    let reject = |status: u16, retry: &str| {
        hyper::Response::builder()
            .status(status)
            .header("retry-after", retry)
            .header("x-request-id", "0123456789abcdef")
            .body(Full::default())
            .unwrap()
    };
    let label = path.split('/').nth(3).unwrap();
    if path.ends_with("/cacerts") {
        return Ok(certs_only(match label {
            "factory" => "-certfile factory.pem",
            "both" => "-certfile factory.pem -certfile root.pem",
            _ => "-certfile issuing.pem -certfile root.pem",
        }));
    }
    if path.ends_with("/csrattrs") {
        return Ok(match path.split('/').nth(3).unwrap() {
            "asks" => hyper::Response::builder()
                .header("content-type", "application/csrattrs")
                .body(Full::new(ASKED.into()))
                .unwrap(),
            "garbage" => hyper::Response::new(Full::new("<html>".into())),
            "pending" => hyper::Response::builder().status(204).body(Full::default()).unwrap(),
            _ => reject(404, ""),
        });
    }
    // "device:secret"
    if authorization.is_none_or(|value| value != "Basic ZGV2aWNlOnNlY3JldA==") && !certificate {
        return Ok(reject(401, ""));
    }
    Ok(match path.split('/').nth(3).unwrap() {
        "busy" => reject(503, "3600"),
        "many" => reject(429, "3600"),
        "pending" if !repeated => reject(202, "1"),
        "early" => reject(403, "1").map(|_| format!("{}: too early", Code::RenewalEarly).into()),
        "other-key" => certs_only("-certfile issuing.pem"),
        "garbage" => hyper::Response::new(Full::new("<html>".into())),
        "endless" => hyper::Response::new(Full::new(vec![b'A'; MAX_ANSWER + 1].into())),
        _ => {
            let text: Vec<u8> =
                body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let csr = STANDARD.decode(text).unwrap();
            let ca = if matches!(label, "factory" | "both") { "factory" } else { "issuing" };
            let pem = openssl(
                folder,
                &format!(
                    "x509 -req -inform DER -CA {ca}.pem -CAkey {ca}.key -days 1 -copy_extensions \
                     copy -extfile c.cnf -extensions device"
                ),
                &csr,
            );
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), pem).unwrap();
            certs_only(&format!("-certfile {}", file.path().display()))
        }
    })
}

fn csr() -> Vec<u8> {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    CsrBuilder::new().subject("CN=d").unwrap().build(&key).unwrap()
}

fn account() -> Option<PasswordAccount> {
    let password = Zeroizing::new("secret".to_owned());
    Some(PasswordAccount { name: "device".to_owned(), password })
}

#[tokio::test]
async fn r_7030_4_1_1_bootstraps_by_the_fingerprint_of_either_ca() {
    let server = CannedServer::start();
    for ca in ["root", "issuing"] {
        let trust = Trust::Fingerprint(fingerprint(&server.der(ca)));
        let answer = server.client(trust).cacerts().await.unwrap();
        assert_eq!(answer.bag.len(), 2);
        assert_eq!(answer.pinned, Some(server.der(ca)));
    }
    let wrong = server.client(Trust::Fingerprint([7; 32])).cacerts().await.unwrap_err();
    assert!(matches!(&wrong, Error::Fingerprint { seen } if seen.len() == 2), "{wrong}");
}

#[tokio::test]
async fn the_bootstrap_carries_no_credentials_and_enrolment_follows_on_a_verified_connection() {
    let server = CannedServer::start();
    let device = server.client(Trust::Anchors(vec![server.der("root")]));
    assert!(matches!(
        device.simple_enroll(&csr()).await.unwrap_err(),
        Error::Rejected(rejection) if rejection.status == 401
            && rejection.request_id.as_deref() == Some("0123456789abcdef")
    ));
    let mut config = server.config(Trust::Fingerprint(fingerprint(&server.der("root"))));
    config.account = account();
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let request = CsrBuilder::new().subject("CN=d").unwrap().build(&key).unwrap();
    let certificate = Client::new(config.clone()).unwrap().simple_enroll(&request).await.unwrap();
    config.identity = Some(ClientIdentity { chain: vec![certificate], key: Arc::new(key) });
    config.account = None;
    Client::new(config).unwrap().simple_reenroll(&csr()).await.unwrap();
    let path = |operation: &str| format!("/.well-known/est/{operation}");
    assert_eq!(
        server.seen()[1..],
        [
            (path("cacerts"), false, false),
            // The password waits for the challenge.
            (path("simpleenroll"), false, false),
            (path("simpleenroll"), true, false),
            (path("cacerts"), false, false),
            (path("simplereenroll"), false, true),
        ]
    );
}

/// A server with the right CA certificate and no chain under it is rejected.
#[tokio::test]
async fn a_stranger_that_replays_the_ca_certificates_is_rejected() {
    let honest = CannedServer::start();
    let stranger = CannedServer::start();
    // The stranger serves the honest bag, with its own chain in the handshake.
    for name in ["root.pem", "issuing.pem"] {
        std::fs::copy(honest.folder.path().join(name), stranger.folder.path().join(name)).unwrap();
    }
    let mut config = stranger.config(Trust::Fingerprint(fingerprint(&honest.der("root"))));
    config.account = account();
    let client = Client::new(config).unwrap();
    for error in
        [client.cacerts().await.unwrap_err(), client.simple_enroll(&csr()).await.unwrap_err()]
    {
        assert!(matches!(error, Error::Tls(TlsError::UnknownIssuer)), "{error}");
    }
    let asked = ("/.well-known/est/cacerts".to_owned(), false, false);
    assert_eq!(stranger.seen(), [asked.clone(), asked]);
}

#[tokio::test]
async fn says_why_the_server_is_not_trusted() {
    let server = CannedServer::start();
    let other = CannedServer::start();
    let unknown = server.client(Trust::Anchors(vec![other.der("root")])).cacerts().await;
    // Both roots have the same name, as after a server was set up anew.
    assert!(matches!(unknown.unwrap_err(), Error::Tls(TlsError::UnknownIssuer)));
    assert_eq!(server.seen(), [], "nothing was said");

    let anchors = Trust::Anchors(vec![server.der("issuing"), server.der("root")]);
    let mut by_address = server.config(anchors.clone());
    by_address.server = format!("127.0.0.1:{}", server.port).parse().unwrap();
    let error = Client::new(by_address.clone()).unwrap().cacerts().await.unwrap_err();
    assert!(
        matches!(&error, Error::Tls(TlsError::NameMismatch { expected, .. }) if expected == "127.0.0.1"),
        "{error}"
    );
    by_address.accept_cmc_ra = true;
    Client::new(by_address).unwrap().cacerts().await.unwrap();

    let mut late = server.config(anchors);
    late.clock = Arc::new(crate::clock::SetClock::new(crate::types::Time::MAX));
    let error = Client::new(late).unwrap().cacerts().await.unwrap_err();
    assert!(matches!(error, Error::Tls(TlsError::Expired { not_after: Some(_) })), "{error}");
    assert!(error.remedy().unwrap().contains("clock"));
}

#[tokio::test]
async fn several_requests_share_a_connection_in_both_versions_of_tls() {
    let server = CannedServer::start();
    for tls in [TlsVersions::Tls12, TlsVersions::Tls13] {
        let mut config = server.config(Trust::Anchors(vec![server.der("root")]));
        config.tls = tls;
        config.account = account();
        let mut connection = Client::new(config).unwrap().connect().await.unwrap();
        assert_eq!(connection.is_tls13(), tls == TlsVersions::Tls13);
        assert_eq!(connection.server_certificates()[0], server.der("server"));
        connection.cacerts().await.unwrap();
        assert!(connection.is_open().await);
        connection.simple_enroll(&csr()).await.unwrap();
        let raw = connection.request("GET", "/.well-known/est/cacerts", &[], "").await.unwrap();
        assert_eq!(raw.status, 200);
        assert!(raw.header("Content-Type").is_some() && !raw.text().is_empty());
    }
}

#[tokio::test]
async fn csrattrs_are_optional_and_requested_without_a_password() {
    let server = CannedServer::start();
    let ask = async |label: &str| {
        let mut config = server.config(Trust::Anchors(vec![server.der("root")]));
        (config.label, config.account) = (Some(label.parse().unwrap()), account());
        Client::new(config).unwrap().connect().await.unwrap().csrattrs().await
    };
    assert_eq!(ask("asks").await.unwrap().unwrap(), STANDARD.decode(ASKED).unwrap());
    assert_eq!(ask("pending").await.unwrap(), None);
    assert!(
        matches!(ask("none").await, Err(Error::Rejected(rejection)) if rejection.status == 404)
    );
    assert!(matches!(ask("garbage").await, Err(Error::Malformed { .. })));
    assert!(server.seen().iter().all(|(_, password, _)| !password));
}

#[tokio::test]
async fn bad_answers_have_errors_of_their_own() {
    let server = CannedServer::start();
    let enroll = async |label: &str| {
        let mut config = server.config(Trust::Anchors(vec![server.der("root")]));
        config.account = account();
        config.label = Some(label.parse().unwrap());
        Client::new(config).unwrap().simple_enroll(&csr()).await.unwrap_err()
    };
    let why = |error: Error| match error {
        Error::Malformed { why, .. } => why,
        other => other.to_string(),
    };
    assert!(why(enroll("other-key").await).contains("no certificate that is for the key"));
    assert!(why(enroll("garbage").await).contains("not base64"));
    assert!(matches!(enroll("endless").await, Error::TooLong { .. }));
    let pending = enroll("pending").await;
    assert_eq!(pending.later(), Some(Some(Duration::from_secs(1))), "{pending}");
    let rejected =
        Client::new(ClientConfig::new("localhost:1".parse().unwrap(), Trust::Fingerprint([0; 32])));
    assert!(matches!(rejected.unwrap().cacerts().await.unwrap_err(), Error::Connect { .. }));
}

#[test]
fn an_unusable_configuration_is_rejected_at_once() {
    let address: ServerAddress = "localhost".parse().unwrap();
    let new = |trust, change: fn(&mut ClientConfig)| {
        let mut config = ClientConfig::new(address.clone(), trust);
        change(&mut config);
        Client::new(config).map(|_| ())
    };
    assert!(new(Trust::Anchors(Vec::new()), |_| ()).is_err());
    assert!(new(Trust::Anchors(vec![vec![0x30, 0]]), |_| ()).is_err());
    let named = |name: &str| {
        let mut config = ClientConfig::new(address.clone(), Trust::Fingerprint([0; 32]));
        config.account = Some(PasswordAccount {
            name: name.to_owned(),
            password: Zeroizing::new(String::new()),
        });
        Client::new(config).is_ok()
    };
    assert!(named(""), "RFC 7030 §3.2.3 allows an empty name");
    assert!(!named("a:b"));
    assert!(!named("a\nb"));
}
