//! Measures many connections at once to the program itself: the memory of an idle one, and the latency
//! that slow clients add to a good one. docs/performance.md shows the output.
//!
//!     cargo bench --bench connections
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement stops at the first surprise and prints"
)]

use futures_util::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const IDLE: usize = 10_000;
const SLOW: usize = 2_000;
const GOOD: usize = 2_000;
/// Rounds alone and beside slow clients, in turn, so that other load on the machine affects both.
const ROUNDS: usize = 3;
/// The time after which a request counts as failed.
const LONG: Duration = Duration::from_secs(10);
const KIB: f64 = 1024.0;

const CACERTS: &[u8] = b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ENDLESS: &[u8] = b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n\
    Content-Type: application/pkcs10\r\nContent-Length: 60000\r\n\r\n";

/// The server and a device of its own.
struct Server {
    child: Child,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    folder: TempDir,
}

impl Server {
    fn start(limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "version = 1\n[audit]\nterminal = \"quiet\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n{limits}"
        );
        fs::write(folder.path().join("est.toml"), text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_estd"))
            .arg("serve")
            .current_dir(folder.path())
            .env("ESTD_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = loop {
            let line = lines.next().expect("estd starts").unwrap();
            if line.starts_with('{') {
                break serde_json::from_str::<serde_json::Value>(&line).unwrap();
            }
        };
        let address: SocketAddr = ready["listen"][0].as_str().unwrap().parse().unwrap();
        let password = fs::read_to_string(folder.path().join("data/first-password")).unwrap();
        let enrolled = Command::new(env!("CARGO_BIN_EXE_est"))
            .args(["enroll", "--server", &format!("https://localhost:{}", address.port())])
            .args(["--cacert", "data/ca/default/root.pem", "--user", "enroll"])
            .args(["--subject", "CN=device", "--out", "device"])
            .env("EST_PASSWORD", password.trim_end())
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(enrolled.success());
        let tls = client_config(folder.path());
        Self { child, address, tls, folder }
    }

    /// Resident memory, bytes.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * KIB
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = &self.folder;
    }
}

fn client_config(folder: &Path) -> Arc<ClientConfig> {
    let mut anchors = RootCertStore::empty();
    anchors
        .add(CertificateDer::from_pem_file(folder.join("data/ca/default/root.pem")).unwrap())
        .unwrap();
    let chain = CertificateDer::pem_file_iter(folder.join("device/cert.pem"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("device/key.pem")).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(anchors)
        .with_client_auth_cert(chain, key)
        .unwrap();
    // Full handshakes only.
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

type Stream = TlsStream<TcpStream>;

async fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> std::io::Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await
}

/// Sends GET cacerts. Returns whether the response was complete and correct.
async fn cacerts(stream: &mut Stream) -> std::io::Result<bool> {
    stream.write_all(CACERTS).await?;
    // Without it a part may stay in the TLS layer.
    stream.flush().await?;
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Ok(false);
        }
        seen.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&seen);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .and_then(|length| length.parse::<usize>().ok())
            .unwrap_or(0);
        if body.len() >= length {
            return Ok(head.starts_with("HTTP/1.1 200"));
        }
    }
}

async fn idle() {
    let server = Server::start(
        "max_connections = 12000\nmax_connections_per_address = 12000\nidle_timeout = \"10m\"\n",
    );
    let (address, tls) = (server.address, &server.tls);
    // The first connections leave memory in the process that is not counted as theirs.
    for _ in 0..64 {
        cacerts(&mut connect(address, tls).await.unwrap()).await.unwrap();
    }
    let before = server.memory();
    let mut open: Vec<Stream> = stream::iter(0..IDLE)
        .map(|_| async { connect(address, tls).await.unwrap() })
        .buffer_unordered(64)
        .collect()
        .await;
    sleep(Duration::from_secs(2)).await;
    println!(
        "{IDLE} idle connections, mutual TLS 1.3, handshake only   {:6.1} KiB each",
        (server.memory() - before) / KIB / IDLE as f64
    );
    let good = stream::iter(open.iter_mut())
        .map(|stream| async { timeout(LONG, cacerts(stream)).await.unwrap().unwrap() })
        .buffer_unordered(64)
        .filter(|good| std::future::ready(*good))
        .count()
        .await;
    assert_eq!(good, IDLE);
    sleep(Duration::from_secs(2)).await;
    println!(
        "{IDLE} idle connections, each after one request           {:6.1} KiB each",
        (server.memory() - before) / KIB / IDLE as f64
    );
    drop(open);
    sleep(Duration::from_secs(2)).await;
    println!(
        "after they are gone                                       {:6.1} KiB each stay with the process, for the next ones",
        (server.memory() - before) / KIB / IDLE as f64
    );
}

/// The ways in which a client is slow.
#[derive(Clone, Copy)]
enum Kind {
    /// Sends half a ClientHello and waits.
    Hello,
    /// Sends a byte of a header each second.
    Header,
    /// Sends a byte of a body each second, without end.
    Body,
}

/// Acts as such a client until the server ends the connection.
async fn play(kind: Kind, address: SocketAddr, tls: &Arc<ClientConfig>, stuck: &AtomicUsize) {
    let _counted = Counted::new(stuck);
    if matches!(kind, Kind::Hello) {
        let name = ServerName::try_from("localhost").unwrap();
        let mut hello = Vec::new();
        let mut client = rustls::ClientConnection::new(Arc::clone(tls), name).unwrap();
        client.write_tls(&mut hello).unwrap();
        let Ok(mut tcp) = TcpStream::connect(address).await else { return };
        let _ = tcp.write_all(&hello[..hello.len() / 2]).await;
        let _ = tcp.read(&mut [0; 64]).await;
        return;
    }
    let Ok(mut stream) = connect(address, tls).await else { return };
    let start: &[u8] = if matches!(kind, Kind::Header) { &CACERTS[..20] } else { ENDLESS };
    let (mut tick, mut seen) = (interval(Duration::from_secs(1)), [0; 1024]);
    if stream.write_all(start).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            _ = tick.tick() => if stream.write_all(b"A").await.is_err() || stream.flush().await.is_err() { return },
            read = stream.read(&mut seen) => if matches!(read, Ok(0) | Err(_)) { return },
        }
    }
}

/// Counts while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One good client after the other, each with a handshake of its own. Returns how long each took.
async fn good(address: SocketAddr, tls: &Arc<ClientConfig>) -> Vec<Duration> {
    let mut times = Vec::with_capacity(GOOD);
    for _ in 0..GOOD {
        let start = Instant::now();
        let one = async { cacerts(&mut connect(address, tls).await.unwrap()).await.unwrap() };
        assert!(timeout(LONG, one).await.unwrap(), "a good client got an error");
        times.push(start.elapsed());
    }
    times
}

/// Prints the percentiles and returns the 99th.
fn report(name: &str, times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let at = |hundredth: usize| times[(times.len() - 1) * hundredth / 100].as_secs_f64() * 1e3;
    println!(
        "{name:26} {} handshakes with cacerts, errors 0  p50 {:5.2} p90 {:5.2} p99 {:5.2} max {:6.2} ms",
        times.len(),
        at(50),
        at(90),
        at(99),
        at(100),
    );
    at(99)
}

async fn slow() {
    let server = Server::start("max_connections_per_address = 4000\n");
    let (address, tls) = (server.address, Arc::clone(&server.tls));
    let stuck: &'static AtomicUsize = Box::leak(Box::default());
    good(address, &tls).await;
    let (mut alone, mut beside, mut fewest) = (Vec::new(), Vec::new(), SLOW);
    for _ in 0..ROUNDS {
        alone.append(&mut good(address, &tls).await);
        let mut clients = JoinSet::new();
        for number in 0..SLOW {
            let tls = Arc::clone(&tls);
            let kind = [Kind::Hello, Kind::Header, Kind::Body][number % 3];
            clients.spawn(async move {
                // Spread over five seconds instead of all at once.
                sleep(Duration::from_millis(number as u64 * 5000 / SLOW as u64)).await;
                loop {
                    play(kind, address, &tls, stuck).await;
                }
            });
        }
        // The server cuts the first of them, and they connect again.
        sleep(Duration::from_secs(12)).await;
        fewest = fewest.min(stuck.load(Ordering::Relaxed));
        beside.append(&mut good(address, &tls).await);
        fewest = fewest.min(stuck.load(Ordering::Relaxed));
        clients.shutdown().await;
        sleep(Duration::from_secs(1)).await;
    }
    let (alone, beside) = (
        report("alone", &mut alone),
        report(&format!("beside {fewest} slow clients"), &mut beside),
    );
    println!("p99 beside them is {:.2} times that of alone", beside / alone);
}

fn main() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, all).unwrap();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if wanted.as_deref().is_none_or(|wanted| wanted == "idle") {
            idle().await;
        }
        if wanted.as_deref().is_none_or(|wanted| wanted == "slow") {
            slow().await;
        }
    });
}
