//! `estd check-config` and `estd serve` with wrong files, owners and permissions on disk.

use crate::process::{Estd, estd, operator};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

const CONFIG: &str = "version = 1\n[server]\nlisten = [\"127.0.0.1:0\"]\n";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Exit code and standard error.
fn run(folder: &Path, command: &str) -> (Option<i32>, String) {
    let output = estd(folder, &[command]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Both commands reject it, with this error and this remedy.
fn both_reject(folder: &Path, error: &str, remedy: &str) {
    for command in ["check-config", "serve"] {
        let (code, text) = run(folder, command);
        assert!(code.is_some_and(|code| code != 0), "{command}: {text}");
        assert!(text.contains(error) && text.contains(remedy), "{command}: {text}");
        assert!(!text.contains("space left on the disk"), "{command}: {text}");
    }
}

/// First-user findings 21 and 27, before a first start.
#[test]
fn what_a_first_start_rejects_is_found_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (config, data) = (folder.join("est.toml"), folder.join("data"));
    fs::write(&config, CONFIG).unwrap();
    mode(&config, 0o644);
    assert_eq!(run(folder, "check-config"), (Some(0), String::new()));
    assert!(!data.exists(), "looking makes nothing");

    fs::write(&data, "").unwrap();
    both_reject(folder, "data: this is a file, and a folder is needed", "move the file away");
    fs::remove_file(&data).unwrap();

    fs::create_dir(&data).unwrap();
    mode(&data, 0o755);
    both_reject(folder, "others than its owner may enter this folder (mode 755)", "chmod 700 ");
    mode(&data, 0o700);
    // Only root can give a folder away.
    if chown(&data, Some(4711), None).is_ok() {
        both_reject(folder, "this folder belongs to user 4711", "run this as user 4711");
    }
    fs::remove_dir(&data).unwrap();

    for (file, error) in [
        ("gone/audit.jsonl", "the folder of the audit file does not exist"),
        (".", "directory"),
        ("est.toml/audit.jsonl", "ot a directory"),
    ] {
        fs::write(&config, format!("{CONFIG}[audit]\nfile = \"{file}\"\n")).unwrap();
        both_reject(folder, "[audit] file: ", error);
    }
    fs::write(&config, CONFIG).unwrap();

    let open = |bits, shown| {
        mode(&config, bits);
        both_reject(folder, "expected: only the owner may change it", "chmod go-w ");
        both_reject(folder, shown, "E-CONFIG-FILE");
    };
    open(0o666, "mode 666");
    open(0o646, "mode 646");
    // A user's private group has the user's number: with umask 002, files are writable by it.
    let found = fs::metadata(&config).unwrap();
    if found.gid() == found.uid() {
        mode(&config, 0o664);
        assert_eq!(run(folder, "check-config"), (Some(0), String::new()));
    }
    if chown(&config, None, Some(4711)).is_ok() {
        open(0o664, "mode 664");
    }
    assert!(!data.exists());
}

/// First-user findings 21 and 27, on the files of an earlier start.
#[test]
fn keys_and_certificates_that_a_start_rejects_are_found_before_it() {
    let folder = Estd::start().stop();
    let folder = folder.path();
    let ca = folder.join("data/ca/default");
    let key = ca.join("issuing.key");
    mode(&key, 0o644);
    both_reject(folder, "issuing.key: others than its owner may read", "chmod 600 it");
    mode(&key, 0o600);
    let kept = fs::read(&key).unwrap();
    fs::write(&key, "junk\n").unwrap();
    both_reject(folder, "issuing.key: no private key in PEM form", "remedy: restore it");
    fs::remove_file(&key).unwrap();
    both_reject(folder, "issuing.key: No such file", "restore it from your backup");
    fs::write(&key, kept).unwrap();
    mode(&key, 0o600);

    for name in ["issuing.pem", "root.pem"] {
        let kept = fs::read(ca.join(name)).unwrap();
        let missing = "got no PEM block; expected: CERTIFICATE";
        for (junk, error) in [
            (&b"junk\n"[..], missing),
            (b"", missing),
            (b"\0\0", missing),
            (&kept[..kept.len() / 2], "got a PEM block CERTIFICATE without its end"),
        ] {
            fs::write(ca.join(name), junk).unwrap();
            let error = format!("{name}: {error}");
            both_reject(folder, &error, "restore it from your backup");
        }
        fs::write(ca.join(name), kept).unwrap();
    }

    let own = folder.join("data/server/server.pem");
    let kept = fs::read_to_string(&own).unwrap();
    fs::write(&own, kept.split("-----BEGIN CERTIFICATE").next().unwrap()).unwrap();
    both_reject(folder, "expected: two PEM certificates after the key", "move the file away");
    fs::write(&own, kept).unwrap();

    mode(&folder.join("data/store"), 0o750);
    both_reject(folder, "(mode 750)", "chmod 700 ");
    mode(&folder.join("data/store"), 0o700);
    assert!(operator(folder, &["check-config"]).contains(": good"));

    // Errors of several places are reported at once.
    mode(&key, 0o640);
    fs::write(&own, "").unwrap();
    let (code, text) = run(folder, "check-config");
    assert_eq!(code, Some(2));
    assert_eq!(text.matches("E-CONFIG-DISK").count(), 2, "{text}");
}

/// First-user finding 21: a reload with a new CA.
#[test]
fn a_ca_that_only_a_restart_makes_is_named() {
    let server = Estd::start();
    assert!(!server.operator(&["check-config"]).contains("note:"));
    let config = server.path("est.toml");
    let text = fs::read_to_string(&config).unwrap();
    let new = "\n[ca.third]\nroot_subject = \"CN=3\"\nissuing_subject = \"CN=33\"\n";
    fs::write(&config, format!("{text}{new}[label.third]\nca = \"third\"\n")).unwrap();
    let reported = server.operator(&["check-config"]);
    assert!(reported.contains("note: the running estd does not have CA third"), "{reported}");
    let json = server.operator(&["check-config", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["restart_for_cas"], serde_json::json!(["third"]));
    // No server, no reload.
    let folder = server.stop();
    assert!(!operator(folder.path(), &["check-config"]).contains("note:"));
}

/// First-user finding 27: a database that is away.
#[test]
fn a_database_that_is_away_has_remedies_of_a_database() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let connection = format!("host=127.0.0.1 port={port} dbname=a user=a sslmode=disable");
    let folder = Estd::folder_on_postgres(&format!("connection = \"{connection}\""));
    let (code, text) = run(folder.path(), "serve");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("check that PostgreSQL runs"), "{text}");
    assert!(!text.contains("sled") && !text.contains("disk"), "{text}");
}

/// First-user finding 20.
#[test]
fn init_writes_a_configuration_that_serves_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let init = ["init", "--name", "est.example.com", "--address", "192.0.2.7", "--data", "state"];
    let output = estd(folder, &init).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("written: est.toml"), "{said}");
    assert_eq!(run(folder, "check-config"), (Some(0), String::new()));
    let text = fs::read_to_string(folder.join("est.toml")).unwrap();
    assert!(text.contains("names = [\"est.example.com\"]") && text.contains("data = \"state\""));

    let (code, error) = run(folder, "init");
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("est.toml: File exists") && error.contains("remedy: "), "{error}");
    assert_eq!(fs::read_to_string(folder.join("est.toml")).unwrap(), text);

    let bad = estd(folder, &["init", "--name", "not a name", "other.toml"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    assert!(!folder.join("other.toml").exists());

    // It serves, on a port of the test's own.
    let text = text.replace("listen = [\"0.0.0.0:8443\"]", "listen = [\"127.0.0.1:0\"]");
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("est.toml"), text).unwrap();
    let server = Estd::start_in(other);
    assert!(server.path("state/ca/default/root.pem").exists());
}
