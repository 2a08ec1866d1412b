//! The output of a start: commands that work when pasted, and no password in a journal.

use crate::process::{Estd, good};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// The lines of the welcome to paste, without `\r` of a terminal.
fn commands(welcome: &str) -> Vec<String> {
    let (_, commands) = welcome.split_once("A first certificate with curl").unwrap();
    let lines = commands.lines().filter_map(|line| line.trim_end().strip_prefix("  "));
    // Under cargo the welcome calls est by way of cargo; here it is built already.
    let est = env!("CARGO_BIN_EXE_est");
    lines
        .map(|line| match line.split_once(" --bin est -- ") {
            Some((_, rest)) => format!("{est} {rest}"),
            None => line.to_owned(),
        })
        .collect()
}

/// Pastes these lines in an empty folder.
fn paste(lines: &[String]) -> (String, Output, TempDir) {
    let shell = Path::new(env!("CARGO_TARGET_TMPDIR")).join("paste");
    fs::create_dir_all(&shell).unwrap();
    let here = tempfile::tempdir_in(shell).unwrap();
    let script = lines.join("\n");
    let mut bash = Command::new("bash");
    let output = bash.args(["-euo", "pipefail", "-c", &script]).current_dir(here.path()).output();
    (script, output.unwrap(), here)
}

/// Pastes the commands of this welcome: each of the two clients gets its certificate.
fn both_enroll(welcome: &str) {
    let commands = commands(welcome);
    assert_eq!(commands.len(), 9, "{welcome}");
    let (script, output, _here) = paste(&commands);
    let text = good(&script, output);
    assert!(text.contains("device-1.pem: OK") && text.contains("device-2/cert.pem: OK"), "{text}");
}

/// Attack 8: standard output that is no terminal may be a journal.
#[test]
fn the_commands_of_the_welcome() {
    let estd = Estd::start();
    let file = estd.path("data/first-password");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(estd.password.len(), 20);
    assert!(!estd.welcome.contains(&estd.password), "{}", estd.welcome);
    assert!(estd.welcome.contains(&format!("its password is in {}", file.display())));
    both_enroll(&estd.welcome);
    let log = fs::read_to_string(estd.path("log")).unwrap();
    let audit = fs::read_to_string(estd.path("data/audit.jsonl")).unwrap();
    assert!(!log.contains(&estd.password) && !audit.contains(&estd.password));
}

/// Attack 8, at a terminal: the password is shown once, and stored nowhere.
#[test]
fn a_terminal_shows_the_password_once() {
    let terminal = "exec script -qefc \"exec $0 $*\" /dev/null";
    let runner = ["sh", "-c", terminal].map(str::to_owned);
    let estd = Estd::start_under(&runner, Estd::folder("[\"localhost\"]"));
    assert!(!estd.path("data/first-password").exists());
    let (_, rest) = estd.welcome.split_once("export EST_PASSWORD=").unwrap();
    let password = rest.split_whitespace().next().unwrap();
    assert_eq!(password.len(), 20, "{}", estd.welcome);
    assert_eq!(estd.welcome.matches(password).count(), 1, "{}", estd.welcome);
    both_enroll(&estd.welcome);
    let again = Estd::start_in(estd.stop());
    assert!(again.welcome.contains("export EST_PASSWORD=the-password-of-enroll"));
}

/// First-user finding 18.
#[test]
fn the_curl_command_shows_why_a_request_is_rejected() {
    let estd = Estd::start();
    let rejected = |from: &str, to: &str| {
        let commands = commands(&estd.welcome).join("\n");
        assert!(commands.contains(from), "{commands}");
        let (script, output, _here) = paste(&[commands.replace(from, to)]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{script}\n{text}");
        let (head, body) = text.rsplit_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    };
    // A 401 has no body.
    let (head, body) = rejected("enroll:$EST_PASSWORD", "enroll:wrong");
    assert!(head.contains("x-reason: auth.password: ") && body.is_empty(), "{head}\n{body}");
    let weak = "ec -pkeyopt ec_paramgen_curve:P-256";
    let (head, body) = rejected(weak, "rsa:1024");
    assert!(body.contains("csr.key"), "{head}\n{body}");
}

/// First-user finding 19.
#[test]
fn a_later_start_prints_no_commands_for_an_account_that_was_removed() {
    let estd = Estd::start();
    let again = Estd::start_in(estd.stop());
    both_enroll(&again.welcome);
    again.operator(&["user", "remove", "enroll"]);
    let last = Estd::start_in(again.stop());
    assert!(!last.welcome.contains("A first certificate"), "{}", last.welcome);
    assert!(last.welcome.contains("\"estd user add NAME\" adds one"), "{}", last.welcome);
}

/// First-user finding 16.
#[test]
fn the_welcome_of_a_local_server_says_how_others_reach_it() {
    let hint = "[server.certificate] names";
    assert!(Estd::start().welcome.contains(hint));
    let named = Estd::start_with("[\"localhost\", \"est.example.com\"]");
    assert!(!named.welcome.contains(hint), "{}", named.welcome);
}

/// An operator has removed the first account and added it again: the file has an old password.
#[test]
fn a_start_removes_an_outdated_first_password() {
    let estd = Estd::start();
    estd.operator(&["user", "remove", "enroll"]);
    let added = estd.operator(&["user", "add", "enroll"]);
    assert!(!added.contains(&estd.password), "{added}");
    let again = Estd::start_in(estd.stop());
    assert!(!again.path("data/first-password").exists());
    assert!(again.welcome.contains("export EST_PASSWORD=the-password-of-enroll"));
    let log = fs::read_to_string(again.path("log")).unwrap();
    assert!(log.contains("data/first-password: the account enroll has another password"), "{log}");
}
