//! The contract of every backend: each behavior is a test of its own for each backend.
//!
//! Longer than 500 lines, because it is one specification, which the author of a backend reads as a whole.

use super::{
    Account, Accounts, Begun, CompareAndSet, Conditions, Error, Filter, IdempotencyKey, Intent,
    Issuance, Issuances, Item, MemoryStore, Password, PostgresOptions, PostgresStore, ProofKeys,
    Recomputable, Registers, Revocation, SledStore, State, Store,
};
use crate::{
    digest::{Algorithm, Secret},
    telemetry::audit::{Event, EventId, Name, Trail},
    types::{Actor, DeviceId, Operation, RequestId, RevocationReason, Serial, Time, TokenId},
};
use async_trait::async_trait;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

#[path = "../../tests/common/postgres.rs"]
pub(super) mod server;

/// 2026-11-21T12:00:00Z.
pub(super) const NOW: Time = Time::from_unix(1_795_262_400);

pub(super) const CACHE: u64 = 16 << 20;

pub(super) fn at(seconds: u64) -> Time {
    Time::from_unix(NOW.unix() + seconds)
}

/// Remembers the published events.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<(Option<EventId>, Event)>>);

impl Trail for Recorder {
    fn publish(&self, id: Option<EventId>, event: &Event) {
        self.0.lock().unwrap().push((id, event.clone()));
    }
}

impl Recorder {
    pub(super) fn published(&self) -> Vec<(Option<EventId>, Event)> {
        self.0.lock().unwrap().clone()
    }
}

pub(super) fn serial(number: u64) -> Serial {
    let mut bytes = vec![1];
    bytes.extend(number.to_be_bytes());
    Serial::parse(&bytes).unwrap()
}

pub(super) fn key(number: u64) -> IdempotencyKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    IdempotencyKey(key)
}

/// Intent `number` by request `request`, begun at [`NOW`], with a retry window of a minute.
pub(super) fn intent(number: u64, request: u64) -> Intent {
    Intent {
        idempotency_key: key(request),
        retry_until: at(60),
        tbs: vec![0x30; 700].into(),
        label: number.is_multiple_of(2).then(|| "factory".parse().unwrap()),
        operation: Some(Operation::SimpleEnroll),
        subject: format!("CN=device-{number}"),
        san: vec![format!("dns:device-{number}.example")],
        spki_sha256: [7; 32],
        not_before: NOW,
        not_after: at(1000 + number),
        actor: Actor::anonymous(),
        predecessor: None,
        request_id: RequestId::new(number.to_be_bytes()),
        begun: NOW,
        ..Intent::blank(serial(number), "fleet".parse().unwrap(), "device".parse().unwrap())
    }
}

/// The same with every field that may be absent.
pub(super) fn with_all_fields(intent: Intent) -> Intent {
    Intent {
        device: Some(DeviceId::derived(intent.label.as_ref(), &[7; 32])),
        token: Some(TokenId([8; 32])),
        proofs: vec!["password".to_owned(), "manufacturer:acme".to_owned()],
        address: Some("2001:db8::7".parse().unwrap()),
        ca_generation: Some(3),
        crl_partition: Some(4),
        ..intent
    }
}

pub(super) fn event(name: Name, number: u64) -> Event {
    Event::new(at(5), name, Actor::server())
        .request(RequestId::new(number.to_be_bytes()))
        .with("number", number)
}

/// The id of event `number` of a new store's first writer.
pub(super) const fn nth(number: u64) -> EventId {
    EventId { writer: 1, number }
}

pub(super) fn issued(number: u64) -> Event {
    event(Name::CertificateIssued, number)
}

pub(super) fn account(name: &str) -> Account {
    Account {
        name: name.to_owned(),
        password: Password::Hash("$argon2id$v=19$…".to_owned()),
        added: NOW,
        expires: None,
        labels: Some(vec!["factory".parse().unwrap()]),
    }
}

/// An account whose password can be recomputed.
pub(super) fn digest_account(name: &str) -> Account {
    let secret = |algorithm| Secret::new(algorithm, name, "estd", "secret");
    let kept = Recomputable {
        realm: "estd".to_owned(),
        sha256: secret(Algorithm::Sha256),
        md5: Some(secret(Algorithm::Md5)),
        identity_proof: Some(ProofKeys {
            alone: Zeroizing::new([7; 32]),
            named: Zeroizing::new([8; 32]),
        }),
    };
    Account { password: Password::Recomputable(Box::new(kept)), labels: None, ..account(name) }
}

pub(super) async fn issue(store: &dyn Store, number: u64) -> Arc<Issuance> {
    assert_eq!(
        store.begin(intent(number, number), Conditions::default()).await.unwrap(),
        Begun::New
    );
    store.complete(&serial(number), vec![0x31; 800], issued(number)).await.unwrap()
}

/// A new backend.
#[async_trait]
pub(super) trait Backend: Send + Sync {
    fn new() -> Self;
    async fn open(&self, trail: Arc<dyn Trail>) -> Arc<dyn Store>;
}

struct Memory;

#[async_trait]
impl Backend for Memory {
    fn new() -> Self {
        Self
    }
    async fn open(&self, trail: Arc<dyn Trail>) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(trail))
    }
}

struct Sled(TempDir);

#[async_trait]
impl Backend for Sled {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
    async fn open(&self, trail: Arc<dyn Trail>) -> Arc<dyn Store> {
        Arc::new(SledStore::open(self.0.path(), CACHE, NOW, trail).unwrap())
    }
}

/// A database of its own on a server that the tests share.
pub(super) struct Postgres {
    server: Arc<server::Postgres>,
    database: String,
}

impl Postgres {
    pub(super) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database, sql)
    }

    /// A database with the contents of a dump.
    pub(super) fn of_dump(file: &std::path::Path) -> Self {
        let database = Self::new();
        database.server.load(&database.database, file);
        database
    }

    pub(super) fn options(&self) -> PostgresOptions {
        let mut connection = tokio_postgres::Config::new();
        connection.host_path(self.server.socket()).user("estd").dbname(&self.database);
        connection.ssl_mode(tokio_postgres::config::SslMode::Disable);
        let patience = Duration::from_secs(20);
        PostgresOptions { connection, anchors: Vec::new(), connections: 4, patience }
    }
}

#[async_trait]
impl Backend for Postgres {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("contract_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = server::shared();
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
        Self { server, database }
    }
    async fn open(&self, trail: Arc<dyn Trail>) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(self.options(), trail).await.unwrap())
    }
}

/// A store to test, and its trail.
pub(super) struct Trial {
    pub(super) store: Arc<dyn Store>,
    pub(super) trail: Arc<Recorder>,
}

macro_rules! contract {
    ($($behavior:ident),+ $(,)?) => {
        contract!(@backend memory Memory $($behavior)+);
        contract!(@backend sled Sled $($behavior)+);
        contract!(@backend postgres Postgres $($behavior)+);
    };
    (@backend $module:ident $backend:ident $($behavior:ident)+) => {
        mod $module {
            use super::{$backend as Chosen, *};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behavior() {
                    let backend = Chosen::new();
                    let trail = Arc::new(Recorder::default());
                    let store = backend.open(Arc::clone(&trail) as Arc<dyn Trail>).await;
                    super::$behavior(Trial { store: Arc::clone(&store), trail }).await;
                    store.close().await;
                }
            )+
        }
    };
}

contract!(
    an_issuance_is_begun_then_completed,
    an_open_issuance_can_be_voided,
    a_step_needs_its_state,
    a_serial_number_is_taken_once,
    of_two_certificates_the_first_one_counts,
    a_retry_finds_the_first_issuance_until_its_window_is_over,
    a_retry_of_an_open_issuance_finds_it_until_its_window_is_over,
    after_a_void_the_same_request_starts_afresh,
    a_certificate_is_revoked_once_and_for_good,
    of_several_that_revoke_at_once_one_counts,
    after_a_revocation_the_same_request_starts_afresh,
    a_certificate_revoked_during_a_retry_is_not_returned_later,
    an_old_issuance_that_completes_late_does_not_displace_the_new_one,
    of_equal_intents_at_once_one_is_new,
    lists_in_order_and_in_pages,
    lists_issuances_that_match_the_filter,
    keeps_accounts,
    numbers_events_without_gaps_and_publishes_them_in_that_order,
    lists_events_from_any_number,
    a_register_is_set_once,
    records_of_another_store_are_imported_verbatim,
    many_at_once_all_get_their_own,
    accepts_large_records,
    answers_unavailable_once_closed,
);

pub(super) mod registry;

async fn an_issuance_is_begun_then_completed(Trial { store, trail }: Trial) {
    let intent = intent(1, 1);
    assert_eq!(store.find(&serial(1)).await.unwrap(), None);
    assert_eq!(store.begin(intent.clone(), Conditions::default()).await.unwrap(), Begun::New);
    let open = store.find(&serial(1)).await.unwrap().unwrap();
    assert_eq!(*open, Issuance::from(intent.clone()));
    assert!(trail.published().is_empty());

    let record = store.complete(&serial(1), vec![1, 2, 3], issued(1)).await.unwrap();
    let expected = Issuance {
        intent: Intent { tbs: Arc::default(), ..intent },
        state: State::Issued,
        certificate: vec![1, 2, 3],
        ended: Some(at(5)),
        revocation: None,
    };
    assert_eq!(*record, expected);
    assert_eq!(*store.find(&serial(1)).await.unwrap().unwrap(), expected);
    assert_eq!(trail.published(), [(Some(nth(1)), issued(1))]);
}

async fn an_open_issuance_can_be_voided(Trial { store, trail }: Trial) {
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    store.void(&serial(1), event(Name::IssuanceVoided, 1)).await.unwrap();
    let record = store.find(&serial(1)).await.unwrap().unwrap();
    assert_eq!((record.state, record.ended), (State::Void, Some(at(5))));
    assert!(record.certificate.is_empty() && record.intent.tbs.is_empty());
    store.void(&serial(1), event(Name::IssuanceVoided, 2)).await.unwrap();
    assert_eq!(trail.published(), [(Some(nth(1)), event(Name::IssuanceVoided, 1))], "once");
}

async fn a_step_needs_its_state(Trial { store, trail }: Trial) {
    let none = store.complete(&serial(1), vec![1], issued(1)).await;
    assert!(matches!(none, Err(Error::NoSuchIssuance(number)) if number == serial(1)));
    let none = store.void(&serial(1), issued(1)).await;
    assert!(matches!(none, Err(Error::NoSuchIssuance(number)) if number == serial(1)));

    issue(&*store, 1).await;
    let complete = store.void(&serial(1), event(Name::IssuanceVoided, 1)).await;
    assert!(matches!(complete, Err(Error::WrongState { state: State::Issued, .. })));

    store.begin(intent(2, 2), Conditions::default()).await.unwrap();
    store.void(&serial(2), event(Name::IssuanceVoided, 2)).await.unwrap();
    let void = store.complete(&serial(2), vec![1], issued(2)).await;
    assert!(matches!(void, Err(Error::WrongState { state: State::Void, .. })));
    assert_eq!(trail.published().len(), 2, "a failed change leaves no event");
}

async fn a_serial_number_is_taken_once(Trial { store, .. }: Trial) {
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    let taken = store.begin(intent(1, 2), Conditions::default()).await;
    assert!(matches!(taken, Err(Error::SerialTaken(number)) if number == serial(1)), "open");
    store.complete(&serial(1), vec![1], issued(1)).await.unwrap();
    assert!(
        matches!(
            store.begin(intent(1, 3), Conditions::default()).await,
            Err(Error::SerialTaken(_))
        ),
        "issued"
    );
    store.begin(intent(2, 4), Conditions::default()).await.unwrap();
    store.void(&serial(2), event(Name::IssuanceVoided, 2)).await.unwrap();
    assert!(
        matches!(
            store.begin(intent(2, 5), Conditions::default()).await,
            Err(Error::SerialTaken(_))
        ),
        "void"
    );
    // The failed ones left nothing behind.
    assert_eq!(store.begin(intent(3, 3), Conditions::default()).await.unwrap(), Begun::New);
}

async fn of_two_certificates_the_first_one_counts(Trial { store, trail }: Trial) {
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    let first = store.complete(&serial(1), vec![1], issued(1)).await.unwrap();
    let second = store.complete(&serial(1), vec![2], issued(2)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(trail.published(), [(Some(nth(1)), issued(1))]);

    store.begin(intent(2, 2), Conditions::default()).await.unwrap();
    let mut rivals = JoinSet::new();
    for byte in 0..20 {
        let store = Arc::clone(&store);
        let event = issued(u64::from(byte));
        rivals.spawn(async move { store.complete(&serial(2), vec![byte], event).await.unwrap() });
    }
    let answers: HashSet<Vec<u8>> =
        rivals.join_all().await.into_iter().map(|record| record.certificate.clone()).collect();
    assert_eq!(answers.len(), 1, "all got the same");
    assert_eq!(trail.published().len(), 2);
}

async fn a_retry_finds_the_first_issuance_until_its_window_is_over(Trial { store, .. }: Trial) {
    let first = issue(&*store, 1).await;
    let retry = |number, seconds| Intent { begun: at(seconds), ..intent(number, 1) };
    let again = async |seconds| store.first_answer(&key(1), at(seconds)).await.unwrap();
    assert_eq!(store.first_answer(&key(2), at(59)).await.unwrap(), None, "another request");
    assert_eq!((again(59).await, again(60).await), (Some(Arc::clone(&first)), None));
    assert_eq!(
        store.begin(retry(2, 59), Conditions::default()).await.unwrap(),
        Begun::Complete(first)
    );
    assert_eq!(store.find(&serial(2)).await.unwrap(), None, "a retry records nothing");
    let at_the_end = Intent { retry_until: at(120), ..retry(3, 60) };
    assert_eq!(store.begin(at_the_end, Conditions::default()).await.unwrap(), Begun::New);
    let third = store.complete(&serial(3), vec![3], issued(3)).await.unwrap();
    assert_eq!(
        store.begin(retry(4, 61), Conditions::default()).await.unwrap(),
        Begun::Complete(third)
    );
    assert_eq!(store.begin(retry(5, 120), Conditions::default()).await.unwrap(), Begun::New);
}

async fn a_retry_of_an_open_issuance_finds_it_until_its_window_is_over(Trial { store, .. }: Trial) {
    let first = intent(1, 1);
    store.begin(first.clone(), Conditions::default()).await.unwrap();
    let retry = |number, seconds| Intent { begun: at(seconds), ..intent(number, 1) };
    let open = Begun::Open(Arc::new(first.into()));
    assert_eq!(store.begin(retry(2, 59), Conditions::default()).await.unwrap(), open);
    assert_eq!(store.begin(retry(3, 60), Conditions::default()).await.unwrap(), Begun::New);
}

async fn after_a_void_the_same_request_starts_afresh(Trial { store, .. }: Trial) {
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    store.void(&serial(1), event(Name::IssuanceVoided, 1)).await.unwrap();
    assert_eq!(store.begin(intent(2, 1), Conditions::default()).await.unwrap(), Begun::New);
}

/// A revocation at a time of its own, which distinguishes it from others.
pub(super) fn revocation(number: u64) -> Revocation {
    let reasons = RevocationReason::ALL;
    let reason = reasons[usize::try_from(number).unwrap() % reasons.len()];
    Revocation { at: at(20 + number), reason }
}

pub(super) fn revoked(number: u64) -> Event {
    event(Name::CertificateRevoked, number)
}

async fn a_certificate_is_revoked_once_and_for_good(Trial { store, trail }: Trial) {
    let none = store.revoke(&serial(1), revocation(1), revoked(1)).await;
    assert!(matches!(none, Err(Error::NoSuchIssuance(number)) if number == serial(1)));
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    let open = store.revoke(&serial(1), revocation(1), revoked(1)).await;
    assert!(matches!(open, Err(Error::WrongState { state: State::Open, .. })), "{open:?}");
    store.void(&serial(1), event(Name::IssuanceVoided, 1)).await.unwrap();
    let void = store.revoke(&serial(1), revocation(1), revoked(1)).await;
    assert!(matches!(void, Err(Error::WrongState { state: State::Void, .. })), "{void:?}");

    for number in 2..=3 {
        issue(&*store, number).await;
    }
    let issued = store.find(&serial(2)).await.unwrap().unwrap();
    let expected = Issuance {
        state: State::Revoked,
        revocation: Some(revocation(2)),
        ..Issuance::clone(&issued)
    };
    let record = store.revoke(&serial(2), revocation(2), revoked(2)).await.unwrap();
    assert_eq!(*record, expected);
    assert_eq!(*store.find(&serial(2)).await.unwrap().unwrap(), expected);
    // Twice is no error, and changes nothing.
    let again = store.revoke(&serial(2), revocation(3), revoked(3)).await.unwrap();
    assert_eq!(*again, expected);
    assert_eq!(*store.find(&serial(2)).await.unwrap().unwrap(), expected);
    assert_eq!(trail.published().last(), Some(&(Some(nth(4)), revoked(2))));
    assert_eq!(trail.published().len(), 4, "one event: {:?}", trail.published());

    // No other step makes it valid again.
    let late = store.complete(&serial(2), vec![9], event(Name::CertificateIssued, 9)).await;
    assert!(matches!(late, Err(Error::WrongState { state: State::Revoked, .. })), "{late:?}");
    let void = store.void(&serial(2), event(Name::IssuanceVoided, 9)).await;
    assert!(matches!(void, Err(Error::WrongState { state: State::Revoked, .. })), "{void:?}");
    let taken = store.begin(intent(2, 99), Conditions::default()).await;
    assert!(matches!(taken, Err(Error::SerialTaken(_))));
    for (state, found) in [(State::Revoked, 2), (State::Issued, 3), (State::Void, 1)] {
        let filter = Filter { state: Some(state), ..Filter::default() };
        assert_eq!(numbers(&store.list(&filter, None, 9).await.unwrap()), [found], "{state}");
    }
    assert_eq!(trail.published().len(), 4, "a failed change leaves no event");
}

async fn of_several_that_revoke_at_once_one_counts(Trial { store, trail }: Trial) {
    issue(&*store, 1).await;
    let mut rivals = JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        rivals.spawn(async move {
            store.revoke(&serial(1), revocation(number), revoked(number)).await.unwrap()
        });
    }
    let answers = rivals.join_all().await;
    let record = store.find(&serial(1)).await.unwrap().unwrap();
    assert!(
        answers.iter().all(|answer| *answer == record),
        "all return the same record: {answers:?}"
    );
    let published = trail.published();
    let [_, (_, event)] = &published[..] else { panic!("one event: {published:?}") };
    let winner = (0..20).find(|number| Some(revocation(*number)) == record.revocation).unwrap();
    assert_eq!(*event, revoked(winner), "the event is that of the revocation on record");
}

async fn after_a_revocation_the_same_request_starts_afresh(Trial { store, .. }: Trial) {
    issue(&*store, 1).await;
    store.revoke(&serial(1), revocation(1), revoked(1)).await.unwrap();
    assert_eq!(store.begin(intent(2, 1), Conditions::default()).await.unwrap(), Begun::New);
    let second = store.complete(&serial(2), vec![2], issued(2)).await.unwrap();
    assert_eq!(
        store.begin(intent(3, 1), Conditions::default()).await.unwrap(),
        Begun::Complete(second),
        "and is one"
    );
    // Revoking the certificate of an earlier request does not affect a later one of that key.
    let later = |number| Intent { begun: at(70), retry_until: at(130), ..intent(number, 1) };
    assert_eq!(store.begin(later(4), Conditions::default()).await.unwrap(), Begun::New);
    let fourth = store.complete(&serial(4), vec![4], issued(4)).await.unwrap();
    store.revoke(&serial(2), revocation(2), revoked(2)).await.unwrap();
    assert_eq!(
        store.begin(later(5), Conditions::default()).await.unwrap(),
        Begun::Complete(fourth)
    );
}

async fn a_certificate_revoked_during_a_retry_is_not_returned_later(Trial { store, .. }: Trial) {
    for round in 0..10 {
        let number = round * 100;
        let first = issue(&*store, number).await;
        let mut rivals = JoinSet::new();
        for repeat in 1..=8 {
            let store = Arc::clone(&store);
            rivals.spawn(async move {
                (
                    repeat,
                    store
                        .begin(intent(number + repeat, number), Conditions::default())
                        .await
                        .unwrap(),
                )
            });
        }
        let event = revoked(number);
        let record = store.revoke(&serial(number), revocation(1), event).await.unwrap();
        assert_eq!(record.state, State::Revoked);
        let later = store.begin(intent(number + 9, number), Conditions::default()).await.unwrap();
        let mut begun = rivals.join_all().await;
        begun.push((9, later.clone()));
        assert!(!matches!(&later, Begun::Complete(_)), "{later:?}");
        let new: Vec<u64> = begun
            .iter()
            .filter(|(_, begun)| *begun == Begun::New)
            .map(|(repeat, _)| number + repeat)
            .collect();
        let [winner] = new[..] else { panic!("one begins anew: {begun:?}") };
        for (repeat, begun) in begun {
            match begun {
                Begun::New => {}
                Begun::Open(open) => assert_eq!(open.intent.serial, serial(winner), "{repeat}"),
                Begun::Complete(old) => assert_eq!(old, first, "as it was before: {repeat}"),
                Begun::Unmet(unmet) => panic!("{unmet:?}"),
            }
        }
    }
}

async fn an_old_issuance_that_completes_late_does_not_displace_the_new_one(
    Trial { store, .. }: Trial,
) {
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    let second = Intent { begun: at(60), retry_until: at(120), ..intent(2, 1) };
    assert_eq!(store.begin(second, Conditions::default()).await.unwrap(), Begun::New);
    let late = Event { at: at(70), ..issued(1) };
    store.complete(&serial(1), vec![1], late).await.unwrap();
    let third = Intent { begun: at(80), ..intent(3, 1) };
    let found = store.begin(third.clone(), Conditions::default()).await.unwrap();
    assert!(matches!(found, Begun::Open(record) if record.intent.serial == serial(2)));
    // Nor does voiding the old one free the key.
    let fourth = Intent { begun: at(200), retry_until: at(210), ..intent(4, 1) };
    assert_eq!(store.begin(fourth, Conditions::default()).await.unwrap(), Begun::New);
    store.void(&serial(2), event(Name::IssuanceVoided, 2)).await.unwrap();
    let found =
        store.begin(Intent { begun: at(201), ..third }, Conditions::default()).await.unwrap();
    assert!(matches!(found, Begun::Open(record) if record.intent.serial == serial(4)));
}

async fn of_equal_intents_at_once_one_is_new(Trial { store, .. }: Trial) {
    let mut rivals = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        rivals.spawn(async move {
            (number, store.begin(intent(number, 1), Conditions::default()).await.unwrap())
        });
    }
    let answers = rivals.join_all().await;
    let new: Vec<u64> =
        answers.iter().filter(|(_, begun)| *begun == Begun::New).map(|(n, _)| *n).collect();
    let [winner] = new[..] else { panic!("one is new: {new:?}") };
    let first = Arc::new(Issuance::from(intent(winner, 1)));
    let others = answers.iter().filter(|(number, _)| *number != winner);
    assert!(others.map(|(_, begun)| begun).all(|begun| *begun == Begun::Open(first.clone())));
    assert_eq!(store.list(&Filter::default(), None, 100).await.unwrap(), [first]);
}

fn numbers(issuances: &[Arc<Issuance>]) -> Vec<u64> {
    let numbers = issuances.iter().map(|issuance| {
        issuance.intent.subject.trim_start_matches("CN=device-").parse::<u64>().unwrap()
    });
    numbers.collect()
}

async fn lists_in_order_and_in_pages(Trial { store, .. }: Trial) {
    // Every third stays open; begun in no order.
    for number in [5, 300, 2, 9, 7, 1, 8, 3, 6, 4] {
        store.begin(intent(number, number), Conditions::default()).await.unwrap();
        if number % 3 != 0 {
            store.complete(&serial(number), vec![1], issued(number)).await.unwrap();
        }
    }
    let all = Filter::default();
    let page = store.list(&all, None, 4).await.unwrap();
    assert_eq!(numbers(&page), [1, 2, 3, 4]);
    let page = store.list(&all, Some(&serial(4)), 4).await.unwrap();
    assert_eq!(numbers(&page), [5, 6, 7, 8]);
    let page = store.list(&all, Some(&serial(8)), 4).await.unwrap();
    assert_eq!(numbers(&page), [9, 300]);
    // After one that does not exist, and after the last.
    assert_eq!(numbers(&store.list(&all, Some(&serial(20)), 4).await.unwrap()), [300]);
    assert!(store.list(&all, Some(&serial(300)), 4).await.unwrap().is_empty());
    assert!(store.list(&all, None, 0).await.unwrap().is_empty());
}

async fn lists_issuances_that_match_the_filter(Trial { store, .. }: Trial) {
    for number in 1..=6 {
        store.begin(intent(number, number), Conditions::default()).await.unwrap();
    }
    for number in [1, 2, 3] {
        store.complete(&serial(number), vec![1], issued(number)).await.unwrap();
    }
    store.void(&serial(4), event(Name::IssuanceVoided, 4)).await.unwrap();
    let any = Filter::default();
    let label = "factory".parse().unwrap();
    let cases = [
        (Filter { state: Some(State::Open), ..any.clone() }, vec![5, 6]),
        (Filter { state: Some(State::Issued), ..any.clone() }, vec![1, 2, 3]),
        (Filter { state: Some(State::Void), ..any.clone() }, vec![4]),
        (Filter { subject: Some("DEVICE-3".to_owned()), ..any.clone() }, vec![3]),
        (Filter { subject: Some("5.example".to_owned()), ..any.clone() }, vec![5]),
        (Filter { label: Some(Some(label)), ..any.clone() }, vec![2, 4, 6]),
        (Filter { label: Some(None), ..any.clone() }, vec![1, 3, 5]),
        (Filter { expires_before: Some(at(1003)), ..any.clone() }, vec![1, 2]),
        (Filter { expires_from: Some(at(1005)), ..any.clone() }, vec![5, 6]),
    ];
    for (filter, expected) in cases {
        let found = store.list(&filter, None, 10).await.unwrap();
        assert_eq!(numbers(&found), expected, "{filter:?}");
    }
    let label = "factory".parse().unwrap();
    let filter = Filter { label: Some(Some(label)), state: Some(State::Issued), ..any };
    assert_eq!(numbers(&store.list(&filter, None, 1).await.unwrap()), [2]);
}

async fn keeps_accounts(Trial { store, trail }: Trial) {
    let added = |number| event(Name::AccountAdded, number);
    for (number, name) in [(1, "b"), (2, ""), (3, "a")] {
        store.add_account(account(name), added(number)).await.unwrap();
    }
    let twice = store.add_account(account("a"), added(4)).await;
    assert!(matches!(twice, Err(Error::AccountExists(name)) if name == "a"));
    assert_eq!(store.account("").await.unwrap(), Some(account("")));
    let digest = digest_account("digest");
    store.add_account(digest.clone(), added(4)).await.unwrap();
    assert_eq!(store.account("digest").await.unwrap(), Some(digest));
    store.remove_account("digest", event(Name::AccountRemoved, 4)).await.unwrap();
    assert_eq!(store.account("c").await.unwrap(), None);
    assert_eq!(store.accounts().await.unwrap(), [account(""), account("a"), account("b")]);

    let removed = event(Name::AccountRemoved, 5);
    store.remove_account("a", removed.clone()).await.unwrap();
    let twice = store.remove_account("a", removed.clone()).await;
    assert!(matches!(twice, Err(Error::NoSuchAccount(name)) if name == "a"));
    assert_eq!(store.accounts().await.unwrap(), [account(""), account("b")]);
    let between = event(Name::AccountRemoved, 4);
    let events = [added(1), added(2), added(3), added(4), between, removed];
    assert_eq!(
        store.events(nth(1), 10).await.unwrap(),
        (1..).map(nth).zip(events.clone()).collect::<Vec<(EventId, Event)>>()
    );
    assert_eq!(trail.published().into_iter().map(|(_, event)| event).collect::<Vec<_>>(), events);
}

async fn numbers_events_without_gaps_and_publishes_them_in_that_order(
    Trial { store, trail }: Trial,
) {
    let mut tasks = JoinSet::new();
    for number in 1..=200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            match number % 3 {
                0 => drop(issue(&*store, number).await),
                1 => store.append(event(Name::ServerReloaded, number)).await.unwrap(),
                _ => {
                    let name = format!("account-{number}");
                    let added = event(Name::AccountAdded, number);
                    store.add_account(account(&name), added).await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
    let events = store.events(nth(1), 1000).await.unwrap();
    let order: Vec<u64> = events.iter().map(|(id, _)| id.number).collect();
    assert_eq!(order, (1..=200).collect::<Vec<u64>>());
    let published: Vec<(EventId, Event)> =
        trail.published().into_iter().map(|(id, event)| (id.unwrap(), event)).collect();
    assert_eq!(published, events);
}

async fn lists_events_from_any_number(Trial { store, .. }: Trial) {
    assert!(store.events(nth(0), 10).await.unwrap().is_empty());
    let mut tasks = JoinSet::new();
    for number in 1..=300 {
        let store = Arc::clone(&store);
        tasks
            .spawn(async move { store.append(event(Name::ServerReloaded, number)).await.unwrap() });
    }
    tasks.join_all().await;
    let all = store.events(EventId { writer: 0, number: 0 }, 1000).await.unwrap();
    assert_eq!(all.len(), 300);
    for from in [1, 2, 39, 150, 299, 300] {
        let index = usize::try_from(from).unwrap() - 1;
        assert_eq!(store.events(nth(from), 1000).await.unwrap(), all[index..], "from {from}");
        assert_eq!(store.events(nth(from), 1).await.unwrap(), all[index..=index], "from {from}");
    }
    assert!(store.events(nth(301), 10).await.unwrap().is_empty());
    assert!(store.events(nth(u64::MAX), 10).await.unwrap().is_empty());
    assert!(store.events(nth(1), 0).await.unwrap().is_empty());
}

async fn a_register_is_set_once(Trial { store, .. }: Trial) {
    assert!(store.registers().await.unwrap().is_empty());
    assert_eq!(store.compare_and_set("ca/a", None, b"one").await.unwrap(), CompareAndSet::Set);
    let otherwise = |now: &[u8]| CompareAndSet::Differs(Some(now.to_vec()));
    assert_eq!(store.compare_and_set("ca/a", None, b"two").await.unwrap(), otherwise(b"one"));
    assert_eq!(
        store.compare_and_set("ca/a", Some(b"two"), b"three").await.unwrap(),
        otherwise(b"one")
    );
    assert_eq!(
        store.compare_and_set("ca/a", Some(b"one"), b"four").await.unwrap(),
        CompareAndSet::Set
    );
    assert_eq!(store.register("ca/a").await.unwrap().as_deref(), Some(&b"four"[..]));
    assert_eq!(store.register("b").await.unwrap(), None);
    let none = store.compare_and_set("b", Some(b"one"), b"two").await.unwrap();
    assert_eq!(none, CompareAndSet::Differs(None));

    let mut rivals = JoinSet::new();
    for number in 0..20_u8 {
        let store = Arc::clone(&store);
        rivals.spawn(async move { store.compare_and_set("lease", None, &[number]).await.unwrap() });
    }
    let answers = rivals.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer == CompareAndSet::Set).count(), 1);
    let registers = store.registers().await.unwrap();
    let [(first, _), (lease, holder)] = &registers[..] else { panic!("two: {registers:?}") };
    assert_eq!((first.as_str(), lease.as_str()), ("ca/a", "lease"));
    let others = answers.iter().filter(|answer| **answer != CompareAndSet::Set);
    assert!(others.into_iter().all(|answer| *answer == otherwise(holder)));
}

/// Returns all records of a store, in the order in which they are copied.
async fn everything(store: &dyn Store) -> Vec<Item> {
    let issuances = store.list(&Filter::default(), None, 1000).await.unwrap();
    let events = store.events(EventId { writer: 0, number: 0 }, 1000).await.unwrap();
    let mut items: Vec<Item> = issuances.into_iter().map(Item::Issuance).collect();
    items.extend(store.accounts().await.unwrap().into_iter().map(Item::Account));
    items.extend(events.into_iter().map(|(id, event)| Item::Event(id, event)));
    let registers = store.registers().await.unwrap().into_iter();
    items.extend(registers.map(|(name, value)| Item::Register(name, value)));
    items
}

async fn records_of_another_store_are_imported_verbatim(Trial { store, trail }: Trial) {
    let other = MemoryStore::new(Arc::new(Recorder::default()));
    for number in 1..=40 {
        issue(&other, number).await;
    }
    for number in 41..=43 {
        other.begin(intent(number, number), Conditions::default()).await.unwrap();
    }
    other.void(&serial(43), event(Name::IssuanceVoided, 43)).await.unwrap();
    issue(&other, 44).await;
    other.revoke(&serial(44), revocation(44), revoked(44)).await.unwrap();
    other.add_account(account("a"), event(Name::AccountAdded, 42)).await.unwrap();
    other.compare_and_set("ca/a", None, b"one").await.unwrap();
    let mut items = everything(&other).await;
    let foreign = |number| {
        let id = EventId { writer: 1 << 40, number };
        Item::Event(id, event(Name::ServerStarted, number))
    };
    items.extend([foreign(1), foreign(2)]);
    items.sort_by_key(|item| match item {
        Item::Issuance(_) => (0, None),
        Item::Account(_) => (1, None),
        Item::Event(id, _) => (2, Some(*id)),
        Item::Register(..) | Item::Device(_) | Item::Token(_) => (3, None),
    });
    store.import(items.clone()).await.unwrap();
    assert_eq!(everything(&*store).await, items);
    assert!(trail.published().is_empty(), "imported events are not published");
    // Again, as after an interrupted import.
    store.import(items.clone()).await.unwrap();
    assert_eq!(everything(&*store).await, items);

    // Imported records behave as in the store they are from.
    let first = store.find(&serial(1)).await.unwrap().unwrap();
    assert_eq!(
        store.begin(intent(100, 1), Conditions::default()).await.unwrap(),
        Begun::Complete(first)
    );
    let open = store.find(&serial(41)).await.unwrap().unwrap();
    assert_eq!(
        store.begin(intent(101, 41), Conditions::default()).await.unwrap(),
        Begun::Open(open)
    );
    assert!(matches!(
        store.begin(intent(43, 43), Conditions::default()).await,
        Err(Error::SerialTaken(_))
    ));
    assert_eq!(store.begin(intent(102, 43), Conditions::default()).await.unwrap(), Begun::New);
    assert_eq!(
        store.begin(intent(103, 44), Conditions::default()).await.unwrap(),
        Begun::New,
        "it was revoked in the other store"
    );
    let again = store.revoke(&serial(44), revocation(1), revoked(1)).await.unwrap();
    assert_eq!(again.revocation, Some(revocation(44)));
    store.complete(&serial(41), vec![1], issued(41)).await.unwrap();

    // Records with different contents are rejected.
    let mut changed = Issuance::clone(&*store.find(&serial(2)).await.unwrap().unwrap());
    changed.certificate[0] ^= 1;
    let kept = Issuance::clone(&*store.find(&serial(44)).await.unwrap().unwrap());
    let other_reason = Issuance { revocation: Some(revocation(45)), ..kept };
    let differing = [
        (Item::Issuance(Arc::new(other_reason)), format!("issuance {}", serial(44))),
        (Item::Issuance(Arc::new(changed)), format!("issuance {}", serial(2))),
        (Item::Account(Account { added: at(9), ..account("a") }), "account \"a\"".to_owned()),
        (Item::Event(nth(3), event(Name::ServerStopped, 3)), "event 3 of writer 1".to_owned()),
        (Item::Register("ca/a".to_owned(), b"two".to_vec()), "register \"ca/a\"".to_owned()),
    ];
    for (item, name) in differing {
        let imported = store.import(vec![item]).await;
        assert!(matches!(&imported, Err(Error::Conflict(what)) if *what == name), "{imported:?}");
    }
    let gap = Item::Event(EventId { writer: 1 << 40, number: 4 }, event(Name::ServerStarted, 4));
    assert!(matches!(store.import(vec![gap]).await, Err(Error::Conflict(_))));
}

async fn many_at_once_all_get_their_own(Trial { store, trail }: Trial) {
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for each in 0..50 {
                let number = task * 50 + each;
                let record = issue(&*store, number).await;
                assert_eq!(record.intent.serial, serial(number));
                let retry = store
                    .begin(intent(1_000_000 + number, number), Conditions::default())
                    .await
                    .unwrap();
                assert_eq!(retry, Begun::Complete(record));
            }
        });
    }
    tasks.join_all().await;
    let filter = Filter { state: Some(State::Issued), ..Filter::default() };
    let issued = store.list(&filter, None, 10_000).await.unwrap();
    assert_eq!(numbers(&issued), (0..3200).collect::<Vec<u64>>());
    assert_eq!(trail.published().len(), 3200);
}

async fn accepts_large_records(Trial { store, .. }: Trial) {
    for number in 1..=40 {
        let large = Intent { tbs: vec![9; 30_000].into(), ..intent(number, number) };
        store.begin(large, Conditions::default()).await.unwrap();
        store.complete(&serial(number), vec![8; 31_000], issued(number)).await.unwrap();
    }
    let all = store.list(&Filter::default(), None, 100).await.unwrap();
    assert_eq!(all.len(), 40);
    assert!(all.iter().all(|record| record.certificate.len() == 31_000));
}

async fn answers_unavailable_once_closed(Trial { store, .. }: Trial) {
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    store.close().await;
    store.close().await;
    fn check<T: std::fmt::Debug>(answer: Result<T, Error>) {
        let text = answer.unwrap_err().to_string();
        assert_eq!(text, "the store is not available: it was closed");
    }
    check(store.begin(intent(2, 2), Conditions::default()).await);
    check(store.complete(&serial(1), vec![1], issued(1)).await);
    check(store.void(&serial(1), issued(1)).await);
    check(store.revoke(&serial(1), revocation(1), revoked(1)).await);
    check(store.find(&serial(1)).await);
    check(store.find(&serial(2)).await);
    check(store.list(&Filter::default(), None, 1).await);
    check(store.add_account(account("a"), issued(1)).await);
    check(store.remove_account("a", issued(1)).await);
    check(store.account("a").await);
    check(store.accounts().await);
    check(store.append(issued(1)).await);
    check(store.compare_and_set("a", None, b"").await);
    check(store.register("a").await);
    check(store.registers().await);
    check(store.import(vec![Item::Account(account("a"))]).await);
    check(store.events(nth(1), 1).await);
}
