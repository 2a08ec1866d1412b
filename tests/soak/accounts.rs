//! Compares the server's records with the certificates that the devices received.

use crate::{
    load::Ledger,
    process::{Estd, operator},
};
use ::base64::{Engine, engine::general_purpose::STANDARD};
use estd::pki::Certificate;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
};

/// Compares all records with the received certificates, while the server runs and after it has
/// ended. Notes each difference.
pub(crate) fn close(estd: Estd, ledger: &Ledger, reloads: u64) {
    // The server's own certificate went to no device.
    let mut expected = ledger.with(|entries| entries.received.clone());
    let own = fs::read_to_string(estd.path("data/server/server.pem")).unwrap();
    let own = crate::common::Identity { pem: own, key: String::new() }.der();
    expected.insert(Certificate::parse(&own).unwrap().serial().to_string(), own);

    let mut listed = BTreeSet::new();
    for line in estd.operator(&["cert", "list", "--json"]).lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let serial = entry["serial"].as_str().unwrap().to_owned();
        if entry["state"] != "valid" {
            ledger.error(format!("{serial} is {}", entry["state"]));
        }
        if !listed.insert(serial.clone()) {
            ledger.error(format!("{serial} is listed twice"));
        }
    }
    if !listed.iter().eq(expected.keys()) {
        ledger.error(format!("{} listed, {} known", listed.len(), expected.len()));
    }
    let open = estd.operator(&["cert", "list", "--open", "--json"]);
    if !open.is_empty() {
        ledger.error(format!("open issuances: {open}"));
    }

    let folder = estd.stop();
    let check = operator(folder.path(), &["store", "check"]);
    eprintln!("  estd store check: {}", check.trim().replace('\n', "; "));
    if check.lines().last() != Some("good") {
        ledger.error(format!("store check: {check}"));
    }
    operator(folder.path(), &["store", "export", "export"]);
    check_export(&folder.path().join("export"), &expected, ledger, reloads);
    check_audit_file(
        &folder.path().join("data/audit.jsonl"),
        ledger,
        expected.len() as u64,
        reloads,
    );
    // The log level is warn, so every line is an error.
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    for line in log.lines().take(20) {
        ledger.error(format!("log: {line}"));
    }
}

/// Compares every record with every certificate, byte for byte, and checks the event numbers.
fn check_export(path: &Path, expected: &BTreeMap<String, Vec<u8>>, ledger: &Ledger, reloads: u64) {
    let mut missing: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
    let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    for line in BufReader::new(File::open(path).unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if let Some(issuance) = line.get("issuance") {
            let serial = issuance["serial"].as_str().unwrap();
            let certificate = STANDARD.decode(issuance["certificate"].as_str().unwrap()).unwrap();
            missing.remove(serial);
            match expected.get(serial) {
                Some(known) if *known == certificate => {}
                Some(_) => ledger.error(format!("{serial}: the record has other bytes")),
                None => ledger.error(format!("{serial} is on record, but no device received it")),
            }
        }
        if let Some(event) = line.get("event") {
            let number = event["number"].as_u64().unwrap();
            numbers.entry(event["writer"].as_u64().unwrap()).or_default().push(number);
            *names.entry(event["name"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    for serial in missing {
        ledger.error(format!("{serial} was received and is not on record"));
    }
    for (writer, mut numbers) in numbers {
        numbers.sort_unstable();
        if !numbers.iter().copied().eq(1..=numbers.len() as u64) {
            ledger.error(format!("the events of writer {writer} have gaps"));
        }
        eprintln!("  events of writer {writer}: 1 to {} without gaps", numbers.len());
    }
    for (name, count) in
        [("certificate.issued", expected.len() as u64), ("server.reloaded", reloads)]
    {
        if names.get(name) != Some(&count) {
            ledger.error(format!("{:?} events {name} in the store, not {count}", names.get(name)));
        }
    }
}

/// Compares the audit file with the requests of the devices.
fn check_audit_file(path: &Path, ledger: &Ledger, issued: u64, reloads: u64) {
    let mut rejected: BTreeMap<String, u64> = BTreeMap::new();
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    for line in BufReader::new(File::open(path).unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let name = event["event"].as_str().unwrap();
        *names.entry(name.to_owned()).or_default() += 1;
        if name.ends_with(".rejected") {
            let rule = event["details"]["rule"].as_str().unwrap().to_owned();
            *rejected.entry(rule).or_default() += 1;
        }
        // Clients that had not authenticated, as "auth.password: 17, http.path: 4".
        for sum in event["details"]["rules"].as_str().unwrap_or_default().split(", ") {
            if let Some((rule, count)) = sum.split_once(": ") {
                *rejected.entry(rule.to_owned()).or_default() += count.parse::<u64>().unwrap();
            }
        }
    }
    let (mut expected, retried) =
        ledger.with(|entries| (entries.rejected.clone(), entries.retried));
    // A challenge gets a line only if no client at that address authenticates within the minute. All
    // devices share one address.
    let (logged, sent) = (rejected.remove("auth.none"), expected.remove("auth.none"));
    if logged > sent {
        ledger.error(format!("challenges in the audit file: {logged:?} of {sent:?}"));
    }
    if rejected != expected {
        ledger.error(format!("rejections in the audit file: {rejected:?}, expected {expected:?}"));
    }
    for (name, count) in [
        ("certificate.issued", issued),
        ("enrollment.retried", retried),
        ("server.reloaded", reloads),
        ("server.started", 1),
        ("server.stopped", 1),
    ] {
        if names.get(name) != Some(&count) {
            ledger.error(format!(
                "{:?} events {name} in the audit file, not {count}",
                names.get(name)
            ));
        }
    }
    eprintln!("  audit file: {names:?}");
}
