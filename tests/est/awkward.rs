//! Old and awkward clients: each adaptation is reported, and relaxes no check.

use crate::common::*;

fn adapted(server: &TestServer, event: &str) -> Option<String> {
    let events = server.events_named(event);
    let details = &events.last().expect("an event").details;
    details.iter().find(|(name, _)| name == "adapted").map(|(_, value)| value.clone())
}

fn pem(csr: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}-----END CERTIFICATE REQUEST-----\n",
        wrapped(csr)
    )
}

fn headers() -> String {
    format!("Content-Type: application/pkcs10\r\n{}", basic("tester", PASSWORD))
}

/// D-19.
#[tokio::test]
async fn pem_is_read_and_logged_and_rejected_with_its_name_where_it_is_off() {
    let server = TestServer::start_with("[label.strict]\npem = false\n").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    assert_eq!(server.enroll(&csr).await.status, 200);
    assert_eq!(adapted(&server, "certificate.issued"), None);
    // The same request in another form is a retry.
    let body = pem(&csr);
    let reply = server.send(post_body("simpleenroll", body.as_bytes(), &headers())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(adapted(&server, "enrollment.retried").as_deref(), Some("PEM read as base64"));
    let (csr, _) = new_csr(&["-subj", "/CN=device-2"]);
    let body = pem(&csr);
    let reply = server.send(post_body("simpleenroll", body.as_bytes(), &headers())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(adapted(&server, "certificate.issued").as_deref(), Some("PEM read as base64"));
    for (path, body) in [
        ("strict/simpleenroll", body.clone()),
        ("simpleenroll", format!("{body}{body}")),
        ("simpleenroll", body.replace("REQUEST", "CHAIN")),
        ("simpleenroll", format!("{body}x")),
    ] {
        let reply = server.send(post_body(path, body.as_bytes(), &headers())).await;
        assert_eq!(reply.status, 400, "{path}: {body}");
        assert!(reply.text().starts_with("body.pem: "), "{}", reply.text());
    }
}

/// D-20.
#[tokio::test]
async fn der_without_base64_is_taken_by_option_only() {
    let server = TestServer::start_with("[label.raw]\nder = true\n").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let reply = server.send(post_body("simpleenroll", &csr, &headers())).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("got raw DER"), "{}", reply.text());
    let reply = server.send(post_body("raw/simpleenroll", &csr, &headers())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.certificate_pem();
    let reported = adapted(&server, "certificate.issued");
    assert_eq!(reported.as_deref(), Some("DER accepted without base64"));
    // Nothing else is relaxed: the signature is verified.
    let mut bent = csr.clone();
    *bent.last_mut().unwrap() ^= 1;
    let reply = server.send(post_body("raw/simpleenroll", &bent, &headers())).await;
    assert_eq!(reply.status, 400);
    assert!(!reply.text().contains("raw DER"), "{}", reply.text());
    // base64 is still read.
    let (csr, _) = new_csr(&["-subj", "/CN=device-2"]);
    let reply = server.send(post("raw/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(adapted(&server, "certificate.issued"), None);
}

/// aziot-certd renews by simpleenroll with the certificate that it has.
#[tokio::test]
async fn a_renewal_by_simpleenroll_is_recognised_and_keeps_the_rules_of_renewals() {
    let server = TestServer::start_with("[label.same]\nrenewal.key = \"same\"\n").await;
    let device = server.device("/CN=device-1").await;
    let mut connection = server.connect_as(&device).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let reply = connection.send(post("simpleenroll", &csr, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reported = adapted(&server, "certificate.issued");
    assert_eq!(
        reported.as_deref(),
        Some("simpleenroll accepted as renewal of the certificate shown")
    );
    let event = server.events_named("certificate.issued").pop().unwrap();
    assert!(event.details.iter().any(|(name, _)| name == "predecessor"));
    // The rules of re-enrollment apply to it as well, and reject other names.
    let reply = connection.send(post("same/simpleenroll", &csr, "")).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().starts_with("reenroll.key-change: "), "{}", reply.text());
    let (other, _) = new_csr(&["-subj", "/CN=device-2"]);
    let reply = connection.send(post("simpleenroll", &other, "")).await;
    assert_eq!(reply.status, 401);
    // A request to the proper URI is not adapted.
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    assert_eq!(connection.send(post("simplereenroll", &csr, "")).await.status, 200);
    assert_eq!(adapted(&server, "certificate.issued"), None);
}

/// Debian's libest sends HTTP/1.0.
#[tokio::test]
async fn a_request_of_http_1_0_is_answered_with_1_0() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for (version, expected) in [("1.0", "HTTP/1.0 "), ("1.1", "HTTP/1.1 ")] {
        for (credentials, status) in [(basic("tester", PASSWORD), 200), (String::new(), 401)] {
            let request = String::from_utf8(post("simpleenroll", &csr, &credentials)).unwrap();
            let request = request.replace("HTTP/1.1", &format!("HTTP/{version}"));
            let reply = server.send(&request).await;
            assert!(reply.start.starts_with(expected), "{}", reply.start);
            assert_eq!(reply.status, status);
            assert!(reply.header("Content-Length").is_some());
            assert!(reply.header("Transfer-Encoding").is_none());
        }
    }
}

/// Also after other requests in one segment, where the HTTP library would follow
/// Transfer-Encoding.
///
/// proves: R-9112-6.3-a
#[tokio::test]
async fn both_lengths_are_seen_behind_pipelined_requests() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let good = post("simpleenroll", &csr, &basic("tester", PASSWORD));
    let get = b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bad = format!(
        "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        headers()
    );
    let mut connection = server.connect().await;
    let all = [&get[..], &good[..], &get[..], bad.as_bytes(), &get[..]].concat();
    connection.write(&all).await;
    let answers = connection.rest().await;
    let statuses: Vec<&str> = answers
        .lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 "))
        .map(|line| &line[..3])
        .collect();
    assert_eq!(statuses, ["200", "200", "200", "400"], "{answers}");
    assert!(answers.contains("\r\nConnection: close\r\n"), "{answers}");
    assert!(answers.lines().last().unwrap().starts_with("http.framing: "), "{answers}");
}

/// Only a parser of chunks finds the end of a chunked body, so no request may follow it.
#[tokio::test]
async fn a_connection_ends_after_a_body_in_chunks() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let body = wrapped(&csr);
    let request = format!(
        "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n{}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        headers(),
        body.len()
    );
    let get = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut connection = server.connect().await;
    connection.write(format!("{request}{get}")).await;
    let reply = connection.read(false).await;
    assert_eq!((reply.status, reply.header("Connection")), (200, Some("close")));
    assert!(connection.is_closed().await);
}
