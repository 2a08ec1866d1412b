//! A revoked certificate neither authenticates nor renews.

use crate::{
    common::*,
    store::{Reported, items},
};
use estd::{
    admin::{Admin, Error, Handle, check::check_source},
    api::{CertificateEntry, CertificateQuery, Revocations, Revoke, Revoked, ShowCertificate},
    entropy::SystemEntropy,
    pki::Certificate,
    store::{Issuance, Item, MemoryStore, State, Store},
    types::{Actor, Serial},
};
use std::sync::Arc;

fn serial(device: &Identity) -> Serial {
    Certificate::parse(&device.der()).unwrap().serial().clone()
}

fn admin(server: &TestServer) -> Admin {
    let (store, clock) = (Arc::clone(server.running.store()), Arc::clone(&server.clock));
    Admin::new(store, Vec::new(), "estd".to_owned(), clock, Arc::new(SystemEntropy::new()))
}

async fn show(admin: &Admin, serial: &str) -> Result<CertificateEntry, Error> {
    let call = ShowCertificate { serial: serial.to_owned() };
    call.handle(admin, &Actor::server()).await
}

async fn revoke(server: &TestServer, device: &Identity, reason: &str) -> Revoked {
    let call = Revoke {
        serials: vec![serial(device).to_string()],
        reason: Some(reason.to_owned()),
        comment: Some("lost".to_owned()),
    };
    let Revocations { mut revoked, failed } =
        call.handle(&admin(server), &Actor::operator(1000)).await.unwrap();
    assert_eq!(failed, []);
    revoked.remove(0)
}

/// proves: R-7030-3.3.2-g
#[tokio::test]
async fn r_7030_3_3_2_c_a_revoked_certificate_neither_authenticates_nor_is_renewed() {
    let labels = "[label.cert]\naccept = [\"certificate\", \"ra\"]\n\
                  [label.both]\naccept = [[\"certificate\", \"password\"]]\nrenewal.accept = [[\"certificate\", \"password\"]]\n\
                  [label.password]\naccept = [\"password\"]\n";
    let server = TestServer::start_with(labels).await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    // A connection that was opened in time, and is used later.
    let mut kept = server.connect_as(&device).await;
    assert_eq!(kept.send(post("simplereenroll", &csr, "")).await.status, 200);
    revoke(&server, &device, "keyCompromise").await;

    for (label, operation, status) in [
        ("", "simpleenroll", 401),
        ("", "simplereenroll", 403),
        ("cert/", "simpleenroll", 403),
        ("cert/", "simplereenroll", 403),
        ("both/", "simpleenroll", 403),
        ("both/", "simplereenroll", 403),
    ] {
        {
            let request = post(&format!("{label}{operation}"), &csr, "");
            let fresh = server.connect_as(&device).await.send(&request).await;
            let old = kept.send(&request).await;
            for reply in [fresh, old] {
                assert_eq!(reply.status, status, "{label}{operation}: {}", reply.text());
                let reason = if status == 401 {
                    reply.header("X-Reason").unwrap().to_owned()
                } else {
                    reply.text()
                };
                let expected = "one that was revoked at 2026-11-21T12:00:00Z: keyCompromise";
                assert!(reason.contains(expected), "{reason}");
            }
        }
    }
    // If both are required, a correct password does not help. If one is enough, it counts alone, but
    // does not permit a renewal.
    let by_both = |operation: &str| post(operation, &csr, &basic("tester", PASSWORD));
    assert_eq!(kept.send(by_both("both/simpleenroll")).await.status, 403);
    let reply = kept.send(by_both("simplereenroll")).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().starts_with("auth.certificate"), "{}", reply.text());
    let reply = kept.send(by_both("simpleenroll")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let new = Identity { pem: reply.certificate_pem(), key: String::new() };
    let record = server.running.store().find(&serial(&new)).await.unwrap().unwrap();
    assert_eq!(record.intent.predecessor, None);
    assert_eq!(record.intent.actor.name, "tester");
    // Labels that ignore certificates, and operations without authentication, are unaffected.
    assert_eq!(kept.send(by_both("password/simpleenroll")).await.status, 200);
    let cacerts = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(kept.send(cacerts).await.status, 200);
    // The renewed certificate is separate and stays valid.
    let others = server.events_named("certificate.revoked");
    assert_eq!(others.len(), 1);
}

#[tokio::test]
async fn a_retry_never_returns_a_revoked_certificate() {
    let server = TestServer::start().await;
    let (csr, key) = new_csr(&["-subj", "/CN=device-1"]);
    let device = server.identity(&csr, key.clone()).await;
    assert_eq!(server.enroll(&csr).await.certificate_pem(), device.pem, "within its window");
    revoke(&server, &device, "superseded").await;
    let second = server.identity(&csr, key).await;
    assert_ne!(serial(&second), serial(&device));
    assert_eq!(server.enroll(&csr).await.certificate_pem(), second.pem);
}

#[tokio::test]
async fn an_operator_revokes_once_and_finds_it() {
    let server = TestServer::start().await;
    let (one, two) = (server.device("/CN=device-1").await, server.device("/CN=device-2").await);
    let admin = admin(&server);
    let first = revoke(&server, &one, "cessationofoperation").await;
    let expected = Revoked {
        serial: serial(&one).to_string(),
        subject: "CN=device-1".to_owned(),
        revoked: "2026-11-21T12:00:00Z".to_owned(),
        reason: "cessationOfOperation".to_owned(),
        before: false,
    };
    assert_eq!(first, expected);
    server.clock.advance(std::time::Duration::from_secs(60));
    let again = revoke(&server, &one, "keyCompromise").await;
    assert_eq!(again, Revoked { before: true, ..expected });

    let reported = server.events_named("certificate.revoked");
    let [event] = &reported[..] else { panic!("once: {reported:?}") };
    let detail = |name: &str| {
        let found = event.details.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(detail("serial"), Some(serial(&one).to_string().as_str()));
    assert_eq!(detail("reason"), Some("cessationOfOperation"));
    assert_eq!((detail("comment"), detail("subject")), (Some("lost"), Some("CN=device-1")));
    assert_eq!(event.actor, Actor::operator(1000));

    let listed = async |state: &str| {
        let query = CertificateQuery { state: Some(state.to_owned()), ..Default::default() };
        let page = query.clone().handle(&admin, &Actor::server()).await.unwrap();
        page.certificates.into_iter().map(|one| one.subject).collect::<Vec<_>>()
    };
    assert_eq!(listed("revoked").await, ["CN=device-1"]);
    assert!(!listed("valid").await.contains(&"CN=device-1".to_owned()));
    let entry = show(&admin, &serial(&one).to_string()).await.unwrap();
    assert_eq!(entry.state, "revoked");
    assert_eq!(entry.revoked.as_deref(), Some("2026-11-21T12:00:00Z"));
    assert_eq!(entry.revocation_reason.as_deref(), Some("cessationOfOperation"));
    assert_eq!(entry.pem.as_deref().map(str::trim), Some(one.pem.trim()), "it can be shown still");

    let call = |serials: &[&str], reason: &str| Revoke {
        serials: serials.iter().map(|&serial| serial.to_owned()).collect(),
        reason: Some(reason.to_owned()),
        comment: None,
    };
    let operator = Actor::operator(0);
    let number = serial(&two).to_string();
    let rejected = call(&[&number], "certificateHold").handle(&admin, &operator).await;
    assert!(
        matches!(&rejected, Err(Error::Invalid { expected, .. }) if expected.contains("superseded"))
    );
    for serials in [&[][..], &["01"; 1001]] {
        let rejected = call(serials, "superseded").handle(&admin, &operator).await;
        assert!(matches!(rejected, Err(Error::Invalid { .. })), "{} serials", serials.len());
    }
    // An error of one does not stop the others, and the order is that of the call.
    let number_of_one = serial(&one).to_string();
    let serials = ["0102", &number, "zz", &number_of_one];
    let Revocations { revoked, failed } =
        call(&serials, "superseded").handle(&admin, &operator).await.unwrap();
    let done: Vec<_> =
        revoked.iter().map(|one| (one.serial.as_str(), one.reason.as_str(), one.before)).collect();
    assert_eq!(
        done,
        [
            (number.as_str(), "superseded", false),
            (number_of_one.as_str(), "cessationOfOperation", true)
        ]
    );
    let failed: Vec<_> =
        failed.iter().map(|one| (one.serial.as_str(), one.reason.error.as_str())).collect();
    assert_eq!(failed[0], ("0102", "certificate 0102 does not exist"));
    assert!(failed[1].0 == "zz" && failed[1].1.starts_with("serial number: got zz;"), "{failed:?}");
    assert_eq!(failed.len(), 2);
}

#[tokio::test]
async fn a_store_with_revoked_certificates_is_good_and_its_errors_are_named() {
    let server = TestServer::start().await;
    let (csr, key) = new_csr(&["-subj", "/CN=device-1"]);
    let device = server.identity(&csr, key).await;
    revoke(&server, &device, "keyCompromise").await;
    // A second certificate for the same request within its window is correct after a revocation.
    assert_eq!(server.enroll(&csr).await.status, 200);
    let items = items(&**server.running.store()).await;
    let checked = async |change: &dyn Fn(&mut Issuance)| {
        let mut items = items.clone();
        for item in &mut items {
            if let Item::Issuance(one) = item
                && one.state == State::Revoked
            {
                change(Arc::make_mut(one));
            }
        }
        let store = MemoryStore::new(Arc::new(estd::telemetry::audit::NoTrail));
        store.import(items).await.unwrap();
        let mut reported = Reported::default();
        let found = check_source(&(&store as &dyn Store), server.clock.now(), &mut reported).await;
        ((found.issued, found.revoked), reported.0)
    };
    use estd::clock::Clock;
    assert_eq!(checked(&|_| {}).await, ((2, 1), Vec::new()));
    let name = format!("issuance {}", serial(&device));
    let (_, errors) = checked(&|one| one.revocation = None).await;
    assert_eq!(errors, [format!("{name}: is revoked, but its revocation does not match")]);
    let (_, errors) = checked(&|one| {
        one.revocation = None;
        one.state = State::Issued;
    })
    .await;
    let unreported =
        format!("{name}: has an event certificate.revoked, which does not match its state");
    assert!(errors.contains(&unreported), "{errors:?}");
}
