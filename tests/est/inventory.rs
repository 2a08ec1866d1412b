//! Searching the certificates: order, pages, conditions, beginnings of serial
//! numbers.

use crate::common::*;
use estd::{
    admin::{Admin, Error, Handle},
    api::{CertificateEntry, CertificateQuery, ListRenewed, Revoke, ShowCertificate},
    entropy::SystemEntropy,
    pki::Certificate,
    store::{Conditions, IdempotencyKey, Intent, Issuances, MemoryStore},
    telemetry::audit::NoTrail,
    types::{Actor, AuthMethod, RequestId, Serial, Time},
};
use std::{sync::Arc, time::Duration};

fn admin_of(server: &TestServer) -> Admin {
    let (store, clock) = (Arc::clone(server.running.store()), Arc::clone(&server.clock));
    Admin::new(store, Vec::new(), "estd".to_owned(), clock, Arc::new(SystemEntropy::new()))
}

async fn show(admin: &Admin, serial: &str) -> Result<CertificateEntry, Error> {
    let call = ShowCertificate { serial: serial.to_owned() };
    call.handle(admin, &Actor::server()).await
}

async fn enroll(server: &TestServer, operation: &str, arguments: &[&str]) -> Identity {
    let (csr, key) = new_csr(arguments);
    let reply = server.send(post(operation, &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Identity { pem: reply.certificate_pem(), key }
}

/// The subjects of all certificates that match, through all pages.
async fn subjects(admin: &Admin, query: &CertificateQuery) -> Vec<String> {
    let mut query = query.clone();
    let mut found = Vec::new();
    loop {
        let page = query.clone().handle(admin, &Actor::server()).await.unwrap();
        found.extend(page.certificates.into_iter().map(|one: CertificateEntry| one.subject));
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

fn query(change: impl FnOnce(&mut CertificateQuery)) -> CertificateQuery {
    let mut query = CertificateQuery::default();
    change(&mut query);
    query
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// First-user finding 29: all within one second of the test's clock.
#[tokio::test]
async fn certificates_are_listed_in_the_order_of_issuance() {
    let lab = "[label.lab]\nca = \"lab\"\n[ca.default]\n\
               [ca.lab]\nroot_subject = \"CN=Lab root CA\"\nissuing_subject = \"CN=Lab issuing CA\"\n";
    let server = TestServer::start_with(lab).await;
    let mut expected = Vec::new();
    for number in 0..12 {
        let operation = if number % 2 == 0 { "simpleenroll" } else { "lab/simpleenroll" };
        let name = format!("/CN=device-{number}");
        enroll(&server, operation, &["-subj", &name]).await;
        expected.push(name[1..].to_owned());
    }
    let admin = admin_of(&server);
    let all = query(|query| query.search = some("device-"));
    assert_eq!(subjects(&admin, &all).await, expected);
    for limit in [1, 5, 12, 1000] {
        let pages = CertificateQuery { limit: Some(limit), ..all.clone() };
        assert_eq!(subjects(&admin, &pages).await, expected, "{limit}");
    }
    let page =
        CertificateQuery { limit: Some(12), ..all }.handle(&admin, &Actor::server()).await.unwrap();
    assert_eq!(page.next, None, "no page follows the last certificate");
}

/// First-user findings 10 and 29.
#[tokio::test]
async fn each_condition_finds_what_it_means() {
    let server = TestServer::start_with("[label.lab]\n").await;
    let one = enroll(
        &server,
        "simpleenroll",
        &["-subj", "/O=Example/CN=gw-7", "-addext", "subjectAltName=DNS:gw-7.lab.example"],
    )
    .await;
    server.clock.advance(Duration::from_secs(86_400));
    enroll(&server, "lab/simpleenroll", &["-subj", "/CN=gw-71"]).await;
    // A value that reads like another attribute.
    enroll(&server, "simpleenroll", &["-subj", "/CN=x,O=Example"]).await;
    let admin = admin_of(&server);
    let certificate = Certificate::parse(&one.der()).unwrap();
    let key: String = estd::pki::spki_sha256_of_pem(one.pem.as_bytes())
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let request = {
        let found = show(&admin, &certificate.serial().to_string()).await.unwrap();
        found.request
    };
    let (gw7, gw71, odd) = ("CN=gw-7,O=Example", "CN=gw-71", "CN=x\\,O=Example");
    type Change = Box<dyn Fn(&mut CertificateQuery)>;
    let cases: Vec<(&str, Change, Vec<&str>)> = vec![
        ("subject", Box::new(|q| q.subject = some("CN=gw-7*")), vec![gw7, gw71]),
        ("subjects", Box::new(|q| q.subject = some("CN=gw*,O=Example")), vec![gw7]),
        ("value", Box::new(|q| q.subject = some("O=Example")), vec![gw7]),
        ("san", Box::new(|q| q.san = some("dns:*.lab.example")), vec![gw7]),
        ("search", Box::new(|q| q.search = some("o=EXAMPLE")), vec![gw7, odd]),
        ("label", Box::new(|q| q.label = some("lab")), vec![gw71]),
        ("account", Box::new(|q| q.account = some("tester")), vec![gw7, gw71, odd]),
        ("no account", Box::new(|q| q.account = some("test")), vec![]),
        ("ca", Box::new(|q| (q.ca, q.search) = (some("default"), some("gw"))), vec![gw7, gw71]),
        ("no profile", Box::new(|q| q.profile = some("other")), vec![]),
        ("request", Box::new(move |q| q.request = Some(request.clone())), vec![gw7]),
        ("key", Box::new(move |q| q.key = Some(key.clone())), vec![gw7]),
        (
            "fingerprint",
            Box::new(move |q| q.fingerprint = Some(certificate.fingerprint().to_string())),
            vec![gw7],
        ),
        ("issued after", Box::new(|q| q.issued_after = some("2026-11-22")), vec![gw71, odd]),
        (
            "issued before",
            Box::new(|q| (q.issued_before, q.search) = (some("2026-11-22"), some("gw"))),
            vec![gw7],
        ),
        ("issued within", Box::new(|q| q.issued_within = some("1h")), vec![gw71, odd]),
        (
            "expires before",
            Box::new(|q| (q.expires_before, q.search) = (some("2027-02-20"), some("gw"))),
            vec![gw7],
        ),
        (
            "expires within",
            Box::new(|q| (q.expires_within, q.search) = (some("89d 12h"), some("gw"))),
            vec![gw7],
        ),
    ];
    for (name, change, expected) in cases {
        let query = query(|query| change(query));
        assert_eq!(subjects(&admin, &query).await, expected, "{name}");
    }
    for (bad, text) in [
        (query(|q| q.subject = some("gw-7")), "CN=gw-7*"),
        (query(|q| q.san = some("gw-7")), "expected: KIND:VALUE, such as dns:"),
        (query(|q| q.key = some("abcd")), "64 hexadecimal digits"),
        (query(|q| q.expires_within = some("soon")), "got soon; expected: 30d"),
        (query(|q| q.issued_after = some("yesterday")), "got yesterday; expected: 2026-12-31"),
        (query(|q| q.after = some("zz")), "serial number: got zz; expected: 2 to 40"),
    ] {
        let error = bad.clone().handle(&admin, &Actor::server()).await.unwrap_err();
        assert!(
            matches!(error, Error::Invalid { .. }) && error.to_string().contains(text),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_when_its_renewal_is_good() {
    let server = TestServer::start().await;
    let (one, two) = (server.device("/CN=one").await, server.device("/CN=two").await);
    let mut renewed = Vec::new();
    for device in [&one, &two] {
        let subject = if std::ptr::eq(device, &one) { "/CN=one" } else { "/CN=two" };
        let (csr, _) = new_csr(&["-subj", subject]);
        let mut connection = server.connect_as(device).await;
        let reply = connection.send(post("simplereenroll", &csr, "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        renewed.push(Identity { pem: reply.certificate_pem(), key: String::new() });
    }
    let serial =
        |device: &Identity| Certificate::parse(&device.der()).unwrap().serial().to_string();
    let admin = admin_of(&server);
    let found = ListRenewed::default().handle(&admin, &Actor::server()).await.unwrap();
    assert_eq!((found.serials, found.next), (vec![serial(&one), serial(&two)], None));
    let serials = vec![serial(&renewed[0])];
    let call = Revoke { serials, reason: None, comment: None };
    call.handle(&admin, &Actor::operator(0)).await.unwrap();
    let found = ListRenewed::default().handle(&admin, &Actor::server()).await.unwrap();
    assert_eq!(found.serials, [serial(&two)], "a revoked renewal is none");
}

fn intent(number: u64, serial: &str) -> Intent {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    Intent {
        idempotency_key: IdempotencyKey(key),
        retry_until: Time::from_unix(NOW),
        tbs: Vec::new().into(),
        label: None,
        operation: None,
        subject: format!("CN=device-{number}"),
        san: Vec::new(),
        spki_sha256: key,
        not_before: Time::from_unix(NOW),
        not_after: Time::from_unix(NOW + 1000),
        actor: Actor { name: "tester".to_owned(), method: AuthMethod::Password },
        predecessor: None,
        request_id: RequestId::new([7; 8]),
        begun: Time::from_unix(NOW),
        ..Intent::blank(
            serial.parse::<Serial>().unwrap(),
            "default".parse().unwrap(),
            "device".parse().unwrap(),
        )
    }
}

async fn admin_with(serials: impl Iterator<Item = String>) -> Admin {
    let store = MemoryStore::new(Arc::new(NoTrail));
    for (number, serial) in (0..).zip(serials) {
        store.begin(intent(number, &serial), Conditions::default()).await.unwrap();
    }
    let clock = Arc::new(estd::clock::SystemClock);
    Admin::new(
        Arc::new(store),
        Vec::new(),
        "estd".to_owned(),
        clock,
        Arc::new(SystemEntropy::new()),
    )
}

#[tokio::test]
async fn a_certificate_is_found_by_the_beginning_of_its_serial_number() {
    let serials = ["0a0b0c01", "0a0b0c02", "0a0b1c03", "0a0b", "7f01020304", "0080ff"];
    let admin = admin_with(serials.iter().map(|&serial| serial.to_owned())).await;
    let found = async |text: &str| show(&admin, text).await.map(|entry| entry.serial);
    for (text, serial) in [
        ("0a0b1c03", "0a0b1c03"),
        ("0A:0B:1C", "0a0b1c03"),
        ("0a0b1", "0a0b1c03"),
        ("7f01", "7f01020304"),
        ("7f010", "7f01020304"),
        ("0a0b0c0", "ambiguous"),
        // A whole serial number, although others begin so.
        ("0a0b", "0a0b"),
        ("0080", "0080ff"),
    ] {
        match found(text).await {
            Ok(found) => assert_eq!(found, serial, "{text}"),
            Err(Error::Ambiguous { candidates, .. }) => {
                assert_eq!(serial, "ambiguous");
                let expected = "0a0b0c01 (CN=device-0), 0a0b0c02 (CN=device-1)";
                assert_eq!(candidates, expected);
            }
            Err(other) => panic!("{text}: {other}"),
        }
    }
    for text in ["7f", "7f0", "0a0b2", "80ff", "0011", "0a0b1c0300", &"01".repeat(20)] {
        assert!(matches!(found(text).await, Err(Error::NotFound(_))), "{text}");
    }
    for text in ["", "xyzt", "0a 0b", &"01".repeat(21), "+a0b"] {
        assert!(matches!(found(text).await, Err(Error::Invalid { .. })), "{text}");
    }
}

/// A call looks at 20,000 records and answers, found or not: a client that asks continues behind the cursor.
#[tokio::test]
async fn a_call_looks_at_a_bounded_number_of_records() {
    let admin = admin_with((0..45_000).map(|number| format!("01{number:08x}"))).await;
    let mut query = query(|query| query.subject = some("CN=device-44999"));
    let mut looked = Vec::new();
    let found = loop {
        let page = query.clone().handle(&admin, &Actor::server()).await.unwrap();
        if let Some(found) = page.certificates.first() {
            break found.serial.clone();
        }
        looked.push(page.next.clone().unwrap());
        query.after = page.next;
    };
    assert_eq!(found, format!("01{:08x}", 44_999));
    assert_eq!(looked, [format!("01{:08x}", 19_999), format!("01{:08x}", 39_999)]);
}
