//! /simplereenroll (requirements of section 9).

use crate::{common::*, fullcmc_message::*};
use der::Encode;
use std::time::Duration;

const SAN: &str = "subjectAltName=DNS:a.example,IP:192.0.2.1";

#[tokio::test]
async fn r_7030_4_2_2_e_the_same_key_renews_and_a_new_one_rekeys() {
    let server = TestServer::start_with(
        "[label.renew]\nrenewal.key = \"same\"\n[label.rekey]\nrenewal.key = \"new\"",
    )
    .await;
    let device = server.device("/O=Example/CN=device-1").await;
    let renew = csr_with(&device.key, &["-subj", "/O=Example/CN=device-1"]);
    let (rekey, _) = new_csr(&["-subj", "/O=Example/CN=device-1"]);
    let first = estd::pki::Certificate::parse(&device.der()).unwrap().serial().clone();
    for (label, csr, expected) in [
        ("", &renew, 200),
        ("", &rekey, 200),
        ("renew/", &renew, 200),
        ("renew/", &rekey, 403),
        ("rekey/", &renew, 403),
        ("rekey/", &rekey, 200),
    ] {
        let reply = server
            .connect_as(&device)
            .await
            .send(post(&format!("{label}simplereenroll"), csr, ""))
            .await;
        assert_eq!(reply.status, expected, "{label}: {}", reply.text());
        if expected == 403 {
            let reused = *csr == renew;
            let text = if reused { "reenroll.key-reuse: " } else { "reenroll.key-change: " };
            assert!(reply.text().starts_with(text), "{}", reply.text());
            assert_eq!(reply.text().contains("noKeyReuse"), reused, "{}", reply.text());
        }
    }
    let events = server.events_named("certificate.issued");
    let reported: Vec<&str> = events
        .iter()
        .flat_map(|event| &event.details)
        .filter(|(name, _)| name == "renewal")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(reported, ["renew", "rekey", "renew", "rekey"], "the log names the kind");
    let renewed = server
        .issued()
        .await
        .into_iter()
        .filter(|one| one.intent.predecessor.as_ref() == Some(&first));
    assert_eq!(renewed.count(), 4);
}

/// proves: R-7030-4.2.2-a
#[tokio::test]
async fn r_7030_4_2_2_b_subject_and_san_are_those_of_the_certificate() {
    let server = TestServer::start().await;
    let (csr, key) = new_csr(&["-subj", "/O=Example/CN=device-1", "-addext", SAN]);
    let device = server.identity(&csr, key).await;
    for (arguments, expected) in [
        (&["-subj", "/O=Example/CN=device-1", "-addext", SAN][..], 200),
        // Order of SAN entries does not count.
        (
            &[
                "-subj",
                "/O=Example/CN=device-1",
                "-addext",
                "subjectAltName=IP:192.0.2.1,DNS:a.example",
            ],
            200,
        ),
        (&["-subj", "/O=Example/CN=device-1"], 403),
        (&["-subj", "/O=Example/CN=device-1", "-addext", "subjectAltName=DNS:a.example"], 403),
        (
            &[
                "-subj",
                "/O=Example/CN=device-1",
                "-addext",
                "subjectAltName=DNS:a.example,IP:192.0.2.1,DNS:b.example",
            ],
            403,
        ),
        (&["-subj", "/O=Example/CN=device-2", "-addext", SAN], 403),
        (&["-subj", "/CN=device-1/O=Example", "-addext", SAN], 403),
        (&["-subj", "/O=Example/CN=Device-1", "-addext", SAN], 403),
        (&["-subj", "/CN=device-1", "-addext", SAN], 403),
    ] {
        let (csr, _) = new_csr(arguments);
        let reply = server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await;
        assert_eq!(reply.status, expected, "{arguments:?}: {}", reply.text());
        if expected == 403 {
            assert!(reply.text().starts_with("reenroll.identity: "), "{}", reply.text());
            assert!(
                reply
                    .text()
                    .contains("expected: CN=device-1,O=Example with dns:a.example, ip:192.0.2.1"),
                "{}",
                reply.text()
            );
        }
    }
}

#[tokio::test]
async fn r_7030_4_2_2_b_the_type_of_a_string_does_not_count() {
    // D-08: a CSR with PrintableString renews a certificate with UTF8String.
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let mask = server.write(
        "mask.cnf",
        "[req]\nstring_mask=default\nprompt=no\ndistinguished_name=dn\n[dn]\nCN=device-1\n",
    );
    let (csr, _) = new_csr(&["-config", &mask]);
    assert!(
        String::from_utf8(openssl_with(&["asn1parse", "-inform", "DER"], &csr))
            .unwrap()
            .contains("PRINTABLESTRING   :device-1")
    );
    assert_eq!(
        server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await.status,
        200
    );
}

#[tokio::test]
async fn r_7030_4_2_2_c_without_the_certificate_there_is_nothing_to_renew() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, foreign) = stranger(folder.path(), "/CN=device-1", "");
    let server = TestServer::start_with(&accepting(&ca)).await;
    server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    // With only a password, and with a certificate of another CA.
    let by_password = server.send(post("simplereenroll", &csr, &basic("tester", PASSWORD))).await;
    let by_stranger =
        server.connect_as(&foreign).await.send(post("simplereenroll", &csr, "")).await;
    for reply in [by_password, by_stranger] {
        assert_eq!(reply.status, 403);
        assert!(reply.text().starts_with("reenroll.certificate"), "{}", reply.text());
    }
    // A password is no help, so there is no challenge.
    assert_eq!(server.send(post("simplereenroll", &csr, "")).await.status, 403);
}

#[tokio::test]
async fn r_7030_3_3_2_g_an_expired_certificate_renews_nothing_to_the_second() {
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let last = estd::pki::Certificate::parse(&device.der()).unwrap().not_after();
    server.clock.set(last);
    let mut kept = server.connect_as(&device).await;
    assert_eq!(kept.send(post("simplereenroll", &csr, "")).await.status, 200);
    server.clock.advance(Duration::from_secs(1));
    let (late, _) = new_csr(&["-subj", "/CN=device-1"]);
    // On a new connection, and on one that was opened in time.
    for mut connection in [server.connect_as(&device).await, kept] {
        let reply = connection.send(post("simplereenroll", &late, "")).await;
        assert_eq!(reply.status, 403);
        assert!(reply.text().contains("expired at"), "{reply:?}");
    }
}

#[tokio::test]
async fn r_7030_3_3_2_g_a_label_may_renew_recently_expired_certificates_and_nothing_else() {
    let server = TestServer::start_with(
        "[label.grace]\nrenewal.grace = \"7d\"\n\
         [label.both]\nrenewal.grace = \"7d\"\naccept = [[\"certificate\", \"password\"]]\nrenewal.accept = [[\"certificate\", \"password\"]]",
    )
    .await;
    let device = server.device("/CN=device-1").await;
    let lost = server.device("/CN=device-2").await;
    let csr = |name: &str| new_csr(&["-subj", name]).0;
    let certificate = estd::pki::Certificate::parse(&device.der()).unwrap();
    let end = certificate.not_after();
    // One connection is opened while the certificate is valid.
    server.clock.set(end);
    let mut kept = server.connect_as(&device).await;
    assert_eq!(kept.send(post("simplereenroll", &csr("/CN=device-1"), "")).await.status, 200);
    let renewal = post("grace/simplereenroll", &csr("/CN=device-1"), "");
    server.clock.advance(Duration::from_secs(86_400));
    for connection in [&mut server.connect_as(&device).await, &mut kept] {
        let reply = connection.send(&renewal).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        // For its renewal only, by whichever operation (D-32), and only where that is allowed.
        let by_simpleenroll = post("grace/simpleenroll", &csr("/CN=device-1"), "");
        assert_eq!(connection.send(by_simpleenroll).await.status, 200);
        for (path, name, status) in [
            ("simplereenroll", "/CN=device-1", 403),
            ("simpleenroll", "/CN=device-1", 401),
            ("grace/simpleenroll", "/CN=device-2", 401),
        ] {
            let reply = connection.send(post(path, &csr(name), "")).await;
            assert_eq!(reply.status, status, "{path}");
            assert!(reply.reason().contains("expired at"), "{reply:?}");
        }
        let others = post("grace/simplereenroll", &csr("/CN=device-2"), "");
        assert_eq!(connection.send(others).await.status, 403, "its own names only");
        let reenroll =
            |credentials: &str| post("both/simplereenroll", &csr("/CN=device-1"), credentials);
        assert_eq!(connection.send(reenroll("")).await.status, 401, "the password as well");
        let reply = connection.send(reenroll(&basic("tester", PASSWORD))).await;
        assert_eq!(reply.status, 200);
    }
    let events = server.events_named("certificate.issued");
    let expired = ("expired".to_owned(), end.to_string());
    assert!(events.last().unwrap().details.contains(&expired), "{events:?}");

    // A revoked certificate stays revoked, whatever the time.
    let now = estd::clock::Clock::now(&*server.clock);
    let revocation = estd::store::Revocation { at: now, reason: Default::default() };
    let event = estd::telemetry::audit::Event::new(
        now,
        estd::telemetry::audit::Name::CertificateRevoked,
        estd::types::Actor::server(),
    );
    let lost_serial = estd::pki::Certificate::parse(&lost.der()).unwrap().serial().clone();
    server.running.store().revoke(&lost_serial, revocation, event).await.unwrap();
    let request = post("grace/simplereenroll", &csr("/CN=device-2"), "");
    let reply = server.connect_as(&lost).await.send(request).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("revoked"), "{reply:?}");

    // To the second.
    server.clock.set(end.plus(Duration::from_secs(7 * 86_400)));
    assert_eq!(server.connect_as(&device).await.send(&renewal).await.status, 200);
    server.clock.advance(Duration::from_secs(1));
    let late = post("grace/simplereenroll", &csr("/CN=device-1"), "");
    for connection in [&mut server.connect_as(&device).await, &mut kept] {
        assert_eq!(connection.send(&late).await.status, 403);
    }
}

#[tokio::test]
async fn the_chain_is_added_where_a_label_says_so() {
    let server = TestServer::start_with("[label.chain]\ninclude_chain = true").await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let credentials = basic("tester", PASSWORD);
    for (path, credentials) in
        [("chain/simpleenroll", credentials.as_str()), ("chain/simplereenroll", "")]
    {
        let reply = server.connect_as(&device).await.send(post(path, &csr, credentials)).await;
        let mut all = reply.certificates();
        assert_eq!(all.len(), 2, "{path}: {reply:?}");
        let issuing = std::fs::read_to_string(server.path("data/ca/default/issuing.pem")).unwrap();
        let at = all.iter().position(|one| one.trim() == issuing.trim()).expect("the issuing CA");
        all.remove(at);
        assert!(described(&all[0]).contains("CN = device-1"));
        let request = post(&path[6..], &csr, credentials);
        let ordinary = server.connect_as(&device).await.send(request).await;
        assert_eq!(ordinary.certificates().len(), 1);
    }
}

#[tokio::test]
async fn r_7030_4_2_2_g_other_extensions_follow_the_profile() {
    let server = TestServer::start_with(
        "[profile.device]\nextended_key_usage = [\"clientAuth\", \"ipsecIKE\"]",
    )
    .await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1", "-addext", "extendedKeyUsage=clientAuth"]);
    let reply = server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await;
    let text = described(&reply.certificate_pem());
    assert!(text.contains("TLS Web Client Authentication\n") && !text.contains("ipsec"), "{text}");
}

/// A CSR by an RSA key whose algorithm has these parameters.
fn rsa_csr(key: &str, parameters: &[u8]) -> Vec<u8> {
    use der::Decode;
    const RSA: &str = "1.2.840.113549.1.1.1";
    const SHA256_WITH_RSA: &str = "1.2.840.113549.1.1.11";
    let bits = |bytes: &[u8]| tlv(3, &[&[0], bytes].concat());
    let known = spki(key);
    let known = spki::SubjectPublicKeyInfoRef::from_der(&known).unwrap();
    let spki = seq(&[
        seq(&[oid(RSA), parameters.to_vec()]),
        bits(known.subject_public_key.as_bytes().unwrap()),
    ]);
    let info = seq(&[int(0), name("device-1"), spki, vec![0xa0, 0]]);
    let signature = bits(&sign(key, "sha256", &info));
    seq(&[info, seq(&[oid(SHA256_WITH_RSA), vec![5, 0]]), signature])
}

/// Otherwise one key would count as many, one for each encoding, and certificates could carry arbitrary
/// data.
#[tokio::test]
async fn an_rsa_key_has_one_form() {
    let server = TestServer::start_with("[label.rekey]\nrenewal.key = \"new\"").await;
    let key = new_key("RSA:2048");
    let auth = basic("tester", PASSWORD);
    let reply = server.send(post("rekey/simpleenroll", &rsa_csr(&key, &[5, 0]), &auth)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let device = Identity { pem: reply.certificate_pem(), key: key.clone() };
    for parameters in [&[][..], &[2, 1, 7], &[5, 1, 0], &oct(&[7; 30_000])] {
        let csr = rsa_csr(&key, parameters);
        let mut connection = server.connect_as(&device).await;
        for request in [post("rekey/simplereenroll", &csr, ""), post("simpleenroll", &csr, &auth)] {
            let reply = connection.send(request).await;
            assert_eq!(reply.status, 400, "{}", reply.text());
        }
    }
}

/// The CSR as libest builds it for a re-enrollment: names, key and every extension are those of the
/// present certificate.
fn with_all_extensions(device: &Identity) -> Vec<u8> {
    let certificate = <x509_cert::Certificate as der::Decode>::from_der(&device.der()).unwrap();
    let tbs = certificate.tbs_certificate();
    let extensions = tbs.extensions().unwrap().to_der().unwrap();
    let attribute = seq(&[oid("1.2.840.113549.1.9.14"), tlv(0x31, &extensions)]);
    let subject = tbs.subject().to_der().unwrap();
    let info = seq(&[int(0), subject, spki(&device.key), tlv(0xa0, &attribute)]);
    let signature = tlv(3, &[vec![0], sign(&device.key, "sha256", &info)].concat());
    seq(&[info, algorithm("1.2.840.10045.4.3.2"), signature])
}

/// Client finding 1, D-40.
/// proves: R-5272-3.1-b
#[tokio::test]
async fn r_7030_4_2_2_a_csr_with_all_extensions_of_the_certificate_renews_it() {
    let server = TestServer::start_with(
        "[profile.usage]\nextended_key_usage = [\"serverAuth\"]\n\
         [profile.names]\nsan = [\"ip\"]\n\
         [label.usage]\nprofile = \"usage\"\n[label.names]\nprofile = \"names\"\n",
    )
    .await;
    let san = "subjectAltName=DNS:a.example";
    let (csr, key) = new_csr(&["-subj", "/CN=device-1", "-addext", san]);
    let device = server.identity(&csr, key).await;
    let csr = with_all_extensions(&device);
    let asked = estd::pki::Csr::verify(&csr).unwrap();
    assert_eq!(asked.extensions().len(), 5, "AKI, SKI, keyUsage, extKeyUsage, SAN");
    let reply = server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let event = server.events_named("certificate.issued").pop().unwrap();
    let reported = event.details.iter().find(|(name, _)| name == "dropped_extensions").unwrap();
    assert_eq!(
        reported.1,
        "id-ce-authorityKeyIdentifier (2.5.29.35), id-ce-subjectKeyIdentifier (2.5.29.14)"
    );
    // Its other contents are requests, subject to the current profile.
    for (label, status, text) in
        [("usage", 403, "csr.extended-key-usage: "), ("names", 400, "csr.san-value: ")]
    {
        let path = format!("{label}/simplereenroll");
        let reply = server.connect_as(&device).await.send(post(&path, &csr, "")).await;
        assert_eq!(
            (reply.status, reply.text().starts_with(text)),
            (status, true),
            "{}",
            reply.text()
        );
    }
}
