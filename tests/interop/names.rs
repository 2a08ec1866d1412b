//! `est reenroll` asks for other names; openssl reads the result.

use crate::process::{Estd, good};
use std::{
    fs,
    process::{Command, Output},
};

fn est(estd: &Estd, with_password: bool, arguments: &[&str]) -> Output {
    let user: &[&str] = if with_password { &["--user", "enroll"] } else { &[] };
    estd.est(arguments).args(["--out", "device"]).args(user).output().unwrap()
}

#[test]
fn est_asks_for_other_names_and_keeps_names_that_no_option_changes() {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    // A renewal with a password may have other names.
    let accept = "\naccept = [\"certificate\"] ";
    let both = "\naccept = [\"certificate\", [\"certificate\", \"password\"]] ";
    assert!(text.contains("\nchange_names = false ") && text.matches(accept).count() == 1);
    let text = text.replace("\nchange_names = false ", "\nchange_names = true ");
    fs::write(&path, text.replace(accept, both)).unwrap();
    let estd = Estd::start_in(folder);
    let first = ["enroll", "--subject", "CN=old,O=Example", "--san", "dns:old.example.com"];
    good("enroll", est(&estd, true, &first));

    let names = || {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-subject", "-nameopt", "RFC2253"]);
        openssl.args(["-ext", "subjectAltName", "-in"]).arg(estd.path("device/cert.pem"));
        let output = openssl.output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = lines.lines().map(str::trim).collect();
        lines.join("; ")
    };
    let san = "X509v3 Subject Alternative Name:";
    assert_eq!(names(), format!("subject=CN=old,O=Example; {san}; DNS:old.example.com"));

    // With only its certificate it may not: nothing has changed but the pending key.
    let before = fs::read(estd.path("device/cert.pem")).unwrap();
    let rejected = est(&estd, false, &["reenroll", "--new-subject", "CN=new,O=Example"]);
    assert_eq!(rejected.status.code(), Some(1));
    let reported = String::from_utf8(rejected.stderr).unwrap();
    assert!(reported.contains("401") && reported.contains("enroll.names"), "{reported}");
    assert_eq!(fs::read(estd.path("device/cert.pem")).unwrap(), before);

    let steps: [(&[&str], &str); 4] = [
        (
            &["--new-subject", "CN=new,O=Example"],
            "subject=CN=new,O=Example; {san}; DNS:old.example.com",
        ),
        (
            &["--new-san", "dns:new.example.com", "--new-san", "ip:192.0.2.1", "--renew"],
            "subject=CN=new,O=Example; {san}; DNS:new.example.com, IP Address:192.0.2.1",
        ),
        (
            &["--new-subject", "", "--renew"],
            "subject=; {san} critical; DNS:new.example.com, IP Address:192.0.2.1",
        ),
        (&["--new-subject", "/O=Example/CN=newest", "--no-san"], "subject=CN=newest,O=Example"),
    ];
    for (arguments, expected) in steps {
        good("reenroll", est(&estd, true, &[&["reenroll"], arguments].concat()));
        assert_eq!(names(), expected.replace("{san}", san), "{arguments:?}");
    }
    // The new certificate renews itself, and a request without any name is not sent.
    good("reenroll", est(&estd, false, &["reenroll"]));
    let nothing = est(&estd, true, &["reenroll", "--new-subject", ""]);
    assert_eq!(nothing.status.code(), Some(2));
    let reported = String::from_utf8(nothing.stderr).unwrap();
    assert!(reported.contains("neither a subject nor an alternative name"), "{reported}");
    let records = estd.operator(&["cert", "list", "--json"]);
    let renewed = records.lines().filter(|line| line.contains("simplereenroll")).count();
    assert_eq!(renewed, 5);
}
