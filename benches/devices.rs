//! Measures the registry on sled: the import of devices, good requests meanwhile, the start, memory, and lists of
//! certificates by what the index knows.
//!
//! `cargo bench --bench devices -- [NUMBER]` (1,000,000 devices and certificates without it), with TMPDIR on the
//! disk in question: about 3 GB.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, not the server"
)]

use estd::{
    store::{
        Begun, Conditions, Device, DeviceStanding, Devices, Filter, IdempotencyKey, Intent,
        Issuance, Issuances, SledStore, State, Store,
    },
    telemetry::audit::{Event, Name, NoTrail},
    types::{Actor, Serial, Time},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Time = Time::from_unix(1_795_262_400);

/// Devices of one call.
const PIECE: u32 = 1000;

fn device(number: u32) -> Device {
    Device {
        id: format!("device-{number:08}").parse().unwrap(),
        // In no order, as serial numbers of manufacturers are.
        identifiers: vec![
            format!("serial:acme:{:08x}", number.wrapping_mul(2_654_435_761)).parse().unwrap(),
        ],
        labels: Some(vec!["factory".parse().unwrap()]),
        quota: None,
        from: None,
        until: None,
        tags: [("site".to_owned(), (number % 100).to_string())].into(),
        standing: DeviceStanding::Enabled,
        registered: NOW,
    }
}

fn intent(number: u64) -> Intent {
    let mut serial = vec![1; 4];
    serial.extend(number.to_be_bytes());
    serial.extend([7; 8]);
    let mut key = [1; 32];
    key[..8].copy_from_slice(&number.wrapping_mul(11_400_714_819_323_198_485).to_be_bytes());
    let mut predecessor = serial.clone();
    predecessor[4..12].copy_from_slice(&number.saturating_sub(1).to_be_bytes());
    Intent {
        idempotency_key: IdempotencyKey(key),
        tbs: vec![0x30; 700].into(),
        spki_sha256: key,
        not_before: NOW,
        not_after: NOW.plus(Duration::from_secs(90 * 86_400 + number)),
        predecessor: (number % 2 == 1).then(|| Serial::parse(&predecessor).unwrap()),
        device: Some(format!("device-{:08}", number / 2).parse().unwrap()),
        subject: format!("CN=device-{:08}", number / 2),
        retry_until: NOW.plus(Duration::from_secs(60)),
        begun: NOW,
        ..Intent::blank(
            Serial::parse(&serial).unwrap(),
            "default".parse().unwrap(),
            "device".parse().unwrap(),
        )
    }
}

fn event() -> Event {
    Event::new(NOW, Name::ServerStarted, Actor::server())
}

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder, 64 << 20, NOW, Arc::new(NoTrail)).unwrap()
}

/// Resident memory in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Enrolls one after the other until it must stop, and returns the longest and the median time.
async fn enroll(store: Arc<SledStore>, stop: Arc<AtomicBool>) -> (Duration, Duration, usize) {
    let mut times = Vec::new();
    let mut number = 1 << 40;
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let conditions = Conditions { quota: Some(2), own_key: true, ..Conditions::default() };
        let intent = Intent { predecessor: None, ..intent(number) };
        assert_eq!(store.begin(intent.clone(), conditions).await.unwrap(), Begun::New);
        store.complete(&intent.serial, vec![0x31; 800], event()).await.unwrap();
        times.push(start.elapsed());
        number += 2;
    }
    times.sort();
    (*times.last().unwrap(), times[times.len() / 2], times.len())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [_, open, folder, number] = &arguments[..]
        && open == "open"
    {
        return runtime.block_on(measure_open(folder.as_ref(), number.parse().unwrap()));
    }
    let number = arguments.get(1).and_then(|arg| arg.parse().ok()).unwrap_or(1_000_000_u32);
    runtime.block_on(measure(number));
}

async fn measure(number: u32) {
    let folder = tempfile::TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let stop = Arc::new(AtomicBool::new(false));
    let requests = tokio::spawn(enroll(Arc::clone(&store), Arc::clone(&stop)));
    let start = Instant::now();
    let import = store.begin_import().await.unwrap();
    for first in (0..number).step_by(PIECE as usize) {
        let piece = (first..number.min(first + PIECE)).map(device).collect();
        store.stage_devices(import, piece).await.unwrap();
    }
    store.finish_import(import, event()).await.unwrap();
    println!("{number} devices imported in {:.1?}", start.elapsed());
    stop.store(true, Ordering::Relaxed);
    let (longest, median, count) = requests.await.unwrap();
    println!("{count} enrollments meanwhile: median {median:.1?}, longest {longest:.1?}");

    let mut items = Vec::new();
    for number in 0..u64::from(number) {
        let mut record = Issuance::from(intent(number));
        record.intent.tbs = Vec::new().into();
        record.state = State::Issued;
        record.certificate = vec![0x31; 600];
        record.ended = Some(NOW);
        items.push(estd::store::Item::Issuance(Arc::new(record)));
        if items.len() == 500 {
            store.import(std::mem::take(&mut items)).await.unwrap();
        }
    }
    store.import(items).await.unwrap();
    store.close().await;
    drop(store);
    open(folder.path()).close().await;
    // Another process: this one's memory has what the import left.
    let folder = folder.path().to_str().unwrap();
    let own = std::env::current_exe().unwrap();
    let status =
        std::process::Command::new(own).args(["open", folder, &number.to_string()]).status();
    assert!(status.unwrap().success());
}

/// Measures an existing store.
async fn measure_open(folder: &Path, number: u32) {
    let start = Instant::now();
    let store = open(folder);
    println!("started in {:.1?}, resident {} MiB", start.elapsed(), resident());
    let middle = u64::from(number) / 2;
    let one = intent(middle | 1);
    let filters = [
        ("device", Filter { device: one.device.clone(), ..Filter::default() }),
        ("key", Filter { key: Some(one.spki_sha256), ..Filter::default() }),
        ("predecessor", Filter { predecessor: one.predecessor.clone(), ..Filter::default() }),
        (
            "expires in the last minute",
            Filter {
                expires_from: Some(
                    NOW.plus(Duration::from_secs(90 * 86_400 + u64::from(number) - 60)),
                ),
                ..Filter::default()
            },
        ),
        (
            "expires before the end",
            Filter {
                expires_before: Some(
                    NOW.plus(Duration::from_secs(90 * 86_400 + u64::from(number))),
                ),
                ..Filter::default()
            },
        ),
        ("revoked", Filter { state: Some(State::Revoked), ..Filter::default() }),
    ];
    for (name, filter) in filters {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..11 {
            let start = Instant::now();
            found = store.list(&filter, None, 50).await.unwrap().len();
            times.push(start.elapsed());
        }
        times.sort();
        println!("list by {name}: {found} in {:.2?} (longest {:.2?})", times[5], times[10]);
    }
    println!("resident at the end: {} MiB", resident());
    store.close().await;
}
