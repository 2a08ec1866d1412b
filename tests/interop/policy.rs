//! The set-ups of docs/policy.md: each section's configuration and commands, in the order of the page. A
//! block of TOML starts a server with it. "Sixty days later" sets the clocks of server and clients.

use crate::process::{Estd, good};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/policy.md");

/// A step of a section.
#[derive(Debug, PartialEq)]
enum Step {
    Configuration(String),
    Commands(String),
    Later,
}

/// The steps of a section.
fn steps(heading: &str) -> Vec<Step> {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap_or((rest, ""));
    let mut steps = Vec::new();
    let (mut kind, mut block) = (None, String::new());
    for line in section.lines() {
        match (kind, line.strip_prefix("```")) {
            (None, None) if line.contains("Sixty days later") => steps.push(Step::Later),
            (None, None) => {}
            (None, Some(word)) => kind = Some(word),
            (Some(_), None) => block += &format!("{line}\n"),
            (Some(word), Some(_)) => {
                let block = std::mem::take(&mut block);
                match word {
                    "toml" => steps.push(Step::Configuration(block)),
                    "sh" => steps.push(Step::Commands(block)),
                    _ => {}
                }
                kind = None;
            }
        }
    }
    steps
}

/// A set-up while it runs: its folder, or the server in it.
enum Place {
    Folder(TempDir),
    Server(Estd),
}

impl Place {
    fn folder(self) -> TempDir {
        match self {
            Self::Folder(folder) => folder,
            Self::Server(estd) => estd.stop(),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder.path(),
            Self::Server(estd) => estd.folder.path(),
        }
    }
}

/// The command that runs a program this many days later.
fn later(days: u32) -> Vec<String> {
    let shift = format!("+{days}d");
    let words: &[&str] =
        if days == 0 { &[] } else { &["faketime", "--exclude-monotonic", "-f", &shift] };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Runs a set-up. Returns what its commands printed, and the server.
fn run(heading: &str) -> (String, Estd) {
    assert!(PAGE.contains("export EST_SERVER=https://localhost:8443\n"));
    let mut place = Place::Folder(tempfile::tempdir().unwrap());
    let (mut days, mut printed) = (0, String::new());
    let start = |folder, days| Place::Server(Estd::start_under(&later(days), folder));
    for step in steps(heading) {
        match step {
            Step::Configuration(text) => {
                let folder = place.folder();
                let listen = "version = 1\n[server]\nlisten = [\"127.0.0.1:0\"]\n";
                assert!(text.starts_with("version = 1\n"));
                fs::write(
                    folder.path().join("est.toml"),
                    text.replacen("version = 1\n", listen, 1),
                )
                .unwrap();
                place = start(folder, days);
            }
            Step::Later => {
                days = 60;
                place = start(place.folder(), days);
            }
            Step::Commands(script) => {
                let port = if let Place::Server(estd) = &place { estd.port } else { 0 };
                let programs = Path::new(env!("CARGO_BIN_EXE_est")).parent().unwrap();
                let mut words = later(days);
                words.push("bash".to_owned());
                let output = Command::new(&words[0])
                    .args(&words[1..])
                    .args(["-euo", "pipefail", "-c", &format!("exec 2>&1; {script}")])
                    .current_dir(place.path())
                    .env(
                        "PATH",
                        format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()),
                    )
                    .env("EST_SERVER", format!("https://localhost:{port}"))
                    .output()
                    .unwrap();
                printed += &good(&format!("{heading}:\n{script}"), output);
            }
        }
    }
    match place {
        Place::Server(estd) => (printed, estd),
        Place::Folder(_) => panic!("{heading} starts no server"),
    }
}

/// The certificates that were issued to devices: subject, label, and whether each renews another.
fn issued(estd: &Estd) -> Vec<(String, String, bool)> {
    let listed = estd.operator(&["cert", "list", "--json"]);
    let entries =
        listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries
        .filter(|entry| entry["operation"].is_string())
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            (text("subject"), text("label"), entry["predecessor"].is_string())
        })
        .collect()
}

fn entry(subject: &str, label: &str, renews: bool) -> (String, String, bool) {
    (subject.to_owned(), label.to_owned(), renews)
}

#[test]
fn a_lab_with_passwords() {
    let (printed, estd) = run("A lab with passwords");
    assert!(printed.contains("enroll.names") && printed.contains("exit code 1"), "{printed}");
    assert_eq!(issued(&estd), [entry("CN=probe-1", "", false), entry("CN=probe-1", "", true)]);
}

#[test]
fn a_factory_with_idevids() {
    let (printed, estd) = run("A factory with IDevIDs");
    for text in ["names.match", "label.manufacturer", "DNS:A-1001.plant7.example"] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    assert_eq!(printed.matches("exit code 1").count(), 2, "{printed}");
    assert_eq!(issued(&estd), [entry("CN=A-1001,O=Example", "factory", false)]);
}

#[test]
fn a_fleet_that_only_renews() {
    let (printed, estd) = run("A fleet that only renews");
    assert!(printed.contains("renewal.early") && printed.contains("exit code "), "{printed}");
    let expected = [entry("CN=pump-1", "fleet", false), entry("CN=pump-1", "fleet", true)];
    assert_eq!(issued(&estd), expected);
}

#[test]
fn azure_iot_edge() {
    let (printed, estd) = run("Azure IoT Edge");
    assert!(printed.contains("label.certificate"), "{printed}");
    let one = |label, renews| entry("CN=edge-1", label, renews);
    let expected = [
        one("bootstrap", false),
        one("identity", false),
        one("device", false),
        one("identity", true),
        one("device", false),
    ];
    assert_eq!(issued(&estd), expected);
}

#[test]
fn a_registrar_in_front_of_devices() {
    let (printed, estd) = run("A registrar in front of devices");
    assert!(printed.contains("exit code 1"), "{printed}");
    let expected = [entry("CN=line-ra", "ra", false), entry("CN=unit-1", "devices", false)];
    assert_eq!(issued(&estd), expected);
}

/// The states of the devices, by id.
fn states(estd: &Estd) -> Vec<(String, String)> {
    let listed = estd.operator(&["device", "list", "--json"]);
    let entries =
        listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    entries.map(|entry| (text(&entry["id"]), text(&entry["state"]))).collect()
}

#[test]
fn a_factory_with_an_allow_list() {
    let (printed, estd) = run("A factory with an allow-list");
    for text in ["device.unregistered", "device.quota", "DNS:unit-1.plant7.example"] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    assert_eq!(printed.matches("exit code 1").count(), 2, "{printed}");
    assert_eq!(issued(&estd), [entry("CN=unit-1,O=Example", "factory", false)]);
    let expected = [("unit-1", "active"), ("unit-3", "retired")];
    assert_eq!(states(&estd), expected.map(|(id, state)| (id.to_owned(), state.to_owned())));
}

#[test]
fn tokens_by_spreadsheet() {
    let (printed, estd) = run("Tokens by spreadsheet");
    assert!(printed.contains("auth.token") && printed.contains("exit code 1"), "{printed}");
    assert!(printed.contains("it was used for certificate"), "{printed}");
    assert_eq!(issued(&estd), [entry("CN=meter-1,OU=cellar,O=Example", "site", false)]);
    let expected = [("meter-1", "active"), ("meter-2", "registered")];
    assert_eq!(states(&estd), expected.map(|(id, state)| (id.to_owned(), state.to_owned())));
    let tokens = estd.operator(&["token", "list", "--label", "site", "--json"]);
    assert_eq!(tokens.matches("\"state\":\"disabled\"").count(), 1, "{tokens}");
    assert_eq!(tokens.matches("\"state\":\"used\"").count(), 1, "{tokens}");
}
