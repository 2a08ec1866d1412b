//! Linking identity and proof-of-possession (requirements of section 5). That the values are those of
//! other TLS libraries is shown in tests/interop/linking.rs.

use crate::common::*;
use estd::types::Binding;
use rustls::{
    HandshakeKind, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const CHALLENGE_PASSWORD: &str = "1.2.840.113549.1.9.7";
const OTP_CHALLENGE: &str = "1.2.840.113549.1.9.16.2.56";
const REVOCATION_CHALLENGE: &str = "1.2.840.113549.1.9.16.2.57";
const EST_IDENTITY_LINKING: &str = "1.2.840.113549.1.9.16.2.58";

const PRINTABLE: u8 = 0x13;
const UTF8: u8 = 0x0c;

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..128 => vec![tag, u8::try_from(length).unwrap()],
        128..256 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

/// A CSR for CN=`name` with these attributes, each a type and its values in DER.
fn csr(key: &str, name: &str, attributes: &[(&str, Vec<Vec<u8>>)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, key).unwrap();
    let path = path.to_str().unwrap();
    let spki = openssl(&["pkey", "-in", path, "-pubout", "-outform", "DER"]);
    let common_name = [&[0x06, 3, 0x55, 4, 3][..], &tlv(UTF8, name.as_bytes())].concat();
    let subject = tlv(0x30, &tlv(0x31, &tlv(0x30, &common_name)));
    let attributes: Vec<u8> = attributes
        .iter()
        .flat_map(|(oid, values)| {
            let oid = const_oid::ObjectIdentifier::new_unwrap(oid);
            let set = tlv(0x31, &values.concat());
            tlv(0x30, &[tlv(0x06, oid.as_bytes()), set].concat())
        })
        .collect();
    let info = [vec![2, 1, 0], subject, spki, tlv(0xa0, &attributes)].concat();
    let info = tlv(0x30, &info);
    let signature = openssl_with(&["dgst", "-sha256", "-sign", path], &info);
    let ecdsa_sha256 = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let signature = tlv(0x03, &[&[0][..], &signature].concat());
    tlv(0x30, &[info, ecdsa_sha256.to_vec(), signature].concat())
}

/// A CSR with a new key and one challengePassword.
pub(crate) fn bound(name: &str, text: &str) -> Vec<u8> {
    csr(&new_key("EC"), name, &[(CHALLENGE_PASSWORD, vec![tlv(PRINTABLE, text.as_bytes())])])
}

/// A CSR with a new key and an otpChallenge.
pub(crate) fn with_one_time_password(name: &str, text: &str) -> Vec<u8> {
    csr(&new_key("EC"), name, &[(OTP_CHALLENGE, vec![tlv(UTF8, text.as_bytes())])])
}

/// The connection's binding in base64, as a client writes it.
pub(crate) fn value(connection: &Connection) -> String {
    let (_, value) = connection.binding().of_choice().expect("a binding");
    base64(value)
}

fn flipped(connection: &Connection, at: usize) -> String {
    let (_, value) = connection.binding().of_choice().expect("a binding");
    let mut value = value.to_vec();
    value[at / 8] ^= 1 << (at % 8);
    base64(&value)
}

async fn open(
    server: &TestServer,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> Connection {
    Connection::open(server.address(), identity, &[version]).await.unwrap()
}

fn enroll(path: &str, csr: &[u8]) -> Vec<u8> {
    post(path, csr, &basic("tester", PASSWORD))
}

/// proves: R-7030-3.5-b, R-7030-3.5-e, R-9266-2-a
#[tokio::test]
async fn r_7030_3_5_a_a_csr_bound_to_its_connection_is_granted() {
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    for (version, kind) in VERSIONS.into_iter().zip(["tls-unique", "tls-exporter"]) {
        let mut connection = open(&server, None, version).await;
        let request = enroll("simpleenroll", &bound("device-2", &value(&connection)));
        let reply = connection.send(request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let mut connection = open(&server, Some(&device), version).await;
        let request = post("simplereenroll", &bound("device-1", &value(&connection)), "");
        let reply = connection.send(request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        // The events show that it was verified.
        let linked = server.events_named("certificate.issued");
        let linked = linked
            .iter()
            .filter(|event| event.details.contains(&("linked".to_owned(), kind.to_owned())));
        assert_eq!(linked.count(), 2, "{kind}");
    }
}

/// The exporter value of rustls is the tls-exporter of the recorder, also in TLS 1.2.
///
/// proves: R-9266-4.2-a
#[tokio::test]
async fn r_9266_2_a_the_exporter_binds_in_both_versions() {
    let server = TestServer::start().await;
    for version in VERSIONS {
        let label = b"EXPORTER-Channel-Binding";
        let mut connection = open(&server, None, version).await;
        let exported = connection.tls().export_keying_material([0; 32], label, Some(b"")).unwrap();
        let request = enroll("simpleenroll", &bound("device-1", &base64(&exported)));
        assert_eq!(connection.send(request).await.status, 200);
        let mut connection = open(&server, None, version).await;
        let other =
            connection.tls().export_keying_material([0; 32], b"EXPORTER-Other", Some(b"")).unwrap();
        let request = enroll("simpleenroll", &bound("device-2", &base64(&other)));
        assert_eq!(connection.send(request).await.status, 400);
    }
}

#[tokio::test]
async fn r_7030_3_5_b_each_bit_of_the_binding_counts() {
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let before = server.issued().await.len();
    for (version, bits) in VERSIONS.into_iter().zip([96, 256]) {
        for (operation, identity) in [("simpleenroll", None), ("simplereenroll", Some(&device))] {
            let mut connection = open(&server, identity, version).await;
            for bit in [0, bits / 2, bits - 1] {
                let request = enroll(operation, &bound("device-1", &flipped(&connection, bit)));
                let reply = connection.send(request).await;
                assert_eq!(reply.status, 400);
                assert!(reply.text().starts_with("linking.mismatch"), "{}", reply.text());
                assert!(!reply.text().contains(&value(&connection)), "{}", reply.text());
            }
            for text in ["abcd", "secret password", "====", " "] {
                let reply = connection.send(enroll(operation, &bound("device-1", text))).await;
                assert_eq!(reply.status, 400);
                assert!(reply.text().starts_with("linking.mismatch"), "{text} {}", reply.text());
            }
        }
    }
    assert_eq!(server.issued().await.len(), before, "no certificate");
}

/// A client that may enroll sends a CSR that a device signed for its own connection.
#[tokio::test]
async fn a_csr_that_was_captured_is_rejected_on_another_connection() {
    let server = TestServer::start_with("[label.strict]\nlinking = \"required\"").await;
    let (thief, device) = (server.device("/CN=x").await, server.device("/CN=x").await);
    for path in ["simpleenroll", "strict/simpleenroll", "simplereenroll"] {
        for (first, second) in
            [(&TLS12, &TLS12), (&TLS13, &TLS13), (&TLS12, &TLS13), (&TLS13, &TLS12)]
        {
            let mut connection = open(&server, Some(&device), first).await;
            let captured = bound("x", &value(&connection));
            let before = server.issued().await.len();
            for identity in [&thief, &device] {
                let mut other = open(&server, Some(identity), second).await;
                let reply = other.send(post(path, &captured, "")).await;
                assert_eq!(reply.status, 400);
                assert!(reply.text().starts_with("linking.mismatch"), "{}", reply.text());
            }
            assert_eq!(server.issued().await.len(), before);
            let reply = connection.send(post(path, &captured, "")).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            // Nor does it get the certificate issued meanwhile, as if it were a retry.
            let mut other = open(&server, Some(&device), second).await;
            assert_eq!(other.send(post(path, &captured, "")).await.status, 400);
        }
    }
}

#[tokio::test]
async fn r_7030_3_5_c_where_linking_is_required_a_bare_csr_is_rejected() {
    let server = TestServer::start_with("[label.strict]\nlinking = \"required\"").await;
    for version in VERSIONS {
        let mut connection = open(&server, None, version).await;
        let (bare, _) = new_csr(&["-subj", "/CN=device-1"]);
        let reply = connection.send(enroll("strict/simpleenroll", &bare)).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().starts_with("linking.required"), "{}", reply.text());
        assert!(reply.text().contains("channel binding"), "{}", reply.text());
        // It may try again over this connection.
        for oid in [CHALLENGE_PASSWORD, EST_IDENTITY_LINKING] {
            let mut connection = open(&server, None, version).await;
            let text = tlv(UTF8, value(&connection).as_bytes());
            let csr = csr(&new_key("EC"), "device-1", &[(oid, vec![text])]);
            let reply = connection.send(enroll("strict/simpleenroll", &csr)).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn what_cannot_be_verified_is_rejected_where_linking_is_off() {
    let off = "linking = \"off\"";
    let server = TestServer::start_with(&format!("[est]\n{off}\n[label.on]\n")).await;
    let nowhere = TestServer::start_with(&format!("[est]\n{off}")).await;
    for version in VERSIONS {
        for server in [&server, &nowhere] {
            let mut connection = open(server, None, version).await;
            let request = enroll("simpleenroll", &bound("device-1", &value(&connection)));
            let reply = connection.send(request).await;
            assert_eq!(reply.status, 400);
            assert!(reply.text().starts_with("linking.off"), "{}", reply.text());
            let (bare, _) = new_csr(&["-subj", "/CN=device-1"]);
            assert_eq!(connection.send(enroll("simpleenroll", &bare)).await.status, 200);
        }
        let mut connection = open(&server, None, version).await;
        let request = enroll("on/simpleenroll", &bound("device-1", &value(&connection)));
        assert_eq!(connection.send(request).await.status, 200);
    }
    // A reload that enables it applies to new connections; a request on an old one gets the reason.
    let mut old = open(&nowhere, None, &TLS12).await;
    assert_eq!(old.send(enroll("simpleenroll", &bound("d", "AAAA"))).await.status, 400);
    let settings = nowhere.settings("\n[label.on]\n").unwrap();
    nowhere.running.reload(settings).await.unwrap();
    let request = enroll("on/simpleenroll", &bound("device-1", &value(&old)));
    let reply = old.send(request).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("linking.none"), "{}", reply.text());
    let mut new = open(&nowhere, None, &TLS12).await;
    let request = enroll("on/simpleenroll", &bound("device-1", &value(&new)));
    assert_eq!(new.send(request).await.status, 200);
}

#[tokio::test]
async fn r_7030_3_5_d_every_form_in_which_clients_write_it_is_read() {
    let server = TestServer::start().await;
    let wide = |text: &str, size: usize| -> Vec<u8> {
        text.bytes().flat_map(|c| [vec![0; size - 1], vec![c]].concat()).collect()
    };
    for version in VERSIONS {
        type Form = (&'static str, fn(&str) -> String);
        let forms: [Form; 4] = [
            ("plain", |text| text.to_owned()),
            ("newline", |text| format!("{text}\n")),
            ("CRLF", |text| format!("{text}\r\n")),
            ("blanks", |text| format!(" {}\t{}", &text[..8], &text[8..])),
        ];
        for (name, form) in forms {
            for tag in [PRINTABLE, UTF8, 0x16, 0x14, 0x1e, 0x1c] {
                // A PrintableString has no newline; clients write it all the same.
                let mut connection = open(&server, None, version).await;
                let text = form(&value(&connection));
                let bytes = match tag {
                    0x1e => wide(&text, 2),
                    0x1c => wide(&text, 4),
                    _ => text.into_bytes(),
                };
                let attribute = (CHALLENGE_PASSWORD, vec![tlv(tag, &bytes)]);
                let csr = csr(&new_key("EC"), "device-1", &[attribute]);
                let reply = connection.send(enroll("simpleenroll", &csr)).await;
                assert_eq!(reply.status, 200, "{name} {tag:#x}: {}", reply.text());
            }
        }
        // Other alphabets, missing padding and data after the padding are not base64 (D-21).
        for form in ["-_-_-_-_-_-_-_-_", "AAE", "AA==AA=="] {
            let mut connection = open(&server, None, version).await;
            let reply = connection.send(enroll("simpleenroll", &bound("d", form))).await;
            assert_eq!(reply.status, 400);
            assert!(reply.text().starts_with("linking.mismatch"), "{}", reply.text());
        }
    }
}

/// proves: R-7894-4-b
#[tokio::test]
async fn r_7894_3_a_each_attribute_of_rfc_7894_counts_for_itself() {
    let server = TestServer::start().await;
    let key = new_key("EC");
    for version in VERSIONS {
        let good = |connection: &Connection, tag| tlv(tag, value(connection).as_bytes());
        let bad = |connection: &Connection| tlv(UTF8, flipped(connection, 5).as_bytes());
        for tag in [PRINTABLE, UTF8] {
            for with_password in [false, true] {
                let mut connection = open(&server, None, version).await;
                let one = vec![good(&connection, tag)];
                let mut attributes = vec![(EST_IDENTITY_LINKING, one.clone())];
                if with_password {
                    attributes.push((CHALLENGE_PASSWORD, one));
                }
                let request = enroll("simpleenroll", &csr(&new_key("EC"), "d", &attributes));
                let reply = connection.send(request).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        }
        let mut connection = open(&server, None, version).await;
        let (right, wrong) = (good(&connection, UTF8), bad(&connection));
        let long = tlv(UTF8, &[b'A'; 256]);
        for (attributes, code) in [
            // Each by itself.
            (
                vec![
                    (CHALLENGE_PASSWORD, vec![right.clone()]),
                    (EST_IDENTITY_LINKING, vec![wrong.clone()]),
                ],
                "linking.mismatch",
            ),
            (
                vec![
                    (EST_IDENTITY_LINKING, vec![right.clone()]),
                    (CHALLENGE_PASSWORD, vec![wrong.clone()]),
                ],
                "linking.mismatch",
            ),
            (
                vec![
                    (CHALLENGE_PASSWORD, vec![right.clone()]),
                    (OTP_CHALLENGE, vec![right.clone()]),
                ],
                "csr.unsupported-attribute",
            ),
            (
                vec![
                    (EST_IDENTITY_LINKING, vec![right.clone()]),
                    (REVOCATION_CHALLENGE, vec![right.clone()]),
                ],
                "csr.unsupported-attribute",
            ),
            // One value, once, not too long, and a string.
            (vec![(EST_IDENTITY_LINKING, vec![right.clone(); 2])], "csr.challenge-form"),
            (vec![(CHALLENGE_PASSWORD, vec![right.clone(), wrong])], "csr.challenge-form"),
            (vec![(EST_IDENTITY_LINKING, vec![])], "csr.challenge-form"),
            (vec![(EST_IDENTITY_LINKING, vec![long])], "csr.challenge-form"),
            (vec![(EST_IDENTITY_LINKING, vec![tlv(4, b"AAAA")])], "csr.challenge-form"),
            (vec![(EST_IDENTITY_LINKING, vec![right.clone()]); 2], "csr.attributes"),
        ] {
            let reply = connection.send(enroll("simpleenroll", &csr(&key, "d", &attributes))).await;
            assert_eq!(reply.status, 400, "{attributes:?}");
            assert!(reply.text().starts_with(code), "{code}: {}", reply.text());
        }
        assert_eq!(
            connection.send(enroll("simpleenroll", &bound("d", &value(&connection)))).await.status,
            200
        );
    }
}

/// proves: R-9266-4.1-a
#[tokio::test]
async fn r_9266_4_1_a_one_bound_csr_that_is_accepted_ends_the_connection() {
    let server = TestServer::start().await;
    for version in VERSIONS {
        // Any number of others may come before it, and a bound one that is rejected.
        let mut connection = open(&server, None, version).await;
        let (bare, _) = new_csr(&["-subj", "/CN=device-1"]);
        let text = value(&connection);
        for (csr, status) in
            [(&bare, 200), (&bare, 200), (&bound("device-1", &flipped(&connection, 1)), 400)]
        {
            let reply = connection.send(enroll("simpleenroll", csr)).await;
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("Connection"), None);
        }
        let reply = connection.send(enroll("simpleenroll", &bound("device-1", &text))).await;
        assert_eq!((reply.status, reply.header("Connection")), (200, Some("close")));
        let second = enroll("simpleenroll", &bound("device-2", &text));
        assert!(connection.try_send(second).await.is_none());
        // Nor are two pipelined requests.
        let mut connection = open(&server, None, version).await;
        let before = server.issued().await.len();
        let text = value(&connection);
        let both = ["device-3", "device-4"].map(|name| enroll("simpleenroll", &bound(name, &text)));
        let reply = connection.send(both.concat()).await;
        assert_eq!((reply.status, reply.header("Connection")), (200, Some("close")));
        assert!(connection.is_closed().await);
        assert_eq!(server.issued().await.len(), before + 1);
    }
}

/// proves: R-5929-3.1-a
#[tokio::test]
async fn r_7030_3_3_b_a_resumed_session_has_a_binding_of_its_own() {
    let server = TestServer::start_with("session_tickets = true").await;
    let device = server.device("/CN=device-1").await;
    for version in VERSIONS {
        let config = Arc::new(client_config(Some(&device), &[version]));
        let connect = || Connection::open_with(server.address(), Arc::clone(&config));
        let request = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut first = connect().await.unwrap();
        assert_eq!(first.tls().handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(first.send(request).await.status, 200);
        let old = value(&first);
        let mut resumed = connect().await.unwrap();
        assert_eq!(resumed.tls().handshake_kind(), Some(HandshakeKind::Resumed));
        let fresh = value(&resumed);
        assert_ne!(fresh, old);
        let reply = resumed.send(post("simplereenroll", &bound("device-1", &old), "")).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().starts_with("linking.mismatch"), "{}", reply.text());
        let reply = resumed.send(post("simplereenroll", &bound("device-1", &fresh), "")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// proves: R-7030-3.7-c
#[tokio::test]
async fn r_7030_3_7_c_an_ra_passes_on_what_is_bound_elsewhere() {
    let server = TestServer::start_with(
        "[profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n[label.ra]\nprofile = \"ra\"\naccept = [\"password\"]\n[label.strict]\nlinking = \"required\"",
    )
    .await;
    let ra = server.registration_authority("/CN=RA").await;
    let device = server.device("/CN=device-7").await;
    for version in VERSIONS {
        for path in ["simpleenroll", "strict/simpleenroll"] {
            let elsewhere = open(&server, None, version).await;
            let foreign = bound("device-7", &value(&elsewhere));
            let (bare, _) = new_csr(&["-subj", "/CN=device-7"]);
            let mut connection = open(&server, Some(&ra), version).await;
            for csr in [&foreign, &bare] {
                let reply = connection.send(post(path, csr, "")).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
            // A tolerated binding is not logged as verified.
            let own = bound("device-7", &value(&connection));
            assert_eq!(connection.send(post(path, &own, "")).await.status, 200);
            let linked = server.events_named("certificate.issued").last().unwrap().details.clone();
            assert!(linked.iter().any(|(name, _)| name == "linked"), "{linked:?}");
            // A device is no RA.
            let mut connection = open(&server, Some(&device), version).await;
            assert_eq!(connection.send(post(path, &foreign, "")).await.status, 400);
        }
    }
    let issued = server.events_named("certificate.issued");
    let linked =
        issued.iter().filter(|event| event.details.iter().any(|(name, _)| name == "linked"));
    assert_eq!(linked.count(), 4);
}

/// The challenges change with each connection; a retry is still recognized.
///
/// proves: R-7030-4.2.3-e
#[tokio::test]
async fn r_7030_4_2_3_e_a_retry_with_the_binding_of_a_new_connection() {
    let server = TestServer::start().await;
    let key = new_key("EC");
    let mut first = None;
    for version in [&TLS12, &TLS13, &TLS12] {
        let mut connection = open(&server, None, version).await;
        let text = tlv(UTF8, value(&connection).as_bytes());
        let csr = csr(&key, "device-1", &[(CHALLENGE_PASSWORD, vec![text])]);
        let certificate = connection.send(enroll("simpleenroll", &csr)).await.certificate_pem();
        assert_eq!(*first.get_or_insert_with(|| certificate.clone()), certificate);
    }
    assert_eq!(server.events_named("enrollment.retried").len(), 2);
}

#[tokio::test]
async fn a_binding_is_the_same_at_both_ends_and_no_two_are_the_same() {
    let server = TestServer::start().await;
    let mut seen = std::collections::HashSet::new();
    for version in VERSIONS {
        for _ in 0..10 {
            let connection = open(&server, None, version).await;
            match connection.binding() {
                Binding::Tls12 { .. } => assert_eq!(*version, TLS12),
                Binding::Tls13 { .. } => assert_eq!(*version, TLS13),
                Binding::None(why) => panic!("{why:?}"),
            }
            assert!(seen.insert(value(&connection)));
        }
    }
}
