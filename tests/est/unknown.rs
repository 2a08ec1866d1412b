//! A certificate that a CA of this server signed and that is not on record (D-36).

use crate::{
    altered::{last_reason, requests},
    common::*,
    encodings::{ask, showing},
};
use estd::{pki::Certificate, telemetry::audit::Event};
use std::time::Duration;

const MORE: &str = "[est]\nfullcmc = true\nserverkeygen = \"on\"\n\
    [label.other]\nca = \"other\"\nfullcmc = true\nserverkeygen = \"on\"\nnames.mode = \"any\"\n\
    [label.any]\nfullcmc = true\nserverkeygen = \"on\"\nnames.mode = \"any\"\nchange_names = true\n\
    [ca.other]\nroot_subject = \"CN=other root\"\nissuing_subject = \"CN=other CA\"\n\
    [ca.default]\n";
const RENEWS: &str = "unknown_certificates = \"renew-own-names\"\n\
    unknown_certificates_until = \"2026-12-01\"\n";

/// A certificate signed with the CA's key outside this server.
pub(crate) fn signed_elsewhere(server: &TestServer, subject: &str, serial: &str) -> Identity {
    signed_until(server, subject, serial, "491231235959Z")
}

fn signed_until(server: &TestServer, subject: &str, serial: &str, end: &str) -> Identity {
    let key = new_key("EC");
    let csr = server.write("elsewhere.csr", csr_with(&key, &["-subj", subject]));
    let extensions =
        server.write("elsewhere.ext", "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n");
    let ca = |name: &str| server.path(&format!("data/ca/default/{name}"));
    let pem = openssl(&[
        "x509",
        "-req",
        "-inform",
        "DER",
        "-in",
        &csr,
        "-CA",
        ca("issuing.pem").to_str().unwrap(),
        "-CAkey",
        ca("issuing.key").to_str().unwrap(),
        "-set_serial",
        serial,
        "-days",
        "30",
        "-extfile",
        &extensions,
    ]);
    let pem = dated(&pem, &ca("issuing.key"), "260101000000Z", end);
    Identity { pem: String::from_utf8(pem).unwrap(), key }
}

async fn send(server: &TestServer, device: &Identity, request: &[u8]) -> Reply {
    ask(server.address(), &showing(&device.der(), device), request).await.unwrap()
}

fn detail<'a>(event: &'a Event, name: &str) -> &'a str {
    event.detail(name).unwrap_or_else(|| panic!("no {name}: {event:?}"))
}

#[tokio::test]
async fn d_36_what_is_not_on_record_is_rejected_with_an_alarm_an_hour() {
    let server = TestServer::start_with(MORE).await;
    let lost = signed_elsewhere(&server, "/CN=lost-1", "0x1234567890");
    let before = server.issued().await.len();
    for label in ["", "any/", "other/"] {
        for (operation, request) in requests(label, "/CN=lost-1") {
            let reply = send(&server, &lost, &request).await;
            assert_eq!(
                reply.status,
                status_without_password(&operation),
                "{operation}: {}",
                reply.text()
            );
            let reason = last_reason(&server);
            assert!(reason.starts_with("auth.unknown-certificate"), "{operation}: {reason}");
        }
    }
    assert_eq!(server.issued().await.len(), before, "nothing was issued");
    let alarms = server.events_named("certificate.unknown");
    let [alarm] = &alarms[..] else { panic!("one alarm: {alarms:?}") };
    assert_eq!(detail(alarm, "ca"), "default");
    assert_eq!(detail(alarm, "certificate_serial"), "1234567890");
    assert_eq!(detail(alarm, "certificate_subject"), "CN=lost-1");
    assert_eq!(detail(alarm, "cause"), "nothing is on record under its serial number");
    assert!(detail(alarm, "address").starts_with("127.0.0.1:"));
    let (_, simple) = requests("", "/CN=lost-1").swap_remove(0);
    server.clock.advance(Duration::from_secs(3600));
    send(&server, &lost, &simple).await;
    send(&server, &lost, &simple).await;
    assert_eq!(server.events_named("certificate.unknown").len(), 2);
    // As with a revoked one, a password counts alone.
    let (csr, _) = new_csr(&["-subj", "/CN=lost-1"]);
    let by_both = post("simpleenroll", &csr, &basic("tester", PASSWORD));
    let reply = send(&server, &lost, &by_both).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let reply =
        send(&server, &lost, &post("simplereenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn d_36_an_expired_one_raises_the_alarm_too() {
    let server = TestServer::start_with("[label.grace]\nrenewal.grace = \"30d\"\n").await;
    for (serial, label) in [("0x1234567890", ""), ("0x1234567891", "grace/")] {
        let expired = signed_until(&server, "/CN=lost-1", serial, "261120000000Z");
        let (_, request) = requests(label, "/CN=lost-1").swap_remove(1);
        for _ in 0..2 {
            let reply = send(&server, &expired, &request).await;
            assert_eq!(reply.status, 403, "{}", reply.text());
            let reason = last_reason(&server);
            assert!(reason.contains("one that expired at 2026-11-20T"), "{reason}");
        }
        let alarm = server.events_named("certificate.unknown").pop().unwrap();
        assert_eq!(detail(&alarm, "certificate_serial"), &serial[2..]);
        assert_eq!(detail(&alarm, "cause"), "nothing is on record under its serial number");
    }
    assert_eq!(server.events_named("certificate.unknown").len(), 2);
}

#[tokio::test]
async fn d_36_by_a_setting_it_renews_its_own_names_and_nothing_else() {
    let server = TestServer::start_with(MORE).await;
    let device = server.device("/CN=device-1").await;
    let lost = signed_elsewhere(&server, "/CN=lost-1", "0x1234567890");
    let (csr, _) = new_csr(&["-subj", "/CN=lost-1"]);
    let renew = post("simplereenroll", &csr, "");
    assert_eq!(send(&server, &lost, &renew).await.status, 403);
    server.running.reload(server.settings(RENEWS).unwrap()).await.unwrap();
    let mut issued = Vec::new();
    for operation in ["simplereenroll", "simpleenroll"] {
        let reply = send(&server, &lost, &post(operation, &csr, "")).await;
        assert_eq!(reply.status, 200, "{operation}: {}", reply.reason());
        let new = Certificate::parse(
            &Identity { pem: reply.certificate_pem(), key: String::new() }.der(),
        );
        let record = server.running.store().find(new.unwrap().serial()).await.unwrap().unwrap();
        assert_eq!(record.intent.predecessor.as_ref().unwrap().to_string(), "1234567890");
        issued.push(record.intent.serial.clone());
    }
    assert_eq!(server.events_named("certificate.unknown").len(), 1, "and the alarm is raised");

    let before = server.issued().await.len();
    let password = basic("tester", PASSWORD);
    let (other, _) = new_csr(&["-subj", "/CN=other"]);
    for label in ["", "any/"] {
        for credentials in ["", &password] {
            for operation in ["simplereenroll", "simpleenroll"] {
                let request = post(&format!("{label}{operation}"), &other, credentials);
                let reply = send(&server, &lost, &request).await;
                assert_eq!(reply.status, 403, "{label}{operation}: {}", reply.reason());
                assert!(reply.reason().starts_with("reenroll.identity"), "{}", reply.reason());
            }
        }
        for (operation, request) in &requests(label, "/CN=lost-1")[2..] {
            let reply = send(&server, &lost, request).await;
            assert_eq!(reply.status, 401, "{operation}: {}", reply.reason());
        }
    }
    for (operation, request) in requests("other/", "/CN=lost-1") {
        let reply = send(&server, &lost, &request).await;
        assert_eq!(
            reply.status,
            status_without_password(&operation),
            "{operation}: {}",
            reply.reason()
        );
    }
    // A serial number that is on record with another TBS.
    let serial = Certificate::parse(&device.der()).unwrap().serial().to_string();
    let forged = signed_elsewhere(&server, "/CN=lost-1", &format!("0x{serial}"));
    for (request, status) in [(&renew, 403), (&post("simpleenroll", &csr, ""), 401)] {
        let reply = send(&server, &forged, request).await;
        assert_eq!(reply.status, status, "{}", reply.reason());
        assert!(reply.reason().contains("differs from what is on record"), "{}", reply.reason());
    }
    let alarm = server.events_named("certificate.unknown").pop().unwrap();
    assert_eq!(detail(&alarm, "cause"), "another certificate is on record under its serial number");
    // Then the exception ends.
    server.clock.advance(Duration::from_secs(10 * 86_400));
    assert_eq!(send(&server, &lost, &renew).await.status, 403);
    assert_eq!(server.issued().await.len(), before, "nothing was issued");
}

#[tokio::test]
async fn d_36_the_exception_has_an_end() {
    let server = TestServer::start_with("[ca.default]\n").await;
    let errors = |more: &str| server.settings(more).unwrap_err().to_string();
    let renews = "unknown_certificates = \"renew-own-names\"\n";
    assert!(errors(renews).contains("got no end for renew-own-names"), "{}", errors(renews));
    let until = |text: &str| format!("unknown_certificates_until = \"{text}\"\n");
    assert!(errors(&until("2026-12-31")).contains("got an end without exception"));
    assert!(errors(&format!("{renews}{}", until("soon"))).contains("2026-12-31T00:00:00Z"));
    assert!(
        errors("unknown_certificates = \"any\"\n")
            .contains("got \"any\"; expected: \"reject\", \"renew-own-names\"")
    );
    for good in ["2026-12-31", "2026-12-31T12:00:00Z"] {
        assert!(server.settings(&format!("{renews}{}", until(good))).is_ok(), "{good}");
    }
}
