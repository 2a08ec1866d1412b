//! pkilint on the structures of the linter's tests: the good ones, and the malformed ones.

use crate::{
    malformed::{self, tlv},
    process::good,
};
use estd::{pki::PrivateKey, types::KeyKind};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Signs with a key of the kind that the structure names; a root signs itself.
fn signed(keys: &[PrivateKey], one: &malformed::Good, tbs: &[u8]) -> Vec<u8> {
    let own = one.key.as_deref().filter(|_| one.self_signed);
    let key = own.unwrap_or_else(|| keys.iter().find(|key| key.kind() == one.signer()).unwrap());
    let (signature, _) = key.sign(tbs).unwrap();
    let bits = tlv(3, &[&[0], &signature[..]].concat());
    tlv(0x30, &[tbs, &one.algorithm, &bits].concat())
}

/// The errors of pkilint by file, from one process: it starts slowly.
fn findings(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/pkilint/bin/python");
    let python = if Path::new(own).is_file() { own } else { "python3" };
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/drivers/pkilint_all.py");
    let text = good("pkilint", Command::new(python).arg(driver).arg(folder).output().unwrap());
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        (words.next().unwrap(), words.collect())
    };
    text.lines().map(line).collect()
}

/// Bar: every good structure passes pkilint, and it reports an error in at least 200 of the malformed ones.
#[test]
fn pkilint_accepts_the_good_structures_and_reports_errors_in_200_malformed_ones() {
    let kinds = [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa(2048)];
    let keys = kinds.map(|kind| PrivateKey::generate(kind).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, one: &malformed::Good, tbs: &[u8]| {
        let ending = if one.crl { "crl" } else { "cer" };
        let name = format!("{name}.{ending}");
        fs::write(folder.path().join(&name), signed(&keys, one, tbs)).unwrap();
        name
    };
    let mut names = Vec::new();
    for (number, one) in malformed::good().iter().enumerate() {
        names.push((write(&format!("good-{number}"), one, &one.tbs.der()), one.name.to_owned()));
    }
    let accepted = names.len();
    for (number, one) in malformed::all().iter().enumerate() {
        let text = format!("{}: {}", one.rule, one.name);
        names.push((write(&format!("malformed-{number:03}"), &one.good, &one.der), text));
    }
    let mut found = findings(folder.path());
    // A root may leave it out. pkilint wants it where the signature is not the root's: with another key.
    let absent = "pkix.authority_key_identifier_extension_absent";
    for (file, text) in names.iter().filter(|(_, text)| text.contains("root CA:")) {
        assert!(!text.starts_with("rfc5280.4.2.1.1.present"));
        found.get_mut(file).unwrap().retain(|code| code != absent);
    }
    assert_eq!(found.len(), names.len());
    let shown: Vec<String> =
        names.iter().map(|(file, text)| format!("{text}: {}", found[file].join(" "))).collect();
    for (file, text) in &names[..accepted] {
        assert!(found[file].is_empty(), "{text}: {:?}", found[file]);
    }
    // A defect of pkilint, and a file that it does not read, are no report of an error.
    let says = |code: &String| code != "unreadable" && code != "base.unhandled_exception";
    let reports = |(file, _): &&(String, String)| found[file].iter().any(says);
    let reported = names[accepted..].iter().filter(reports).count();
    if let Some(place) = std::env::var_os("ESTD_LINT_REPORT") {
        fs::write(place, shown.join("\n")).unwrap();
    }
    assert!(reported >= 200, "{reported} of {}:\n{}", names.len() - accepted, shown.join("\n"));
}
