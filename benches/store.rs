//! Measures an issuance in the sled store, by 1 to 256 writers at once: begin, then complete with a
//! certificate of 1 KiB and an event. Each writer waits until both are durable.
//!
//! `cargo bench --bench store`, with TMPDIR on the disk in question. The time on the CPU is the
//! process's and, of it, the writing thread's, from `/proc/self` in ticks of 10 ms.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not the server")]

use estd::{
    store::{AuditEvents, Conditions, IdempotencyKey, Intent, Issuances, SledStore, Store},
    telemetry::audit::{Event, Name, NoTrail},
    types::{Actor, Operation, RequestId, Serial, Time},
};
use std::{fs, sync::Arc, time::Instant};

const NOW: Time = Time::from_unix(1_795_262_400);

/// Writers, and records in all.
const RUNS: [(u64, u64); 4] = [(1, 4_000), (16, 50_000), (64, 100_000), (256, 150_000)];

/// A cheap stand-in for randomness.
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// As the CA generates them: the second, then randomness.
fn serial(number: u64) -> Serial {
    let mut bytes = vec![1];
    bytes.extend((NOW.unix() + number / 10_000).to_be_bytes().get(3..).unwrap());
    bytes.extend(mix(number).to_be_bytes());
    Serial::parse(&bytes).unwrap()
}

fn intent(number: u64) -> Intent {
    let mut key = [0; 32];
    key.iter_mut().zip(mix(number).to_be_bytes()).for_each(|(byte, from)| *byte = from);
    Intent {
        idempotency_key: IdempotencyKey(key),
        retry_until: Time::from_unix(NOW.unix() + 600),
        tbs: noise(number, 900).into(),
        label: Some("factory".parse().unwrap()),
        operation: Some(Operation::SimpleEnroll),
        subject: format!("CN=device-{number},O=Example"),
        san: vec![format!("dns:device-{number}.example")],
        spki_sha256: [7; 32],
        not_before: NOW,
        not_after: Time::from_unix(NOW.unix() + 86_400 * 90),
        actor: Actor::anonymous(),
        predecessor: None,
        request_id: RequestId::new(number.to_be_bytes()),
        begun: Time::from_unix(NOW.unix() + number / 10_000),
        ..Intent::blank(serial(number), "fleet".parse().unwrap(), "device".parse().unwrap())
    }
}

fn noise(number: u64, bytes: u64) -> Vec<u8> {
    (0..bytes / 8).flat_map(|each| mix(number * 1000 + each).to_be_bytes()).collect()
}

fn event(serial: &Serial, number: u64) -> Event {
    Event::new(NOW, Name::CertificateIssued, Actor::anonymous())
        .request(RequestId::new(number.to_be_bytes()))
        .with("serial", serial)
        .with("subject", format_args!("CN=device-{number},O=Example"))
        .with("profile", "device")
        .with("label", "factory")
}

/// User and system time in microseconds, from a `stat` of proc(5).
fn cpu(stat: &str) -> u64 {
    let fields = fs::read_to_string(stat).unwrap();
    let (_, fields) = fields.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|t| t.parse::<u64>().unwrap()).sum();
    ticks * 10_000
}

/// The file of the writing thread's time.
fn writer() -> String {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let writer = tasks.find(|task| fs::read_to_string(task.join("comm")).unwrap() == "store\n");
    writer.unwrap().join("stat").display().to_string()
}

async fn run(writers: u64, records: u64) {
    let folder = tempfile::TempDir::new().unwrap();
    let store = SledStore::open(folder.path(), 64 << 20, NOW, Arc::new(NoTrail)).unwrap();
    let store = Arc::new(store);
    // A thread sets its own name: it has one once it has replied.
    store.append(Event::new(NOW, Name::ServerStarted, Actor::server())).await.unwrap();
    let thread = writer();
    // Created before the clock starts: only the store's cost is measured.
    let mut inputs: Vec<Vec<_>> = (0..writers).map(|_| Vec::new()).collect();
    for number in 0..records {
        let index = usize::try_from(number % writers).unwrap();
        let input = (intent(number), noise(number + 1, 1024), event(&serial(number), number));
        inputs.get_mut(index).unwrap().push(input);
    }
    let (start, process, writing) = (Instant::now(), cpu("/proc/self/stat"), cpu(&thread));
    let tasks: Vec<_> = inputs
        .into_iter()
        .map(|inputs| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for (intent, certificate, event) in inputs {
                    let serial = intent.serial.clone();
                    store.begin(intent, Conditions::default()).await.unwrap();
                    store.complete(&serial, certificate, event).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let elapsed = start.elapsed();
    let process = cpu("/proc/self/stat") - process;
    let writing = cpu(&thread) - writing;
    let bytes: u64 = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    store.close().await;
    let reopen = Instant::now();
    let store = SledStore::open(folder.path(), 64 << 20, NOW, Arc::new(NoTrail)).unwrap();
    let reopen = reopen.elapsed();
    store.close().await;
    println!(
        "{writers:>4} writers: {:>7.0} records/s, {:>5.1} us CPU a record, of them {:>5.1} the \
         writing thread's; {:>5} bytes of disk a record; opened again in {} ms",
        f64::from(u32::try_from(records).unwrap()) / elapsed.as_secs_f64(),
        f64::from(u32::try_from(process).unwrap()) / f64::from(u32::try_from(records).unwrap()),
        f64::from(u32::try_from(writing).unwrap()) / f64::from(u32::try_from(records).unwrap()),
        bytes / records,
        reopen.as_millis(),
    );
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    for (writers, records) in RUNS {
        runtime.block_on(run(writers, records));
    }
}
