//! The contents of issued certificates (requirements of section 17), read by openssl.

use crate::common::*;
use std::{collections::HashSet, time::Duration};

/// The value of an extension by its name, as openssl prints it, with its criticality.
fn extension(text: &str, name: &str) -> Option<String> {
    let after = text.split(&format!("X509v3 {name}:")).nth(1)?;
    let mut lines = after.lines();
    let critical = lines.next().unwrap().trim();
    Some(format!("{critical}|{}", lines.next().unwrap().trim()))
}

#[tokio::test]
async fn r_5280_4_1_2_1_a_version_3() {
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let ca = server.running.cas().values().next().unwrap();
    for pem in [
        device.pem,
        ca.root().to_pem(),
        ca.issuing().to_pem(),
        server.running.certificate().await.to_pem(),
    ] {
        assert!(described(&pem).contains("Version: 3 (0x2)"));
    }
}

#[tokio::test]
async fn r_5280_4_1_1_2_a_inner_and_outer_algorithm_are_equal_bytes() {
    for (key, algorithm) in [
        ("p-256", "300a06082a8648ce3d040302"),
        ("p-384", "300a06082a8648ce3d040303"),
        ("rsa-2048", "300d06092a864886f70d01010b0500"),
        ("ed25519", "300506032b6570"),
    ] {
        let server = TestServer::start_with(&format!("[ca.default]\nkey = \"{key}\"")).await;
        let der = server.device("/CN=device-1").await.der();
        let hex: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.matches(algorithm).count(), 2, "{key}");
        // openssl signs it with the root's key.
        let leaf = server.write("leaf.pem", server.device("/CN=device-2").await.pem);
        let ca = server.running.cas().values().next().unwrap();
        let issuing = server.write("issuing.pem", ca.issuing().to_pem());
        server.verify(&issuing, &leaf);
    }
}

/// proves: R-5280-4.2.1.1-a, R-5280-4.2.1.2-a
#[tokio::test]
async fn r_5280_4_1_2_4_a_issuer_and_key_identifiers_lead_to_the_ca() {
    let server = TestServer::start_with(
        "[ca.default]\nissuing_subject = \"CN=Caf\u{e9} issuing,O=Example\"",
    )
    .await;
    let device = estd::pki::Certificate::parse(&server.device("/CN=device-1").await.der()).unwrap();
    let ca = server.running.cas().values().next().unwrap();
    assert_eq!(device.issuer().der(), ca.issuing().subject().der(), "byte for byte");
    assert_eq!(ca.issuing().issuer().der(), ca.root().subject().der());
    let text = described(&ca.issuing().to_pem());
    let identifier = extension(&text, "Subject Key Identifier").unwrap();
    assert_eq!(
        extension(&described(&device.to_pem()), "Authority Key Identifier").unwrap(),
        identifier
    );
    assert!(
        extension(&described(&device.to_pem()), "Subject Key Identifier").unwrap().starts_with('|'),
        "not critical"
    );
    assert!(extension(&described(&ca.root().to_pem()), "Subject Key Identifier").is_some());
}

#[tokio::test]
async fn r_5280_4_1_2_5_b_validity_ends_with_the_ca_and_begins_a_little_early() {
    let server = TestServer::start_with("[ca.default]\nissuing_validity = \"100d\"").await;
    let begins = |pem: &str| {
        String::from_utf8(openssl_with(&["x509", "-noout", "-dates"], pem.as_bytes())).unwrap()
    };
    let device = server.device("/CN=device-1").await;
    assert_eq!(
        begins(&device.pem),
        "notBefore=Nov 21 11:55:00 2026 GMT\nnotAfter=Feb 19 11:59:59 2027 GMT\n"
    );
    server.clock.advance(Duration::from_secs(50 * 86_400));
    let device = server.device("/CN=device-2").await;
    let ca = server.running.cas().values().next().unwrap().issuing().to_pem();
    assert_eq!(begins(&device.pem).lines().nth(1), begins(&ca).lines().nth(1));
}

#[tokio::test]
async fn r_5280_4_1_2_5_a_long_lives_pass_2050() {
    let server = TestServer::start_with("[ca.default]\nroot_validity = \"20000d\"\nissuing_validity = \"20000d\"\n[profile.device]\nvalidity = \"15000d\"").await;
    let text = String::from_utf8(openssl_with(
        &["asn1parse"],
        server.device("/CN=d").await.pem.as_bytes(),
    ))
    .unwrap();
    assert!(text.contains("UTCTIME           :261121115500Z"), "{text}");
    assert!(text.contains("GENERALIZEDTIME   :20671216115959Z"), "{text}");
}

#[tokio::test]
async fn r_5280_4_1_2_6_a_san_is_critical_only_without_a_subject() {
    let server = TestServer::start().await;
    for (subject, expected) in [("/", "critical|DNS:a.example"), ("/CN=a", "|DNS:a.example")] {
        let (csr, key) = new_csr(&["-subj", subject, "-addext", "subjectAltName=DNS:a.example"]);
        let text = described(&server.identity(&csr, key).await.pem);
        assert_eq!(extension(&text, "Subject Alternative Name").unwrap(), expected);
    }
}

#[tokio::test]
async fn r_5280_4_2_1_3_a_ca_certificates_sign_certificates_and_crls_only() {
    let server = TestServer::start().await;
    let ca = server.running.cas().values().next().unwrap();
    for pem in [ca.root().to_pem(), ca.issuing().to_pem()] {
        assert_eq!(
            extension(&described(&pem), "Key Usage").unwrap(),
            "critical|Certificate Sign, CRL Sign"
        );
    }
}

#[tokio::test]
async fn r_5280_4_2_1_3_b_key_usage_fits_the_key() {
    let server = TestServer::start().await;
    for (kind, expected) in [
        ("RSA:2048", "critical|Digital Signature, Key Encipherment"),
        ("EC", "critical|Digital Signature"),
        ("ED25519", "critical|Digital Signature"),
    ] {
        let key = new_key(kind);
        let csr = csr_with(&key, &["-subj", "/CN=d"]);
        let text = described(&server.identity(&csr, key).await.pem);
        assert_eq!(extension(&text, "Key Usage").unwrap(), expected);
    }
    let (csr, _) = new_csr(&["-subj", "/CN=d", "-addext", "keyUsage=keyEncipherment"]);
    assert_eq!(server.enroll(&csr).await.status, 400, "an EC key enciphers nothing");
}

#[tokio::test]
async fn r_5280_4_2_1_9_a_basic_constraints() {
    let server = TestServer::start().await;
    let ca = server.running.cas().values().next().unwrap();
    assert_eq!(
        extension(&described(&ca.root().to_pem()), "Basic Constraints").unwrap(),
        "critical|CA:TRUE"
    );
    assert_eq!(
        extension(&described(&ca.issuing().to_pem()), "Basic Constraints").unwrap(),
        "critical|CA:TRUE, pathlen:0"
    );
    assert!(
        extension(&described(&server.device("/CN=d").await.pem), "Basic Constraints").is_none()
    );
}

/// proves: R-5280-4.2.1.9-b
#[tokio::test]
async fn r_5280_4_2_1_12_a_extended_key_usage_comes_from_the_profile() {
    let server = TestServer::start().await;
    let text = described(&server.device("/CN=d").await.pem);
    assert_eq!(extension(&text, "Extended Key Usage").unwrap(), "|TLS Web Client Authentication");
    for asked in [
        "1.3.6.1.5.5.7.3.28",
        "OCSPSigning",
        "anyExtendedKeyUsage",
        "serverAuth",
        "1.3.6.1.5.5.7.3.27",
    ] {
        let (csr, _) = new_csr(&[
            "-subj",
            "/CN=d",
            "-addext",
            &format!("extendedKeyUsage=clientAuth,{asked}"),
        ]);
        let reply = server.enroll(&csr).await;
        assert_eq!(reply.status, 403, "{asked}");
        assert!(reply.text().starts_with("csr.extended-key-usage"), "{}", reply.text());
    }
    let text = "version = 1\n[profile.device]\nextended_key_usage = [\"anyExtendedKeyUsage\", \"OCSPSigning\", \"cmcCA\"]";
    assert_eq!(
        estd::config::parse(text, std::path::Path::new("est.toml"), &|_| None).unwrap_err().0.len(),
        3
    );
}

#[tokio::test]
async fn r_5280_4_2_a_an_extension_twice_is_rejected() {
    let server = TestServer::start().await;
    let config = server.write("twice.cnf", "[req]\nprompt=no\ndistinguished_name=dn\nreq_extensions=e\n[dn]\nCN=d\n[e]\n1.2.3.4=DER:0500\n1.2.3.5=DER:0500\n");
    let (csr, key) = new_csr(&["-config", &config]);
    // 1.2.3.5 becomes a second 1.2.3.4; the signature is recomputed.
    let at = csr.windows(3).position(|three| three == [0x2a, 3, 5]).unwrap();
    let mut twice = csr;
    twice[at + 2] = 4;
    let reply = server.enroll(&resigned(&twice, &key)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("csr.extensions"), "{}", reply.text());
}

/// A CSR signed with the key that its content names.
pub(crate) fn resigned(csr: &[u8], key: &str) -> Vec<u8> {
    use der::{Decode, Encode};
    let request = x509_cert::request::CertReq::from_der(csr).unwrap();
    let info = request.info.to_der().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, key).unwrap();
    let signature = openssl_with(&["dgst", "-sha256", "-sign", path.to_str().unwrap()], &info);
    let signature = der::asn1::BitString::from_bytes(&signature).unwrap();
    x509_cert::request::CertReq { signature, ..request }.to_der().unwrap()
}

#[tokio::test]
async fn r_5280_4_1_2_2_a_serial_numbers_differ() {
    let server = TestServer::start().await;
    let mut seen = HashSet::new();
    for number in 0..20 {
        let der = server.device(&format!("/CN=device-{number}")).await.der();
        let serial = estd::pki::Certificate::parse(&der).unwrap().serial().clone();
        assert!((16..=20).contains(&serial.as_bytes().len()) && serial.as_bytes()[0] < 0x80);
        assert!(seen.insert(serial));
    }
}
