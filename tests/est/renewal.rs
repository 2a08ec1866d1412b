//! The rules of renewal at every boundary, for each operation, key, predecessor and proof (D-32, D-35,
//! D-39). The expectation is computed here, from the configuration alone.

use crate::{common::*, devices::register};
use estd::{
    pki::Certificate,
    store::{DeviceStanding, Identifier},
    types::Time,
};
use std::collections::BTreeMap;

const DAY: u64 = 86_400;
/// From 5 minutes before the issue to the last second of 90 days.
const START: u64 = NOW - 300;
const END: u64 = NOW + 90 * DAY - 1;
const WINDOW: u64 = START + (END - START) / 2;
const DUE: u64 = START + (END - START) * 2 / 3;
const GRACE: u64 = END + DAY;

const NAME: &str = "/CN=device-1";

/// A label, and a device that asks at every boundary.
struct Case {
    label: String,
    key: &'static str,
    with_password: bool,
    device: Identity,
}

fn labels() -> impl Iterator<Item = (String, &'static str, bool, bool)> {
    ["new", "same", "either"].into_iter().flat_map(|key| {
        [false, true].into_iter().flat_map(move |supersedes| {
            [false, true].into_iter().map(move |with_password| {
                let label = format!("{key}-{supersedes}-{with_password}");
                (label, key, supersedes, with_password)
            })
        })
    })
}

fn configuration() -> String {
    let section = |(label, key, supersedes, with_password): (String, &str, bool, bool)| {
        let accept =
            if with_password { "[[\"certificate\", \"password\"]]" } else { "[\"certificate\"]" };
        let predecessor = if supersedes { "\"supersede\"\ndelay = \"1d\"" } else { "\"keep\"" };
        format!(
            "[label.{label}]\nretry_window = \"0s\"\naccept = {accept}\n[label.{label}.renewal]\n\
             accept = {accept}\nwindow = \"50%\"\ndue = \"2/3\"\ngrace = \"1d\"\nkey = {key:?}\n\
             predecessor = {predecessor}\n"
        )
    };
    labels().map(section).collect()
}

/// The status and the code of the answer; no code for a certificate.
fn expected(
    case: &Case,
    same_key: bool,
    sends_password: bool,
    now: u64,
) -> (u16, Option<&'static str>) {
    let wrong_key = match case.key {
        "new" if same_key => Some("reenroll.key-reuse"),
        "same" if !same_key => Some("reenroll.key-change"),
        _ => None,
    };
    match wrong_key {
        _ if now > GRACE => (403, Some("auth.certificate")),
        _ if case.with_password && !sends_password => (401, Some("auth.password")),
        Some(code) => (403, Some(code)),
        None if now < WINDOW => (403, Some("renewal.early")),
        None => (200, None),
    }
}

#[tokio::test]
async fn d_32_every_boundary_by_each_operation_key_predecessor_and_proof() {
    let server = TestServer::start_with(&configuration()).await;
    let mut cases = Vec::new();
    for (label, key, _, with_password) in labels() {
        let device = server.device(NAME).await;
        cases.push(Case { label, key, with_password, device });
    }
    let (rekey, _) = new_csr(&["-subj", NAME]);
    let boundaries = [("window", WINDOW), ("due", DUE), ("expiry", END), ("grace", GRACE)];
    let password = basic("tester", PASSWORD);
    let mut asked = BTreeMap::<u16, usize>::new();
    for (boundary, time) in boundaries {
        for now in time - 1..=time + 1 {
            server.clock.set(Time::from_unix(now));
            for case in &cases {
                let renew = csr_with(&case.device.key, &["-subj", NAME]);
                let mut connection = server.connect_as(&case.device).await;
                for operation in ["simpleenroll", "simplereenroll"] {
                    for (same_key, csr) in [(true, &renew), (false, &rekey)] {
                        for credentials in ["", &password] {
                            if !case.with_password && !credentials.is_empty() {
                                continue;
                            }
                            let path = format!("{}/{operation}", case.label);
                            let reply = connection.send(post(&path, csr, credentials)).await;
                            let what = format!(
                                "{path}, same key: {same_key}, password: {}, {boundary}{:+}: {}",
                                !credentials.is_empty(),
                                now.cast_signed() - time.cast_signed(),
                                reply.reason()
                            );
                            let (status, code) =
                                expected(case, same_key, !credentials.is_empty(), now);
                            assert_eq!(reply.status, status, "{what}");
                            *asked.entry(status).or_default() += 1;
                            if status != 401
                                && let Some(code) = code
                            {
                                assert!(reply.reason().starts_with(code), "{what}");
                            }
                            let early = code == Some("renewal.early");
                            let seconds = early.then(|| (WINDOW - now).to_string());
                            assert_eq!(reply.header("Retry-After"), seconds.as_deref(), "{what}");
                            if early {
                                let date = format!("from {}", Time::from_unix(WINDOW));
                                assert!(reply.reason().contains(&date), "{what}");
                            }
                            if reply.header("Connection").is_some_and(|value| value == "close") {
                                connection = server.connect_as(&case.device).await;
                            }
                        }
                    }
                }
            }
        }
    }
    // Each time has 12 labels, of which 6 are asked with a password, too; 2 operations, 2 keys.
    assert_eq!(asked.values().sum::<usize>(), 12 * (6 + 12) * 4);
    assert_eq!(asked.len(), 3, "{asked:?}");
}

/// The delay, for each label, operation and key that is allowed.
#[tokio::test]
async fn d_35_the_delay_by_each_operation_key_predecessor_and_proof() {
    let server = TestServer::start_with(&configuration()).await;
    let mut cases = Vec::new();
    for operation in ["simpleenroll", "simplereenroll"] {
        for (label, key, supersedes, with_password) in labels() {
            for same_key in [true, false] {
                if (key == "new" && same_key) || (key == "same" && !same_key) {
                    continue;
                }
                let device = server.device(NAME).await;
                let path = format!("{label}/{operation}");
                cases.push((path, supersedes, with_password, same_key, device));
            }
        }
    }
    server.clock.set(Time::from_unix(WINDOW));
    let (rekey, _) = new_csr(&["-subj", NAME]);
    let password = basic("tester", PASSWORD);
    for (path, _, with_password, same_key, device) in &cases {
        let renew = csr_with(&device.key, &["-subj", NAME]);
        let csr = if *same_key { &renew } else { &rekey };
        let credentials = if *with_password { password.as_str() } else { "" };
        let reply = server.connect_as(device).await.send(post(path, csr, credentials)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.reason());
    }
    for now in WINDOW + DAY - 1..=WINDOW + DAY + 1 {
        server.clock.set(Time::from_unix(now));
        server.running.supersede().await.unwrap();
        for (path, supersedes, _, same_key, device) in &cases {
            let certificate = Certificate::parse(&device.der()).unwrap();
            let record = server.running.store().find(certificate.serial()).await.unwrap().unwrap();
            let expected = *supersedes && now >= WINDOW + DAY;
            let what = format!("{path}, same key: {same_key}, at {now}");
            assert_eq!(record.revocation.is_some(), expected, "{what}");
        }
    }
}

/// A client that has lost its key enrolls again at any time (a replacement): no window.
#[tokio::test]
async fn d_32_a_replacement_by_password_has_no_window() {
    let server = TestServer::start_with("[est.renewal]\nwindow = \"1s\"\ndue = \"100%\"").await;
    let device = server.device(NAME).await;
    let (csr, _) = new_csr(&["-subj", NAME]);
    let early = server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await;
    assert_eq!(early.status, 403, "{}", early.text());
    assert!(early.text().starts_with("renewal.early: "), "{}", early.text());
    let reply = server.enroll(&csr).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let last = server.events_named("certificate.issued").pop().unwrap();
    assert!(last.details.iter().all(|(name, _)| name != "predecessor"), "{last:?}");
}

/// The record of the certificate has the id that was derived before the device was registered by its key.
#[tokio::test]
async fn a_late_retry_of_a_device_that_was_blocked_meanwhile_is_rejected() {
    let server = TestServer::start_with("[est.renewal]\ngrace = \"1d\"").await;
    let device = server.device(NAME).await;
    let first = server.issued().await.pop().unwrap().intent.spki_sha256;
    server.clock.set(Time::from_unix(GRACE));
    let (csr, _) = new_csr(&["-subj", NAME]);
    let ask =
        async || server.connect_as(&device).await.send(post("simplereenroll", &csr, "")).await;
    assert_eq!(ask().await.status, 200);
    server.clock.set(Time::from_unix(GRACE + 1));
    assert_eq!(ask().await.status, 200, "the first answer again");
    register(&server, "pump-7", |device| {
        device.identifiers.push(Identifier::Key(first));
        device.standing = DeviceStanding::Blocked;
    })
    .await;
    let reply = ask().await;
    assert_eq!(reply.status, 403);
    assert!(reply.reason().starts_with("device.standing: "), "{}", reply.reason());
}

/// The retry of a request in time: its certificate has expired beyond grace since, or the label's window
/// was changed.
async fn retried_in(backend: &str) {
    const LABELS: &str = "[est.renewal]\ngrace = \"1d\"\n[label.both]\naccept = [[\"certificate\", \"password\"]]\n\
         [label.both.renewal]\ngrace = \"1d\"\naccept = [[\"certificate\", \"password\"]]\n";
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder, LABELS, backend, NOW).await;
    if backend != "memory" {
        server.add_account("tester", PASSWORD, None).await;
    }
    let device = server.device(NAME).await;
    let password = basic("tester", PASSWORD);
    let send = async |path: &str, csr: &[u8], credentials: &str| {
        server.connect_as(&device).await.send(post(path, csr, credentials)).await
    };
    // Expired, under each path; the last requests in time are answered until their window ends.
    let paths = ["simplereenroll", "simpleenroll", "both/simplereenroll", "both/simpleenroll"];
    let credentials = |path: &str| if path.starts_with("both") { password.as_str() } else { "" };
    server.clock.set(Time::from_unix(GRACE));
    let mut first = Vec::new();
    for path in paths {
        let (csr, _) = new_csr(&["-subj", NAME]);
        let reply = send(path, &csr, credentials(path)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.reason());
        first.push((path, csr, reply.certificate_pem()));
    }
    let issued = server.issued().await.len();
    for (now, in_time) in [(1, true), (599, true), (600, false), (601, false)] {
        server.clock.set(Time::from_unix(GRACE + now));
        let (other, _) = new_csr(&["-subj", NAME]);
        for (path, csr, certificate) in &first {
            let reply = send(path, csr, credentials(path)).await;
            let late = if *path == "simpleenroll" { 401 } else { 403 };
            assert_eq!(reply.status, if in_time { 200 } else { late }, "{path} +{now}");
            if in_time {
                assert_eq!(reply.certificate_pem(), *certificate, "{path} +{now}");
            } else {
                assert!(reply.reason().contains("expired at"), "{}", reply.reason());
            }
            let reply = send(path, &other, credentials(path)).await;
            assert_eq!(reply.status, late, "{path} +{now}: {}", reply.reason());
            assert!(reply.reason().contains("expired at"), "{}", reply.reason());
            // Without the password it is nobody's retry.
            if path.starts_with("both") {
                let status = send(path, csr, "").await.status;
                assert_eq!(status, if now < 601 { 401 } else { 403 }, "{path} +{now}");
            }
        }
    }
    assert_eq!(server.issued().await.len(), issued, "nothing new");

    // The window is changed after the first request.
    server.clock.set(Time::from_unix(NOW));
    let (csr, _) = new_csr(&["-subj", NAME]);
    let first = send("simplereenroll", &csr, "").await.certificate_pem();
    let text = server
        .text()
        .replace("[est.renewal]\n", "[est.renewal]\nwindow = \"1d\"\ndue = \"100%\"\n");
    let settings = estd::config::parse(&text, &server.path("est.toml"), &|_| None).unwrap();
    server.running.reload(settings).await.unwrap();
    assert_eq!(send("simplereenroll", &csr, "").await.certificate_pem(), first);
    let (other, _) = new_csr(&["-subj", NAME]);
    let reply = send("simplereenroll", &other, "").await;
    assert!(reply.text().starts_with("renewal.early: "), "{}", reply.text());
    assert_eq!(server.events_named("enrollment.retried").len(), 9);
    server.running.stop().await;
}

#[tokio::test]
async fn r_7030_4_2_3_f_a_retry_of_a_renewal_always_works() {
    retried_in("memory").await;
}

#[tokio::test]
async fn r_7030_4_2_3_f_a_retry_of_a_renewal_always_works_on_sled() {
    retried_in("sled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_7030_4_2_3_f_a_retry_of_a_renewal_always_works_on_postgresql() {
    let database = crate::postgres::Postgres::start();
    database.sql("postgres", "CREATE DATABASE estd");
    let socket = database.socket().display();
    retried_in(&format!("postgres\"\nconnection = \"host={socket} dbname=estd user=estd")).await;
}
