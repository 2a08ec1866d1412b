//! The predecessor of a renewed certificate: kept, or revoked as superseded (D-35).

use crate::common::*;
use estd::{
    clock::Clock,
    pki::Certificate,
    store::{Begun, Conditions, IdempotencyKey, Intent, Issuance, State},
    types::{RevocationReason, Serial, Time},
};
use std::{sync::Arc, time::Duration};

const DAY: u64 = 86_400;

const RULES: &str = "[est.renewal]\npredecessor = \"supersede\"\ndelay = \"7d\"\n\
                     [label.kept.renewal]\npredecessor = \"keep\"\n[label.kept]\n";

/// Renews a certificate with a new key.
async fn renewed(server: &TestServer, device: &Identity, path: &str, name: &str) -> Identity {
    let (csr, key) = new_csr(&["-subj", name]);
    let reply = server.connect_as(device).await.send(post(path, &csr, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Identity { pem: reply.certificate_pem(), key }
}

/// A certificate and its successor.
async fn pair(server: &TestServer, path: &str, name: &str) -> (Identity, Identity) {
    let first = server.device(name).await;
    let second = renewed(server, &first, path, name).await;
    (first, second)
}

fn serial(device: &Identity) -> Serial {
    Certificate::parse(&device.der()).unwrap().serial().clone()
}

async fn record(server: &TestServer, device: &Identity) -> Arc<Issuance> {
    server.running.store().find(&serial(device)).await.unwrap().unwrap()
}

async fn is_revoked(server: &TestServer, device: &Identity) -> bool {
    record(server, device).await.revocation.is_some()
}

/// Any operation is a use.
async fn uses(server: &TestServer, device: &Identity) {
    let request = "GET /.well-known/est/csrattrs HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (csr, _) = new_csr(&["-subj", "/CN=another"]);
    // The answer of csrattrs needs no authentication; an enrollment for other names does.
    assert_eq!(server.connect_as(device).await.send(request).await.status, 204);
    let reply = server.connect_as(device).await.send(post("simpleenroll", &csr, "")).await;
    assert_eq!(reply.status, 401, "{}", reply.text());
}

fn at(server: &TestServer, now: u64) {
    server.clock.set(Time::from_unix(now));
}

async fn swept(server: &TestServer) -> usize {
    server.running.supersede().await.unwrap()
}

/// The names and values of the last revocation's event.
fn last_event(server: &TestServer) -> Vec<(String, String)> {
    let event = server.events_named("certificate.revoked").pop().unwrap();
    let details = event.details.iter();
    let request = event.request_id.iter().map(|id| ("request".to_owned(), id.to_string()));
    details.map(|(name, value)| (name.to_string(), value.clone())).chain(request).collect()
}

/// The whole life on one backend: first use and delay, to the second.
async fn superseded_in(backend: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder, RULES, backend, NOW).await;
    if backend != "memory" {
        server.add_account("tester", PASSWORD, None).await;
    }
    let name = "/CN=device-1";
    let first = server.device(name).await;
    let (csr, key) = new_csr(&["-subj", name]);
    let renewal = post("simplereenroll", &csr, "");
    let reply = server.connect_as(&first).await.send(&renewal).await;
    let second = Identity { pem: reply.certificate_pem(), key };
    // Two more, whose successors are not used: by the other operation, and under a label that keeps.
    let (unused, _) = pair(&server, "simpleenroll", "/CN=device-2").await;
    let (kept, unrelated) = pair(&server, "kept/simplereenroll", "/CN=device-3").await;

    at(&server, NOW + 599);
    uses(&server, &second).await;
    assert!(!is_revoked(&server, &first).await, "within the retry window");
    let reply = server.connect_as(&first).await.send(&renewal).await;
    assert_eq!(reply.certificate_pem(), second.pem, "the first answer");
    at(&server, NOW + 600);
    uses(&server, &second).await;
    uses(&server, &unrelated).await;
    let revocation = record(&server, &first).await.revocation.unwrap();
    assert_eq!(revocation.reason, RevocationReason::Superseded);
    assert_eq!(revocation.at, Time::from_unix(NOW + 600));
    let details = last_event(&server);
    let has = |name: &str, value: String| details.contains(&(name.to_owned(), value));
    assert!(has("serial", serial(&first).to_string()), "{details:?}");
    assert!(has("successor", serial(&second).to_string()), "{details:?}");
    assert!(details.iter().any(|(name, _)| name == "request"), "{details:?}");
    let reply = server.connect_as(&first).await.send(&renewal).await;
    assert_eq!(reply.status, 403, "revoked");
    at(&server, NOW + 601);
    uses(&server, &second).await;
    assert_eq!(server.events_named("certificate.revoked").len(), 1, "once");

    // The delay, and a restart of a store that lasts.
    at(&server, NOW + 7 * DAY - 1);
    assert_eq!(swept(&server).await, 0);
    let server = match backend {
        "sled" => {
            let folder = server.stop().await;
            TestServer::start_in(folder, RULES, backend, NOW + 7 * DAY - 1).await
        }
        _ => server,
    };
    assert!(!is_revoked(&server, &unused).await);
    at(&server, NOW + 7 * DAY);
    assert_eq!(swept(&server).await, 1);
    assert!(is_revoked(&server, &unused).await);
    at(&server, NOW + 7 * DAY + 1);
    assert_eq!(swept(&server).await, 0);
    assert!(!is_revoked(&server, &kept).await);
    // Later ones are found, too, by two sweeps at once.
    let (later, _) = pair(&server, "simplereenroll", "/CN=device-4").await;
    at(&server, NOW + 15 * DAY);
    let (one, other) = tokio::join!(server.running.supersede(), server.running.supersede());
    assert!(one.unwrap() + other.unwrap() >= 1);
    assert!(is_revoked(&server, &later).await);
    let events = server.events_named("certificate.revoked");
    let of_later = events.iter().filter(|event| {
        event.details.iter().any(|(_, value)| *value == serial(&later).to_string())
    });
    assert_eq!(of_later.count(), 1);
    server.running.stop().await;
}

#[tokio::test]
async fn d_35_a_predecessor_is_superseded_at_the_first_use_or_after_the_delay() {
    superseded_in("memory").await;
}

#[tokio::test]
async fn d_35_a_predecessor_is_superseded_on_sled() {
    superseded_in("sled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_35_a_predecessor_is_superseded_on_postgresql() {
    let database = crate::postgres::Postgres::start();
    database.sql("postgres", "CREATE DATABASE estd");
    let socket = database.socket().display();
    superseded_in(&format!("postgres\"\nconnection = \"host={socket} dbname=estd user=estd")).await;
}

/// A label that begins to supersede later begins at that time; a first use counts for all.
#[tokio::test]
async fn d_35_the_delay_counts_for_certificates_of_the_rule_s_time() {
    let server = TestServer::start().await;
    let (before, first) = pair(&server, "simplereenroll", "/CN=device-1").await;
    at(&server, NOW + DAY);
    let rule = "[est.renewal]\npredecessor = \"supersede\"\ndelay = \"7d\"\n";
    server.running.reload(server.settings(rule).unwrap()).await.unwrap();
    let (after, _) = pair(&server, "simplereenroll", "/CN=device-2").await;
    at(&server, NOW + 8 * DAY);
    assert_eq!(swept(&server).await, 1);
    assert!(is_revoked(&server, &after).await);
    assert!(!is_revoked(&server, &before).await);
    uses(&server, &first).await;
    assert!(is_revoked(&server, &before).await);
    // Back, and again: what was renewed in between stays.
    server.running.reload(server.settings("").unwrap()).await.unwrap();
    let (between, _) = pair(&server, "simplereenroll", "/CN=device-3").await;
    at(&server, NOW + 9 * DAY);
    assert_eq!(swept(&server).await, 0);
    server.running.reload(server.settings(rule).unwrap()).await.unwrap();
    at(&server, NOW + 30 * DAY);
    assert_eq!(swept(&server).await, 0);
    assert!(!is_revoked(&server, &between).await);
}

/// A retry window that was longer at the time of issue, and an issuance that is still open: both wait, and
/// do not stop others.
#[tokio::test]
async fn d_35_what_must_wait_is_not_skipped() {
    let rule = |window: &str| {
        format!(
            "[est]\nretry_window = \"{window}\"\n[est.renewal]\npredecessor = \"supersede\"\ndelay = \"{window}\"\n"
        )
    };
    let server = TestServer::start().await;
    let settings = |text: &str| server.settings(text).unwrap();
    server.running.reload(settings(&rule("1d"))).await.unwrap();
    let (long, _) = pair(&server, "simplereenroll", "/CN=device-1").await;
    server.running.reload(settings(&rule("1h"))).await.unwrap();
    at(&server, NOW + 1);
    let (short, successor) = pair(&server, "simplereenroll", "/CN=device-2").await;
    let opened = server.device("/CN=device-3").await;
    // As a request leaves it that ends after its first step.
    let like = record(&server, &successor).await;
    let mut bytes = like.intent.serial.as_bytes().to_vec();
    bytes[19] ^= 1;
    let other = Serial::parse(&bytes).unwrap();
    let open = Intent {
        tbs: tbs_with(&like.certificate, &like.intent.serial, &other).into(),
        serial: other,
        idempotency_key: IdempotencyKey([7; 32]),
        predecessor: Some(serial(&opened)),
        ..like.intent.clone()
    };
    assert_eq!(
        server.running.store().begin(open.clone(), Conditions::default()).await.unwrap(),
        Begun::New
    );
    let revoked = async |device| is_revoked(&server, device).await;
    at(&server, NOW + 3600);
    assert_eq!(swept(&server).await, 0, "a second too early");
    at(&server, NOW + 3601);
    assert_eq!(swept(&server).await, 1);
    assert_eq!((revoked(&long).await, revoked(&short).await), (false, true));
    // The open one gets its certificate.
    assert_eq!(server.running.sweep().await.unwrap().finished, 1);
    assert_eq!(record(&server, &opened).await.state, State::Issued);
    assert_eq!(swept(&server).await, 1);
    assert_eq!((revoked(&long).await, revoked(&opened).await), (false, true));
    at(&server, NOW + DAY - 1);
    assert_eq!(swept(&server).await, 0);
    at(&server, NOW + DAY);
    assert_eq!(swept(&server).await, 1);
    assert!(revoked(&long).await);
    assert_eq!(swept(&server).await, 0);
}

/// More than a page, others in between, and a clock that was wrong in between.
#[tokio::test]
async fn d_35_many_and_after_a_clock_that_was_ahead() {
    let server = TestServer::start_with(RULES).await;
    let (first, successor) = pair(&server, "simplereenroll", "/CN=device-1").await;
    let like = record(&server, &successor).await;
    let store = server.running.store();
    let mut old = Vec::new();
    for number in 0..250_u16 {
        let device =
            if number % 50 == 0 { Some(server.device("/CN=device-2").await) } else { None };
        let mut bytes = like.intent.serial.as_bytes().to_vec();
        bytes[18..].copy_from_slice(&number.to_be_bytes());
        bytes[5] = 0xff;
        let intent = Intent {
            serial: Serial::parse(&bytes).unwrap(),
            idempotency_key: IdempotencyKey(std::array::from_fn(|at| bytes[at % 20])),
            predecessor: device.as_ref().map(serial),
            tbs: like.intent.tbs.clone(),
            ..like.intent.clone()
        };
        store.begin(intent.clone(), Conditions::default()).await.unwrap();
        let event = server.events_named("certificate.issued").pop().unwrap();
        store.complete(&intent.serial, like.certificate.clone(), event).await.unwrap();
        old.extend(device);
    }
    at(&server, NOW + 7 * DAY);
    assert_eq!(swept(&server).await, 6);
    for device in old.iter().chain([&first]) {
        assert!(is_revoked(&server, device).await);
    }
    // A month ahead, and back.
    at(&server, NOW + 40 * DAY);
    assert_eq!(swept(&server).await, 0);
    server.device("/CN=ahead").await;
    at(&server, NOW + 70 * DAY);
    assert_eq!(swept(&server).await, 0);
    at(&server, NOW + 8 * DAY);
    assert_eq!(swept(&server).await, 0);
    at(&server, NOW + 8 * DAY + 60);
    let (later, _) = pair(&server, "simplereenroll", "/CN=device-3").await;
    server.clock.advance(Duration::from_secs(7 * DAY - 1));
    assert_eq!(swept(&server).await, 0);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(swept(&server).await, 1);
    assert!(is_revoked(&server, &later).await, "{}", server.clock.now());
}
