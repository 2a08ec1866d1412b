//! The operator's commands as a shell and a script meet them: exit codes, JSON, pipes that close,
//! secrets that are not there.

use crate::process::{Estd, good, operator, try_operator};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write,
    process::{Command, Output, Stdio},
};

fn estd(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
    command.args(arguments).current_dir(folder);
    command
}

/// An account's password, given on standard input.
fn add_with_password(folder: &std::path::Path, arguments: &[&str], password: &str) -> Output {
    let mut command = estd(folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    child.wait_with_output().unwrap()
}

/// First-user findings 28 and 32: the table of docs/operator.md, with and without a server.
#[test]
fn exit_codes_are_those_of_the_documents_and_errors_are_json_too() {
    let server = Estd::start();
    let wrong: [(&[&str], i32, &str); 12] = [
        (&["bogus"], 2, "arguments"),
        (&["cert", "list", "--state", "bogus"], 2, "arguments"),
        (&["cert", "list", "--expires-before", "soon"], 2, "invalid"),
        (&["cert", "list", "--label", "a b"], 2, "invalid"),
        (&["cert", "show", "zz"], 2, "invalid"),
        (&["cert", "show", "0102030405"], 1, "not-found"),
        (&["cert", "revoke", "0102030405"], 1, "not-found"),
        (&["user", "add", "a:b"], 2, "invalid"),
        (&["user", "add", ""], 2, "invalid"),
        (&["user", "add", "enroll"], 1, "exists"),
        (&["user", "remove", "nobody"], 1, "not-found"),
        (&["--config", "none.toml", "user", "list"], 2, "configuration"),
    ];
    let check = |folder: &std::path::Path| {
        for (arguments, code, kind) in wrong {
            let plain = estd(folder, arguments).output().unwrap();
            let text = String::from_utf8(plain.stderr).unwrap();
            assert_eq!(plain.status.code(), Some(code), "{arguments:?}: {text}");
            assert_eq!(plain.stdout, b"", "{arguments:?}");
            assert!(!text.trim().is_empty() && !text.starts_with('{'), "{arguments:?}: {text}");

            let json = estd(folder, arguments).arg("--json").output().unwrap();
            let text = String::from_utf8(json.stderr).unwrap();
            assert_eq!(json.status.code(), Some(code), "{arguments:?}: {text}");
            assert_eq!(json.stdout, b"", "{arguments:?}");
            let value: Value = serde_json::from_str(&text)
                .unwrap_or_else(|fault| panic!("{arguments:?}: {fault}: {text}"));
            assert_eq!(value["kind"], kind, "{arguments:?}: {text}");
            for field in ["error", "remedy"] {
                assert!(!value[field].as_str().unwrap().is_empty(), "{arguments:?}: {text}");
            }
        }
        let faults = estd(folder, &["--config", "none.toml", "user", "list", "--json"]).output();
        let value: Value = serde_json::from_slice(&faults.unwrap().stderr).unwrap();
        assert_eq!(value["errors"][0]["code"], "E-CONFIG-FILE");
    };
    check(server.folder.path());
    let folder = server.stop();
    check(folder.path());
}

#[test]
fn each_command_that_prints_has_a_json_form() {
    let folder = Estd::start().stop();
    let one = |arguments: &[&str]| -> Value {
        let text = operator(folder.path(), arguments);
        serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{arguments:?}: {fault}: {text}"))
    };
    assert_eq!(one(&["check-config", "--json"])["good"], true);
    let added = one(&["--json", "user", "add", "line-1"]);
    assert_eq!(added["password"].as_str().unwrap().len(), 20);
    assert_eq!(one(&["user", "list", "--json"])["users"].as_array().unwrap().len(), 2);
    assert_eq!(one(&["user", "remove", "line-1", "--json"])["removed"], true);
    assert_eq!(one(&["ca", "show", "--json"])["cas"].as_array().unwrap().len(), 1);
    // One object a line: of the server's own certificate.
    let listed = one(&["cert", "list", "--json"]);
    let serial = listed["serial"].as_str().unwrap();
    assert_eq!(one(&["cert", "show", serial, "--json"])["serial"], serial);
    assert_eq!(one(&["store", "check", "--json"])["good"], true);
    assert_eq!(
        operator(folder.path(), &["check-config"]).lines().nth(1),
        Some("  1 CA, 1 profile, 0 labels beside the unlabelled one")
    );
}

/// First-user finding 31.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is_one() {
    let server = Estd::start();
    for arguments in
        [&["cert", "list"][..], &["cert", "list", "--json"], &["user", "list"], &["ca", "show"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = estd(server.folder.path(), arguments).stdout(writer).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.as_str()), (Some(0), ""), "{arguments:?}");

        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = estd(server.folder.path(), arguments).stdout(full).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text.contains("standard output: "), "{arguments:?}: {text}");
    }
}

/// First-user finding 31: a password that nobody has seen belongs to no account.
#[test]
fn an_account_whose_password_cannot_be_shown_is_not_added() {
    let server = Estd::start();
    let check = |folder: &std::path::Path| {
        for form in [&["user", "add", "line-1"][..], &["user", "add", "line-1", "--json"]] {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let (reader, closed) = std::io::pipe().unwrap();
            drop(reader);
            for out in [Stdio::from(full), Stdio::from(closed)] {
                let output = estd(folder, form).stdout(out).output().unwrap();
                let text = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(1), "{text}");
                assert!(text.contains("user line-1 was not added"), "{text}");
            }
        }
        assert!(!operator(folder, &["user", "list"]).contains("line-1"));
    };
    check(server.folder.path());
    let folder = server.stop();
    check(folder.path());
    let added = operator(folder.path(), &["user", "add", "line-1"]);
    assert!(added.starts_with("user line-1 password "), "{added}");
}

/// First-user finding 30, its check of strength and of empty names.
#[test]
fn a_weak_password_and_an_empty_name_are_rejected() {
    let server = Estd::start();
    let folder = server.folder.path();
    let add = |arguments: &[&str], password: &str| {
        let output = add_with_password(folder, arguments, password);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = add(&["user", "add", "line-1", "--password-stdin"], "short");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the password: it has 5 characters; accepted: 8 or more"), "{text}");
    let (code, text) = add(&["user", "add", "", "--password-stdin"], "correct horse");
    assert_eq!((code, text.contains("--allow-empty-name")), (Some(2), true), "{text}");
    let allowed = ["user", "add", "", "--password-stdin", "--allow-empty-name"];
    assert_eq!(add(&allowed, "correct horse").0, Some(0));
    let listed = operator(folder, &["user", "list"]);
    assert!(listed.lines().any(|line| line.ends_with("  \"\"")), "{listed}");
}

/// First-user finding 13: the running server has the secrets, and a command needs none.
#[test]
fn operators_need_no_secrets_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let text = "version = 1\n[server]\nlisten = [\"127.0.0.1:0\"]\n\
                [keys]\npassphrase_env = \"ESTD_TEST_PASSPHRASE\"\n\
                [serverkeygen]\nkeys_file = \"decrypt-keys\"\n";
    fs::write(folder.path().join("est.toml"), text).unwrap();
    let keys = folder.path().join("decrypt-keys");
    fs::write(&keys, format!("unit-1:{}\n", "ab".repeat(32))).unwrap();
    good("chmod", Command::new("chmod").arg("600").arg(&keys).output().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_estd"));
    command.env("ESTD_TEST_PASSPHRASE", "a passphrase");
    let server = Estd::start_by(command, folder);
    fs::rename(&keys, server.path("elsewhere")).unwrap();

    let folder = server.folder.path();
    let commands: [&[&str]; 4] =
        [&["user", "list"], &["cert", "list"], &["ca", "show"], &["user", "add", "line-1"]];
    for arguments in commands {
        operator(folder, arguments);
    }
    // Whoever checks the configuration wants to know.
    let (code, text) = try_operator(folder, &["check-config"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("passphrase_env") && text.contains("keys_file"), "{text}");
    // Without a server the store is opened, which takes none of these.
    let folder = server.stop();
    assert!(operator(folder.path(), &["user", "list"]).contains("line-1"));
}
