//! /simpleenroll and its answers (requirements of sections 8 and 10), and who may enroll.

use crate::{common::*, fullcmc_message::*};
use std::time::Duration;

#[tokio::test]
async fn r_7030_4_2_3_b_success_is_the_issued_certificate_alone() {
    let server = TestServer::start().await;
    let (csr, key) = new_csr(&["-subj", "/CN=device-1"]);
    let reply = server.enroll(&csr).await;
    assert_eq!(reply.status, 200);
    let pem = reply.certificate_pem();
    let of_certificate = openssl_with(&["x509", "-noout", "-pubkey"], pem.as_bytes());
    assert_eq!(of_certificate, openssl_with(&["pkey", "-pubout"], key.as_bytes()));
    let recorded = server.issued().await;
    let of_device = recorded.iter().find(|one| one.intent.subject == "CN=device-1").unwrap();
    assert_eq!(of_device.certificate, Identity { pem, key }.der());
    assert_eq!(
        (of_device.intent.actor.name.as_str(), of_device.state),
        ("tester", estd::store::State::Issued)
    );
}

#[tokio::test]
async fn keys_of_each_kind_are_certified() {
    let server = TestServer::start().await;
    for kind in ["RSA:2048", "RSA:3072", "RSA:4096", "P-256", "P-384", "P-521", "ED25519"] {
        let csr = csr_with(&new_key(kind), &["-subj", "/CN=device-1"]);
        let reply = server.enroll(&csr).await;
        assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
    }
}

#[tokio::test]
async fn signatures_of_each_kind_prove_possession() {
    let server = TestServer::start().await;
    let rsa = new_key("RSA:2048");
    for arguments in [
        &["-sha384"][..],
        &["-sha512"],
        &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"],
        &["-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48"],
    ] {
        let reply =
            server.enroll(&csr_with(&rsa, &[&["-subj", "/CN=device-1"], arguments].concat())).await;
        assert_eq!(reply.status, 200, "{arguments:?}: {}", reply.text());
    }
    let old = server.enroll(&csr_with(&rsa, &["-subj", "/CN=device-1", "-sha1"])).await;
    assert_eq!(old.status, 400);
    assert!(old.text().starts_with("csr.signature-algorithm"), "{}", old.text());
}

#[tokio::test]
async fn r_7030_4_2_1_c_a_key_for_encipherment_only_proves_its_possession_all_the_same() {
    let server = TestServer::start().await;
    let csr = csr_with(
        &new_key("RSA:2048"),
        &["-subj", "/CN=device-1", "-addext", "keyUsage=critical,keyEncipherment"],
    );
    let pem = server.enroll(&csr).await.certificate_pem();
    assert!(
        described(&pem).contains("X509v3 Key Usage: critical\n                Key Encipherment\n")
    );
}

#[tokio::test]
async fn r_5272_3_1_a_an_empty_subject_is_accepted_or_rejected_by_the_profile() {
    let server = TestServer::start_with(
        "[profile.named]\nempty_subject = false\n[label.named]\nprofile = \"named\"",
    )
    .await;
    let (csr, _) = new_csr(&["-subj", "/", "-addext", "subjectAltName=DNS:device-1.example.com"]);
    let pem = server.enroll(&csr).await.certificate_pem();
    assert!(described(&pem).contains(
        "X509v3 Subject Alternative Name: critical\n                DNS:device-1.example.com"
    ));
    let rejected = server.send(post("named/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(rejected.status, 400);
    assert!(rejected.text().starts_with("csr.no-name"), "{}", rejected.text());
}

#[tokio::test]
async fn r_5272_3_1_b_extensions_are_given_as_asked_or_rejected() {
    let server = TestServer::start_with("[profile.lenient]\nignore_extensions = [\"1.2.3.4\"]\n[label.lenient]\nprofile = \"lenient\"").await;
    let (csr, _) = new_csr(&["-subj", "/CN=d", "-addext", "keyUsage=keyAgreement"]);
    let text = described(&server.enroll(&csr).await.certificate_pem());
    assert!(text.contains("Key Agreement\n") && !text.contains("Digital Signature"), "{text}");
    let (csr, _) = new_csr(&["-subj", "/CN=d", "-addext", "1.2.3.4=DER:0500"]);
    let rejected = server.enroll(&csr).await;
    assert_eq!(rejected.status, 400);
    assert!(rejected.text().starts_with("csr.unsupported-extension"), "{}", rejected.text());
    let reply = server.send(post("lenient/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// D-40: values of extensions that the CA sets itself are ignored.
#[tokio::test]
async fn r_5272_3_1_b_extensions_of_the_ca_are_dropped_whatever_their_value() {
    let server = TestServer::start().await;
    for (oid, name) in [
        ("2.5.29.35", "authorityKeyIdentifier"),
        ("2.5.29.14", "subjectKeyIdentifier"),
        ("2.5.29.31", "cRLDistributionPoints"),
        ("1.3.6.1.5.5.7.1.1", "(1.3.6.1.5.5.7.1.1)"),
        ("2.5.29.32", "certificatePolicies"),
    ] {
        let extension = format!("{oid}=critical,DER:0500");
        let (csr, _) = new_csr(&["-subj", "/CN=d", "-addext", &extension]);
        let reply = server.enroll(&csr).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let event = server.events_named("certificate.issued").pop().unwrap();
        let reported = event.details.iter().find(|(name, _)| name == "dropped_extensions");
        assert!(reported.is_some_and(|(_, value)| value.contains(name)), "{event:?}");
    }
    let (csr, _) = new_csr(&["-subj", "/CN=d", "-addext", "basicConstraints=CA:FALSE"]);
    assert_eq!(server.enroll(&csr).await.status, 200);
    let event = server.events_named("certificate.issued").pop().unwrap();
    let reported = event.details.iter().find(|(name, _)| name == "dropped_extensions").unwrap();
    assert_eq!(reported.1, "id-ce-basicConstraints (2.5.29.19)");
    // Without such extensions, the event does not mention them.
    assert_eq!(server.enroll(&new_csr(&["-subj", "/CN=d"]).0).await.status, 200);
    let event = server.events_named("certificate.issued").pop().unwrap();
    assert!(!event.details.iter().any(|(name, _)| name == "dropped_extensions"));
}

/// Attack 7: the proof of possession with each of these keys verifies, but anyone can forge it.
#[tokio::test]
async fn a_key_that_belongs_to_everybody_is_rejected() {
    let server = TestServer::start_with("[est]\nfullcmc = true\n").await;
    let read = |name: &str| {
        let path = format!("{}/testdata/weak-keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
        der::pem::decode_vec(&std::fs::read(path).unwrap()).unwrap().1
    };
    for name in ["prime", "small-factor", "neighbors", "roca", "small-order", "not-canonical"] {
        let reply = server.enroll(&read(name)).await;
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
        assert!(reply.text().starts_with("csr.key-weak: "), "{name}: {}", reply.text());
    }
    // Neither of two requests in a message is granted.
    let device = server.device("/CN=prime").await;
    let message = Message::by(Signer::certificate(&device));
    let strong = csr_with(&device.key, &["-subj", "/CN=prime"]);
    let message = message.request(tcr(1, &strong)).request(tcr(2, &read("prime")));
    let outcome =
        crate::fullcmc::rejected(&server, &message.der(), &basic("tester", PASSWORD)).await;
    assert_eq!(outcome, (400, 0, vec![2]), "badAlg");
    assert_eq!(server.enroll(&read("strong")).await.status, 200);
}

#[tokio::test]
async fn r_6402_2_4_a_a_device_gets_no_other_name_by_its_certificate() {
    let server = TestServer::start_with("[label.any]\nnames.mode = \"any\"").await;
    let device = server.device("/CN=device-1").await;
    let mut connection = server.connect_as(&device).await;
    let (own, _) = new_csr(&["-subj", "/CN=device-1"]);
    let (other, _) = new_csr(&["-subj", "/CN=device-2"]);
    let (more, _) = new_csr(&["-subj", "/CN=device-1", "-addext", "subjectAltName=DNS:x.example"]);
    assert_eq!(connection.send(post("simpleenroll", &own, "")).await.status, 200);
    for csr in [&other, &more] {
        let reply = connection.send(post("simpleenroll", csr, "")).await;
        // A password would help, so a challenge is sent (D-41).
        assert_eq!((reply.status, reply.body.len()), (401, 0));
        assert!(reply.reason().starts_with("enroll.names"), "{}", reply.reason());
        assert!(reply.header("WWW-Authenticate").unwrap().starts_with("Basic"));
    }
    assert_eq!(connection.send(post("any/simpleenroll", &other, "")).await.status, 200);
}

/// Starts a server with these settings. Returns it with a registration authority, certified by its
/// CA, and an impostor, certified as one by another trusted CA.
pub(crate) async fn with_ra(more: &str) -> (TestServer, Identity, Identity) {
    let folder = tempfile::tempdir().unwrap();
    let usage = "extendedKeyUsage = clientAuth, 1.3.6.1.5.5.7.3.28";
    let (ca, impostor) = stranger(folder.path(), "/CN=RA", usage);
    let server = TestServer::start_with(&format!(
        "{}\
         [profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n\
         [label.ra]\nprofile = \"ra\"\naccept = [\"password\"]\n\
         {more}",
        accepting(&ca)
    ))
    .await;
    let ra = server.registration_authority("/CN=RA").await;
    (server, ra, impostor)
}

/// proves: R-7030-3.7-c
#[tokio::test]
async fn r_7030_3_7_b_an_ra_is_one_whose_certificate_our_ca_issued_with_cmc_ra() {
    let (server, ra, impostor) = with_ra("").await;
    let (of_device, _) = new_csr(&["-subj", "/CN=device-7"]);
    assert_eq!(
        server.connect_as(&ra).await.send(post("simpleenroll", &of_device, "")).await.status,
        200
    );
    assert_eq!(
        server.connect_as(&impostor).await.send(post("simpleenroll", &of_device, "")).await.status,
        401
    );
}

#[tokio::test]
async fn a_renewal_by_simpleenroll_is_recorded_as_one() {
    // As Azure IoT Edge's aziot-certd does.
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    assert_eq!(
        server.connect_as(&device).await.send(post("simpleenroll", &csr, "")).await.status,
        200
    );
    let first = estd::pki::Certificate::parse(&device.der()).unwrap().serial().clone();
    assert!(
        server.issued().await.iter().any(|one| one.intent.predecessor.as_ref() == Some(&first))
    );
}

#[tokio::test]
async fn r_7030_4_2_3_e_a_retry_is_recognized_by_client_and_content_not_by_its_bytes() {
    let server = TestServer::start().await;
    let key = new_key("EC");
    // ECDSA by openssl is randomized: two CSRs with the same content and different bytes.
    let (one, two) =
        (csr_with(&key, &["-subj", "/CN=device-1"]), csr_with(&key, &["-subj", "/CN=device-1"]));
    assert_ne!(one, two);
    let answer = server.enroll(&one).await;
    let (first, first_request) =
        (answer.certificate_pem(), answer.header("X-Request-Id").unwrap().to_owned());
    let before = server.issued().await.len();
    assert_eq!(server.enroll(&two).await.certificate_pem(), first, "R-7030-4.2.3-f");
    assert_eq!(server.issued().await.len(), before);
    let retries = server.events_named("enrollment.retried");
    assert_eq!(retries.len(), 1);
    let reported = ("first_request".to_owned(), first_request);
    assert!(retries[0].details.contains(&reported), "{reported:?} {retries:?}");
    // Another name, client or key: another certificate.
    server.add_account("second", "xyz", None).await;
    let other_name = csr_with(&key, &["-subj", "/CN=device-2"]);
    let other_key = csr_with(&new_key("EC"), &["-subj", "/CN=device-1"]);
    assert_ne!(server.enroll(&other_name).await.certificate_pem(), first);
    assert_ne!(server.enroll(&other_key).await.certificate_pem(), first);
    assert_ne!(
        server.send(post("simpleenroll", &one, &basic("second", "xyz"))).await.certificate_pem(),
        first
    );
}

/// proves: R-7030-4.2.3-e
#[tokio::test]
async fn r_7030_4_2_3_f_the_retry_window_ends_to_the_second() {
    let server = TestServer::start_with(
        "[label.short]\nprofile = \"short\"\n[profile.short]\nvalidity = \"6m\"\n\
         [label.late]\nprofile = \"short\"\nrenewal.due = \"75%\"",
    )
    .await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let first = server.enroll(&csr).await.certificate_pem();
    server.clock.advance(Duration::from_secs(599));
    assert_eq!(server.enroll(&csr).await.certificate_pem(), first);
    server.clock.advance(Duration::from_secs(1));
    assert_ne!(server.enroll(&csr).await.certificate_pem(), first);
    // A certificate valid for six minutes, and for five before, is due when two thirds of them have
    // passed, or three quarters. The same request is then a renewal, although the retry window of ten
    // minutes has not ended (D-39).
    for (label, due) in [("short", 659 * 2 / 3 - 300), ("late", 659 * 3 / 4 - 300)] {
        let path = format!("{label}/simpleenroll");
        let ask = || server.send(post(&path, &csr, &basic("tester", PASSWORD)));
        let first = ask().await.certificate_pem();
        server.clock.advance(Duration::from_secs(due - 1));
        assert_eq!(ask().await.certificate_pem(), first, "{label}");
        server.clock.advance(Duration::from_secs(1));
        assert_ne!(ask().await.certificate_pem(), first, "{label}");
    }
}

#[tokio::test]
async fn two_equal_requests_at_once_get_one_certificate() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let asking: Vec<_> = (0..16).map(|_| server.enroll(&csr)).collect();
    let mut answers = Vec::new();
    for reply in futures_util::future::join_all(asking).await {
        answers.push(reply.certificate_pem());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(
        server.issued().await.iter().filter(|one| one.intent.subject == "CN=device-1").count(),
        1
    );
}

/// proves: R-7030-4.2.3-f
#[tokio::test]
async fn a_client_that_hangs_up_finds_its_certificate_when_it_comes_back() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for _ in 0..5 {
        let mut connection = server.connect().await;
        connection.write(post("simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    }
    let reply = server.enroll(&csr).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let of_device =
        server.issued().await.into_iter().filter(|one| one.intent.subject == "CN=device-1");
    let states: Vec<_> = of_device.map(|one| one.state).collect();
    assert_eq!(states, [estd::store::State::Issued], "one, and not half-way");
}

/// proves: R-9110-10.2.3-a
#[tokio::test]
async fn r_7030_4_2_3_c_failures_have_fitting_statuses() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    assert_eq!(server.enroll(b"garbage").await.status, 400);
    assert_eq!(server.send(post("simpleenroll", &csr, "")).await.status, 401);
    assert_eq!(
        server.send(post("simplereenroll", &csr, &basic("tester", PASSWORD))).await.status,
        403
    );
    assert_eq!(
        server.send(post_body("simpleenroll", b"x", "Content-Type: text/plain\r\n")).await.status,
        415
    );
    server.running.store().close().await;
    let reply = server.send(post("simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 503, "R-9110-15.6.4-a");
    let seconds: u32 = reply.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "R-9110-10.2.3-a");
    assert!(reply.text().starts_with("server.store"), "{}", reply.text());
}

#[tokio::test]
async fn r_9110_15_6_4_a_a_ca_that_has_ended_is_503() {
    let server = TestServer::start_with("[ca.default]\nissuing_validity = \"30d\"").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    server.clock.advance(Duration::from_secs(31 * 86_400));
    let reply = server.enroll(&csr).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("Retry-After").is_some());
}

/// proves: R-7030-3.2.3-c
#[tokio::test]
async fn r_7030_3_2_3_a_a_label_says_how_clients_prove_who_they_are() {
    let server = TestServer::start_with(
        "[label.certificate]\naccept = [\"certificate\", \"ra\"]\n[label.password]\naccept = [\"password\"]\n[label.both]\naccept = [[\"certificate\", \"password\"]]\nrenewal.accept = [[\"certificate\", \"password\"]]\n[label.either]\n",
    )
    .await;
    let device = server.device("/CN=d").await;
    let (csr, _) = new_csr(&["-subj", "/CN=d"]);
    // Without credentials, with a password, with a certificate, with both.
    for (label, expected) in [
        ("certificate", [403, 403, 200, 200]),
        // It renews its own certificates only.
        ("password", [401, 200, 401, 200]),
        ("both", [403, 403, 401, 200]),
        ("either", [401, 200, 200, 200]),
    ] {
        for (with, expected) in expected.into_iter().enumerate() {
            let credentials = if with % 2 == 1 { basic("tester", PASSWORD) } else { String::new() };
            let request = post(&format!("{label}/simpleenroll"), &csr, &credentials);
            let mut connection =
                if with >= 2 { server.connect_as(&device).await } else { server.connect().await };
            let reply = connection.send(request).await;
            assert_eq!(reply.status, expected, "{label} with {with}: {reply:?}");
            assert_eq!(reply.header("WWW-Authenticate").is_some(), expected == 401);
        }
    }
}

#[tokio::test]
async fn r_9110_15_5_2_a_a_challenge_with_realm_and_charset_and_an_empty_body() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=d"]);
    for credentials in [
        String::new(),
        basic("tester", "wrong"),
        basic("nobody", PASSWORD),
        basic("", "x"),
        basic("tester", ""),
    ] {
        let reply = server.send(post("simpleenroll", &csr, &credentials)).await;
        assert_eq!(reply.status, 401);
        assert_eq!(
            reply.header("WWW-Authenticate"),
            Some("Basic realm=\"estd\", charset=\"UTF-8\"")
        );
        assert_eq!((reply.header("Content-Length"), reply.body.len()), (Some("0"), 0));
        assert!(reply.header("X-Reason").unwrap().starts_with("auth."), "{reply:?}");
    }
}

#[tokio::test]
async fn r_7030_3_2_3_e_an_account_without_a_user_name() {
    let server = TestServer::start().await;
    server.add_account("", "secret", None).await;
    let (csr, _) = new_csr(&["-subj", "/CN=d"]);
    assert_eq!(server.send(post("simpleenroll", &csr, &basic("", "secret"))).await.status, 200);
}

#[tokio::test]
async fn r_7030_3_7_a_each_request_is_authorized_by_client_and_content() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, maker) = stranger(folder.path(), "/CN=device-1", "");
    let server = TestServer::start_with(&format!(
        "{}[label.here]\naccept = [\"certificate\", \"password\", \"manufacturer:maker\"]\n\
         [label.other]\nca = \"other\"\n\
         [ca.default]\n[ca.other]\nroot_subject = \"CN=Other root\"\n\
         issuing_subject = \"CN=Other CA\"\n",
        accepting(&ca)
    ))
    .await;
    server.add_account("elsewhere", PASSWORD, Some(vec!["other"])).await;
    let device = server.device("/CN=device-1").await;
    let (own, _) = new_csr(&["-subj", "/CN=device-1"]);
    let (foreign, _) = new_csr(&["-subj", "/CN=device-2"]);
    let by = |user| basic(user, PASSWORD);
    // Own and foreign names to enroll, own and foreign ones to re-enroll.
    type Case<'a> = (&'a str, &'a str, Option<&'a Identity>, String, [u16; 4]);
    let matrix: [Case<'_>; 8] = [
        // A password is no help for a renewal, right or wrong.
        ("nobody", "here", None, String::new(), [401, 401, 403, 403]),
        ("an account", "here", None, by("tester"), [200, 200, 403, 403]),
        ("another label's account", "here", None, by("elsewhere"), [401, 401, 403, 403]),
        ("a device", "here", Some(&device), String::new(), [200, 401, 200, 403]),
        ("a device with an account", "here", Some(&device), by("tester"), [200, 200, 200, 403]),
        ("a device with a wrong one", "here", Some(&device), by("elsewhere"), [401, 401, 200, 403]),
        ("a device of another CA", "other", Some(&device), String::new(), [401, 401, 403, 403]),
        ("a maker's device", "here", Some(&maker), String::new(), [200, 401, 403, 403]),
    ];
    for (who, label, identity, credentials, expected) in matrix {
        let requests = [
            ("simpleenroll", &own),
            ("simpleenroll", &foreign),
            ("simplereenroll", &own),
            ("simplereenroll", &foreign),
        ];
        for ((operation, csr), expected) in requests.into_iter().zip(expected) {
            let before = server.issued().await.len();
            let mut connection = match identity {
                Some(identity) => server.connect_as(identity).await,
                None => server.connect().await,
            };
            let request = post(&format!("{label}/{operation}"), csr, &credentials);
            let reply = connection.send(request).await;
            let what = format!("{who}, {operation}: {}", reply.text());
            assert_eq!(reply.status, expected, "{what}");
            let issued = server.issued().await.len() - before;
            // The same request twice is a retry, which gets no new certificate.
            assert!(issued <= usize::from(expected == 200), "{what}");
        }
    }
}

#[tokio::test]
async fn r_7030_4_2_a_nobody_learns_about_a_csr_before_authentication() {
    let server = TestServer::start().await;
    assert_eq!(server.send(post("simpleenroll", b"garbage", "")).await.status, 401);
}

#[tokio::test]
async fn names_without_end_are_rejected_before_anything_is_recorded() {
    let server = TestServer::start().await;
    let with = |names: usize| {
        let names: Vec<String> =
            (0..names).map(|name| format!("DNS:device-{name:05}.fleet.example")).collect();
        new_csr(&[
            "-subj",
            "/CN=device-1",
            "-addext",
            &format!("subjectAltName={}", names.join(",")),
        ])
        .0
    };
    let credentials = basic("tester", PASSWORD);
    let before = server.issued().await.len();
    let reply = server.send(post("simpleenroll", &with(600), &credentials)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().starts_with("csr.names-size"), "{}", reply.text());
    assert_eq!(server.issued().await.len(), before);
    let reply = server.send(post("simpleenroll", &with(500), &credentials)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
