//! Stores that earlier versions wrote (testdata/store/before-devices): opened, brought up to date,
//! exported, compared.

use super::{
    MemoryStore, SledStore, Store,
    contract::{CACHE, NOW},
    transfer::{Export, export, import},
};
use crate::telemetry::audit::NoTrail;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// Returns the fields that version 1 of the export lacks, with their defaults.
fn defaults() -> [(&'static str, Value); 6] {
    [
        ("device", Value::Null),
        ("token", Value::Null),
        ("proofs", json!([])),
        ("address", Value::Null),
        ("ca_generation", Value::Null),
        ("crl_partition", Value::Null),
    ]
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store/before-devices").join(name)
}

/// The export that the version which wrote the fixtures made of each of them.
fn old_export() -> Vec<u8> {
    fs::read(fixture("export")).unwrap()
}

fn sled(folder: &Path) -> SledStore {
    SledStore::open(folder, CACHE, NOW, Arc::new(NoTrail)).unwrap()
}

/// A copy of the folder: opening it writes.
fn old_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["conf", "db", "mark"] {
        fs::copy(fixture("sled").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

async fn exported(store: &dyn Store) -> Vec<u8> {
    let mut file = Vec::new();
    export(&store, &mut file, &mut |_, _| {}).await.unwrap();
    file
}

/// The lines of the items: without the first and the last one.
fn items(export: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    lines[1..lines.len() - 1].iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Compares as JSON, without the program's own reader of exports.
fn expect_old_plus_defaults(new: &[u8]) {
    let mut expected = items(&old_export());
    assert_eq!(expected.len(), 529);
    for issuance in expected.iter_mut().filter_map(|item| item.get_mut("issuance")) {
        for (name, value) in defaults() {
            let before = issuance.as_object_mut().unwrap().insert(name.to_owned(), value);
            assert_eq!(before, None, "{name}");
        }
    }
    let new = items(new);
    assert_eq!(new.len(), expected.len());
    for (new, expected) in new.iter().zip(&expected) {
        assert_eq!(new, expected);
    }
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
        Begun, State,
        contract::{event, intent, issued, nth, revocation, revoked, serial, with_all_fields},
    };
    use crate::telemetry::audit::Name;
    let folder = old_folder();
    let store = sled(folder.path());
    store.revoke(&serial(1), revocation(1), revoked(1)).await.unwrap();
    store.complete(&serial(8), vec![1], issued(8)).await.unwrap();
    store.void(&serial(18), event(Name::IssuanceVoided, 18)).await.unwrap();
    let new = with_all_fields(intent(900, 900));
    assert_eq!(store.begin(new.clone()).await.unwrap(), Begun::New);
    let before = exported(&store).await;
    store.close().await;
    let store = sled(folder.path());
    assert_eq!(exported(&store).await, before);
    let state = async |number| store.find(&serial(number)).await.unwrap().unwrap().state;
    assert_eq!(state(1).await, State::Revoked);
    assert_eq!(state(8).await, State::Issued);
    assert_eq!(state(18).await, State::Void);
    assert_eq!(store.find(&serial(900)).await.unwrap().unwrap().intent, new);
    assert_eq!(store.begin(new.clone()).await.unwrap(), Begun::Open(Arc::new(new.into())));
    assert!(!store.events(nth(270), 9).await.unwrap().is_empty());
    store.close().await;
}
