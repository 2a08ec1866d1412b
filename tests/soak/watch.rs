//! The process from outside: memory, open files, CPU; and SIGHUP while it works.

use crate::{common::Connection, load::Ledger, process::Estd};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

/// Connections to a database, which are opened on demand and stay open.
pub(crate) const POOL: usize = 8;

/// Allowed growth of the memory from the second quarter to the last, and along a line through the
/// last three, in KiB. It covers sled's cache (4 MiB), sled's index (some 120 bytes a certificate:
/// 200 MiB for a million, see docs/performance.md), and the allocator's free blocks. It does not
/// depend on the length: over an hour it is 80 bytes a request.
const GROWTH: f64 = 12.0 * 1024.0;

/// Allowed growth from the first quarter to the last, in KiB. The first quarter fills bounded
/// memory: password checks (19 MiB for each core, of eight at most), the requests of a retry
/// window (10 minutes), sled's cache, a heap for each thread.
fn filled() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (26.0 + 19.0 * cores.min(8) as f64) * 1024.0
}

/// A snapshot of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Resident, KiB.
    memory: u64,
    pub files: usize,
    threads: u64,
    /// User and system, in hundredths of a second.
    cpu: u64,
    certificates: usize,
    requests: usize,
}

pub(crate) fn look(pid: u32) -> Sample {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Skip the name, which may contain any character: utime and stime are fields 14 and 15.
    let cpu: u64 = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Sample {
        memory: field("VmRSS:"),
        files: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        threads: field("Threads:"),
        cpu,
        certificates: 0,
        requests: 0,
    }
}

/// One sample a second.
pub(crate) async fn sample(pid: u32, ledger: &Ledger, end: Instant) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    while Instant::now() < end {
        pace.tick().await;
        let (requests, certificates) = ledger.counts();
        samples.push(Sample { certificates, requests, ..look(pid) });
    }
    samples
}

/// Samples the process once it has at most `files` open files, or after a minute.
pub(crate) async fn look_when_idle(pid: u32, files: usize) -> Sample {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = look(pid);
        if now.files <= files || Instant::now() > deadline {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Repeatedly changes est.toml, sends SIGHUP and checks that the change is in force. Returns the
/// number of reloads.
pub(crate) async fn reload(
    estd: &Estd,
    path: &Path,
    ledger: &Ledger,
    every: Duration,
    end: Instant,
) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let timeout = "header_timeout = \"30s\"";
    assert!(text.contains(timeout));
    let other = text.replace(timeout, "header_timeout = \"29s\"") + "\n[label.now]\n";
    let mut reloads = 0;
    let mut pace = tokio::time::interval(every);
    pace.tick().await;
    while Instant::now() + every < end {
        pace.tick().await;
        reloads += 1;
        let (text, expected) = if reloads % 2 == 1 { (&other, 200) } else { (&text, 404) };
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, path).unwrap();
        estd.signal("HUP");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let status = label(estd.port).await;
            if status == 404 {
                ledger.path_rejected();
            }
            if status == expected {
                break;
            }
            if Instant::now() > deadline {
                ledger.error(format!("reload {reloads} is not in force: {status}"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    reloads
}

/// Returns the status of /cacerts under the label that the reloads add and remove.
async fn label(port: u16) -> u16 {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection = Connection::open(address, None, &[&rustls::version::TLS13]).await.unwrap();
    let bytes = "GET /.well-known/est/now/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.send(bytes).await.status
}

/// The slope of a line through `points` by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    above / below
}

/// Returns the smallest sample: the memory without the short-lived part of single requests. Leaks
/// raise every sample, hence this one. So does a block that the allocator keeps for the quarter.
fn floor(samples: &[Sample]) -> f64 {
    samples.iter().map(|sample| sample.memory).min().unwrap() as f64
}

/// Prints memory and open files over time, and notes each growth beyond its limit.
pub(crate) fn judge(before: &Sample, samples: &[Sample], after: &Sample, ledger: &Ledger) {
    let quarter = samples.len() / 4;
    let quarters: Vec<&[Sample]> = samples.chunks(quarter).take(4).collect();
    let memory: Vec<f64> = quarters.iter().map(|quarter| floor(quarter)).collect();
    let mib = |kib: f64| kib / 1024.0;
    eprintln!(
        "  memory: {:.1} MiB at the start; least of each quarter {}; at most {:.1}; {:.1} at the end",
        mib(before.memory as f64),
        memory.iter().map(|kib| format!("{:.1}", mib(*kib))).collect::<Vec<_>>().join(", "),
        mib(samples.iter().map(|sample| sample.memory).max().unwrap() as f64),
        mib(after.memory as f64),
    );
    let later = &samples[quarter..];
    let slice = later.len() / 6;
    let points: Vec<(f64, f64)> = later
        .chunks_exact(slice)
        .enumerate()
        .map(|(number, samples)| ((number * slice) as f64, floor(samples)))
        .collect();
    let slope = slope(&points);
    let (first, last) = (later[0], later[later.len() - 1]);
    eprintln!(
        "  memory, a line through the last three quarters: {:+.2} MiB an hour; {:+.0} bytes a request, {:+.0} a certificate",
        mib(slope * 3600.0),
        slope * 1024.0 * later.len() as f64 / (last.requests - first.requests) as f64,
        slope * 1024.0 * later.len() as f64 / (last.certificates - first.certificates) as f64,
    );
    // Connections open and close: a leak raises the minimum.
    let files = |quarter: &[Sample]| quarter.iter().map(|sample| sample.files).min().unwrap();
    let threads = |quarter: &[Sample]| quarter.iter().map(|sample| sample.threads).max().unwrap();
    eprintln!(
        "  open files: {} at the start, at least {} in the first quarter and {} in the last, {} at the end; threads at most {}, {}",
        before.files,
        files(quarters[0]),
        files(quarters[3]),
        after.files,
        threads(quarters[0]),
        threads(quarters[3]),
    );
    eprintln!("  CPU of the server: {:.1} s", (after.cpu - before.cpu) as f64 / 100.0);

    for (from, allowed) in [(0, filled()), (1, GROWTH)] {
        let growth = memory[3] - memory[from];
        if growth > allowed {
            let from = from + 1;
            ledger.error(format!("memory grew by {:.1} MiB since quarter {from}", mib(growth)));
        }
    }
    if slope * later.len() as f64 > GROWTH {
        ledger.error(format!("memory grows by {:.1} MiB an hour", mib(slope * 3600.0)));
    }
    // At the start no device has a connection; later each has one, sometimes two.
    if files(quarters[3]) > files(quarters[0]) + 2 * crate::DEVICES {
        ledger.error("more open files in the last quarter than in the first".to_owned());
    }
    if after.files > before.files + POOL {
        ledger.error(format!("{} open files stay, {} at the start", after.files, before.files));
    }
}
