//! The audit trail as an operator reads it, and what a client can plant in it.

use crate::process::{Estd, good, operator, output, try_operator};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

/// Attack 8: a control that reverses text, a line separator, a space without width, a byte order
/// mark.
const PLANTED: &str = "d\u{202e}1\u{2028}\u{200b}x\u{feff}";

/// Asserts that no character is invisible.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic())
}

/// An enrollment with a CSR of openssl's whose CN is [`PLANTED`].
fn plant(estd: &Estd) {
    let script = format!(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout p.key -utf8 \
           -subj '/CN={PLANTED}' -outform DER -out p.der && openssl base64 -in p.der | \
         curl -sS --cacert '{}' --user 'enroll:{}' -H 'Content-Type: application/pkcs10' \
           --data-binary @- https://localhost:{}/.well-known/est/simpleenroll -o p.out -w '%{{http_code}}'",
        estd.anchor().display(),
        estd.password,
        estd.port
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(&estd.folder).output();
    good("plant", output.unwrap());
}

/// First-user findings 33 and 39, attack 8.
#[test]
fn the_trail_is_listed_followed_and_exported_and_shows_nothing_hidden() {
    let estd = Estd::start();
    let mut follow = Command::new(env!("CARGO_BIN_EXE_estd"))
        .args(["audit", "tail", "--follow", "-n", "0", "--json"])
        .current_dir(&estd.folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    plant(&estd);
    estd.operator(&["user", "add", PLANTED]);
    good(
        "est",
        estd.est(&["enroll", "--user", "enroll", "--subject", "CN=plain", "--out", "d"])
            .output()
            .unwrap(),
    );
    let followed = BufReader::new(follow.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut followed = followed.skip_while(|line| !line.contains("CN=plain"));
    let line: serde_json::Value = serde_json::from_str(&followed.next().unwrap()).unwrap();
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert_eq!(line["event"], "certificate.issued");

    // Through the server and without one it is the same.
    let export = estd.operator(&["audit", "export"]);
    let list = estd.operator(&["audit", "list", "--json"]);
    let serial = line["details"]["serial"].as_str().unwrap().to_owned();
    let of_serial = estd.operator(&["audit", "list", "--serial", &serial[..12]]);
    assert_eq!(of_serial.lines().count(), 1, "{of_serial}");
    assert!(of_serial.contains("certificate.issued    enroll (password) "), "{of_serial}");
    assert_eq!(estd.operator(&["audit", "list", "--event", "server.*"]).lines().count(), 1);
    assert_eq!(estd.operator(&["audit", "list", "--until", "2020-01-01"]), "");
    assert_eq!(
        estd.operator(&["audit", "list", "--since", "1h", "--limit", "2"]).lines().count(),
        2
    );
    let tail = estd.operator(&["audit", "tail", "-n", "1"]);
    assert!(tail.lines().count() == 1 && tail.contains("subject=\"CN=plain\""), "{tail}");
    let node = |text: &str| {
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        first["node"].as_str().unwrap().to_owned()
    };
    let uname = good("uname", Command::new("uname").arg("-n").output().unwrap());
    assert_eq!(node(&list), uname.trim());

    // All planted text is escaped wherever it is shown.
    let all = [
        estd.operator(&["user", "list"]),
        estd.operator(&["cert", "list"]),
        estd.operator(&["cert", "list", "--json"]),
        estd.operator(&["audit", "list"]),
        list.clone(),
        export.clone(),
        fs::read_to_string(estd.path("data/audit.jsonl")).unwrap(),
        fs::read_to_string(estd.path("log")).unwrap(),
    ];
    for text in &all {
        assert!(is_plain(text), "{text:?}");
    }
    assert!(fs::read_to_string(estd.path("p.out")).unwrap().starts_with("MI"), "it was issued");
    let shown = all.iter().filter(|text| text.contains("202e")).count();
    assert_eq!(shown, all.len() - 1, "in all but the log, whose level is warn");

    // The committed lines of the audit file are those of the export.
    let file = fs::read_to_string(estd.path("data/audit.jsonl")).unwrap();
    for line in file.lines().filter(|line| !line.contains("\"number\":null")) {
        assert!(export.lines().any(|exported| exported == line), "{line}");
    }

    // Without a server, and with an audit file that is not writable.
    let folder = estd.stop();
    let path = folder.path();
    let audit = path.join("data/audit.jsonl");
    fs::remove_file(&audit).unwrap();
    fs::create_dir(&audit).unwrap();
    fs::set_permissions(&audit, fs::Permissions::from_mode(0o500)).unwrap();
    let stopped = operator(path, &["audit", "list", "--json"]);
    assert!(stopped.starts_with(&list), "the same events, and server.stopped");
    let (out, err) = output(path, &["cert", "list"]);
    assert!(out.contains("CN=plain") && err.is_empty(), "a command that only reads: {err}");
    // An event that misses the audit file is reported.
    let (out, err) = output(path, &["user", "add", "second"]);
    assert!(out.starts_with("user second password "), "{out}");
    assert!(err.contains("warning: audit file ") && err.contains("\n  remedy: run this"), "{err}");
    let (_, err) = output(path, &["user", "remove", "second", "--json"]);
    let warning: serde_json::Value = serde_json::from_str(&err).unwrap();
    let text = warning["warning"].as_str().unwrap();
    assert!(text.ends_with("the event is in the store only"), "{err}");
    assert!(warning["remedy"].is_string(), "{err}");
    operator(path, &["audit", "export", "trail.jsonl"]);
    let script = "test \"$(head -n -1 trail.jsonl | sha256sum | cut -d' ' -f1)\" = \
                  \"$(tail -n 1 trail.jsonl | sed 's/.*sha256\":\"\\([0-9a-f]*\\).*/\\1/')\"";
    good("sha256sum", Command::new("sh").args(["-c", script]).current_dir(path).output().unwrap());
    let (code, text) = try_operator(path, &["audit", "export", "trail.jsonl"]);
    assert!(code != Some(0) && text.contains("does not exist yet"), "{text}");
    let (code, text) = try_operator(path, &["audit", "tail", "--follow"]);
    assert!(code != Some(0) && text.contains("no server is running"), "{text}");
    let (code, text) = try_operator(path, &["audit", "list", "--since", "soon"]);
    assert!(code != Some(0) && text.contains("time: got soon; expected: "), "{text}");
}
