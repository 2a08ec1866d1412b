//! The operator's calls to a running server: warnings, state, reload, renewal.

use crate::common::*;
use estd::{
    api::{Reload, RenewServerCertificate, Revoke, ShowStatus},
    client::operator::ask,
    server::{Repeat, Warning},
};
use std::{fs, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The hourly check of a running server.
async fn hour(server: &TestServer) -> Vec<Warning> {
    server.clock.advance(HOUR);
    let _ = server.running.renew_if_due().await;
    server.running.reminders().await
}

#[tokio::test]
async fn the_end_of_a_ca_is_announced_daily_and_then_hourly() {
    // 90 days of a certificate and 60 of notice before the end.
    let server = TestServer::start_with("[ca.default]\nissuing_validity = \"200d\"").await;
    assert_eq!(server.running.reminders().await, []);
    server.clock.advance(DAY * 49);
    assert_eq!(hour(&server).await, []);
    server.clock.advance(DAY);
    let first = hour(&server).await;
    assert_eq!(first.len(), 1, "{first:?}");
    let only = &first[0];
    assert!(only.about == "[ca.default]" && only.text.contains("in 149 days"), "{only:?}");
    assert!(only.remedy.contains("[ca.NAME]") && only.repeat == Repeat::Daily, "{only:?}");
    // Each day, not each hour.
    let mut reported = 0;
    for _ in 0..48 {
        reported += hour(&server).await.len();
    }
    assert_eq!(reported, 2);
    // Certificates are cut to its end, the server's among them.
    server.clock.advance(DAY * 90);
    let later = hour(&server).await;
    assert!(
        later.iter().any(|one| one.text.contains("that it issues expire with it")),
        "{later:?}"
    );
    let own = later.iter().find(|one| one.about == "[server.certificate]").unwrap();
    assert!(own.text.contains("expires with its CA"), "{own:?}");
    // In the last week each hour.
    server.clock.advance(DAY * 53);
    for _ in 0..3 {
        let each = hour(&server).await;
        assert!(each.iter().all(|one| one.repeat == Repeat::Hourly) && each.len() == 2, "{each:?}");
    }
    server.clock.advance(DAY * 8);
    let over = hour(&server).await;
    assert!(over.iter().any(|one| one.text.contains("it issues nothing")), "{over:?}");
    let own = over.iter().find(|one| one.about == "[server.certificate]").unwrap();
    assert!(own.text.contains("its last renewal failed: CA default"), "{own:?}");
}

#[tokio::test]
async fn after_the_end_of_its_ca_a_start_serves_what_it_can_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let short = "[ca.default]\nissuing_validity = \"100d\"";
    let folder = TestServer::start_in(folder, short, "sled", NOW).await.stop().await;
    let server = TestServer::start_in(folder, short, "sled", NOW + 101 * 86_400).await;
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
    server.add_account("tester", PASSWORD, None).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    assert_eq!(server.enroll(&csr).await.status, 503);
    let status = ask(server.running.socket().unwrap(), &ShowStatus {}).await.unwrap();
    let about: Vec<&str> = status.warnings.iter().map(|one| one.about.as_str()).collect();
    assert_eq!(about, ["[ca.default]", "[server.certificate]"]);
    assert!(status.warnings[1].warning.contains("expired at"), "{status:?}");
    // Without a certificate to show there is nothing to serve with, and the error names the remedy.
    let folder = server.stop().await;
    fs::remove_dir_all(folder.path().join("data/server")).unwrap();
    let text = format!("version = 1\n[server]\nlisten = [\"127.0.0.1:0\"]\n{short}");
    let settings = estd::config::parse(&text, &folder.path().join("est.toml"), &|_| None).unwrap();
    let environment = estd::server::Environment {
        clock: std::sync::Arc::new(estd::clock::SetClock::new(estd::types::Time::from_unix(
            NOW + 101 * 86_400,
        ))),
        entropy: std::sync::Arc::new(estd::entropy::SystemEntropy::new()),
        trail: std::sync::Arc::new(Kept::default()),
    };
    let error = estd::server::start(settings, environment).await.err().unwrap();
    assert!(error.remedy().contains("[server.certificate] ca"), "{}", error.remedy());
}

#[tokio::test]
async fn a_revoked_certificate_of_the_server_is_replaced() {
    let server = TestServer::start().await;
    let first = server.running.certificate().await;
    assert!(!server.running.renew_if_revoked().await.unwrap());
    let serials = vec![first.serial().to_string()];
    let revoke = Revoke { serials, reason: None, comment: None };
    ask(server.running.socket().unwrap(), &revoke).await.unwrap();
    assert!(server.running.renew_if_revoked().await.unwrap());
    let second = server.running.certificate().await;
    assert_ne!(first.serial(), second.serial());
    let shown = server.connect().await.tls().peer_certificates().unwrap()[0].to_vec();
    assert_eq!(shown, second.der());
    let issued = server.events_named("certificate.issued");
    let reason = &issued.last().unwrap().details;
    assert!(reason.contains(&("reason".to_owned(), "the one before is revoked".to_owned())));
    assert!(!server.running.renew_if_revoked().await.unwrap());
}

#[tokio::test]
async fn an_operator_renews_the_servers_certificate() {
    let server = TestServer::start().await;
    let socket = server.running.socket().unwrap();
    let first = ask(socket, &ShowStatus {}).await.unwrap().server_certificate;
    let second = ask(socket, &RenewServerCertificate {}).await.unwrap();
    assert_ne!(first.serial, second.serial);
    assert_eq!(second.names, ["dns:localhost", "ip:127.0.0.1", "ip:::1"]);
    let shown = server.connect().await.tls().peer_certificates().unwrap()[0].to_vec();
    let shown = estd::pki::Certificate::parse(&shown).unwrap();
    assert_eq!(shown.serial().to_string(), second.serial);
    let issued = server.events_named("certificate.issued");
    assert_eq!(issued.last().unwrap().actor.method.to_string(), "operator");
    // A certificate that cannot be stored is not issued, and the status names the reason.
    let obstacle = server.path("data/server/.server.pem.unfinished");
    fs::create_dir(&obstacle).unwrap();
    let error = ask(socket, &RenewServerCertificate {}).await.unwrap_err().to_string();
    assert!(error.contains(".server.pem.unfinished"), "{error}");
    let status = ask(socket, &ShowStatus {}).await.unwrap();
    assert!(status.warnings[0].warning.contains("failed"), "{:?}", status.warnings);
}

#[tokio::test]
async fn the_status_names_what_an_operator_asks_for() {
    let server = TestServer::start().await;
    server.clock.advance(HOUR);
    let _open = server.connect().await;
    let status = ask(server.running.socket().unwrap(), &ShowStatus {}).await.unwrap();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.uptime_seconds, 3600);
    assert_eq!(status.listen, [server.address().to_string()]);
    assert_eq!((status.connections, status.accounts), (1, Some(1)));
    assert_eq!((status.store.backend.as_str(), status.store.error), ("memory", None));
    assert_eq!(status.cas[0].name, "default");
    assert!(status.cas[0].root_not_after > status.cas[0].issuing_not_after);
    assert_eq!((status.reload, status.warnings), (None, vec![]));
}

#[tokio::test]
async fn a_reload_answers_with_its_verdict() {
    let server = TestServer::start().await;
    let socket = server.running.socket().unwrap();
    let write = |more: &str| {
        let text = format!(
            "version = 1\nest.renewal.window = \"36500d\"\n[store]\nbackend = \"memory\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n{more}"
        );
        fs::write(server.path("est.toml"), text).unwrap();
    };
    // No file: the test server never wrote one.
    let verdict = ask(socket, &Reload {}).await.unwrap();
    assert!(!verdict.in_force && verdict.errors[0].code == "E-CONFIG-FILE", "{verdict:?}");
    write("max_body = 2048\n[label.new]\n[audit]\nterminal = \"quiet\"\n");
    let verdict = ask(socket, &Reload {}).await.unwrap();
    assert!(verdict.in_force && verdict.errors.is_empty(), "{verdict:?}");
    assert_eq!(verdict.changed, ["[server]", "[label.new] (added)"]);
    assert_eq!(verdict.needs_restart, ["[audit]"]);
    assert_eq!(server.get("/.well-known/est/new/cacerts").await.status, 200);
    write("max_body = 1\n[label.new]\nprofle = \"x\"\n");
    let verdict = ask(socket, &Reload {}).await.unwrap();
    let keys: Vec<&str> = verdict.errors.iter().map(|one| one.key.as_str()).collect();
    assert_eq!((verdict.in_force, keys), (false, vec!["[server] max_body", "[label.new] profle"]));
    assert!(verdict.errors.iter().all(|one| !one.remedy.is_empty()));
    let status = ask(socket, &ShowStatus {}).await.unwrap();
    assert_eq!(status.reload, Some(verdict));
    let rejected = server.events_named("server.reload-rejected");
    assert_eq!((rejected.len(), rejected[0].actor.method.to_string()), (2, "operator".to_owned()));
    assert_eq!(server.get("/.well-known/est/new/cacerts").await.status, 200, "the old ones stay");
}
