//! /serverkeygen (requirements of section 12).

use crate::{common::*, keygen::*};
use estd::{
    clock::Clock,
    pki::{Certificate, PrivateKey},
    server::Swept,
    store::{Conditions, State},
    types::{KeyKind, Operation, Time},
};
use std::{os::unix::fs::PermissionsExt, time::Duration};

const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const KEY_128: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

/// A server that generates keys, with decryption keys of each kind as files in its folder.
struct Maker {
    server: TestServer,
    rsa: Vec<u8>,
    p256: Vec<u8>,
    p384: Vec<u8>,
    p521: Vec<u8>,
    signing: Vec<u8>,
    signing_ec: Vec<u8>,
    ed25519: Vec<u8>,
    expired: Vec<u8>,
}

impl Maker {
    async fn start() -> Self {
        Self::start_with("").await
    }

    async fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        std::fs::write(at.join("keys"), format!("key-1:{KEY_256}\n0x00ff:{KEY_128}\n")).unwrap();
        std::fs::set_permissions(at.join("keys"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let rsa = recipient(at, "rsa", "RSA:2048", &["keyUsage=keyEncipherment"]);
        let p256 = recipient(at, "p256", "EC", &[]);
        let p384 = recipient(at, "p384", "P-384", &["keyUsage=keyAgreement"]);
        let p521 = recipient(at, "p521", "P-521", &["keyUsage=keyAgreement,digitalSignature"]);
        let signing = recipient(at, "signing", "RSA:2048", &["keyUsage=digitalSignature"]);
        let signing_ec = recipient(at, "signing-ec", "EC", &["keyUsage=digitalSignature"]);
        let ed25519 = recipient(at, "ed25519", "ED25519", &[]);
        let expired = recipient(at, "expired", "EC", &[]);
        let config = format!(
            "[serverkeygen]\nkeys_file = \"keys\"\nrecipients = [\"rsa.pem\", \"p256.pem\", \"p384.pem\", \"p521.pem\", \"signing.pem\", \"signing-ec.pem\", \"ed25519.pem\", \"expired.pem\"]\n[est]\nserverkeygen = \"on\"\n[label.encrypted]\nserverkeygen = \"encrypted\"\n{more}"
        );
        // openssl issues certificates valid from now, by the machine's clock.
        let now = estd::clock::SystemClock.now().unix() + 3600;
        let server = TestServer::start_in(folder, &config, "memory", now).await;
        Self { server, rsa, p256, p384, p521, signing, signing_ec, ed25519, expired }
    }

    async fn ask(&self, csr: &[u8]) -> Reply {
        self.server.send(post("serverkeygen", csr, &basic("tester", PASSWORD))).await
    }

    fn file(&self, name: &str) -> String {
        self.server.path(name).to_str().unwrap().to_owned()
    }

    /// The number of records, including the server's own certificate.
    async fn records(&self) -> usize {
        self.server.issued().await.len()
    }

    /// Returns the unencrypted private key of an answer, after checking that the certificate matches.
    fn clear(&self, reply: &Reply) -> Vec<u8> {
        let parts = answered(reply);
        let key = parts[0].der();
        fits(&key, &parts[1]);
        key
    }
}

fn answered(reply: &Reply) -> Vec<Part> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let parts = parts(reply.header("Content-Type").unwrap(), &reply.body);
    assert_eq!(parts.len(), 2);
    parts
}

fn fits(key: &[u8], certificate: &Part) {
    let pem = certificate_of(&certificate.der());
    assert_eq!(public_of_pkcs8(key), public_of_certificate(&pem));
}

/// A session with AES-128 only, or AES-256 only.
async fn session(server: &TestServer, bits: u16) -> Connection {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let wanted = match bits {
        128 => rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
        _ => rustls::CipherSuite::TLS13_AES_256_GCM_SHA384,
    };
    provider.cipher_suites.retain(|suite| suite.suite() == wanted);
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(anyone())
        .with_no_client_auth();
    Connection::open_with(server.address(), config.into()).await.unwrap()
}

#[tokio::test]
async fn r_7030_6_c_key_generation_is_off_by_default() {
    let server = TestServer::start().await;
    let csr = Wanted::new("EC", "CN=d").csr();
    let reply = server.send(post("serverkeygen", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 404);
    let on = TestServer::start_with("[label.a]\nserverkeygen = \"on\"").await;
    for (path, status) in [("serverkeygen", 404), ("a/serverkeygen", 200)] {
        let reply = on.send(post(path, &csr, &basic("tester", PASSWORD))).await;
        assert_eq!(reply.status, status, "{path}");
    }
    let got = on.get("/.well-known/est/a/serverkeygen").await;
    assert_eq!((got.status, got.header("Allow")), (405, Some("POST")));
}

/// proves: R-7030-4.4.2-b, R-7030-4.4.2-c, R-9111-5.2.2.5-a
#[tokio::test]
async fn r_7030_4_4_2_a_two_parts_the_key_first() {
    let maker = Maker::start().await;
    let reply = maker.ask(&Wanted::new("EC", "CN=device-1").csr()).await;
    let parts = answered(&reply);
    assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    assert_eq!(reply.header("Content-Length"), Some(&*reply.body.len().to_string()));
    assert!(reply.header("Transfer-Encoding").is_none());
    assert_eq!(
        parts[0].headers,
        ["Content-Type: application/pkcs8", "Content-Transfer-Encoding: base64"]
    );
    assert_eq!(
        parts[1].headers,
        [
            "Content-Type: application/pkcs7-mime; smime-type=certs-only",
            "Content-Transfer-Encoding: base64"
        ]
    );
    let key = maker.clear(&reply);
    // PrivateKeyInfo, version 1, clear.
    openssl_with(&["pkcs8", "-inform", "DER", "-nocrypt"], &key);
    let parsed = openssl_with(&["asn1parse", "-inform", "DER"], &key);
    let parsed = String::from_utf8(parsed).unwrap();
    assert!(parsed.lines().nth(1).unwrap().ends_with("prim: INTEGER           :00"), "{parsed}");
    // The certificate part is what simpleenroll answers: the certificate that is on record, alone.
    let pem = String::from_utf8(certificate_of(&parts[1].der())).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1);
    let record = maker.server.issued().await;
    let record = record.iter().find(|one| one.intent.subject == "CN=device-1").unwrap();
    assert_eq!(record.intent.operation, Some(Operation::ServerKeyGen));
    let begins = pem.find("-----BEGIN").unwrap();
    let identity = Identity { pem: pem[begins..].to_owned(), key: String::new() };
    assert_eq!(identity.der(), record.certificate);
    // A client whose own body is one line gets the same form: MIME bounds the lines.
    let csr = Wanted::new("EC", "CN=device-1").csr();
    let line = post_body(
        "serverkeygen",
        base64(&csr).as_bytes(),
        &format!("Content-Type: application/pkcs10\r\n{}", basic("tester", PASSWORD)),
    );
    answered(&maker.server.send(line).await);
}

#[tokio::test]
async fn r_7030_4_4_a_clients_are_authenticated_and_the_session_is_as_strong_as_the_key() {
    let maker = Maker::start().await;
    let csr = Wanted::new("EC", "CN=d").csr();
    assert_eq!(maker.server.send(post("serverkeygen", &csr, "")).await.status, 401);
    assert_eq!(maker.server.send(post("serverkeygen", b"garbage", "")).await.status, 401);
    let with = |csr: &[u8]| post("serverkeygen", csr, &basic("tester", PASSWORD));
    for (kind, weak) in [("EC", 200), ("RSA:2048", 200), ("P-384", 400), ("P-521", 400)] {
        let csr = Wanted::new(kind, "CN=d").csr();
        let reply = session(&maker.server, 128).await.send(with(&csr)).await;
        assert_eq!(reply.status, weak, "{kind}");
        assert!(weak == 200 || reply.text().starts_with("keygen.session: "), "{}", reply.text());
        let reply = session(&maker.server, 256).await.send(with(&csr)).await;
        assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
    }
    // An encrypted key may be sent over any session.
    let csr = Wanted::new("P-384", "CN=d")
        .symmetric(b"key-1")
        .capabilities(&[AES_256_CBC, AES_256_WRAP])
        .csr();
    assert_eq!(session(&maker.server, 128).await.send(with(&csr)).await.status, 200);
}

#[tokio::test]
async fn r_7030_4_4_b_each_request_has_a_key_of_its_own_and_nobody_keeps_it() {
    let maker = Maker::start().await;
    let csr = Wanted::new("EC", "CN=d").csr();
    let first = maker.clear(&maker.ask(&csr).await);
    let second = maker.clear(&maker.ask(&csr).await);
    assert_ne!(first, second);
    let scalar = |key: &[u8]| {
        let text = openssl_with(&["pkey", "-inform", "DER", "-text", "-noout"], key);
        let text = String::from_utf8(text).unwrap();
        let hex: String = text.split("priv:").nth(1).unwrap().split("pub:").next().unwrap().into();
        unhex(&hex.replace([':', ' ', '\n'], ""))
    };
    let reported = format!("{:?}", maker.server.events.0.lock().unwrap());
    for record in maker.server.issued().await {
        let kept = bytes_of(&record);
        for key in [&first, &second] {
            let scalar = scalar(key);
            assert_eq!(scalar.len(), 32);
            let decimal = format!("{scalar:?}");
            let decimal = decimal.trim_matches(['[', ']']);
            for secret in
                [&scalar[..], base64(key).as_bytes(), hex(&scalar).as_bytes(), decimal.as_bytes()]
            {
                assert!(!kept.windows(secret.len()).any(|part| part == secret));
            }
            assert!(!reported.contains(&hex(&scalar)) && !reported.contains(&base64(key)));
        }
    }
}

/// All bytes of a record.
fn bytes_of(record: &estd::store::Issuance) -> Vec<u8> {
    let mut bytes = format!("{record:?}").into_bytes();
    bytes.extend_from_slice(&record.certificate);
    bytes.extend_from_slice(&record.intent.tbs);
    bytes
}

#[tokio::test]
async fn r_7030_4_4_1_a_neither_the_key_nor_the_signature_of_the_csr_is_looked_at() {
    let maker = Maker::start().await;
    let good = Wanted::new("EC", "CN=d").csr();
    let mut no_signature = good.clone();
    let length = no_signature.len();
    no_signature[length - 60..].fill(0);
    // The point of the key is moved off its curve.
    let mut no_point = good.clone();
    let at = no_point.windows(4).position(|part| part == [0x03, 0x42, 0x00, 0x04]).unwrap();
    no_point[at + 4..at + 68].fill(0xab);
    for csr in [&no_signature, &no_point] {
        assert_eq!(maker.server.enroll(csr).await.status, 400, "simpleenroll looks");
        maker.clear(&maker.ask(csr).await);
    }
    // Otherwise it is treated as an enrollment: names, extensions and profile count.
    let (ca, _) = new_csr(&["-subj", "/CN=d", "-addext", "basicConstraints=CA:TRUE"]);
    let reply = maker.ask(&ca).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    let (nameless, _) = new_csr(&["-subj", "/"]);
    let reply = maker.ask(&nameless).await;
    assert!(reply.status == 400 && reply.text().starts_with("csr.no-name"), "{}", reply.text());
    let (named, _) = new_csr(&["-subj", "/CN=d", "-addext", "subjectAltName=DNS:d.example.com"]);
    let parts = answered(&maker.ask(&named).await);
    let pem = String::from_utf8(certificate_of(&parts[1].der())).unwrap();
    assert!(described(&pem).contains("DNS:d.example.com"));
}

#[tokio::test]
async fn r_7030_4_4_1_b_the_algorithm_of_the_csrs_key_is_what_is_asked_for() {
    let maker = Maker::start_with(
        "[profile.rsa]\nkeys = [\"rsa-3072\", \"p-256\"]\n[label.rsa]\nprofile = \"rsa\"\nserverkeygen = \"on\"",
    )
    .await;
    for (asked, made) in [
        ("EC", KeyKind::P256),
        ("P-384", KeyKind::P384),
        ("P-521", KeyKind::P521),
        ("ED25519", KeyKind::Ed25519),
        ("RSA:1024", KeyKind::Rsa(2048)),
        ("RSA:2048", KeyKind::Rsa(2048)),
        ("RSA:2304", KeyKind::Rsa(3072)),
    ] {
        let csr = csr_with(&new_key(asked), &["-subj", "/CN=d"]);
        let request = post("serverkeygen", &csr, &basic("tester", PASSWORD));
        let reply = session(&maker.server, 256).await.send(request).await;
        let key = PrivateKey::from_pkcs8_der(&maker.clear(&reply)).unwrap();
        assert_eq!(key.kind(), made, "{asked}");
    }
    let under = |label: &str, asked: &str| {
        let csr = csr_with(&new_key(asked), &["-subj", "/CN=d"]);
        maker.server.send(post(&format!("{label}serverkeygen"), &csr, &basic("tester", PASSWORD)))
    };
    let key = maker.clear(&under("rsa/", "RSA:2048").await);
    assert_eq!(
        PrivateKey::from_pkcs8_der(&key).unwrap().kind(),
        KeyKind::Rsa(3072),
        "the profile's"
    );
    for (label, asked) in [("rsa/", "ED25519"), ("", "secp256k1"), ("", "RSA:4104")] {
        let reply = under(label, asked).await;
        assert_eq!(reply.status, 400, "{asked}");
        assert!(reply.text().starts_with("keygen.key-kind: "), "{}", reply.text());
    }
}

/// proves: R-7030-4.4.1.1-a
#[tokio::test]
async fn r_7030_4_4_2_d_a_key_encrypted_to_a_symmetric_key() {
    let maker = Maker::start().await;
    for (kind, id, key, listed) in [
        ("EC", &b"key-1"[..], KEY_256, &[AES_256_WRAP, AES_256_CBC][..]),
        ("RSA:2048", b"key-1", KEY_256, &[AES_128_CBC, AES_256_WRAP]),
        ("P-521", b"key-1", KEY_256, &[AES_128_CBC, AES_128_WRAP, AES_256_CBC, AES_256_WRAP]),
        ("ED25519", b"\x00\xff", KEY_128, &[AES_128_CBC, AES_128_WRAP]),
    ] {
        let csr = Wanted::new(kind, "CN=d").symmetric(id).capabilities(listed).csr();
        let parts = answered(&maker.ask(&csr).await);
        assert_eq!(
            parts[0].headers,
            [
                "Content-Type: application/pkcs7-mime; smime-type=server-generated-key",
                "Content-Transfer-Encoding: base64"
            ]
        );
        let message = parts[0].der();
        let with = ["-secretkey", key, "-secretkeyid", &hex(id)];
        fits(&opened(&message, &with, &maker.server.anchor()), &parts[1]);
        let printed = printed(&message);
        assert!(printed.contains("d.kekri") && printed.contains("version: 4"), "{printed}");
    }
}

fn printed(message: &[u8]) -> String {
    String::from_utf8(openssl_with(&["cms", "-cmsout", "-print", "-inform", "DER"], message))
        .unwrap()
}

#[tokio::test]
async fn r_7030_4_4_1_2_a_a_key_encrypted_to_a_certificates_key() {
    let maker = Maker::start().await;
    for (name, id, kind, listed, seen) in [
        ("rsa", &maker.rsa, "EC", &[AES_128_CBC, OAEP_SHA256][..], "rsaesOaep"),
        ("rsa", &maker.rsa, "EC", &[AES_256_CBC, RSA_PKCS1, OAEP_SHA1], "rsaesOaep"),
        ("rsa", &maker.rsa, "ED25519", &[RSA_PKCS1, AES_256_CBC], "rsaEncryption"),
        ("p256", &maker.p256, "EC", &[ECDH_SHA256_AES_256, AES_256_CBC], "1.3.132.1.11.1"),
        ("p256", &maker.p256, "RSA:2048", &[ECDH_SHA512_AES_128, AES_128_CBC], "1.3.132.1.11.3"),
        ("p384", &maker.p384, "P-384", &[ECDH_SHA384_AES_256, AES_256_CBC], "1.3.132.1.11.2"),
        ("p521", &maker.p521, "P-521", &[ECDH_SHA256_AES_256, AES_256_CBC], "1.3.132.1.11.1"),
    ] {
        let csr = Wanted::new(kind, "CN=d").asymmetric(id).capabilities(listed).csr();
        let parts = answered(&maker.ask(&csr).await);
        let message = parts[0].der();
        let (pem, key) = (maker.file(&format!("{name}.pem")), maker.file(&format!("{name}.key")));
        let clear = opened(&message, &["-recip", &pem, "-inkey", &key], &maker.server.anchor());
        fits(&clear, &parts[1]);
        let printed = printed(&message);
        assert!(printed.contains(seen), "{name}: {printed}");
        assert!(printed.contains("subjectKeyIdentifier"), "{printed}");
    }
}

/// A certificate without subjectKeyIdentifier is named by the hash of its key, and the message names
/// it by issuer and serial number: version 0.
#[tokio::test]
async fn the_key_shown_in_tls_decrypts_too() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, device) =
        stranger(folder.path(), "/CN=device-7", "keyUsage = keyAgreement, digitalSignature");
    let maker = Maker::start_with(&format!(
        "[label.maker]\nserverkeygen = \"on\"\naccept = [\"manufacturer:maker\", \"password\"]\n[manufacturer.maker]\nanchors = [{ca:?}]\n"
    )).await;
    let certificate = Certificate::parse(&device.der()).unwrap();
    let id = certificate.subject_key_identifier().unwrap();
    let wanted = |subject: &str| {
        Wanted::new("EC", subject)
            .asymmetric(id)
            .capabilities(&[ECDH_SHA256_AES_256, AES_256_CBC])
            .csr()
    };
    let mut connection = maker.server.connect_as(&device).await;
    let parts =
        answered(&connection.send(post("maker/serverkeygen", &wanted("CN=device-7"), "")).await);
    let (pem, key) = (
        maker.server.write("device.pem", &device.pem),
        maker.server.write("device.key", &device.key),
    );
    let clear = opened(&parts[0].der(), &["-recip", &pem, "-inkey", &key], &maker.server.anchor());
    fits(&clear, &parts[1]);
    // Names are bounded as in any enrollment by certificate, and nobody else knows this identifier.
    let reply = connection.send(post("maker/serverkeygen", &wanted("CN=other"), "")).await;
    assert!(
        reply.status == 401 && reply.reason().starts_with("enroll.names"),
        "{}",
        reply.reason()
    );
    let reply = maker.ask(&wanted("CN=device-7")).await;
    assert!(reply.text().starts_with("keygen.unknown-key"), "{}", reply.text());
}

#[tokio::test]
async fn a_certificate_without_identifier_is_named_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("k.key"), new_key("RSA:2048")).unwrap();
    std::fs::write(at("k.cnf"), "[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=x\n[dn]\nCN=k\n[x]\nbasicConstraints=CA:FALSE\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n").unwrap();
    let (config, key, pem) = (at("k.cnf"), at("k.key"), at("k.pem"));
    openssl(&[
        "req", "-x509", "-new", "-config", &config, "-key", &key, "-days", "9000", "-out", &pem,
    ]);
    let der = Identity { pem: std::fs::read_to_string(&pem).unwrap(), key: String::new() }.der();
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.subject_key_identifier(), None);
    let id = estd::pki::PublicKey::parse(certificate.spki()).unwrap().identifier();
    let config = format!("[serverkeygen]\nrecipients = [{pem:?}]\n[est]\nserverkeygen = \"on\"");
    let now = estd::clock::SystemClock.now().unix() + 3600;
    let server = TestServer::start_in(tempfile::tempdir().unwrap(), &config, "memory", now).await;
    let csr =
        Wanted::new("EC", "CN=d").asymmetric(&id).capabilities(&[OAEP_SHA256, AES_256_CBC]).csr();
    let reply = server.send(post("serverkeygen", &csr, &basic("tester", PASSWORD))).await;
    let parts = answered(&reply);
    let printed = printed(&parts[0].der());
    assert!(
        printed.contains("issuerAndSerialNumber") && !printed.contains("version: 2"),
        "{printed}"
    );
    fits(&opened(&parts[0].der(), &["-recip", &pem, "-inkey", &key], &server.anchor()), &parts[1]);
}

/// proves: R-7030-4.4.1-c, R-7030-4.4.1.1-a, R-7030-4.4.1.2-a, R-7030-4.4.2-e
#[tokio::test]
async fn r_7030_4_4_2_f_each_bad_request_has_its_answer_and_leaves_nothing_behind() {
    let maker = Maker::start().await;
    let wanted = |kind| Wanted::new(kind, "CN=d");
    let all =
        [AES_128_CBC, AES_256_CBC, AES_128_WRAP, AES_256_WRAP, OAEP_SHA256, ECDH_SHA256_AES_256];
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "unknown symmetric",
            wanted("EC").symmetric(b"key-2").capabilities(&all).csr(),
            "keygen.unknown-key: ",
        ),
        (
            "unknown asymmetric",
            wanted("EC").asymmetric(b"key-1").capabilities(&all).csr(),
            "keygen.unknown-key: ",
        ),
        (
            "a recipient's id as a symmetric one",
            wanted("EC").symmetric(&maker.rsa).capabilities(&all).csr(),
            "keygen.unknown-key: ",
        ),
        ("no capabilities", wanted("EC").symmetric(b"key-1").csr(), "keygen.capabilities: "),
        (
            "no capabilities, asymmetric",
            wanted("EC").asymmetric(&maker.rsa).csr(),
            "keygen.capabilities: ",
        ),
        (
            "3DES only",
            wanted("EC").symmetric(b"key-1").capabilities(&[DES_EDE3_CBC]).csr(),
            "keygen.capabilities: ",
        ),
        (
            "3DES and a wrap",
            wanted("EC").symmetric(b"key-1").capabilities(&[DES_EDE3_CBC, AES_256_WRAP]).csr(),
            "keygen.capabilities: ",
        ),
        (
            "the other wrap",
            wanted("EC").symmetric(b"key-1").capabilities(&[AES_256_CBC, AES_128_WRAP]).csr(),
            "keygen.capabilities: ",
        ),
        (
            "no wrap",
            wanted("EC").symmetric(b"key-1").capabilities(&[AES_256_CBC]).csr(),
            "keygen.capabilities: ",
        ),
        (
            "an empty list",
            wanted("EC").symmetric(b"key-1").capabilities(&[]).csr(),
            "keygen.capabilities: ",
        ),
        (
            "no transport",
            wanted("EC")
                .asymmetric(&maker.rsa)
                .capabilities(&[AES_256_CBC, ECDH_SHA256_AES_256])
                .csr(),
            "keygen.capabilities: ",
        ),
        (
            "no agreement",
            wanted("EC").asymmetric(&maker.p256).capabilities(&[AES_256_CBC, OAEP_SHA256]).csr(),
            "keygen.capabilities: ",
        ),
        (
            "content too weak",
            wanted("P-384").symmetric(b"key-1").capabilities(&[AES_128_CBC, AES_256_WRAP]).csr(),
            "keygen.capabilities: ",
        ),
        (
            "wrap too weak",
            wanted("P-384")
                .asymmetric(&maker.p384)
                .capabilities(&[AES_256_CBC, ECDH_SHA512_AES_128])
                .csr(),
            "keygen.capabilities: ",
        ),
        (
            "key too weak",
            wanted("P-384").symmetric(b"\x00\xff").capabilities(&all).csr(),
            "keygen.weak-key: ",
        ),
        (
            "a key that only signs",
            wanted("EC").asymmetric(&maker.signing).capabilities(&all).csr(),
            "keygen.recipient-usage: ",
        ),
        (
            "an EC key that only signs",
            wanted("EC").asymmetric(&maker.signing_ec).capabilities(&all).csr(),
            "keygen.recipient-usage: ",
        ),
        (
            "a key that cannot decrypt",
            wanted("EC").asymmetric(&maker.ed25519).capabilities(&all).csr(),
            "keygen.recipient-kind: ",
        ),
        (
            "both identifiers",
            wanted("EC").symmetric(b"key-1").asymmetric(&maker.rsa).capabilities(&all).csr(),
            "keygen.identifier: ",
        ),
        (
            "an empty identifier",
            wanted("EC").symmetric(b"").capabilities(&all).csr(),
            "keygen.identifier: ",
        ),
        (
            "an identifier of another type",
            wanted("EC").attribute(DECRYPT_KEY_ID, &tlv(0x0c, b"key-1")).capabilities(&all).csr(),
            "keygen.identifier: ",
        ),
        (
            "capabilities that are none",
            wanted("EC").symmetric(b"key-1").attribute(SMIME_CAPABILITIES, &tlv(4, b"x")).csr(),
            "keygen.capabilities: ",
        ),
        ("a CSR that is none", b"\x30\x03\x02\x01\x00".to_vec(), "csr.form: "),
        ("X25519", x25519(), "keygen.key-kind: "),
    ];
    let before = maker.records().await;
    for (name, csr, text) in cases {
        let reply = maker.ask(&csr).await;
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
        assert!(reply.text().starts_with(text), "{name}: {}", reply.text());
        assert_eq!(reply.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert!(maker.server.has_event_of(reply.header("X-Request-Id").unwrap()), "{name}");
    }
    let rejected = maker
        .ask(&wanted("P-384").symmetric(b"key-1").capabilities(&[AES_128_CBC, AES_256_WRAP]).csr())
        .await;
    assert!(rejected.text().contains("aes256-CBC"), "names what is missing: {}", rejected.text());
    // By the server's clock, the certificate has expired.
    let csr = wanted("EC").asymmetric(&maker.expired).capabilities(&all).csr();
    assert_eq!(maker.ask(&csr).await.status, 200);
    maker.server.clock.advance(Duration::from_secs(9001 * 86_400));
    let reply = maker.ask(&csr).await;
    assert!(reply.text().starts_with("keygen.recipient-validity"), "{}", reply.text());
    assert_eq!(maker.records().await, before + 1);
    // Wrong media type, wrong method, wrong body: as for any enrollment.
    let typed = post_body(
        "serverkeygen",
        b"AAAA",
        &format!("Content-Type: text/plain\r\n{}", basic("tester", PASSWORD)),
    );
    assert_eq!(maker.server.send(typed).await.status, 415);
    let empty = post_body(
        "serverkeygen",
        b"",
        &format!("Content-Type: application/pkcs10\r\n{}", basic("tester", PASSWORD)),
    );
    assert_eq!(maker.server.send(empty).await.status, 400);
}

/// A CSR whose key is one for X25519, which no CSR can be signed with.
fn x25519() -> Vec<u8> {
    let csr = Wanted::new("ED25519", "CN=d").csr();
    let mut changed = csr.clone();
    let at = csr.windows(5).position(|part| part == [0x06, 0x03, 0x2b, 0x65, 0x70]).unwrap();
    changed[at + 4] = 0x6e;
    changed
}

#[tokio::test]
async fn r_7030_4_4_1_d_a_label_may_insist_on_encryption() {
    let maker = Maker::start().await;
    let ask = |csr: &[u8]| {
        maker.server.send(post("encrypted/serverkeygen", csr, &basic("tester", PASSWORD)))
    };
    let reply = ask(&Wanted::new("EC", "CN=d").csr()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("keygen.encryption-required: "), "{}", reply.text());
    let csr = Wanted::new("EC", "CN=d")
        .symmetric(b"key-1")
        .capabilities(&[AES_256_CBC, AES_256_WRAP])
        .csr();
    let parts = answered(&ask(&csr).await);
    assert!(parts[0].headers[0].contains("server-generated-key"));
}

/// R-7030-4.4-c: the key of the first answer is not stored, so a retry gets a new one. The records name
/// the first certificate.
#[tokio::test]
async fn a_retry_gets_a_new_key_and_names_the_first_certificate() {
    let maker = Maker::start().await;
    let csr = Wanted::new("EC", "CN=d").csr();
    let mut serials = Vec::new();
    for _ in 0..3 {
        maker.clear(&maker.ask(&csr).await);
        let event = maker.server.events_named("certificate.issued").pop().unwrap();
        let detail = |name: &str| {
            event.details.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
        };
        assert_eq!(detail("key").as_deref(), Some("made here, protected by TLS"));
        assert_eq!(detail("operation").as_deref(), Some("serverkeygen"));
        assert_eq!(detail("retry_of"), serials.last().cloned());
        serials.push(detail("serial").unwrap());
    }
    // Another name is another request, and after the window so is the same.
    maker.clear(&maker.ask(&Wanted::new("EC", "CN=e").csr()).await);
    let last = || maker.server.events_named("certificate.issued").pop().unwrap();
    assert!(!last().details.iter().any(|(name, _)| name == "retry_of"));
    maker.server.clock.advance(Duration::from_secs(600));
    maker.clear(&maker.ask(&csr).await);
    assert!(!last().details.iter().any(|(name, _)| name == "retry_of"));
    // A client that retries too often is rejected.
    let records = maker.records().await;
    for _ in 0..15 {
        maker.clear(&maker.ask(&csr).await);
    }
    let reply = maker.ask(&csr).await;
    assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("5")));
    assert_eq!(maker.records().await, records + 15);
}

#[tokio::test]
async fn equal_requests_at_once_get_keys_and_certificates_of_their_own() {
    let maker = Maker::start().await;
    let csr = Wanted::new("EC", "CN=d").csr();
    let before = maker.records().await;
    let asking: Vec<_> = (0..8).map(|_| maker.ask(&csr)).collect();
    let mut keys = Vec::new();
    for reply in futures_util::future::join_all(asking).await {
        keys.push(maker.clear(&reply));
    }
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), maker.records().await), (8, before + 8));
}

#[tokio::test]
async fn what_was_left_open_for_a_generated_key_is_voided() {
    let maker = Maker::start().await;
    maker.clear(&maker.ask(&Wanted::new("EC", "CN=d").csr()).await);
    let store = maker.server.running.store();
    let record = maker.server.issued().await;
    let record = record.iter().find(|one| one.intent.subject == "CN=d").unwrap();
    let now = maker.server.clock.now();
    let open = estd::store::Intent {
        serial: estd::types::Serial::parse(&[7; 20]).unwrap(),
        idempotency_key: estd::store::IdempotencyKey([7; 32]),
        tbs: vec![0x30, 0].into(),
        begun: now,
        device: None,
        token: None,
        ..record.intent.clone()
    };
    store.begin(open.clone(), Conditions::default()).await.unwrap();
    // Retries find by it the certificates issued after it, for a little over 10 minutes.
    maker.server.clock.set(Time::from_unix(now.unix() + 659));
    assert_eq!(maker.server.running.sweep().await.unwrap(), Swept::default());
    maker.server.clock.set(Time::from_unix(now.unix() + 660));
    assert_eq!(maker.server.running.sweep().await.unwrap(), Swept { finished: 0, voided: 1 });
    let ended = store.find(&open.serial).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.certificate.len()), (State::Void, 0));
    let event = maker.server.events_named("issuance.voided").pop().unwrap();
    assert!(event.details.iter().any(|(_, text)| text.contains("is lost")), "{event:?}");
}

#[tokio::test]
async fn a_device_with_a_certificate_gets_its_successor() {
    let maker =
        Maker::start_with("[label.keep]\nserverkeygen = \"on\"\nrenewal.key = \"same\"").await;
    let parts = answered(&maker.ask(&Wanted::new("EC", "CN=device-1").csr()).await);
    let pem = String::from_utf8(certificate_of(&parts[1].der())).unwrap();
    let key = openssl_with(&["pkey", "-inform", "DER"], &parts[0].der());
    let begins = pem.find("-----BEGIN").unwrap();
    let device = Identity { pem: pem[begins..].to_owned(), key: String::from_utf8(key).unwrap() };
    let mut connection = maker.server.connect_as(&device).await;
    let again = Wanted::new("EC", "CN=device-1").csr();
    answered(&connection.send(post("serverkeygen", &again, "")).await);
    let first = Certificate::parse(&device.der()).unwrap().serial().clone();
    assert!(
        maker
            .server
            .issued()
            .await
            .iter()
            .any(|one| one.intent.predecessor.as_ref() == Some(&first))
    );
    let rejected = connection.send(post("keep/serverkeygen", &again, "")).await;
    assert!(
        rejected.status == 403 && rejected.text().starts_with("reenroll.key"),
        "{}",
        rejected.text()
    );
}

#[tokio::test]
async fn a_reload_brings_decryption_keys() {
    let maker = Maker::start().await;
    let csr = Wanted::new("EC", "CN=d")
        .symmetric(b"new")
        .capabilities(&[AES_256_CBC, AES_256_WRAP])
        .csr();
    assert_eq!(maker.ask(&csr).await.status, 400);
    let keys = maker.server.path("keys");
    std::fs::write(&keys, format!("new:{KEY_256}\n")).unwrap();
    let settings = maker.server.settings("").unwrap();
    assert_eq!(maker.server.running.reload(settings).await.unwrap(), Vec::<&str>::new());
    assert_eq!(maker.ask(&csr).await.status, 200);
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o640)).unwrap();
    let errors = maker.server.settings("").unwrap_err().to_string();
    assert!(errors.contains("[serverkeygen] keys_file") && !errors.contains(KEY_256), "{errors}");
}
