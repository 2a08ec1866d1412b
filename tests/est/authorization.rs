//! Permissions of each kind of client, operation by operation (requirements of section 6).

use crate::common::*;

const LABELS: &str = "[profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n\
    [label.ra]\nprofile = \"ra\"\naccept = [\"password\"]\n\
    [label.fixed]\nrenewal.key = \"same\"\n\
    [label.free]\nnames.mode = \"any\"\n";

/// Each device of a fleet knows the password of its account.
#[tokio::test]
async fn an_account_of_all_labels_makes_no_registration_authority() {
    let server = TestServer::start_with(LABELS).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let auth = basic("tester", PASSWORD);
    assert_eq!(server.send(post("fixed/simpleenroll", &csr, &auth)).await.status, 200);
    let issued = server.issued().await.len();
    let reply = server.send(post("ra/simpleenroll", &csr, &auth)).await;
    assert_eq!(reply.status, 401, "{}", reply.text());
    assert_eq!(server.issued().await.len(), issued);
    server.registration_authority("/CN=line-1").await;
}

/// No renewal gives what `accept` does not give: cmcRA, or the proof `certificate:LABEL`.
#[tokio::test]
async fn a_renewal_under_another_label_gives_no_rights() {
    let server = TestServer::start_with(&format!(
        "{LABELS}[label.identity]\naccept = [\"certificate:bootstrap\"]\n\
         [label.bootstrap]\naccept = [\"password\"]\n\
         [label.device]\naccept = [\"certificate:identity\"]\n"
    ))
    .await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let issued = server.issued().await.len();
    for label in ["ra", "identity", "bootstrap", "device"] {
        for operation in ["simplereenroll", "simpleenroll"] {
            let path = format!("{label}/{operation}");
            let reply = server.connect_as(&device).await.send(post(&path, &csr, "")).await;
            assert!([401, 403].contains(&reply.status), "{path}: {}", reply.status);
        }
    }
    assert_eq!(server.issued().await.len(), issued);

    // The chain: each certificate is the proof for the next, of the same name, and renews under its label.
    let mut shown = None;
    for label in ["bootstrap", "identity", "device"] {
        let (csr, key) = new_csr(&["-subj", "/CN=edge-1"]);
        let mut connection = match &shown {
            None => server.connect().await,
            Some(identity) => server.connect_as(identity).await,
        };
        let password = if shown.is_none() { basic("tester", PASSWORD) } else { String::new() };
        let reply = connection.send(post(&format!("{label}/simpleenroll"), &csr, &password)).await;
        assert_eq!(reply.status, 200, "{label}: {}", reply.text());
        let identity = Identity { pem: reply.certificate_pem(), key };
        let records = server.issued().await;
        assert!(records.last().unwrap().intent.predecessor.is_none(), "{label}");
        for operation in ["simpleenroll", "simplereenroll"] {
            let (csr, _) = new_csr(&["-subj", "/CN=edge-1"]);
            let path = format!("{label}/{operation}");
            let reply = server.connect_as(&identity).await.send(post(&path, &csr, "")).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            let records = server.issued().await;
            assert!(records.last().unwrap().intent.predecessor.is_some(), "{path}");
        }
        shown = Some(identity);
    }
}

/// Without a label, too: `[est]` may have another profile than the label of a certificate.
#[tokio::test]
async fn a_renewal_without_a_label_gives_no_rights_of_est() {
    let server = TestServer::start_with(
        "[est]\naccept = [\"password\"]\n[label.boot]\naccept = [\"password\"]\n",
    )
    .await;
    let (csr, key) = new_csr(&["-subj", "/CN=device-1"]);
    let request = post("boot/simpleenroll", &csr, &basic("tester", PASSWORD));
    let reply = server.connect().await.send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let device = Identity { pem: reply.certificate_pem(), key };
    let issued = server.issued().await.len();
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for (operation, status) in [("simplereenroll", 403), ("simpleenroll", 401)] {
        let reply = server.connect_as(&device).await.send(post(operation, &csr, "")).await;
        assert_eq!(reply.status, status, "{operation}: {}", reply.text());
    }
    assert_eq!(server.issued().await.len(), issued);
    let reply = server.connect_as(&device).await.send(post("boot/simplereenroll", &csr, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// A kind of client.
struct Asking<'a> {
    who: &'static str,
    certificate: Option<&'a Identity>,
    credentials: String,
    /// The statuses of six requests. A first certificate: for its own names, for others. A
    /// re-enrollment: under its own names, under others, with a new key where the old one must stay.
    /// Last, a first certificate where any name is allowed.
    expected: [u16; 6],
}

#[tokio::test]
async fn r_7030_3_7_a_each_request_is_held_against_what_its_client_may_ask_for() {
    let server = TestServer::start_with(LABELS).await;
    server.add_account("elsewhere", "pw", Some(vec!["ra"])).await;
    let device = server.device("/CN=device-1").await;
    let ra = server.registration_authority("/CN=line-1").await;
    let (_, stranger) = stranger(server.folder.path(), "/CN=device-1", "");
    let password = basic("tester", PASSWORD);
    let clients = [
        Asking {
            who: "nobody",
            certificate: None,
            credentials: String::new(),
            expected: [401, 401, 403, 403, 403, 401],
        },
        Asking {
            who: "a wrong password",
            certificate: None,
            credentials: basic("tester", "wrong"),
            expected: [401, 401, 403, 403, 403, 401],
        },
        Asking {
            who: "an account of another label",
            certificate: None,
            credentials: basic("elsewhere", "pw"),
            expected: [401, 401, 403, 403, 403, 401],
        },
        Asking {
            who: "a certificate of somebody else's CA",
            certificate: Some(&stranger),
            credentials: String::new(),
            expected: [401, 401, 403, 403, 403, 401],
        },
        // A password permits any name, but no renewal.
        Asking {
            who: "an account",
            certificate: None,
            credentials: password.clone(),
            expected: [200, 200, 403, 403, 403, 200],
        },
        Asking {
            who: "a device",
            certificate: Some(&device),
            credentials: String::new(),
            // Another name needs a password, so a challenge is sent (D-41).
            expected: [200, 401, 200, 403, 403, 200],
        },
        Asking {
            who: "a device with a password",
            certificate: Some(&device),
            credentials: password,
            expected: [200, 200, 200, 403, 403, 200],
        },
        // An RA renews its own certificate.
        Asking {
            who: "a registration authority",
            certificate: Some(&ra),
            credentials: String::new(),
            expected: [200, 200, 403, 403, 403, 200],
        },
    ];
    for asking in &clients {
        for (number, (operation, name)) in [
            ("simpleenroll", "/CN=device-1"),
            ("simpleenroll", "/CN=device-2"),
            ("simplereenroll", "/CN=device-1"),
            ("simplereenroll", "/CN=device-2"),
            ("fixed/simplereenroll", "/CN=device-1"),
            ("free/simpleenroll", "/CN=device-3"),
        ]
        .into_iter()
        .enumerate()
        {
            let (csr, _) = new_csr(&["-subj", name]);
            let before = server.issued().await.len();
            let mut connection = match asking.certificate {
                Some(certificate) => server.connect_as(certificate).await,
                None => server.connect().await,
            };
            let reply = connection.send(post(operation, &csr, &asking.credentials)).await;
            let what = format!("{}: {operation} {name}: {}", asking.who, reply.text());
            assert_eq!(reply.status, asking.expected[number], "{what}");
            let issued = server.issued().await.len() - before;
            assert_eq!(issued, usize::from(reply.status == 200), "{what}");
        }
    }
}

/// A known client without permission is rejected without a challenge if no password would help
/// (D-41).
#[tokio::test]
async fn r_7030_3_2_3_d_known_and_not_allowed_is_403_without_a_challenge() {
    let server = TestServer::start_with(&format!("{LABELS}[label.cert]\naccept = [\"certificate\", \"ra\"]\n[label.other]\nca = \"other\"\n[ca.default]\n[ca.other]\nroot_subject = \"CN=Other root\"\nissuing_subject = \"CN=Other issuing\"\n")).await;
    let device = server.device("/CN=device-1").await;
    for (operation, name) in [
        ("cert/simpleenroll", "/CN=device-2"),
        ("simplereenroll", "/CN=device-2"),
        ("fixed/simplereenroll", "/CN=device-1"),
        ("other/simplereenroll", "/CN=device-1"),
    ] {
        let (csr, _) = new_csr(&["-subj", name]);
        let reply = server.connect_as(&device).await.send(post(operation, &csr, "")).await;
        assert_eq!(reply.status, 403, "{operation} {name}");
        assert!(reply.header("WWW-Authenticate").is_none(), "{operation} {name}");
        assert!(reply.text().contains("; expected: "), "{}", reply.text());
    }
}
