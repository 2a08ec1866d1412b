//! The cost of a client's chain for the server (attack 2): counted, not timed.

use crate::{
    chain::{Party, Shape, chain},
    common::*,
};
use estd::server::Validations;

/// The server, and the anchor that it trusts implicitly.
async fn server(more: &str) -> (TestServer, Party) {
    let anchor = Party::new("CN=Maker");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maker.pem");
    std::fs::write(&file, anchor.ca(&anchor)).unwrap();
    let more = format!("{more}{}serverkeygen = \"on\"\nfullcmc = true\n", accepting(&file));
    (TestServer::start_with(&more).await, anchor)
}

/// One request of each operation; those with authentication come last.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let get = |name: &str| {
        format!("GET /.well-known/est/{name} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    };
    let cmc = "Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n";
    vec![
        ("cacerts", get("cacerts")),
        ("csrattrs", get("csrattrs")),
        ("simpleenroll", post("simpleenroll", &csr, "")),
        ("simplereenroll", post("simplereenroll", &csr, "")),
        ("serverkeygen", post("serverkeygen", &csr, "")),
        ("fullcmc", post_body("fullcmc", b"MAA=", cmc)),
    ]
}

fn since(server: &TestServer, before: Validations) -> (u64, u64) {
    let now = server.running.validations();
    (now.chains - before.chains, now.signatures - before.signatures)
}

/// proves: R-7030-3.3.2-e
#[tokio::test]
async fn attack_2_a_chain_is_validated_when_a_request_needs_it_and_once() {
    let (server, anchor) = server("").await;
    let requests = requests();
    for length in [1, 2, 3, 5, 7, 8, 9, 20, 50] {
        for shape in [Shape::Good, Shape::OneName, Shape::AnchorsName, Shape::Ring] {
            let device = chain(shape, &anchor, length);
            let signatures = match shape {
                _ if length > 8 => 0,
                // webpki follows six CAs at most.
                Shape::Good if length == 8 => 0,
                Shape::Good => length as u64,
                Shape::OneName | Shape::Ring => 0,
                Shape::AnchorsName => match length {
                    1 => 0,
                    2 => 3,
                    _ => 8,
                },
            };
            let what = format!("{shape:?} of {length}");
            let before = server.running.validations();
            let mut connection = server.connect_as(&device).await;
            assert_eq!(since(&server, before), (0, 0), "{what}: the handshake alone");
            for (operation, request) in &requests {
                let reply = connection.send(request).await;
                let reads = matches!(*operation, "cacerts" | "csrattrs");
                let expected = if reads { (0, 0) } else { (1, signatures) };
                assert_eq!(since(&server, before), expected, "{what}: {operation}");
                let trusted = shape == Shape::Good && length < 8;
                let rejected = reply.status == status_without_password(operation);
                assert_eq!(
                    rejected,
                    !reads && !trusted || trusted && *operation == "simplereenroll",
                    "{what}: {operation}: {}",
                    reply.text()
                );
            }
        }
    }
    // Each operation on a connection of its own.
    let device = chain(Shape::AnchorsName, &anchor, 8);
    for (operation, request) in &requests {
        let before = server.running.validations();
        let reply = server.connect_as(&device).await.send(request).await;
        let reads = matches!(*operation, "cacerts" | "csrattrs");
        assert_eq!(since(&server, before), if reads { (0, 0) } else { (1, 8) }, "{operation}");
        assert_eq!(
            reply.status == status_without_password(operation),
            !reads,
            "{operation}: {}",
            reply.status
        );
    }
}

/// The reason is logged and sent to the client (R-7030-3.3.2-c).
#[tokio::test]
async fn a_chain_beyond_the_bounds_is_rejected_with_what_is_read() {
    let (server, anchor) = server("").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let nine = chain(Shape::Good, &anchor, 9);
    let reply = server.connect_as(&nine).await.send(post("simpleenroll", &csr, "")).await;
    assert_eq!(reply.status, 401);
    let reason = reply.header("X-Reason").unwrap();
    assert!(reason.contains("a chain of 9 certificates; at most 8 are read"), "{reason}");

    let long = format!("CN={}", "x".repeat(15 << 10));
    let [device, first, second] = [(); 3].map(|()| Party::new(&long));
    let pem = first.device(&device) + &second.ca(&first);
    let two = Identity { pem: pem.clone(), key: device.key() };
    let before = server.running.validations();
    let reply = server.connect_as(&two).await.send(post("simpleenroll", &csr, "")).await;
    assert_eq!((reply.status, since(&server, before)), (401, (1, 0)));
    let reason = reply.header("X-Reason").unwrap();
    assert!(reason.contains("; at most 49152 are read"), "{reason}");
}

/// A client may have both password and certificate. Where only the password enrolls, the chain of a
/// client that sends it is ignored.
#[tokio::test]
async fn a_label_of_passwords_validates_no_chain() {
    let anchor = Party::new("CN=Maker");
    let server = TestServer::start_with("[est]\naccept = [\"password\"]\n").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    let mut connection = server.connect_as(&chain(Shape::Good, &anchor, 3)).await;
    let reply = connection.send(post("simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.running.validations(), Validations::default());
    // Without a password it may be the renewal of a certificate that this label issued (D-32).
    assert_eq!(connection.send(post("simpleenroll", &csr, "")).await.status, 401);
    assert_eq!(server.running.validations(), Validations { chains: 1, signatures: 0 });
}

/// A session that is resumed has its chain from the ticket.
#[tokio::test]
async fn attack_2_a_resumed_session_has_its_chain_validated_once_too() {
    let (server, anchor) = server("session_tickets = true\n").await;
    let device = chain(Shape::Good, &anchor, 2);
    let config = std::sync::Arc::new(client_config(Some(&device), &[&rustls::version::TLS13]));
    let (csr, _) = new_csr(&["-subj", "/CN=device"]);
    for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let before = server.running.validations();
        let config = std::sync::Arc::clone(&config);
        let mut connection = Connection::open_with(server.address(), config).await.unwrap();
        let reply = connection.send(post("simpleenroll", &csr, "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(connection.tls().handshake_kind(), Some(kind));
        connection.send(post("simpleenroll", &csr, "")).await;
        assert_eq!(since(&server, before), (1, 2), "{kind:?}");
    }
    // No anchor any more, and the connection is still open.
    let config = std::sync::Arc::clone(&config);
    let mut connection = Connection::open_with(server.address(), config).await.unwrap();
    assert_eq!(connection.send(post("simpleenroll", &csr, "")).await.status, 200);
    let before = server.running.validations();
    let text = server.text().replace(", \"manufacturer:maker\"", "");
    let kept = text.lines().filter(|line| !line.contains("maker"));
    let text: Vec<&str> = kept.collect();
    let without = estd::config::parse(&text.join("\n"), &server.path("est.toml"), &|_| None);
    server.running.reload(without.unwrap()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(connection.send(post("simpleenroll", &csr, "")).await.status, 401);
        assert_eq!(since(&server, before), (1, 0));
    }
}
