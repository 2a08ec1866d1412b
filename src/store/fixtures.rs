//! Stores that earlier versions wrote (testdata/store/before-devices): opened, brought up to date,
//! exported, compared.

use super::{
    MemoryStore, SledStore, Store,
    contract::{Backend, CACHE, NOW, Postgres, with_all_fields},
    transfer::{Export, export, import},
};
use crate::telemetry::audit::NoTrail;
use before_devices::{copy_folder, expect_old_plus_defaults, fixture, old_export};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;

#[path = "../../tests/common/before_devices.rs"]
mod before_devices;

fn sled(folder: &Path) -> SledStore {
    SledStore::open(folder, CACHE, NOW, Arc::new(NoTrail)).unwrap()
}

/// A copy of the folder: opening it writes.
fn old_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    copy_folder(folder.path());
    folder
}

async fn exported(store: &dyn Store) -> Vec<u8> {
    let mut file = Vec::new();
    export(&store, &mut file, &mut |_, _| {}).await.unwrap();
    file
}

#[tokio::test]
async fn a_folder_is_brought_up_to_date_and_holds_what_it_held() {
    let folder = old_folder();
    for _ in 0..2 {
        let store = sled(folder.path());
        expect_old_plus_defaults(&exported(&store).await);
        store.close().await;
    }
    let db = ::sled::open(folder.path()).unwrap();
    let layout = db.open_tree("meta").unwrap().get("format").unwrap().unwrap();
    // As an earlier estd reads it: version 1 of the number of the layout, which is 2.
    assert_eq!(*layout, [1, 2]);
}

#[tokio::test]
async fn an_export_of_version_1_is_imported() {
    let file = old_export();
    let store = MemoryStore::new(Arc::new(NoTrail));
    let mut again = || Ok(Box::new(Export::new(&*file)?) as Box<dyn super::transfer::Items>);
    import(&mut again, &store, &mut |_, _| {}).await.unwrap();
    expect_old_plus_defaults(&exported(&store).await);
    // Its digest is that of its own lines, first one included.
    let text = String::from_utf8(file.clone()).unwrap();
    let raised = text.replacen("\"version\":1", "\"version\":2", 1);
    let error = super::transfer::verify(raised.as_bytes(), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("the digest differs"), "{error}");
    // And into the folder that it was made of: equal records are left as they are.
    let folder = old_folder();
    let store = sled(folder.path());
    import(&mut again, &store, &mut |_, _| {}).await.unwrap();
    store.close().await;
}

/// Records of both forms in one folder, and one that a revocation writes again.
#[tokio::test]
async fn old_records_change_like_new_ones() {
    use super::{
        AuditEvents, Begun, Conditions, Issuances, State, Tokens,
        contract::{event, intent, issued, nth, registry::token, revocation, revoked, serial},
    };
    use crate::telemetry::audit::Name;
    let folder = old_folder();
    let store = sled(folder.path());
    store.revoke(&serial(1), revocation(1), revoked(1)).await.unwrap();
    store.complete(&serial(8), vec![1], issued(8)).await.unwrap();
    store.void(&serial(18), event(Name::IssuanceVoided, 18)).await.unwrap();
    let new = with_all_fields(intent(900, 900));
    store.add_tokens(vec![token(8)], event(Name::AccountAdded, 1)).await.unwrap();
    assert_eq!(store.begin(new.clone(), Conditions::default()).await.unwrap(), Begun::New);
    let before = exported(&store).await;
    store.close().await;
    let store = sled(folder.path());
    assert_eq!(exported(&store).await, before);
    let state = async |number| store.find(&serial(number)).await.unwrap().unwrap().state;
    assert_eq!(state(1).await, State::Revoked);
    assert_eq!(state(8).await, State::Issued);
    assert_eq!(state(18).await, State::Void);
    assert_eq!(store.find(&serial(900)).await.unwrap().unwrap().intent, new);
    assert_eq!(
        store.begin(new.clone(), Conditions::default()).await.unwrap(),
        Begun::Open(Arc::new(new.into()))
    );
    assert!(!store.events(nth(270), 9).await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_brought_up_to_date_and_holds_what_it_held() {
    use super::contract::{event, intent, registry::token, serial};
    use crate::telemetry::audit::Name;
    let database = Postgres::of_dump(&fixture("postgres.sql"));
    assert_eq!(database.sql("SELECT max(number) FROM migration"), "2");
    // Two nodes at once.
    let trail = || Arc::new(NoTrail);
    let (store, other) = tokio::join!(database.open(trail()), database.open(trail()));
    other.close().await;
    expect_old_plus_defaults(&exported(&*store).await);
    assert_eq!(database.sql("SELECT string_agg(number::text, ',') FROM migration"), "1,2,3,4");
    // The columns say what the records say.
    let new = with_all_fields(super::Intent { predecessor: Some(serial(2)), ..intent(900, 900) });
    store.add_tokens(vec![token(8)], event(Name::AccountAdded, 1)).await.unwrap();
    store.begin(new.clone(), super::Conditions::default()).await.unwrap();
    let rows = database.sql(
        "SELECT encode(serial, 'hex'), encode(spki, 'hex'), encode(predecessor, 'hex'), device
         FROM issuance ORDER BY serial",
    );
    let mut expected = String::new();
    for issuance in store.list(&super::Filter::default(), None, 999).await.unwrap() {
        let one = &issuance.intent;
        let predecessor = one.predecessor.as_ref().map(ToString::to_string).unwrap_or_default();
        let device = one.device.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = base16ct::lower::encode_string(&one.spki_sha256);
        expected.push_str(&format!("{}|{key}|{predecessor}|{device}\n", one.serial));
    }
    assert_eq!(rows.lines().count(), 251);
    assert_eq!(rows, expected.trim_end());
    assert!(expected.ends_with(&format!("|{}\n", new.device.unwrap())));
    store.close().await;
}

/// A record that cannot be read: the tables stay as they were, for the version that wrote them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_fails_leaves_the_layout_before() {
    let database = Postgres::of_dump(&fixture("postgres.sql"));
    database.sql("UPDATE issuance SET intent = '\\x0105' WHERE not_after % 100 = 50");
    let error = super::PostgresStore::open(database.options(), Arc::new(NoTrail)).await.err();
    let Some(super::Error::Corrupt(why)) = error else { panic!("{error:?}") };
    assert!(why.starts_with("the tables keep their layout, for one record cannot"), "{why}");
    assert_eq!(database.sql("SELECT max(number) FROM migration"), "2");
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'issuance'";
    assert_eq!(database.sql(columns), "13");
}
