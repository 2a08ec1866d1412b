//! The server's life cycle: first start, second start, partial folders, reload, renewal, end.

use crate::common::*;
use estd::{
    api::call::{EncodedCall, Method},
    client::operator::{ask, send},
    clock::SetClock,
    config,
    entropy::SystemEntropy,
    server::{self, Environment},
    types::{DeviceId, Time},
};
use std::{
    collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration,
};

/// Every file below a folder with its content, but for the store's own and the socket.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            out.extend(
                files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)),
            );
        } else if path.is_file() {
            out.insert(name, fs::read(&path).unwrap());
        }
    }
    out.retain(|name, _| !name.starts_with("store/"));
    out
}

async fn start_again(folder: &Path, more: &str) -> Result<server::Running, server::Error> {
    let text = format!("version = 1\n[server]\nlisten = [\"127.0.0.1:0\"]\n{more}");
    let settings =
        config::parse(&text, &folder.join("est.toml"), &|_| Some("secret".to_owned())).unwrap();
    let environment = Environment {
        clock: Arc::new(SetClock::new(Time::from_unix(NOW))),
        entropy: Arc::new(SystemEntropy::new()),
        trail: Arc::new(Kept::default()),
    };
    server::start(settings, environment).await
}

#[tokio::test]
async fn a_first_start_makes_what_is_missing_and_a_second_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = start_again(folder.path(), "").await.unwrap();
    let account = first.first_account().await.unwrap().unwrap();
    assert_eq!(account.password().len(), 20);
    let password = account.password().as_str().to_owned();
    first.record_first_account(account).await.unwrap();
    assert!(first.first_account().await.unwrap().is_none());
    let data = folder.path().join("data");
    for (name, mode) in [
        ("", 0o700),
        ("ca", 0o700),
        ("ca/default", 0o700),
        ("ca/default/root.key", 0o600),
        ("ca/default/issuing.key", 0o600),
        ("server", 0o700),
        ("server/server.pem", 0o600),
        ("store", 0o700),
        ("estd.sock", 0o600),
    ] {
        let seen = fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(seen, mode, "{name:?}: {seen:o}");
    }
    first.stop().await;
    let before = files(&data);
    assert!(before.values().all(|bytes| !String::from_utf8_lossy(bytes).contains(&password)));
    let second = start_again(folder.path(), "").await.unwrap();
    assert!(second.first_account().await.unwrap().is_none());
    second.stop().await;
    assert_eq!(files(&data), before);
}

#[tokio::test]
async fn an_account_does_not_come_back_after_the_operator_removed_it() {
    let folder = tempfile::tempdir().unwrap();
    let running = start_again(folder.path(), "").await.unwrap();
    let account = running.first_account().await.unwrap().unwrap();
    running.record_first_account(account).await.unwrap();
    let remove = estd::api::RemoveUser { name: "enroll".to_owned() };
    ask(running.socket().unwrap(), &remove).await.unwrap();
    running.stop().await;
    let running = start_again(folder.path(), "").await.unwrap();
    assert!(running.first_account().await.unwrap().is_none());
    running.stop().await;
}

#[tokio::test]
async fn a_half_made_folder_is_completed_or_rejected_and_never_overwritten() {
    // Killed while the CA was created: files without their final name are created again.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for path in [&data, &data.join("ca"), &data.join("ca/.default.unfinished")] {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::write(data.join("ca/.default.unfinished/root.key"), "half").unwrap();
    start_again(folder.path(), "").await.unwrap().stop().await;
    assert!(!data.join("ca/.default.unfinished").exists());
    // Killed before the server's own certificate existed: issued.
    fs::remove_file(data.join("server/server.pem")).unwrap();
    start_again(folder.path(), "").await.unwrap().stop().await;
    assert!(data.join("server/server.pem").exists());
    // Parts of a CA are missing: the error names the remedy, and the remaining files stay.
    for missing in ["issuing.key", "issuing.pem", "root.pem"] {
        let path = data.join("ca/default").join(missing);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let before = files(&data.join("ca"));
        let error = start_again(folder.path(), "").await.err().unwrap();
        assert!(error.to_string().contains(missing), "{error}");
        assert!(error.remedy().contains("backup"), "{}", error.remedy());
        assert_eq!(files(&data.join("ca")), before);
        fs::write(&path, kept).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    // The root's key may be kept elsewhere.
    fs::remove_file(data.join("ca/default/root.key")).unwrap();
    start_again(folder.path(), "").await.unwrap().stop().await;
}

#[tokio::test]
async fn a_ca_that_the_store_does_not_know_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    start_again(folder.path(), "").await.unwrap().stop().await;
    let home = folder.path().join("data/ca/default");
    let aside = folder.path().join("aside");
    // Missing: no new one is created under its name.
    fs::rename(&home, &aside).unwrap();
    let error = start_again(folder.path(), "").await.err().unwrap();
    assert!(error.to_string().contains("its keys are not here"), "{error}");
    assert!(error.remedy().contains("copy this folder"), "{}", error.remedy());
    assert!(!home.exists());
    // Another one.
    let other = tempfile::tempdir().unwrap();
    start_again(other.path(), "").await.unwrap().stop().await;
    fs::rename(other.path().join("data/ca/default"), &home).unwrap();
    let error = start_again(folder.path(), "").await.err().unwrap();
    assert!(error.to_string().contains("not the CA that the store knows"), "{error}");
    fs::remove_dir_all(&home).unwrap();
    fs::rename(&aside, &home).unwrap();
    start_again(folder.path(), "").await.unwrap().stop().await;
}

#[tokio::test]
async fn keys_that_others_may_read_or_that_do_not_fit_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    start_again(folder.path(), "").await.unwrap().stop().await;
    let key = folder.path().join("data/ca/default/issuing.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = start_again(folder.path(), "").await.err().unwrap();
    assert!(error.to_string().contains("mode 640"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let good = fs::read(&key).unwrap();
    fs::write(&key, new_key("EC")).unwrap();
    let error = start_again(folder.path(), "").await.err().unwrap();
    assert!(error.to_string().contains("not the one in issuing.pem"), "{error}");
    fs::write(&key, good).unwrap();
    fs::set_permissions(folder.path().join("data"), fs::Permissions::from_mode(0o755)).unwrap();
    let error = start_again(folder.path(), "").await.err().unwrap();
    assert!(error.remedy().starts_with("chmod 700 "), "{error}: {}", error.remedy());
}

#[tokio::test]
async fn a_passphrase_encrypts_every_private_key() {
    let folder = tempfile::tempdir().unwrap();
    let with = "[keys]\npassphrase_env = \"ANY\"";
    start_again(folder.path(), with).await.unwrap().stop().await;
    for (name, bytes) in files(&folder.path().join("data")) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("BEGIN PRIVATE KEY"), "{name}");
        if text.contains("PRIVATE KEY") {
            assert!(text.contains("BEGIN ENCRYPTED PRIVATE KEY"), "{name}");
            openssl_with(&["pkey", "-passin", "pass:secret", "-noout"], &bytes);
        }
    }
    start_again(folder.path(), with).await.unwrap().stop().await;
    let error = start_again(folder.path(), "").await.err().unwrap();
    assert!(error.remedy().contains("passphrase"), "{error}: {}", error.remedy());
}

#[tokio::test]
async fn a_second_server_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let running = start_again(folder.path(), "").await.unwrap();
    let error = start_again(folder.path(), "").await.err().unwrap();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn the_server_renews_its_own_certificate_when_a_third_of_its_life_is_left() {
    let server = TestServer::start().await;
    let first = server.running.certificate().await;
    server.clock.advance(Duration::from_secs(59 * 86_400));
    assert!(!server.running.renew_if_due().await.unwrap());
    server.clock.advance(Duration::from_secs(2 * 86_400));
    let open = server.connect().await;
    assert!(server.running.renew_if_due().await.unwrap());
    let second = server.running.certificate().await;
    assert_ne!(first.serial(), second.serial());
    let shown = server.connect().await.tls().peer_certificates().unwrap()[0].to_vec();
    assert_eq!(shown, second.der());
    assert_eq!(
        open.tls().peer_certificates().unwrap()[0].to_vec(),
        first.der(),
        "old connections live on"
    );
    assert!(!server.running.renew_if_due().await.unwrap());
}

#[tokio::test]
async fn a_certificate_of_its_own_that_cannot_be_kept_is_not_issued() {
    let server = TestServer::start().await;
    let first = server.running.certificate().await;
    server.clock.advance(Duration::from_secs(61 * 86_400));
    // Nothing can be written there, not even by root.
    let obstacle = server.path("data/server/.server.pem.unfinished");
    fs::create_dir(&obstacle).unwrap();
    let issued = server.issued().await.len();
    for _ in 0..3 {
        let error = server.running.renew_if_due().await.unwrap_err();
        assert!(error.to_string().contains(".server.pem.unfinished"), "{error}");
        assert!(error.remedy().contains("move the folder away"), "{}", error.remedy());
    }
    assert_eq!(server.issued().await.len(), issued);
    let shown = server.connect().await.tls().peer_certificates().unwrap()[0].to_vec();
    assert_eq!(shown, first.der(), "the old one serves");
    fs::remove_dir(&obstacle).unwrap();
    assert!(server.running.renew_if_due().await.unwrap());
    assert_eq!(server.issued().await.len(), issued + 1);
}

#[tokio::test]
async fn a_reload_changes_labels_and_keeps_what_needs_a_restart() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/.well-known/est/new/cacerts").await.status, 404);
    let mut open = server.connect().await;
    let later = server
        .running
        .reload(server.settings("[label.new]\n[audit]\nterminal = \"quiet\"").unwrap())
        .await
        .unwrap();
    assert_eq!(later, ["[audit]"]);
    assert_eq!(server.get("/.well-known/est/new/cacerts").await.status, 200);
    let request = "GET /.well-known/est/new/cacerts HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(open.send(request).await.status, 200, "on a connection that was open before");
    assert_eq!(server.events_named("server.reloaded").len(), 1);
    // A file with errors is rejected earlier.
    assert!(server.settings("[label.cacerts]").is_err());
    let new = "[ca.default]\n[ca.third]\nroot_subject = \"CN=3\"\nissuing_subject = \"CN=33\"\n";
    let later = server.running.reload(server.settings(new).unwrap()).await.unwrap();
    assert_eq!(later, ["[ca]"]);
    server.running.reload(server.settings("[label.new]").unwrap()).await.unwrap();
    let named = server.settings(&format!("{new}[label.third]\nca = \"third\"")).unwrap();
    let rejected = server.running.reload(named).await.unwrap_err();
    assert_eq!(
        rejected.to_string(),
        "CA third is new: a start creates or reads it, a reload does not"
    );
    assert_eq!(rejected.remedy(), "restart the server");
    assert_eq!(server.get("/.well-known/est/third/cacerts").await.status, 404);
    assert_eq!(server.get("/.well-known/est/new/cacerts").await.status, 200);
}

#[tokio::test]
async fn committed_events_reach_the_trail_in_their_order() {
    let server = TestServer::start().await;
    for number in 0..5 {
        server.device(&format!("/CN=device-{number}")).await;
    }
    let stored = server
        .running
        .store()
        .events(estd::telemetry::audit::EventId::first_of(1), 1000)
        .await
        .unwrap();
    let reported: Vec<_> = server
        .events
        .0
        .lock()
        .unwrap()
        .iter()
        .filter_map(|(id, event)| id.map(|id| (id, event.clone())))
        .collect();
    assert_eq!(stored, reported);
    assert_eq!(
        stored.iter().map(|(id, _)| id.number).collect::<Vec<_>>(),
        (1..=stored.len() as u64).collect::<Vec<_>>()
    );
    assert_eq!(
        stored.iter().filter(|(_, event)| event.name.as_str() == "certificate.issued").count(),
        6
    );
}

#[tokio::test]
async fn the_socket_answers_its_owner_in_json() {
    let server = TestServer::start().await;
    let (csr, key) = new_csr(&["-subj", "/CN=device-1"]);
    let device = server.identity(&csr, key).await;
    let socket = server.running.socket().unwrap();
    let get = |target: &str| {
        let (target, body) = (target.to_owned(), Vec::new());
        send::<serde_json::Value>(socket, EncodedCall { method: Method::Get, target, body })
    };
    let list = get("/v1/certificates?search=DEVICE-1&state=valid&limit=1").await.unwrap();
    assert_eq!(list["certificates"].as_array().unwrap().len(), 1);
    let serial = list["certificates"][0]["serial"].as_str().unwrap().to_owned();
    let shown = get(&format!("/v1/certificates/{serial}")).await.unwrap();
    assert_eq!(shown["pem"].as_str().unwrap().trim(), device.pem.trim());
    assert_eq!(shown["authenticated_by"], "password");
    assert_eq!(shown["proofs"], serde_json::json!(["password"]));
    assert_eq!(shown["address"], "127.0.0.1");
    let id: DeviceId = shown["device"].as_str().unwrap().parse().unwrap();
    assert!(id.is_derived(), "nobody registered {id}");
    assert_eq!(shown["token"], serde_json::Value::Null);
    let first = get("/v1/certificates?limit=1").await.unwrap();
    assert!(first["next"].is_string());
    assert_eq!(get("/v1/cas").await.unwrap()["cas"][0]["name"], "default");
    assert_eq!(get("/v1/users").await.unwrap()["users"][0]["name"], "tester");
    for (bad, text) in [
        ("/v1/certificates?state=odd", "state: got odd; expected: open, "),
        ("/v1/certificates?limit=0", "limit: got 0; expected: 1 to 1000"),
        ("/v1/certificates?unknown=1", "unknown field"),
        ("/v1/certificates?expires_before=tomorrow", "time: got tomorrow; expected: 2026-12-31"),
        ("/v1/certificates/zz", "serial number: got zz; expected: 2 to 40"),
        ("/v1/certificates/01", "certificate 01 does not exist"),
        ("/v2/x", "path /v2/x does not exist"),
    ] {
        let error = get(bad).await.unwrap_err().to_string();
        assert!(error.contains(text), "{bad}: {error}");
    }
    let new = estd::api::NewUser {
        name: "line 1/ä".to_owned(),
        password: "correct horse".to_owned(),
        labels: Some(vec!["a".to_owned()]),
        digest: false,
        digest_md5: false,
        identity_proof: false,
        allow_empty_name: false,
        expires: None,
        dry_run: true,
    };
    ask(socket, &new).await.unwrap();
    let new = estd::api::NewUser { dry_run: false, ..new };
    ask(socket, &new).await.unwrap();
    let again = ask(socket, &new).await.err().unwrap();
    assert!(again.to_string().contains("exists already"), "{again}");
    let name = new.name.clone();
    for (name, password, text) in [
        ("a:b", "correct horse", "without colon"),
        ("", "correct horse", "--allow-empty-name"),
        ("eve", "short", "password: got 5 characters; expected: 8 or more"),
    ] {
        let (name, password) = (name.to_owned(), password.to_owned());
        let bad = estd::api::NewUser { name, password, ..new.clone() };
        let error = ask(socket, &bad).await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    ask(socket, &estd::api::RemoveUser { name }).await.unwrap();
    for (method, target) in [(Method::Delete, "/v1/users"), (Method::Get, "/v1/users/enroll")] {
        let (target, body) = (target.to_owned(), Vec::new());
        let error = send::<()>(socket, EncodedCall { method, target, body }).await.unwrap_err();
        assert_eq!(error.to_string(), "method not allowed");
    }
    let events = server.events_named("account.removed");
    assert_eq!(events[0].actor.method.to_string(), "operator");
}

#[tokio::test]
async fn r_7030_4_1_1_b_the_fingerprint_of_the_root_is_shown_as_openssl_shows_it() {
    let server = TestServer::start().await;
    let cas = ask(server.running.socket().unwrap(), &estd::api::ShowCas {}).await.unwrap();
    let shown = openssl(&[
        "x509",
        "-noout",
        "-fingerprint",
        "-sha256",
        "-in",
        server.anchor().to_str().unwrap(),
    ]);
    assert_eq!(
        String::from_utf8(shown).unwrap().trim(),
        format!("sha256 Fingerprint={}", cas.cas[0].root.sha256)
    );
}
