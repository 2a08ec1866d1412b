//! Mixed load over a long time on both backends at once. Memory and files stay flat, devices see no
//! errors but those they cause, and every certificate is accounted for.
//!
//! ```sh
//! cargo test --test soak -- --nocapture                    # two minutes
//! cargo build --release
//! ESTD_SOAK_SECONDS=3600 ESTD_SOAK_BIN=target/release/estd cargo test --test soak -- --nocapture
//! ```
//!
//! The pace is bounded: the test measures leaks over an hour, not speed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test stops at the first surprise; the figures are far below any limit"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "made for the tests of interop, which need all of it")]
#[path = "../interop/process.rs"]
mod process;

mod accounts;
mod load;
mod watch;

use load::{Ledger, Target};
use process::Estd;
use std::{
    fs,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use watch::Sample;

/// Devices on each backend, each with a connection that it keeps.
const DEVICES: usize = 12;

/// Requests a second on each backend, of all devices together.
const PACE: f64 = 60.0;

/// A server under load, and the ledger of its devices.
struct Run {
    backend: &'static str,
    estd: Estd,
    target: Arc<Target>,
    ledger: Arc<Ledger>,
}

fn length() -> Duration {
    let seconds = std::env::var("ESTD_SOAK_SECONDS").map_or(120, |text| text.parse().unwrap());
    assert!(seconds >= 60, "ESTD_SOAK_SECONDS: 60 or more, for the quarters to mean something");
    Duration::from_secs(seconds)
}

/// est.toml with another table `[store]`, a label under which a device may ask for any names, and
/// this `retry_window`.
fn folder(store: &str, window: Duration) -> TempDir {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    let window = format!("retry_window = \"{}s\"", window.as_secs());
    for (old, new) in [
        ("backend = \"sled\"", store),
        ("cache_mib = 64", ""),
        ("retry_window = \"10m\"", &window),
        // The checks read all events from one file.
        ("max_mib = 32 ", "max_mib = 0 "),
        // All devices come from one address, and some of their passwords are wrong.
        ("failures_per_account = 20", "failures_per_account = 1000000"),
        ("failures_per_address = 60", "failures_per_address = 1000000"),
    ] {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    text.push_str(&format!("\n[label.line]\nnames.mode = \"any\"\n{window}\n"));
    fs::write(path, text).unwrap();
    folder
}

fn start(backend: &'static str, store: &str, window: Duration) -> Run {
    let program = std::env::var("ESTD_SOAK_BIN")
        .map_or_else(|_| env!("CARGO_BIN_EXE_estd").into(), |path| fs::canonicalize(path).unwrap());
    let estd = Estd::start_by(Command::new(program), folder(store, window));
    let target = Target { port: estd.port, password: estd.password.clone(), window };
    Run { backend, estd, target: Arc::new(target), ledger: Arc::default() }
}

/// Runs all devices, the reloads and the samples for `length`. Returns the samples and the number of
/// reloads.
async fn load(run: &Run, length: Duration) -> (Vec<Sample>, u64) {
    let devices = load::devices(DEVICES, &run.target, &run.ledger).await;
    let end = Instant::now() + length;
    let tick = Duration::from_secs_f64(DEVICES as f64 / PACE);
    let workers: Vec<_> =
        devices.into_iter().map(|device| tokio::spawn(device.work(tick, end))).collect();
    let every = Duration::from_secs(if length >= Duration::from_secs(600) { 60 } else { 15 });
    let path = run.estd.path("est.toml");
    let (samples, reloads) = tokio::join!(
        watch::sample(run.estd.pid(), &run.ledger, end),
        watch::reload(&run.estd, &path, &run.ledger, every, end),
    );
    for worker in workers {
        if let Err(error) = worker.await {
            run.ledger.error(format!("a device panicked: {error}"));
        }
    }
    (samples, reloads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_load_leaves_nothing_behind_and_loses_nothing() {
    let length = length();
    // The windows end long before the memory is compared with its earlier values.
    let window = (length / 12).min(Duration::from_secs(600));
    let database = postgres::Postgres::start();
    database.sql("postgres", "CREATE DATABASE soak");
    let connection = format!(
        "host={} port={} dbname=soak user=estd",
        database.socket().display(),
        database.port
    );
    let runs = [
        // A small cache is full soon: later growth is not the cache's.
        start("sled", "backend = \"sled\"\ncache_mib = 4", window),
        start(
            "postgres",
            &format!("backend = \"postgres\"\nconnection = \"{connection}\""),
            window,
        ),
    ];
    let before: Vec<_> = runs.iter().map(|run| watch::look(run.estd.pid())).collect();
    let watched = tokio::join!(load(&runs[0], length), load(&runs[1], length));

    let mut errors = Vec::new();
    for ((run, (samples, reloads)), before) in
        runs.into_iter().zip([watched.0, watched.1]).zip(before)
    {
        let after = watch::look_when_idle(run.estd.pid(), before.files + watch::POOL).await;
        eprintln!("{}, {} s, {} devices", run.backend, length.as_secs(), DEVICES);
        run.ledger.print(length);
        watch::judge(&before, &samples, &after, &run.ledger);
        accounts::close(run.estd, &run.ledger, reloads);
        let found = run.ledger.errors();
        eprintln!("  {} errors", found.len());
        errors.extend(found.into_iter().map(|error| format!("{}: {error}", run.backend)));
    }
    assert!(
        errors.is_empty(),
        "{} errors:\n{}",
        errors.len(),
        errors[..errors.len().min(40)].join("\n")
    );
}
