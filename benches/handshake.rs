//! Measures the cost of reading channel bindings from handshakes (src/binding): the CPU time of the server's
//! side, with and without it. The two alternate, so that other load on the machine affects both.
//!
//!     cargo bench --bench handshake
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement stops at the first surprise and prints"
)]

use estd::{
    binding::{HandshakeSecret, Recorded, Side},
    pki::PrivateKey,
    types::{Binding, KeyKind},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};
use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ROUNDS: usize = 60;
const EACH: usize = 100;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("k.pem"), key.to_pem(None).unwrap().as_bytes()).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-new", "-key", &at("k.pem"), "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"])
        .args(["-outform", "DER", "-out", &at("c.der"), "-days", "9000"])
        .status()
        .unwrap();
    assert!(made.success());
    let certificate = CertificateDer::from(std::fs::read(at("c.der")).unwrap());
    let pkcs8 =
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8_der().unwrap().to_vec()));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for version in [&TLS13, &TLS12] {
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], pkcs8.clone_key())
            .unwrap();
        server.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        client.resumption = rustls::client::Resumption::disabled();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (server, client) = (Arc::new(server), Arc::new(client));
        let mut best = [Duration::MAX; 2];
        for _ in 0..ROUNDS {
            for (binds, best) in [false, true].into_iter().zip(&mut best) {
                let start = Instant::now();
                for _ in 0..EACH {
                    runtime.block_on(handshake(&server, &client, binds));
                }
                *best = (*best).min(start.elapsed());
            }
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / EACH as f64;
        println!(
            "{:?}: a handshake, both ends {:7.2} us; with its channel binding {:7.2} us: {:+.2} us",
            version.version,
            micros(best[0]),
            micros(best[1]),
            micros(best[1]) - micros(best[0])
        );
    }
}

async fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, binds: bool) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let connector = TlsConnector::from(Arc::clone(client));
    let name = "localhost".try_into().unwrap();
    let accept = async {
        if binds {
            let secret = HandshakeSecret::default();
            let acceptor = TlsAcceptor::from(secret.server(server));
            let mut stream = acceptor.accept(Recorded::new(far, Side::Server)).await.unwrap();
            let (recorded, tls) = stream.get_mut();
            let binding = secret.binding(recorded, tls);
            assert!(!matches!(binding, Binding::None(_)));
            stream
        } else {
            let acceptor = TlsAcceptor::from(Arc::clone(server));
            acceptor.accept(Recorded::silent(far)).await.unwrap()
        }
    };
    let (server, client) = tokio::join!(accept, connector.connect(name, near));
    drop((server, client.unwrap()));
}
