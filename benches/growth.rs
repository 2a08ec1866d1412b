//! Measures a store of many certificates: disk, start, memory, and whether the cost of an enrollment
//! grows with them.
//!
//! `cargo bench --bench growth -- [CERTIFICATES]` (1,000,000 without it), with TMPDIR on the disk in
//! question; takes some minutes and about 10 GB. Each figure of memory is that of a process of its own.
//!
//! `cargo bench --bench growth -- postgres [CERTIFICATES]` (200,000 without it) is the same for a
//! PostgreSQL of its own on this machine, from Debian's package: bytes of each table, of what it
//! writes to its log, and its time on the CPU beside that of the one node that asks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, not the server"
)]

#[path = "../tests/common/postgres.rs"]
mod postgres;

use estd::{
    store::{
        Conditions, Filter, IdempotencyKey, Intent, Issuance, Issuances, Item, PostgresOptions,
        PostgresStore, SledStore, State, Store,
        transfer::{Step, Walk, summarize},
    },
    telemetry::audit::{Event, EventId, Name, NoTrail},
    types::{Actor, AuthMethod, Operation, RequestId, Serial, Time},
};
use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const START: u64 = 1_795_262_400;

/// Certificates issued in one second of the clock. With the window of ten minutes it determines the
/// number of remembered requests (600,000).
const RATE: u64 = 1_000;

/// Issuances measured for one figure of cost, and how many run at once.
const SAMPLE: u64 = 100_000;
const AT_ONCE: u64 = 64;

/// The default of `[store] cache_mib`.
const CACHE: u64 = 64 << 20;

/// A cheap stand-in for randomness.
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let words = (0..bytes as u64 / 8 + 1).flat_map(|word| mix(seed * 1000 + word).to_be_bytes());
    words.take(bytes).collect()
}

const fn time(number: u64) -> Time {
    Time::from_unix(START + number / RATE)
}

/// As the CA generates them: the second in five bytes, then eleven of randomness.
fn serial(number: u64) -> Serial {
    let mut bytes = vec![1];
    bytes.extend(&time(number).unix().to_be_bytes()[3..]);
    bytes.extend(noise(number, 10));
    Serial::parse(&bytes).unwrap()
}

/// An intent of the size that a device's certificate with a P-256 key has.
fn intent(number: u64) -> Intent {
    Intent {
        idempotency_key: IdempotencyKey(noise(number + 1, 32).try_into().unwrap()),
        retry_until: Time::from_unix(time(number).unix() + 600),
        tbs: noise(number + 2, 610).into(),
        label: Some("factory".parse().unwrap()),
        operation: Some(Operation::SimpleEnroll),
        subject: format!("CN=device-{number:08},O=Example"),
        san: vec![format!("dns:device-{number:08}.example")],
        spki_sha256: noise(number + 3, 32).try_into().unwrap(),
        not_before: Time::from_unix(time(number).unix() - 300),
        not_after: Time::from_unix(time(number).unix() + 86_400 * 90),
        actor: Actor { name: "enroll".to_owned(), method: AuthMethod::Password },
        predecessor: None,
        request_id: RequestId::new(mix(number).to_be_bytes()),
        begun: time(number),
        ..Intent::blank(serial(number), "default".parse().unwrap(), "device".parse().unwrap())
    }
}

fn certificate(number: u64) -> Vec<u8> {
    noise(number + 4, 700)
}

fn event(intent: &Intent) -> Event {
    Event::new(intent.begun, Name::CertificateIssued, intent.actor.clone())
        .request(intent.request_id.clone())
        .with("serial", &intent.serial)
        .with("subject", &intent.subject)
        .with("ca", &intent.ca)
        .with("profile", &intent.profile)
        .with_some("label", intent.label.as_ref())
        .with_some("operation", intent.operation)
}

fn open(folder: &Path, number: u64) -> SledStore {
    SledStore::open(folder, CACHE, time(number), Arc::new(NoTrail)).unwrap()
}

/// Returns the bytes of all files.
fn size(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let data = entry.metadata().unwrap();
        bytes += if data.is_dir() { size(&entry.path()) } else { data.len() };
    }
    bytes
}

/// User and system time of this process in microseconds, from proc(5), in ticks of 10 ms.
fn cpu() -> u64 {
    let fields = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = fields.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|t| t.parse::<u64>().unwrap()).sum();
    ticks * 10_000
}

/// The same of a process, its children, and those of them that have ended.
fn cpu_of_all(process: &str) -> u64 {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").unwrap().map(Result::unwrap) {
        // A process that ends meanwhile is counted by its parent.
        let Ok(fields) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let (_, fields) = fields.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let count = match entry.file_name().to_str() {
            Some(name) if name == process => 4,
            _ if fields[1] == process => 2,
            _ => continue,
        };
        ticks += fields[11..11 + count].iter().map(|t| t.parse::<u64>().unwrap()).sum::<u64>();
    }
    ticks * 10_000
}

/// MiB that a process has in memory, and at most had.
fn memory(process: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1024
    };
    format!("{} MiB of memory, at most {}", of("VmRSS:"), of("VmHWM:"))
}

fn ratio(one: u64, other: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a figure to look at")]
    let ratio = one as f64 / other as f64;
    ratio
}

/// Issues the numbers from `first` on as a server does. Returns microseconds of CPU for each, without
/// those of the intents. They are created between the measured parts, a few at a time, so that the
/// measured memory is the store's.
async fn issue<S: Store>(store: &Arc<S>, first: u64, count: u64) -> f64 {
    issue_by(store, AT_ONCE, first, count).await
}

async fn issue_by<S: Store>(store: &Arc<S>, at_once: u64, first: u64, count: u64) -> f64 {
    const STEP: u64 = 4096;
    let mut used = 0;
    for start in (first..first + count).step_by(usize::try_from(STEP).unwrap()) {
        let mut inputs: Vec<VecDeque<_>> = (0..at_once).map(|_| VecDeque::new()).collect();
        for number in start..(start + STEP).min(first + count) {
            let intent = intent(number);
            let event = event(&intent);
            let place = usize::try_from(number % at_once).unwrap();
            inputs[place].push_back((intent, certificate(number), event));
        }
        let before = cpu();
        let mut tasks = JoinSet::new();
        for inputs in inputs {
            let store = Arc::clone(store);
            tasks.spawn(async move {
                for (intent, certificate, event) in inputs {
                    let serial = intent.serial.clone();
                    store.begin(intent, Conditions::default()).await.unwrap();
                    store.complete(&serial, certificate, event).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        used += cpu() - before;
    }
    ratio(used, count)
}

/// One node over a PostgreSQL of its own.
async fn on_postgres(count: u64) {
    let server = postgres::Postgres::start();
    server.sql("postgres", "CREATE DATABASE estd");
    let connection =
        format!("host={} dbname=estd user=estd sslmode=disable", server.socket().display());
    let store = PostgresStore::open(
        PostgresOptions {
            connection: connection.parse().unwrap(),
            anchors: Vec::new(),
            connections: 8,
            patience: Duration::from_secs(30),
        },
        Arc::new(NoTrail),
    );
    let store = Arc::new(store.await.unwrap());
    let postmaster = fs::read_to_string(server.data().join("postmaster.pid")).unwrap();
    let postmaster = postmaster.lines().next().unwrap();
    let sql = |sql: &str| server.sql("estd", sql);
    let log = || sql("SELECT pg_current_wal_insert_lsn() - '0/0'").parse::<u64>().unwrap();
    println!("{}, full_page_writes {}", sql("SELECT version()"), sql("SHOW full_page_writes"));

    let mut first = 0;
    // Warms up: prepares the statements and fills the caches.
    issue(&store, first, 5_000).await;
    first += 5_000;
    for (at_once, part) in [(1, 3_000), (16, 20_000), (64, count / 2), (256, count / 2)] {
        sql("CHECKPOINT");
        let (start, cpu, logged) = (Instant::now(), cpu_of_all(postmaster), log());
        let own = issue_by(&store, at_once, first, part).await;
        first += part;
        let seconds = start.elapsed().as_secs_f64();
        let logged = ratio(log() - logged, part);
        let database = ratio(cpu_of_all(postmaster) - cpu, part);
        let rate = 1.0 / seconds * ratio(part, 1);
        println!(
            "{at_once:>4} at once: {rate:>6.0} issuances a second; us of CPU each: {own:.1} of the \
             node, {database:.1} of the database; {logged:.0} bytes of its log each"
        );
    }
    store.close().await;
    for stage in ["as issued", "after VACUUM", "after VACUUM FULL"] {
        if let Some(vacuum) = stage.strip_prefix("after ") {
            sql(vacuum);
        }
        for table in ["issuance", "request", "event"] {
            let of = |what: &str| sql(&format!("SELECT {what}('{table}')")).parse::<u64>().unwrap();
            println!(
                "{stage}: {table}: {:.0} bytes a certificate, of them {:.0} indexes",
                ratio(of("pg_total_relation_size"), first),
                ratio(of("pg_indexes_size"), first),
            );
        }
    }
}

/// Runs a part of this in a process of its own.
fn part(arguments: &[&str]) {
    let status = Command::new(std::env::current_exe().unwrap()).args(arguments).status().unwrap();
    assert!(status.success());
}

async fn fresh(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path(), 0));
    let cost = issue(&store, 0, SAMPLE).await;
    println!("{name}: {cost:.1} us of CPU an issuance in an empty store");
    store.close().await;
}

/// Measures opening a store, and issuing from it then.
async fn opened(name: &str, folder: &Path, number: u64, measure: bool) {
    let start = Instant::now();
    let store = Arc::new(open(folder, number));
    let elapsed = start.elapsed();
    println!("{name}: opened in {:.2} s, {}", elapsed.as_secs_f64(), memory("self"));
    if measure {
        let cost = issue(&store, number, SAMPLE).await;
        println!("{name}: {cost:.1} us of CPU an issuance, {}", memory("self"));
    }
    store.close().await;
}

async fn fill(folder: &Path, count: u64) {
    let store = Arc::new(open(folder, 0));
    let start = Instant::now();
    let mut first = 0;
    while first < count {
        let step = SAMPLE.min(count - first);
        let cost = issue(&store, first, step).await;
        first += step;
        println!("  {first:>8} stored: the last {step} took {cost:.1} us of CPU each");
    }
    println!("filled in {:.0} s, {}", start.elapsed().as_secs_f64(), memory("self"));
    store.close().await;
    println!("filled: {:.0} bytes of disk a certificate", ratio(size(folder), count));
}

async fn compact(folder: &Path, number: u64) {
    let start = Instant::now();
    let mut ignore = |_: Step, _: u64| {};
    let compacted = SledStore::compact(folder, CACHE, time(number), &mut ignore).await.unwrap();
    println!(
        "compacted in {:.0} s from {} to {} bytes; {}: {:.0} bytes of disk a certificate; {}",
        start.elapsed().as_secs_f64(),
        compacted.before,
        compacted.after,
        compacted.summary.counts,
        ratio(compacted.after, compacted.summary.counts.issuances),
        memory("self"),
    );
}

/// The same items in the order of their keys, as an import brings them.
async fn imported(count: u64) {
    let folder = tempfile::tempdir().unwrap();
    // Long after: every retry window is over.
    let store = open(folder.path(), count + 3600 * RATE);
    let mut items = Vec::new();
    let start = Instant::now();
    for number in 0..count {
        let intent = intent(number);
        let event = Item::Event(EventId { writer: 1, number: number + 1 }, event(&intent));
        let record = Issuance {
            state: State::Issued,
            certificate: certificate(number),
            ended: Some(intent.begun),
            revocation: None,
            intent: Intent { tbs: Arc::default(), ..intent },
        };
        items.extend([Item::Issuance(Arc::new(record)), event]);
        if items.len() == 1000 {
            store.import(std::mem::take(&mut items)).await.unwrap();
        }
    }
    store.import(items).await.unwrap();
    store.close().await;
    println!(
        "imported in {:.0} s: {:.0} bytes of disk a certificate",
        start.elapsed().as_secs_f64(),
        ratio(size(folder.path()), count)
    );
}

/// The program itself with this store.
fn serve(data: &Path) {
    let folder = data.parent().unwrap();
    let example = include_str!("../est.toml");
    let text = example.replace("0.0.0.0:8443", "127.0.0.1:0");
    fs::write(folder.join("est.toml"), text).unwrap();
    let start = Instant::now();
    let mut estd = Command::new(env!("CARGO_BIN_EXE_estd"))
        .arg("serve")
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(estd.stdout.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap().starts_with('{'));
    assert!(ready);
    let elapsed = start.elapsed().as_secs_f64();
    println!("estd serve: ready in {elapsed:.2} s, {}", memory(&estd.id().to_string()));
    Command::new("kill").arg(estd.id().to_string()).status().unwrap();
    assert!(estd.wait().unwrap().success());
}

async fn whole(folder: &Path) {
    let store = open(folder, u64::MAX / 2 / RATE);
    let start = Instant::now();
    let mut ignore = |_: Step, _: u64| {};
    let summary = summarize(&mut Walk::new(&(&store as &dyn Store)), &mut ignore).await.unwrap();
    println!(
        "read in {:.1} s: {}, SHA-256 {}; {}",
        start.elapsed().as_secs_f64(),
        summary.counts,
        summary.digest,
        memory("self")
    );
    assert!(store.list(&Filter::default(), None, 1).await.unwrap().len() == 1);
    store.close().await;
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    // `cargo bench` adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match arguments[..] {
        ["postgres"] => runtime.block_on(on_postgres(200_000)),
        [] | [_] => {
            let count = arguments.first().map_or(1_000_000, |count| number(count));
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().join("data");
            fs::create_dir(&data).unwrap();
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(&data, private).unwrap();
            let store = data.join("store");
            let (store, text) = (store.to_str().unwrap(), count.to_string());
            let more = (count + SAMPLE).to_string();
            part(&["fresh", "before"]);
            part(&["fill", store, &text]);
            part(&["open", store, &text, "again"]);
            part(&["cost", store, &text, "filled"]);
            part(&["compact", store, &more]);
            part(&["open", store, &more, "compact"]);
            serve(&data);
            part(&["cost", store, &more, "compact"]);
            part(&["fresh", "after"]);
            part(&["whole", store]);
            part(&["import", &text]);
        }
        ["postgres", count] => runtime.block_on(on_postgres(number(count))),
        ["fresh", name] => runtime.block_on(fresh(name)),
        ["fill", folder, count] => runtime.block_on(fill(Path::new(folder), number(count))),
        ["open", folder, at, name] => {
            runtime.block_on(opened(name, Path::new(folder), number(at), false));
        }
        ["cost", folder, at, name] => {
            runtime.block_on(opened(name, Path::new(folder), number(at), true));
        }
        ["compact", folder, at] => runtime.block_on(compact(Path::new(folder), number(at))),
        ["whole", folder] => runtime.block_on(whole(Path::new(folder))),
        ["import", count] => runtime.block_on(imported(number(count))),
        _ => println!("usage: growth [postgres] [CERTIFICATES]"),
    }
}
