//! Identities by manufacturers (IEEE 802.1AR), made by openssl and by Bouncy Castle: without
//! extendedKeyUsage and without end, with a serialNumber or a hardwareModuleName.

use crate::{
    clients::java,
    process::{Estd, good},
};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// An openssl CA that issues certificates without end.
const CA: &str = "[ca]\ndefault_ca = a\n[a]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n\
    default_md = sha256\npolicy = p\nunique_subject = no\n[p]\norganizationName = optional\n\
    commonName = optional\nserialNumber = optional\n[device]\nkeyUsage = critical,digitalSignature\n";

fn shell(folder: &Path, script: &str) -> String {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("exec 2>&1; {script}")]).current_dir(folder);
    good(script, bash.output().unwrap())
}

/// Both manufacturers, each with devices `one` and `two`, and a label for each.
fn server() -> Estd {
    let folder = tempfile::tempdir().unwrap();
    for maker in ["openssl", "bouncy"] {
        fs::create_dir(folder.path().join(maker)).unwrap();
    }
    let at = folder.path().join("openssl");
    fs::write(at.join("ca.cnf"), CA).unwrap();
    fs::write(at.join("index"), "").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    shell(
        &at,
        &format!(
            "openssl req -x509 {key} -keyout ca.key -subj '/O=Acme/CN=Acme CA' -days 3650 -out ca.pem"
        ),
    );
    for (device, serial) in [("one", "A-1"), ("two", "A-2")] {
        shell(&at, &format!(
            "openssl req -new {key} -keyout {device}.key -subj /O=Acme/serialNumber={serial} -out {device}.csr
             openssl ca -config ca.cnf -batch -notext -in {device}.csr -cert ca.pem -keyfile ca.key \
               -extensions device -startdate 20200101000000Z -enddate 99991231235959Z -out {device}.pem"
        ));
    }
    good("java", java("BcIdevid").arg(folder.path().join("bouncy")).output().unwrap());
    for (maker, device) in
        [("openssl", "one"), ("openssl", "two"), ("bouncy", "one"), ("bouncy", "two")]
    {
        let text =
            shell(folder.path(), &format!("openssl x509 -in {maker}/{device}.pem -noout -text"));
        assert!(text.contains("Not After : Dec 31 23:59:59 9999 GMT"), "{text}");
        assert!(!text.contains("Extended Key Usage"), "{text}");
    }
    let text = r#"version = 1
[server]
listen = ["127.0.0.1:0"]
[manufacturer.acme]
anchors = ["openssl/ca.pem"]
[manufacturer.maker]
anchors = ["bouncy/ca.pem"]
[label.openssl]
accept = ["manufacturer:acme"]
[label.openssl.names]
mode = "match"
subject = "CN={idevid.serial},serialNumber={idevid.serial}"
[label.bouncy]
accept = ["manufacturer:maker"]
[label.bouncy.names]
mode = "match"
subject = "CN={idevid.hw_serial}"
[label.own-key]
accept = ["manufacturer:acme"]
idevid_key = true
names.mode = "any"
"#;
    fs::write(folder.path().join("est.toml"), text).unwrap();
    Estd::start_in(folder)
}

/// Enrolls with the identity of a device.
fn enroll(estd: &Estd, device: &str, label: &str, more: &[&str]) -> Output {
    let (cert, key) = (format!("{device}.pem"), format!("{device}.key"));
    let out = format!(
        "out-{label}-{}-{}",
        device.replace('/', "-"),
        more.join("-").replace(['=', ','], "-")
    );
    let mut est = estd.est(&["enroll", "--auth-cert", &cert, "--auth-key", &key, "--out", &out]);
    if !label.is_empty() {
        est.args(["--label", label]);
    }
    est.args(more).output().unwrap()
}

fn rejected(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// proves: R-8021AR-8-a, R-8021AR-8-b, R-8021AR-8-c, R-8021AR-8-d
#[test]
fn a_device_enrolls_by_its_identity_under_the_label_of_its_manufacturer_only() {
    let estd = server();
    for (device, label, own, neighbors) in [
        ("openssl/one", "openssl", "CN=A-1,serialNumber=A-1", "CN=A-2,serialNumber=A-2"),
        ("openssl/two", "openssl", "CN=A-2,serialNumber=A-2", "CN=A-1,serialNumber=A-1"),
        ("bouncy/one", "bouncy", "CN=0a1b0001", "CN=0a1b0002"),
        ("bouncy/two", "bouncy", "CN=0a1b0002", "CN=0a1b0001"),
    ] {
        good(device, enroll(&estd, device, label, &["--subject", own]));
        let text = rejected(enroll(&estd, device, label, &["--subject", neighbors]));
        assert!(text.contains("names.match"), "{text}");
        let other = if label == "openssl" { "bouncy" } else { "openssl" };
        for label in [other, ""] {
            let text = rejected(enroll(&estd, device, label, &["--subject", own]));
            assert!(text.contains("label.manufacturer"), "{label}: {text}");
        }
    }
    let listed = estd.operator(&["cert", "list", "--json"]);
    assert_eq!(listed.lines().filter(|line| line.contains("simpleenroll")).count(), 4, "{listed}");
}

/// The certificate has the device's serial number, an end, and another key than the identity, unless
/// the label says so.
///
/// proves: R-8021AR-8-e
#[test]
fn a_certificate_keeps_the_serial_number_and_not_the_key_of_the_identity() {
    let estd = server();
    let folder = estd.folder.path();
    shell(
        folder,
        "openssl req -new -key openssl/one.key -subj /serialNumber=A-1/CN=A-1 -out same.csr",
    );
    let text = rejected(enroll(&estd, "openssl/one", "openssl", &["--csr", "same.csr"]));
    assert!(text.contains("enroll.idevid-key"), "{text}");
    good("own key", enroll(&estd, "openssl/one", "own-key", &["--csr", "same.csr"]));
    let own = ["--subject", "CN=A-1,serialNumber=A-1"];
    good("new key", enroll(&estd, "openssl/one", "openssl", &own));
    let listed = estd.operator(&["cert", "list", "--json"]);
    let line = listed.lines().find(|line| line.contains("\"label\":\"openssl\"")).unwrap();
    let entry: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(entry["subject"], "CN=A-1,SERIALNUMBER=A-1");
    assert!(entry["not_after"].as_str().unwrap() < "9999", "{entry}");
}
