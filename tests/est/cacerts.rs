//! /cacerts (requirements of section 7).

use crate::common::*;

/// proves: R-7030-4.1.1-a
#[tokio::test]
async fn r_7030_4_1_2_a_anonymous_clients_read_it_without_a_challenge() {
    let server = TestServer::start().await;
    let reply = server.get("/.well-known/est/cacerts").await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("WWW-Authenticate").is_none());
    // A wrong password does not prevent it, either.
    let request =
        format!("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("x", "y"));
    assert_eq!(server.send(request).await.status, 200);
}

#[tokio::test]
async fn r_7030_4_1_3_b_conditional_requests_get_200_all_the_same() {
    let server = TestServer::start().await;
    for condition in
        ["If-None-Match: *", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "Range: bytes=0-1"]
    {
        let reply = server
            .send(format!(
                "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n{condition}\r\n\r\n"
            ))
            .await;
        assert_eq!(reply.status, 200, "{condition}");
    }
}

/// proves: R-7030-4.1.3-d
#[tokio::test]
async fn r_7030_4_1_3_c_a_certs_only_cms_with_the_root() {
    let server = TestServer::start().await;
    let reply = server.get("/.well-known/est/cacerts").await;
    let compact: Vec<u8> =
        reply.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = openssl_with(&["base64", "-d", "-A"], &compact);
    let printed =
        String::from_utf8(openssl_with(&["cms", "-cmsout", "-print", "-inform", "DER"], &der))
            .unwrap();
    assert!(printed.contains("eContent: <ABSENT>"), "{printed}");
    assert!(printed.trim_end().ends_with("<EMPTY>"), "no signers: {printed}");
    assert!(printed.contains("crls:\n      <ABSENT>"), "{printed}");
    let root = std::fs::read_to_string(server.anchor()).unwrap();
    assert!(reply.certificates().contains(&root));
}

/// proves: R-7030-4.1.3-h
#[tokio::test]
async fn r_7030_4_1_3_e_an_issued_certificate_verifies_with_nothing_but_the_bag_and_the_anchor() {
    let server = TestServer::start().await;
    let bag = server.get("/.well-known/est/cacerts").await;
    assert_eq!(bag.certificates().len(), 2, "root and issuing CA, nothing else, nothing twice");
    let bag = server.write("bag.pem", bag.certificates().concat());
    let device = server.device("/CN=device-1").await;
    let leaf = server.write("leaf.pem", &device.pem);
    server.verify(&bag, &leaf);
    let again = server.get("/.well-known/est/cacerts").await;
    assert_eq!(again.body, server.get("/.well-known/est/cacerts").await.body);
}

#[tokio::test]
async fn r_7030_4_1_3_g_the_self_signed_root_ends_last() {
    let server = TestServer::start().await;
    let ca = server.running.cas().values().next().unwrap();
    assert!(ca.root().not_after() >= ca.issuing().not_after());
    let bag = server.get("/.well-known/est/cacerts").await.certificates();
    let self_signed = bag.iter().filter(|pem| {
        let text = String::from_utf8(openssl_with(
            &["x509", "-noout", "-subject", "-issuer"],
            pem.as_bytes(),
        ))
        .unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once('=').unwrap().1).collect();
        lines[0] == lines[1]
    });
    assert_eq!(self_signed.count(), 1);
}
