//! Devices: found by what a client has proven, blocked at once, and named by the registry.

use crate::{
    acme::Acme,
    common::*,
    encodings::{self, MALLEABLE, forms, showing_chain},
    tokens::{add, granting},
};
use estd::{
    pki::{Certificate, sha256},
    store::{Device, DeviceStanding, Grant, Identifier, State},
    telemetry::audit::{Event, Name},
    types::{Actor, DeviceId, Time},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

pub(crate) fn event() -> Event {
    Event::new(Time::from_unix(NOW), Name::AccountAdded, Actor::server())
}

/// Registers a device.
pub(crate) async fn register(server: &TestServer, id: &str, change: impl FnOnce(&mut Device)) {
    let mut device = Device {
        id: id.parse().unwrap(),
        identifiers: Vec::new(),
        labels: None,
        quota: None,
        from: None,
        until: None,
        tags: Default::default(),
        standing: DeviceStanding::Enabled,
        registered: Time::from_unix(NOW),
    };
    change(&mut device);
    server.running.store().add_device(device, event()).await.unwrap();
}

pub(crate) fn identified_by(text: &str) -> impl FnOnce(&mut Device) {
    move |device| device.identifiers.push(text.parse().unwrap())
}

async fn change(server: &TestServer, id: &str, change: impl FnOnce(&mut Device)) {
    let store = server.running.store();
    let seen = store.device(&id.parse().unwrap()).await.unwrap().unwrap();
    let mut new = seen.clone();
    change(&mut new);
    store.change_device(&seen, new, event()).await.unwrap();
}

pub(crate) fn maker(more: &str) -> (Acme, String) {
    let acme = Acme::new("20261119120000Z", "20270601000000Z");
    acme.certify("issuing", "a-1", "of_device", "/CN=device/serialNumber=A-1");
    acme.certify("issuing", "a-2", "of_device", "/CN=device/serialNumber=A-2");
    let label = acme.label(&["root.crl", "issuing.crl"], "");
    let label = label.replace("[label.factory]\n", &format!("[label.factory]\n{more}\n"));
    let names = "[label.factory.names]\nmode = \"any\"\n";
    (acme, format!("{label}{names}"))
}

/// A CSR with a new key, and its answer.
pub(crate) async fn enroll(server: &TestServer, shown: &Identity, subject: &str) -> Reply {
    let csr = new_csr(&["-subj", subject]).0;
    server.connect_as(shown).await.send(post("factory/simpleenroll", &csr, "")).await
}

pub(crate) async fn last(server: &TestServer) -> estd::store::Issuance {
    estd::store::Issuance::clone(&server.issued().await.pop().unwrap())
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.reason().split(':').next().unwrap().to_owned())
}

fn rejection(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_device_that_nobody_registers_has_a_derived_id_that_it_keeps() {
    let (acme, config) = maker("accept = [\"manufacturer:acme\", \"password\"]");
    let config = config.replace("accept = [\"manufacturer:acme\"]\n", "");
    let server = TestServer::start_with(&config).await;
    let [one, two] = ["a-1", "a-2"].map(|name| acme.identity(name));
    let mut ids = Vec::new();
    for (shown, subject) in [(&one, "/CN=1"), (&two, "/CN=2"), (&one, "/CN=3")] {
        assert_eq!(enroll(&server, shown, subject).await.status, 200);
        ids.push(last(&server).await.intent.device.unwrap());
    }
    assert!(ids.iter().all(|id| id.is_derived() && id.as_str().starts_with("~factory/")));
    assert_eq!(ids[0], ids[2], "the same manufacturer's certificate");
    assert_ne!(ids[0], ids[1]);
    // By a password: the serial number of its certificate. Its renewal keeps the id.
    let (csr, key) = new_csr(&["-subj", "/CN=4"]);
    let reply = server.send(post("factory/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let first = last(&server).await;
    let label = first.intent.label.clone();
    let derived = DeviceId::derived(label.as_ref(), &sha256(first.intent.serial.as_bytes()));
    assert_eq!(first.intent.device, Some(derived));
    let device = Identity { pem: reply.certificate_pem(), key };
    server.clock.set(Time::from_unix(NOW + 60 * 86_400));
    let csr = new_csr(&["-subj", "/CN=4"]).0;
    let request = post("factory/simplereenroll", &csr, "");
    let reply = server.connect_as(&device).await.send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let renewed = last(&server).await;
    assert_eq!(renewed.intent.predecessor, Some(first.intent.serial));
    assert_eq!(renewed.intent.device, first.intent.device);
    assert_eq!(server.running.store().devices(&Default::default(), None, 9).await.unwrap(), []);
    // The server's own certificate is of no device.
    assert_eq!(server.issued().await[0].intent.device, None);
}

#[tokio::test]
async fn only_registered_devices_enroll_where_the_label_says_so() {
    let (acme, config) = maker("devices = \"registered\"");
    let config = config.replace(
        "mode = \"any\"",
        "mode = \"set\"\nsubject = \"CN={device.id},O={device.tag.site}\"",
    );
    let server = TestServer::start_with(&config).await;
    let [one, two] = ["a-1", "a-2"].map(|name| acme.identity(name));
    let before = server.issued().await.len();
    let reply = enroll(&server, &one, "/CN=claims-to-be-pump-7").await;
    assert_eq!(code(&reply), rejection(403, "device.unregistered"));
    assert!(reply.reason().contains("got serial:acme:A-1, spki:"), "{}", reply.reason());
    assert!(!reply.reason().contains("pump-7"), "what was claimed: {}", reply.reason());
    assert_eq!(server.issued().await.len(), before);
    register(&server, "pump-7", |device| {
        device.identifiers.push("serial:acme:A-1".parse().unwrap());
        device.tags.insert("site".to_owned(), "plant".to_owned());
    })
    .await;
    // Of another manufacturer: the same serial number counts for nothing.
    register(&server, "pump-8", identified_by("serial:bolt:A-2")).await;
    assert_eq!(enroll(&server, &one, "/CN=x").await.status, 200);
    let issued = last(&server).await;
    assert_eq!(issued.intent.subject, "CN=pump-7,O=plant");
    assert_eq!(issued.intent.device.as_ref().unwrap().as_str(), "pump-7");
    let reply = enroll(&server, &two, "/CN=x").await;
    assert_eq!(code(&reply), rejection(403, "device.unregistered"));

    // By the key of its certificate, and by its fingerprint.
    let certificate = Certificate::parse(&two.der()).unwrap();
    let hex = |bytes: [u8; 32]| bytes.map(|byte| format!("{byte:02x}")).concat();
    let spki = format!("spki:{}", hex(sha256(certificate.spki())));
    register(&server, "valve-1", |device| {
        identified_by(&spki)(device);
        device.tags.insert("site".to_owned(), "yard".to_owned());
    })
    .await;
    assert_eq!(enroll(&server, &two, "/CN=x").await.status, 200);
    assert_eq!(last(&server).await.intent.subject, "CN=valve-1,O=yard");
}

#[tokio::test]
async fn a_device_enrolls_under_its_labels_and_in_its_time() {
    let (acme, config) = maker("devices = \"registered\"");
    let server = TestServer::start_with(&config).await;
    let shown = acme.identity("a-1");
    register(&server, "pump-7", identified_by("serial:acme:A-1")).await;
    let before = server.issued().await.len();
    type Change = fn(&mut Device);
    let changes: [(Change, &str, &str); 5] = [
        (
            |device| device.labels = Some(vec!["other".parse().unwrap()]),
            "device.label",
            "expected: label other",
        ),
        (
            |device| {
                device.labels = None;
                device.from = Some(Time::from_unix(NOW + 60));
            },
            "device.window",
            "expected: one from 2026-11-",
        ),
        (
            |device| {
                device.from = None;
                device.until = Some(Time::from_unix(NOW));
            },
            "device.window",
            "expected: one until 2026-11-",
        ),
        (
            |device| {
                device.until = None;
                device.standing = DeviceStanding::Blocked;
            },
            "device.standing",
            "got device pump-7, which is blocked",
        ),
        (|device| device.standing = DeviceStanding::Retired, "device.standing", "which is retired"),
    ];
    for (make, expected, part) in changes {
        change(&server, "pump-7", make).await;
        let reply = enroll(&server, &shown, "/CN=1").await;
        assert_eq!(code(&reply), rejection(403, expected));
        assert!(reply.reason().contains(part), "{}", reply.reason());
    }
    assert_eq!(server.issued().await.len(), before);
    change(&server, "pump-7", |device| device.standing = DeviceStanding::Enabled).await;
    let csr = new_csr(&["-subj", "/CN=1"]).0;
    let request = post("factory/simpleenroll", &csr, "");
    let first = server.connect_as(&shown).await.send(&request).await;
    assert_eq!(first.status, 200, "{}", first.reason());
    // A retry is answered although the time of the device is over since.
    change(&server, "pump-7", |device| device.until = Some(Time::from_unix(NOW))).await;
    let again = server.connect_as(&shown).await.send(&request).await;
    assert_eq!((again.status, again.body), (200, first.body));
}

#[tokio::test]
async fn a_blocked_device_authenticates_no_more_at_once_and_is_not_revoked() {
    let (acme, config) = maker("accept = [\"manufacturer:acme\", \"certificate\"]\nfullcmc = true");
    let config = config.replace("accept = [\"manufacturer:acme\"]\n", "");
    let server = TestServer::start_with(&config).await;
    register(&server, "pump-7", identified_by("serial:acme:A-1")).await;
    let (csr, key) = new_csr(&["-subj", "/CN=1"]);
    let shown = acme.identity("a-1");
    let reply = server.connect_as(&shown).await.send(post("factory/simpleenroll", &csr, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let serial = last(&server).await.intent.serial;
    let device = Identity { pem: reply.certificate_pem(), key };
    server.clock.set(Time::from_unix(NOW + 60 * 86_400));
    let request = post("factory/simplereenroll", &new_csr(&["-subj", "/CN=1"]).0, "");
    // A connection that was open before.
    let mut open = server.connect_as(&device).await;
    change(&server, "pump-7", |device| device.standing = DeviceStanding::Blocked).await;
    let before = server.issued().await.len();
    for reply in [open.send(&request).await, server.connect_as(&device).await.send(&request).await]
    {
        assert_eq!(code(&reply), rejection(403, "device.standing"));
        assert!(reply.reason().contains("a certificate of device pump-7"), "{}", reply.reason());
    }
    assert_eq!(server.issued().await.len(), before);
    let record = server.running.store().find(&serial).await.unwrap().unwrap();
    assert_eq!(record.state, State::Issued, "no revocation");
    change(&server, "pump-7", |device| device.standing = DeviceStanding::Enabled).await;
    let reply = open.send(&request).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    assert_eq!(last(&server).await.intent.device.unwrap().as_str(), "pump-7");
}

#[tokio::test]
async fn two_devices_in_one_request_are_rejected() {
    let (acme, config) = maker("accept = [[\"manufacturer:acme\", \"token\"]]");
    let config = config.replace("accept = [\"manufacturer:acme\"]\n", "");
    let server = TestServer::start_with(&config).await;
    let (csr, _) = new_csr(&["-subj", "/CN=1"]);
    let key = estd::pki::Csr::verify(&csr).unwrap().key().spki_sha256();
    register(&server, "pump-7", identified_by("serial:acme:A-1")).await;
    register(&server, "pump-8", |device| device.identifiers.push(Identifier::Key(key))).await;
    let shown = acme.identity("a-1");
    let of = |id: &str| granting(Grant::Device(id.parse().unwrap()), "factory");
    let [seven, eight] = [add(&server, of("pump-7")).await, add(&server, of("pump-8")).await];
    let other = new_csr(&["-subj", "/CN=1"]).0;
    let before = server.issued().await.len();
    // The certificate and the key of the CSR; the certificate and the token.
    for (csr, token) in [(&csr, &seven), (&other, &eight)] {
        let request = post("factory/simpleenroll", csr, &basic("", token));
        let reply = server.connect_as(&shown).await.send(request).await;
        assert_eq!(code(&reply), rejection(403, "device.ambiguous"), "{}", reply.reason());
        assert!(reply.reason().contains("pump-7") && reply.reason().contains("pump-8"));
    }
    assert_eq!(server.issued().await.len(), before);
    let request = post("factory/simpleenroll", &other, &basic("pump-7", &seven));
    let reply = server.connect_as(&shown).await.send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let issued = last(&server).await.intent;
    assert_eq!(issued.device.unwrap().as_str(), "pump-7");
    assert!(issued.actor.name.contains("[token "), "{}", issued.actor.name);
}

/// Anybody can write a certificate of ECDSA with another signature that verifies (D-36). Its fingerprint is
/// another one, and its device must not be.
#[tokio::test]
async fn a_device_that_is_known_by_its_fingerprint_is_known_in_each_encoding() {
    let (acme, config) = maker("devices = \"just-in-time\"");
    let server = TestServer::start_with(&config).await;
    let shown = acme.identity("a-1");
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(shown.pem.as_bytes())
        .map(|der| der.unwrap().to_vec())
        .collect();
    let fingerprint = sha256(&chain[0]).map(|byte| format!("{byte:02x}")).concat();
    register(&server, "pump-7", |device| {
        identified_by(&format!("certificate:{fingerprint}"))(device);
        device.standing = DeviceStanding::Blocked;
    })
    .await;
    let (name, altered) = forms(&chain[0]).remove(0);
    assert_eq!(name, MALLEABLE);
    assert_ne!(sha256(&altered), sha256(&chain[0]));
    let request = post("factory/simpleenroll", &new_csr(&["-subj", "/CN=1"]).0, "");
    for leaf in [chain[0].clone(), altered] {
        let config = showing_chain(&[vec![leaf], chain[1..].to_vec()].concat(), &shown);
        let reply = encodings::ask(server.address(), &config, &request).await.unwrap();
        assert_eq!(code(&reply), rejection(403, "device.standing"), "{}", reply.reason());
    }
}

#[tokio::test]
async fn a_device_is_registered_with_its_first_certificate() {
    let (acme, config) = maker("devices = \"just-in-time\"");
    let server = TestServer::start_with(&config).await;
    let shown = acme.identity("a-1");
    let store = server.running.store();
    let registered = async || store.devices(&Default::default(), None, 9).await.unwrap();
    // A rejected request registers nothing.
    let csr = csr_with(&shown.key, &["-subj", "/CN=1"]);
    let reply = server.connect_as(&shown).await.send(post("factory/simpleenroll", &csr, "")).await;
    assert_eq!(code(&reply), rejection(403, "enroll.idevid-key"));
    assert_eq!(registered().await, []);
    assert_eq!(enroll(&server, &shown, "/CN=1").await.status, 200);
    let devices = registered().await;
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].id, last(&server).await.intent.device.unwrap());
    assert_eq!(devices[0].identifiers, ["serial:acme:A-1".parse().unwrap()]);
    assert_eq!(enroll(&server, &shown, "/CN=2").await.status, 200);
    assert_eq!(registered().await.len(), 1);
    let id = devices[0].id.to_string();
    change(&server, &id, |device| device.standing = DeviceStanding::Blocked).await;
    assert_eq!(code(&enroll(&server, &shown, "/CN=3").await), rejection(403, "device.standing"));
    assert_eq!(enroll(&server, &acme.identity("a-2"), "/CN=4").await.status, 200);
    assert_eq!(registered().await.len(), 2);
}
