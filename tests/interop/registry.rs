//! Devices, tokens and the end of accounts, as an operator and a script meet them: exit codes, errors of
//! files by line, an import while the server enrolls, files of tokens.

use crate::{
    postgres::Postgres,
    process::{Estd, estd, good, operator, output, try_operator},
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let text = operator(folder, &all);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// The values of a field, of a list with an object a line.
fn fields(folder: &Path, arguments: &[&str], name: &str) -> Vec<String> {
    let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let text = operator(folder, &all);
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The last line may be a cursor.
    values.filter_map(|value| Some(value[name].as_str()?.to_owned())).collect()
}

fn ids(folder: &Path) -> Vec<String> {
    fields(folder, &["device", "list"], "id")
}

/// The error of a command that fails, as JSON.
fn error(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let output = estd(folder, arguments).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    let last = text.lines().last().unwrap();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

#[test]
fn wrong_arguments_have_an_exit_code_and_a_remedy_and_store_nothing() {
    let server = Estd::start();
    let path = server.folder.path();
    operator(path, &["device", "add", "gw-1", "--identifier", "serial:acme:SN1"]);
    fs::write(server.path("bad.csv"), "id\na b\n").unwrap();
    fs::write(server.path("empty.csv"), "").unwrap();
    fs::write(server.path("head.csv"), "id\n").unwrap();
    fs::write(server.path("there.csv"), "mine").unwrap();
    let long = format!("est_{}", "a".repeat(40));
    let wrong: Vec<(Vec<&str>, i32, &str, &str)> = vec![
        (vec!["device", "add", "a b"], 2, "invalid", "device id: got a b"),
        (vec!["device", "add", "gw-1"], 1, "exists", "device gw-1 exists already"),
        (
            vec!["device", "add", "x", "--identifier", "serial:acme:SN1"],
            1,
            "exists",
            "got that of device gw-1",
        ),
        (
            vec!["device", "add", "x", "--identifier", "mac:1"],
            2,
            "invalid",
            "identifier: got mac:1",
        ),
        (vec!["device", "add", "x", "--label", "a b"], 2, "invalid", "label: got a b"),
        (vec!["device", "add", "x", "--quota", "0"], 2, "invalid", "quota: got 0"),
        (vec!["device", "add", "x", "--quota", "many"], 2, "arguments", "many"),
        (vec!["device", "add", "x", "--from", "soon"], 2, "invalid", "from: got soon"),
        (vec!["device", "add", "x", "--tag", "site"], 2, "arguments", "tag: got site"),
        (vec!["device", "add", "x", "--tag", "Site=a"], 2, "invalid", "tag: got Site"),
        (vec!["device", "list", "--state", "new"], 2, "arguments", "new"),
        (vec!["device", "list", "--tag", "Site"], 2, "invalid", "tag: got Site"),
        (vec!["device", "show", "none"], 1, "not-found", "device none"),
        (vec!["device", "block", "none"], 1, "not-found", "device none"),
        (vec!["device", "block"], 2, "arguments", "required"),
        (vec!["device", "retire", "--file", "none.txt"], 2, "arguments", "none.txt"),
        (vec!["device", "retire", "--file", "head.csv"], 2, "arguments", "no terminal"),
        (vec!["device", "tag", "none", "a=b"], 1, "not-found", "device none"),
        (vec!["device", "tag", "gw-1"], 2, "arguments", "required"),
        (vec!["device", "import", "none.csv"], 2, "arguments", "none.csv"),
        (vec!["device", "import", "empty.csv"], 2, "arguments", "got no line"),
        (vec!["device", "import", "head.csv"], 2, "arguments", "got no device"),
        (vec!["device", "import", "bad.csv"], 2, "invalid", "bad.csv: 1 error"),
        (vec!["token", "create"], 2, "arguments", "required"),
        (vec!["token", "create", "--any-name", "--device", "gw-1"], 2, "arguments", "cannot be"),
        (vec!["token", "create", "--device", "none"], 1, "not-found", "device none"),
        (vec!["token", "create", "--any-name", "--label", "a b"], 2, "invalid", "label: got a b"),
        (vec!["token", "create", "--any-name", "--expires", "2y"], 2, "invalid", "expires: got 2y"),
        (vec!["token", "create", "--any-name", "--count", "2"], 2, "arguments", "--out"),
        (vec!["token", "create", "--names", "gw-1"], 2, "invalid", "subject: got gw-1"),
        (
            vec!["token", "create", "--any-name", "--out", "there.csv"],
            2,
            "arguments",
            "exists already, and is not overwritten",
        ),
        (vec!["token", "create", "--any-name", "--out", "none/x"], 1, "failed", "no token"),
        (vec!["token", "list", "--state", "new"], 2, "arguments", "new"),
        (vec!["token", "revoke", "0123456789"], 1, "not-found", "token 0123456789"),
        (vec!["token", "revoke", &long], 2, "invalid", "token: got 44 characters"),
        (vec!["token", "revoke", "--file", "bad.csv"], 2, "arguments", "no column token"),
        (vec!["user", "add", "line-1", "--expires", "2020-01-01"], 2, "invalid", "expires: got"),
        (vec!["user", "change", "enroll"], 2, "invalid", "change: got nothing"),
        (vec!["user", "change", "none", "--never-expires"], 1, "not-found", "user"),
        (vec!["user", "change", "enroll", "--expires", "soon"], 2, "invalid", "end: got soon"),
    ];
    let check = |folder: &Path| {
        for (arguments, code, kind, text) in &wrong {
            let (plain_code, plain) = try_operator(folder, arguments);
            assert_eq!(plain_code, Some(*code), "{arguments:?}: {plain}");
            assert!(plain.contains(text), "{arguments:?}: {plain}");
            let value = error(folder, arguments, *code);
            assert_eq!(value["kind"], *kind, "{arguments:?}: {value}");
            for field in ["error", "remedy"] {
                assert!(!value[field].as_str().unwrap().is_empty(), "{arguments:?}: {value}");
            }
        }
        assert_eq!(ids(folder), ["gw-1"]);
        assert_eq!(operator(folder, &["token", "list"]), "");
        assert_eq!(fs::read_to_string(folder.join("there.csv")).unwrap(), "mine");
        assert_eq!(json(folder, &["user", "list"])["users"].as_array().unwrap().len(), 1);
    };
    check(path);
    let folder = server.stop();
    check(folder.path());
}

#[test]
fn a_device_is_registered_blocked_and_retired() {
    let server = Estd::start();
    let check = |folder: &Path, id: &str| {
        let run = |arguments: &[&str]| operator(folder, arguments);
        let identifier = format!("serial:acme:{id}");
        let add = ["device", "add", id, "--identifier", &identifier, "--quota", "1"];
        assert_eq!(run(&add), format!("device {id} registered\n"));
        let tag = run(&["device", "tag", id, "site=plant 7", "line=2"]);
        assert_eq!(tag, format!("device {id} line=2 site=plant 7\n"));
        run(&["device", "tag", id, "--remove", "line"]);
        let listed = run(&["device", "list", id]);
        let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, [id, "registered", "all", "1", &identifier, "site=plant", "7"]);
        assert_eq!(
            run(&["device", "block", id, "--comment", "found"]),
            format!("device {id} is now blocked\n")
        );
        assert_eq!(run(&["device", "block", id]), format!("device {id} was before blocked\n"));
        assert_eq!(json(folder, &["device", "show", id])["device"]["state"], "blocked");
        assert_eq!(run(&["device", "unblock", id]), format!("device {id} is now in service\n"));
        let done = json(folder, &["device", "retire", id]);
        assert_eq!(done["changed"][0]["standing"], "retired");
        let shown = run(&["device", "show", id]);
        assert!(shown.lines().any(|line| line == "state        retired"), "{shown}");
        assert!(shown.lines().any(|line| line == "certificates 0"), "{shown}");
    };
    check(server.folder.path(), "gw-1");
    let folder = server.stop();
    check(folder.path(), "gw-2");
    let names = fields(folder.path(), &["audit", "list", "--event", "device.*"], "event");
    let once = [
        "device.added",
        "device.tagged",
        "device.tagged",
        "device.blocked",
        "device.unblocked",
        "device.retired",
    ];
    assert_eq!(names, [once, once].concat());
}

/// At a terminal the devices of a file are shown, and their number must be typed.
#[test]
fn a_terminal_is_asked_before_the_devices_of_a_file_are_blocked() {
    let folder = Estd::start().stop();
    let path = folder.path();
    for id in ["gw-1", "gw-2"] {
        operator(path, &["device", "add", id]);
    }
    fs::write(path.join("ids"), operator(path, &["device", "list"])).unwrap();
    let block = |answer: &str| {
        let mut script = Command::new("script");
        let command = format!("{} device block --file ids", env!("CARGO_BIN_EXE_estd"));
        script.args(["-qefc", &command, "/dev/null"]).current_dir(path);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{answer}").unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = block("1");
    assert_eq!(code, Some(1), "{text}");
    for expected in ["gw-1", "gw-2", "not revoked", "Type 2 to continue", "not confirmed"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(fields(path, &["device", "list"], "state"), ["registered"; 2]);
    let (code, text) = block("2");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(fields(path, &["device", "list"], "state"), ["blocked"; 2]);
    operator(path, &["device", "unblock", "--file", "ids"]);
    operator(path, &["device", "retire", "--file", "ids", "--yes"]);
    assert_eq!(fields(path, &["device", "list"], "state"), ["retired"; 2]);
}

#[test]
fn all_errors_of_a_file_are_reported_by_line_and_nothing_is_registered() {
    let server = Estd::start();
    let text = "id,identifiers,labels,quota,from,until,tag.site\n\
                gw-1,serial:acme:1;spki:00,,,,,\n\
                a b,,a b,,,,\n\
                gw-2,serial:acme:2,,x,,,\n\
                gw-3,serial:acme:2,,1,2026-02-30,2026-01-01,a\n\
                gw-4,serial:acme:2,,1,,,\n\
                gw-4,,,0,,,\n\
                gw-5,,\n";
    let check = |folder: &Path| {
        fs::write(folder.join("bad.csv"), text).unwrap();
        let (code, plain) = try_operator(folder, &["device", "import", "bad.csv"]);
        assert_eq!(code, Some(2), "{plain}");
        let expected = [
            "line 2: identifier: got spki:00; expected: spki:HEX",
            "line 3: device id: got a b",
            "line 3: label: got a b",
            "line 4: quota: got x",
            "line 5: from: got 2026-02-30",
            "line 6: identifier serial:acme:2: is in line 5, too",
            "line 7: quota: got 0",
            "line 7: device gw-4: is in line 6, too",
            "line 8: got 3 fields; expected: 7",
            "estd: bad.csv: 9 errors; nothing was registered",
        ];
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines.len(), expected.len() + 1, "{plain}");
        for (line, text) in lines.iter().zip(expected) {
            assert!(line.starts_with(text), "{text}: {plain}");
        }
        let value = error(folder, &["device", "import", "bad.csv"], 2);
        assert_eq!(value["errors"].as_array().unwrap().len(), 9);
        assert_eq!(value["errors"][8]["line"], 8);
        // Many errors are counted.
        let many: String = (0..200).map(|number| format!("x {number}\n")).collect();
        fs::write(folder.join("many.csv"), format!("id\n{many}")).unwrap();
        let value = error(folder, &["device", "import", "many.csv"], 2);
        assert_eq!(value["errors"].as_array().unwrap().len(), 50);
        let what = value["error"].as_str().unwrap();
        assert_eq!(what, "many.csv: 200 errors, 150 of them not shown; nothing was registered");
        assert_eq!(ids(folder), [""; 0]);
        // So are those that are found beside the devices on record.
        operator(folder, &["device", "add", "gw-1", "--identifier", "serial:acme:1"]);
        operator(folder, &["device", "add", "gw-2", "--quota", "1"]);
        let text = "id,identifiers\ngw-2,\ngw-3,\ngw-4,serial:acme:1\n";
        fs::write(folder.join("taken.csv"), text).unwrap();
        for more in [&[][..], &["--dry-run"]] {
            let value = error(folder, &[&["device", "import", "taken.csv"], more].concat(), 2);
            let errors = value["errors"].as_array().unwrap();
            let lines: Vec<_> = errors.iter().map(|one| one["line"].as_u64().unwrap()).collect();
            assert_eq!(lines, [2, 4], "{value}");
            assert!(errors[1]["error"].as_str().unwrap().contains("that of device gw-1"));
        }
        assert_eq!(ids(folder), ["gw-1", "gw-2"]);
    };
    let folder = server.folder.path();
    check(folder);
    let other = Estd::start().stop();
    check(other.path());
}

/// Devices of a file in no order.
const COUNT: u32 = 20_000;

fn device_file(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut text = "id,identifiers,quota,tag.site\r\n".to_owned();
    for number in 0..COUNT {
        let id = number * 7919 % COUNT;
        text += &format!("gw-{id:05},serial:acme:SN{id};spki:{:064x},1,plant {}\r\n", id, id % 9);
    }
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn devices_are_imported_in_one_step_while_others_enroll() {
    import_while_enrolling(Estd::start());
}

#[test]
fn devices_are_imported_in_one_step_on_postgres() {
    let database = Postgres::start();
    database.sql("postgres", "CREATE DATABASE estd");
    let socket = database.socket().display();
    let lines = format!("connection = \"host={socket} user=estd dbname=estd\"");
    import_while_enrolling(Estd::start_in(Estd::folder_on_postgres(&lines)));
}

fn import_while_enrolling(server: Estd) {
    let folder = server.folder.path();
    device_file(&server.path("devices.csv"));
    assert_eq!(
        operator(folder, &["device", "import", "devices.csv", "--dry-run"]),
        format!("{COUNT} devices can be registered\n")
    );
    assert_eq!(operator(folder, &["device", "list"]), "");
    let ended = AtomicBool::new(false);
    let enrolled = thread::scope(|scope| {
        let enrolling = scope.spawn(|| {
            let mut number = 0;
            while !ended.load(Ordering::Relaxed) || number == 0 {
                let (subject, out) = (format!("CN=other-{number}"), format!("other-{number}"));
                let all = ["enroll", "--user", "enroll", "--subject", &subject, "--out", &out];
                good("enroll", server.est(&all).output().unwrap());
                number += 1;
            }
            number
        });
        let watching = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                // Once one is listed, all are registered.
                if operator(folder, &["device", "list", "--limit", "1"]).contains("gw-") {
                    let last = format!("gw-{:05}", COUNT - 1);
                    operator(folder, &["device", "show", &last]);
                }
            }
        });
        let printed = operator(folder, &["device", "import", "devices.csv"]);
        ended.store(true, Ordering::Relaxed);
        assert_eq!(printed, format!("{COUNT} devices are registered\n"));
        watching.join().unwrap();
        enrolling.join().unwrap()
    });
    let issued = fields(folder, &["cert", "list", "--search", "other-"], "serial");
    assert_eq!(issued.len(), enrolled);
    let all = ids(folder);
    assert_eq!(all.len(), COUNT as usize);
    assert!(all.is_sorted());
    let shown = json(folder, &["device", "show", "gw-07919"]);
    assert_eq!(shown["device"]["identifiers"][0], "serial:acme:SN7919");
    // Once more changes nothing, with and without a server.
    operator(folder, &["device", "import", "devices.csv"]);
    let folder = server.stop();
    let printed = json(folder.path(), &["device", "import", "devices.csv"]);
    assert_eq!(printed["devices"], COUNT);
    assert_eq!(ids(folder.path()).len(), COUNT as usize);
}

#[test]
fn an_import_that_was_cut_leaves_nothing_and_can_be_run_again() {
    let server = Estd::start();
    let folder = server.folder.path();
    device_file(&server.path("devices.csv"));
    for commands in [1, 3, 9] {
        let mut import = estd(folder, &["device", "import", "devices.csv"]);
        let mut child = import.stdout(Stdio::null()).spawn().unwrap();
        // Other commands give it time.
        for _ in 0..commands {
            operator(folder, &["ca", "show"]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let count = ids(folder).len();
        assert!([0, COUNT as usize].contains(&count), "{count}");
    }
    let folder = server.kill();
    let server = Estd::start_in(folder);
    operator(server.folder.path(), &["device", "import", "devices.csv"]);
    assert_eq!(ids(server.folder.path()).len(), COUNT as usize);
}

#[test]
fn a_token_is_shown_once_and_stored_nowhere() {
    let server = Estd::start();
    let check = |folder: &Path| {
        operator(folder, &["device", "add", "gw-1"]);
        let (line, _) = output(folder, &["token", "create", "--device", "gw-1"]);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[1].len()), ("token", 44));
        assert!(line.contains(" for device gw-1, no label, until 20"), "{line}");
        assert!(line.ends_with("The token is shown once; only its SHA-256 is stored.\n"), "{line}");
        let names = ["token", "create", "--names", "CN=gw-1", "--san", "dns:gw-1.example"];
        let shown = json(folder, &names);
        assert_eq!(shown["grant"]["names"]["subject"], "CN=gw-1");
        let listed = operator(folder, &["token", "list"]);
        assert_eq!(listed.lines().count(), 3, "{listed}");
        assert!(listed.contains(" device gw-1 ") && listed.contains(" CN=gw-1 dns:gw-1.example "));
        // Neither list nor trail, log or store has the text.
        let audit = operator(folder, &["audit", "list"]);
        assert!(audit.contains("token.created"), "{audit}");
        let texts = [words[1], shown["token"].as_str().unwrap()];
        let shown = operator(folder, &["device", "show", "gw-1"]);
        for text in texts {
            for printed in [&listed, &audit, &shown] {
                assert!(!printed.contains(&text[4..20]), "{printed}");
            }
            let mut grep = Command::new("grep");
            grep.args(["-rl", &text[4..20], "."]).current_dir(folder);
            let found = grep.output().unwrap();
            assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
        }
        // One that cannot be shown does not exist.
        for arguments in
            [&["token", "create", "--any-name"][..], &["token", "create", "--any-name", "--json"]]
        {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let output = estd(folder, arguments).stdout(full).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(text.contains("no token was created"), "{text}");
        }
        assert_eq!(operator(folder, &["token", "list"]).lines().count(), 3);
        let (_, warning) = output(folder, &["token", "create", "--any-name", "--cmc"]);
        assert!(warning.contains("keys that can be used in place of these tokens"), "{warning}");
    };
    check(server.folder.path());
    server.stop();
    check(Estd::start().stop().path());
}

#[test]
fn a_file_of_tokens_is_for_its_owner_and_revokes_them() {
    let server = Estd::start();
    let folder = server.folder.path();
    let out = ["token", "create", "--any-name", "--count", "1200", "--out", "tokens.csv"];
    let printed = operator(folder, &out);
    assert!(printed.starts_with("1200 tokens in tokens.csv, to be used before 20"), "{printed}");
    let text = fs::read_to_string(server.path("tokens.csv")).unwrap();
    assert_eq!(text.lines().next(), Some("token,device,names,label,expires"));
    assert_eq!(text.lines().count(), 1201);
    let mode = fs::metadata(server.path("tokens.csv")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(error(folder, &out, 2)["kind"], "arguments");
    assert_eq!(fs::read_to_string(server.path("tokens.csv")).unwrap(), text);
    assert_eq!(fields(folder, &["token", "list"], "id").len(), 1200);

    // One token for each device of a list.
    fs::write(server.path("devices.csv"), "id\ngw-1\ngw-2\n").unwrap();
    operator(folder, &["device", "import", "devices.csv"]);
    let list = ["token", "create", "--devices", "devices.csv", "--expires", "30d"];
    let (printed, warning) =
        output(folder, &[&list[..], &["--label", "lab", "--out", "lab.csv"]].concat());
    assert!(printed.starts_with("2 tokens in lab.csv"), "{printed}");
    assert!(warning.contains("has no [label.lab]"), "{warning}");
    let text = fs::read_to_string(server.path("lab.csv")).unwrap();
    let row: Vec<&str> = text.lines().nth(2).unwrap().split(',').collect();
    assert_eq!((row[0].len(), &row[1..4]), (44, &["gw-2", "", "lab"][..]));
    let of_device = fields(folder, &["token", "list", "--device", "gw-2"], "id");
    assert_eq!(of_device.len(), 1);

    operator(folder, &["token", "revoke", "--file", "lab.csv", "--comment", "lost"]);
    assert_eq!(fields(folder, &["token", "list", "--label", "lab"], "state"), ["disabled"; 2]);
    let ids = fields(folder, &["token", "list", "--label", "-", "--limit", "1"], "id");
    let printed = operator(folder, &["token", "revoke", &ids[0][..8]]);
    assert_eq!(printed, format!("token {} (any name) is revoked\n", ids[0]));
    // A file that names one token wrongly revokes none, and its error does not show it.
    let wrong = text.replacen("est_", "est-", 1);
    fs::write(server.path("lab.csv"), &wrong).unwrap();
    let value = error(folder, &["token", "revoke", "--file", "lab.csv"], 2);
    let what = value["error"].as_str().unwrap();
    assert!(what.contains("line 2: got no token") && !what.contains("est"), "{what}");
}

#[test]
fn an_account_is_changed_and_its_new_password_shown_once() {
    let server = Estd::start();
    let check = |folder: &Path| {
        let run = |arguments: &[&str]| operator(folder, arguments);
        run(&["user", "add", "line-1", "--label", "lab", "--expires", "90d"]);
        let user = || {
            let users = json(folder, &["user", "list"])["users"].clone();
            let all = users.as_array().unwrap().clone();
            all.into_iter().find(|user| user["name"] == "line-1").unwrap()
        };
        assert!(user()["expires"].as_str().unwrap().starts_with("20"));
        let changed = run(&["user", "change", "line-1", "--all-labels", "--never-expires"]);
        assert_eq!(changed, "user line-1 changed\n");
        assert!(user()["labels"].is_null() && user()["expires"].is_null());
        let shown = run(&["user", "change", "line-1", "--password"]);
        assert!(
            shown.starts_with("user line-1 password ") && shown.lines().count() == 2,
            "{shown}"
        );
        let mut weak = estd(folder, &["user", "change", "line-1", "--password-stdin"]);
        weak.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = weak.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "short").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("password: got 5 characters"));
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = estd(folder, &["user", "change", "line-1", "--password"])
            .stdout(full)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("user line-1 was not changed"), "{text}");
    };
    check(server.folder.path());
    check(Estd::start().stop().path());
}
