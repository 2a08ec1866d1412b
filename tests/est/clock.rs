//! A clock that is set back or forward by a day, while the server runs and across a restart.

use crate::common::*;
use estd::types::Time;
use std::{collections::HashSet, time::Duration};

const DAY: u64 = 86_400;
const MINUTE: u64 = 60;

/// A server on sled whose CA is ten days old at NOW, and whose clock is at NOW.
async fn server() -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder, "", "sled", NOW - 10 * DAY).await;
    server.add_account("tester", PASSWORD, None).await;
    server.clock.set(Time::from_unix(NOW));
    server
}

async fn restart(server: TestServer, now: u64) -> TestServer {
    let folder = server.stop().await;
    TestServer::start_in(folder, "", "sled", now).await
}

/// Returns the certificate of the answer to a request.
async fn certificate(server: &TestServer, csr: &[u8]) -> estd::pki::Certificate {
    let reply = server.enroll(csr).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let pem = reply.certificate_pem();
    estd::pki::Certificate::parse(&Identity { pem, key: String::new() }.der()).unwrap()
}

/// Sends a new request and checks its certificate by the server's clock.
async fn is_right(server: &TestServer, now: u64) {
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let certificate = certificate(server, &csr).await;
    assert_eq!(certificate.not_before(), Time::from_unix(now - 5 * MINUTE));
    assert_eq!(certificate.not_after(), Time::from_unix(now + 90 * DAY - 1));
    let cacerts = server.get("/.well-known/est/cacerts").await;
    assert_eq!((cacerts.status, cacerts.certificates().len()), (200, 2));
}

async fn reenroll(server: &TestServer, device: &Identity) -> Reply {
    let csr = csr_with(&device.key, &["-subj", "/CN=device"]);
    server.connect_as(device).await.send(post("simplereenroll", &csr, "")).await
}

fn is_not_yet_valid(reply: &Reply, from: u64, now: u64) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.header("Retry-After"), Some("300"));
    let expected = format!(
        "auth.not-yet-valid: the client certificate is valid now (RFC 5280 section 4.1.2.5); got \
         one that is valid from {}, while this server's clock has {}; expected: ",
        Time::from_unix(from),
        Time::from_unix(now)
    );
    assert!(reply.text().starts_with(&expected), "{}", reply.text());
}

async fn no_serial_twice(server: &TestServer, at_least: usize) {
    let issued = server.issued().await;
    let serials: HashSet<_> = issued.iter().map(|record| &record.intent.serial).collect();
    assert_eq!(serials.len(), issued.len());
    assert!(issued.len() >= at_least, "{}", issued.len());
    assert!(issued.iter().all(|record| !record.certificate.is_empty()));
}

#[tokio::test]
async fn a_day_back_certificates_are_right_and_windows_a_day_longer() {
    let mut server = server().await;
    let own = server.running.certificate().await;
    let (csr, key) = new_csr(&["-subj", "/CN=device"]);
    let device = server.identity(&csr, key).await;
    let first = estd::pki::Certificate::parse(&device.der()).unwrap();
    let mut open = server.connect_as(&device).await;
    let request = post("simplereenroll", &csr_with(&device.key, &["-subj", "/CN=device"]), "");

    let mut now = NOW - DAY;
    server.clock.set(Time::from_unix(now));
    for round in 0..2 {
        is_right(&server, now).await;
        // A retry of the previous request gets no second certificate.
        assert_eq!(certificate(&server, &csr).await.der(), first.der());
        // Its certificate becomes valid tomorrow: the device must wait, not give up.
        is_not_yet_valid(&reenroll(&server, &device).await, NOW - 5 * MINUTE, now);
        if round == 0 {
            is_not_yet_valid(&open.send(&request).await, NOW - 5 * MINUTE, now);
        }
        // A password is enough.
        let with = post("simpleenroll", &csr, &basic("tester", PASSWORD));
        let reply = server.connect_as(&device).await.send(with).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(!server.running.renew_if_due().await.unwrap());
        assert_eq!(server.running.certificate().await.der(), own.der());
        if round == 0 {
            now += 20 * MINUTE;
            server = restart(server, now).await;
        }
    }
    // A window that begins now is as long as ever.
    let (short, _) = new_csr(&["-subj", "/CN=short"]);
    let begun = certificate(&server, &short).await;
    server.clock.set(Time::from_unix(now + 10 * MINUTE - 1));
    assert_eq!(certificate(&server, &short).await.der(), begun.der());
    server.clock.set(Time::from_unix(now + 10 * MINUTE));
    assert_ne!(certificate(&server, &short).await.der(), begun.der());
    // A window that had begun keeps its end, by the clock.
    server.clock.set(Time::from_unix(NOW + 10 * MINUTE - 1));
    assert_eq!(certificate(&server, &csr).await.der(), first.der());
    let reply = reenroll(&server, &device).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    server.clock.set(Time::from_unix(NOW + 10 * MINUTE));
    assert_ne!(certificate(&server, &csr).await.der(), first.der());
    no_serial_twice(&server, 8).await;
    server.running.stop().await;
}

#[tokio::test]
async fn a_day_forward_and_back_certificates_are_right() {
    let mut server = server().await;
    let (csr, key) = new_csr(&["-subj", "/CN=device"]);
    let before = server.identity(&csr, key).await;
    server.clock.advance(Duration::from_secs(DAY));
    is_right(&server, NOW + DAY).await;
    let (csr, key) = new_csr(&["-subj", "/CN=device"]);
    let ahead = server.identity(&csr, key).await;
    for device in [&before, &ahead] {
        let reply = reenroll(&server, device).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    // The clock is corrected, and the server restarted.
    for round in 0..2 {
        let now = NOW + MINUTE + round;
        server.clock.set(Time::from_unix(now));
        is_right(&server, now).await;
        is_not_yet_valid(&reenroll(&server, &ahead).await, NOW + DAY - 5 * MINUTE, now);
        assert_eq!(reenroll(&server, &before).await.status, 200);
        server = restart(server, now).await;
    }
    no_serial_twice(&server, 7).await;
    server.running.stop().await;
}

#[tokio::test]
async fn before_its_ca_began_the_server_rejects_for_now_and_starts_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start_in(folder, "", "sled", NOW).await;
    server.add_account("tester", PASSWORD, None).await;
    let own = server.running.certificate().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    server.clock.set(Time::from_unix(NOW - DAY));
    for _ in 0..2 {
        let reply = server.enroll(&csr).await;
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.header("Retry-After"), Some("30"));
        assert!(reply.text().starts_with("server.signer: the CA cannot sign"), "{}", reply.text());
        assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
        assert!(!server.running.renew_if_due().await.unwrap());
        assert_eq!(server.running.certificate().await.der(), own.der());
        server = restart(server, NOW - DAY).await;
    }
    server.clock.set(Time::from_unix(NOW));
    is_right(&server, NOW).await;
    no_serial_twice(&server, 2).await;
    server.running.stop().await;
}

/// A foreign certificate that is not valid yet is rejected today and tomorrow.
#[tokio::test]
async fn a_stranger_s_certificate_that_is_not_yet_valid_is_rejected_for_good() {
    let server = server().await;
    let other = TestServer::start().await;
    other.clock.advance(Duration::from_secs(DAY));
    let device = other.device("/CN=device").await;
    let reply = reenroll(&server, &device).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.header("Retry-After").is_none());
    server.running.stop().await;
}
