//! Controls with an effect: secrets, revocation, registration authorities, pending requests.

use crate::{common::*, fullcmc::*, fullcmc_message::*};
use der::Encode;
use estd::{
    store::{Begun, Conditions, Intent, State},
    types::{AuthMethod, RevocationReason, Serial, Time},
};
use std::time::Duration;

const SECRET: &str = "sixteen letters!";

/// A server with an account whose secret is stored for identity proofs.
async fn with_secret() -> TestServer {
    let server = server().await;
    server.add_digest_account("line-1", SECRET, "estd").await;
    server
}

pub(crate) fn key_of(parts: &[&str]) -> Vec<u8> {
    hash("sha256", parts.concat().as_bytes())
}

/// identityProofV2 over the requests of a message.
pub(crate) fn proof(part: u64, message: &Message, key: &[u8]) -> Vec<u8> {
    proof_with(part, message, key, SHA256, HMAC_SHA256)
}

fn proof_with(part: u64, message: &Message, key: &[u8], hash: &str, mac: &str) -> Vec<u8> {
    let witness = hmac(key, &seq(&message.requests));
    control(part, 34, seq(&[algorithm(hash), algorithm(mac), oct(&witness)]))
}

/// The last issuance to this name.
async fn last_issued(server: &TestServer, subject: &str) -> std::sync::Arc<estd::store::Issuance> {
    let all = server.issued().await.into_iter();
    all.rev().find(|one| one.intent.subject == subject).unwrap()
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn r_6402_2_3_a_an_identity_proof_says_which_account_asks() {
    let server = with_secret().await;
    let device = server.device("/CN=carrier").await;
    let (message, _) = by_new_key("/CN=cmc-1");
    // With identification, the key is derived from secret and name (RFC 5272 §6.2.3).
    let named = message.clone().control(control(3, 2, utf8("line-1")));
    let good = named.clone().control(proof(4, &message, &key_of(&[SECRET, "line-1"])));
    let reply = server.send(request(&good.der(), &basic("line-1", SECRET))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let actor = last_issued(&server, "CN=cmc-1").await.intent.actor.clone();
    assert_eq!((actor.name.as_str(), actor.method), ("line-1", AuthMethod::Password));
    // Without it, from the secret alone; the account is that of the password.
    let (other, _) = by_new_key("/CN=cmc-2");
    let alone = other.clone().control(proof(4, &other, &key_of(&[SECRET])));
    let reply = server.send(request(&alone.der(), &basic("line-1", SECRET))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());

    let wrong = named.clone().control(proof(4, &message, &key_of(&["another", "line-1"])));
    let alone = named.clone().control(proof(4, &message, &key_of(&[SECRET])));
    let over_others = named.clone().control(proof(4, &other, &key_of(&[SECRET, "line-1"])));
    let nobody = message.clone().control(control(3, 2, utf8("nobody"))).control(proof(
        4,
        &message,
        &key_of(&[SECRET, "nobody"]),
    ));
    for bad in [wrong, alone, over_others, nobody] {
        let outcome = rejected(&server, &bad.der(), &basic("line-1", SECRET)).await;
        assert_eq!(outcome, (403, 7, vec![4]));
        server.clock.advance(Duration::from_secs(3600));
    }
    // The proof of another account than the password's.
    let outcome = rejected(&server, &good.der(), &password()).await;
    assert_eq!(outcome, (403, 7, vec![4]));
    // An account with only a password hash.
    let hashed = message.clone().control(control(3, 2, utf8("tester"))).control(proof(
        4,
        &message,
        &key_of(&[PASSWORD, "tester"]),
    ));
    assert_eq!(rejected(&server, &hashed.der(), &password()).await, (403, 7, vec![4]));
    // SHA-1, in the old control and in the new one.
    let old = named.clone().control(control(4, 3, oct(&[1; 20])));
    assert_eq!(rejected(&server, &old.der(), &password()).await, (400, 0, vec![4]));
    for (hash, mac) in [("1.3.14.3.2.26", HMAC_SHA256), (SHA256, "1.3.6.1.5.5.8.1.2")] {
        let key = key_of(&[SECRET, "line-1"]);
        let old = named.clone().control(proof_with(4, &message, &key, hash, mac));
        assert_eq!(rejected(&server, &old.der(), &password()).await, (400, 0, vec![4]));
    }
    drop(device);
}

#[tokio::test]
async fn wrong_proofs_by_a_secret_count_as_wrong_passwords() {
    let server =
        TestServer::start_with(&format!("{ON}[passwords]\nfailures_per_account = 3\n")).await;
    server.add_digest_account("line-1", SECRET, "estd").await;
    let (message, _) = by_new_key("/CN=cmc-1");
    let named = message.clone().control(control(3, 2, utf8("line-1")));
    let wrong = named.control(proof(4, &message, &key_of(&["another", "line-1"])));
    let mut outcomes = Vec::new();
    for _ in 0..8 {
        outcomes.push(rejected(&server, &wrong.der(), &password()).await);
    }
    assert_eq!(outcomes[0], (403, 7, vec![4]));
    assert_eq!(outcomes[7], (503, 12, vec![0]), "{outcomes:?}");
}

/// A CSR with popLinkWitnessV2, and its key.
fn linked(server: &TestServer, subject: &str, witness: &[u8]) -> (Vec<u8>, String) {
    let value: String = witness.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = new_key("EC");
    // openssl req cannot write custom attributes, so the request is built here.
    let subject = name(subject);
    let attribute = seq(&[oid(&cmc(33)), tlv(0x31, witness)]);
    let identifier =
        seq(&[oid("1.2.840.113549.1.9.14"), set(&[seq(&[key_identifier_extension(&key)])])]);
    let attributes = tlv(0xa0, &[identifier, attribute].concat());
    let info = seq(&[int(0), subject, spki(&key), attributes]);
    let signature = tlv(3, &[vec![0], sign(&key, "sha256", &info)].concat());
    let _ = (server, value);
    (seq(&[info, algorithm("1.2.840.10045.4.3.2"), signature]), key)
}

fn witness(key: &[u8], random: &[u8]) -> Vec<u8> {
    seq(&[algorithm(SHA256), algorithm(HMAC_SHA256), oct(&hmac(key, random))])
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn r_6402_2_3_a_a_witness_links_each_request_to_the_secret() {
    let server = with_secret().await;
    let random = [9; 64];
    let good = witness(&key_of(&[SECRET]), &random);
    let message = |value: &[u8]| {
        let (csr, key) = linked(&server, "cmc-1", value);
        Message::by(Signer::new_key(&key)).request(tcr(1, &csr))
    };
    let with_random = |message: Message| message.control(control(3, 22, oct(&random)));
    let auth = basic("line-1", SECRET);
    let reply = server.send(request(&with_random(message(&good)).der(), &auth)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // In CRMF, among the request's controls.
    let (asked, key) = crmf(1, "cmc-2", Some(seq(&[seq(&[oid(&cmc(33)), good.clone()])])));
    let by_crmf = with_random(Message::by(Signer::new_key(&key)).request(asked));
    assert_eq!(server.send(request(&by_crmf.der(), &auth)).await.status, 200);

    let wrong = with_random(message(&witness(&key_of(&["another"]), &random)));
    assert_eq!(rejected(&server, &wrong.der(), &auth).await, (400, 9, vec![1]));
    let other_random = message(&good).control(control(3, 22, oct(&[8; 64])));
    assert_eq!(rejected(&server, &other_random.der(), &auth).await, (400, 9, vec![1]));
    let no_random = message(&good);
    assert_eq!(rejected(&server, &no_random.der(), &auth).await, (400, 9, vec![1]));
    let (csr, _) = csr("/CN=cmc-3");
    let not_all = with_random(message(&good)).request(tcr(2, &csr));
    assert_eq!(rejected(&server, &not_all.der(), &auth).await, (400, 9, vec![2]));
    // A secret of no account.
    assert_eq!(
        rejected(&server, &with_random(message(&good)).der(), &password()).await,
        (403, 7, vec![3])
    );
    let sha1 = seq(&[algorithm("1.3.14.3.2.26"), algorithm(HMAC_SHA256), oct(&[0; 20])]);
    assert_eq!(
        rejected(&server, &with_random(message(&sha1)).der(), &auth).await,
        (400, 0, vec![1])
    );
    assert_eq!(
        rejected(&server, &with_random(message(&[5, 0])).der(), &auth).await,
        (400, 2, vec![1])
    );
    // The old one, SHA-1.
    let (asked, key) = crmf(1, "cmc-2", Some(seq(&[seq(&[oid(&cmc(23)), oct(&[1; 20])])])));
    let old = with_random(Message::by(Signer::new_key(&key)).request(asked));
    assert_eq!(rejected(&server, &old.der(), &auth).await, (400, 0, vec![1]));
}

#[tokio::test]
async fn r_6402_2_3_a_a_certificate_that_signs_gets_its_own_names_only() {
    let server = server().await;
    let device = server.device("/CN=cmc-1").await;
    let by_device =
        |csr: &[u8]| Message::by(Signer::certificate(&device)).request(tcr(1, csr)).der();
    let (own, _) = csr("/CN=cmc-1");
    // Over TLS without a certificate, and over TLS with it: a renewal.
    for reply in [
        server.send(request(&by_device(&own), &password())).await,
        server.connect_as(&device).await.send(request(&by_device(&own), "")).await,
    ] {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let of_device = |one: &std::sync::Arc<estd::store::Issuance>| one.intent.predecessor.is_some();
    let record = server.issued().await.into_iter().find(of_device).unwrap();
    let serial = estd::pki::Certificate::parse(&device.der()).unwrap().serial().clone();
    assert_eq!(record.intent.predecessor, Some(serial));
    assert!(record.intent.actor.name.starts_with("CN=cmc-1"), "{}", record.intent.actor.name);
    let (other, _) = csr("/CN=cmc-2");
    let (more, _) = new_csr(&["-subj", "/CN=cmc-1", "-addext", "subjectAltName=DNS:x.example"]);
    for bad in [&other, &more] {
        // The password does not help: a message signed with a certificate counts as that client's.
        assert_eq!(rejected(&server, &by_device(bad), &password()).await, (403, 7, vec![1]));
    }
    // All or nothing.
    let both =
        Message::by(Signer::certificate(&device)).request(tcr(1, &own)).request(tcr(2, &other));
    assert_eq!(rejected(&server, &both.der(), &password()).await, (403, 7, vec![2]));
}

#[tokio::test]
async fn what_a_profile_does_not_give_has_the_code_for_it() {
    let server = TestServer::start_with(
        "[est]\nfullcmc = true\nrenewal.key = \"new\"\nprofile = \"p\"\n[profile.p]\nkeys = [\"p-256\"]\n",
    )
    .await;
    let asked = |more: &[&str], kind: &str| {
        let key = new_key(kind);
        let all = [&["-subj", "/CN=cmc-1", "-addext", "subjectKeyIdentifier=hash"], more].concat();
        Message::by(Signer::new_key(&key)).request(tcr(1, &csr_with(&key, &all))).der()
    };
    for (more, kind, code) in [
        (&["-addext", "1.2.3.4=DER:0500"][..], "EC", 5),
        (&["-addext", "extendedKeyUsage=serverAuth"], "EC", 5),
        (&["-addext", "keyUsage=keyCertSign"], "EC", 5),
        (&["-addext", "basicConstraints=CA:TRUE"], "EC", 5),
        (&[], "P-384", 0),
    ] {
        let outcome = rejected(&server, &asked(more, kind), &password()).await;
        assert_eq!(outcome, (400, code, vec![1]), "{more:?}");
    }
    let key = new_key("EC");
    let empty = csr_with(&key, &["-subj", "/", "-addext", "subjectKeyIdentifier=hash"]);
    let empty = Message::by(Signer::new_key(&key)).request(tcr(1, &empty));
    assert_eq!(rejected(&server, &empty.der(), &password()).await, (400, 2, vec![1]));
    // The same key again, where that is not allowed.
    let device = server.device("/CN=cmc-1").await;
    let same = csr_with(&device.key, &["-subj", "/CN=cmc-1"]);
    let same = Message::by(Signer::certificate(&device)).request(tcr(1, &same));
    assert_eq!(rejected(&server, &same.der(), &password()).await, (400, 10, vec![1]));
}

/// revokeRequest for this certificate.
fn revoke(part: u64, device: &Identity, reason: u8, secret: Option<&[u8]>) -> Vec<u8> {
    let certificate = <x509_cert::Certificate as der::Decode>::from_der(&device.der()).unwrap();
    let tbs = certificate.tbs_certificate();
    let mut parts = vec![
        tbs.issuer().to_der().unwrap(),
        tbs.serial_number().to_der().unwrap(),
        vec![10, 1, reason],
        tlv(0x18, b"20261121110000Z"),
    ];
    parts.extend(secret.map(oct));
    parts.push(utf8("lost in the field"));
    control(part, 17, seq(&parts))
}

async fn state(server: &TestServer, device: &Identity) -> State {
    let serial = estd::pki::Certificate::parse(&device.der()).unwrap().serial().clone();
    server.running.store().find(&serial).await.unwrap().unwrap().state
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn r_5272_6_11_a_a_certificate_is_revoked_by_its_own_key_and_by_its_names() {
    let server = server().await;
    let (one, two) = (server.device("/CN=cmc-1").await, server.device("/CN=cmc-2").await);
    let message = |signer: &Identity, device: &Identity, reason| {
        Message::by(Signer::certificate(signer)).control(revoke(4, device, reason, None))
    };
    let outcome = rejected(&server, &message(&two, &one, 1).der(), &password()).await;
    assert_eq!(outcome, (403, 7, vec![4]));
    for reason in [6, 8] {
        let outcome = rejected(&server, &message(&one, &one, reason).der(), &password()).await;
        assert_eq!(outcome, (400, 2, vec![4]));
    }
    assert_eq!(state(&server, &one).await, State::Issued);
    let reply = send(&server, &message(&one, &one, 1)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(read(&server, &reply).only_status(), (0, None, vec![4]));
    assert_eq!(state(&server, &one).await, State::Revoked);
    let record = server.issued().await.into_iter().find(|one| one.revocation.is_some()).unwrap();
    assert_eq!(record.revocation.unwrap().reason, RevocationReason::KeyCompromise);
    let event = server.events_named("certificate.revoked").pop().unwrap();
    assert!(event.details.contains(&("comment".to_owned(), "lost in the field".to_owned())));
    // By another certificate with the same names; and again, which changes nothing.
    let newer = server.device("/CN=cmc-1").await;
    for _ in 0..2 {
        assert_eq!(send(&server, &message(&newer, &one, 4)).await.status, 200);
    }
    assert_eq!(server.events_named("certificate.revoked").len(), 1);
    // A certificate of another CA, and one that does not exist.
    let (_, stranger) = stranger(server.folder.path(), "/CN=cmc-2", "");
    let outcome = rejected(&server, &message(&two, &stranger, 1).der(), &password()).await;
    assert_eq!(outcome, (400, 4, vec![4]));
    let mut unknown = two.clone();
    unknown.pem = server.device("/CN=cmc-2").await.pem;
    let certificate = <x509_cert::Certificate as der::Decode>::from_der(&two.der()).unwrap();
    let issuer = certificate.tbs_certificate().issuer().to_der().unwrap();
    let nothing = seq(&[issuer, int(4711), vec![10, 1, 0]]);
    let nothing = Message::by(Signer::certificate(&two)).control(control(4, 17, nothing));
    assert_eq!(rejected(&server, &nothing.der(), &password()).await, (400, 4, vec![4]));
}

/// Attack 4: an otherName is shown by its type alone, and is compared by its value.
/// proves: R-5272-6.11-a
#[tokio::test]
async fn r_5272_6_11_a_another_value_of_an_other_name_is_another_name() {
    let server =
        TestServer::start_with(&format!("{ON}[profile.device]\nsan = [\"other\"]\n")).await;
    let device = async |value: &str| {
        let san = format!("subjectAltName=otherName:1.2.3.4;UTF8:{value}");
        let (csr, key) = new_csr(&["-subj", "/CN=cmc-1", "-addext", &san]);
        server.identity(&csr, key).await
    };
    let (one, two, again) = (device("a").await, device("b").await, device("a").await);
    let message = |signer: &Identity, device: &Identity| {
        Message::by(Signer::certificate(signer)).control(revoke(4, device, 1, None)).der()
    };
    assert_eq!(rejected(&server, &message(&two, &one), &password()).await, (403, 7, vec![4]));
    assert_eq!(state(&server, &one).await, State::Issued);
    assert_eq!(server.send(request(&message(&again, &one), &password())).await.status, 200);
    assert_eq!(state(&server, &one).await, State::Revoked);
}

#[tokio::test]
async fn r_5272_6_11_a_a_certificate_is_revoked_by_the_secret_of_its_account() {
    let server = with_secret().await;
    let (csr, key) = new_csr(&["-subj", "/CN=cmc-1"]);
    let reply = server.send(post("simpleenroll", &csr, &basic("line-1", SECRET))).await;
    let device = Identity { pem: reply.certificate_pem(), key };
    let unsigned = |control: Vec<u8>| Message {
        signers: Vec::new(),
        ..Message::by(Signer::certificate(&device)).control(control)
    };
    let wrong = unsigned(revoke(4, &device, 1, Some(b"another")));
    assert_eq!(rejected(&server, &wrong.der(), &password()).await, (403, 7, vec![4]));
    let none = unsigned(revoke(4, &device, 1, None));
    assert_eq!(rejected(&server, &none.der(), &password()).await, (400, 1, vec![0]));
    let with_more = unsigned(revoke(4, &device, 1, Some(SECRET.as_bytes()))).request(tcr(1, &csr));
    assert_eq!(rejected(&server, &with_more.der(), &password()).await, (400, 1, vec![0]));
    // The secret of one account revokes nothing of another.
    let others = server.device("/CN=cmc-2").await;
    let foreign = unsigned(revoke(4, &others, 1, Some(SECRET.as_bytes())));
    assert_eq!(rejected(&server, &foreign.der(), &password()).await, (403, 7, vec![4]));
    assert_eq!(state(&server, &device).await, State::Issued);
    let good = unsigned(revoke(4, &device, 1, Some(SECRET.as_bytes())));
    let reply = send(&server, &good).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(read(&server, &reply).only_status(), (0, None, vec![4]));
    assert_eq!(state(&server, &device).await, State::Revoked);
}

/// An issuance of `tester` that was begun and not ended.
async fn leave_open(server: &TestServer, number: u8, account: &str) -> Intent {
    let (message, _) = by_new_key(&format!("/CN=open-{number}"));
    let reply = server.send(request(&message.der(), &basic(account, SECRET))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let done = last_issued(server, &format!("CN=open-{number}")).await;
    let serial = Serial::parse(&[number; 20]).unwrap();
    let intent = Intent {
        idempotency_key: estd::store::IdempotencyKey([number; 32]),
        tbs: tbs_with(&done.certificate, &done.intent.serial, &serial).into(),
        serial,
        ..done.intent.clone()
    };
    assert_eq!(
        server.running.store().begin(intent.clone(), Conditions::default()).await.unwrap(),
        Begun::New
    );
    intent
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn r_5272_6_13_a_what_is_pending_is_asked_for_by_its_token() {
    let server = with_secret().await;
    let open = leave_open(&server, 5, "line-1").await;
    let (device, auth) = (server.device("/CN=cmc-1").await, basic("line-1", SECRET));
    let query = |token: &[u8]| {
        let (_, key) = csr("/CN=unused");
        let _ = key;
        control(4, 21, oct(token))
    };
    // The account that began it asks. The message must be signed, but not by a known key: the key
    // of another request is enough.
    let message = |part: Vec<u8>| by_new_key("/CN=cmc-9").0.control(part);
    for token in [&b"nothing"[..], &[7; 20], &[0; 40], b""] {
        let outcome = rejected(&server, &message(query(token)).der(), &auth).await;
        assert_eq!(outcome, (400, 2, vec![4]), "{token:?}");
    }
    // Another's.
    let outcome = rejected(&server, &message(query(&[5; 20])).der(), &password()).await;
    assert_eq!(outcome, (400, 2, vec![4]));
    // The CA cannot sign: still pending, with the same words each time.
    let ca_end = Time::from_unix(NOW).plus(Duration::from_secs(3653 * 86_400));
    server.clock.set(ca_end);
    let query_alone = |_: &Identity| message(query(&[5; 20]));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let reply = server.send(request(&query_alone(&device).der(), &auth)).await;
        let answer = read(&server, &reply);
        let pending: Vec<_> =
            answer.statuses.iter().filter(|one| one.status == 3).cloned().collect();
        assert_eq!(pending.len(), 1, "{answer:?}");
        let (token, time) = pending[0].pending.clone().unwrap();
        assert_eq!((pending[0].parts.clone(), token), (vec![4], vec![5; 20]));
        assert_eq!(pending[0].fail, None);
        seen.push(time);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], "20261121120100Z");
    server.clock.set(Time::from_unix(NOW + 90));
    let reply = server.send(request(&query_alone(&device).der(), &auth)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = read(&server, &reply);
    assert_eq!(answer.only_status(), (0, None, vec![1, 4]));
    let names: Vec<String> = answer
        .certificates
        .iter()
        .map(|certificate| certificate.tbs_certificate().subject().to_string())
        .collect();
    assert!(names.contains(&"CN=open-5".to_owned()), "{names:?}");
    assert_eq!(open.serial.as_bytes(), [5; 20]);
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn a_certificate_is_confirmed_by_its_holder() {
    let server = server().await;
    let (one, two) = (server.device("/CN=cmc-1").await, server.device("/CN=cmc-2").await);
    let id = |device: &Identity| Signer::certificate(device).sid;
    let message = |signer: &Identity, value: Vec<u8>| {
        Message::by(Signer::certificate(signer)).control(control(4, 24, value))
    };
    let accept = message(&one, id(&one));
    let reply = send(&server, &accept).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(read(&server, &reply).only_status(), (0, None, vec![4]));
    assert_eq!(
        rejected(&server, &message(&two, id(&one)).der(), &password()).await,
        (400, 4, vec![4])
    );
    let unknown = seq(&[name("nobody"), int(5)]);
    assert_eq!(
        rejected(&server, &message(&one, unknown).der(), &password()).await,
        (400, 4, vec![4])
    );
    // With the client's confirmation of the answer (§6.14).
    for number in [1, 25] {
        let status = seq(&[int(0), seq(&[int(1)])]);
        let with_status = accept.clone().control(control(5, number, status));
        assert_eq!(send(&server, &with_status).await.status, 200);
    }
}

const RA: &str = "[profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n[label.ra]\nprofile = \"ra\"\naccept = [\"password\"]\n";

/// A server with a registration authority.
async fn with_ra() -> (TestServer, Identity) {
    let server = TestServer::start_with(&format!("{ON}{RA}")).await;
    let ra = server.registration_authority("/CN=ra-1").await;
    (server, ra)
}

#[tokio::test]
async fn a_registration_authority_asks_in_any_name() {
    let (server, ra) = with_ra().await;
    let (one, _) = csr("/CN=cmc-1");
    let (two, _) = csr("/CN=cmc-2");
    let message = Message::by(Signer::certificate(&ra)).request(tcr(1, &one)).request(tcr(2, &two));
    let reply = server.connect_as(&ra).await.send(request(&message.der(), "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.certificates().len(), 2);
    // If it forwards a device's message, the device's names count.
    let device = server.device("/CN=cmc-3").await;
    let (other, _) = csr("/CN=cmc-4");
    let (own, _) = csr("/CN=cmc-3");
    let brought = |csr| Message::by(Signer::certificate(&device)).request(tcr(1, csr)).der();
    let reply = server.connect_as(&ra).await.send(request(&brought(&own), "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let before = server.issued().await.len();
    let reply = server.connect_as(&ra).await.send(request(&brought(&other), "")).await;
    assert_eq!(rejection(&server, &reply, before).await, (403, 7, vec![1]));
    // Both have signed.
    let mut both = Message::by(Signer::certificate(&device)).request(tcr(1, &own));
    both.signers.push(Signer::certificate(&ra));
    assert_eq!(server.connect_as(&ra).await.send(request(&both.der(), "")).await.status, 200);
    // It revokes, too.
    let message = Message::by(Signer::certificate(&ra)).control(revoke(4, &device, 5, None));
    assert_eq!(send(&server, &message).await.status, 200);
    assert_eq!(state(&server, &device).await, State::Revoked);
}

/// A PKCS#10 request that nobody has signed (RFC 5272 App. C).
fn unsigned_csr(common_name: &str) -> (Vec<u8>, String) {
    let key = new_key("P-384");
    let info = seq(&[int(0), name(common_name), spki(&key), vec![0xa0, 0]]);
    let none = seq(&[oid("1.3.6.1.5.5.7.6.2"), vec![5, 0]]);
    let digest = hash("sha1", &info);
    (seq(&[info, none, tlv(3, &[vec![0], digest].concat())]), key)
}

#[tokio::test]
async fn r_5272_6_7_app_c_a_no_signature_is_no_proof() {
    let (server, ra) = with_ra().await;
    let (csr, _) = unsigned_csr("cmc-1");
    let device = server.device("/CN=cmc-1").await;
    for signer in [&device, &ra] {
        let message = Message::by(Signer::certificate(signer)).request(tcr(1, &csr));
        assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 8, vec![1]));
    }
    // No challenge exists that could be answered.
    let answer = seq(&[int(1), algorithm(HMAC_SHA256), oct(&[1; 32])]);
    let message = Message::by(Signer::certificate(&device))
        .request(tcr(1, &csr))
        .control(control(4, 10, answer));
    assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 9, vec![4]));
}

#[tokio::test]
async fn r_5272_6_8_a_only_a_registration_authority_is_believed_to_have_seen_a_proof() {
    let (server, ra) = with_ra().await;
    let device = server.device("/CN=cmc-1").await;
    let (csr, key) = unsigned_csr("cmc-1");
    let witness = |body: u64, ids: &[u64]| {
        let ids: Vec<Vec<u8>> = ids.iter().map(|id| int(*id)).collect();
        control(4, 11, seq(&[int(body), seq(&ids)]))
    };
    let by = |signer: &Identity| Message::by(Signer::certificate(signer)).request(tcr(1, &csr));
    let outcome =
        rejected(&server, &by(&device).control(witness(0, &[1])).der(), &password()).await;
    assert_eq!(outcome, (400, 9, vec![4]));
    for (body, id) in [(0, 9), (3, 1)] {
        let bad = by(&ra).control(witness(body, &[id]));
        assert_eq!(rejected(&server, &bad.der(), &password()).await, (400, 2, vec![4]));
    }
    let reply = send(&server, &by(&ra).control(witness(0, &[1]))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let public = openssl_with(&["x509", "-noout", "-pubkey"], reply.certificate_pem().as_bytes());
    assert_eq!(public, openssl_with(&["pkey", "-pubout"], key.as_bytes()));
    // CRMF with raVerified and CRMF without a proof are accepted; an invalid proof is not.
    let new = new_key("EC");
    let asked = cert_request(1, &[subject("cmc-5"), public_key(&new)], None);
    for popo in [Some(vec![0x80, 0]), None] {
        let message = Message::by(Signer::certificate(&ra)).request(crm(&asked, popo, None));
        assert_eq!(send(&server, &message.control(witness(0, &[1]))).await.status, 200);
    }
    let wrong = Some(popo(&key, &asked));
    let message = Message::by(Signer::certificate(&ra)).request(crm(&asked, wrong, None));
    let message = message.control(witness(0, &[1]));
    let outcome = rejected(&server, &message.der(), &password()).await;
    assert!(outcome.1 == 9 || outcome.1 == 0, "{outcome:?}");
    // A point off its curve is detected without a signature, too.
    let mut broken = unsigned_csr("cmc-6").0;
    let at = broken.windows(2).rposition(|two| two == [0xa0, 0]).unwrap() - 1;
    broken[at] ^= 1;
    let message =
        Message::by(Signer::certificate(&ra)).request(tcr(1, &broken)).control(witness(0, &[1]));
    assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 0, vec![1]));
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn a_registration_authority_changes_requests() {
    let (server, ra) = with_ra().await;
    let device = server.device("/CN=cmc-1").await;
    let (csr, _) =
        new_csr(&["-subj", "/CN=cmc-1", "-addext", "subjectAltName=DNS:old.example.com"]);
    let change = |reference: &[u64], ids: &[u64], replace: bool, template: &[Vec<u8>]| {
        let list = |ids: &[u64]| seq(&ids.iter().map(|id| int(*id)).collect::<Vec<_>>());
        let mut parts = vec![list(reference), list(ids)];
        if !replace {
            parts.push(vec![1, 1, 0]);
        }
        parts.push(seq(template));
        control(4, 31, seq(&parts))
    };
    let san = extensions(&[extension("2.5.29.17", &seq(&[tlv(0x82, b"new.example.com")]))]);
    let by = |signer: &Identity, change: Vec<u8>| {
        Message::by(Signer::certificate(signer)).request(tcr(1, &csr)).control(change)
    };
    let good = change(&[0], &[1], true, &[subject("cmc-7"), san.clone()]);
    let outcome = rejected(&server, &by(&device, good.clone()).der(), &password()).await;
    assert_eq!(outcome, (400, 2, vec![4]));
    let text = described(&send(&server, &by(&ra, good)).await.certificate_pem());
    assert!(text.contains("CN = cmc-7") && text.contains("DNS:new.example.com"), "{text}");
    assert!(!text.contains("old.example.com"));
    let taken_away = change(&[0], &[1], false, std::slice::from_ref(&san));
    let text = described(&send(&server, &by(&ra, taken_away)).await.certificate_pem());
    assert!(text.contains("CN = cmc-1") && !text.contains("Alternative"), "{text}");
    for bad in [
        change(&[0], &[9], true, &[subject("x")]),
        change(&[5], &[1], true, &[subject("x")]),
        change(&[0], &[], true, &[subject("x")]),
        change(&[0], &[1], true, &[public_key(&new_key("EC"))]),
        change(&[0], &[1], true, &[vec![0x81, 1, 5]]),
    ] {
        assert_eq!(rejected(&server, &by(&ra, bad).der(), &password()).await, (400, 2, vec![4]));
    }
    let unsupported = extensions(&[extension("1.2.3.4", &[5, 0])]);
    let bad = change(&[0], &[1], true, &[unsupported]);
    assert_eq!(rejected(&server, &by(&ra, bad).der(), &password()).await, (400, 5, vec![1]));
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn a_registration_authority_brings_a_batch() {
    let (server, ra) = with_ra().await;
    let device = server.device("/CN=cmc-1").await;
    let (own, _) = csr("/CN=cmc-1");
    let by_device = Message::by(Signer::certificate(&device))
        .request(tcr(1, &own))
        .control(control(2, 5, int(1)));
    let (by_key, _) = by_new_key("/CN=cmc-2");
    let broken = Message { broken_signature: true, ..by_key.clone() };
    let batch = |signer: &Identity, ids: &[u64], messages: &[Vec<u8>]| {
        let mut message = Message::by(Signer::certificate(signer));
        message.cms =
            messages.iter().zip(20..).map(|(der, id)| seq(&[int(id), der.clone()])).collect();
        let ids: Vec<Vec<u8>> = ids.iter().map(|id| int(*id)).collect();
        message.control(control(4, 28, seq(&ids)))
    };
    let messages = [by_device.der(), by_key.der(), broken.der()];
    let good = batch(&ra, &[20, 21, 22], &messages);
    assert_eq!(
        rejected(&server, &batch(&device, &[20], &messages).der(), &password()).await,
        (400, 2, vec![4])
    );
    let reply = send(&server, &good).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = read(&server, &reply);
    assert_eq!(answer.only_status(), (0, None, vec![4]));
    let ids: Vec<u64> = answer.cms.iter().map(|(id, _)| *id).collect();
    let named: Vec<u64> =
        list(answer.control(29).unwrap()).iter().map(|id| id.decode_as().unwrap()).collect();
    assert_eq!((ids.len(), ids), (3, named));
    let first = read_der(&server, &answer.cms[0].1, true);
    assert_eq!(first.only_status(), (0, None, vec![1]));
    assert_eq!(first.control(5), Some(int(1).as_slice()));
    assert_eq!(read_der(&server, &answer.cms[1].1, false).certificates.len(), 1);
    let third = read_der(&server, &answer.cms[2].1, true);
    assert_eq!(third.only_status(), (2, Some(1), vec![0]), "what fails, fails for itself");
    // An empty batch, and a duplicate: no request is processed twice.
    for ids in [&[][..], &[20, 20], &[20, 21, 20]] {
        let outcome = rejected(&server, &batch(&ra, ids, &messages).der(), &password()).await;
        assert_eq!(outcome, (400, 2, vec![4]), "{ids:?}");
    }
    // Missing parts; and no batch in a batch.
    assert_eq!(
        rejected(&server, &batch(&ra, &[29], &messages).der(), &password()).await,
        (400, 2, vec![4])
    );
    let nested = batch(&ra, &[20], &[good.der()]);
    let answer = read(&server, &send(&server, &nested).await);
    let inner = read_der(&server, &answer.cms[0].1, true);
    assert_eq!(inner.only_status(), (2, Some(2), vec![4]));
}

/// It vouches for the names in a device's message, not for controls reserved to registration
/// authorities.
#[tokio::test]
async fn what_a_registration_authority_brings_has_none_of_its_rights() {
    let (server, ra) = with_ra().await;
    let other = server.device("/CN=cmc-1").await;
    let ((good, _), (unsigned, _)) = (by_new_key("/CN=cmc-2"), unsigned_csr("cmc-3"));
    let witness = control(4, 11, seq(&[int(0), seq(&[int(2)])]));
    let unproved = good.clone().request(tcr(2, &unsigned)).control(witness);
    let revocation = good.clone().control(revoke(4, &other, 1, None));
    let of_the_ra = good.clone().control(revoke(4, &ra, 1, None));
    for (message, expected) in [
        (&unproved, (400, 9, vec![4])),
        (&revocation, (403, 7, vec![4])),
        (&of_the_ra, (403, 7, vec![4])),
    ] {
        let before = server.issued().await.len();
        let reply = server.connect_as(&ra).await.send(request(&message.der(), "")).await;
        assert_eq!(rejection(&server, &reply, before).await, expected, "over its connection");
        let mut batch = Message::by(Signer::certificate(&ra));
        batch.cms = vec![seq(&[int(20), message.der()])];
        let batch = batch.control(control(4, 28, seq(&[int(20)])));
        let answer = read(&server, &send(&server, &batch).await);
        let inner = read_der(&server, &answer.cms[0].1, true);
        assert_eq!(inner.only_status(), (2, Some(expected.1), expected.2), "in a batch");
        assert_eq!(server.issued().await.len(), before);
    }
    for one in [&other, &ra] {
        assert_eq!(state(&server, one).await, State::Issued);
    }
    let reply = server.connect_as(&ra).await.send(request(&good.der(), "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// proves: R-6402-4.1-a
#[tokio::test]
async fn what_a_registration_authority_has_processed_is_left_alone() {
    let (server, ra) = with_ra().await;
    let device = server.device("/CN=cmc-1").await;
    let (own, _) = csr("/CN=cmc-1");
    let by = |signer: &Identity| {
        Message::by(Signer::certificate(signer)).request(tcr(1, &own)).control(control_oid(
            5,
            "1.3.6.1.4.1.99999.1",
            &[oct(b"x")],
        ))
    };
    let processed = |ids: &[u64]| {
        let ids: Vec<Vec<u8>> = ids.iter().map(|id| int(*id)).collect();
        control(6, 32, seq(&[seq(&ids)]))
    };
    assert_eq!(send(&server, &by(&ra).control(processed(&[5]))).await.status, 200);
    for (signer, control) in [(&ra, processed(&[7])), (&device, processed(&[5]))] {
        let outcome = rejected(&server, &by(signer).control(control).der(), &password()).await;
        assert_eq!(outcome, (400, 2, vec![5]));
    }
    // An identity proof that the RA verified, with a secret unknown to this server.
    let message = Message::by(Signer::certificate(&ra)).request(tcr(1, &own));
    let seen = message.clone().control(proof(7, &message, b"not known"));
    let outcome = rejected(&server, &seen.der(), &password()).await;
    assert_eq!(outcome, (403, 7, vec![7]));
    let path = |id| control(8, 35, seq(&[int(id)]));
    assert_eq!(send(&server, &seen.clone().control(path(7))).await.status, 200);
    assert_eq!(
        rejected(&server, &message.clone().control(path(9)).der(), &password()).await,
        (400, 2, vec![8])
    );
    let by_device = Message::by(Signer::certificate(&device)).request(tcr(1, &own));
    let claimed = by_device.clone().control(path(1));
    assert_eq!(rejected(&server, &claimed.der(), &password()).await, (400, 2, vec![8]));
}

#[tokio::test]
async fn r_7030_3_5_f_a_failure_of_linking_is_pop_failed() {
    let server = TestServer::start_with(
        "[est]\nfullcmc = true\n[label.strict]\nfullcmc = true\nlinking = \"required\"\n",
    )
    .await;
    let device = server.device("/CN=cmc-1").await;
    let by_device =
        |csr: &[u8]| Message::by(Signer::certificate(&device)).request(tcr(1, csr)).der();
    let elsewhere = by_device(&crate::linking::bound("cmc-1", "AAECAwQFBgcICQoL"));
    assert_eq!(rejected(&server, &elsewhere, &password()).await, (400, 9, vec![1]));
    let (bare, _) = csr("/CN=cmc-1");
    let unbound = by_device(&bare);
    let head =
        format!("Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n{}", password());
    let before = server.issued().await.len();
    let reply = server.send(post_body("strict/fullcmc", wrapped(&unbound).as_bytes(), &head)).await;
    assert_eq!(rejection(&server, &reply, before).await, (400, 9, vec![1]));
    // The same without the demand.
    let reply = server.send(request(&unbound, &password())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_change_of_names_is_asked_for_in_either_kind_of_request() {
    let more = "[est]\nfullcmc = true\n[label.change]\nfullcmc = true\nchange_names = true\nnames.mode = \"any\"\n";
    let server = TestServer::start_with(more).await;
    let device = server.device("/CN=cmc-1").await;
    let wanted = seq(&[name("cmc-renamed")]);
    let (asked, _) = crmf(1, "cmc-1", Some(seq(&[seq(&[oid(&cmc(36)), wanted])])));
    let message = Message::by(Signer::certificate(&device)).request(asked).der();
    // The name in the request is the signer's; the new one needs the label's permission.
    let outcome = rejected(&server, &message, &password()).await;
    assert_eq!((outcome.0, outcome.2.as_slice()), (400, [1].as_slice()), "{outcome:?}");
    let headers =
        format!("Content-Type: application/pkcs7-mime; smime-type=CMC-request\r\n{}", password());
    let reply =
        server.send(post_body("change/fullcmc", wrapped(&message).as_bytes(), &headers)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(described(&reply.certificate_pem()).contains("Subject: CN = cmc-renamed"));
}

#[tokio::test]
async fn a_label_that_requires_linking_requires_it_here_too() {
    let server = TestServer::start_with("[est]\nfullcmc = true\nlinking = \"required\"\n").await;
    let (message, _) = by_new_key("/CN=cmc-1");
    assert_eq!(rejected(&server, &message.der(), &password()).await, (400, 9, vec![1]));
}
