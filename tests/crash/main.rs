//! kill -9 at random moments under load and at each named step, on sled and on PostgreSQL: nothing
//! that a client received is missing, no request got two certificates, and nothing stays open. One
//! request in four has its key made by the server: that has an account of its own (made.rs).
//!
//! `ESTD_KILLS` is how often each backend's server is killed (30), `ESTD_KILL_SEED` the seed of the
//! lots. The program is built with the feature `failpoints` (src/failpoint.rs).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/keygen.rs"]
mod keygen;
mod made;
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
use made::Made;
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

/// How long a step may take to be passed under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// The steps of every backend, in the order in which a request passes them, and those of a start
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

/// Those of sled's thread.
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
        // The long form is longer: a repeat after the window is a new request.
        let text = text.replace(window, "retry_window = \"1d\"");
        fs::write(&path, format!("{text}\n{}", made::LABEL)).unwrap();
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

/// Lots, from a seed (xorshift64*).
struct Lots(u64);

impl Lots {
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
enum Moment {
    /// After so many answers, and so many microseconds more.
    Load { answers: usize, micros: u64 },
    /// So many microseconds after it was started.
    Start { micros: u64 },
    /// When it passes a step for this time.
    Step { step: &'static str, pass: u64 },
}

/// Half of the moments at random, half at each step in turn.
fn plan(kills: usize, steps: &[&'static str], lots: &mut Lots) -> Vec<Moment> {
    let mut plan = Vec::new();
    let mut steps = steps.iter().copied().cycle();
    while plan.len() < kills {
        let step = steps.next().unwrap();
        plan.push(if lots.below(8) == 0 {
            Moment::Start { micros: lots.below(250_000) }
        } else {
            let answers = usize::try_from(lots.below(40)).unwrap();
            Moment::Load { answers, micros: lots.below(4_000) }
        });
        // A batch passes a step of the store once.
        let passes = match step.split_once(": ").unwrap().0 {
            "finish" => {
                // One is open then, for the start to finish, and most often more.
                plan.push(Moment::Step { step: "issue: signed", pass: 20 + lots.below(20) });
                let is_first = !plan
                    .iter()
                    .any(|past| matches!(past, Moment::Step { step: it, .. } if *it == step));
                if is_first { 1 } else { 3 }
            }
            "sled" | "postgres" => 12,
            _ => 40,
        };
        plan.push(Moment::Step { step, pass: 1 + lots.below(passes) });
    }
    plan.truncate(kills);
    plan
}

/// A CSR (DER) with a key of its own.
fn csr() -> Vec<u8> {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    CsrBuilder::new().subject("CN=load").unwrap().build(&key).unwrap()
}

/// Posts a CSR and returns the certificate, if the whole answer came.
async fn enroll(port: u16, device: &Identity, csr: &[u8]) -> Option<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection =
        Connection::open(address, Some(device), &[&rustls::version::TLS13]).await.ok()?;
    let request =
        post_body("simpleenroll", base64(csr).as_bytes(), "Content-Type: application/pkcs10\r\n");
    let reply = connection.try_send(&request).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let der = pki::base64::decode(&reply.body, false).unwrap().der;
    Some(pki::cms::certificates(&der).unwrap().remove(0))
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// A certificate for the device's own key.
    Enroll,
    /// A key, and its certificate.
    MakeKey,
}

/// The devices: what they asked, and what they received.
#[derive(Default)]
struct Devices {
    made: Made,
    received: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    /// The keys of `received`, to choose from.
    answered: Mutex<Vec<Vec<u8>>>,
    /// Asked, not answered, to be asked again.
    waiting: Mutex<Vec<(Wish, Vec<u8>)>>,
    /// Asked, not answered, never to be asked again.
    given_up: Mutex<Vec<Vec<u8>>>,
    answers: AtomicUsize,
    repeated: AtomicUsize,
    asked_for_known: AtomicUsize,
    /// Nobody asks for a key to be made now.
    own_keys_only: AtomicBool,
    stop: AtomicBool,
}

impl Devices {
    /// Asks until the server does not answer, or until told to stop.
    async fn ask(self: Arc<Self>, port: u16, device: Arc<Identity>, number: usize) {
        for round in number.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            // Now and then one who has its certificate asks again.
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
                && let Some(csr) = self.made.answered()
            {
                if !self.made.ask(port, &device, &csr).await {
                    return;
                }
                self.answers.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let waiting = self.next_waiting(makes);
            self.repeated.fetch_add(usize::from(waiting.is_some()), Ordering::SeqCst);
            let wish = if makes && round % 4 == 2 { Wish::MakeKey } else { Wish::Enroll };
            let (wish, csr) = waiting.unwrap_or_else(|| (wish, csr()));
            if self.asks(wish, &csr, port, &device).await {
                continue;
            }
            match (wish, round % 4 == 1) {
                (_, false) => self.waiting.lock().unwrap().push((wish, csr)),
                (Wish::Enroll, true) => self.given_up.lock().unwrap().push(csr),
                (Wish::MakeKey, true) => {}
            }
            return;
        }
    }

    /// Asks once. False if no answer came.
    async fn asks(&self, wish: Wish, csr: &[u8], port: u16, device: &Identity) -> bool {
        match wish {
            Wish::MakeKey => {
                let came = self.made.ask(port, device, csr).await;
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

    /// The last one that waits, for what may be asked for now.
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

/// A backend under its kills.
struct Trial {
    backend: Backend,
    device: Arc<Identity>,
    devices: Arc<Devices>,
    /// Passed and killed at, by step.
    reached: BTreeMap<&'static str, usize>,
    /// Not passed so often: a start with less to finish.
    missed: BTreeMap<&'static str, usize>,
    at_start: usize,
    /// Open when a server was ready, with a grace of nothing for what it found.
    left_open: usize,
}

fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// Polls until something is so.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Trial {
    /// One life of a server, up to its kill. `own_keys_only`: no key is made, so that what the kill
    /// leaves open is what the next start can finish.
    async fn live(&mut self, folder: TempDir, moment: Moment, own_keys_only: bool) -> TempDir {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
        match moment {
            Moment::Step { step, pass } => {
                command.env("ESTD_KILL_AT", format!("{step}={pass}"));
            }
            Moment::Start { micros } => {
                self.at_start += 1;
                return killed_at_start(command, folder, Duration::from_micros(micros)).await;
            }
            Moment::Load { .. } => {}
        }
        let started = tokio::task::block_in_place(|| Estd::try_start_by(command, folder));
        let mut estd = match (started, moment) {
            (Ok(estd), _) => estd,
            (Err((folder, status)), Moment::Step { step, .. }) if was_killed(status) => {
                *self.reached.entry(step).or_default() += 1;
                return folder;
            }
            (Err((folder, status)), _) => {
                let log = fs::read_to_string(folder.path().join("log")).unwrap();
                panic!("{moment:?}: {status}: {log}")
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
        match moment {
            Moment::Step { step, .. } if !step.starts_with("finish") => {
                until(&format!("{step} is not passed"), || estd.ended().is_some()).await;
                let status = estd.ended().unwrap();
                assert!(was_killed(status), "{status}");
                *self.reached.entry(step).or_default() += 1;
            }
            // Fewer were open.
            Moment::Step { step, pass } => {
                assert!(pass > 1, "nothing to finish after a kill between signing and recording");
                *self.missed.entry(step).or_default() += 1;
                until("no answers", answers(10)).await;
            }
            Moment::Load { answers: count, micros } => {
                until("no answers", answers(count)).await;
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            Moment::Start { .. } => {}
        }
        let folder = estd.kill();
        for worker in workers {
            worker.await.unwrap();
        }
        folder
    }

    /// A start ends what it finds open, but for made keys, by whose records repeats find their way.
    /// Only a statement that a database was still at when its server was killed comes later.
    async fn look_for_open(&mut self, estd: &Estd) {
        let socket = estd.path("data/estd.sock");
        let open = api::CertificateQuery { state: Some("open".to_owned()), ..Default::default() };
        let page = ask(&socket, &open).await.unwrap();
        let made =
            |entry: &&api::CertificateEntry| entry.operation.as_deref() != Some("serverkeygen");
        let open: Vec<_> = page.certificates.iter().filter(made).collect();
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
    let (kills, mut lots, began) = (kills(), Lots::new(), Instant::now());
    let plan = plan(kills, &backend.steps(), &mut lots);
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
    for (moment, next) in plan.iter().zip(plan.iter().skip(1).map(Some).chain([None])) {
        let finishes =
            |it: &Moment| matches!(it, Moment::Step { step, .. } if step.starts_with("finish"));
        folder = trial.live(folder, *moment, next.is_some_and(finishes)).await;
    }

    // Two lives without a kill. What was not answered is asked again.
    let estd = Estd::start_in(folder);
    let waiting = std::mem::take(&mut *trial.devices.waiting.lock().unwrap());
    for (wish, csr) in waiting {
        assert!(trial.devices.asks(wish, &csr, estd.port, &trial.device).await);
        trial.devices.repeated.fetch_add(1, Ordering::SeqCst);
    }
    let estd = Estd::start_in(estd.stop());
    let open = estd.operator(&["cert", "list", "--open", "--json"]);
    let own = |line: &&str| !line.contains("\"operation\":\"serverkeygen\"");
    assert_eq!(open.lines().find(own), None, "open at the end");
    let folder = start_after_the_window(estd.stop()).await;
    let (issued, made) = check(&trial, &folder).await;

    let devices = &trial.devices;
    eprintln!(
        "{kills} kills in {:.0} s: {} at random under load, {} at random during a start, {} at steps",
        began.elapsed().as_secs_f32(),
        plan.iter().filter(|moment| matches!(moment, Moment::Load { .. })).count(),
        trial.at_start,
        trial.reached.values().sum::<usize>(),
    );
    eprintln!("{made}");
    eprintln!("kills at each step: {:?}; too little to finish: {:?}", trial.reached, trial.missed);
    eprintln!(
        "{} certificates received and {issued} on record; {} requests repeated after a kill; {} \
         repeats of answered ones; {} given up; {} open when a server was ready; none at the end",
        devices.received.lock().unwrap().len(),
        devices.repeated.load(Ordering::SeqCst),
        devices.asked_for_known.load(Ordering::SeqCst),
        devices.given_up.lock().unwrap().len(),
        trial.left_open,
    );
    for moment in &plan {
        if let Moment::Step { step, .. } = moment {
            assert!(trial.reached.contains_key(step), "{step} was never killed at");
        }
    }
    assert!(devices.repeated.load(Ordering::SeqCst) > kills);
}

/// A start a day later, when nobody's repeat is answered any more: it gives up what was begun for
/// made keys.
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

/// Holds the records against what devices received and asked. Returns how many are issued, and what
/// is told of made keys.
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
    let (made, records): (HashMap<_, _>, HashMap<Serial, _>) = records
        .into_iter()
        .partition(|(_, record): &(Serial, Arc<Issuance>)| for_generated_key(record));
    for record in records.values() {
        assert_eq!(record.state, State::Issued, "{}", record.intent.serial);
    }

    // Of all that were asked for, one certificate for each key.
    let key = |csr: &Vec<u8>| Csr::verify(csr).unwrap().key().spki_sha256();
    let received = trial.devices.received.lock().unwrap().clone();
    let given_up = trial.devices.given_up.lock().unwrap().clone();
    let asked: HashSet<[u8; 32]> = received.keys().chain(&given_up).map(key).collect();
    let of_device = Certificate::parse(&trial.device.der()).unwrap();
    let mut keys = HashSet::new();
    for record in records.values().filter(|record| record.intent.operation.is_some()) {
        assert!(keys.insert(record.intent.spki_sha256), "two certificates for one request");
        let of_device = record.certificate == of_device.der();
        assert!(of_device || asked.contains(&record.intent.spki_sha256), "nobody asked for it");
    }
    for (csr, der) in &received {
        let certificate = Certificate::parse(der).unwrap();
        let record = &records[certificate.serial()];
        assert_eq!((&record.certificate, record.intent.spki_sha256), (der, key(csr)));
    }

    // Each record has its event, and no writer's numbers have gaps.
    let (mut writers, mut told) = (BTreeMap::<u64, u64>::new(), HashSet::new());
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
            let of = |name: Name, told: &mut HashSet<String>| {
                if event.name == name {
                    let serial = event.details.iter().find(|(name, _)| name == "serial");
                    assert!(told.insert(serial.unwrap().1.clone()), "two events for one record");
                }
            };
            of(Name::CertificateIssued, &mut told);
            of(Name::IssuanceVoided, &mut voided);
            events.push(event);
        }
    }
    let all = || records.iter().chain(&made);
    let serials = |state: State| -> HashSet<String> {
        let those = all().filter(|(_, record)| record.state == state);
        those.map(|(serial, _)| serial.to_string()).collect()
    };
    assert_eq!(told, serials(State::Issued), "an event for each certificate");
    assert_eq!(voided, serials(State::Void), "an event for each that was given up");
    assert_eq!(serials(State::Open), HashSet::new(), "open at the end");
    let made: HashMap<Serial, &Issuance> =
        made.iter().map(|(serial, record)| (serial.clone(), &**record)).collect();
    let told_of_made = trial.devices.made.check(&made, &events);
    store.close().await;

    if let Backend::Postgres(server) = &trial.backend {
        let lost = "SELECT count(*) FROM request LEFT JOIN issuance USING (serial)
                    WHERE issuance.serial IS NULL";
        assert_eq!(server.sql("estd", lost), "0", "requests without an issuance");
        assert!(writers.len() > trial.reached.len(), "each start is a writer");
    }
    (records.len(), told_of_made)
}

/// A first start makes CA, certificate, account and store; whatever it had made when it was
/// killed, the next start goes on from there.
async fn killed_at_the_first_start(backend: Backend) {
    let (starts, mut lots, mut at_steps) = (kills().div_ceil(3), Lots::new(), 0);
    let steps: Vec<_> =
        backend.steps().into_iter().filter(|it| !it.starts_with("answer")).collect();
    // How long a first start takes here and now.
    let began = Instant::now();
    drop(tokio::task::block_in_place(|| Estd::start_in(backend.folder("first"))));
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    for number in 0..starts {
        let folder = backend.folder(&format!("first_{number}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
        let folder = if number % 2 == 0 {
            let after = Duration::from_micros(lots.below(whole));
            killed_at_start(command, folder, after).await
        } else {
            // Not every step is passed so often: then it is killed when it is ready.
            let step = steps[number / 2 % steps.len()];
            command.env("ESTD_KILL_AT", format!("{step}={}", 1 + lots.below(4)));
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
        assert!(!estd.password.is_empty(), "an account whose password nobody can know");
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
