//! Measures the server's cost of an unknown client's certificate chain (attack 2). One figure is the CPU
//! time of a handshake and one POST of each operation, beside that of a client without a certificate.
//! The other is the latency of a good client beside 60 such clients. docs/performance.md shows the output.
//!
//!     cargo bench --bench chains
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement stops at the first surprise and prints"
)]

/// The types that the chains of tests/common need.
mod common {
    /// A certificate with its chain and key, PEM.
    pub(crate) struct Identity {
        pub(crate) pem: String,
        pub(crate) key: String,
    }
}

#[path = "../tests/common/chain.rs"]
mod chain;

use chain::{Party, Shape, chain};
use common::Identity;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

/// Connections for each measurement of CPU.
const EACH: u32 = 200;
/// Measurements of each, in turn; the least counts.
const ROUNDS: usize = 3;
/// Clients that connect at once.
const CLIENTS: usize = 60;
/// Times that they connect.
const BURSTS: usize = 20;

struct Server {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(anchor: &Party) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("maker.pem"), anchor.ca(anchor)).unwrap();
        let text = "version = 1\n[audit]\nterminal = \"quiet\"\n[server]\nlisten = [\"127.0.0.1:0\"]\nmax_connections_per_address = 1000\n[manufacturer.maker]\nanchors = [\"maker.pem\"]\n[est]\naccept = [\"certificate\", \"password\", \"manufacturer:maker\"]\nserverkeygen = \"on\"\nfullcmc = true\n";
        fs::write(folder.path().join("est.toml"), text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_estd"))
            .arg("serve")
            .current_dir(folder.path())
            .env("ESTD_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map(Result::unwrap).find(|line| line.starts_with('{')).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let address = ready["listen"][0].as_str().unwrap().parse().unwrap();
        Self { child, address, folder }
    }

    /// Its CPU so far, of user and system, all threads.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client(folder: &Path, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut anchors = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(folder.join("data/ca/default/root.pem")).unwrap();
    anchors.add(root).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(anchors);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// One POST of each operation, without credentials.
fn posts() -> Vec<Vec<u8>> {
    let cmc = "application/pkcs7-mime; smime-type=CMC-request";
    [
        ("simpleenroll", "application/pkcs10"),
        ("simplereenroll", "application/pkcs10"),
        ("serverkeygen", "application/pkcs10"),
        ("fullcmc", cmc),
    ]
    .map(|(operation, kind)| {
        format!("POST /.well-known/est/{operation} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 4\r\n\r\nMAA=").into_bytes()
    })
    .to_vec()
}

/// A handshake and requests one after another; returns the statuses.
async fn visit(address: SocketAddr, tls: &Arc<ClientConfig>, requests: &[Vec<u8>]) -> Vec<String> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.unwrap();
    let mut statuses = Vec::new();
    for request in requests {
        stream.write_all(request).await.unwrap();
        stream.flush().await.unwrap();
        let mut seen = Vec::new();
        let mut part = [0; 4096];
        loop {
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "an answer");
            seen.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&seen);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                statuses.push(head[9..12].to_owned());
                break;
            }
        }
    }
    statuses
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let anchor = Party::new("CN=Maker");
    let server = Server::start(&anchor);
    let (address, posts) = (server.address, posts());
    let long = format!("CN={}", "x".repeat(15 << 10));
    let [device, first, second] = [(); 3].map(|()| Party::new(&long));
    let long = Identity { pem: first.device(&device) + &second.ca(&first), key: device.key() };
    let mut clients = vec![("no certificate".to_owned(), client(server.folder.path(), None))];
    for (shape, length) in [
        (Shape::Good, 50),
        (Shape::OneName, 8),
        (Shape::OneName, 11),
        (Shape::OneName, 50),
        (Shape::AnchorsName, 8),
        (Shape::AnchorsName, 50),
        (Shape::Ring, 8),
        (Shape::Ring, 50),
    ] {
        let device = chain(shape, &anchor, length);
        clients
            .push((format!("{shape:?} of {length}"), client(server.folder.path(), Some(&device))));
    }
    clients.push(("names of 15 KiB".to_owned(), client(server.folder.path(), Some(&long))));
    let mut best = vec![Duration::MAX; clients.len()];
    for _ in 0..ROUNDS {
        for ((_, tls), best) in clients.iter().zip(&mut best) {
            let before = server.cpu();
            for _ in 0..EACH {
                let statuses = visit(address, tls, &posts).await;
                assert_eq!(statuses, ["401", "403", "401", "401"]);
            }
            *best = (*best).min(server.cpu() - before);
        }
    }
    println!("CPU of the server for a handshake and 4 POSTs:");
    for ((name, _), time) in clients.iter().zip(&best) {
        println!(
            "  {name:20} {:6.2} ms, {:4.2} times that of a client without a certificate",
            time.as_secs_f64() * 1e3 / f64::from(EACH),
            time.as_secs_f64() / best[0].as_secs_f64()
        );
    }

    let cacerts = [b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()];
    let good = &clients[0].1;
    for (name, tls) in &clients {
        let mut times = Vec::new();
        for _ in 0..BURSTS {
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                let (tls, posts) = (Arc::clone(tls), posts.clone());
                clients.spawn(async move { visit(address, &tls, &posts).await });
            }
            let start = Instant::now();
            assert_eq!(visit(address, good, &cacerts).await, ["200"]);
            times.push(start.elapsed());
            while let Some(done) = clients.join_next().await {
                assert_eq!(done.unwrap(), ["401", "403", "401", "401"]);
            }
        }
        times.sort_unstable();
        println!(
            "a good client beside {CLIENTS} at once, {name:20} p50 {:6.1} ms, max {:6.1} ms",
            times[BURSTS / 2].as_secs_f64() * 1e3,
            times[BURSTS - 1].as_secs_f64() * 1e3
        );
    }
}
