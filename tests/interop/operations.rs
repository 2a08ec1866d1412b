//! What each real client can do beside enrolment, where no other file here has it: docs/clients.md
//! says so, and names these tests.

use crate::{
    clients::Call,
    process::{Estd, good},
};
use std::{fs, path::Path, process::Command};

/// A first start with these tables at the end of est.toml.
fn start(more: &str) -> Estd {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{more}\n")).unwrap();
    Estd::start_in(folder)
}

/// A label with a CA of its own.
const FACTORY: &str = "[label.factory]\nca = \"factory\"\n[ca.factory]\nroot_subject = \"CN=Factory root CA\"\nissuing_subject = \"CN=Factory issuing CA\"\n";

fn issuer(cert: &Path) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-issuer", "-in"]).arg(cert);
    good("issuer", openssl.output().unwrap())
}

/// Enrols and re-enrols under the label; the label's own CA has issued both.
#[track_caller]
fn under_the_label(cert: &str, key: &str, call: impl Fn(Call<'_>, &str)) {
    let estd = start(FACTORY);
    let label = |out: &str| Call::new(&estd, out).with("EST_LABEL", "factory");
    call(label("ca"), "cacerts");
    call(label("enroll").basic(), "enroll");
    call(label("reenroll").certificate("enroll", cert, key), "reenroll");
    for out in ["enroll", "reenroll"] {
        let issuer = issuer(&estd.path(out).join(cert));
        assert!(issuer.contains("CN = Factory issuing CA"), "{out}: {issuer}");
    }
}

#[test]
fn curl_uses_a_label() {
    under_the_label("new.pem", "new.key", |call, operation| {
        call.curl(operation);
    });
}

#[test]
fn bouncy_castle_uses_a_label() {
    under_the_label("newcert.pem", "newkey.pem", |call, operation| {
        call.bouncy_castle(operation);
    });
}

#[test]
fn usg_uses_a_label() {
    under_the_label("cert.pem", "key.pem", |call, operation| {
        call.rust("usg-est", operation);
    });
}

#[test]
fn est_uses_a_label() {
    let estd = start(FACTORY);
    let server = format!("https://localhost:{}", estd.port);
    let anchor = estd.anchor().display().to_string();
    let est = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_est"));
        command.args(arguments).args(["--server", &server, "--label", "factory"]);
        command.args(["--cacert", &anchor, "--out", "device"]);
        command.current_dir(estd.folder.path()).env("EST_PASSWORD", &estd.password);
        good(&format!("est {arguments:?}"), command.output().unwrap())
    };
    est(&["enroll", "--user", "enroll", "--subject", "CN=d"]);
    est(&["reenroll"]);
    let issuer = issuer(&estd.path("device/cert.pem"));
    assert!(issuer.contains("CN = Factory issuing CA"), "{issuer}");
}
