//! TLS (requirements of section 3).

use crate::common::*;
use rustls::{
    CipherSuite, ProtocolVersion,
    version::{TLS12, TLS13},
};
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

/// Returns the output of `openssl s_client` for a handshake with these arguments, and whether it succeeded.
async fn s_client(server: &TestServer, arguments: &[&str]) -> (bool, String) {
    let address = server.address().to_string();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-servername", "localhost"])
            .args(&arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn r_7030_3_3_a_clear_text_gets_no_answer_of_est() {
    let server = TestServer::start().await;
    let address = server.address();
    let answer = tokio::task::spawn_blocking(move || {
        let mut tcp = std::net::TcpStream::connect(address).unwrap();
        tcp.write_all(b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        answer
    })
    .await
    .unwrap();
    assert!(!answer.windows(4).any(|four| four == b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn r_8996_4_5_a_tls_1_0_and_1_1_are_rejected() {
    let server = TestServer::start().await;
    for version in ["-tls1", "-tls1_1"] {
        let (good, text) = s_client(&server, &[version, "-cipher", "ALL:@SECLEVEL=0"]).await;
        assert!(
            !good && text.contains("alert number 70") && text.contains("Cipher is (NONE)"),
            "{version}: {text}"
        );
    }
    // TLS 1.2 without the required features is another error: handshake_failure.
    let (good, text) = s_client(&server, &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"]).await;
    assert!(!good && text.contains("alert number 40"), "{text}");
}

#[tokio::test]
async fn r_9325_3_1_1_a_tls_1_2_is_served_and_1_3_preferred() {
    let server = TestServer::start().await;
    let old = Connection::open(server.address(), None, &[&TLS12]).await.unwrap();
    assert_eq!(old.tls().protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let both = Connection::open(server.address(), None, &[&TLS12, &TLS13]).await.unwrap();
    assert_eq!(both.tls().protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(
        both.tls().negotiated_cipher_suite().unwrap().suite(),
        CipherSuite::TLS13_AES_128_GCM_SHA256
    );
}

/// proves: R-9325-4.1-b, R-9325-4.2-a, R-7030-3.3.3-a
#[tokio::test]
async fn r_9325_4_1_a_only_suites_with_forward_secrecy_and_aead() {
    let server = TestServer::start().await;
    for bad in [
        "NULL",
        "aNULL",
        "RC4",
        "3DES",
        "DES",
        "EXPORT",
        "AES128-SHA",
        "AES256-GCM-SHA384",
        "DHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-SHA256",
        "PSK-AES128-GCM-SHA256",
        "SRP-AES-128-CBC-SHA",
    ] {
        let (good, text) =
            s_client(&server, &["-tls1_2", "-cipher", &format!("{bad}:@SECLEVEL=0")]).await;
        assert!(!good, "{bad}: {text}");
    }
    for good in [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ] {
        let (done, text) = s_client(&server, &["-tls1_2", "-cipher", good]).await;
        assert!(done && text.contains(&format!("Cipher is {good}")), "{good}: {text}");
    }
}

/// proves: R-5929-3.1-b
#[tokio::test]
async fn r_9325_3_5_a_extended_master_secret_and_no_insecure_renegotiation() {
    let server = TestServer::start().await;
    let (good, text) = s_client(&server, &["-tls1_2"]).await;
    assert!(good && text.contains("Extended master secret: yes"), "{text}");
    assert!(text.contains("Secure Renegotiation IS supported"), "{text}");
    // "R" on standard input asks for a renegotiation, which rustls never does.
    let address = server.address().to_string();
    let text = tokio::task::spawn_blocking(move || {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-tls1_2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"R\n").unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    })
    .await
    .unwrap();
    assert!(text.contains("RENEGOTIATING") && text.contains("no renegotiation"), "{text}");
}

/// Only the server that issued a ticket can decrypt it: the ticket keys stay in memory, and rustls
/// rotates them every six hours. The lifetime of a ticket is bounded.
///
/// proves: R-7030-3.3-b
#[tokio::test]
async fn r_9325_3_4_a_tickets_resume_a_session_with_its_client_and_not_elsewhere() {
    let server = TestServer::start_with("session_tickets = true").await;
    let device = server.device("/CN=device-1").await;
    let config = std::sync::Arc::new(client_config(Some(&device), &[&TLS13]));
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for resumed in [false, true] {
        let mut connection =
            Connection::open_with(server.address(), std::sync::Arc::clone(&config)).await.unwrap();
        // The client certificate counts on the resumed session, too.
        let reply = connection.send(post("simplereenroll", &csr, "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let kind = connection.tls().handshake_kind().unwrap();
        assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed, "{kind:?}");
    }
    let (_, text) = s_client(&server, &["-tls1_2"]).await;
    let hint = text.split("ticket lifetime hint: ").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(hint, "43200", "twice the life of a key");
    // Another server, or this one after a restart, cannot decrypt it.
    let other = TestServer::start_with("session_tickets = true").await;
    for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let config = std::sync::Arc::clone(&config);
        let mut connection = Connection::open_with(other.address(), config).await.unwrap();
        let request = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(connection.send(request).await.status, 200);
        assert_eq!(connection.tls().handshake_kind(), Some(kind));
    }
    let config = std::sync::Arc::new(client_config(Some(&device), &[&TLS13]));
    let mut connection =
        Connection::open_with(server.address(), std::sync::Arc::clone(&config)).await.unwrap();
    assert_eq!(connection.send(post("simplereenroll", &csr, "")).await.status, 200);
    // After the certificate has expired a resumed session authenticates nobody.
    server.clock.advance(std::time::Duration::from_secs(91 * 86_400));
    let mut connection = Connection::open_with(server.address(), config).await.unwrap();
    assert_eq!(connection.send(post("simplereenroll", &csr, "")).await.status, 403);
    assert_eq!(connection.tls().handshake_kind(), Some(rustls::HandshakeKind::Resumed));
}

#[tokio::test]
async fn without_tickets_every_handshake_is_a_full_one() {
    let server = TestServer::start().await;
    for version in [&TLS13, &TLS12] {
        let config = std::sync::Arc::new(client_config(None, &[version]));
        for _ in 0..2 {
            let config = std::sync::Arc::clone(&config);
            let mut connection = Connection::open_with(server.address(), config).await.unwrap();
            let request = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n";
            assert_eq!(connection.send(request).await.status, 200);
            let kind = connection.tls().handshake_kind().unwrap();
            assert_eq!(kind, rustls::HandshakeKind::Full);
        }
    }
}

#[tokio::test]
async fn r_9325_3_10_a_no_early_data() {
    let server = TestServer::start_with("session_tickets = true").await;
    let session = server.path("session.pem").to_str().unwrap().to_owned();
    let request = server.write(
        "request",
        "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let ask = |more: Vec<String>| {
        let (address, request) = (server.address().to_string(), request.clone());
        tokio::task::spawn_blocking(move || {
            let output = Command::new("openssl")
                .args(["s_client", "-connect", &address, "-servername", "localhost", "-tls1_3"])
                .args(["-ign_eof"])
                .args(more)
                .stdin(std::fs::File::open(request).unwrap())
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    };
    let text = ask(vec!["-sess_out".to_owned(), session.clone()]).await.unwrap();
    assert!(text.contains("HTTP/1.1 200 OK") && text.contains("Max Early Data: 0"), "{text}");
    // The session is resumed; early data is rejected, so the client sends it again.
    let again = ["-sess_in", &session, "-early_data", &request].map(str::to_owned);
    let text = ask(again.to_vec()).await.unwrap();
    assert!(text.contains("Reused, TLSv1.3"), "{text}");
    assert!(!text.contains("Early data was accepted"), "{text}");
}

#[tokio::test]
async fn r_9325_3_8_a_alpn() {
    let server = TestServer::start().await;
    let (good, text) = s_client(&server, &["-alpn", "http/1.1"]).await;
    assert!(good && text.contains("ALPN protocol: http/1.1"), "{text}");
    let (good, text) = s_client(&server, &["-alpn", "acme-tls/1"]).await;
    assert!(!good && text.contains("no application protocol"), "{text}");
    let (good, _) = s_client(&server, &[]).await;
    assert!(good, "no ALPN is HTTP/1.1");
}

#[tokio::test]
async fn r_9325_3_7_a_sni_is_understood_and_a_stale_name_served() {
    let server = TestServer::start().await;
    for name in ["localhost", "stale.example.com"] {
        let (good, text) = s_client(&server, &["-servername", name]).await;
        assert!(good, "{text}");
    }
}

/// proves: R-7030-3.6.1-a, R-9525-4-a, R-7030-3.3.1-b, R-9325-4.5-a
#[tokio::test]
async fn r_7030_3_3_1_a_the_server_is_who_the_anchor_says() {
    let server = TestServer::start().await;
    let anchor = server.anchor();
    let at = NOW.to_string();
    for name in
        [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]]
    {
        let mut arguments = vec![
            "-CAfile",
            anchor.to_str().unwrap(),
            "-verify_return_error",
            "-x509_strict",
            "-attime",
            &at,
        ];
        arguments.extend(name);
        let (good, text) = s_client(&server, &arguments).await;
        assert!(good && text.contains("Verify return code: 0"), "{text}");
    }
    let text = described(&server.running.certificate().await.to_pem());
    for part in [
        "DNS:localhost, IP Address:127.0.0.1",
        "TLS Web Server Authentication, CMC Registration Authority",
        "ecdsa-with-SHA256",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let (_, text) = s_client(&server, &["-showcerts"]).await;
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "leaf and issuing CA");
}

#[test]
fn r_9525_4_a_a_server_certificate_has_a_name_or_an_address() {
    let text = "version = 1\n[server.certificate]\nnames = []\naddresses = []";
    let error = estd::config::parse(text, std::path::Path::new("est.toml"), &|_| None).unwrap_err();
    assert!(error.to_string().contains("[server.certificate] names"), "{error}");
}

#[test]
fn r_9325_4_5_a_a_weak_or_unusual_server_key_is_rejected_by_the_configuration() {
    for key in ["rsa-1024", "ed25519", "p-521", "p-224"] {
        let text = format!("version = 1\n[server.certificate]\nkey = \"{key}\"");
        let error =
            estd::config::parse(&text, std::path::Path::new("est.toml"), &|_| None).unwrap_err();
        assert!(error.to_string().contains("[server.certificate] key"), "{error}");
    }
}

/// proves: R-7030-3.3.2-e, R-7030-3.3.2-f
#[tokio::test]
async fn r_7030_3_3_2_b_a_certificate_is_asked_for_and_not_demanded() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
    let (_, text) = s_client(&server, &[]).await;
    assert!(text.contains("No client certificate CA names sent"), "{text}");
    assert!(text.contains("Requested Signature Algorithms"), "it is asked for: {text}");
    let (_, device) = stranger(server.folder.path(), "/CN=device-1", "");
    let mut connection = server.connect_as(&device).await;
    assert_eq!(
        connection.send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n").await.status,
        200
    );
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    assert_eq!(connection.send(post("simpleenroll", &csr, "")).await.status, 401);
}

/// The signature of the handshake is still verified: a device's certificate without its key does not
/// authenticate.
#[tokio::test]
async fn r_7030_3_3_2_a_the_client_holds_the_key_of_what_it_shows() {
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for versions in [[&TLS12], [&TLS13]] {
        let mut connection =
            Connection::open(server.address(), Some(&device), &versions).await.unwrap();
        let reply = connection.send(post("simpleenroll", &csr, "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let files = [server.write("d.pem", &device.pem), server.write("other.key", new_key("EC"))];
    // openssl does not sign with a key that does not match the certificate. The thief therefore uses
    // a self-signed certificate with the same names and another key.
    let thief = openssl(&[
        "req",
        "-x509",
        "-new",
        "-key",
        &files[1],
        "-subj",
        "/CN=device-1",
        "-days",
        "9000",
    ]);
    let thief = Identity {
        pem: String::from_utf8(thief).unwrap(),
        key: std::fs::read_to_string(&files[1]).unwrap(),
    };
    assert_eq!(
        server.connect_as(&thief).await.send(post("simpleenroll", &csr, "")).await.status,
        401
    );
}

#[tokio::test]
async fn r_7030_3_3_2_c_path_validation_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, _) = stranger(folder.path(), "/CN=x", "");
    let server = TestServer::start_with(&accepting(&ca)).await;
    let (csr, _) = new_csr(&["-subj", "/CN=x"]);
    let sign = |extensions: &str, not_after: &str| {
        let key = new_key("EC");
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("c.csr"), csr_with(&key, &["-subj", "/CN=x"])).unwrap();
        std::fs::write(at("c.ext"), format!("subjectKeyIdentifier = hash\n{extensions}")).unwrap();
        let (request, ca, ca_key, ext) = (at("c.csr"), at("s-ca.pem"), at("s-ca.key"), at("c.ext"));
        let pem = openssl(&[
            "x509",
            "-req",
            "-inform",
            "DER",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-set_serial",
            "5",
            "-extfile",
            &ext,
        ]);
        let pem = dated(&pem, &folder.path().join("s-ca.key"), "260101000000Z", not_after);
        Identity { pem: String::from_utf8(pem).unwrap(), key }
    };
    let later = "491231235959Z";
    let good = sign("extendedKeyUsage = clientAuth", later);
    assert_eq!(
        server.connect_as(&good).await.send(post("simpleenroll", &csr, "")).await.status,
        200
    );
    // The server's clock shows NOW, the noon of 2026-11-21.
    for (extensions, not_after, reason) in [
        ("extendedKeyUsage = serverAuth", later, "lacks clientAuth"),
        ("basicConstraints = critical, CA:TRUE", later, "the certificate of a CA"),
        ("", "261121115959Z", "expired"),
    ] {
        let bad = sign(extensions, not_after);
        let reply = server.connect_as(&bad).await.send(post("simpleenroll", &csr, "")).await;
        assert_eq!(reply.status, 401, "{reason}");
        assert!(reply.header("X-Reason").unwrap().contains(reason), "{reply:?}");
        assert!(reply.body.is_empty());
    }
}

/// proves: R-7030-3.1-a
#[tokio::test]
async fn r_7030_3_3_2_d_explicit_and_implicit_anchors_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, device) = stranger(folder.path(), "/CN=x", "");
    let (csr, _) = new_csr(&["-subj", "/CN=x"]);
    let server = TestServer::start_with(&accepting(&ca)).await;
    let class = async |client: &Identity, csr: Vec<u8>| {
        let reply = server.connect_as(client).await.send(post("simpleenroll", &csr, "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        server.events_named("certificate.issued").pop().unwrap().actor.method.to_string()
    };
    assert_eq!(class(&device, csr.clone()).await, "third-party certificate");
    let own = server.device("/CN=y").await;
    assert_eq!(class(&own, new_csr(&["-subj", "/CN=y"]).0).await, "certificate");
    let without = TestServer::start().await;
    assert_eq!(
        without.connect_as(&device).await.send(post("simpleenroll", &csr, "")).await.status,
        401
    );
}
