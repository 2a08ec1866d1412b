//! Round trips, and rejected exports.

use super::{
    super::{
        Accounts, AuditEvents, Conditions, Device, DeviceStanding, Devices, Error as StoreError,
        Intent, Issuance, Issuances, MemoryStore, Registers, SledStore, State, Tokens,
        contract::{
            Backend, CACHE, NOW, Postgres, account, at, digest_account, event, intent, issue,
            issued, key, nth,
            registry::{device, fleet, token},
            revocation, revoked, serial, with_all_fields,
        },
    },
    *,
};
use crate::telemetry::audit::{Event, Name, NoTrail};
use crate::types::Actor;
use std::{fmt, sync::Arc};
use tempfile::TempDir;

fn memory() -> MemoryStore {
    MemoryStore::new(Arc::new(NoTrail))
}

fn sled(folder: &TempDir) -> SledStore {
    SledStore::open(folder.path(), CACHE, NOW, Arc::new(NoTrail)).unwrap()
}

/// Adds items of every kind, more than a page of them.
async fn full(store: &dyn Store) {
    for number in 0..1200 {
        issue(store, number).await;
    }
    store.begin(intent(2000, 2000), Conditions::default()).await.unwrap();
    store
        .begin(Intent { label: None, operation: None, ..intent(2001, 2001) }, Conditions::default())
        .await
        .unwrap();
    store.void(&serial(2001), event(Name::IssuanceVoided, 2001)).await.unwrap();
    let renewal = Intent { predecessor: Some(serial(3)), ..intent(2002, 2002) };
    store.begin(renewal, Conditions::default()).await.unwrap();
    store.revoke(&serial(4), revocation(4), revoked(4)).await.unwrap();
    for name in ["zoe", "", "ä\"\n"] {
        store.add_account(account(name), event(Name::AccountAdded, 1)).await.unwrap();
    }
    let all_labels = digest_account("all");
    store.add_account(all_labels, event(Name::AccountAdded, 2)).await.unwrap();
    let bare = Event::new(at(9), Name::ServerStarted, Actor::anonymous());
    store.append(bare).await.unwrap();
    store.compare_and_set("ca.default", None, &[0, 255, 10]).await.unwrap();
    let disabled = |number| event(Name::TokenDisabled, number);
    let import = store.begin_import().await.unwrap();
    store.stage_devices(import, fleet(0..600)).await.unwrap();
    store.finish_import(import, disabled(1)).await.unwrap();
    let blocked = Device { standing: DeviceStanding::Blocked, ..fleet(3..4).remove(0) };
    store.change_device(&fleet(3..4)[0], blocked, disabled(2)).await.unwrap();
    store.add_tokens((1..=200).map(token).collect(), disabled(3)).await.unwrap();
    // Staged ones are nobody's.
    let import = store.begin_import().await.unwrap();
    store.stage_devices(import, fleet(700..710)).await.unwrap();
    let other = EventId { writer: 7, number: 1 };
    store.import(vec![Item::Event(other, issued(1))]).await.unwrap();
}

const COUNTS: Counts =
    Counts { issuances: 1203, accounts: 4, registers: 1, devices: 600, tokens: 200, events: 1211 };

async fn exported(store: &dyn Store) -> (Vec<u8>, Summary) {
    let mut file = Vec::new();
    let summary = export(&store, &mut file, &mut |_, _| {}).await.unwrap();
    (file, summary)
}

async fn imported(file: &[u8], to: &dyn Store) -> Result<Summary, Error> {
    import(&mut || Ok(Box::new(Export::new(file)?)), to, &mut |_, _| {}).await
}

fn as_store(store: &dyn Store) -> &dyn Store {
    store
}

pub(super) async fn all(store: &dyn Store) -> Vec<Item> {
    let (mut walk, mut items) = (Walk::new(&store), Vec::new());
    while let Some(item) = walk.next().await.unwrap() {
        items.push(item);
    }
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_is_imported_as_it_was_into_either_backend() {
    let source = memory();
    full(&source).await;
    let (file, summary) = exported(&source).await;
    assert_eq!(summary.counts, COUNTS);
    assert_eq!(verify(&*file, &mut |_, _| {}).unwrap(), summary);

    let folder = TempDir::new().unwrap();
    let target = sled(&folder);
    let mut steps = Vec::new();
    let mut progress = |step, count| steps.push((step, count));
    let mut again = || -> Result<Box<dyn Items>, Error> { Ok(Box::new(Export::new(&*file)?)) };
    assert_eq!(import(&mut again, &target, &mut progress).await.unwrap(), summary);
    assert_eq!(steps.first(), Some(&(Step::Importing, 500)));
    assert_eq!(steps.last(), Some(&(Step::Comparing, 3000)));
    assert!(all(&target).await == all(&source).await);
    // A retry of an old request, and the number of the next event.
    assert_eq!(
        target.begin(intent(5000, 3), Conditions::default()).await.unwrap(),
        crate::store::Begun::Complete(source.find(&serial(3)).await.unwrap().unwrap())
    );
    issue(&target, 5001).await;
    assert_eq!(target.events(nth(1211), 9).await.unwrap()[0].1, issued(5001));
    target.close().await;

    // And from sled into memory, with an open record that is completed there.
    let (target, source) = (memory(), sled(&folder));
    let summary = copy(&as_store(&source), &target, &mut |_, _| {}).await.unwrap();
    assert_eq!(exported(&source).await, exported(&target).await);
    assert_eq!(summary.counts, Counts { issuances: 1204, events: 1212, ..COUNTS });
    target.complete(&serial(2000), vec![1], issued(2000)).await.unwrap();
    source.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_a_folder_moves_into_a_database_and_back() {
    let (source, database) = (memory(), Postgres::new());
    full(&source).await;
    let target = database.open(Arc::new(NoTrail)).await;
    // Cut short, then done again.
    let items = all(&source).await;
    target.import(items[..700].to_vec()).await.unwrap();
    let summary = copy(&as_store(&source), &*target, &mut |_, _| {}).await.unwrap();
    assert_eq!(summary.counts, COUNTS);
    assert_eq!(exported(&*target).await, exported(&source).await);
    // Retries find imported certificates, and new events get new numbers.
    let retry = target.begin(intent(5000, 3), Conditions::default()).await.unwrap();
    assert!(
        matches!(retry, crate::store::Begun::Complete(first) if first.intent.serial == serial(3))
    );
    issue(&*target, 5001).await;

    let back = memory();
    let summary = copy(&as_store(&*target), &back, &mut |_, _| {}).await.unwrap();
    assert_eq!(summary.counts, Counts { issuances: 1204, events: 1212, ..COUNTS });
    assert!(all(&back).await == all(&*target).await);
    target.close().await;
}

#[tokio::test]
async fn the_text_of_an_export_is_this() {
    let store = memory();
    store.add_tokens(vec![token(8)], event(Name::TokenDisabled, 3)).await.unwrap();
    let label = Some(vec!["factory".parse().unwrap()]);
    let full = Device { labels: label, quota: Some(2), from: Some(at(1)), ..device("gate-7") };
    store.add_device(full, event(Name::TokenDisabled, 4)).await.unwrap();
    store.begin(with_all_fields(intent(2, 2)), Conditions::default()).await.unwrap();
    store.complete(&serial(2), vec![1, 2, 3], issued(2)).await.unwrap();
    store.add_account(account("zoe"), event(Name::AccountAdded, 1)).await.unwrap();
    store.compare_and_set("a", None, b"xyz").await.unwrap();
    let (file, summary) = exported(&store).await;
    let expected = [
        r#"{"format":"estd store","version":2}"#,
        r#"{"issuance":{"serial":"010000000000000002","idempotency_key":"0000000000000002000000000000000000000000000000000000000000000000","retry_until":"2026-11-21T12:01:00Z","tbs":"","ca":"fleet","profile":"device","label":"factory","operation":"simpleenroll","subject":"CN=device-2","san":["dns:device-2.example"],"spki_sha256":"0707070707070707070707070707070707070707070707070707070707070707","not_before":"2026-11-21T12:00:00Z","not_after":"2026-11-21T12:16:42Z","actor":{"name":"","method":"anonymous"},"predecessor":null,"request":"0000000000000002","begun":"2026-11-21T12:00:00Z","device":"~factory/07070707070707070707070707070707","token":"0808080808080808080808080808080808080808080808080808080808080808","proofs":["password","manufacturer:acme"],"address":"2001:db8::7","ca_generation":3,"crl_partition":4,"state":"issued","certificate":"AQID","ended":"2026-11-21T12:00:05Z"}}"#,
        r#"{"account":{"name":"zoe","password_hash":"$argon2id$v=19$…","added":"2026-11-21T12:00:00Z","labels":["factory"],"expires":null}}"#,
        r#"{"register":{"name":"a","value":"eHl6"}}"#,
        r#"{"device":{"id":"gate-7","identifiers":["serial:acme:gate-7"],"labels":["factory"],"quota":2,"from":"2026-11-21T12:00:01Z","until":null,"tags":{"site":"7"},"standing":"enabled","registered":"2026-11-21T12:00:00Z"}}"#,
        r#"{"token":{"id":"0808080808080808080808080808080808080808080808080808080808080808","label":null,"grant":"any_name","created":"2026-11-21T12:00:00Z","expires":"2026-11-21T12:01:40Z","disabled":false,"consumed_by":"010000000000000002","reissued":false,"proof_keys":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICA=="}}"#,
        r#"{"event":{"writer":1,"number":1,"at":"2026-11-21T12:00:05Z","name":"token.disabled","actor":{"name":"estd","method":"server"},"request":"0000000000000003","details":[["number","3"]]}}"#,
        r#"{"event":{"writer":1,"number":2,"at":"2026-11-21T12:00:05Z","name":"token.disabled","actor":{"name":"estd","method":"server"},"request":"0000000000000004","details":[["number","4"]]}}"#,
        r#"{"event":{"writer":1,"number":3,"at":"2026-11-21T12:00:05Z","name":"certificate.issued","actor":{"name":"estd","method":"server"},"request":"0000000000000002","details":[["number","2"]]}}"#,
        r#"{"event":{"writer":1,"number":4,"at":"2026-11-21T12:00:05Z","name":"account.added","actor":{"name":"estd","method":"server"},"request":"0000000000000001","details":[["number","1"]]}}"#,
        &format!(
            r#"{{"end":{{"counts":{{"issuances":1,"accounts":1,"registers":1,"devices":1,"tokens":1,"events":4}},"sha256":"{}"}}}}"#,
            summary.digest
        ),
    ];
    assert_eq!(String::from_utf8(file).unwrap(), expected.map(|line| format!("{line}\n")).concat());
}

/// Exports of the first versions have other names of registers and of retries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_with_the_names_of_the_first_versions_is_imported() {
    let source = memory();
    full(&source).await;
    let (file, _) = exported(&source).await;
    let text = String::from_utf8(file).unwrap();
    let (lines, _) = text.trim_end().rsplit_once('\n').unwrap();
    let lines = [
        (r#"{"register":{"name""#, r#"{"decision":{"matter""#),
        (r#""idempotency_key""#, r#""request_key""#),
        (r#""retry_until""#, r#""repeat_until""#),
    ]
    .iter()
    .fold(format!("{lines}\n"), |lines, (new, old)| {
        assert!(lines.contains(new), "{new}");
        lines.replace(new, old)
    });
    let digest = Checksum(crate::pki::sha256(lines.as_bytes()));
    let end = format!(
        r#"{{"end":{{"counts":{{"issuances":1203,"accounts":4,"decisions":1,"devices":600,"tokens":200,"events":1211}},"sha256":"{digest}"}}}}"#
    );
    let target = memory();
    let summary = imported(format!("{lines}{end}\n").as_bytes(), &target).await.unwrap();
    assert_eq!(summary.counts, COUNTS);
    assert!(all(&target).await == all(&source).await);
}

/// Every value with a number has a text that is read back as the same value.
#[test]
fn every_number_and_every_text_is_read_back() {
    fn both<T>(of_number: fn(u8) -> Result<T, String>) -> usize
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug,
    {
        let known: Vec<(u8, T)> =
            (0..=u8::MAX).filter_map(|number| Some((number, of_number(number).ok()?))).collect();
        for (number, value) in &known {
            assert_eq!(postcard::to_stdvec(value).unwrap(), [*number]);
            assert_eq!(postcard::from_bytes::<T>(&[*number]).unwrap(), *value);
            let text = serde_json::to_string(value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value, "{text}");
        }
        assert!(postcard::from_bytes::<T>(&[99]).is_err());
        assert!(serde_json::from_str::<T>("\"none\"").is_err());
        known.len()
    }
    use crate::types::{AuthMethod, Operation};
    assert_eq!(both(Name::of_number), 26);
    assert_eq!(both(AuthMethod::of_number), 11);
    assert_eq!(both(Operation::of_number), 6);
    assert_eq!(both(State::of_number), 4);
}

#[tokio::test]
async fn the_text_of_a_revocation_is_this_and_fits_the_state() {
    let store = memory();
    issue(&store, 1).await;
    store.revoke(&serial(1), revocation(1), revoked(1)).await.unwrap();
    let (file, _) = exported(&store).await;
    let text = String::from_utf8(file).unwrap();
    let line = text.lines().nth(1).unwrap();
    let end = r#""ended":"2026-11-21T12:00:05Z","revocation":{"at":"2026-11-21T12:00:21Z","reason":"keyCompromise"}}}"#;
    assert!(line.contains(r#","state":"revoked","#));
    assert!(line.ends_with(end), "{line}");
    let left_out = line.replace(&line[line.find(r#","revocation"#).unwrap()..], "}}");
    for (line, why) in [
        (line.replace(r#""revoked""#, r#""issued""#), "it is issued and says otherwise"),
        (left_out, "it is revoked and says otherwise"),
        (line.replace("keyCompromise", "certificateHold"), "no reason of a revocation"),
    ] {
        let error = line::read(line.as_bytes()).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_export_is_rejected_whatever_the_damage() {
    let store = memory();
    for number in 0..3 {
        issue(&store, number).await;
    }
    let (file, _) = exported(&store).await;
    let text = String::from_utf8(file.clone()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let why = |bytes: &[u8]| match verify(bytes, &mut |_, _| {}) {
        Err(Error::Damaged { line, why }) => (line, why),
        other => panic!("{other:?}"),
    };
    let without = |left_out: usize| -> String {
        let kept = lines.iter().enumerate().filter(|(place, _)| *place != left_out);
        kept.map(|(_, line)| *line).collect()
    };

    // Truncated anywhere: only the full length is valid.
    for length in 0..file.len() {
        why(&file[..length]);
    }
    assert_eq!(why(&file[..file.len() - 1]).1, "it was cut short: the last line is missing");
    assert_eq!(why(without(7).as_bytes()).1, "it was cut short: the last line is missing");
    // One byte altered, anywhere.
    for place in 0..file.len() {
        let mut altered = file.clone();
        altered[place] ^= 1;
        why(&altered);
    }
    let altered = text.replace("device-1.example", "device-9.example");
    assert_eq!(why(altered.as_bytes()).1, "a line above was altered: the digest differs");
    let (line, missing) = why(without(2).as_bytes());
    assert_eq!(line, 7);
    assert!(missing.contains("3 issuances") && missing.contains("2 issuances"), "{missing}");
    // In another order, twice, with trailing data, of another version.
    let twice = [lines[0], lines[1], lines[1]].concat();
    assert_eq!(why(twice.as_bytes()).0, 3);
    let turned = [lines[0], lines[2], lines[1]].concat();
    let (line, order) = why(turned.as_bytes());
    assert_eq!((line, order.as_str()), (3, "issuance 010000000000000000 is out of order"));
    assert_eq!(why(format!("{text}\n").as_bytes()).1, "something follows the last line");
    let later = text.replacen("\"version\":2", "\"version\":3", 1);
    assert!(why(later.as_bytes()).1.contains("this estd reads versions 1 to 2"));
    assert!(why(b"PK\x03\x04\n").1.starts_with("this is no export of estd"));
    let more = text.replacen("\"state\"", "\"extra\":1,\"state\"", 1);
    assert!(why(more.as_bytes()).1.contains("unknown field"));
    let endless = [lines[0].as_bytes(), &vec![b'x'; 5 << 20]].concat();
    assert_eq!(why(&endless).1, "the line is too long");

    // The import itself ends with an error, too.
    let result = imported(altered.as_bytes(), &memory()).await;
    assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_cut_short_is_continued() {
    let source = memory();
    full(&source).await;
    let (file, summary) = exported(&source).await;
    let items = all(&source).await;
    for length in [1, 499, 500, 1203, 1205, 1208, 1500, 1808, 2008, items.len()] {
        let target = memory();
        target.import(items[..length].to_vec()).await.unwrap();
        assert_eq!(imported(&file, &target).await.unwrap(), summary, "{length}");
        assert!(all(&target).await == items);
    }
}

#[tokio::test]
async fn items_of_the_target_alone_are_not_mixed_with_imported_ones() {
    let source = memory();
    for number in 0..5 {
        issue(&source, number).await;
    }
    let (file, _) = exported(&source).await;
    let foreign = async |target: &MemoryStore| {
        let before = all(target).await;
        let result = imported(&file, target).await;
        assert!(all(target).await == before, "nothing was changed");
        match result {
            Err(Error::Foreign(item)) => item,
            other => panic!("{other:?}"),
        }
    };
    // Before, between and behind the imported items.
    let of_its_own = |number| Item::Issuance(Arc::new(Issuance::from(intent(number, 77))));
    let between = Issuance::from(Intent {
        serial: Serial::parse(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 5]).unwrap(),
        ..intent(0, 77)
    });
    for item in [of_its_own(99), Item::Issuance(Arc::new(between))] {
        let target = memory();
        target.import(vec![item.clone()]).await.unwrap();
        assert_eq!(foreign(&target).await, item.to_string());
    }
    // The same place with different contents.
    let target = memory();
    target.import(vec![of_its_own(2)]).await.unwrap();
    assert_eq!(foreign(&target).await, "issuance 010000000000000002");
    let target = memory();
    target.append(event(Name::ServerStarted, 1)).await.unwrap();
    assert_eq!(foreign(&target).await, "event 1 of writer 1");
    let target = memory();
    target.compare_and_set("numbers", None, b"1").await.unwrap();
    assert_eq!(foreign(&target).await, "register \"numbers\"");
    let target = memory();
    target.import(vec![Item::Account(account("zoe"))]).await.unwrap();
    assert_eq!(foreign(&target).await, "account \"zoe\"");
}

/// A target whose contents changed meanwhile.
#[tokio::test]
async fn the_comparison_names_what_differs() {
    let source = memory();
    for number in 0..5 {
        issue(&source, number).await;
    }
    let differs = async |alter: &dyn Fn(&mut Vec<Item>)| {
        let mut items = all(&source).await;
        alter(&mut items);
        let target = memory();
        target.import(items).await.unwrap();
        match compare(&mut Walk::new(&as_store(&source)), &target, &mut |_, _| {}).await {
            Err(Error::Differs(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let missing = differs(&|items| drop(items.remove(2))).await;
    assert_eq!(missing, "issuance 010000000000000002 is missing");
    let missing = differs(&|items| items.truncate(9)).await;
    assert_eq!(missing, "event 5 of writer 1 is missing");
    let more = differs(&|items| items.push(Item::Event(nth(6), issued(9)))).await;
    assert_eq!(more, "event 6 of writer 1 is not in the source");
    let more = differs(&|items| items.push(Item::Account(account("zoe")))).await;
    assert_eq!(more, "account \"zoe\" is not in the source");
    let other = differs(&|items| {
        let Item::Issuance(one) = &mut items[1] else { panic!() };
        Arc::make_mut(one).state = State::Void;
    });
    assert_eq!(other.await, "issuance 010000000000000001 has different contents");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_store_is_the_same_store() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("store");
    let open = || SledStore::open(&folder, CACHE, NOW, Arc::new(NoTrail)).unwrap();
    let store = open();
    full(&store).await;
    let items = all(&store).await;
    // An open store cannot be compacted.
    let busy = SledStore::compact(&folder, CACHE, NOW, &mut |_, _| {}).await;
    assert!(matches!(busy, Err(Error::Store(StoreError::InUse(_)))), "{busy:?}");
    store.close().await;

    // A killed compaction leaves a part of a copy, or the old store.
    let spare = SledStore::spare(&folder);
    std::fs::create_dir_all(spare.join("blobs")).unwrap();
    std::fs::write(spare.join("db"), b"half a copy").unwrap();
    let done = SledStore::compact(&folder, CACHE, NOW, &mut |_, _| {}).await.unwrap();
    assert_eq!(done.summary.counts, COUNTS);
    assert!(done.after < done.before, "{done:?}");
    assert!(!spare.exists());

    let store = open();
    assert!(all(&store).await == items);
    issue(&store, 9000).await;
    let retry = store.begin(intent(9001, 5), Conditions::default()).await.unwrap();
    assert!(
        matches!(retry, crate::store::Begun::Complete(first) if first.intent.idempotency_key == key(5))
    );
    store.close().await;
    // The mark was copied, too: a loss of events is still found.
    let mark = std::fs::read_to_string(folder.join("mark")).unwrap();
    assert!(mark.starts_with(&format!("{:020} ", 1211)), "{mark}");

    // Compacted once more, when every retry window is over.
    let later = SledStore::compact(&folder, CACHE, at(9999), &mut |_, _| {}).await.unwrap();
    assert_eq!(later.summary.counts.issuances, 1204);
    let store = open();
    assert_eq!(all(&store).await.len(), items.len() + 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_that_fails_leaves_the_store_as_it_was() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("store");
    let open = || SledStore::open(&folder, CACHE, NOW, Arc::new(NoTrail));
    let store = open().unwrap();
    full(&store).await;
    let items = all(&store).await;
    store.close().await;
    // The path is in use by a file that no compaction left.
    let spare = SledStore::spare(&folder);
    std::fs::write(&spare, b"a file").unwrap();
    let result = SledStore::compact(&folder, CACHE, NOW, &mut |_, _| {}).await;
    assert!(matches!(result, Err(Error::Store(StoreError::Unavailable(_)))), "{result:?}");
    assert_eq!(std::fs::read(&spare).unwrap(), b"a file");
    let store = open().unwrap();
    assert!(all(&store).await == items);
    store.close().await;
}
