//! Power cuts: the file operations of a server are recorded and replayed onto disks that lose
//! unsynced data. The store must open from each, with every certificate that a client had by then.
//!
//! strace records the whole server ([`trace`]) over three runs, each a start and a load. The first
//! ends by kill -9, the other two in order. A certificate counts as received from the time at which
//! the server began to send it. [`disk`] defines the data that a disk may lose.

mod disk;
mod trace;

use crate::{
    common::{Connection, Identity, base64, basic, post_body},
    process::{Estd, good},
};
use disk::{Dice, Disk, Fate, Loss, Obeys};
use estd::{
    clock::{Clock, SystemClock},
    pki::{Certificate, CsrBuilder, PrivateKey},
    store::{
        AuditEvents, Begun, Conditions, Filter, IdempotencyKey, Intent, Issuances, SledStore,
        State, Store,
    },
    telemetry::audit::{Event, EventId, Name, NoTrail},
    types::{Actor, KeyKind, RequestId, Serial},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    env, fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use trace::{Call, Operation};

/// Requests under way at once, unless `ESTD_POWER_AT_ONCE` says otherwise.
const AT_ONCE: usize = 16;

/// Number of cuts, unless `ESTD_POWER_CUTS` says otherwise.
const CUTS: usize = 200;

/// Certificates in each run, unless `ESTD_POWER_LOAD` says otherwise.
const LOAD: usize = 120;

/// Size in bytes of the segments in which sled allocates and frees its log.
const SEGMENT: u64 = 512 * 1024;

/// The seed, unless `ESTD_POWER_SEED` says otherwise.
const SEED: u64 = 1;

/// The port of the client, and the certificate (DER) that it received.
type Answer = (u16, Vec<u8>);

/// A certificate (DER) as a client received it.
struct Received {
    serial: String,
    certificate: Vec<u8>,
    /// When the server began to send it.
    sent: u64,
}

/// A recording of all runs.
struct Recording {
    operations: Vec<Operation>,
    disk: Disk,
    received: Vec<Received>,
    /// The time after the last operation.
    end: u64,
    /// The folder after the last run.
    folder: TempDir,
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Requests a certificate. Returns the connection as well: its port stays reserved until it is
/// dropped.
async fn enroll(port: u16, device: &Identity, csr: &[u8]) -> Option<(Connection, Vec<u8>)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection =
        Connection::open(address, Some(device), &[&rustls::version::TLS13]).await.ok()?;
    let request =
        post_body("simpleenroll", base64(csr).as_bytes(), "Content-Type: application/pkcs10\r\n");
    let reply = connection.try_send(&request).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let der = estd::pki::base64::decode(&reply.body, false).unwrap().der;
    Some((connection, estd::pki::cms::parse_certs_only(&der).unwrap().remove(0)))
}

/// Enrolls until `count` certificates have arrived. Then kills the server under load, or stops it
/// in order once all requests are done.
async fn load(estd: Estd, device: &Identity, count: usize, kill: bool) -> (TempDir, Vec<Answer>) {
    let at_once = usize::try_from(setting("ESTD_POWER_AT_ONCE", AT_ONCE as u64)).unwrap();
    let more = if kill { at_once } else { 0 };
    let requests: Vec<Vec<u8>> = (0..count + more)
        .map(|_| {
            let key = PrivateKey::generate(KeyKind::P256).unwrap();
            CsrBuilder::new().subject("CN=load").unwrap().build(&key).unwrap()
        })
        .collect();
    let queue = Arc::new(Mutex::new(requests));
    let received: Arc<Mutex<Vec<Answer>>> = Arc::default();
    let (port, device) = (estd.port, Arc::new(device.clone()));
    let workers: Vec<_> = (0..at_once)
        .map(|_| {
            let (queue, received, device) =
                (Arc::clone(&queue), Arc::clone(&received), Arc::clone(&device));
            tokio::spawn(async move {
                loop {
                    let next = queue.lock().unwrap().pop();
                    let Some(csr) = next else { return };
                    let Some((connection, certificate)) = enroll(port, &device, &csr).await else {
                        return;
                    };
                    received.lock().unwrap().push((connection.local_port(), certificate));
                }
            })
        })
        .collect();
    let folder = if kill {
        while received.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
        let folder = tokio::task::spawn_blocking(|| estd.kill()).await.unwrap();
        for worker in workers {
            worker.await.unwrap();
        }
        folder
    } else {
        for worker in workers {
            worker.await.unwrap();
        }
        tokio::task::spawn_blocking(|| estd.stop()).await.unwrap()
    };
    let received = std::mem::take(&mut *received.lock().unwrap());
    assert!(received.len() >= count);
    (folder, received)
}

async fn record() -> Recording {
    let count = usize::try_from(setting("ESTD_POWER_LOAD", LOAD as u64)).unwrap();
    let mut folder = tempfile::tempdir().unwrap();
    // The path as strace prints it.
    let root = folder.path().canonicalize().unwrap();
    let example = include_str!("../../est.toml");
    let text = example
        .replace("[\"0.0.0.0:8443\"]", "[\"127.0.0.1:0\"]")
        // The device renews its certificate under load.
        .replace("window = \"50%\"", "window = \"100%\"");
    fs::write(root.join("est.toml"), text).unwrap();

    let mut recording = (Vec::<Operation>::new(), Disk::new(&root), Vec::<Received>::new(), 0u64);
    let mut device = None;
    for (life, kill) in [true, false, false].into_iter().enumerate() {
        let file = root.join(format!("trace-{life}"));
        let estd = Estd::start_under(&trace::recorder(&file), folder);
        let mut answers = Vec::new();
        let device = match &device {
            Some(device) => device,
            None => {
                let (first, answer) = first_device(&estd).await;
                answers.push(answer);
                device.insert(first)
            }
        };
        let (back, mut others) = load(estd, device, count, kill).await;
        folder = back;
        answers.append(&mut others);

        let (operations, disk, received, end) = &mut recording;
        let (done, after) = trace::read(&file, &root, *end);
        *end = after;
        disk.record(&done);
        received.extend(match_answers(&done, answers));
        operations.extend(done);
    }
    let (operations, disk, received, end) = recording;
    Recording { operations, disk, received, end, folder }
}

/// Enrolls by password; the certificate authenticates the other requests.
async fn first_device(estd: &Estd) -> (Identity, Answer) {
    let address = SocketAddr::from(([127, 0, 0, 1], estd.port));
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let csr = CsrBuilder::new().subject("CN=load").unwrap().build(&key).unwrap();
    let mut connection = Connection::open(address, None, &[&rustls::version::TLS13]).await.unwrap();
    let headers =
        format!("Content-Type: application/pkcs10\r\n{}", basic("enroll", &estd.password));
    let reply = connection.send(post_body("simpleenroll", base64(&csr).as_bytes(), &headers)).await;
    let pem = reply.certificate_pem();
    let device = Identity { pem, key: key.to_pem(None).unwrap().to_string() };
    let der = device.der();
    (device, (connection.local_port(), der))
}

/// Finds when each certificate was sent. The answer is the last data that the server sent on its
/// connection after its handshake flight, but for the 24 bytes that close TLS. The answers on
/// connections from one port are in order.
fn match_answers(operations: &[Operation], answers: Vec<Answer>) -> Vec<Received> {
    const LEAST: usize = 500;
    let mut connections = HashMap::<u32, (u16, usize)>::new();
    let mut sent = HashMap::<u16, VecDeque<Vec<u64>>>::new();
    for operation in operations {
        match operation.call {
            Call::Accept { fd, port } => {
                let of_port = sent.entry(port).or_default();
                connections.insert(fd, (port, of_port.len()));
                of_port.push_back(Vec::new());
            }
            Call::Sent { fd, bytes } if bytes >= LEAST => {
                if let Some((port, number)) = connections.get(&fd) {
                    sent.get_mut(port).unwrap()[*number].push(operation.start);
                }
            }
            _ => {}
        }
    }
    answers
        .into_iter()
        .map(|(port, certificate)| {
            let sent = sent.get_mut(&port).and_then(VecDeque::pop_front).unwrap_or_default();
            let [_flight, .., answer] = sent[..] else { panic!("its answer was not recorded") };
            let serial = Certificate::parse(&certificate).unwrap().serial().to_string();
            Received { serial, certificate, sent: answer }
        })
        .collect()
}

/// The times of the operations by kind; cuts are placed around them.
fn kinds(recording: &Recording, root: &Path) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut kinds = BTreeMap::<String, Vec<(u64, u64)>>::new();
    let mut segments = BTreeSet::new();
    for Operation { start, end, call } in &recording.operations {
        let named = |what: &str, path: &PathBuf| {
            let path = path.strip_prefix(root).unwrap().display().to_string();
            // One kind for the snapshots, whatever number they have.
            format!("{what} {}", path.split("snap.").next().unwrap())
        };
        let kind = match call {
            Call::Sync { path, data_only: true, .. } => named("fdatasync", path),
            Call::Sync { path, .. } => named("fsync", path),
            Call::RangeSync { path } => named("sync_file_range", path),
            // When sled reuses a segment of its log, the old content is lost.
            Call::Write { path, at: Some(at), .. }
                if path.ends_with("store/db") && at % SEGMENT == 0 && !segments.insert(at) =>
            {
                named("take a segment again in", path)
            }
            Call::Write { path, .. } => named("write", path),
            Call::Length { path, .. } => named("ftruncate", path),
            Call::Rename { to, .. } => named("rename", to),
            Call::Remove { path } => named("remove", path),
            Call::MakeFolder { path } | Call::Open { path, create: true, .. } => {
                named("make", path)
            }
            _ => continue,
        };
        kinds.entry(kind).or_default().push((*start, (*end).min(recording.end)));
    }
    let answers = recording.received.iter().map(|received| (received.sent, received.sent + 1));
    kinds.insert("answer".to_owned(), answers.collect());
    kinds
}

/// Chooses cuts in three ways: before, in and after one call of each kind in turn; between the
/// write of a batch to the log and its sync; at any call.
fn cuts(recording: &Recording, root: &Path, count: usize, dice: &mut Dice) -> Vec<u64> {
    let kinds = kinds(recording, root);
    let all: Vec<(u64, u64)> = kinds.values().flatten().copied().collect();
    let turns: Vec<&Vec<(u64, u64)>> = kinds.values().collect();
    let only = env::var("ESTD_POWER_ONLY").ok().map(|only| &kinds[&only]);
    let mut pick = |from: usize| usize::try_from(dice.roll(from as u64)).unwrap();
    (0..count)
        .map(|number| {
            let (times, places) = match (only, number % 3) {
                (Some(only), _) => (only, 3),
                (None, 0) => (turns[number / 3 % turns.len()], 3),
                (None, 1) => (&kinds["fdatasync data/store/db"], 2),
                (None, _) => (&all, 3),
            };
            let (start, end) = times[pick(times.len())];
            // At `start` it has not begun; at `end` it has not returned.
            [start, end, end + 1][pick(places)]
        })
        .collect()
}

/// Opens the store of a disk and checks it against the received certificates.
async fn check(folder: &Path, expected: &[&Received]) -> Result<usize, String> {
    let clock = SystemClock;
    let store =
        SledStore::open(&folder.join("data/store"), 16 << 20, clock.now(), Arc::new(NoTrail))
            .map_err(|error| format!("does not open: {error}"))?;
    let result = examine(&store, expected).await;
    store.close().await;
    result
}

async fn examine(store: &SledStore, expected: &[&Received]) -> Result<usize, String> {
    let said = |error: estd::store::Error| error.to_string();
    let all = store.list(&Filter::default(), None, 1_000_000).await.map_err(said)?;
    let mut issued = BTreeMap::new();
    for record in &all {
        let serial = &record.intent.serial;
        match record.state {
            State::Issued => {
                if record.intent.operation.is_none() && record.intent.subject == DRIVEN {
                    if record.certificate != driven_certificate(serial) {
                        return Err(format!("{serial} is half"));
                    }
                } else {
                    let certificate = Certificate::parse(&record.certificate)
                        .map_err(|error| format!("{serial} is half: {error:?}"))?;
                    if certificate.serial() != serial {
                        return Err(format!("{serial} holds {}", certificate.serial()));
                    }
                }
                issued.insert(serial.to_string(), record);
            }
            State::Open if record.intent.tbs.is_empty() => {
                return Err(format!("{serial} is open and has nothing to be signed"));
            }
            State::Revoked => return Err(format!("{serial} is revoked, but no one revoked it")),
            State::Open | State::Void => {}
        }
    }
    // A record and its event are one transaction.
    let events = store.events(EventId::first_of(1), 1_000_000).await.map_err(said)?;
    let reported: BTreeSet<String> = events
        .iter()
        .filter(|(_, event)| event.name == Name::CertificateIssued)
        .flat_map(|(_, event)| &event.details)
        .filter(|(name, _)| name == "serial")
        .map(|(_, serial)| serial.clone())
        .collect();
    if !reported.iter().eq(issued.keys()) {
        return Err(format!("{} records and {} events of them", issued.len(), reported.len()));
    }
    for received in expected {
        let serial = &received.serial;
        match issued.get(serial) {
            None => return Err(format!("{serial}, which a client has, is not on record")),
            Some(record) if record.certificate != received.certificate => {
                return Err(format!("{serial} is another certificate than the client has"));
            }
            Some(record) => {
                // A retry must return the same record.
                let other = Serial::parse(&[0x42; 16]).unwrap();
                let intent = Intent { serial: other, ..record.intent.clone() };
                match store.begin(intent, Conditions::default()).await.map_err(said)? {
                    Begun::Complete(first) if first == **record => {}
                    found => return Err(format!("{serial}, retried: {found:?}")),
                }
            }
        }
    }
    Ok(issued.len())
}

/// The cuts that failed, and statistics of all.
#[derive(Default)]
struct Summary {
    cuts: usize,
    failed: Vec<String>,
    loss: Loss,
    most_acknowledged: usize,
}

async fn replay(
    recording: &Recording,
    cuts: &[u64],
    obeys: Obeys,
    dice: &mut Dice,
    keep: Option<&Path>,
) -> Summary {
    let mut summary = Summary::default();
    for (number, cut) in cuts.iter().enumerate() {
        let fate = match number % 8 {
            0 => Fate::Lost,
            1 => Fate::Kept,
            _ => Fate::Mixed,
        };
        let target = tempfile::tempdir().unwrap();
        let loss = recording.disk.after(*cut, obeys, fate, dice, target.path());
        let expected: Vec<&Received> =
            recording.received.iter().filter(|received| received.sent < *cut).collect();
        summary.cuts += 1;
        summary.loss.pending += loss.pending;
        summary.loss.dropped += loss.dropped;
        summary.loss.torn += loss.torn;
        summary.most_acknowledged = summary.most_acknowledged.max(expected.len());
        // Opening changes the folder, so a copy of the original is kept for failures.
        let before = keep.map(|_| {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(target.path(), copy.path());
            copy
        });
        if let Err(why) = check(target.path(), &expected).await {
            if let (Some(keep), Some(before)) = (keep, before) {
                let kept = keep.join(number.to_string());
                fs::create_dir_all(&kept).unwrap();
                copy_folder(before.path(), &kept);
            }
            summary.failed.push(format!(
                "cut {number} at {cut} of {}, {fate:?}, {} acknowledged, {loss:?}: {why}",
                recording.end,
                expected.len()
            ));
        }
    }
    summary
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Every file under a folder, and every folder, by its path.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let content = if path.is_dir() {
                folders.push(path.clone());
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), content);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_that_a_client_received() {
    let begun = Instant::now();
    let recording = record().await;
    let root = recording.folder.path().canonicalize().unwrap();
    let recorded = begun.elapsed();
    let mut dice = Dice::new(setting("ESTD_POWER_SEED", SEED));

    // The recording is whole: a disk that loses nothing has the folder byte for byte.
    let whole = tempfile::tempdir().unwrap();
    recording.disk.after(u64::MAX, Obeys::All, Fate::Kept, &mut dice, whole.path());
    let (replayed, real) = (contents(&whole.path().join("data")), contents(&root.join("data")));
    assert!(replayed.keys().eq(real.keys()), "{:?} {:?}", replayed.keys(), real.keys());
    for (path, content) in &real {
        assert!(replayed[path] == *content, "{} differs", path.display());
    }

    let count = usize::try_from(setting("ESTD_POWER_CUTS", CUTS as u64)).unwrap();
    let chosen = cuts(&recording, &root, count, &mut dice);
    let keep = env::var_os("ESTD_POWER_KEEP").map(PathBuf::from);
    let begun = Instant::now();
    let summary = replay(&recording, &chosen, Obeys::All, &mut dice, keep.as_deref()).await;
    for (kind, times) in kinds(&recording, &root) {
        eprintln!("{:6} {kind}", times.len());
    }
    eprintln!(
        "{} certificates received, recorded in {:.1} s; {} cuts in {:.1} s, {} failed; not synced \
         at a cut: {} changes, {} of them dropped, {} torn",
        recording.received.len(),
        recorded.as_secs_f64(),
        summary.cuts,
        begun.elapsed().as_secs_f64(),
        summary.failed.len(),
        summary.loss.pending,
        summary.loss.dropped,
        summary.loss.torn,
    );
    assert!(summary.failed.is_empty(), "{}", summary.failed.join("\n"));

    // The check can fail: disks without the store's own syncs, or that forget names, lose records.
    for obeys in [Obeys::NoDataSyncOfTheLog, Obeys::NoSyncOfFolders] {
        let few = &chosen[..chosen.len().min(20)];
        let summary = replay(&recording, few, obeys, &mut dice, None).await;
        eprintln!("{obeys:?}: {} of {} cuts failed", summary.failed.len(), summary.cuts);
        assert!(!summary.failed.is_empty(), "{obeys:?} went unnoticed");
    }
}

/// The subject of the certificates that [`drives_a_store`] issues.
const DRIVEN: &str = "CN=driven";

/// Changes in the store's queue at once: the largest possible batch. No load on a server reaches it
/// on a fast disk.
const LARGE: u64 = 512;

/// A stand-in for a certificate: as long as one, and derived from its serial number.
fn driven_certificate(serial: &Serial) -> Vec<u8> {
    let mut dice = Dice::new(u64::from_be_bytes(serial.as_bytes()[8..16].try_into().unwrap()));
    (0..1200).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run by the test below, under strace, in a folder of its own"]
async fn drives_a_store() {
    let clock = SystemClock;
    let now = clock.now();
    // Created and synced as the server does it.
    fs::create_dir("data").unwrap();
    fs::File::open(".").unwrap().sync_all().unwrap();
    let store = SledStore::open(Path::new("data/store"), 16 << 20, now, Arc::new(NoTrail)).unwrap();
    let store = Arc::new(store);
    let rounds = setting("ESTD_POWER_ROUNDS", 3);
    for round in 0..rounds {
        let mut tasks = tokio::task::JoinSet::new();
        for each in 0..LARGE {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let number = round * LARGE + each;
                let mut bytes = [0x10; 16];
                bytes[8..].copy_from_slice(&number.to_be_bytes());
                let serial = Serial::parse(&bytes).unwrap();
                let mut key = [0; 32];
                key[..16].copy_from_slice(&bytes);
                let intent = Intent {
                    idempotency_key: IdempotencyKey(key),
                    retry_until: now.plus(Duration::from_secs(86_400)),
                    tbs: vec![0x30; 900].into(),
                    label: None,
                    operation: None,
                    subject: DRIVEN.to_owned(),
                    san: Vec::new(),
                    spki_sha256: [7; 32],
                    not_before: now,
                    not_after: now.plus(Duration::from_secs(86_400)),
                    actor: Actor::anonymous(),
                    predecessor: None,
                    request_id: RequestId::new(number.to_be_bytes()),
                    begun: now,
                    ..Intent::blank(
                        serial.clone(),
                        "default".parse().unwrap(),
                        "device".parse().unwrap(),
                    )
                };
                store.begin(intent, Conditions::default()).await.unwrap();
                let event = Event::new(now, Name::CertificateIssued, Actor::server())
                    .with("serial", &serial);
                store.complete(&serial, driven_certificate(&serial), event).await.unwrap();
                writeln!(std::io::stdout(), "has {serial}").unwrap();
            });
        }
        tasks.join_all().await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_of_the_largest_batches() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let file = root.join("trace");
    let words = trace::recorder(&file);
    let output = Command::new(&words[0])
        .args(&words[1..])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "powercut::drives_a_store", "--ignored", "--nocapture"])
        .current_dir(&root)
        .output()
        .unwrap();
    good("the driver", output);
    let (operations, end) = trace::read(&file, &root, 0);
    let mut disk = Disk::new(&root);
    disk.record(&operations);
    let mut received = Vec::new();
    for operation in &operations {
        let Call::Said { text } = &operation.call else { continue };
        for line in text.lines() {
            let Some(serial) = line.strip_prefix("has ") else { continue };
            let serial: Serial = serial.parse().unwrap();
            let certificate = driven_certificate(&serial);
            received.push(Received {
                serial: serial.to_string(),
                certificate,
                sent: operation.start,
            });
        }
    }
    assert_eq!(received.len() as u64, setting("ESTD_POWER_ROUNDS", 3) * LARGE);
    let recording = Recording { operations, disk, received, end, folder };
    let mut dice = Dice::new(setting("ESTD_POWER_SEED", SEED));
    let count = usize::try_from(setting("ESTD_POWER_CUTS", 40)).unwrap();
    let chosen = cuts(&recording, &root, count, &mut dice);
    let keep = env::var_os("ESTD_POWER_KEEP").map(PathBuf::from);
    let summary = replay(&recording, &chosen, Obeys::All, &mut dice, keep.as_deref()).await;
    for (kind, times) in kinds(&recording, &root) {
        eprintln!("{:6} {kind}", times.len());
    }
    eprintln!("{} cuts, {} failed, {:?}", summary.cuts, summary.failed.len(), summary.loss);
    assert!(summary.failed.is_empty(), "{}", summary.failed.join("\n"));
}
