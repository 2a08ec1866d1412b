//! A certificate of this server is recognized in every encoding. Its CA and serial number identify it,
//! and its TBSCertificate must equal the recorded one.

use crate::{common::*, encodings::*, fullcmc, fullcmc_message::*};
use estd::{
    ca::Withdrawal,
    clock::Clock,
    pki::Certificate,
    types::{Actor, RevocationReason, Serial},
};

const MORE: &str = "session_tickets = true\n\
    [est]\nfullcmc = true\nserverkeygen = \"on\"\n\
    [ca.default]\n[ca.other]\nroot_subject = \"CN=other root\"\nissuing_subject = \"CN=other CA\"\n\
    [label.other]\nca = \"other\"\nfullcmc = true\nserverkeygen = \"on\"\nnames.mode = \"any\"\n";

async fn start(backend: &str) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder, MORE, backend, NOW).await;
    if backend != "memory" {
        server.add_account("tester", PASSWORD, None).await;
    }
    server
}

fn serial(identity: &Identity) -> Serial {
    Certificate::parse(&identity.der()).unwrap().serial().clone()
}

async fn revoke(server: &TestServer, device: &Identity) {
    let withdrawal = Withdrawal {
        serial: serial(device),
        reason: RevocationReason::KeyCompromise,
        comment: None,
        successor: None,
        actor: Actor::operator(0),
        request_id: None,
    };
    estd::ca::revoke(&**server.running.store(), withdrawal, server.clock.now()).await.unwrap();
}

/// A request of each operation for the names that the certificate has, under this label.
pub(crate) fn requests(label: &str, subject: &str) -> Vec<(String, Vec<u8>)> {
    let (csr, key) = new_csr(&["-subj", subject, "-addext", "subjectKeyIdentifier=hash"]);
    let message = Message::by(Signer::new_key(&key)).request(tcr(1, &csr)).der();
    let cmc = "Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n";
    let of = |operation: &str| {
        (format!("{label}{operation}"), post(&format!("{label}{operation}"), &csr, ""))
    };
    vec![
        of("simpleenroll"),
        of("simplereenroll"),
        of("serverkeygen"),
        (
            format!("{label}fullcmc"),
            post_body(&format!("{label}fullcmc"), wrapped(&message).as_bytes(), cmc),
        ),
    ]
}

/// The reason of a rejection by its event: CMC reports it inside the message.
pub(crate) fn last_reason(server: &TestServer) -> String {
    let event = server.events_named("enrollment.rejected").pop().unwrap();
    event.details.into_iter().find(|(name, _)| name == "reason").unwrap().1
}

/// proves: R-7030-3.3.2-c
async fn stays_revoked(backend: &str) {
    let server = start(backend).await;
    let device = server.device("/CN=device-1").await;
    let address = server.address();
    let mut accepted = Vec::new();
    let forms = forms(&device.der());
    // Connections that were opened in time.
    let mut opened = Vec::new();
    for (form, der) in &forms {
        let config = showing(der, &device);
        let Ok(mut connection) = Connection::open_with(address, config.clone()).await else {
            continue;
        };
        let cacerts = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
        if connection.try_send(cacerts).await.is_some_and(|reply| reply.status == 200) {
            accepted.push(*form);
            opened.push((*form, config, connection));
        }
    }
    assert!(accepted.contains(&MALLEABLE), "TLS accepts it: {accepted:?}");
    revoke(&server, &device).await;
    let before = server.issued().await.len();

    for (operation, request) in requests("", "/CN=device-1") {
        for (form, der) in &forms {
            // A handshake that fails is an answer too.
            let Some(reply) = ask(address, &showing(der, &device), &request).await else {
                continue;
            };
            assert!(matches!(reply.status, 401 | 403), "{operation}, {form}: {}", reply.text());
            if *form == MALLEABLE {
                assert!(last_reason(&server).contains("revoked"), "{}", last_reason(&server));
            }
        }
        for (form, config, connection) in &mut opened {
            let reply = connection.send(&request).await;
            assert!(
                matches!(reply.status, 401 | 403),
                "{operation}, {form}, open: {}",
                reply.text()
            );
            let mut resumed = Connection::open_with(address, config.clone()).await.unwrap();
            let kind = resumed.tls().handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Resumed), "{form}");
            let reply = resumed.send(&request).await;
            assert!(
                matches!(reply.status, 401 | 403),
                "{operation}, {form}, resumed: {}",
                reply.text()
            );
        }
    }
    assert_eq!(server.issued().await.len(), before, "nothing was issued");
}

#[tokio::test]
async fn attack_1_a_revoked_certificate_stays_revoked_in_every_encoding() {
    stays_revoked("memory").await;
}

#[tokio::test]
async fn attack_1_a_revoked_certificate_stays_revoked_in_every_encoding_on_sled() {
    stays_revoked("sled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_1_a_revoked_certificate_stays_revoked_in_every_encoding_on_postgresql() {
    let database = crate::postgres::Postgres::start();
    database.sql("postgres", "CREATE DATABASE estd");
    let socket = database.socket().display();
    // Text after `backend = "` in the configuration.
    stays_revoked(&format!("postgres\"\nconnection = \"host={socket} dbname=estd user=estd")).await;
}

/// A message of CMC brings certificates of its own.
#[tokio::test]
async fn attack_1_a_signer_of_cmc_stays_revoked_in_every_encoding() {
    let server = start("memory").await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = fullcmc::csr("/CN=device-1");
    let by = |der: &[u8]| {
        let signer = Signer { certificate: Some(der.to_vec()), ..Signer::certificate(&device) };
        fullcmc::request(&Message::by(signer).request(tcr(1, &csr)).der(), &fullcmc::password())
    };
    let (_, malleable) = forms(&device.der()).swap_remove(0);
    let reply = server.send(by(&malleable)).await;
    assert_eq!(reply.status, 200, "the certificate is ours: {}", last_reason(&server));
    revoke(&server, &device).await;
    let before = server.issued().await.len();
    for (form, der) in forms(&device.der()) {
        let reply = server.send(by(&der)).await;
        assert!(matches!(reply.status, 400 | 403), "{form}: {}", reply.status);
    }
    assert_eq!(server.issued().await.len(), before);
}

#[tokio::test]
async fn attack_1_an_altered_certificate_opens_no_label_of_another_ca() {
    let server = start("memory").await;
    let device = server.device("/CN=device-1").await;
    let before = server.issued().await.len();
    for (operation, request) in requests("other/", "/CN=any-other-name") {
        let plain =
            ask(server.address(), &showing(&device.der(), &device), &request).await.unwrap();
        let reason = last_reason(&server);
        for (form, der) in forms(&device.der()) {
            let Some(reply) = ask(server.address(), &showing(&der, &device), &request).await else {
                continue;
            };
            assert!(matches!(reply.status, 401 | 403), "{operation}, {form}: {}", reply.text());
            if form == MALLEABLE {
                assert_eq!(reply.status, plain.status, "{operation}: {}", reply.text());
                assert_eq!(last_reason(&server), reason, "{operation}");
            }
        }
        assert!(matches!(plain.status, 401 | 403), "{operation}: {}", plain.status);
    }
    assert_eq!(server.issued().await.len(), before, "nothing was issued");
}

/// proves: R-7030-4.2.3-f
#[tokio::test]
async fn attack_1_a_retry_with_the_altered_certificate_gets_the_first_answer() {
    let server = start("memory").await;
    let device = server.device("/CN=device-1").await;
    let (_, malleable) = forms(&device.der()).swap_remove(0);
    let [plain, altered] = [&device.der(), &malleable].map(|der| showing(der, &device));
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let (_, key) = new_csr(&["-subj", "/CN=device-1"]);
    let cmc_csr =
        csr_with(&key, &["-subj", "/CN=device-1", "-addext", "subjectKeyIdentifier=hash"]);
    let cmc = |der: &[u8]| {
        let signer = Signer { certificate: Some(der.to_vec()), ..Signer::certificate(&device) };
        fullcmc::request(&Message::by(signer).request(tcr(1, &cmc_csr)).der(), "")
    };
    for operation in ["simpleenroll", "simplereenroll"] {
        let request = post(operation, &csr, "");
        let first = ask(server.address(), &plain, &request).await.unwrap();
        assert_eq!(first.status, 200, "{}", first.text());
        let second = ask(server.address(), &altered, &request).await.unwrap();
        assert_eq!(second.status, 200, "{}", second.text());
        assert_eq!(first.certificate_pem(), second.certificate_pem(), "{operation}");
        let new = Identity { pem: first.certificate_pem(), key: String::new() };
        let record = server.running.store().find(&serial(&new)).await.unwrap().unwrap();
        assert_eq!(record.intent.predecessor, Some(serial(&device)), "{operation}");
    }
    // The altered one first; in CMC it also signs.
    let first = ask(server.address(), &altered, &cmc(&malleable)).await.unwrap();
    assert_eq!(first.status, 200, "{}", last_reason(&server));
    for (config, der) in
        [(&plain, device.der()), (&plain, malleable.clone()), (&altered, device.der())]
    {
        let again = ask(server.address(), config, &cmc(&der)).await.unwrap();
        assert_eq!(again.status, 200, "{}", last_reason(&server));
        assert_eq!(first.certificate_pem(), again.certificate_pem());
    }
}

/// Its key is that of a third party's certificate too: what its signature looks like is not counted.
#[tokio::test]
async fn attack_1_a_retry_with_a_third_partys_altered_certificate_gets_the_first_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, device) = stranger(folder.path(), "/CN=maker-1", "");
    let server = TestServer::start_with(&accepting(&ca)).await;
    let (_, malleable) = forms(&device.der()).swap_remove(0);
    let (csr, _) = new_csr(&["-subj", "/CN=maker-1"]);
    let request = post("simpleenroll", &csr, "");
    let mut all = Vec::new();
    for der in [&device.der(), &malleable] {
        let reply = ask(server.address(), &showing(der, &device), &request).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        all.push(reply.certificate_pem());
    }
    assert_eq!(all[0], all[1]);
}
