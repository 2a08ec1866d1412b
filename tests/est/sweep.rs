//! Issuances left open are finished, or voided if no CA can finish them.

use crate::common::*;
use estd::{
    clock::Clock,
    pki::Certificate,
    server::Swept,
    store::{Begun, Conditions, IdempotencyKey, Intent, Issuance, State, Store},
    types::{Serial, Time},
};
use std::{sync::Arc, time::Duration};

/// Stores an open record, as a request leaves it that fails after its first step. It copies the record
/// of a device's certificate, under another serial number and idempotency key.
async fn leave_open(server: &TestServer, number: u8, begun: u64) -> Intent {
    let device = server.device(&format!("/CN=device-{number}")).await;
    let (_, pem) = der::pem::decode_vec(device.pem.as_bytes()).unwrap();
    let issued = Certificate::parse(&pem).unwrap();
    let record = server.running.store().find(issued.serial()).await.unwrap().unwrap();
    let serial = Serial::parse(&[number; 20]).unwrap();
    let certificate: x509_cert::Certificate = der::Decode::from_der(&pem).unwrap();
    let mut tbs = der::Encode::to_der(certificate.tbs_certificate()).unwrap();
    let place = tbs.windows(20).position(|part| part == issued.serial().as_bytes()).unwrap();
    tbs[place..place + 20].copy_from_slice(serial.as_bytes());
    let intent = Intent {
        serial,
        tbs: tbs.into(),
        idempotency_key: IdempotencyKey([number; 32]),
        begun: Time::from_unix(begun),
        device: None,
        token: None,
        ..record.intent.clone()
    };
    assert_eq!(
        server.running.store().begin(intent.clone(), Conditions::default()).await.unwrap(),
        Begun::New
    );
    intent
}

async fn state(store: &dyn Store, intent: &Intent) -> Arc<Issuance> {
    store.find(&intent.serial).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_was_left_open_for_a_minute_becomes_a_certificate() {
    let server = TestServer::start().await;
    let old = leave_open(&server, 1, NOW).await;
    server.clock.set(Time::from_unix(NOW + 30));
    let young = leave_open(&server, 2, NOW + 30).await;
    server.clock.set(Time::from_unix(NOW + 59));
    assert_eq!(server.running.sweep().await.unwrap(), Swept::default());
    server.clock.set(Time::from_unix(NOW + 60));
    assert_eq!(server.running.sweep().await.unwrap(), Swept { finished: 1, voided: 0 });
    let store = &**server.running.store();
    let finished = state(store, &old).await;
    assert_eq!((finished.state, finished.ended), (State::Issued, Some(server.clock.now())));
    assert_eq!(state(store, &young).await.state, State::Open);
    // An independent check of the signature.
    let certificate = Certificate::parse(&finished.certificate).unwrap();
    assert_eq!(*certificate.serial(), old.serial);
    let finished_pem = server.write("finished.pem", certificate.to_pem());
    server.verify(server.path("data/ca/default/issuing.pem").to_str().unwrap(), &finished_pem);
    // Its event names its cause, and a retry gets it.
    let event = server.events_named("certificate.issued").pop().unwrap();
    assert!(event.details.iter().any(|(name, _)| name == "finished"), "{event:?}");
    let repeat = Intent { serial: Serial::parse(&[9; 20]).unwrap(), ..old.clone() };
    assert_eq!(
        store.begin(repeat, Conditions::default()).await.unwrap(),
        Begun::Complete(finished)
    );
    assert_eq!(server.running.sweep().await.unwrap(), Swept::default(), "once");
}

#[tokio::test]
async fn what_no_ca_can_finish_is_voided() {
    let server = TestServer::start().await;
    let expired = leave_open(&server, 1, NOW).await;
    let mut foreign = leave_open(&server, 2, NOW).await;
    foreign.serial = Serial::parse(&[3; 20]).unwrap();
    foreign.idempotency_key = IdempotencyKey([3; 32]);
    foreign.ca = "gone".parse().unwrap();
    server.running.store().begin(foreign.clone(), Conditions::default()).await.unwrap();
    server.clock.set(Time::from_unix(NOW + 60));
    assert_eq!(server.running.sweep().await.unwrap(), Swept { finished: 2, voided: 1 });
    let store = &**server.running.store();
    assert_eq!(state(store, &foreign).await.state, State::Void);
    assert_eq!(state(store, &expired).await.state, State::Issued);
    let late = leave_open(&server, 4, NOW + 60).await;
    server.clock.set(late.not_after.plus(Duration::from_secs(1)));
    assert_eq!(server.running.sweep().await.unwrap(), Swept { finished: 0, voided: 1 });
    assert_eq!(state(store, &late).await.state, State::Void);
    let reasons: Vec<String> = server
        .events_named("issuance.voided")
        .iter()
        .flat_map(|event| event.details.clone())
        .filter(|(name, _)| name == "reason")
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, ["its CA is not in the configuration any more", "its validity is over"]);
}

#[tokio::test]
async fn a_start_finishes_what_the_last_process_left_open() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder, "", "sled", NOW).await;
    server.add_account("tester", PASSWORD, None).await;
    let open = leave_open(&server, 1, NOW).await;
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, "", "sled", NOW + 1).await;
    assert_eq!(state(&**server.running.store(), &open).await.state, State::Issued);
    server.stop().await;
}

#[tokio::test]
async fn a_start_whose_clock_was_set_back_leaves_open_what_no_ca_can_sign_yet() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder, "", "sled", NOW).await;
    server.add_account("tester", PASSWORD, None).await;
    let open = leave_open(&server, 1, NOW).await;
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, "", "sled", NOW - 40 * 86_400).await;
    assert_eq!(state(&**server.running.store(), &open).await.state, State::Open);
    server.clock.set(Time::from_unix(NOW + 60));
    assert_eq!(server.running.sweep().await.unwrap(), Swept { finished: 1, voided: 0 });
    server.stop().await;
}
