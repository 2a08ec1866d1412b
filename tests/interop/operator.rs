//! The operator's commands as a shell and a script meet them: exit codes, JSON, pipes that close,
//! missing secrets.

use crate::process::{Estd, estd, good, operator, output, try_operator};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write,
    process::{Command, Output, Stdio},
};

/// An account's password, given on standard input.
fn add_with_password(folder: &std::path::Path, arguments: &[&str], password: &str) -> Output {
    let mut command = estd(folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    child.wait_with_output().unwrap()
}

/// First-user findings 28 and 32: the table of docs/reference/commands.md, with and without a server.
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
        (&["cert", "revoke", "0102030405", "--yes"], 1, "not-found"),
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
                .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"));
            assert_eq!(value["kind"], kind, "{arguments:?}: {text}");
            for field in ["error", "remedy"] {
                assert!(!value[field].as_str().unwrap().is_empty(), "{arguments:?}: {text}");
            }
        }
        let errors = estd(folder, &["--config", "none.toml", "user", "list", "--json"]).output();
        let value: Value = serde_json::from_slice(&errors.unwrap().stderr).unwrap();
        assert_eq!(value["errors"][0]["code"], "E-CONFIG-FILE");
    };
    check(server.folder.path());
    let folder = server.stop();
    check(folder.path());
}

/// A name with a control character, an escape and a direction override.
const HOSTILE: &str = "/CN=a\u{1b}[31m\u{202e}b\nverdict: issued";

#[test]
fn an_explanation_is_the_same_with_and_without_a_server_and_escapes_names() {
    let server = Estd::start();
    let csr = |name: &str, subject: &str| {
        let (key, out) = (server.path("x.key"), server.path(name));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-utf8", "-subj", subject, "-keyout"]).arg(key);
        good(name, openssl.arg("-out").arg(out).output().unwrap());
    };
    csr("good.csr", "/CN=device-1");
    csr("hostile.csr", HOSTILE);
    let check = |folder: &std::path::Path| {
        let run = |arguments: &[&str]| {
            let mut all = vec!["explain", "--at", "2026-11-21T12:00:00Z"];
            all.extend(arguments);
            let output = estd(folder, &all).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (code, text) = run(&["--csr", "hostile.csr", "--user", "enroll"]);
        assert_eq!(code, Some(1), "not valid yet at that time: {text}");
        assert!(text.contains("\\u{1b}[31m") && text.contains("\\u{202e}"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        assert_eq!(text.lines().filter(|line| line.starts_with("verdict")).count(), 1, "{text}");
        let (code, json) = run(&["--csr", "good.csr", "--json"]);
        assert_eq!((code, json.lines().count()), (Some(1), 1));
        let value: Value = serde_json::from_str(&json).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        let expected = [
            "at",
            "certificate",
            "claimed",
            "client",
            "csrattrs",
            "label",
            "left_out",
            "operation",
            "proofs",
            "recorded",
            "rejection",
            "rules",
            "verdict",
        ];
        assert_eq!(keys, expected);
        assert_eq!(
            (&value["verdict"], &value["rejection"]["code"]),
            (&"rejected".into(), &"auth.none".into())
        );
        let now = estd(folder, &["explain", "--csr", "good.csr", "--user", "enroll"]).output();
        assert_eq!(now.unwrap().status.code(), Some(0));
        let forgotten = estd(folder, &["explain", "--request", "0123456789abcdef", "--json"]);
        let forgotten = { forgotten }.output().unwrap();
        assert_eq!(forgotten.status.code(), Some(2));
        let error: Value = serde_json::from_slice(&forgotten.stderr).unwrap();
        assert_eq!(error["kind"], "not-found");
        value
    };
    let running = check(server.folder.path());
    let folder = server.stop();
    assert_eq!(check(folder.path()), running);
}

#[test]
fn each_command_that_prints_has_a_json_form() {
    let folder = Estd::start().stop();
    let one = |arguments: &[&str]| -> Value {
        let text = operator(folder.path(), arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
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
        Some("  1 CA, 1 profile, 0 labels beside the unlabeled one")
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

/// First-user finding 31: if a new password cannot be shown, no account is created.
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
    assert!(text.contains("password: got 5 characters; expected: 8 or more"), "{text}");
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
    // The check of the configuration reports it.
    let (code, text) = try_operator(folder, &["check-config"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("passphrase_env") && text.contains("keys_file"), "{text}");
    // Without a server the command opens the store, which needs none of these.
    let folder = server.stop();
    assert!(operator(folder.path(), &["user", "list"]).contains("line-1"));
}

/// Enrolls devices of these subjects.
fn enroll(server: &Estd, subjects: &[&str]) {
    for (number, subject) in subjects.iter().enumerate() {
        let out = format!("device-{number}");
        let arguments = ["enroll", "--user", "enroll", "--subject", subject, "--out", &out];
        good("enroll", server.est(&arguments).output().unwrap());
    }
}

/// The first words of the lines of a list, without its head.
fn serials(listed: &str) -> Vec<&str> {
    let words = listed.lines().filter_map(|line| line.split_whitespace().next());
    words.filter(|word| *word != "SERIAL").collect()
}

/// First-user finding 29, as the commands show it.
#[test]
fn lists_have_pages_and_columns_that_do_not_shift() {
    let server = Estd::start();
    enroll(&server, &["CN=a", "CN=bb,O=Example", "CN=ccc"]);
    let listed = server.operator(&["cert", "list"]);
    let column = listed.lines().next().unwrap().find("SUBJECT").unwrap();
    for line in listed.lines().skip(1) {
        assert!(line[column..].starts_with("CN=") && line[..column].ends_with("  "), "{listed}");
    }
    let all = serials(&listed);
    assert_eq!(all.len(), 4);
    assert!(listed.lines().last().unwrap().ends_with("CN=ccc"), "{listed}");

    // Page by page, in text and in JSON.
    let page = output(server.folder.path(), &["cert", "list", "--limit", "2"]);
    let (out, err) = page;
    assert_eq!(serials(&out), all[..2]);
    assert_eq!(err.trim(), format!("more may follow: --after {}", all[1]));
    let rest = server.operator(&["cert", "list", "--limit", "2", "--after", all[1]]);
    assert_eq!(serials(&rest), all[2..]);
    let json = server.operator(&["cert", "list", "--limit", "3", "--json"]);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[3]["next"]), (4, &Value::from(all[2])));
    assert_eq!(server.operator(&["cert", "list", "--json"]).lines().count(), 4);

    // An empty result is reported on standard error.
    let none = ["cert", "list", "--subject", "CN=zzz"];
    let (out, err) = output(server.folder.path(), &none);
    assert_eq!((out.as_str(), err.trim()), ("", "no certificate matches"));
    let (out, err) = output(server.folder.path(), &[&none[..], &["--json"]].concat());
    assert_eq!((out.as_str(), err.as_str()), ("", ""));

    // A prefix is enough; an ambiguous one lists its matches.
    let shown = server.operator(&["cert", "show", &all[3][..14]]);
    assert!(shown.contains(all[3]), "{shown}");
    // With the requester and the address; the event of the issuance has the port, too.
    let line = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert_eq!(line("requester"), "enroll (password)");
    assert_eq!(line("address"), "127.0.0.1");
    let json = server.operator(&["cert", "show", all[3], "--json"]);
    let entry: Value = serde_json::from_str(&json).unwrap();
    let event = &entry["event"];
    assert_eq!(
        (&event["event"], &event["details"]["serial"]),
        (&"certificate.issued".into(), &all[3].into())
    );
    assert_eq!((&event["request"], &event["at"]), (&entry["request"], &entry["ended"]));
    assert!(event["details"]["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{event}");
    let (code, text) = try_operator(server.folder.path(), &["cert", "show", &all[3][..4]]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(all[3]) && text.contains(all[2]) && text.contains("CN=ccc"), "{text}");

    // By the key of a device: certificate and CSR name the same.
    for file in ["cert.pem", "key.pem"] {
        let path = server.path("device-1").join(file).display().to_string();
        let arguments = ["cert", "list", "--key", &path];
        if file == "cert.pem" {
            assert_eq!(serials(&server.operator(&arguments)), [all[2]]);
        } else {
            let (code, text) = try_operator(server.folder.path(), &arguments);
            assert_eq!((code, text.contains("PRIVATE KEY")), (Some(2), true), "{text}");
        }
    }
}

/// First-user finding 10.
#[test]
fn who_is_about_to_fall_off_can_be_asked() {
    let server = Estd::start();
    enroll(&server, &["CN=renews", "CN=sleeps"]);
    good("reenroll", server.est(&["reenroll", "--out", "device-0"]).output().unwrap());
    let due = ["cert", "list", "--expires-within", "200d", "--subject"];
    let both = |subject: &str| serials(&server.operator(&[&due[..], &[subject]].concat())).len();
    assert_eq!((both("CN=renews"), both("CN=sleeps")), (2, 1));
    let arguments = ["cert", "list", "--expires-within", "200d", "--without-successor"];
    let listed = server.operator(&[&arguments[..], &["--account", "enroll"]].concat());
    // The first certificate of the device that renewed has a successor; its second has none.
    assert_eq!(serials(&listed).len(), 1, "{listed}");
    assert!(listed.contains("CN=sleeps"), "{listed}");
    let listed = server.operator(&[&arguments[..], &["--subject", "CN=*"]].concat());
    assert_eq!(
        serials(&listed).len(),
        3,
        "the server's own, the renewal and the sleeper: {listed}"
    );
    assert_eq!(server.operator(&["cert", "list", "--expires-before", "2026-01-01"]), "");
}

/// First-user finding 11: exactly the certificates shown are revoked.
#[test]
fn certificates_are_revoked_by_pattern_list_and_prefix() {
    let server = Estd::start();
    enroll(&server, &["CN=gw-71", "CN=gw-72,O=Example", "CN=gw-8", "CN=x\\,CN=gw-7", "CN=gw-9"]);
    let folder = server.folder.path();
    let all = server.operator(&["cert", "list", "--account", "enroll"]);
    let all = serials(&all);
    assert_eq!(all.len(), 5);

    // Without a terminal nothing is confirmed: nothing happens.
    let (code, text) = try_operator(folder, &["cert", "revoke", "--subject", "CN=gw-7*"]);
    assert_eq!((code, text.contains("--yes")), (Some(2), true), "{text}");
    let (code, _) = try_operator(folder, &["cert", "revoke"]);
    assert_eq!(code, Some(2));
    let (code, _) = try_operator(folder, &["cert", "revoke", all[0], "--subject", "CN=*"]);
    assert_eq!(code, Some(2));
    assert_eq!(server.operator(&["cert", "list", "--revoked"]), "");

    // The list of --dry-run is what --file reads; a pattern sees no display text.
    let list = server.operator(&["cert", "revoke", "--subject", "CN=gw-7*", "--dry-run"]);
    assert_eq!(serials(&list), all[..2], "{list}");
    fs::write(server.path("list"), format!("# theft of Monday\n\n{list}0102030405 not there\n"))
        .unwrap();
    // A later certificate matches, but was not confirmed.
    let late = ["enroll", "--user", "enroll", "--subject", "CN=gw-73", "--out", "late"];
    good("enroll", server.est(&late).output().unwrap());
    let from_list = ["cert", "revoke", "--file", "list", "--reason", "keyCompromise", "--yes"];
    let done = estd(folder, &from_list).output().unwrap();
    let (out, err) =
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert_eq!(done.status.code(), Some(3), "done in part: {err}");
    assert_eq!(serials(&out), all[..2], "{out}");
    assert!(err.contains("0102030405: certificate 0102030405 does not exist"), "{err}");
    assert!(err.contains("1 failed, 2 done"), "{err}");
    let revoked = server.operator(&["cert", "list", "--revoked"]);
    assert_eq!(serials(&revoked), all[..2], "{revoked}");

    // Run again: those stay unchanged.
    let again = estd(folder, &[&from_list[..], &["--json"]].concat()).output().unwrap();
    let value: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again.status.code(), Some(3));
    assert_eq!(value["revoked"].as_array().unwrap().len(), 2);
    assert_eq!(value["revoked"][0]["before"], true);
    assert_eq!(value["failed"][0]["kind"], "not-found");
    let trail = fs::read_to_string(server.path("data/audit.jsonl")).unwrap();
    assert_eq!(trail.matches("certificate.revoked").count(), 2);

    // By prefix of a serial number, by key, by account; then none is left.
    server.operator(&["cert", "revoke", &all[2][..14], "--yes"]);
    let key = server.path("device-3/cert.pem").display().to_string();
    server.operator(&["cert", "revoke", "--key", &key, "--yes"]);
    let left = server.operator(&["cert", "revoke", "--account", "enroll", "--yes"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    let (out, err) = output(folder, &["cert", "revoke", "--account", "enroll", "--yes"]);
    assert_eq!(out, "");
    assert!(err.contains("no certificate matches, beside revoked ones"), "{err}");

    // The server's own certificate is not a device's.
    let own = server.operator(&["cert", "list", "--state", "valid"]);
    let (_, err) = output(folder, &["cert", "revoke", serials(&own)[0]]);
    assert!(err.contains("estd server-certificate renew"), "{err}");
}

/// At a terminal the list is shown, and its length must be typed.
#[test]
fn a_terminal_is_asked_before_a_pattern_revokes() {
    let server = Estd::start();
    enroll(&server, &["CN=gw-1", "CN=gw-2"]);
    let ask = |answer: &str| {
        let line = format!("{} cert revoke --subject 'CN=gw-*'", env!("CARGO_BIN_EXE_estd"));
        let mut script = Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]).current_dir(server.folder.path());
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{answer}").unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = ask("y");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("CN=gw-2") && text.contains("Type 2 to revoke 2 certificates"), "{text}");
    assert_eq!(server.operator(&["cert", "list", "--revoked"]), "");
    let (code, text) = ask("2");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(server.operator(&["cert", "list", "--revoked", "--json"]).lines().count(), 2);
}
