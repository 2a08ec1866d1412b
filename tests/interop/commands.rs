//! The commands of README.md and docs/, run as they are shown; docs/clients.md and docs/policy.md have
//! tests of their own (client_pages.rs, policy.rs).

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::process::{Estd, good};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// Pages with tests of their own.
const OWN_TESTS: [&str; 2] = ["docs/clients.md", "docs/policy.md"];

/// Pages whose commands a test of this file runs.
const RUN: [&str; 12] = [
    "docs/tutorial.md",
    "docs/est.md",
    "docs/operator/accounts.md",
    "docs/operator/audit.md",
    "docs/operator/ca.md",
    "docs/operator/certificates.md",
    "docs/operator/devices.md",
    "docs/operator/explain.md",
    "docs/operator/keygen.md",
    "docs/operator/rejections.md",
    "docs/operator/store.md",
    "docs/operator/tokens.md",
];

/// Commands that no test of this file runs: the page, how the command begins, and why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "cargo run --release -- serve", "welcome::both_enroll pastes what it prints"),
    ("README.md", "tests/run", "it runs this test"),
    ("CONTRIBUTING.md", "tests/run", "it runs this test"),
    ("docs/design/durability.md", "cargo test", "it is a test: powercut.rs"),
    ("docs/design/issuance.md", "", "they are the tests themselves"),
    ("docs/operator/audit.md", "estd audit tail --follow", "does not end: audit.rs has its test"),
    ("docs/operator/nodes.md", "createdb", "postgres.rs of tests/common creates databases by SQL"),
    ("docs/operator/nodes.md", "createuser", "postgres.rs of tests/common creates users by SQL"),
    ("docs/operator/nodes.md", "cargo test", "it is a test: nodes.rs"),
    (
        "docs/operator/service.md",
        "",
        "needs root and systemd: boot.rs holds the unit against the page",
    ),
    (
        "docs/operator/store.md",
        "estd store copy --from sled --to postgres",
        "store.rs, with a database",
    ),
    ("docs/performance.md", "", "benchmarks: they take hours and prove figures only"),
    ("docs/reference/commands.md", "estd cert show 0102 --json", "expected to fail: run below"),
    ("docs/scaling.md", "", "benchmarks: they take hours and prove figures only"),
    ("docs/tutorial.md", "cargo build --release", "the tests build both programs"),
    ("docs/tutorial.md", "estd serve", "the test starts the server by itself"),
    ("docs/tutorial.md", "export PATH=", "the test sets the PATH"),
    ("docs/tutorial.md", "mkdir ~/est-tutorial", "the test has a folder of its own"),
];

/// The lines of the shell blocks of a page, and the commands behind `$ ` in its other blocks, in order.
fn commands(page: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    // The word that starts the block, and whether a command continues.
    let (mut block, mut open, mut here) = (None, false, None::<String>);
    for line in page.lines() {
        let line =
            line.strip_prefix("   ").filter(|rest| rest.starts_with(['`', '$'])).unwrap_or(line);
        if let Some(kind) = line.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(kind) };
            continue;
        }
        let command = match block {
            Some("sh") => line,
            Some(_) => match line.strip_prefix("$ ") {
                Some(command) => command,
                None => continue,
            },
            None => continue,
        };
        if open {
            let last = out.last_mut().unwrap();
            *last = format!("{last}\n{command}");
        } else if !command.trim().is_empty() {
            out.push(command.to_owned());
        }
        if here.as_deref() == Some(command) {
            here = None;
        } else if let Some((_, word)) = command.split_once("<<'") {
            here = word.split('\'').next().map(str::to_owned);
        }
        open = here.is_some() || command.ends_with('\\');
    }
    out
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(SOURCE).join(name)).unwrap()
}

/// The documents that readers get, by their paths.
fn pages() -> Vec<String> {
    fn add(folder: &Path, deep: bool, out: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && deep {
                add(&path, true, out);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                out.push(path.strip_prefix(SOURCE).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut out = Vec::new();
    add(Path::new(SOURCE), false, &mut out);
    add(&Path::new(SOURCE).join("docs"), true, &mut out);
    out
}

fn excused(name: &str, command: &str) -> bool {
    NOT_RUN.iter().any(|(page, start, _)| *page == name && command.starts_with(start))
}

#[test]
fn every_command_of_the_documents_is_run_or_excused() {
    let mut loose = Vec::new();
    let mut used: BTreeSet<&(&str, &str, &str)> = BTreeSet::new();
    for name in pages().iter().filter(|name| !OWN_TESTS.contains(&name.as_str())) {
        for command in commands(&page(name)) {
            let excuses = NOT_RUN
                .iter()
                .filter(|(page, start, _)| page == name && command.starts_with(start));
            used.extend(excuses);
            if !excused(name, &command) && !RUN.contains(&name.as_str()) {
                loose.push(format!("{name}: {command}"));
            }
        }
    }
    assert!(loose.is_empty(), "run these or list them in NOT_RUN:\n{}", loose.join("\n"));
    let stale: Vec<_> = NOT_RUN.iter().filter(|excuse| !used.contains(excuse)).collect();
    assert!(stale.is_empty(), "no page shows these: {stale:?}");
}

#[test]
fn commands_are_found_in_pages() {
    let text = "Text `estd x`.\n\n```sh\none \\\n  more\ntwo\ncat >> f <<'END'\n\nbody\nEND\nthree\n```\n\
                ```text\n$ four\nanswer\n```\n```toml\n[five]\n```\n1. item\n\n   ```text\n   $ six\n   ```\n";
    assert_eq!(
        commands(text),
        ["one \\\n  more", "two", "cat >> f <<'END'\n\nbody\nEND", "three", "four", "six"]
    );
}

/// Runs the commands of a page in the server's folder, with these replacements. Each stops the run if it
/// fails.
fn run(name: &str, estd: &Estd, replacements: &[(&str, &str)]) -> String {
    let chosen: Vec<_> =
        commands(&page(name)).into_iter().filter(|command| !excused(name, command)).collect();
    let mut script = chosen.join("\n");
    for (shown, here) in replacements {
        assert!(script.contains(shown), "{name} does not show {shown}");
        script = script.replace(shown, here);
    }
    shell(name, estd.folder.path(), &script)
}

fn shell(what: &str, folder: &Path, script: &str) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_est")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euEo", "pipefail", "-c", &format!("exec 2>&1; {script}")])
        .current_dir(folder)
        .env("PATH", path)
        .output();
    good(what, output.unwrap())
}

/// The block of the first minute in README.md is what a first start prints at a terminal, shortened.
#[test]
fn the_first_minute_of_the_readme() {
    let terminal = "exec script -qefc \"exec $0 $*\" /dev/null";
    let runner = ["sh", "-c", terminal].map(str::to_owned);
    let estd = Estd::start_under(&runner, Estd::folder("[\"localhost\"]"));
    let printed: Vec<&str> = estd.welcome.lines().map(str::trim_end).collect();
    let readme = page("README.md");
    let (_, block) = readme.split_once("```text\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    assert!(block.lines().count() > 20);
    let folder = estd.folder.path().canonicalize().unwrap();
    for line in block.lines() {
        // Of this run: the folder, the port, the password and the fingerprint.
        let line = line.replace("/home/ana/estd", folder.to_str().unwrap());
        let line = line.replace("8443", &estd.port.to_string());
        let line = line.replace("kx7m…", "…").replace("5F:0C:4A:…", "…");
        let line = line.replace("--release … --bin", "… --bin");
        let parts: Vec<&str> = line.split('…').collect();
        let fits = |text: &str| {
            let mut rest = text;
            let ends = text.starts_with(parts[0]) && text.ends_with(parts[parts.len() - 1]);
            ends && parts.iter().all(|part| {
                let after = rest.split_once(part).map(|(_, after)| after);
                rest = after.unwrap_or_default();
                after.is_some()
            })
        };
        assert!(printed.iter().any(|text| fits(text)), "README shows {line:?}\n{printed:#?}");
    }
}

/// A server with more in its configuration.
fn server(configuration: &str) -> Estd {
    let folder = Estd::folder("[\"localhost\"]");
    let file = folder.path().join("est.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + configuration).unwrap();
    Estd::start_in(folder)
}

fn address(estd: &Estd) -> String {
    format!("localhost:{}", estd.port)
}

#[test]
fn the_tutorial() {
    // The server of the page, on a port of its own.
    let folder = tempfile::tempdir().unwrap();
    shell("init", folder.path(), "estd init --name localhost --data data est.toml");
    let file = folder.path().join("est.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(":8443"));
    fs::write(&file, text.replace("0.0.0.0:8443", "127.0.0.1:0")).unwrap();
    let estd = Estd::start_in(folder);
    let text = run(
        "docs/tutorial.md",
        &estd,
        &[
            ("estd init --name localhost --data data est.toml", "true"),
            ("localhost:8443", &address(&estd)),
            ("the-password", &estd.password),
        ],
    );
    for expected in [
        "subject=CN = device-1",
        "in force; changed:",
        "the server asks of a request:",
        "DNS:gateway-1.example.com",
        "exit code 1",
        "nothing to do",
        "(CN=gateway-3,O=Example) was revoked at ",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(
        serials(&estd, "CN=gateway-1,O=Example").len(),
        2,
        "the first and its renewal: {text}"
    );
}

#[test]
fn the_page_on_est() {
    let estd = Estd::start();
    let password = &estd.password;
    let prepared = format!(
        "export EST_SERVER=https://{} EST_PASSWORD={password}
        est enroll --cacert data/ca/default/root.pem --user enroll --subject CN=device-1 --out renewed
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj /CN=device-2 \
            -out request.pem 2>/dev/null
        mkdir device; cp renewed/ca.pem device",
        address(&estd)
    );
    shell("before", estd.folder.path(), &prepared);
    let server = format!("https://{}", address(&estd));
    let with = format!("EST_SERVER={server} EST_PASSWORD={password} est enroll --csr");
    run(
        "docs/est.md",
        &estd,
        &[
            ("https://est.example:8443", &server),
            ("/var/lib/device", "renewed"),
            ("est enroll --csr", &with),
        ],
    );
}

#[test]
fn the_page_on_accounts() {
    let estd = server(
        "\n[label.factory]\n[label.old]\naccept = [\"certificate\", \"password:digest-md5\", \"ra\"]\n",
    );
    let text = run("docs/operator/accounts.md", &estd, &[]);
    same_lines("docs/operator/accounts.md", &text);
}

#[test]
fn the_page_on_state() {
    let estd = server("\n[label.factory]\n");
    let file = estd.path("est.toml");
    let changed = fs::read_to_string(&file).unwrap() + "renewal.key = \"new\"\n";
    let changed = changed.replace("cache_mib = 64 ", "cache_mib = 65 ");
    fs::write(&file, changed).unwrap();
    let text = run("docs/operator/ca.md", &estd, &[]);
    for expected in ["in force; changed: [label.factory]", "restart estd for: [store]"] {
        assert!(text.lines().any(|line| line == expected), "{expected}: {text}");
    }
    for field in ["configuration ", "connections ", "audit ", "CA default ", "last reload "] {
        assert!(text.lines().any(|line| line.starts_with(field)), "{field}: {text}");
        assert!(page("docs/operator/ca.md").contains(&format!("\n{field}")), "{field}");
    }
}

/// Serial numbers of the certificates with this subject.
fn serials(estd: &Estd, subject: &str) -> Vec<String> {
    let listed = estd.operator(&["cert", "list", "--json", "--subject", subject]);
    let entries =
        listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries.map(|entry| entry["serial"].as_str().unwrap().to_owned()).collect()
}

fn enroll(estd: &Estd, names: &[&str]) {
    for name in names {
        let subject = format!("CN={name}");
        let mut est =
            estd.est(&["enroll", "--user", "enroll", "--subject", &subject, "--out", name]);
        good(name, est.output().unwrap());
    }
}

#[test]
fn the_page_on_certificates() {
    let estd = Estd::start();
    enroll(&estd, &["gw-71", "gw-72"]);
    let serial = serials(&estd, "CN=gw-71").remove(0);
    let text = run(
        "docs/operator/certificates.md",
        &estd,
        &[("0cf54a810000ba3ddd5729f74ac843374ab967b3", &serial), ("0cf54a810000", &serial[..12])],
    );
    assert!(text.contains(&format!("{serial} (CN=gw-71) was revoked at ")), "{text}");
    assert!(serials(&estd, "CN=gw-7*").len() == 2 && text.contains("SERIAL"), "{text}");
    let command = ["cert", "list", "--revoked", "--json"];
    assert_eq!(estd.operator(&command).lines().count(), 2, "{text}");
}

/// The file that the page on devices shows.
fn device_list(estd: &Estd) {
    let page = page("docs/operator/devices.md");
    let (_, rest) = page.split_once("$ cat devices.csv\n").unwrap();
    let (text, _) = rest.split_once("$ ").unwrap();
    fs::write(estd.path("devices.csv"), text).unwrap();
}

#[test]
fn the_page_on_devices() {
    let name = "docs/operator/devices.md";
    let estd = server("\n[label.factory]\n[label.field]\n");
    device_list(&estd);
    let text = run(name, &estd, &[]);
    same_lines(name, &text);
    assert!(!text.contains("warning"), "{text}");
    let listed = estd.operator(&["device", "list", "--json"]);
    let states: Vec<_> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["state"].clone())
        .collect();
    assert_eq!(states, ["registered", "registered", "retired"]);
}

#[test]
fn the_page_on_tokens() {
    let name = "docs/operator/tokens.md";
    let estd = server("\n[label.factory]\n[label.field]\n");
    device_list(&estd);
    estd.operator(&["device", "add", "gw-1"]);
    let id = "$(estd token list --device gw-1 --json | cut -d '\"' -f 4)";
    let shown = "estd token revoke 0c55b1af3bdbfd44";
    let text = run(name, &estd, &[(shown, &format!("estd token revoke {id}"))]);
    same_lines(name, &text);
    let usable = estd.operator(&["token", "list", "--state", "usable", "--json"]);
    assert_eq!(usable.lines().count(), 2, "{text}");
}

#[test]
fn the_page_on_keys_for_devices() {
    let folder = Estd::folder("[\"localhost\"]");
    let file = folder.path().join("est.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("# keys_file =", "keys_file =");
    fs::write(&file, text.replace("serverkeygen = \"off\"", "serverkeygen = \"encrypted\""))
        .unwrap();
    let key = format!("unit-0001:{}\n", "8d".repeat(32));
    for name in ["decrypt-keys", "my-key"] {
        fs::write(folder.path().join(name), &key).unwrap();
    }
    shell("mode", folder.path(), "chmod 600 decrypt-keys my-key");
    let estd = Estd::start_in(folder);
    let added = estd.operator(&["user", "add", "line-1"]);
    let password = added.split_whitespace().nth(3).unwrap();
    run(
        "docs/operator/keygen.md",
        &estd,
        &[("localhost:8443", &address(&estd)), ("the-password-of-line-1", password)],
    );
    assert!(fs::read_to_string(estd.path("unit/key.pem")).unwrap().contains("PRIVATE KEY"));
}

#[test]
fn the_page_on_explanations() {
    let estd = server("\n[label.factory]\nrenewal.window = \"36500d\"\n");
    let csr = |name: &str| {
        format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
             -subj /CN=unit-1 -out {name}.csr 2>/dev/null\n"
        )
    };
    let server = format!("https://{}", address(&estd));
    let prepared = format!(
        "{}{}estd user add line-1
        EST_PASSWORD={} est enroll --server {server} --cacert data/ca/default/root.pem --user enroll \
            --subject CN=unit-1 --label factory --out unit
        cp unit/cert.pem device.pem",
        csr("device"),
        csr("renewal"),
        estd.password
    );
    shell("before", estd.folder.path(), &prepared);
    let wrong = ["enroll", "--user", "line-1", "--subject", "CN=x", "--json", "--auth", "basic"];
    let output = estd.est(&wrong).env("EST_PASSWORD", "wrong").output().unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    let error: serde_json::Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
    let id = error["request_id"].as_str().unwrap_or_else(|| panic!("{line}"));
    let text = run("docs/operator/explain.md", &estd, &[("4de73a8dff1f8bf1", id)]);
    for expected in [
        "claimed: the password of account \"line-1\"",
        "claimed: possession of the key of the client's certificate",
        "verdict: a certificate would be issued",
        "  subject     CN=unit-1",
        "  cause: wrong password",
        "exit code 1",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}: {text}");
    }
    let page = page("docs/operator/explain.md");
    for part in ["client", "claimed", "proofs", "rules", "verdict", "certificate", "csrattrs"] {
        assert!(page.contains(&format!("| `{part}` |")), "{part}");
        assert!(text.lines().any(|line| line.starts_with(part)), "{part}: {text}");
    }
}

#[test]
fn the_page_on_rejections() {
    let estd = Estd::start();
    let mut est =
        estd.est(&["enroll", "--user", "enroll", "--subject", "CN=x", "--json", "--auth", "basic"]);
    let output = est.env("EST_PASSWORD", "wrong").output().unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    let error: serde_json::Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
    let id = error["request_id"].as_str().unwrap_or_else(|| panic!("{line}"));
    let text = run("docs/operator/rejections.md", &estd, &[("4de73a8dff1f8bf1", id)]);
    let event: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (&event["request"], &event["details"]["rule"]),
        (&error["request_id"], &error["rule"])
    );
    for field in ["rule", "cause", "account", "address"] {
        assert!(event["details"][field].is_string(), "{event}");
    }
}

#[test]
fn the_page_on_the_audit_trail() {
    let estd = Estd::start();
    enroll(&estd, &["device-1"]);
    let text = run("docs/operator/audit.md", &estd, &[]);
    let digests: BTreeSet<_> = text.split_whitespace().filter(|word| word.len() == 64).collect();
    assert_eq!(digests.len(), 1, "{text}");
    let text = shell("names", estd.folder.path(), "cat data/audit.jsonl");
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = format!("`{}`", event["event"].as_str().unwrap());
        assert!(page("docs/operator/audit.md").contains(&name), "{name}");
    }
}

#[test]
fn the_page_on_the_store() {
    let estd = Estd::start();
    enroll(&estd, &["device-1"]);
    let name = "docs/operator/store.md";
    let all: Vec<_> = commands(&page(name)).into_iter().filter(|c| !excused(name, c)).collect();
    let here = estd.folder.path().display().to_string();
    let at = |command: &str| command.replace("/backup", &here);
    let (online, offline): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|c| c.starts_with("estd store check") || c.starts_with("estd store export"));
    let mut text = String::new();
    for command in &online {
        text += &shell(command, estd.folder.path(), &at(command));
    }
    assert_eq!(online.len(), 2);
    let folder = estd.stop();
    fs::rename(folder.path().join("data/store"), folder.path().join("before")).unwrap();
    assert_eq!(offline.len(), 2);
    for command in &offline {
        text += &shell(command, folder.path(), &at(command));
    }
    same_lines(name, &text);
}

#[test]
fn the_page_on_commands() {
    let estd = Estd::start();
    let command = commands(&page("docs/reference/commands.md")).remove(0);
    let words: Vec<_> = command.split(' ').skip(1).collect();
    let output = crate::process::estd(estd.folder.path(), &words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(page("docs/reference/commands.md").contains(error.trim()), "{error}");
    // Each command of the table exists, and none is missing.
    let help = crate::process::operator(estd.folder.path(), &["--help"]);
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    for line in listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("    "))
    {
        let name = line.split_whitespace().next().unwrap();
        let shown = format!("`estd {name}");
        assert!(name == "help" || page("docs/reference/commands.md").contains(&shown), "{name}");
    }
}

/// Text with each number, time, password and digest replaced.
fn shape(line: &str) -> String {
    let words = line.split([' ', ',']).filter(|word| !word.is_empty());
    let replaced = words.map(|word| {
        let digits = word.chars().any(|letter| letter.is_ascii_digit());
        if digits
            && !word.starts_with("SHA")
            && !word.starts_with("digest")
            && !word.contains("line-")
        {
            "#"
        } else {
            word.trim_end_matches('s')
        }
    });
    replaced.collect::<Vec<_>>().join(" ")
}

/// The commands printed every line that a page shows below one, numbers aside.
fn same_lines(name: &str, printed: &str) {
    let printed: BTreeSet<_> = printed.lines().map(shape).collect();
    let page = page(name);
    let (mut inside, mut missing) = (false, Vec::new());
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```text";
        } else if inside
            && !["$ ", "open: "].iter().any(|start| line.starts_with(start))
            && !printed.contains(&shape(line))
        {
            missing.push(line);
        }
    }
    assert!(missing.is_empty(), "{name} shows {missing:#?}\nprinted: {printed:#?}");
}
