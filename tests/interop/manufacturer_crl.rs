//! The program itself with the CRLs of a manufacturer: how soon a revocation counts, and that a command
//! runs while a CRL is missing.

use crate::{
    acme::Acme,
    common::{base64, new_csr},
    process::{Estd, good, try_operator},
};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// The program has the machine's clock, which is between these times.
const DATES: [&str; 2] = ["20260101000000Z", "20490101000000Z"];

/// A device is rejected soon after the CRL's change; with ESTD_WITHIN_A_SECOND=1, within a second.
#[test]
fn a_revocation_counts_on_a_running_server() {
    let acme = Acme::new(DATES[0], DATES[1]);
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let label = acme.label(&["root.crl", "issuing.crl"], "");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{label}")).unwrap();
    let server = Estd::start_in(folder);
    let file = |name: &str, contents: &str| {
        fs::write(server.path(name), contents).unwrap();
        server.path(name)
    };
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let body = file("csr", &base64(&csr));
    let certificate = file("device.pem", &acme.device.pem);
    let key = file("device.key", &acme.device.key);
    let enroll = || {
        let mut curl = Command::new("curl");
        curl.args(["-sk", "-o", "answer", "-w", "%{http_code}", "--cert"]).arg(&certificate);
        curl.arg("--key").arg(&key).args(["-H", "Content-Type: application/pkcs10", "--data"]);
        curl.arg(format!("@{}", body.display()));
        curl.arg(format!("https://localhost:{}/.well-known/est/factory/simpleenroll", server.port));
        let output = curl.current_dir(server.folder.path()).output().unwrap();
        good("curl", output)
    };
    assert_eq!(enroll(), "200");
    for (ca, name) in [("issuing", "device"), ("root", "issuing")] {
        acme.revoke(ca, name);
        acme.publish(ca, DATES[0], DATES[1]);
        let published = Instant::now();
        let soon = loop {
            // The time at which the request begins.
            let soon = published.elapsed();
            match enroll().as_str() {
                "200" => assert!(
                    soon < Duration::from_secs(10),
                    "{name} is not rejected: {}",
                    fs::read_to_string(server.path("log")).unwrap()
                ),
                status => {
                    assert_eq!(status, "403");
                    break soon;
                }
            }
        };
        // A loaded machine is slower: the figure is for a machine at rest.
        if std::env::var_os("ESTD_WITHIN_A_SECOND").is_some() {
            assert!(soon < Duration::from_secs(1), "{name}: {soon:?}");
        }
        let answer = fs::read_to_string(server.path("answer")).unwrap();
        assert!(answer.starts_with("auth.revoked: "), "{answer}");
        if name == "device" {
            // Another one, to see the CA's revocation.
            acme.certify("issuing", "device", "of_device", "/CN=device");
            let device = acme.identity("device");
            file("device.pem", &device.pem);
            file("device.key", &device.key);
            assert_eq!(enroll(), "200");
        }
    }

    // The log has one error, and the commands run without the file.
    fs::remove_file(acme.at("issuing.crl")).unwrap();
    let text = "issuing.crl was not put in force, the CRL of";
    let deadline = Instant::now() + Duration::from_secs(10);
    let log = loop {
        let log = fs::read_to_string(server.path("log")).unwrap();
        if log.contains(text) {
            break log;
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::yield_now();
    };
    assert!(log.contains("No such file or directory"), "{log}");
    assert!(server.operator(&["user", "list"]).contains("enroll"));
    let status = server.operator(&["status"]);
    assert!(status.contains("issuing.crl") && status.contains("No such file"), "{status}");
    let (code, error) = try_operator(server.folder.path(), &["check-config"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("[manufacturer.acme] crl_files"), "{error}");
    // Several looks later.
    let log = fs::read_to_string(server.path("log")).unwrap();
    assert_eq!(log.matches(text).count(), 1, "{log}");
}
