//! /fullcmc (requirements of section 11): each control is handled. Each bad message is rejected with
//! the code of RFC 5272 and a 4xx or 5xx status, and nothing is stored.

use crate::{common::*, fullcmc_message::*};
use std::time::Duration;

const CONTENT: &str = "Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n";
pub(crate) const ON: &str = "[est]\nfullcmc = true\n";

pub(crate) async fn server() -> TestServer {
    TestServer::start_with(ON).await
}

pub(crate) fn request(message: &[u8], more: &str) -> Vec<u8> {
    post_body("fullcmc", wrapped(message).as_bytes(), &format!("{CONTENT}{more}"))
}

pub(crate) fn password() -> String {
    basic("tester", PASSWORD)
}

/// A CSR with the identifier of its key.
pub(crate) fn csr(subject: &str) -> (Vec<u8>, String) {
    new_csr(&["-subj", subject, "-addext", "subjectKeyIdentifier=hash"])
}

/// A message that the new key signs, and its key.
pub(crate) fn by_new_key(subject: &str) -> (Message, String) {
    let (csr, key) = csr(subject);
    (Message::by(Signer::new_key(&key)).request(tcr(1, &csr)), key)
}

pub(crate) async fn send(server: &TestServer, message: &Message) -> Reply {
    server.send(request(&message.der(), &password())).await
}

/// Sends a message that must be rejected. Returns its code and parts; checks that nothing is stored.
pub(crate) async fn rejected(server: &TestServer, der: &[u8], more: &str) -> (u16, u64, Vec<u64>) {
    let before = server.issued().await.len();
    let reply = server.send(request(der, more)).await;
    rejection(server, &reply, before).await
}

pub(crate) async fn rejection(
    server: &TestServer,
    reply: &Reply,
    before: usize,
) -> (u16, u64, Vec<u64>) {
    assert!(reply.status >= 400, "{}", reply.status);
    let answer = read(server, reply);
    let (status, fail, parts) = answer.only_status();
    assert_eq!(status, 2);
    assert_eq!(server.issued().await.len(), before, "nothing is stored");
    (reply.status, fail.expect("failInfo"), parts)
}

async fn revoke_by_operator(server: &TestServer, device: &Identity) {
    let serial = estd::pki::Certificate::parse(&device.der()).unwrap().serial().clone();
    let withdrawal = estd::ca::Withdrawal {
        serial,
        reason: estd::types::RevocationReason::KeyCompromise,
        comment: None,
        successor: None,
        actor: estd::types::Actor::operator(0),
        request_id: None,
    };
    let now = estd::clock::Clock::now(&*server.clock);
    estd::ca::revoke(&**server.running.store(), withdrawal, now).await.unwrap();
}

#[tokio::test]
async fn r_7030_4_3_2_a_a_new_key_gets_its_certificate_as_simple_response() {
    let server = server().await;
    let (message, key) = by_new_key("/CN=cmc-1");
    let reply = send(&server, &message).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = read(&server, &reply);
    assert!(!answer.full);
    let pem = reply.certificate_pem();
    let public = openssl_with(&["x509", "-noout", "-pubkey"], pem.as_bytes());
    assert_eq!(public, openssl_with(&["pkey", "-pubout"], key.as_bytes()));
}

#[tokio::test]
async fn not_offered_unless_configured() {
    let server = TestServer::start().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let reply = server.send(request(&message.der(), &password())).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn r_7030_4_3_1_a_the_smime_type_is_cmc_request_in_any_case() {
    let server = server().await;
    let der = by_new_key("/CN=cmc-1").0.der();
    let with = |kind: &str| {
        let headers = format!("Content-Type: {kind}\r\n{}", password());
        post_body("fullcmc", wrapped(&der).as_bytes(), &headers)
    };
    for good in
        ["smime-type=CMC-request", "smime-type=CMC-Request", "SMIME-Type=\"cmc-request\"; name=x"]
    {
        let reply = server.send(with(&format!("application/pkcs7-mime; {good}"))).await;
        assert_eq!(reply.status, 200, "{good}: {}", reply.text());
    }
    for bad in [
        "application/pkcs7-mime",
        "application/pkcs7-mime; smime-type=certs-only",
        "application/pkcs7-mime; smime-type=CMC-response",
        "application/pkcs7-mime; smime-type=CMC-request; smime-type=certs-only",
        "application/pkcs10",
    ] {
        let reply = server.send(with(bad)).await;
        assert_eq!(reply.status, 415, "{bad}");
        assert_eq!(reply.header("Accept"), Some("application/pkcs7-mime"));
    }
}

#[tokio::test]
async fn r_7030_4_3_1_b_what_is_no_full_pki_request_is_rejected() {
    let server = server().await;
    // RFC 5272 §6.1: an error about a Simple PKI Request names part 1.
    let (csr, _) = csr("/CN=cmc-1");
    assert_eq!(rejected(&server, &csr, &password()).await, (400, 2, vec![1]));
    let cacerts = decoded(&server.get("/.well-known/est/cacerts").await);
    for bad in [&b"\x30\x00"[..], b"\x04\x01\x00", &cacerts, &[0xff; 300]] {
        assert_eq!(rejected(&server, bad, &password()).await, (400, 2, vec![0]));
    }
    let der = by_new_key("/CN=cmc-1").0.der();
    for end in (1..der.len()).step_by(97) {
        assert_eq!(rejected(&server, &der[..end], &password()).await, (400, 2, vec![0]), "{end}");
    }
    let mut longer = der.clone();
    longer.push(0);
    assert_eq!(rejected(&server, &longer, &password()).await, (400, 2, vec![0]));
    let reply = server
        .send(post_body("fullcmc", b"not base64!", &format!("{CONTENT}{}", password())))
        .await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn who_is_not_authenticated_is_not_read() {
    let server = server().await;
    let der = by_new_key("/CN=cmc-1").0.der();
    let reply = server.send(request(&der, "")).await;
    assert_eq!((reply.status, reply.body.len()), (401, 0));
    assert_eq!(server.send(request(&der, &basic("tester", "wrong"))).await.status, 401);
    assert_eq!(server.issued().await.len(), 1, "the server's own certificate");
}

/// proves: R-7030-4.3.2-a, R-5272-3.2-a
#[tokio::test]
async fn r_5272_3_2_a_simple_with_certificates_only_full_with_more() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    assert!(!read(&server, &send(&server, &message).await).full);
    let reply = send(&server, &message.control(control(9, 4, oct(b"state")))).await;
    assert_eq!(reply.status, 200);
    let answer = read(&server, &reply);
    assert!(answer.full);
    assert_eq!(answer.only_status(), (0, None, vec![1]));
    assert_eq!(answer.only_certificate().tbs_certificate().subject().to_string(), "CN=cmc-1");
    // Twice the same request: one certificate.
    let serials: Vec<_> =
        server.issued().await.iter().map(|one| one.intent.serial.clone()).collect();
    assert_eq!(serials.len(), 2, "the server's own, and one");
    assert_eq!(server.events_named("enrollment.retried").len(), 1);
}

#[tokio::test]
async fn r_7030_4_3_2_b_a_bad_proof_of_possession_is_400_and_a_cmc_message() {
    let server = server().await;
    let (mut csr, key) = csr("/CN=cmc-1");
    let last = csr.len() - 1;
    csr[last] ^= 1;
    let message = Message::by(Signer::new_key(&key)).request(tcr(7, &csr));
    assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 9, vec![7]));
    let event = server.events_named("enrollment.rejected").pop().unwrap();
    assert!(event.details.contains(&("rule".to_owned(), "cmc.popFailed".to_owned())), "{event:?}");
}

#[tokio::test]
async fn r_5272_3_2_b_the_wrapper_is_signed_data_over_pki_data() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let data = Message { content_type: "1.2.840.113549.1.7.1", ..message.clone() };
    assert_eq!(rejected(&server, &data.der(), &password()).await, (400, 2, vec![0]));
    let response = Message { content_type: "1.3.6.1.5.5.7.12.3", ..message.clone() };
    assert_eq!(rejected(&server, &response.der(), &password()).await, (400, 2, vec![0]));
    for other in ["1.2.840.113549.1.7.1", "1.2.840.113549.1.7.3", "1.2.840.113549.1.9.16.1.2"] {
        let der = content_info(other, &oct(&message.pki_data()));
        assert_eq!(rejected(&server, &der, &password()).await, (400, 2, vec![0]), "{other}");
    }
    let bare = Message { signed_attributes: false, ..message };
    assert_eq!(rejected(&server, &bare.der(), &password()).await, (400, 2, vec![0]));
}

#[tokio::test]
async fn r_5272_3_2_c_a_requested_key_signs_by_its_identifier_and_alone() {
    let server = server().await;
    let (csr, key) = csr("/CN=cmc-1");
    let signer = Signer::new_key(&key);
    let by =
        |sid: Vec<u8>| Message::by(Signer { sid, ..signer.clone() }).request(tcr(1, &csr)).der();
    let by_issuer = by(seq(&[name("cmc-1"), int(1)]));
    assert_eq!(rejected(&server, &by_issuer, &password()).await, (400, 1, vec![0]));
    let other = by(tlv(0x80, &[7; 20]));
    assert_eq!(rejected(&server, &other, &password()).await, (400, 1, vec![0]));
    // An identifier chosen by the client takes precedence.
    let chosen = ["-subj", "/CN=cmc-1", "-addext", "subjectKeyIdentifier=0102030405"];
    let chosen = csr_with(&key, &chosen);
    let message = Message::by(Signer::new_key(&key)).request(tcr(1, &chosen));
    assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 1, vec![0]));
    let named = Signer { sid: tlv(0x80, &[1, 2, 3, 4, 5]), ..signer.clone() };
    let message = Message::by(named).request(tcr(1, &chosen));
    assert_eq!(send(&server, &message).await.status, 200);
    // One SignerInfo.
    let mut two = Message::by(signer).request(tcr(1, &csr));
    let device = server.device("/CN=cmc-2").await;
    two.signers.push(Signer::certificate(&device));
    assert_eq!(rejected(&server, &two.der(), &password()).await, (400, 2, vec![0]));
}

#[tokio::test]
async fn a_request_without_a_key_identifier_is_known_by_the_one_its_certificate_will_have() {
    let server = server().await;
    let (csr, key) = new_csr(&["-subj", "/CN=cmc-1"]);
    let message = Message::by(Signer::new_key(&key)).request(tcr(1, &csr));
    assert_eq!(send(&server, &message).await.status, 200);
}

#[tokio::test]
async fn r_5272_3_2_1_3_4_a_every_signature_is_verified() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let broken = Message { broken_signature: true, ..message.clone() };
    assert_eq!(rejected(&server, &broken.der(), &password()).await, (400, 1, vec![0]));
    let digest = Message { broken_digest: true, ..message.clone() };
    assert_eq!(rejected(&server, &digest.der(), &password()).await, (400, 1, vec![0]));
    // No signature, a signature by an unknown key, and one broken signature of two.
    let nobody = Message { signers: Vec::new(), ..message.clone() };
    assert_eq!(rejected(&server, &nobody.der(), &password()).await, (400, 1, vec![0]));
    let device = server.device("/CN=cmc-1").await;
    let other = server.device("/CN=cmc-2").await;
    let mut forged = Signer::certificate(&device);
    forged.key = other.key.clone();
    let good = Signer::certificate(&device);
    for signers in [vec![forged.clone()], vec![good.clone(), forged]] {
        let two = Message { signers, ..message.clone() };
        assert_eq!(rejected(&server, &two.der(), &password()).await, (400, 1, vec![0]));
    }
}

#[tokio::test]
async fn a_signer_is_a_certificate_of_this_ca_that_is_good_now() {
    let server = TestServer::start_with(
        "[est]\nfullcmc = true\n[label.b]\nca = \"b\"\nfullcmc = true\n[ca.default]\n[ca.b]\nroot_subject = \"CN=B root\"\nissuing_subject = \"CN=B CA\"\n",
    )
    .await;
    let device = server.device("/CN=cmc-1").await;
    let (csr, _) = csr("/CN=cmc-1");
    let by = |identity: &Identity| {
        Message::by(Signer::certificate(identity)).request(tcr(1, &csr)).der()
    };
    let reply = server.send(request(&by(&device), &password())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // Of another CA, of a stranger.
    let (_, stranger) = stranger(server.folder.path(), "/CN=cmc-1", "");
    assert_eq!(rejected(&server, &by(&stranger), &password()).await, (403, 7, vec![0]));
    let other = post_body(
        "b/fullcmc",
        wrapped(&by(&device)).as_bytes(),
        &format!("{CONTENT}{}", password()),
    );
    let before = server.issued().await.len();
    let reply = server.send(other).await;
    assert_eq!(rejection(&server, &reply, before).await, (403, 7, vec![0]));
    // Another certificate of this server in TLS than the signer's.
    let carrier = server.device("/CN=cmc-2").await;
    let before = server.issued().await.len();
    let reply = server.connect_as(&carrier).await.send(request(&by(&device), "")).await;
    assert_eq!(rejection(&server, &reply, before).await.1, 7);
    // Revoked, expired.
    revoke_by_operator(&server, &device).await;
    assert_eq!(rejected(&server, &by(&device), &password()).await, (403, 7, vec![0]));
    server.clock.advance(Duration::from_secs(91 * 86_400));
    assert_eq!(rejected(&server, &by(&carrier), &password()).await, (403, 7, vec![0]));
}

#[tokio::test]
async fn a_third_partys_certificate_signs_if_tls_shows_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, device) = stranger(folder.path(), "/CN=cmc-1", "");
    let more = format!("{}fullcmc = true\n", accepting(&ca));
    let server = TestServer::start_with(&more).await;
    let (own, _) = csr("/CN=cmc-1");
    let message = Message::by(Signer::certificate(&device)).request(tcr(1, &own));
    let reply = server.connect_as(&device).await.send(request(&message.der(), "")).await;
    assert_eq!(reply.status, 200, "{:?}", server.events_named("enrollment.rejected"));
    let (other, _) = csr("/CN=cmc-2");
    let message = Message::by(Signer::certificate(&device)).request(tcr(1, &other));
    let before = server.issued().await.len();
    let reply = server.connect_as(&device).await.send(request(&message.der(), "")).await;
    assert_eq!(rejection(&server, &reply, before).await, (403, 7, vec![1]));
}

#[tokio::test]
async fn r_5274_4_1_a_sha_1_is_rejected_and_the_larger_hashes_work() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let by = |hash| {
        let mut message = message.clone();
        message.signers[0].hash = hash;
        message.der()
    };
    assert_eq!(rejected(&server, &by("sha1"), &password()).await, (400, 0, vec![0]));
    for hash in ["sha384", "sha512"] {
        assert_eq!(server.send(request(&by(hash), &password())).await.status, 200, "{hash}");
    }
    let key = new_key("RSA:2048");
    let csr = csr_with(&key, &["-subj", "/CN=cmc-rsa", "-addext", "subjectKeyIdentifier=hash"]);
    let rsa = Message::by(Signer::new_key(&key)).request(tcr(1, &csr));
    assert_eq!(send(&server, &rsa).await.status, 200);
    let old =
        csr_with(&key, &["-subj", "/CN=cmc-rsa", "-addext", "subjectKeyIdentifier=hash", "-sha1"]);
    let old = Message::by(Signer::new_key(&key)).request(tcr(1, &old));
    assert_eq!(rejected(&server, &old.der(), &password()).await, (400, 0, vec![1]));
}

#[tokio::test]
async fn r_5272_3_2_1_1_a_an_unknown_control_fails_the_whole() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let unknown = |part| control_oid(part, "1.3.6.1.4.1.99999.1", &[oct(b"x")]);
    let message = message.control(unknown(5)).control(control(6, 4, oct(b"x"))).control(unknown(8));
    assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 2, vec![5, 8]));
    // Controls of answers, and attributes of a request, are not controls of a message.
    for number in [9, 23, 29, 33, 36, 37] {
        let (message, _) = by_new_key("/CN=cmc-1");
        let message = message.control(control(5, number, oct(b"x")));
        assert_eq!(
            rejected(&server, &message.der(), &password()).await,
            (400, 2, vec![5]),
            "{number}"
        );
    }
}

#[tokio::test]
async fn a_control_whose_value_is_malformed_is_named() {
    let server = server().await;
    for number in [1, 2, 3, 4, 5, 6, 7, 10, 11, 17, 21, 22, 24, 25, 28, 31, 32, 34, 35] {
        let (message, _) = by_new_key("/CN=cmc-1");
        let bad = message.clone().control(control(5, number, vec![1, 1, 0xff]));
        assert_eq!(rejected(&server, &bad.der(), &password()).await, (400, 2, vec![5]), "{number}");
        for values in [vec![], vec![oct(b"a"), oct(b"b")]] {
            let bad = message.clone().control(control_oid(5, &cmc(number), &values));
            assert_eq!(
                rejected(&server, &bad.der(), &password()).await,
                (400, 2, vec![5]),
                "{number}"
            );
        }
    }
    for (number, value) in [(2, utf8("a")), (5, int(1)), (6, oct(b"n")), (22, oct(b"r"))] {
        let (message, _) = by_new_key("/CN=cmc-1");
        let twice =
            message.control(control(5, number, value.clone())).control(control(6, number, value));
        assert_eq!(
            rejected(&server, &twice.der(), &password()).await,
            (400, 2, vec![6]),
            "{number}"
        );
    }
}

#[tokio::test]
async fn r_5272_3_2_2_a_body_part_ids_are_unique_and_not_zero() {
    let server = server().await;
    let (csr, key) = csr("/CN=cmc-1");
    let message = |request, part| {
        Message::by(Signer::new_key(&key)).request(tcr(request, &csr)).control(control(
            part,
            4,
            oct(b"x"),
        ))
    };
    assert_eq!(rejected(&server, &message(3, 3).der(), &password()).await, (400, 2, vec![3]));
    assert_eq!(rejected(&server, &message(0, 3).der(), &password()).await, (400, 2, vec![0]));
    assert_eq!(rejected(&server, &message(1, 0).der(), &password()).await, (400, 2, vec![0]));
    assert_eq!(rejected(&server, &message(1, 1 << 32).der(), &password()).await, (400, 2, vec![0]));
    let reply = send(&server, &message(0xffff_ffff, 1)).await;
    assert_eq!(read(&server, &reply).only_status(), (0, None, vec![0xffff_ffff]));
}

#[tokio::test]
async fn r_5272_3_2_1_a_an_unknown_kind_of_request_is_not_supported_and_nothing_else_is_done() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let orm = tlv(0xa2, &[int(4), oid("1.3.6.1.4.1.99999.2"), oct(b"x")].concat());
    let before = server.issued().await.len();
    let reply = send(&server, &message.request(orm)).await;
    assert_eq!(reply.status, 400);
    assert_eq!(read(&server, &reply).only_status(), (4, None, vec![4]));
    assert_eq!(server.issued().await.len(), before);
}

/// A correct CRMF request, for a new key.
pub(crate) fn crmf(part: u64, subject_name: &str, controls: Option<Vec<u8>>) -> (Vec<u8>, String) {
    let key = new_key("EC");
    let template =
        [subject(subject_name), public_key(&key), extensions(&[key_identifier_extension(&key)])];
    let asked = cert_request(part, &template, controls);
    (crm(&asked, Some(popo(&key, &asked)), None), key)
}

#[tokio::test]
async fn a_crmf_request_is_certified() {
    let server = server().await;
    let key = new_key("EC");
    let san = extension("2.5.29.17", &seq(&[tlv(0x82, b"crmf.example.com")]));
    let template =
        [subject("crmf-1"), public_key(&key), extensions(&[key_identifier_extension(&key), san])];
    let asked = cert_request(7, &template, None);
    let message =
        Message::by(Signer::new_key(&key)).request(crm(&asked, Some(popo(&key, &asked)), None));
    let reply = send(&server, &message).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let pem = reply.certificate_pem();
    let text = described(&pem);
    assert!(
        text.contains("Subject: CN = crmf-1") && text.contains("DNS:crmf.example.com"),
        "{text}"
    );
    let public = openssl_with(&["x509", "-noout", "-pubkey"], pem.as_bytes());
    assert_eq!(public, openssl_with(&["pkey", "-pubout"], key.as_bytes()));
    // Both kinds in one message.
    let (pkcs10, _) = csr("/CN=crmf-2");
    let reply = send(&server, &message.request(tcr(8, &pkcs10))).await;
    assert_eq!(reply.certificates().len(), 2);
}

#[tokio::test]
async fn r_5272_3_2_1_2_2_a_what_cmc_does_not_use_of_crmf_is_rejected() {
    let server = server().await;
    let key = new_key("EC");
    let device = server.device("/CN=crmf-1").await;
    let identifier = extensions(&[key_identifier_extension(&key)]);
    let fields = |more: &[Vec<u8>]| {
        let mut all = [&[subject("crmf-1"), public_key(&key), identifier.clone()], more].concat();
        all.sort_by_key(|field| field[0] & 0x1f);
        all
    };
    let proved = |template: &[Vec<u8>]| {
        let asked = cert_request(7, template, None);
        crm(&asked, Some(popo(&key, &asked)), None)
    };
    let asked = cert_request(7, &fields(&[]), None);
    let good = popo(&key, &asked);
    // poposkInput in front of the signature.
    let input = seq(&[spki(&key)]);
    let with_input = tlv(
        0xa1,
        &[
            tlv(0xa0, &input),
            list(&seq(&[good[2..].to_vec()]))
                .iter()
                .flat_map(|any| der::Encode::to_der(any).unwrap())
                .collect(),
        ]
        .concat(),
    );
    let reg_info = seq(&[seq(&[oid("1.2.3"), utf8("x")])]);
    for (what, request, code) in [
        ("no subject", proved(&[public_key(&key), identifier.clone()]), 2),
        ("no key", proved(&[subject("crmf-1"), identifier.clone()]), 2),
        ("regInfo", crm(&asked, Some(good.clone()), Some(reg_info)), 2),
        ("poposkInput", crm(&asked, Some(with_input), None), 2),
        ("encrCert", crm(&asked, Some(tlv(0xa2, &tlv(0x81, &[0]))), None), 2),
        ("challenge", crm(&asked, Some(tlv(0xa2, &tlv(0x81, &[1]))), None), 8),
        ("encrCert by agreement", crm(&asked, Some(tlv(0xa3, &tlv(0x81, &[0]))), None), 2),
        ("no proof", crm(&asked, None, None), 8),
        ("raVerified", crm(&asked, Some(vec![0x80, 0]), None), 9),
        ("another's proof", crm(&asked, Some(popo(&new_key("EC"), &asked)), None), 9),
        ("a serial number", proved(&fields(&[vec![0x81, 1, 5]])), 2),
        ("version 1", proved(&fields(&[vec![0x80, 1, 0]])), 2),
    ] {
        let message = Message::by(Signer::certificate(&device)).request(request);
        let outcome = rejected(&server, &message.der(), &password()).await;
        assert_eq!((outcome.0, outcome.1), (400, code), "{what}");
        assert!(outcome.2 == [7] || outcome.2 == [0], "{what}: {:?}", outcome.2);
    }
    let message = Message::by(Signer::certificate(&device)).request(proved(&fields(&[])));
    assert_eq!(send(&server, &message).await.status, 200);
    let zero = cert_request(0, &fields(&[]), None);
    let message = Message::by(Signer::certificate(&device)).request(crm(
        &zero,
        Some(popo(&key, &zero)),
        None,
    ));
    assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 2, vec![0]));
}

/// proves: R-5272-6.1-a, R-5272-6.1.1-a, R-5274-4-a
#[tokio::test]
async fn r_5272_6_1_1_a_a_status_says_what_belongs_to_it() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    // Success without failInfo; a failure with it, as the vectors have it.
    let reply = send(&server, &message.clone().control(control(3, 5, int(77)))).await;
    assert_eq!(
        read(&server, &reply).statuses,
        [Status { status: 0, parts: vec![1], fail: None, pending: None }]
    );
    let bad = Message { broken_signature: true, ..message };
    let reply = send(&server, &bad).await;
    let answer = read(&server, &reply);
    assert_eq!(
        answer.statuses,
        [Status { status: 2, parts: vec![0], fail: Some(1), pending: None }]
    );
    assert!(answer.control(1).is_none() && answer.certificates.len() == 1, "{answer:?}");
}

#[tokio::test]
async fn r_5272_6_4_a_data_comes_back_as_it_was() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let data = oct(&(0..=255).collect::<Vec<u8>>());
    let message = message.control(control(3, 4, data.clone()));
    assert_eq!(read(&server, &send(&server, &message).await).control(4), Some(data.as_slice()));
    // Also when the request is rejected.
    let rejected = message.control(control_oid(5, "1.2.3.4", &[oct(b"")]));
    let reply = send(&server, &rejected).await;
    assert_eq!(reply.status, 400);
    assert_eq!(read(&server, &reply).control(4), Some(data.as_slice()));
}

#[tokio::test]
async fn r_5272_6_6_a_transaction_and_nonces_come_back() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let message = message
        .control(control(3, 5, int(0x8000_0001)))
        .control(control(4, 6, oct(b"my nonce")))
        .control(control(5, 7, oct(b"yours")));
    let mut fresh = Vec::new();
    for _ in 0..2 {
        let answer = read(&server, &send(&server, &message).await);
        assert_eq!(answer.control(5), Some(int(0x8000_0001).as_slice()));
        assert_eq!(answer.control(7), Some(oct(b"my nonce").as_slice()));
        let nonce = answer.control(6).unwrap().to_vec();
        assert_eq!(nonce.len(), 18, "16 bytes");
        fresh.push(nonce);
    }
    assert_ne!(fresh[0], fresh[1]);
    // A replayed message gets no second certificate.
    assert_eq!(server.issued().await.len(), 2);
}

/// A message that openssl signs, in pieces of indefinite length (BER).
#[tokio::test]
async fn a_message_in_ber_is_read_as_openssl_and_bouncy_castle_write_it() {
    let server = server().await;
    let device = server.device("/CN=cmc-1").await;
    let (own, _) = csr("/CN=cmc-1");
    let message = Message::by(Signer::certificate(&device)).request(tcr(1, &own));
    let [data, certificate, key] = [
        server.write("pki-data", message.pki_data()),
        server.write("signer.pem", &device.pem),
        server.write("signer.key", &device.key),
    ];
    for stream in [&["-stream"][..], &[]] {
        let common = ["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", &data];
        let signed = ["-signer", &certificate, "-inkey", &key, "-econtent_type", PKI_DATA];
        let der = openssl(&[&common[..], &signed[..], stream].concat());
        assert_eq!(der[1] == 0x80, stream == ["-stream"]);
        let reply = server.send(request(&der, &password())).await;
        assert_eq!(reply.status, 200, "{stream:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_version_of_a_signer_info_fits_how_the_signer_is_named() {
    let server = server().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let mut der = message.der();
    let version_and_sid = [2, 1, 3, 0x80, 20];
    let at = der.windows(5).position(|five| five == version_and_sid).unwrap();
    der[at + 2] = 1;
    assert_eq!(rejected(&server, &der, &password()).await, (400, 2, vec![0]));
}

#[tokio::test]
async fn what_is_too_large_for_a_certificate_is_rejected_before_it_is_recorded() {
    let server = TestServer::start_with("max_body = 1048576\n[est]\nfullcmc = true\n").await;
    let key = new_key("EC");
    for count in [20_usize, 400] {
        let rdns: Vec<Vec<u8>> =
            (0..count).map(|_| set(&[seq(&[oid("2.5.4.11"), utf8("unit")])])).collect();
        let fields = [
            tlv(0xa5, &seq(&rdns)),
            public_key(&key),
            extensions(&[key_identifier_extension(&key)]),
        ];
        let asked = cert_request(1, &fields, None);
        let message =
            Message::by(Signer::new_key(&key)).request(crm(&asked, Some(popo(&key, &asked)), None));
        if count == 20 {
            assert_eq!(send(&server, &message).await.status, 200);
        } else {
            assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 2, vec![1]));
        }
    }
}
