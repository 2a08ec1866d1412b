//! The fixtures of testdata/store/before-devices, and what is expected of them.

use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

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

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store/before-devices").join(name)
}

/// Copies the folder: opening it writes. Only its owner may enter a store's folder.
pub(crate) fn copy_folder(to: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).unwrap();
    for name in ["conf", "db", "mark"] {
        fs::copy(fixture("sled").join(name), to.join(name)).unwrap();
    }
}

/// The export that the version which wrote the fixtures made of each of them.
pub(crate) fn old_export() -> Vec<u8> {
    fs::read(fixture("export")).unwrap()
}

/// The lines of the items: without the first and the last one.
fn items(export: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    lines[1..lines.len() - 1].iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Compares as JSON, without the program's own reader of exports.
pub(crate) fn expect_old_plus_defaults(new: &[u8]) {
    let mut expected = items(&old_export());
    assert_eq!(expected.len(), 529);
    for issuance in expected.iter_mut().filter_map(|item| item.get_mut("issuance")) {
        for (name, value) in defaults() {
            let before = issuance.as_object_mut().unwrap().insert(name.to_owned(), value);
            assert_eq!(before, None, "{name}");
        }
    }
    for account in expected.iter_mut().filter_map(|item| item.get_mut("account")) {
        let before = account.as_object_mut().unwrap().insert("expires".to_owned(), Value::Null);
        assert_eq!(before, None, "expires");
    }
    let new = items(new);
    assert_eq!(new.len(), expected.len());
    for (new, expected) in new.iter().zip(&expected) {
        assert_eq!(new, expected);
    }
}
