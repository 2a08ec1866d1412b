//! Failures of the database: unavailable, restarted, slow, read-only. The answers are correct
//! meanwhile, and service resumes without a restart.

use crate::{
    common::{Connection, Identity, Reply, base64, basic, post_body},
    postgres::Postgres,
    process::Estd,
};
use estd::{
    pki::{CsrBuilder, PrivateKey},
    types::KeyKind,
};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How long service may take to resume, on a machine that may be busy.
const RESUMES: Duration = Duration::from_secs(30);

/// How long the database is away: `ESTD_AWAY` seconds, 5 without it.
fn away() -> Duration {
    let seconds = std::env::var("ESTD_AWAY").ok().map_or(5, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

struct Device {
    key: PrivateKey,
    port: u16,
    headers: String,
}

impl Device {
    fn of(estd: &Estd) -> Self {
        let headers =
            format!("Content-Type: application/pkcs10\r\n{}", basic("enroll", &estd.password));
        Self { key: PrivateKey::generate(KeyKind::P256).unwrap(), port: estd.port, headers }
    }

    async fn send(&self, request: Vec<u8>) -> Reply {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut connection =
            Connection::open(address, None::<&Identity>, &[&rustls::version::TLS13]).await.unwrap();
        connection.send(request).await
    }

    async fn enroll(&self, subject: &str) -> Reply {
        let csr = CsrBuilder::new().subject(subject).unwrap().build(&self.key).unwrap();
        self.send(post_body("simpleenroll", base64(&csr).as_bytes(), &self.headers)).await
    }

    async fn cacerts(&self) -> Reply {
        let request = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
        self.send(request.into()).await
    }

    /// Retries until it receives a certificate.
    async fn enroll_in_the_end(&self, subject: &str) -> Duration {
        let start = Instant::now();
        loop {
            let reply = self.enroll(subject).await;
            if reply.status == 200 {
                return start.elapsed();
            }
            assert_unavailable(&reply);
            assert!(start.elapsed() < RESUMES, "service does not resume: {}", reply.text());
        }
    }
}

/// While the database is unavailable, answers do not mention it.
fn assert_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    let wait: u64 = reply.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    let text = reply.text().to_lowercase();
    assert!(
        !["postgres", "database", "sql", "127.0.0.1"].iter().any(|word| text.contains(word)),
        "{text}"
    );
}

fn folder(port: u16, patience: &str) -> tempfile::TempDir {
    Estd::folder_on_postgres(&format!(
        "connection = \"host=127.0.0.1 port={port} dbname=estd user=estd sslmode=disable\"\n\
         patience = \"{patience}\""
    ))
}

fn issued(estd: &Estd) -> usize {
    estd.operator(&["cert", "list", "--json", "--state", "issued"]).lines().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_and_comes_back() {
    let mut postgres = Postgres::start_tcp(&[]);
    postgres.sql("postgres", "CREATE DATABASE estd");
    let estd = Estd::start_in(folder(postgres.port, "2s"));
    let device = Device::of(&estd);
    assert_eq!(device.enroll("CN=before").await.status, 200);
    let before = issued(&estd);

    // Stopped for some time.
    postgres.stop();
    let gone = Instant::now();
    let mut rejected = 0;
    loop {
        assert_unavailable(&device.enroll("CN=meanwhile").await);
        rejected += 1;
        assert_eq!(device.cacerts().await.status, 200);
        if gone.elapsed() > away() {
            break;
        }
    }
    postgres.run();
    let resumed = device.enroll_in_the_end("CN=meanwhile").await;
    eprintln!("away for {:?}: {rejected} rejected, resumed after {resumed:?}", gone.elapsed());
    assert_eq!(issued(&estd), before + 1);

    // Restarted: a concurrent request waits, or is answered with Retry-After.
    postgres.stop();
    postgres.run();
    device.enroll_in_the_end("CN=restarted").await;
    // Killed.
    postgres.kill();
    assert_unavailable(&device.enroll("CN=killed").await);
    postgres.run();
    device.enroll_in_the_end("CN=killed").await;
    assert_eq!(issued(&estd), before + 3);

    // It rejects writes, like a primary that became a standby.
    let read_only = |on| {
        postgres.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        postgres.sql("postgres", "SELECT pg_reload_conf()");
    };
    read_only("on");
    while postgres.sql("postgres", "SHOW default_transaction_read_only") != "on" {}
    assert_unavailable(&device.enroll("CN=read-only").await);
    read_only("off");
    device.enroll_in_the_end("CN=read-only").await;

    assert_eq!(estd.operator(&["cert", "list", "--open"]), "");
    let folder = estd.stop();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("the database does not answer") && log.contains("answers again"), "{log}");
    let checked = crate::process::operator(folder.path(), &["store", "check"]);
    eprintln!("{checked}");
}

/// Passes bytes on, those from the database after a delay.
async fn proxy(to: u16, delay: Arc<atomic::AtomicU64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
            let delay = Arc::clone(&delay);
            let ((mut ask, mut answer), (mut from, mut into)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut ask, &mut into).await });
            tokio::spawn(async move {
                let mut bytes = [0; 65_536];
                while let Ok(read @ 1..) = from.read(&mut bytes).await {
                    let pause = Duration::from_millis(delay.load(atomic::Ordering::Relaxed));
                    tokio::time::sleep(pause).await;
                    if answer.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_is_waited_for_and_one_too_slow_is_given_up() {
    let postgres = Postgres::start_tcp(&[]);
    postgres.sql("postgres", "CREATE DATABASE estd");
    let delay = Arc::new(atomic::AtomicU64::new(0));
    let port = proxy(postgres.port, Arc::clone(&delay)).await;
    let estd = Estd::start_in(folder(port, "6s"));
    let device = Device::of(&estd);
    assert_eq!(device.enroll("CN=fast").await.status, 200);

    // A second an answer: each step waits, all of them are answered.
    delay.store(1000, atomic::Ordering::Relaxed);
    let start = Instant::now();
    let reply = device.enroll("CN=slow").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(start.elapsed() > Duration::from_secs(2), "both steps went through it");
    // Concurrent requests share the waiting time.
    let device = Arc::new(device);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let (device, name) = (Arc::clone(&device), format!("CN=slow-{number}"));
        tasks.spawn(async move { (device.enroll(&name).await.status, name) });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|(status, _)| [200, 503].contains(status)), "{answers:?}");
    let good = answers.iter().filter(|(status, _)| *status == 200).count();
    eprintln!("40 at once, 1 s an answer: {good} issued in {:?}", start.elapsed());
    // TLS and requests that need no database are not slowed.
    let start = Instant::now();
    assert_eq!(device.cacerts().await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

    // Slower than the time limit: rejected, and nothing is left incomplete.
    delay.store(10_000, atomic::Ordering::Relaxed);
    assert_unavailable(&device.enroll("CN=stuck").await);
    delay.store(0, atomic::Ordering::Relaxed);
    device.enroll_in_the_end("CN=stuck").await;
    // One that was rejected may have left its record, which its retry takes up.
    for (_, name) in answers.iter().filter(|(status, _)| *status == 503) {
        device.enroll_in_the_end(name).await;
    }
    let stuck = estd.operator(&["cert", "list", "--json", "--subject", "CN=stuck"]);
    assert_eq!(stuck.lines().count(), 1, "the retry took up the first record: {stuck}");
    assert_eq!(estd.operator(&["cert", "list", "--open"]), "");
}
