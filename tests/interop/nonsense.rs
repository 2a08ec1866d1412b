//! Output caused by clients without credentials (attack 3). The audit file, standard error and the
//! store together grow by at most 1 MiB a minute. Omitted events are counted, and the event of a good
//! client is in the audit file at once.
//!
//! Three seconds by default; the minute of the requirement:
//! `ESTD_NONSENSE_SECONDS=60 cargo test --release --test interop nonsense -- --nocapture`

use crate::{
    common::{Connection, basic, new_csr, post},
    process::{Estd, good},
};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Connections at once.
const CONNECTIONS: usize = 100;

/// Bytes of all files below a folder, and of a file.
fn size(path: &Path) -> u64 {
    if !path.is_dir() {
        return fs::metadata(path).map_or(0, |found| found.len());
    }
    fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path())).sum()
}

/// The program with the default log level.
fn start() -> Estd {
    let mut command = Command::new("sh");
    command.args(["-c", "ESTD_LOG=info exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_estd")]);
    Estd::start_by(command, Estd::folder("[\"localhost\"]"))
}

/// Each line of the audit file.
fn audit(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("data/audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends nonsense over one connection after the other until the end; counts what was rejected.
async fn nonsense(
    address: SocketAddr,
    number: usize,
    csr: Arc<Vec<u8>>,
    end: Instant,
    rejected: Arc<AtomicU64>,
) {
    let long = "%E2%80%AE".repeat(100);
    let requests = [
        "GET /.well-known/est/nowhere/cacerts HTTP/1.1\r\nHost: a\r\n\r\n".to_owned().into_bytes(),
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        "BREW /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n".to_owned().into_bytes(),
        post("simpleenroll", &csr, &basic("\u{202e}nobody", "wrong")),
        post("simpleenroll", b"", "Authorization: Basic ====\r\n"),
        post("simpleenroll", &csr, "Authorization: Digest nonsense\r\n"),
    ];
    'connections: while Instant::now() < end {
        if number.is_multiple_of(10) {
            // No TLS at all.
            if let Ok(mut stream) = TcpStream::connect(address).await {
                let _ = stream.write_all(&[b'x'; 600]).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
            continue;
        }
        let versions = &[&rustls::version::TLS13];
        let Ok(mut connection) = Connection::open(address, None, versions).await else { continue };
        for request in requests.iter().cycle().skip(number).take(200) {
            if Instant::now() >= end {
                break 'connections;
            }
            let Some(reply) = connection.try_send(request).await else { continue 'connections };
            assert!(reply.status >= 400, "{}", reply.start);
            rejected.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_nonsense_fills_neither_audit_file_nor_log_nor_store() {
    let seconds = std::env::var("ESTD_NONSENSE_SECONDS").map_or(3, |text| text.parse().unwrap());
    let estd = start();
    let address = SocketAddr::from(([127, 0, 0, 1], estd.port));
    let parts = ["data/audit.jsonl", "log", "data/store"];
    let sizes = |folder: &Path| parts.map(|part| size(&folder.join(part)));
    let before = sizes(estd.folder.path());

    let rejected = Arc::new(AtomicU64::new(0));
    let csr = Arc::new(new_csr(&["-subj", "/CN=nonsense"]).0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            tokio::spawn(nonsense(address, number, Arc::clone(&csr), end, Arc::clone(&rejected)))
        })
        .collect();
    // A good client meanwhile.
    let mut est =
        estd.est(&["enroll", "--user", "enroll", "--subject", "CN=good", "--out", "good"]);
    let enrolled = tokio::task::spawn_blocking(move || est.output().unwrap());
    good("est enroll", enrolled.await.unwrap());
    let is_good = |event: &serde_json::Value| event["details"]["subject"] == "CN=good";
    let since = Instant::now();
    while !audit(estd.folder.path()).iter().any(is_good) {
        assert!(since.elapsed() < Duration::from_secs(1), "the good client is not in the trail");
        tokio::task::yield_now().await;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let after = sizes(estd.folder.path());
    let grown: Vec<u64> =
        after.iter().zip(before).map(|(now, then)| now.saturating_sub(then)).collect();
    let rejected = rejected.load(Ordering::Relaxed);
    eprintln!("{rejected} rejections in {seconds} s; grown by {grown:?} bytes: {parts:?}");
    assert!(rejected > 30 * seconds, "{rejected} rejections are no flood");
    assert!(grown.iter().sum::<u64>() <= 1 << 20, "{grown:?}");

    let status: serde_json::Value =
        serde_json::from_str(&estd.operator(&["status", "--json"])).unwrap();
    assert!(status["left_out"]["rejections"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(status["left_out"]["lost"], 0);
    assert!(estd.operator(&["status"]).contains(" rejections summed up, 0 events lost"));

    // Requests without a line are counted, to the last one.
    let folder = estd.stop();
    let events = audit(folder.path());
    let is = |event: &serde_json::Value, name: &str| event["event"] == name;
    let lines = events
        .iter()
        .filter(|event| is(event, "request.rejected") || is(event, "enrollment.rejected"))
        .count() as u64;
    let summed: u64 = events
        .iter()
        .filter(|event| is(event, "request.summary"))
        .map(|event| event["details"]["rejections"].as_str().unwrap().parse::<u64>().unwrap())
        .sum();
    // A reply that the end of the test cut off is counted by the server only.
    let counted = lines + summed;
    assert!((rejected..=rejected + CONNECTIONS as u64).contains(&counted), "{counted} {rejected}");
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("more like these from 127.0.0.1"), "{log}");
    assert!(log.is_ascii() && !log.contains("panicked"), "{log}");
}
