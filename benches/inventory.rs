//! Measures finding certificates in a large store: each condition is a walk through all records.
//! Measures also the time of an enrollment's two commits during such a walk.
//!
//! `cargo bench --bench inventory -- [CERTIFICATES]` (1,000,000 without it), with TMPDIR on the disk
//! in question: about 2 GB. Needs openssl.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, not the server"
)]

use estd::{
    admin::{Admin, Handle},
    api::{CertificateQuery, ListRenewed},
    clock::SystemClock,
    entropy::SystemEntropy,
    store::{
        Conditions, IdempotencyKey, Intent, Issuance, Issuances, Item, SledStore, State, Store,
    },
    telemetry::audit::{Event, Name, NoTrail},
    types::{Actor, AuthMethod, Operation, RequestId, Serial, Time},
};
use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const START: u64 = 1_795_262_400;

/// A certificate like a device's: a walk that reads names parses it.
fn certificate() -> Vec<u8> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.args(["-nodes", "-keyout", "/dev/null", "-outform", "DER", "-days", "90"]);
    openssl.args(["-subj", "/O=Example/CN=device-0000000"]);
    openssl.args(["-addext", "subjectAltName=DNS:device-0000000.plant.example"]);
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn serial(number: u64) -> Serial {
    let mut bytes = vec![1; 4];
    bytes.extend(number.to_be_bytes());
    bytes.extend([7; 8]);
    Serial::parse(&bytes).unwrap()
}

/// Every second one renews the one before.
fn intent(number: u64) -> Intent {
    let mut key = [1; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    let begun = Time::from_unix(START + number / 100);
    Intent {
        idempotency_key: IdempotencyKey(key),
        retry_until: begun,
        tbs: Vec::new().into(),
        label: Some("factory".parse().unwrap()),
        operation: Some(Operation::SimpleEnroll),
        subject: format!("CN=device-{number:07},O=Example"),
        san: vec![format!("dns:device-{number:07}.plant.example")],
        spki_sha256: key,
        not_before: begun,
        not_after: begun.plus(Duration::from_secs(90 * 86_400)),
        actor: Actor { name: "enroll".to_owned(), method: AuthMethod::Password },
        predecessor: (number % 2 == 1).then(|| serial(number - 1)),
        request_id: RequestId::new(number.to_be_bytes()),
        begun,
        ..Intent::blank(serial(number), "default".parse().unwrap(), "device".parse().unwrap())
    }
}

async fn fill(store: &SledStore, count: u64) {
    let (start, der) = (Instant::now(), certificate());
    let mut items = Vec::new();
    for number in 0..count {
        let intent = intent(number);
        items.push(Item::Issuance(Arc::new(Issuance {
            state: State::Issued,
            certificate: der.clone(),
            ended: Some(intent.begun),
            revocation: None,
            intent,
        })));
        if items.len() == 1000 {
            store.import(std::mem::take(&mut items)).await.unwrap();
        }
    }
    store.import(items).await.unwrap();
    println!("filled with {count} in {:.0} s", start.elapsed().as_secs_f64());
}

/// Prints the number of matches, the number of calls, and the time of the longest call.
async fn walk(admin: &Admin, name: &str, mut query: CertificateQuery) {
    query.limit = Some(1000);
    let (start, mut found, mut calls, mut longest) = (Instant::now(), 0, 0, Duration::ZERO);
    loop {
        let call = Instant::now();
        let page = query.clone().handle(admin, &Actor::server()).await.unwrap();
        (calls, longest) = (calls + 1, longest.max(call.elapsed()));
        found += page.certificates.len();
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    println!(
        "{name:<44} {:>6.2} s, {found} found, {calls} calls, the longest {:.0} ms; {}",
        start.elapsed().as_secs_f64(),
        longest.as_secs_f64() * 1000.0,
        memory()
    );
}

async fn renewed(admin: &Admin) {
    let (start, mut found, mut call) = (Instant::now(), 0, ListRenewed::default());
    loop {
        let page = call.clone().handle(admin, &Actor::server()).await.unwrap();
        found += page.serials.len();
        call.after = page.next;
        if call.after.is_none() {
            break;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{:<44} {seconds:>6.2} s, {found} found; {}",
        "--without-successor, first walk",
        memory()
    );
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    format!("rss {:.0} MiB", kib / 1024.0)
}

/// Records and completes issuances one after the other until `stop`: median and worst time.
async fn issue(store: &SledStore, first: u64, stop: &AtomicBool) -> (Duration, Duration, usize) {
    let mut times = Vec::new();
    for number in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let start = Instant::now();
        let intent = intent(number);
        let (serial, actor) = (intent.serial.clone(), intent.actor.clone());
        store.begin(intent, Conditions::default()).await.unwrap();
        let event = Event::new(Time::from_unix(START), Name::CertificateIssued, actor);
        store.complete(&serial, vec![1; 700], event).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    (times[times.len() / 2], *times.last().unwrap(), times.len())
}

fn main() {
    let count = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let now = Time::from_unix(START + count);
        let open = SledStore::open(folder.path(), 64 << 20, now, Arc::new(NoTrail)).unwrap();
        let store = Arc::new(open);
        fill(&store, count).await;
        let admin = Arc::new(Admin::new(
            Arc::clone(&store) as _,
            Vec::new(),
            "estd".to_owned(),
            Arc::new(SystemClock),
            Arc::new(SystemEntropy::new()),
        ));
        let some = |text: &str| Some(text.to_owned());
        let query = CertificateQuery::default;
        let (last, none) = (format!("CN=device-{:07}", count - 1), some("nobody"));
        walk(&admin, "all, with their entries", query()).await;
        walk(&admin, "--account, none", CertificateQuery { account: none.clone(), ..query() })
            .await;
        walk(&admin, "--search, one", CertificateQuery { search: some(&last), ..query() }).await;
        walk(&admin, "--subject, none", CertificateQuery { subject: some("CN=x*"), ..query() })
            .await;
        let san = some("dns:*.lab.example");
        walk(&admin, "--san, none", CertificateQuery { san, ..query() }).await;
        renewed(&admin).await;

        for walking in [false, true] {
            let stop = Arc::new(AtomicBool::new(false));
            let other = walking.then(|| {
                let (admin, stop) = (Arc::clone(&admin), Arc::clone(&stop));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let subject = Some("CN=x*".to_owned());
                        let query = CertificateQuery { subject, ..CertificateQuery::default() };
                        query.clone().handle(&admin, &Actor::server()).await.unwrap();
                    }
                })
            });
            let issuing = {
                let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
                let first = count + u64::from(walking) * 10_000_000;
                tokio::spawn(async move { issue(&store, first, &stop).await })
            };
            tokio::time::sleep(Duration::from_secs(5)).await;
            stop.store(true, Ordering::Relaxed);
            let (median, worst, times) = issuing.await.unwrap();
            if let Some(other) = other {
                other.await.unwrap();
            }
            println!(
                "an issuance, {:<31} median {:.2} ms, worst {:.1} ms of {times}",
                if walking { "while somebody walks:" } else { "alone:" },
                median.as_secs_f64() * 1000.0,
                worst.as_secs_f64() * 1000.0,
            );
        }
        store.close().await;
    });
}
