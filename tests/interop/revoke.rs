//! `estd cert revoke` with the program itself: through the server's socket, and without a server.

use crate::process::{Estd, good, operator, try_operator};
use std::{fs, process::Command};

#[test]
fn a_device_whose_certificate_is_revoked_is_rejected_and_comes_back_with_a_password() {
    let estd = Estd::start();
    let est = |arguments: &[&str]| estd.est(arguments).output().unwrap();
    for device in ["one", "two"] {
        let name = format!("CN={device}");
        let arguments = ["enroll", "--user", "enroll", "--subject", &name, "--out", device];
        good("enroll", est(&arguments));
    }
    let reenroll = |device: &str| est(&["reenroll", "--out", device]);
    good("reenroll", reenroll("one"));
    let serial_of = |device: &str| {
        let file = estd.path(device).join("cert.pem");
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-serial", "-in"]).arg(file);
        let serial = good("openssl", openssl.output().unwrap());
        serial.trim().trim_start_matches("serial=").to_owned()
    };
    let (one, two) = (serial_of("one"), serial_of("two"));

    // The server answers. Its serial numbers are read as openssl writes them.
    let arguments = ["--reason", "keyCompromise", "--comment", "stolen"];
    let reported = estd.operator(&[&["cert", "revoke", &one], &arguments[..]].concat());
    assert!(reported.starts_with(&one.to_lowercase()), "{reported}");
    assert!(reported.contains("(CN=one) was revoked at "), "{reported}");
    assert!(reported.ends_with(": keyCompromise\n"), "{reported}");
    let again = estd.operator(&["cert", "revoke", &one]);
    assert_eq!(again, reported.replace("was revoked at", "was revoked before at"));
    let rejected = reenroll("one");
    assert_eq!(rejected.status.code(), Some(1));
    let text = String::from_utf8(rejected.stderr).unwrap();
    assert!(text.contains("the server answered 403"), "{text}");
    good("the other one", reenroll("two"));
    let listed = estd.operator(&["cert", "list", "--revoked", "--json"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let entry: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(entry["serial"], one.to_lowercase());
    assert_eq!(
        (&entry["state"], &entry["revocation_reason"]),
        (&"revoked".into(), &"keyCompromise".into())
    );
    let shown = estd.operator(&["cert", "show", &one]);
    assert!(
        shown.contains("reason       keyCompromise") && shown.contains("BEGIN CERT"),
        "{shown}"
    );
    let trail = fs::read_to_string(estd.path("data/audit.jsonl")).unwrap();
    let events: Vec<&str> =
        trail.lines().filter(|line| line.contains("certificate.revoked")).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("stolen") && events[0].contains("keyCompromise"), "{events:?}");
    let again = ["enroll", "--user", "enroll", "--subject", "CN=one", "--out", "one", "--force"];
    good("enroll", est(&again));
    good("reenroll", reenroll("one"));

    // Without a server the store is opened; a server that starts then knows of it.
    let folder = estd.stop();
    let (code, error) = try_operator(folder.path(), &["cert", "revoke", "0102030405"]);
    assert_eq!((code, error.contains("certificate 0102030405 does not exist")), (Some(1), true));
    let (code, error) = try_operator(folder.path(), &["cert", "revoke", &two, "--reason", "bored"]);
    assert_eq!((code, error.contains("superseded")), (Some(2), true), "{error}");
    operator(folder.path(), &["cert", "revoke", &two, "--json"]);
    let checked = operator(folder.path(), &["store", "check"]);
    assert!(checked.contains(" 2 revoked") && checked.ends_with("good\n"), "{checked}");
    let estd = Estd::start_in(folder);
    let rejected = estd.est(&["reenroll", "--out", "two"]).output().unwrap();
    assert_eq!(
        rejected.status.code(),
        Some(0),
        "its renewal is good: that was revoked is the old one"
    );
}
