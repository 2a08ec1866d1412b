//! Media types and base64 (requirements of section 2).

use crate::common::*;

/// proves: R-7030-4.1.3-a, R-7030-4.2.3-a
#[tokio::test]
async fn r_7030_3_2_4_a_media_types_are_exactly_these() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let cacerts = server.get("/.well-known/est/cacerts").await;
    assert_eq!(cacerts.header("Content-Type"), Some("application/pkcs7-mime"));
    assert_eq!(cacerts.header("Content-Transfer-Encoding"), Some("base64"));
    let enrolled = server.enroll(&csr).await;
    assert_eq!(
        enrolled.header("Content-Type"),
        Some("application/pkcs7-mime; smime-type=certs-only")
    );
    assert_eq!(enrolled.header("Content-Transfer-Encoding"), Some("base64"));
}

#[tokio::test]
async fn r_7030_4_2_1_a_a_csr_is_application_pkcs10_and_nothing_else() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let body = wrapped(&csr);
    let credentials = basic("tester", PASSWORD);
    for good in ["application/pkcs10", "Application/PKCS10; charset=x", "application/pkcs10 ;a=b"] {
        let reply = server
            .send(post_body(
                "simpleenroll",
                body.as_bytes(),
                &format!("Content-Type: {good}\r\n{credentials}"),
            ))
            .await;
        assert_eq!(reply.status, 200, "{good}: {}", reply.text());
    }
    for bad in [
        "Content-Type: application/pkcs7-mime\r\n",
        "Content-Type: text/plain\r\n",
        "",
        "Content-Type: application/pkcs10x\r\n",
    ] {
        let reply = server
            .send(post_body("simpleenroll", body.as_bytes(), &format!("{bad}{credentials}")))
            .await;
        assert_eq!(
            (reply.status, reply.header("Accept")),
            (415, Some("application/pkcs10")),
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn r_8951_3_b_content_transfer_encoding_is_ignored() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for value in [
        "",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: binary\r\n",
        "Content-Transfer-Encoding: 8bit\r\n",
    ] {
        let reply = server
            .send(post("simpleenroll", &csr, &format!("{value}{}", basic("tester", PASSWORD))))
            .await;
        assert_eq!(reply.status, 200, "{value:?}");
    }
}

/// Every request form of known clients gets a certificate, in the form that the request shows to be
/// readable by its client (D-02, D-19).
///
/// proves: R-8951-3-a, R-8951-3.1-b
#[tokio::test]
async fn r_8951_3_1_a_every_layout_of_a_request_is_read_and_answered_in_kind() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let line = base64(&csr);
    let columns = |width: usize, end: &str| -> String {
        line.as_bytes()
            .chunks(width)
            .map(|part| format!("{}{end}", std::str::from_utf8(part).unwrap()))
            .collect()
    };
    let pem =
        |kind: &str| format!("-----BEGIN {kind}-----\n{}-----END {kind}-----\n", columns(64, "\n"));
    for (name, body, one_line) in [
        ("one line", line.clone(), true),
        ("one line, LF", format!("{line}\n"), true),
        ("one line, CRLF", format!("{line}\r\n"), true),
        ("64, LF", columns(64, "\n"), false),
        ("76, CRLF", columns(76, "\r\n"), false),
        ("indented", columns(64, "\n   "), false),
        ("PEM", pem("CERTIFICATE REQUEST"), false),
        ("old PEM", pem("NEW CERTIFICATE REQUEST"), false),
    ] {
        let headers = format!("Content-Type: application/pkcs10\r\n{}", basic("tester", PASSWORD));
        let reply = server.send(post_body("simpleenroll", body.as_bytes(), &headers)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let text = reply.text();
        if one_line {
            assert!(!text.trim_end().contains('\n'), "{name}");
        } else {
            // `base64 -d` of coreutils rejects CR (D-02).
            assert!(
                text.split('\n').all(|part| part.len() <= 64)
                    && text.ends_with('\n')
                    && !text.contains('\r'),
                "{name}"
            );
        }
        reply.certificate_pem();
    }
}

#[tokio::test]
async fn a_get_of_a_client_that_says_nothing_of_itself_is_answered_in_one_line() {
    // strongSwan sends only Host, est-ca also Accept; neither can read line breaks.
    let server = TestServer::start().await;
    let silent = server.send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!silent.text().trim_end().contains('\n'));
    let accepting = server
        .send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n")
        .await;
    assert!(!accepting.text().trim_end().contains('\n'));
    let named = server
        .send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nUser-Agent: libest\r\n\r\n")
        .await;
    assert!(named.text().trim_end().contains('\n') && !named.text().contains('\r'));
    assert_eq!(silent.certificates(), named.certificates());
}

#[tokio::test]
async fn a_label_can_fix_the_layout_and_reject_pem() {
    let server = TestServer::start_with(
        "[label.line]\nbase64 = \"line\"\n[label.wrapped]\nbase64 = \"wrapped\"\npem = false",
    )
    .await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let credentials = basic("tester", PASSWORD);
    let reply = server.send(post("line/simpleenroll", &csr, &credentials)).await;
    assert!(!reply.text().trim_end().contains('\n'));
    let headers = format!("Content-Type: application/pkcs10\r\n{credentials}");
    let reply =
        server.send(post_body("wrapped/simpleenroll", base64(&csr).as_bytes(), &headers)).await;
    assert!(reply.text().trim_end().contains('\n') && !reply.text().contains('\r'));
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}-----END CERTIFICATE REQUEST-----\n",
        wrapped(&csr)
    );
    let reply = server.send(post_body("wrapped/simpleenroll", pem.as_bytes(), &headers)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("body.pem: "), "{}", reply.text());
}

/// Independent check of DER: openssl re-encodes what it read, and the bytes are equal.
#[tokio::test]
async fn r_8951_3_c_answers_are_der() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for reply in [server.get("/.well-known/est/cacerts").await, server.enroll(&csr).await] {
        let compact: Vec<u8> =
            reply.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let der = openssl_with(&["base64", "-d", "-A"], &compact);
        assert_eq!(
            openssl_with(&["cms", "-cmsout", "-inform", "DER", "-outform", "DER"], &der),
            der
        );
    }
}

/// proves: R-7030-3.2.1-a
#[tokio::test]
async fn r_8951_5_a_a_rejection_is_one_line_of_plain_text_with_a_request_id_that_is_in_the_log() {
    let server = TestServer::start().await;
    let reply = server.enroll(b"garbage").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("Content-Type"), Some("text/plain; charset=utf-8"));
    let id = reply.header("X-Request-Id").unwrap();
    let text = reply.text();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(id));
    for part in ["csr.form: ", "; got ", "; expected: "] {
        assert!(text.contains(part), "{text}");
    }
    let events = server.events_named("enrollment.rejected");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].request_id.as_ref().unwrap().as_str(), id);
    assert_eq!(events[0].actor.name, "tester");
}
