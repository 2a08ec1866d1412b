//! `/fullcmc` against Bouncy Castle: drivers/BcCmcCases.java sends every request and checks the answer
//! against the RFCs. One program run prints the whole table, and each test here asserts the lines of
//! one requirement. The server's records are compared with the answers that the program received.

use crate::{
    clients::{JARS, bouncy_castle},
    common::stranger,
    process::{Estd, good, operator},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    sync::LazyLock,
};

const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/drivers");
const SECRET: &str = "a secret of sixteen and more";

/// est.toml with a label that offers `/fullcmc`, and one for registration authorities.
fn server() -> Estd {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    // A registration authority certified by a trusted CA of devices, and one by an unknown CA.
    let extensions =
        "extendedKeyUsage = clientAuth, 1.3.6.1.5.5.7.3.28\nkeyUsage = critical, digitalSignature";
    for name in ["foreign", "stranger"] {
        let made = folder.path().join(format!("made-{name}"));
        fs::create_dir(&made).unwrap();
        let (ca, ra) = stranger(&made, &format!("/O=Interop/CN={name} RA"), extensions);
        fs::copy(ca, folder.path().join(format!("{name}-ca.pem"))).unwrap();
        fs::write(folder.path().join(format!("{name}.pem")), ra.pem).unwrap();
        fs::write(folder.path().join(format!("{name}.key")), ra.key).unwrap();
    }
    assert!(text.contains("max_body = 65536"));
    let text = text.replace("max_body = 65536", "max_body = 1048576");
    let more = r#"
[manufacturer.foreign]
anchors = ["foreign-ca.pem"]

[label.cmc]
accept = ["certificate", "password", "ra", "manufacturer:foreign"]
renewal.window = "100%"
fullcmc = true
change_names = true

[profile.ra]
validity = "30d"
extended_key_usage = ["clientAuth", "cmcRA"]

[label.ra]
profile = "ra"
accept = ["password"]
"#;
    fs::write(&path, format!("{text}{more}")).unwrap();
    crmf_of_openssl(folder.path());
    Estd::start_in(folder)
}

/// An initialization request of CMP as openssl makes it, and its key: ir.der, ir.key.
fn crmf_of_openssl(folder: &std::path::Path) {
    fs::write(folder.join("ir.key"), crate::common::new_key("EC")).unwrap();
    // Sending fails; only the file is needed.
    let output = Command::new("openssl")
        .args(["cmp", "-cmd", "ir", "-newkey", "ir.key", "-subject", "/O=Interop/CN=openssl-ir"])
        .args(["-recipient", "/CN=nobody", "-ref", "r", "-secret", "pass:s", "-popo", "1"])
        .args(["-server", "127.0.0.1:1", "-reqout", "ir.der"])
        .args(["-certout", "ir.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(folder.join("ir.der").exists(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The result of a case.
struct Line {
    good: bool,
    name: String,
    rule: String,
    text: String,
}

struct Table {
    lines: Vec<Line>,
    /// Serials of what the judge was given, and what `estd cert list` says of each certificate.
    issued: BTreeSet<String>,
    kept: BTreeMap<String, serde_json::Value>,
    /// The certificates that the judge revoked, with reasons.
    revoked: BTreeMap<String, String>,
    /// Resident memory of the server at most, kB: before the cases, and in all.
    memory: (u64, u64),
    server_ended: bool,
}

fn run(what: &str) -> Table {
    let mut estd = server();
    let added = estd.operator(&["user", "add", "ra-1", "--label", "ra"]);
    let ra_password = added.split(' ').nth(3).unwrap().lines().next().unwrap().to_owned();
    let mut add = Command::new("sh");
    add.args([
        "-c",
        &format!("echo '{SECRET}' | \"$0\" user add shared --identity-proof --password-stdin"),
    ])
    .arg(env!("CARGO_BIN_EXE_estd"))
    .current_dir(estd.folder.path());
    good("user add shared", add.output().unwrap());
    let peak = |pid: u32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = peak(estd.pid());
    let output = Command::new("java")
        .args([
            "-Xss16m",
            "-cp",
            &format!("{}:{JARS}", bouncy_castle().display()),
            "BcCmcCases",
            what,
        ])
        .arg(estd.folder.path())
        .env("EST_HOST", "localhost")
        .env("EST_PORT", estd.port.to_string())
        .env("EST_CA", estd.anchor())
        .env("EST_USER", "enroll")
        .env("EST_PASS", &estd.password)
        .env("EST_RA_USER", "ra-1")
        .env("EST_RA_PASS", ra_password)
        .env("EST_SECRET_USER", "shared")
        .env("EST_SECRET", SECRET)
        .output()
        .unwrap();
    let server_ended = estd.ended().is_some();
    let memory = (before, if server_ended { 0 } else { peak(estd.pid()) });
    let text = good(&format!("BcCmcCases {what}"), output);
    eprintln!("{text}");
    let mut table = Table {
        lines: Vec::new(),
        issued: BTreeSet::new(),
        kept: BTreeMap::new(),
        revoked: BTreeMap::new(),
        memory,
        server_ended,
    };
    for text in text.lines() {
        let fields: Vec<&str> = text.split('\t').collect();
        match fields[0] {
            "issued" => {
                table.issued.insert(serial(fields[1]));
            }
            "revoked" => {
                table.revoked.insert(serial(fields[1]), fields[2].to_owned());
            }
            verdict => table.lines.push(Line {
                good: verdict == "ok",
                name: fields[1].to_owned(),
                rule: fields[2].to_owned(),
                text: text.replace('\t', "  "),
            }),
        }
    }
    let listed = operator(estd.folder.path(), &["cert", "list", "--json"]);
    for line in listed.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        // No device requested the server's own certificate.
        if entry["operation"].is_string() {
            table.kept.insert(serial(entry["serial"].as_str().unwrap()), entry);
        }
    }
    table
}

/// Hexadecimal without leading zeros and colons, in one form for all writers.
fn serial(text: &str) -> String {
    text.replace(':', "").trim_start_matches('0').to_lowercase()
}

fn cases() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| run("cases"));
    &TABLE
}

fn hostile() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| run("hostile"));
    &TABLE
}

/// Every case of this requirement went as it should, and there are this many at least.
fn holds(rule: &str, least: usize) {
    let lines: Vec<&Line> = cases().lines.iter().filter(|line| line.rule == rule).collect();
    assert!(lines.len() >= least, "{rule}: {} cases of {least}", lines.len());
    let wrong: Vec<&str> =
        lines.iter().filter(|line| !line.good).map(|line| line.text.as_str()).collect();
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

/// Properties of every answer are checked in each case: signature up to the anchor, CMCStatusInfoV2,
/// failInfo and pendInfo where they belong, extendedFailInfo nowhere, echoes, DER.
///
/// proves: R-5272-6.1-a, R-5272-6.1.1-a, R-5274-4-a
#[test]
fn every_case_as_a_whole() {
    let table = cases();
    assert!(!table.server_ended);
    let names: BTreeSet<&str> = table.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names.len(), table.lines.len(), "a name stands twice");
    let wrong: Vec<&str> =
        table.lines.iter().filter(|line| !line.good).map(|line| line.text.as_str()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

/// Rejected requests leave no records; every issued certificate has one.
#[test]
fn the_store_holds_what_the_judge_was_given() {
    for table in [cases(), hostile()] {
        let kept: BTreeSet<String> = table.kept.keys().cloned().collect();
        assert!(!kept.is_empty());
        let known = |serial: &String| table.kept.get(serial).map(|entry| &entry["subject"]);
        let differ: Vec<_> =
            kept.symmetric_difference(&table.issued).map(|one| (one, known(one))).collect();
        assert!(differ.is_empty(), "{differ:?}");
    }
}

/// proves: R-5272-6.11-a
#[test]
fn revoked_is_what_was_asked_for() {
    let table = cases();
    assert_eq!(table.revoked.len(), 4);
    let kept: BTreeMap<String, String> = table
        .kept
        .iter()
        .filter(|(_, entry)| entry["state"] == "revoked")
        .map(|(serial, entry)| {
            (serial.clone(), entry["revocation_reason"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(kept, table.revoked);
    holds("R-5272-6.11-a", 14);
}

#[test]
fn r_7030_3_2_2_c_fullcmc_is_404_where_it_is_not_offered() {
    holds("R-7030-3.2.2-c", 1);
}

#[test]
fn r_7030_4_3_1_a_the_media_type() {
    holds("R-7030-4.3.1-a", 7);
}

#[test]
fn r_7030_4_3_1_b_what_is_no_full_pki_request_is_rejected() {
    holds("R-7030-4.3.1-b", 8);
}

#[test]
fn r_7030_4_3_2_b_a_failure_is_4xx_with_a_cmc_body() {
    holds("R-7030-4.3.2-b", 1);
}

#[test]
fn r_5272_3_1_a_a_request_without_a_name() {
    holds("R-5272-3.1-a", 1);
}

/// proves: R-7030-4.3.2-a
#[test]
fn r_5272_3_2_a_simple_and_full_responses() {
    holds("R-5272-3.2-a", 12);
}

#[test]
fn r_5272_3_2_b_the_wrapper_and_its_content() {
    holds("R-5272-3.2-b", 10);
}

#[test]
fn r_5272_3_2_c_signed_by_the_key_that_is_certified() {
    holds("R-5272-3.2-c", 8);
}

#[test]
fn r_5272_3_2_1_3_4_a_a_signature_that_is_wrong() {
    holds("R-5272-3.2.1.3.4-a", 8);
}

#[test]
fn r_5272_3_2_1_1_a_a_control_that_is_unknown() {
    holds("R-5272-3.2.1.1-a", 6);
}

#[test]
fn r_5272_3_2_2_a_body_part_ids() {
    holds("R-5272-3.2.2-a", 12);
}

#[test]
fn r_5272_3_2_1_a_another_kind_of_request() {
    holds("R-5272-3.2.1-a", 3);
}

#[test]
fn r_5272_3_2_1_2_2_a_crmf() {
    holds("R-5272-3.2.1.2.2-a", 17);
}

#[test]
fn r_5272_6_4_a_data_return() {
    holds("R-5272-6.4-a", 7);
}

#[test]
fn r_5272_6_6_a_transaction_and_nonces() {
    holds("R-5272-6.6-a", 15);
}

#[test]
fn r_5272_6_13_a_query_pending() {
    holds("R-5272-6.13-a", 3);
}

#[test]
fn r_5272_6_7_app_c_a_no_signature_is_no_proof() {
    holds("R-5272-6.7/App.C-a", 4);
}

#[test]
fn r_5272_6_8_a_proof_witnessed_by_an_ra() {
    holds("R-5272-6.8-a", 12);
}

#[test]
fn r_6402_2_3_a_linking_of_identity_and_proof() {
    holds("R-6402-2.3-a", 18);
}

#[test]
fn r_6402_4_1_a_the_controls_of_rfc_6402() {
    holds("R-6402-4.1-a", 40);
}

#[test]
fn r_5272_6402_8_a_only_this_server_s_ra_is_one() {
    holds("R-5272/6402-8-a", 12);
}

#[test]
fn r_5274_4_1_a_old_algorithms() {
    holds("R-5274-4.1-a", 6);
}

#[test]
fn r_6402_2_8_a_change_subject_name() {
    holds("R-6402-2.8-a", 5);
}

#[test]
fn r_6402_2_8_b_change_subject_name_without_a_name() {
    holds("R-6402-2.8-b", 2);
}

/// Every case belongs to an assertion above.
#[test]
fn every_case_belongs_to_a_requirement() {
    let here = include_str!("fullcmc.rs");
    for line in &cases().lines {
        assert!(here.contains(&format!("holds(\"{}\",", line.rule)), "{}", line.text);
    }
}

/// Nesting, sizes, numbers, replays and changed bytes: an answer each time, soon, in bounded memory.
#[test]
fn hostile_messages() {
    let table = hostile();
    assert!(!table.server_ended);
    let wrong: Vec<&str> =
        table.lines.iter().filter(|line| !line.good).map(|line| line.text.as_str()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.lines.len(), wrong.join("\n"));
    assert!(table.lines.len() > 40);
    // A connection's body of a megabyte, decoded and taken apart, a few times over.
    let (before, most) = table.memory;
    assert!(most < before + 200_000, "{before} kB at first, {most} kB at most");
}

/// curl sends messages that Bouncy Castle's own example writes, and the example reads the answers.
#[test]
fn curl_with_messages_of_bouncy_castle() {
    let estd = server();
    let at = |name: &str| estd.path("out").join(name).display().to_string();
    let run = |mut command: Command, operation: &str, device: bool| {
        command
            .arg(operation)
            .env("EST_HOST", "localhost")
            .env("EST_PORT", estd.port.to_string())
            .env("EST_CA", estd.anchor())
            .env("EST_LABEL", "cmc")
            .env("EST_OUT", estd.path("out"))
            .env("EST_CN", "cmc-client")
            .env("EST_CMC", at("cmc.der"));
        if device {
            command.env("EST_CERT", at("new.pem")).env("EST_KEY", at("new.key"));
        } else {
            command.env("EST_USER", "enroll").env("EST_PASS", &estd.password);
        }
        good(operation, command.output().unwrap())
    };
    let curl = || Command::new(format!("{DRIVERS}/curl_est.sh"));
    let java = || {
        let mut java = Command::new("java");
        java.args(["-cp", &format!("{}:{JARS}", bouncy_castle().display()), "BcCmc"]);
        java
    };
    // The new key signs its own request; a password authenticates the client.
    assert!(run(java(), "gen", false).contains("new key (SKI)"));
    run(curl(), "fullcmc", false);
    assert!(run(java(), "parse", false).contains("status 0"));
    // A device's certificate signs for the next.
    run(curl(), "enroll", false);
    assert!(!run(java(), "gen", true).contains("new key (SKI)"));
    run(curl(), "fullcmc", true);
    assert!(run(java(), "parse", true).contains("status 0"));
}
