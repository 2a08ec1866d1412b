//! Tests of a store on a disk. `store/contract.rs` tests its behavior as a store.
//!
//! Longer than 500 lines, because all of them damage, stop or compare a folder by the same helpers.

use super::{
    super::{
        Password,
        contract::{
            CACHE, NOW, Recorder, account, at, event, intent, issue, issued, nth, revocation,
            revoked, serial,
        },
    },
    disk::{CONF, LARGEST},
    *,
};
use crate::{
    telemetry::audit::{Name, NoTrail},
    types::{Actor, AuthMethod, Operation, TrustClass},
};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::Duration,
};
use tempfile::TempDir;

mod registry;

fn open(folder: &Path) -> Result<SledStore, Error> {
    SledStore::open(folder, CACHE, NOW, Arc::new(NoTrail))
}

fn count(folder: &Path, tree: &str) -> usize {
    ::sled::open(folder).unwrap().open_tree(tree).unwrap().len()
}

/// Writes a value into a folder behind the store's back.
fn tamper(folder: &Path, tree: &str, key: &[u8], value: &[u8]) {
    let db = ::sled::open(folder).unwrap();
    db.open_tree(tree).unwrap().insert(key, value).unwrap();
    db.flush().unwrap();
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    let second = open(folder.path()).err().unwrap();
    let name = folder.path().display().to_string();
    assert!(matches!(second, Error::InUse(folder) if folder == name));
    store.close().await;
    open(folder.path()).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn can_be_opened_as_soon_as_it_is_closed() {
    let folder = TempDir::new().unwrap();
    for round in 1..=50 {
        let store = Arc::new(open(folder.path()).unwrap());
        issue(&*store, round).await;
        // Reads that run, and one that nobody waits for, must not hold the folder.
        let reads: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.list(&Filter::default(), None, 1000).await })
            })
            .collect();
        reads.iter().take(4).for_each(tokio::task::JoinHandle::abort);
        store.close().await;
    }
}

#[tokio::test]
async fn opening_again_finds_everything() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..=30 {
        issue(&store, number).await;
    }
    store.begin(intent(31, 31), Conditions::default()).await.unwrap();
    store.void(&serial(31), event(Name::IssuanceVoided, 31)).await.unwrap();
    store.begin(intent(32, 32), Conditions::default()).await.unwrap();
    store.add_account(account("a"), event(Name::AccountAdded, 32)).await.unwrap();
    let all = store.list(&Filter::default(), None, 100).await.unwrap();
    let events = store.events(nth(1), 100).await.unwrap();
    assert_eq!((all.len(), events.len()), (32, 32));
    store.close().await;

    let trail = Arc::new(Recorder::default());
    let store = SledStore::open(folder.path(), CACHE, at(10), Arc::clone(&trail) as Arc<dyn Trail>)
        .unwrap();
    assert_eq!(store.list(&Filter::default(), None, 100).await.unwrap(), all);
    assert_eq!(store.events(nth(1), 100).await.unwrap(), events);
    assert_eq!(store.accounts().await.unwrap(), [account("a")]);
    assert!(trail.published().is_empty(), "published events are not published again");
    store.append(event(Name::ServerStarted, 33)).await.unwrap();
    assert_eq!(trail.published(), [(Some(nth(33)), event(Name::ServerStarted, 33))]);
    store.close().await;
}

#[tokio::test]
async fn a_revocation_survives_a_restart_and_ends_retries() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..=3 {
        issue(&store, number).await;
    }
    let record = store.revoke(&serial(2), revocation(2), revoked(2)).await.unwrap();
    store.close().await;
    let store = open(folder.path()).unwrap();
    assert_eq!(store.find(&serial(2)).await.unwrap(), Some(record));
    assert_eq!(store.events(nth(4), 10).await.unwrap(), [(nth(4), revoked(2))]);
    // The disk still knows its request as a recent one.
    assert_eq!(store.begin(intent(10, 2), Conditions::default()).await.unwrap(), Begun::New);
    let second = store.complete(&serial(10), vec![2], issued(10)).await.unwrap();
    assert_eq!(
        store.begin(intent(11, 2), Conditions::default()).await.unwrap(),
        Begun::Complete(Arc::clone(&second))
    );
    store.close().await;
    let store = open(folder.path()).unwrap();
    assert_eq!(
        store.begin(intent(12, 2), Conditions::default()).await.unwrap(),
        Begun::Complete(second)
    );
    store.close().await;
}

#[tokio::test]
async fn open_issuances_outlive_a_restart_and_can_be_ended() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()).unwrap());
    // Together, so that some share a page of the journal.
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=40 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            store.begin(intent(number, number), Conditions::default()).await.unwrap()
        });
    }
    tasks.join_all().await;
    for number in 1..=20 {
        store.complete(&serial(number * 2), vec![1], issued(number)).await.unwrap();
    }
    store.close().await;

    let store = open(folder.path()).unwrap();
    let open_ones = Filter { state: Some(State::Open), ..Filter::default() };
    let listed = store.list(&open_ones, None, 100).await.unwrap();
    assert_eq!(listed.len(), 20);
    let expected: Vec<_> =
        (1..=40).step_by(2).map(|number| Arc::new(intent(number, number).into())).collect();
    assert_eq!(listed, expected);
    assert!(matches!(
        store.begin(intent(1, 99), Conditions::default()).await,
        Err(Error::SerialTaken(_))
    ));
    let retry = store.begin(intent(100, 3), Conditions::default()).await.unwrap();
    assert_eq!(retry, Begun::Open(Arc::new(intent(3, 3).into())));
    let late = Intent { begun: at(60), ..intent(100, 3) };
    assert_eq!(store.begin(late, Conditions::default()).await.unwrap(), Begun::New);
    store.complete(&serial(100), vec![1], issued(100)).await.unwrap();
    for number in (1..=40).step_by(2) {
        store.void(&serial(number), event(Name::IssuanceVoided, number)).await.unwrap();
    }
    store.close().await;
    assert_eq!(count(folder.path(), "open"), 0, "the journal is empty when nothing is open");
}

#[tokio::test]
async fn retries_are_recognized_after_a_restart_and_forgotten_in_time() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..=5 {
        issue(&store, number).await;
    }
    store.close().await;
    assert_ne!(count(folder.path(), "recent"), 0);

    let store = open(folder.path()).unwrap();
    let first = store.find(&serial(3)).await.unwrap().unwrap();
    let retry = Intent { begun: at(59), ..intent(10, 3) };
    assert_eq!(store.begin(retry, Conditions::default()).await.unwrap(), Begun::Complete(first));
    store.close().await;

    let store = open(folder.path()).unwrap();
    let late = Intent { begun: at(60), retry_until: at(90), ..intent(11, 3) };
    assert_eq!(store.begin(late, Conditions::default()).await.unwrap(), Begun::New);
    store.close().await;
    assert_eq!(count(folder.path(), "recent"), 0, "and the disk forgets as well");
}

#[tokio::test]
async fn a_later_request_with_the_same_key_is_the_one_found_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    store.begin(intent(1, 1), Conditions::default()).await.unwrap();
    let second = Intent { begun: at(60), retry_until: at(120), ..intent(2, 1) };
    assert_eq!(store.begin(second.clone(), Conditions::default()).await.unwrap(), Begun::New);
    store.close().await;
    let store = open(folder.path()).unwrap();
    let third = Intent { begun: at(70), ..intent(3, 1) };
    assert_eq!(
        store.begin(third, Conditions::default()).await.unwrap(),
        Begun::Open(Arc::new(second.into()))
    );
    store.close().await;
}

#[tokio::test]
async fn files_beside_the_log_are_synced_and_read_back() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..=40 {
        store.begin(intent(number, number), Conditions::default()).await.unwrap();
        store.complete(&serial(number), vec![8; 31_000], issued(number)).await.unwrap();
    }
    store.close().await;
    let blobs = fs::read_dir(folder.path().join("blobs")).unwrap().count();
    assert!(blobs > 0, "leaves this large are files of their own");
    let store = open(folder.path()).unwrap();
    let all = store.list(&Filter::default(), None, 100).await.unwrap();
    assert!(all.len() == 40 && all.iter().all(|record| record.certificate.len() == 31_000));
    let larger = store.complete(&serial(99), vec![8; LARGEST], issued(99)).await;
    assert!(matches!(larger, Err(Error::NoSuchIssuance(_))));
    store.begin(intent(99, 99), Conditions::default()).await.unwrap();
    let larger = store.complete(&serial(99), vec![8; LARGEST], issued(99)).await;
    assert!(matches!(larger, Err(Error::Unavailable(text)) if text.contains("larger than")));
    issue(&store, 100).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_usual_size_never_create_files_beside_the_log() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..256 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for each in 0..20 {
                let number = task * 20 + each;
                let open = Intent { tbs: vec![1; 2000].into(), ..intent(number, number) };
                store.begin(open, Conditions::default()).await.unwrap();
                store.complete(&serial(number), vec![2; 5500], issued(number)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    store.close().await;
    assert_eq!(fs::read_dir(folder.path().join("blobs")).unwrap().count(), 0);
    assert_eq!(count(folder.path(), "open"), 0);
}

#[tokio::test]
async fn a_later_layout_is_rejected_with_both_versions() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).unwrap().close().await;
    tamper(folder.path(), "meta", b"format", &[1, 3]);
    let error = open(folder.path()).err().unwrap();
    assert!(
        matches!(&error, Error::Corrupt(text)
            if text.contains("has layout 3, and this estd reads layouts up to 2: run")),
        "{error}"
    );
    // And one whose version itself has another encoding.
    tamper(folder.path(), "meta", b"format", &[9, 2]);
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("format 9")), "{error}");
}

#[tokio::test]
async fn records_without_a_layout_are_rejected() {
    let folder = TempDir::new().unwrap();
    tamper(folder.path(), "certificates", &[1], &[1]);
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("which layout")));
}

#[tokio::test]
async fn a_record_of_another_version_is_rejected_and_the_others_are_read() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    issue(&store, 1).await;
    issue(&store, 2).await;
    store.close().await;
    let value = {
        let db = ::sled::open(folder.path()).unwrap();
        let tree = db.open_tree("certificates").unwrap();
        tree.get(serial(2).as_bytes()).unwrap().unwrap().to_vec()
    };
    let cases: [(Vec<u8>, &str); 4] = [
        (
            [&[4], &value[1..]].concat(),
            "an issuance has format 4, and this estd reads formats up to 3",
        ),
        ([&value[..], &[0]].concat(), "1 bytes too many"),
        (value[..value.len() / 2].to_vec(), "an issuance: "),
        (Vec::new(), "an empty value"),
    ];
    for (tampered, expected) in cases {
        tamper(folder.path(), "certificates", serial(2).as_bytes(), &tampered);
        let store = open(folder.path()).unwrap();
        let found = store.find(&serial(2)).await;
        assert!(
            matches!(&found, Err(Error::Corrupt(text)) if text.contains(expected)),
            "{expected}: {found:?}"
        );
        assert!(store.find(&serial(1)).await.unwrap().is_some());
        assert!(matches!(
            store.begin(intent(2, 9), Conditions::default()).await,
            Err(Error::SerialTaken(_))
        ));
        store.close().await;
    }
}

#[tokio::test]
async fn damaged_files_are_reported_as_damaged() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..=50 {
        issue(&store, number).await;
    }
    store.close().await;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap") {
            fs::remove_file(path).unwrap();
        }
    }
    // The length of conf is right and its content is not.
    let conf = folder.path().join("conf");
    let mut bytes = fs::read(&conf).unwrap();
    bytes[0] ^= 0xff;
    fs::write(&conf, bytes).unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(&error, Error::Corrupt(text) if text.contains("from a backup")), "{error}");
}

/// Retries until the store accepts changes again.
async fn resumed(store: &SledStore) -> Result<(), Error> {
    let mut last = Ok(());
    for _ in 0..1000 {
        last = store.append(event(Name::ServerReloaded, 1000)).await;
        match last {
            Err(Error::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => break,
        }
    }
    last
}

#[tokio::test]
async fn after_a_failed_write_it_reads_back_what_the_disk_has_and_continues() {
    let folder = TempDir::new().unwrap();
    let trail = Arc::new(Recorder::default());
    let store =
        SledStore::open(folder.path(), CACHE, NOW, Arc::clone(&trail) as Arc<dyn Trail>).unwrap();
    issue(&store, 1).await;
    store.begin(intent(2, 2), Conditions::default()).await.unwrap();
    // The sync fails, as files may exist under `blobs`; and the store cannot be opened.
    let (blobs, away) = (folder.path().join("blobs"), folder.path().join("away"));
    fs::rename(&blobs, &away).unwrap();
    fs::write(&blobs, "").unwrap();
    let failed = store.complete(&serial(2), vec![8; 10_000], issued(2)).await;
    let is_reason = |text: &str| text.contains("writing failed");
    assert!(matches!(&failed, Err(Error::Unavailable(text)) if is_reason(text)), "{failed:?}");
    for answer in [
        store.append(issued(3)).await,
        store.begin(intent(4, 4), Conditions::default()).await.map(|_| ()),
        store.void(&serial(2), issued(4)).await,
    ] {
        assert!(matches!(&answer, Err(Error::Unavailable(text)) if is_reason(text)), "{answer:?}");
    }
    // Reads return the acknowledged state.
    let second = store.find(&serial(2)).await.unwrap().unwrap();
    assert_eq!(second.state, State::Open);
    assert_eq!(store.events(nth(1), 10).await.unwrap().len(), 1);

    fs::remove_file(&blobs).unwrap();
    fs::rename(&away, &blobs).unwrap();
    resumed(&store).await.unwrap();
    // The completion was written, and only its sync had failed: it counts, and was published.
    let second = store.complete(&serial(2), vec![9], issued(2)).await.unwrap();
    assert_eq!((second.state, second.certificate.len()), (State::Issued, 10_000));
    issue(&store, 5).await;
    let events = store.events(nth(1), 10).await.unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!(trail.published().len(), 4, "each of them was published once");
    for ((id, event), (place, published)) in events.iter().zip(trail.published()) {
        assert_eq!((Some(*id), event), (place, &published));
    }
    let all = store.list(&Filter::default(), None, 10).await.unwrap();
    store.close().await;
    let store = open(folder.path()).unwrap();
    assert_eq!(store.list(&Filter::default(), None, 10).await.unwrap(), all);
    store.close().await;
}

#[tokio::test]
async fn a_store_that_failed_is_closed_all_the_same() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    let blobs = folder.path().join("blobs");
    fs::remove_dir(&blobs).unwrap();
    let large = Account { password: Password::Hash("a".repeat(10_000)), ..account("a") };
    store.add_account(large, event(Name::AccountAdded, 1)).await.unwrap_err();
    store.close().await;
    assert!(
        matches!(store.accounts().await, Err(Error::Unavailable(text)) if text == "it was closed")
    );
    open(folder.path()).unwrap().close().await;
}

#[tokio::test]
async fn lost_acknowledged_events_keep_the_store_unavailable() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..=50 {
        issue(&store, number).await;
    }
    // The disk loses events, and the mark as well: the count in this process is enough.
    fs::remove_file(folder.path().join("mark")).unwrap();
    let db = File::options().write(true).open(folder.path().join("db")).unwrap();
    db.write_all_at(&[0xff; 64], 60_000).unwrap();
    fs::remove_dir(folder.path().join("blobs")).unwrap();
    let large = Account { password: Password::Hash("a".repeat(10_000)), ..account("a") };
    store.add_account(large, event(Name::AccountAdded, 1)).await.unwrap_err();
    let lost = |answer: &Result<(), Error>| matches!(answer, Err(Error::Unavailable(text)) if text.contains("50 events were committed"));
    let mut answer = Ok(());
    for _ in 0..1000 {
        answer = store.append(event(Name::ServerReloaded, 1000)).await;
        if lost(&answer) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(lost(&answer), "{answer:?}");
    assert!(store.find(&serial(1)).await.is_err(), "reads fail, too");
    store.close().await;
}

#[tokio::test]
async fn an_unfinished_snapshot_is_no_damage() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    issue(&store, 1).await;
    store.close().await;
    let unfinished = folder.path().join("snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, "half of it").unwrap();
    let store = open(folder.path()).unwrap();
    assert!(store.find(&serial(1)).await.unwrap().is_some());
    store.close().await;
    assert!(!unfinished.exists());
}

/// Adds the records of the test data of version 1. Kinds added later are tested elsewhere.
async fn fill_v1(store: &SledStore) {
    for number in 1..=5 {
        issue(store, number).await;
    }
    let predecessor = Some(serial(5));
    store.begin(Intent { predecessor, ..intent(6, 6) }, Conditions::default()).await.unwrap();
    store.begin(intent(7, 7), Conditions::default()).await.unwrap();
    store.void(&serial(7), event(Name::IssuanceVoided, 7)).await.unwrap();
    for name in ["", "floor-1", "floor-2"] {
        store.add_account(account(name), event(Name::AccountAdded, 8)).await.unwrap();
    }
    store.remove_account("floor-2", event(Name::AccountRemoved, 9)).await.unwrap();
    let operations = [Operation::CaCerts, Operation::SimpleEnroll, Operation::SimpleReenroll];
    let operations = operations.map(Some).into_iter().chain([None]);
    for (number, operation) in (20..).zip(operations) {
        let intent = Intent { operation, ..intent(number, number) };
        store.begin(intent, Conditions::default()).await.unwrap();
    }
    let names = [
        Name::AccountAdded,
        Name::AccountRemoved,
        Name::CaCreated,
        Name::CertificateIssued,
        Name::IssuanceVoided,
        Name::EnrollmentRetried,
        Name::EnrollmentRejected,
        Name::ServerReloaded,
        Name::ServerReloadRejected,
        Name::ServerStarted,
        Name::ServerStopped,
        Name::RequestRejected,
    ];
    for name in names {
        store.append(Event::new(at(7), name, Actor::operator(0))).await.unwrap();
    }
    let methods = [
        AuthMethod::Anonymous,
        AuthMethod::Password,
        AuthMethod::Certificate(TrustClass::Explicit),
        AuthMethod::Certificate(TrustClass::Implicit),
        AuthMethod::CertificateAndPassword(TrustClass::Explicit),
        AuthMethod::CertificateAndPassword(TrustClass::Implicit),
        AuthMethod::Operator,
        AuthMethod::Server,
    ];
    for method in methods {
        let actor = Actor { name: "Œuvre".to_owned(), method };
        store.append(Event::new(at(7), Name::EnrollmentRejected, actor)).await.unwrap();
    }
}

fn v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store/sled-v1")
}

#[tokio::test]
async fn reads_what_version_1_wrote() {
    // Opening writes: a copy is opened.
    let folder = TempDir::new().unwrap();
    for entry in fs::read_dir(v1()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let old = open(folder.path()).unwrap();
    let fresh = TempDir::new().unwrap();
    let new = open(fresh.path()).unwrap();
    fill_v1(&new).await;
    let all = Filter::default();
    let issuances = old.list(&all, None, 100).await.unwrap();
    assert_eq!(issuances.len(), 11);
    assert_eq!(issuances, new.list(&all, None, 100).await.unwrap());
    assert_eq!(old.events(nth(1), 100).await.unwrap(), new.events(nth(1), 100).await.unwrap());
    assert_eq!(old.accounts().await.unwrap(), new.accounts().await.unwrap());
    let retry = old.begin(intent(10, 3), Conditions::default()).await.unwrap();
    assert!(matches!(retry, Begun::Complete(first) if first.intent.serial == serial(3)));
    old.close().await;
    new.close().await;
}

fn v2() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store/issuance-v2")
}

async fn revoked_record() -> Arc<Issuance> {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    issue(&store, 1).await;
    let record = store.revoke(&serial(1), revocation(1), revoked(1)).await.unwrap();
    store.close().await;
    record
}

#[tokio::test]
async fn reads_the_record_of_a_revoked_certificate() {
    let record = revoked_record().await;
    let kept = fs::read(v2()).unwrap();
    assert_eq!(format::read_issuance(&kept).unwrap(), *record);
    let now = format::issuance(&record).unwrap();
    assert_eq!((kept[0], now[0]), (2, 3), "the versions");
    assert_eq!(format::read_issuance(&now).unwrap(), *record);
    // A revoked record without a revocation is damage, and so is a revocation without that state.
    let valid = Issuance { state: State::Issued, revocation: None, ..Issuance::clone(&record) };
    let odd = [
        Issuance { revocation: record.revocation, ..valid.clone() },
        Issuance { state: State::Revoked, ..valid },
    ];
    for odd in odd {
        let read = format::read_issuance(&format::issuance(&odd).unwrap());
        let Err(Error::Corrupt(why)) = read else { panic!("{read:?}") };
        assert!(why.contains("says otherwise of its revocation"), "{why}");
    }
}

#[tokio::test]
async fn a_log_that_lost_acknowledged_events_is_rejected() {
    // One byte that the disk lost, at the start and further on.
    for place in [600, 3000, 60_000, 90_000] {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path()).unwrap();
        for number in 1..=50 {
            issue(&store, number).await;
        }
        store.close().await;
        let db = folder.path().join("db");
        let mut bytes = fs::read(&db).unwrap();
        bytes[place] ^= 0xff;
        fs::write(&db, bytes).unwrap();
        for _ in 0..2 {
            let error = open(folder.path()).err().unwrap();
            let expected = "50 events were committed and ";
            assert!(
                matches!(&error, Error::Corrupt(text) if text.contains(expected)),
                "{place}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_mark_that_is_missing_torn_or_behind_is_no_error() {
    let folder = TempDir::new().unwrap();
    let mark = folder.path().join("mark");
    let store = open(folder.path()).unwrap();
    issue(&store, 1).await;
    store.close().await;
    let behind = fs::read(&mark).unwrap();
    for (number, content) in [(2, Some(&behind[..])), (3, Some(&behind[..20])), (4, None)] {
        let store = open(folder.path()).unwrap();
        issue(&store, number).await;
        store.close().await;
        match content {
            Some(content) => fs::write(&mark, content).unwrap(),
            None => fs::remove_file(&mark).unwrap(),
        }
    }
    let store = open(folder.path()).unwrap();
    assert_eq!(store.events(nth(1), 10).await.unwrap().len(), 4);
    store.close().await;
}

#[test]
fn the_settings_of_sled_are_those_it_writes_itself() {
    let folder = TempDir::new().unwrap();
    drop(::sled::open(folder.path()).unwrap());
    assert_eq!(fs::read(folder.path().join("conf")).unwrap(), CONF);
}

#[tokio::test]
async fn a_snapshot_that_was_cut_off_is_removed_and_not_under_a_running_store() {
    let folder = TempDir::new().unwrap();
    // Later than any: sled would read it first.
    let unfinished = folder.path().join("snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, b"").unwrap();
    let store = open(folder.path()).unwrap();
    assert!(!unfinished.exists());
    issue(&store, 1).await;
    fs::write(&unfinished, b"half").unwrap();
    assert!(matches!(open(folder.path()).err().unwrap(), Error::InUse(_)));
    assert!(unfinished.exists(), "it may be the other's");
    store.close().await;

    let store = open(folder.path()).unwrap();
    assert!(store.find(&serial(1)).await.unwrap().is_some());
    assert!(!unfinished.exists());
    store.close().await;
}

#[tokio::test]
async fn settings_that_were_cut_off_are_written_again() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("conf.unfinished"), [0; 100]).unwrap();
    open(folder.path()).unwrap().close().await;
    assert_eq!(fs::read(folder.path().join("conf")).unwrap(), CONF);
    assert!(!folder.path().join("conf.unfinished").exists());
}
