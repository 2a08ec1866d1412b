//! Manufacturers that revoke the certificates of their devices: CRLs by openssl, read again when they
//! change.

use crate::{acme::Acme, common::*};
use estd::types::Time;
use std::fs;

/// The CRLs are of this time, two days before [`NOW`], and to be replaced by NEXT.
const ISSUED: &str = "20261119120000Z";
/// 2026-11-22T12:00:00Z, a day after [`NOW`].
const NEXT: &str = "20261122120000Z";
const DAY: u64 = 86_400;

fn manufacturer() -> Acme {
    Acme::new(ISSUED, NEXT)
}

async fn server_of(acme: &Acme) -> TestServer {
    let text = acme.label(&["root.crl", "issuing.crl"], "crl_grace = \"7d\"");
    TestServer::start_with(&text).await
}

/// Enrolls the device on a connection of its own.
async fn enroll(server: &TestServer, device: &Identity) -> Reply {
    enroll_as(server, device, "/CN=device").await
}

async fn enroll_as(server: &TestServer, device: &Identity, subject: &str) -> Reply {
    let (csr, _) = new_csr(&["-subj", subject]);
    server.connect_as(device).await.send(post("factory/simpleenroll", &csr, "")).await
}

/// The code and the received value of a rejection.
fn rejected(reply: &Reply) -> (u16, String, String) {
    let reason = reply.reason();
    let (code, rest) = reason.split_once(": ").unwrap();
    let got = rest.split_once("; got ").unwrap().1.split_once("; expected: ").unwrap().0;
    (reply.status, code.to_owned(), got.to_owned())
}

fn forbidden(code: &str, got: &str) -> (u16, String, String) {
    (403, code.to_owned(), got.to_owned())
}

#[tokio::test]
async fn a_revoked_device_is_rejected_after_one_look_also_on_an_open_connection() {
    let acme = manufacturer();
    acme.certify("issuing", "other", "of_device", "/CN=other");
    let other = acme.identity("other");
    let server = server_of(&acme).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let request = post("factory/simpleenroll", &csr, "");
    let mut open = server.connect_as(&acme.device).await;
    let reply = open.send(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    assert_eq!(enroll_as(&server, &other, "/CN=other").await.status, 200);
    let issued = server.issued().await.len();

    acme.revoke("issuing", "device");
    server.running.look_at_crls().await;
    assert_eq!(open.send(&request).await.status, 200, "the CRL has not changed");
    acme.publish("issuing", ISSUED, NEXT);
    server.running.look_at_crls().await;
    let expected = |reply: &Reply| {
        let (status, code, got) = rejected(reply);
        assert_eq!((status, code.as_str()), (403, "auth.revoked"), "{got}");
        assert!(got.starts_with("CN=device, revoked at 20"), "{got}");
        assert!(got.ends_with("Z: keyCompromise"), "{got}");
    };
    expected(&open.send(&request).await);
    expected(&enroll(&server, &acme.device).await);
    assert_eq!(
        enroll_as(&server, &other, "/CN=other").await.status,
        200,
        "the other device is not revoked"
    );
    assert_eq!(server.issued().await.len(), issued + 1);

    // The CA, and with it all devices.
    acme.revoke("root", "issuing");
    acme.publish("root", ISSUED, NEXT);
    server.running.look_at_crls().await;
    let (status, code, got) = rejected(&enroll_as(&server, &other, "/CN=other").await);
    assert_eq!((status, code.as_str()), (403, "auth.revoked"), "{got}");
    assert!(got.starts_with("CN=Acme Devices, revoked"), "{got}");
    assert_eq!(rejected(&enroll(&server, &acme.device).await).1, "auth.revoked");
    assert_eq!(server.issued().await.len(), issued + 1);
    assert_eq!(server.running.reminders().await, []);
}

#[tokio::test]
async fn a_crl_counts_to_the_last_second_of_its_grace_period() {
    let acme = manufacturer();
    let server = server_of(&acme).await;
    let end = NOW + DAY + 7 * DAY;
    let old = forbidden("auth.crl", "a CRL that was to be replaced by 2026-11-22T12:00:00Z");
    let warned = async |text: &str| {
        let warnings = server.running.reminders().await;
        let warned = warnings.iter().filter(|one| one.text.contains(text));
        assert_eq!(warned.count(), 2, "each CRL: {warnings:?}");
    };
    let mut open = server.connect_as(&acme.device).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let request = post("factory/simpleenroll", &csr, "");
    for (now, accepted) in [
        (NOW, true),
        (NOW + DAY, true),
        (NOW + DAY + 1, true),
        (end - 1, true),
        (end, true),
        (end + 1, false),
        (end, true),
        (end + 1000 * DAY, false),
    ] {
        server.clock.set(Time::from_unix(now));
        let (reply, kept) = (enroll(&server, &acme.device).await, open.send(&request).await);
        if now == NOW + DAY + 1 {
            warned("it counts until 2026-11-29T12:00:00Z").await;
        }
        for reply in [reply, kept] {
            if accepted {
                assert_eq!(reply.status, 200, "{now}: {}", reply.reason());
            } else {
                assert_eq!(rejected(&reply), old, "{now}");
            }
        }
    }
    warned("since 2026-11-29T12:00:00Z nobody enrolls by manufacturer acme").await;
    // Fresh ones of both CAs.
    for ca in ["root", "issuing"] {
        acme.publish(ca, "20290101000000Z", "20300101000000Z");
    }
    server.running.look_at_crls().await;
    assert_eq!(enroll(&server, &acme.device).await.status, 200);
    assert_eq!(server.running.reminders().await, []);
}

#[tokio::test]
async fn every_ca_of_the_path_needs_a_crl_by_its_own_key() {
    let acme = manufacturer();
    let label = acme.label(&["root.crl"], "");
    let server = TestServer::start_with(&label).await;
    let none = forbidden("auth.crl", "no CRL of CN=Acme Devices");
    assert_eq!(rejected(&enroll(&server, &acme.device).await), none);

    // A CRL of the same name by another key, and an altered one.
    let impostor = manufacturer();
    let server = TestServer::start_with(&acme.label(&["root.crl", "issuing.crl"], "")).await;
    assert_eq!(enroll(&server, &acme.device).await.status, 200);
    drop(server);
    let good = fs::read(acme.at("issuing.crl")).unwrap();
    let altered = altered_crl(&good);
    let foreign = fs::read(impostor.at("issuing.crl")).unwrap();
    for bad in [&altered, &foreign] {
        fs::write(acme.at("issuing.crl"), bad).unwrap();
        let server = TestServer::start_with(&acme.label(&["root.crl", "issuing.crl"], "")).await;
        let got = "no valid CRL of CN=Acme Devices: got a signature that does not verify by the issuer's key";
        let reply = enroll(&server, &acme.device).await;
        assert_eq!(rejected(&reply), forbidden("auth.crl", got));
        assert_eq!(server.issued().await.len(), 1, "its own only");
    }
}

/// A CRL (PEM) with another nextUpdate and the old signature.
fn altered_crl(pem: &[u8]) -> Vec<u8> {
    let mut der = openssl_with(&["crl", "-outform", "DER"], pem);
    let place = der.windows(12).position(|part| part == b"261122120000").unwrap();
    der[place + 5] = b'3';
    openssl_with(&["crl", "-inform", "DER"], &der)
}

#[tokio::test]
async fn a_file_that_is_no_newer_crl_leaves_the_one_in_use_and_a_warning() {
    let acme = manufacturer();
    let before = fs::read(acme.at("issuing.crl")).unwrap();
    acme.revoke("issuing", "device");
    acme.publish("issuing", ISSUED, NEXT);
    let server = server_of(&acme).await;
    let code = async || rejected(&enroll(&server, &acme.device).await).1;
    assert_eq!(code().await, "auth.revoked");
    let good = fs::read(acme.at("issuing.crl")).unwrap();
    let file = acme.at("issuing.crl");
    let about = format!("[manufacturer.acme] crl_files: {file}");
    for (contents, text, remedy) in [
        (
            Some(&before[..]),
            "got a CRL of 2026-11-19T12:00:00Z with cRLNumber 01; expected: one not older",
            "restart estd",
        ),
        (Some(&good[..good.len() / 2]), "got neither DER nor a PEM block X509 CRL", "by a rename"),
        (
            Some(&altered_crl(&good)),
            "got a CRL by another key than the one in use, or altered",
            "a new key",
        ),
        (
            Some(&fs::read(acme.at("root.crl")).unwrap()),
            "got a CRL of CN=Acme Root; expected: one of CN=Acme Devices",
            "named in crl_files",
        ),
        (None, "No such file or directory", "put the CRL there"),
    ] {
        match contents {
            Some(contents) => fs::write(&file, contents).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        for _ in 0..2 {
            server.running.look_at_crls().await;
            assert_eq!(code().await, "auth.revoked", "{text}");
        }
        let warnings = server.running.reminders().await;
        let [warning] = &warnings[..] else { panic!("{text}: {warnings:?}") };
        assert_eq!(warning.about, about);
        assert!(warning.text.contains(text), "{}", warning.text);
        assert!(warning.text.ends_with("the CRL in use counts until 2026-11-29T12:00:00Z"));
        assert!(warning.remedy.contains(remedy), "{}", warning.remedy);
        // A reload of another section does not read it again.
        assert_eq!(code().await, "auth.revoked");
        fs::write(&file, &good).unwrap();
        server.running.look_at_crls().await;
        assert_eq!(server.running.reminders().await, []);
    }
    assert_eq!(server.issued().await.len(), 1, "its own only");
}

#[tokio::test]
async fn a_reload_keeps_the_crls_in_use_and_takes_new_ones() {
    let acme = manufacturer();
    let server = TestServer::start_with(&acme.label(&["root.crl", "issuing.crl"], "")).await;
    acme.revoke("issuing", "device");
    acme.publish("issuing", ISSUED, NEXT);
    let settings = server.settings("\n[profile.more]\n").unwrap();
    server.running.reload(settings).await.unwrap();
    assert_eq!(enroll(&server, &acme.device).await.status, 200, "the CRLs are read by a look");
    server.running.look_at_crls().await;
    assert_eq!(enroll(&server, &acme.device).await.status, 403);
    // Without CRLs, nothing is checked.
    let text = server.text().lines().filter(|line| !line.starts_with("crl_files"));
    let text = text.collect::<Vec<_>>().join("\n");
    let settings = estd::config::parse(&text, &server.path("est.toml"), &|_| None).unwrap();
    server.running.reload(settings).await.unwrap();
    assert_eq!(enroll(&server, &acme.device).await.status, 200);
}

#[test]
fn a_file_that_is_no_crl_of_the_manufacturer_is_an_error_of_the_configuration() {
    let (acme, other) = (manufacturer(), manufacturer());
    let errors = |files: &[&str], more: &str| {
        let text = format!("version = 1\n{}", acme.label(files, more));
        let place = acme.folder.path().join("est.toml");
        let parsed = estd::config::parse(&text, &place, &|_| None);
        parsed.map_or_else(|errors| errors.to_string(), |_| String::new())
    };
    assert_eq!(errors(&["root.crl", "issuing.crl"], ""), "");
    assert_eq!(errors(&["root.crl"], ""), "", "the other CA is not known yet");
    fs::copy(other.at("root.crl"), acme.at("foreign.crl")).unwrap();
    fs::write(acme.at("empty.crl"), "").unwrap();
    fs::write(acme.at("altered.crl"), altered_crl(&fs::read(acme.at("root.crl")).unwrap()))
        .unwrap();
    for (files, more, expected) in [
        (&["issuing.crl"][..], "", "got no CRL of the anchor CN=Acme Root"),
        (&["missing.crl"], "", "missing.crl: No such file or directory"),
        (&["root.crl", "empty.crl"], "", "empty.crl: got neither DER nor a PEM block X509 CRL"),
        (&["root.crl", "root.pem"], "", "root.pem: got neither DER nor a PEM block X509 CRL"),
        (
            &["foreign.crl"],
            "",
            "foreign.crl: got a signature that does not verify by the issuer's key",
        ),
        (
            &["altered.crl"],
            "",
            "altered.crl: got a signature that does not verify by the issuer's key",
        ),
        (&[], "", "got no file; expected: the CRL of each CA"),
        (&["root.crl"], "crl_grace = \"367d\"", "crl_grace"),
        (&["root.crl"], "crl_grce = \"7d\"", "crl_grace"),
    ] {
        let errors = errors(files, more);
        assert!(errors.contains(expected), "{files:?}: {errors}");
        assert!(errors.contains("[manufacturer.acme] crl_"), "{errors}");
    }
}
