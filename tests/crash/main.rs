//! kill -9 at random times under load and at each named step, on sled and on PostgreSQL. Nothing
//! that a client received is missing, no request got two certificates, and nothing stays open. For
//! one request in four, the server generates the key; generated.rs checks those.
//!
//! migration.rs kills the migration of stores that an earlier version wrote.
//!
//! `ESTD_KILLS` is the number of kills for each backend (30), `ESTD_KILL_SEED` the seed of the
//! random numbers. The program is built with the feature `failpoints` (src/failpoint.rs).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../common/before_devices.rs"]
mod before_devices;
#[path = "../common/mod.rs"]
mod common;
mod generated;
#[path = "../common/keygen.rs"]
mod keygen;
mod migration;
#[path = "../common/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "shared with tests/interop")]
#[path = "../interop/process.rs"]
mod process;

use common::{Connection, Identity, Kept, base64, basic, post_body};
use estd::{
    api,
    client::operator::ask,
    clock::{Clock, SetClock, SystemClock},
    config,
    entropy::{Entropy, SystemEntropy},
    pki::{self, Certificate, Csr, CsrBuilder, PrivateKey},
    server::{self, Environment},
    store::{Filter, Issuance, PostgresOptions, PostgresStore, SledStore, State, Store},
    telemetry::audit::{EventId, Name},
    types::{KeyKind, Operation, Serial},
};
use generated::GeneratedKeys;
use postgres::Postgres;
use process::Estd;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Requests under way at once.
const AT_ONCE: usize = 16;

/// Time limit for reaching a step under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// Steps common to all backends, in the order in which a request passes them; then those of a start
/// that finds open issuances.
const STEPS: [&str; 7] = [
    "issue: before the record",
    "issue: recorded",
    "issue: signed",
    "issue: completed",
    "answer: head written",
    "finish: signed",
    "finish: completed",
];

/// Steps of sled's thread.
const SLED: [&str; 5] = [
    "sled: before the transaction",
    "sled: committed",
    "sled: written",
    "sled: synced",
    "sled: published",
];

/// Steps of the queues to PostgreSQL.
const POSTGRES: [&str; 5] = [
    "postgres: before begin",
    "postgres: begun",
    "postgres: before a write",
    "postgres: written",
    "postgres: published",
];

/// Where the server keeps its records.
enum Backend {
    Sled,
    Postgres(Postgres),
}

impl Backend {
    /// A folder for a first start, with this database.
    fn folder(&self, database: &str) -> TempDir {
        let folder = match self {
            Self::Sled => Estd::folder("[\"localhost\"]"),
            Self::Postgres(server) => {
                server.sql("postgres", &format!("CREATE DATABASE {database}"));
                Estd::folder_on_postgres(&format!(
                    "connection = \"host={} dbname={database} user=estd sslmode=disable\"",
                    server.socket().display()
                ))
            }
        };
        let path = folder.path().join("est.toml");
        let text = fs::read_to_string(&path).unwrap();
        let window = "retry_window = \"10m\"";
        assert!(text.contains(window));
        // A long run exceeds the default window: a retry after the window is a new request.
        let text = text.replace(window, "retry_window = \"1d\"");
        fs::write(&path, format!("{text}\n{}", generated::LABEL)).unwrap();
        folder
    }

    fn steps(&self) -> Vec<&'static str> {
        let own = match self {
            Self::Sled => SLED,
            Self::Postgres(_) => POSTGRES,
        };
        STEPS.into_iter().chain(own).collect()
    }

    /// The store itself, while no server runs.
    async fn open(&self, folder: &TempDir) -> Arc<dyn Store> {
        let trail = Arc::new(Kept::default());
        match self {
            Self::Sled => {
                let folder = folder.path().join("data/store");
                Arc::new(SledStore::open(&folder, 64 << 20, SystemClock.now(), trail).unwrap())
            }
            Self::Postgres(server) => {
                let mut connection = tokio_postgres::Config::new();
                connection.host_path(server.socket()).user("estd").dbname("estd");
                connection.ssl_mode(tokio_postgres::config::SslMode::Disable);
                let patience = Duration::from_secs(20);
                let options =
                    PostgresOptions { connection, anchors: Vec::new(), connections: 4, patience };
                Arc::new(PostgresStore::open(options, trail).await.unwrap())
            }
        }
    }
}

/// Pseudorandom numbers from a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let mut random = [0; 8];
        SystemEntropy::new().fill(&mut random).unwrap();
        let seed = std::env::var("ESTD_KILL_SEED")
            .map_or_else(|_| u64::from_le_bytes(random) >> 16, |seed| seed.parse().unwrap());
        eprintln!("seed {seed}");
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0 to `end`, exclusive.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % end
    }
}

/// When a server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KillPoint {
    /// After this many answers, and this many microseconds more.
    Load { answers: usize, micros: u64 },
    /// This many microseconds after it was started.
    Start { micros: u64 },
    /// When it passes a step for the `pass`th time.
    Step { step: &'static str, pass: u64 },
}

/// Chooses half of the kills at random, and half at each step in turn.
fn plan(kills: usize, steps: &[&'static str], dice: &mut Dice) -> Vec<KillPoint> {
    let mut plan = Vec::new();
    let mut steps = steps.iter().copied().cycle();
    while plan.len() < kills {
        let step = steps.next().unwrap();
        plan.push(if dice.below(8) == 0 {
            KillPoint::Start { micros: dice.below(250_000) }
        } else {
            let answers = usize::try_from(dice.below(40)).unwrap();
            KillPoint::Load { answers, micros: dice.below(4_000) }
        });
        // A batch passes a step of the store once.
        let passes = match step.split_once(": ").unwrap().0 {
            "finish" => {
                // At least one issuance is open then, for the next start to finish.
                plan.push(KillPoint::Step { step: "issue: signed", pass: 20 + dice.below(20) });
                let is_first = !plan
                    .iter()
                    .any(|past| matches!(past, KillPoint::Step { step: it, .. } if *it == step));
                if is_first { 1 } else { 3 }
            }
            "sled" | "postgres" => 12,
            _ => 40,
        };
        plan.push(KillPoint::Step { step, pass: 1 + dice.below(passes) });
    }
    plan.truncate(kills);
    plan
}

/// A CSR (DER) with a key of its own.
fn csr() -> Vec<u8> {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    CsrBuilder::new().subject("CN=load").unwrap().build(&key).unwrap()
}

/// Posts a CSR and returns the certificate, if the whole answer arrived.
async fn enroll(port: u16, device: &Identity, csr: &[u8]) -> Option<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection =
        Connection::open(address, Some(device), &[&rustls::version::TLS13]).await.ok()?;
    let request =
        post_body("simpleenroll", base64(csr).as_bytes(), "Content-Type: application/pkcs10\r\n");
    let reply = connection.try_send(&request).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let der = pki::base64::decode(&reply.body, false).unwrap().der;
    Some(pki::cms::parse_certs_only(&der).unwrap().remove(0))
}

/// The two kinds of requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// A certificate for the device's own key.
    Enroll,
    /// A generated key and its certificate.
    GenerateKey,
}

/// The requests of all devices, and the answers they received.
#[derive(Default)]
struct Devices {
    generated: GeneratedKeys,
    received: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    /// The keys of `received`, to choose from.
    answered: Mutex<Vec<Vec<u8>>>,
    /// Sent, not answered, to be retried.
    waiting: Mutex<Vec<(Wish, Vec<u8>)>>,
    /// Sent, not answered, never retried.
    given_up: Mutex<Vec<Vec<u8>>>,
    answers: AtomicUsize,
    retried: AtomicUsize,
    asked_for_known: AtomicUsize,
    /// No request for a generated key may be sent now.
    own_keys_only: AtomicBool,
    stop: AtomicBool,
}

impl Devices {
    /// Sends requests until the server does not answer, or `stop` is set.
    async fn ask(self: Arc<Self>, port: u16, device: Arc<Identity>, number: usize) {
        for round in number.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            // One round in eight retries a request that was answered.
            let known = if round % 8 == 0 { self.known(round) } else { None };
            if let Some((csr, certificate)) = known {
                let Some(again) = enroll(port, &device, &csr).await else { return };
                assert!(again == certificate, "another certificate for the same request");
                self.asked_for_known.fetch_add(1, Ordering::SeqCst);
                self.answers.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let makes = !self.own_keys_only.load(Ordering::SeqCst);
            if makes
                && round % 8 == 4
                && let Some(csr) = self.generated.answered()
            {
                if !self.generated.ask(port, &device, &csr).await {
                    return;
                }
                self.answers.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let waiting = self.next_waiting(makes);
            self.retried.fetch_add(usize::from(waiting.is_some()), Ordering::SeqCst);
            let wish = if makes && round % 4 == 2 { Wish::GenerateKey } else { Wish::Enroll };
            let (wish, csr) = waiting.unwrap_or_else(|| (wish, csr()));
            if self.asks(wish, &csr, port, &device).await {
                continue;
            }
            match (wish, round % 4 == 1) {
                (_, false) => self.waiting.lock().unwrap().push((wish, csr)),
                (Wish::Enroll, true) => self.given_up.lock().unwrap().push(csr),
                (Wish::GenerateKey, true) => {}
            }
            return;
        }
    }

    /// Sends one request. Returns false if no answer arrived.
    async fn asks(&self, wish: Wish, csr: &[u8], port: u16, device: &Identity) -> bool {
        match wish {
            Wish::GenerateKey => {
                let came = self.generated.ask(port, device, csr).await;
                self.answers.fetch_add(usize::from(came), Ordering::SeqCst);
                came
            }
            Wish::Enroll => {
                let certificate = enroll(port, device, csr).await;
                let came = certificate.is_some();
                if let Some(certificate) = certificate {
                    self.receives(csr.to_vec(), certificate);
                }
                came
            }
        }
    }

    /// Returns the last waiting request of a kind that may be sent now.
    fn next_waiting(&self, makes: bool) -> Option<(Wish, Vec<u8>)> {
        let mut waiting = self.waiting.lock().unwrap();
        let last = waiting.iter().rposition(|(wish, _)| makes || *wish == Wish::Enroll)?;
        Some(waiting.remove(last))
    }

    fn known(&self, round: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let answered = self.answered.lock().unwrap();
        let csr = answered.get((round * 7919) % answered.len().max(1))?.clone();
        let certificate = self.received.lock().unwrap()[&csr].clone();
        Some((csr, certificate))
    }

    fn receives(&self, csr: Vec<u8>, certificate: Vec<u8>) {
        self.answered.lock().unwrap().push(csr.clone());
        assert!(self.received.lock().unwrap().insert(csr, certificate).is_none());
        self.answers.fetch_add(1, Ordering::SeqCst);
    }
}

/// A backend and the statistics of its kills.
struct Trial {
    backend: Backend,
    device: Arc<Identity>,
    devices: Arc<Devices>,
    /// Kills at a step, by step.
    reached: BTreeMap<&'static str, usize>,
    /// Steps not reached because the start had less to finish.
    missed: BTreeMap<&'static str, usize>,
    at_start: usize,
    /// Issuances still open when a server was ready.
    left_open: usize,
}

fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// Polls until `done` returns true.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Trial {
    /// Runs a server until its kill. With `own_keys_only`, no key is generated, so that the next
    /// start can finish every issuance that the kill leaves open.
    async fn live(&mut self, folder: TempDir, point: KillPoint, own_keys_only: bool) -> TempDir {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
        match point {
            KillPoint::Step { step, pass } => {
                command.env("ESTD_KILL_AT", format!("{step}={pass}"));
            }
            KillPoint::Start { micros } => {
                self.at_start += 1;
                return killed_at_start(command, folder, Duration::from_micros(micros)).await;
            }
            KillPoint::Load { .. } => {}
        }
        let started = tokio::task::block_in_place(|| Estd::try_start_by(command, folder));
        let mut estd = match (started, point) {
            (Ok(estd), _) => estd,
            (Err((folder, status)), KillPoint::Step { step, .. }) if was_killed(status) => {
                *self.reached.entry(step).or_default() += 1;
                return folder;
            }
            (Err((folder, status)), _) => {
                let log = fs::read_to_string(folder.path().join("log")).unwrap();
                panic!("{point:?}: {status}: {log}")
            }
        };
        self.look_for_open(&estd).await;
        self.devices.own_keys_only.store(own_keys_only, Ordering::SeqCst);

        let before = self.devices.answers.load(Ordering::SeqCst);
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let (devices, device) = (Arc::clone(&self.devices), Arc::clone(&self.device));
                tokio::spawn(devices.ask(estd.port, device, number + before))
            })
            .collect();
        let answers = |count: usize| {
            let devices = &self.devices;
            move || devices.answers.load(Ordering::SeqCst) >= before + count
        };
        match point {
            KillPoint::Step { step, .. } if !step.starts_with("finish") => {
                until(&format!("{step} is not reached"), || estd.ended().is_some()).await;
                let status = estd.ended().unwrap();
                assert!(was_killed(status), "{status}");
                *self.reached.entry(step).or_default() += 1;
            }
            // Fewer were open.
            KillPoint::Step { step, pass } => {
                assert!(pass > 1, "nothing to finish after a kill between signing and recording");
                *self.missed.entry(step).or_default() += 1;
                until("no answers", answers(10)).await;
            }
            KillPoint::Load { answers: count, micros } => {
                until("no answers", answers(count)).await;
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            KillPoint::Start { .. } => {}
        }
        let folder = estd.kill();
        for worker in workers {
            worker.await.unwrap();
        }
        folder
    }

    /// Checks that a start ended all open issuances but those of generated keys, which retries still
    /// need. PostgreSQL may commit a statement of a killed server after that.
    async fn look_for_open(&mut self, estd: &Estd) {
        let socket = estd.path("data/estd.sock");
        let open = api::CertificateQuery { state: Some("open".to_owned()), ..Default::default() };
        let page = ask(&socket, &open).await.unwrap();
        let own =
            |entry: &&api::CertificateEntry| entry.operation.as_deref() != Some("serverkeygen");
        let open: Vec<_> = page.certificates.iter().filter(own).collect();
        self.left_open += open.len();
        if matches!(self.backend, Backend::Sled) {
            assert_eq!(open, [] as [&api::CertificateEntry; 0], "open after a start");
        }
    }
}

async fn killed_at_start(mut command: Command, folder: TempDir, after: Duration) -> TempDir {
    let log = fs::File::options().append(true).create(true).open(folder.path().join("log"));
    let log = log.unwrap();
    command.arg("serve").current_dir(folder.path()).env("ESTD_LOG", "warn");
    let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(was_killed(status), "{status}");
    folder
}

/// The first device: it authenticates the requests of the others.
async fn first_device(estd: &Estd, password: &str) -> Identity {
    let address = SocketAddr::from(([127, 0, 0, 1], estd.port));
    let mut connection = Connection::open(address, None, &[&rustls::version::TLS13]).await.unwrap();
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let csr = CsrBuilder::new().subject("CN=load").unwrap().build(&key).unwrap();
    let headers = format!("Content-Type: application/pkcs10\r\n{}", basic("enroll", password));
    let reply = connection.send(post_body("simpleenroll", base64(&csr).as_bytes(), &headers)).await;
    Identity { pem: reply.certificate_pem(), key: key.to_pem(None).unwrap().to_string() }
}

fn kills() -> usize {
    std::env::var("ESTD_KILLS").map_or(30, |kills| kills.parse().unwrap())
}

async fn killed(backend: Backend) {
    let (kills, mut dice, began) = (kills(), Dice::new(), Instant::now());
    let plan = plan(kills, &backend.steps(), &mut dice);
    let estd = Estd::start_in(backend.folder("estd"));
    let mut trial = Trial {
        backend,
        device: Arc::new(first_device(&estd, &estd.password).await),
        devices: Arc::default(),
        reached: BTreeMap::new(),
        missed: BTreeMap::new(),
        at_start: 0,
        left_open: 0,
    };
    let mut folder = estd.stop();
    for (point, next) in plan.iter().zip(plan.iter().skip(1).map(Some).chain([None])) {
        let finishes = |it: &KillPoint| match it {
            KillPoint::Step { step, .. } => step.starts_with("finish"),
            _ => false,
        };
        folder = trial.live(folder, *point, next.is_some_and(finishes)).await;
    }

    // Two runs without a kill. All unanswered requests are retried.
    let estd = Estd::start_in(folder);
    let waiting = std::mem::take(&mut *trial.devices.waiting.lock().unwrap());
    for (wish, csr) in waiting {
        assert!(trial.devices.asks(wish, &csr, estd.port, &trial.device).await);
        trial.devices.retried.fetch_add(1, Ordering::SeqCst);
    }
    let estd = Estd::start_in(estd.stop());
    let open = estd.operator(&["cert", "list", "--open", "--json"]);
    let own = |line: &&str| !line.contains("\"operation\":\"serverkeygen\"");
    assert_eq!(open.lines().find(own), None, "open at the end");
    let folder = start_after_the_window(estd.stop()).await;
    let (issued, key_summary) = check(&trial, &folder).await;

    let devices = &trial.devices;
    eprintln!(
        "{kills} kills in {:.0} s: {} at random under load, {} at random during a start, {} at steps",
        began.elapsed().as_secs_f32(),
        plan.iter().filter(|point| matches!(point, KillPoint::Load { .. })).count(),
        trial.at_start,
        trial.reached.values().sum::<usize>(),
    );
    eprintln!("{key_summary}");
    eprintln!("kills at each step: {:?}; too little to finish: {:?}", trial.reached, trial.missed);
    eprintln!(
        "{} certificates received and {issued} on record; {} requests retried after a kill; {} \
         retries of answered ones; {} given up; {} open when a server was ready; none at the end",
        devices.received.lock().unwrap().len(),
        devices.retried.load(Ordering::SeqCst),
        devices.asked_for_known.load(Ordering::SeqCst),
        devices.given_up.lock().unwrap().len(),
        trial.left_open,
    );
    for point in &plan {
        if let KillPoint::Step { step, .. } = point {
            assert!(trial.reached.contains_key(step), "{step} had no kill");
        }
    }
    assert!(devices.retried.load(Ordering::SeqCst) > kills);
}

/// Starts the server a day later, when all windows have ended: it voids the open records of
/// generated keys.
async fn start_after_the_window(folder: TempDir) -> TempDir {
    let path = folder.path().join("est.toml");
    let settings = config::parse(&fs::read_to_string(&path).unwrap(), &path, &|_| None).unwrap();
    let later = SystemClock.now().plus(Duration::from_secs(86_400 + 120));
    let environment = Environment {
        clock: Arc::new(SetClock::new(later)),
        entropy: Arc::new(SystemEntropy::new()),
        trail: Arc::new(Kept::default()),
    };
    server::start(settings, environment).await.unwrap().stop().await;
    folder
}

/// Compares the records with the requests and answers of devices. Returns the number of issued
/// certificates and a summary for generated keys.
async fn check(trial: &Trial, folder: &TempDir) -> (usize, String) {
    let store = trial.backend.open(folder).await;
    let mut records = HashMap::new();
    let mut after = None;
    loop {
        let page = store.list(&Filter::default(), after.as_ref(), 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.intent.serial.clone());
        for record in page {
            let before = records.insert(record.intent.serial.clone(), record);
            assert!(before.is_none(), "a serial number twice");
        }
    }
    let for_generated_key =
        |record: &Issuance| record.intent.operation == Some(Operation::ServerKeyGen);
    let (generated, records): (HashMap<_, _>, HashMap<Serial, _>) = records
        .into_iter()
        .partition(|(_, record): &(Serial, Arc<Issuance>)| for_generated_key(record));
    for record in records.values() {
        assert_eq!(record.state, State::Issued, "{}", record.intent.serial);
    }

    // Each requested key has one certificate.
    let key = |csr: &Vec<u8>| Csr::verify(csr).unwrap().key().spki_sha256();
    let received = trial.devices.received.lock().unwrap().clone();
    let given_up = trial.devices.given_up.lock().unwrap().clone();
    let asked: HashSet<[u8; 32]> = received.keys().chain(&given_up).map(key).collect();
    let of_device = Certificate::parse(&trial.device.der()).unwrap();
    let mut keys = HashSet::new();
    for record in records.values().filter(|record| record.intent.operation.is_some()) {
        assert!(keys.insert(record.intent.spki_sha256), "two certificates for one request");
        let of_device = record.certificate == of_device.der();
        assert!(
            of_device || asked.contains(&record.intent.spki_sha256),
            "a certificate without a request"
        );
    }
    for (csr, der) in &received {
        let certificate = Certificate::parse(der).unwrap();
        let record = &records[certificate.serial()];
        assert_eq!((&record.certificate, record.intent.spki_sha256), (der, key(csr)));
    }

    // Each record has its event, and no writer's numbers have gaps.
    let (mut writers, mut reported) = (BTreeMap::<u64, u64>::new(), HashSet::new());
    let (mut voided, mut events) = (HashSet::new(), Vec::new());
    let mut from = EventId::first_of(0);
    loop {
        let page = store.events(from, 1000).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        from = EventId { writer: last.writer, number: last.number + 1 };
        for (id, event) in page {
            let last = writers.entry(id.writer).or_default();
            assert_eq!(id.number, *last + 1, "a gap in the events of writer {}", id.writer);
            *last = id.number;
            let of = |name: Name, reported: &mut HashSet<String>| {
                if event.name == name {
                    let serial = event.details.iter().find(|(name, _)| name == "serial");
                    assert!(
                        reported.insert(serial.unwrap().1.clone()),
                        "two events for one record"
                    );
                }
            };
            of(Name::CertificateIssued, &mut reported);
            of(Name::IssuanceVoided, &mut voided);
            events.push(event);
        }
    }
    let all = || records.iter().chain(&generated);
    let serials = |state: State| -> HashSet<String> {
        let those = all().filter(|(_, record)| record.state == state);
        those.map(|(serial, _)| serial.to_string()).collect()
    };
    assert_eq!(reported, serials(State::Issued), "an event for each certificate");
    assert_eq!(voided, serials(State::Void), "an event for each that was given up");
    assert_eq!(serials(State::Open), HashSet::new(), "open at the end");
    let generated: HashMap<Serial, &Issuance> =
        generated.iter().map(|(serial, record)| (serial.clone(), &**record)).collect();
    let key_summary = trial.devices.generated.check(&generated, &events);
    store.close().await;

    if let Backend::Postgres(server) = &trial.backend {
        let lost = "SELECT count(*) FROM request LEFT JOIN issuance USING (serial)
                    WHERE issuance.serial IS NULL";
        assert_eq!(server.sql("estd", lost), "0", "requests without an issuance");
        assert!(writers.len() > trial.reached.len(), "each start is a writer");
    }
    (records.len(), key_summary)
}

/// Kills first starts, which create CA, certificate, account and store. The next start must
/// complete the setup from any intermediate state.
async fn killed_at_the_first_start(backend: Backend) {
    let (starts, mut dice, mut at_steps) = (kills().div_ceil(3), Dice::new(), 0);
    let steps: Vec<_> =
        backend.steps().into_iter().filter(|it| !it.starts_with("answer")).collect();
    // Duration of a first start on this machine.
    let began = Instant::now();
    drop(tokio::task::block_in_place(|| Estd::start_in(backend.folder("first"))));
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    for number in 0..starts {
        let folder = backend.folder(&format!("first_{number}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
        let folder = if number % 2 == 0 {
            let after = Duration::from_micros(dice.below(whole));
            killed_at_start(command, folder, after).await
        } else {
            // A step may be passed fewer times; then the server is killed once it is ready.
            let step = steps[number / 2 % steps.len()];
            command.env("ESTD_KILL_AT", format!("{step}={}", 1 + dice.below(4)));
            match tokio::task::block_in_place(|| Estd::try_start_by(command, folder)) {
                Ok(estd) => estd.kill(),
                Err((folder, status)) => {
                    assert!(was_killed(status), "{step}: {status}");
                    at_steps += 1;
                    folder
                }
            }
        };
        let estd = tokio::task::block_in_place(|| Estd::start_in(folder));
        assert_eq!(estd.operator(&["cert", "list", "--open", "--json"]), "", "open after a start");
        // Whichever start added the account stored its password first.
        assert!(!estd.password.is_empty(), "an account without a stored password");
        let device = first_device(&estd, &estd.password).await;
        let device = Certificate::parse(&device.der()).unwrap();
        estd.operator(&["cert", "show", &device.serial().to_string()]);
        estd.stop();
    }
    eprintln!("{starts} first starts killed, {at_steps} of them at a step");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_its_first_start_on_sled_it_starts_again() {
    killed_at_the_first_start(Backend::Sled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_its_first_start_on_postgres_it_starts_again() {
    killed_at_the_first_start(Backend::Postgres(Postgres::start())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_on_sled_nothing_is_lost_and_nothing_twice() {
    killed(Backend::Sled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_on_postgres_nothing_is_lost_and_nothing_twice() {
    killed(Backend::Postgres(Postgres::start())).await;
}
