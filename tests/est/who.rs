//! The audit trail names the client, its credentials and the cause of each rejection and issuance.
//! The client learns no more than before (first-user findings 3, 4, 5, 23, 25).

use crate::{common::*, fullcmc, fullcmc_message::*};
use estd::telemetry::audit::Event;

fn last(server: &TestServer, name: &str) -> Event {
    server.events_named(name).pop().unwrap()
}

fn detail<'a>(event: &'a Event, name: &str) -> &'a str {
    event.detail(name).unwrap_or_else(|| panic!("no {name}: {event:?}"))
}

#[tokio::test]
async fn first_user_3_a_rejected_password_says_why_to_the_operator_only() {
    let labels = "[label.line]\n[label.ra]\nprofile = \"ra\"\naccept = [\"password\"]\n\
                  [profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n";
    let server = TestServer::start_with(labels).await;
    server.add_account("line-1", PASSWORD, Some(vec!["line"])).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let mut reported = Vec::new();
    let long = "x".repeat(2000);
    for (path, user, password, account, cause) in [
        ("simpleenroll", "tester", "wrong", "tester", "wrong password"),
        ("simpleenroll", "p:ss".trim_end_matches(":ss"), "wrong", "p (hash ", "no such account"),
        ("simpleenroll", "my-own-secret-password", "x", "my-own-s... (hash ", "no such account"),
        ("simpleenroll", "line-1", PASSWORD, "line-1", "bound to label line"),
        ("simpleenroll", "tester", "", "tester", "empty password"),
        ("simpleenroll", "tester", &long, "tester", "password of 2000 bytes"),
        (
            "ra/simpleenroll",
            "tester",
            PASSWORD,
            "tester",
            "issues certificates of registration authorities",
        ),
    ] {
        let reply = server.send(post(path, &csr, &basic(user, password))).await;
        assert_eq!(reply.status, 401);
        reported.push(reply.reason().split(" (request").next().unwrap().to_owned());
        let event = last(&server, "enrollment.rejected");
        assert!(detail(&event, "account").starts_with(account), "{event:?}");
        assert!(detail(&event, "cause").contains(cause), "{event:?}");
        assert!(detail(&event, "address").starts_with("127.0.0.1:"));
        assert!(!format!("{event:?}").contains("secret-password"), "{event:?}");
    }
    reported.dedup();
    assert_eq!(reported.len(), 1, "clients get the same text: {reported:?}");
}

#[tokio::test]
async fn first_user_4_a_rejected_certificate_and_a_rejected_csr_are_named() {
    let server = TestServer::start_with("[label.cert]\naccept = [\"certificate\", \"ra\"]\n").await;
    let (_, stranger) = stranger(server.folder.path(), "/CN=stranger-1", "");
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for label in ["", "cert/"] {
        let request = post(&format!("{label}simpleenroll"), &csr, "");
        server.connect_as(&stranger).await.send(request).await;
        let event = last(&server, "enrollment.rejected");
        assert_eq!(detail(&event, "certificate_serial"), "1267");
        assert_eq!(detail(&event, "certificate_issuer"), "CN=Stranger CA");
        assert_eq!(detail(&event, "certificate_subject"), "CN=stranger-1");
        assert!(detail(&event, "reason").contains("unknown issuer"), "{event:?}");
    }
    // A CSR that is rejected for its form or by a rule; with a certificate or a password.
    let key = new_key("RSA:1024");
    let weak = csr_with(&key, &["-subj", "/CN=weak-1"]);
    let (mut broken, _) = new_csr(&["-subj", "/CN=broken-1"]);
    *broken.last_mut().unwrap() ^= 1;
    for (csr, subject, rule) in [(&weak, "CN=weak-1", "csr.key"), (&broken, "CN=broken-1", "csr.")]
    {
        server.enroll(csr).await;
        let event = last(&server, "enrollment.rejected");
        assert!(detail(&event, "rule").starts_with(rule), "{event:?}");
        assert_eq!(detail(&event, "csr_subject"), subject);
        assert_eq!(event.actor.name, "tester");
    }
    let device = server.device("/CN=device-1").await;
    let (other, _) = new_csr(&["-subj", "/CN=device-2"]);
    server.connect_as(&device).await.send(post("simplereenroll", &other, "")).await;
    let event = last(&server, "enrollment.rejected");
    assert_eq!(detail(&event, "csr_subject"), "CN=device-2");
    assert_eq!(detail(&event, "certificate_subject"), "CN=device-1");
    // A name is truncated: its length is up to the sender.
    let long = format!("/CN={}", "x".repeat(60)) + &format!("/OU={}", "y".repeat(60)).repeat(20);
    let (long, _) = new_csr(&["-subj", &long]);
    server.connect_as(&device).await.send(post("simplereenroll", &long, "")).await;
    let event = last(&server, "enrollment.rejected");
    assert_eq!(detail(&event, "csr_subject").len(), 303);
}

/// Findings 4 and 5 for CMC: its signer counts, not only the client that TLS or HTTP authenticates.
#[tokio::test]
async fn a_cmc_event_names_the_signers_certificate_the_account_and_all_subjects() {
    let server = fullcmc::server().await;
    server.add_digest_account("line-1", "sixteen letters!", "estd").await;
    let device = server.device("/CN=device-1").await;
    let serial = estd::pki::Certificate::parse(&device.der()).unwrap().serial().to_string();
    let signed = |subjects: &[&str]| {
        let signer = Message::by(Signer::certificate(&device));
        subjects.iter().zip(1..).fold(signer, |message, (subject, part)| {
            message.request(tcr(part, &fullcmc::csr(subject).0))
        })
    };
    let send = async |message: &Message| {
        let request = fullcmc::request(&message.der(), &fullcmc::password());
        server.send(request).await.status
    };
    let check = |event: &Event, actor: &str| {
        assert_eq!(event.actor.name, actor);
        assert_eq!(detail(event, "certificate_serial"), serial);
        assert_eq!(detail(event, "certificate_issuer"), "CN=estd issuing CA");
        assert_eq!(detail(event, "certificate_subject"), "CN=device-1");
        assert!(detail(event, "address").starts_with("127.0.0.1:"));
    };
    assert_eq!(send(&signed(&["/CN=device-1"])).await, 200);
    check(&last(&server, "certificate.issued"), "CN=device-1 [tester]");

    assert_eq!(send(&signed(&["/CN=device-1", "/CN=device-2"])).await, 403);
    let event = last(&server, "enrollment.rejected");
    assert_eq!(detail(&event, "rule"), "cmc.badIdentity");
    assert_eq!(detail(&event, "csr_subject"), "CN=device-1; CN=device-2");
    assert!(detail(&event, "reason").starts_with("enroll.names"), "{event:?}");

    // A wrong proof of identity: the account that it names, and the one of HTTP.
    let message = signed(&["/CN=device-1"]).control(control(3, 2, utf8("line-1")));
    let hash = seq(&[algorithm(SHA256), algorithm(HMAC_SHA256), oct(&[1; 32])]);
    assert_eq!(send(&message.control(control(4, 34, hash))).await, 403);
    let event = last(&server, "enrollment.rejected");
    check(&event, "tester");
    assert_eq!(detail(&event, "account"), "line-1");
}

#[tokio::test]
async fn first_user_5_an_issuance_and_its_retry_log_address_and_certificate() {
    let server = TestServer::start().await;
    let device = server.device("/CN=device-1").await;
    let issued = last(&server, "certificate.issued");
    assert!(detail(&issued, "address").starts_with("127.0.0.1:"));
    assert_eq!(issued.detail("certificate_serial"), None);
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let serial = estd::pki::Certificate::parse(&device.der()).unwrap().serial().to_string();
    for name in ["certificate.issued", "enrollment.retried"] {
        let mut connection = server.connect_as(&device).await;
        assert_eq!(connection.send(post("simplereenroll", &csr, "")).await.status, 200);
        let event = last(&server, name);
        let address = format!("127.0.0.1:{}", connection.local_port());
        assert_eq!(detail(&event, "address"), address);
        assert_eq!(detail(&event, "certificate_serial"), serial);
        assert_eq!(detail(&event, "certificate_issuer"), "CN=estd issuing CA");
        assert_eq!(detail(&event, "subject"), "CN=device-1");
    }
}

#[tokio::test]
async fn first_user_23_a_404_says_in_the_log_what_does_not_exist() {
    let server = TestServer::start_with("[label.a]\n").await;
    let mut reported = Vec::new();
    for (path, cause) in [
        ("nope/csrattrs", "there is no label nope"),
        ("a/fullcmc", "fullcmc is off under this label"),
        ("serverkeygen", "serverkeygen is off under this label"),
        ("nope/simpleenroll", "there is no label nope"),
    ] {
        let reply = server.send(post(path, b"x", "")).await;
        assert_eq!(reply.status, 404);
        if path != "nope/csrattrs" {
            reported.push(reply.text().split(" (request").next().unwrap().to_owned());
        }
        assert_eq!(detail(&last(&server, "request.rejected"), "cause"), cause);
    }
    reported.dedup();
    assert_eq!(reported.len(), 1, "{reported:?}");
}

/// proves: R-7030-3.2.3-d
#[tokio::test]
async fn d_41_a_client_is_challenged_where_a_password_helps_and_not_where_it_does_not() {
    let labels = "[label.cert]\naccept = [\"certificate\", \"ra\"]\n\
                  [label.both]\naccept = [[\"certificate\", \"password\"]]\nrenewal.accept = [[\"certificate\", \"password\"]]\n\
                  [label.digest]\naccept = [\"certificate\", \"password:digest\", \"ra\"]\n\
                  [label.once]\nrenewal.key = \"new\"\n";
    let server = TestServer::start_with(labels).await;
    let device = server.device("/CN=device-1").await;
    let (other, _) = new_csr(&["-subj", "/CN=device-2"]);
    let own = csr_with(&device.key, &["-subj", "/CN=device-1"]);
    let password = basic("tester", PASSWORD);
    for (path, csr, credentials, status) in [
        ("simpleenroll", &other, "", 401),
        ("digest/simpleenroll", &other, "", 401),
        // With the password it is granted.
        ("simpleenroll", &other, &*password, 200),
        // No password is accepted, or one was sent.
        ("cert/simpleenroll", &other, "", 403),
        // Rules that apply whatever the client sends.
        ("simplereenroll", &other, "", 403),
        ("once/simplereenroll", &own, "", 403),
        ("once/simpleenroll", &own, "", 403),
    ] {
        let reply = server.connect_as(&device).await.send(post(path, csr, credentials)).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.reason());
        assert_eq!(reply.header("WWW-Authenticate").is_some(), status == 401, "{path}");
        if status == 401 {
            assert!(reply.body.is_empty());
            assert!(reply.reason().starts_with("enroll.names"), "{}", reply.reason());
            let event = last(&server, "enrollment.rejected");
            assert_eq!(detail(&event, "csr_subject"), "CN=device-2");
            assert_eq!(detail(&event, "rule"), "enroll.names");
        }
    }
}

/// A challenge names the schemes of passwords that could help this client: of the alternatives whose
/// certificate it shows, or that need none.
///
/// proves: R-7030-3.2.3-d
#[tokio::test]
async fn d_41_a_challenge_has_the_schemes_that_could_help_the_client() {
    let labels = "[label.fleet]\naccept = [\"password\", \"certificate:bootstrap\"]\n\
                  renewal.accept = [[\"certificate\", \"password:digest\"]]\n\
                  [label.bootstrap]\naccept = [[\"certificate\", \"password:digest\"]]\n";
    let server = TestServer::start_with(labels).await;
    let (csr, key) = new_csr(&["-subj", "/CN=device-1"]);
    let reply = server.send(post("fleet/simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let device = Identity { pem: reply.certificate_pem(), key };
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let challenged = |reply: &Reply| -> Vec<String> {
        let fields = reply.headers.iter().filter(|(name, _)| name == "WWW-Authenticate");
        fields.map(|(_, value)| value.split(' ').next().unwrap().to_owned()).collect()
    };
    for (identity, path, schemes) in [
        (None, "fleet/simpleenroll", &["Basic"][..]),
        (Some(&device), "fleet/simplereenroll", &["Digest"]),
        (Some(&device), "bootstrap/simpleenroll", &["Digest"]),
    ] {
        let mut connection = match identity {
            Some(identity) => server.connect_as(identity).await,
            None => server.connect().await,
        };
        let reply = connection.send(post(path, &csr, "")).await;
        assert_eq!(
            (reply.status, challenged(&reply)),
            (401, schemes.iter().map(ToString::to_string).collect()),
            "{path}"
        );
    }
}
