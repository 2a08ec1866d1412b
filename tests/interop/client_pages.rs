//! Runs docs/clients.md: the commands of each client's section, verbatim, against a server with est.toml
//! but for the change that the page names. openssl and the server's records check the results.

use crate::process::{Estd, good};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const PAGE: &str = include_str!("../../docs/clients.md");
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// Placeholders of the first section for values that differ by reader.
const STANDING_FOR: [&str; 4] =
    ["localhost:8443", "the-password", "$HOME/estd", "/etc/estd/data/ca/default/root.pem"];

/// Sections that describe no client.
const ABOUT: [&str; 3] =
    ["Before you start", "What each client can do", "Clients that no test runs"];

/// The lines of a section up to the next heading of the same level or above.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = heading.split(' ').next().unwrap().len();
    let start = text.find(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let rest = &text[start + heading.len() + 1..];
    let mut end = 0;
    let mut fenced = false;
    for line in rest.split_inclusive('\n') {
        fenced ^= line.starts_with("```");
        let hashes = line.chars().take_while(|letter| *letter == '#').count();
        if !fenced && hashes > 0 && hashes <= level {
            break;
        }
        end += line.len();
    }
    &rest[..end]
}

/// The text of each block of shell commands.
fn blocks(text: &str) -> String {
    let mut inside = false;
    let mut commands = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            commands.push_str(line);
            commands.push('\n');
        }
    }
    commands
}

/// Headings of one level.
fn headings(text: &str, level: &str) -> Vec<String> {
    let mut fenced = false;
    let marked = format!("{level} ");
    text.lines()
        .filter(|line| {
            fenced ^= line.starts_with("```");
            !fenced && line.starts_with(&marked)
        })
        .map(|line| line[marked.len()..].to_owned())
        .collect()
}

/// Runs commands as a reader who pastes them, and stops at the first that fails.
fn paste(commands: &str, work: &Path) -> Output {
    let est = Path::new(env!("CARGO_BIN_EXE_est")).parent().unwrap();
    let path = format!("{}:{}", est.display(), std::env::var("PATH").unwrap());
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(work)
        .env("PATH", path)
        // Where tests/run has built the programs in Rust.
        .env("CARGO_TARGET_DIR", format!("{SOURCE}/target/tools/rust-clients"))
        .output()
        .unwrap()
}

/// The first section, with its placeholders replaced by this server's values.
fn before_you_start(estd: &Estd) -> String {
    let mut commands = blocks(section(PAGE, "## Before you start"));
    let anchor = estd.anchor().display().to_string();
    let server = format!("localhost:{}", estd.port);
    for (name, value) in STANDING_FOR.iter().zip([&server, &estd.password, SOURCE, &anchor]) {
        assert_eq!(commands.matches(name).count(), 1, "{name}");
        commands = commands.replace(name, value);
    }
    commands
}

/// A folder with room for large builds.
fn workplace() -> tempfile::TempDir {
    let shell = Path::new(env!("CARGO_TARGET_TMPDIR")).join("paste");
    fs::create_dir_all(&shell).unwrap();
    tempfile::tempdir_in(shell).unwrap()
}

/// Pastes the section of a client and checks the certificate of each part.
fn pasted(client: &str) {
    let estd = Estd::start();
    let work = workplace();
    let text = section(PAGE, &format!("## {client}"));
    let mut commands = before_you_start(&estd);
    for (heading, copy) in [("### Enroll", "first"), ("### Re-enroll", "second")] {
        let part = blocks(section(text, heading));
        assert!(part.lines().count() > 0, "{client}: nothing to run under {heading}");
        let copy = work.path().join(copy);
        commands += &part;
        commands += &format!("mkdir '{0}'; cp cert.pem key.pem '{0}'\n", copy.display());
    }
    let output = paste(&commands, work.path());
    good(&format!("{client}:\n{commands}"), output);
    let records = records(&estd);
    let first = judged(&estd, &work.path().join("first"));
    let second = judged(&estd, &work.path().join("second"));
    assert_ne!(first.serial, second.serial);
    assert_ne!(first.key, second.key, "the section says that it makes a new key");
    assert_eq!(first.names, second.names);
    let record = |serial: &str| &records[serial];
    assert_eq!(record(&first.serial)["operation"], "simpleenroll");
    assert_eq!(record(&second.serial)["operation"], "simplereenroll");
    let predecessor = record(&second.serial)["predecessor"].as_str().unwrap().to_lowercase();
    assert_eq!(predecessor, first.serial);
}

/// The server's records, by serial number.
fn records(estd: &Estd) -> BTreeMap<String, serde_json::Value> {
    let listed = estd.operator(&["cert", "list", "--json"]);
    let entries = listed.lines().map(|line| serde_json::from_str(line).unwrap());
    entries
        .map(|entry: serde_json::Value| (entry["serial"].as_str().unwrap().to_lowercase(), entry))
        .collect()
}

/// The output of openssl for a certificate that has passed.
struct Judged {
    serial: String,
    key: String,
    names: String,
}

/// Has openssl check cert.pem and key.pem: one certificate, under the root, for a TLS client, of
/// this key.
fn judged(estd: &Estd, folder: &Path) -> Judged {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let openssl = |arguments: &[&str], file: &PathBuf| {
        let output = Command::new("openssl").args(arguments).arg(file).output().unwrap();
        good(&format!("openssl {arguments:?} {}", file.display()), output)
    };
    let text = fs::read_to_string(&cert).unwrap();
    assert_eq!(text.matches("-----BEGIN CERTIFICATE-----").count(), 1, "{text}");
    let (root, issuing) = (estd.anchor(), estd.path("data/ca/default/issuing.pem"));
    let (root, issuing) = (root.to_str().unwrap(), issuing.to_str().unwrap());
    let verify =
        ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", root, "-untrusted", issuing];
    openssl(&verify, &cert);
    let public = openssl(&["x509", "-noout", "-pubkey", "-in"], &cert);
    assert_eq!(public, openssl(&["pkey", "-pubout", "-in"], &key));
    let names = ["x509", "-noout", "-subject", "-ext", "subjectAltName", "-in"];
    let names = openssl(&names, &cert);
    assert!(names.contains("CN = device-"), "{names}");
    let serial = openssl(&["x509", "-noout", "-serial", "-in"], &cert);
    let serial = serial.trim().trim_start_matches("serial=").to_lowercase();
    Judged { serial, key: public, names }
}

#[test]
fn est() {
    pasted("est");
}

#[test]
fn curl() {
    pasted("curl and OpenSSL");
}

#[test]
fn strongswan() {
    pasted("strongSwan pki");
}

#[test]
fn bouncy_castle() {
    pasted("Bouncy Castle");
}

#[test]
fn usg_est_client() {
    pasted("usg-est-client");
}

#[test]
fn est_ca() {
    pasted("est-ca");
}

/// The tests run everything on the page: each section has a test, each block is shell, and each command
/// in running text is also in a block. tests/run installs each package named.
#[test]
fn the_page_has_no_command_that_is_not_run() {
    let this = include_str!("client_pages.rs");
    let clients: Vec<String> = headings(PAGE, "##")
        .into_iter()
        .filter(|heading| !ABOUT.contains(&heading.as_str()))
        .collect();
    for client in &clients {
        assert!(this.contains(&format!("    pasted({client:?});\n")), "no test for {client}");
        let parts = headings(section(PAGE, &format!("## {client}")), "###");
        assert_eq!(parts, ["Enroll", "Re-enroll"], "{client}");
    }
    // Errexit does not see what fails before "&&", nor in "||" and in conditions.
    let run = blocks(PAGE);
    for blind in ["&&", "||", "if ", "while ", "until ", "! "] {
        assert!(!run.contains(blind), "{blind}");
    }
    let first = blocks(section(PAGE, "## Before you start"));
    for name in STANDING_FOR {
        assert!(first.contains(name) && run.matches(name).count() == 1, "{name}");
    }
    let mut inside = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            assert!(inside == (line == "```") && ["```", "```sh"].contains(&line), "{line}");
            inside = !inside;
        } else if !inside {
            assert!(!line.starts_with("    ") && !line.starts_with('\t'), "{line}");
            for code in line.split('`').skip(1).step_by(2) {
                let mut words = code.split(' ');
                let program = words.next().unwrap();
                let programs =
                    ["est", "estd", "curl", "openssl", "pki", "java", "javac", "cargo", "apt-get"];
                let command = programs.contains(&program) && words.next().is_some();
                assert!(!command || debian(line).contains(&code) || run.contains(code), "{code}");
            }
        }
    }
    let installed = include_str!("../run");
    let packages = installed.split("PACKAGES=\"").nth(1).unwrap().split('"').next().unwrap();
    for package in PAGE.lines().flat_map(debian).flat_map(|names| names.split(' ')) {
        assert!(packages.split_whitespace().any(|known| known == package), "{package}");
    }
    assert!(installed.contains("tests/interop/drivers/rust"));
}

/// Each cell of the table of what clients can do names an existing test that runs, or is a dash.
#[test]
fn what_a_client_can_do_has_a_test() {
    let text = section(PAGE, "## What each client can do");
    let mut rows = text.lines().filter(|line| line.starts_with('|')).map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let columns = rows.next().unwrap().len();
    let rows: Vec<_> = rows.skip(1).collect();
    let clients: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let sections = headings(PAGE, "##");
    let sections: Vec<&str> =
        sections.iter().map(String::as_str).filter(|heading| !ABOUT.contains(heading)).collect();
    assert_eq!(clients, sections);
    for row in &rows {
        assert_eq!(row.len(), columns, "{row:?}");
        for cell in row[1..].iter().filter(|cell| *cell != "–") {
            let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "{cell}");
            for name in names {
                let (module, function) = name.split_once("::").unwrap();
                let path = format!("{SOURCE}/tests/interop/{module}.rs");
                let source = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {path}"));
                let start = [format!("\nfn {function}("), format!("\nasync fn {function}(")]
                    .iter()
                    .find_map(|name| source.find(name))
                    .unwrap_or_else(|| {
                        panic!("{name} is not in {path}");
                    });
                // Its attributes: what stands between it and the end of the item before.
                let above = &source[..start];
                let above = &above[above.rfind("\n\n").unwrap()..];
                assert!(above.contains("#[test]") || above.contains("#[tokio::test"), "{name}");
                assert!(!above.contains("ignore"), "{name}");
            }
        }
    }
}

/// The lists of Debian packages in a line.
fn debian(line: &str) -> Vec<&str> {
    line.split("Debian: `").skip(1).map(|rest| rest.split('`').next().unwrap()).collect()
}

/// A command that fails, wherever it stands, fails the run.
#[test]
fn a_command_that_fails_is_noticed() {
    let work = workplace();
    assert!(paste("true\ntrue | true\n", work.path()).status.success());
    for failing in ["false\ntrue\n", "true | false | true\ntrue\n", "X=1 false\ntrue\n"] {
        assert!(!paste(failing, work.path()).status.success(), "{failing}");
    }
    // The same holds for the page: with a mistyped name the section fails.
    let estd = Estd::start();
    let enroll = section(section(PAGE, "## curl and OpenSSL"), "### Enroll");
    let commands = before_you_start(&estd) + &blocks(enroll);
    assert!(paste(&commands, work.path()).status.success());
    let mistyped = commands.replace("/simpleenroll", "/simpleenrol");
    assert_ne!(mistyped, commands);
    assert!(!paste(&mistyped, work.path()).status.success());
}
