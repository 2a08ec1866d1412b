//! /csrattrs requests exactly the contents that enrollment accepts: CSRs made from the answers by a
//! program that shares no code with this one (drivers/csr_from_attrs.py).

use crate::{
    clients::{JARS, bouncy_castle},
    common::{PASSWORD, Reply, TestServer, basic, openssl_with, post},
    process::{Estd, good},
};
use serde::Deserialize;
use std::{fs, process::Command};

const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/drivers");

/// A profile, the attributes that its label adds, and a key and a hash function that it rejects.
struct Case {
    profile: &'static str,
    attributes: &'static str,
    other_key: &'static str,
    other_digest: &'static str,
}

const fn case(profile: &'static str) -> Case {
    Case { profile, attributes: "", other_key: "rsa:2048", other_digest: "sha256" }
}

const CASES: [Case; 22] = [
    case("keys = [\"p-256\"]"),
    case("keys = [\"p-384\"]\ndigests = [\"sha384\"]"),
    case("keys = [\"p-521\"]\ndigests = [\"sha512\"]"),
    Case { other_key: "P-256", ..case("keys = [\"rsa-2048\"]") },
    case("keys = [\"rsa-3072\"]\ndigests = [\"sha384\"]"),
    case("keys = [\"rsa-4096\"]\ndigests = [\"sha512\"]"),
    Case { other_key: "P-256", ..case("keys = [\"ed25519\"]") },
    Case { other_key: "P-384", ..case("keys = [\"rsa-2048\", \"p-256\"]") },
    case("digests = [\"sha384\", \"sha512\"]"),
    Case {
        other_digest: "sha384",
        ..case("keys = [\"p-256\", \"ed25519\"]\ndigests = [\"sha512\", \"sha256\"]")
    },
    case("require_subject = [\"CN\"]\nempty_subject = false"),
    case("require_subject = [\"C=DE\", \"O=Example \u{dc}\", \"CN\"]"),
    case("require_subject = [\"OU=a\", \"OU=b\", \"OU\", \"serialNumber\"]"),
    case(
        "require_subject = [\"DC=example\", \"UID\", \"emailAddress\", \"organizationIdentifier=NTRDE-1\"]",
    ),
    case("require_san = [\"dns\"]"),
    case("require_san = [\"ip\"]\nsan = [\"ip\"]"),
    case("require_san = [\"dns\", \"ip\"]\nkeys = [\"p-256\"]"),
    case("require_san = [\"uri\", \"email\"]\nrequire_subject = [\"CN\"]"),
    Case {
        other_key: "P-256",
        ..case(
            "require_key_usage = [\"digitalSignature\", \"keyEncipherment\"]\nkeys = [\"rsa-2048\"]",
        )
    },
    case(
        "require_extended_key_usage = [\"clientAuth\"]\nextended_key_usage = [\"serverAuth\", \"clientAuth\"]",
    ),
    Case {
        attributes: "\"1.3.6.1.1.1.1.22\", \"1.3.6.1.4.1.99999.1=hex:0c03616263\", \"1.3.6.1.4.1.99999.2=base64:MAMCAQE=\"",
        ..case("")
    },
    Case {
        attributes: "\"1.3.6.1.1.1.1.22\", \"1.3.6.1.4.1.99999.1=hex:0c03616263\"",
        ..case(
            "keys = [\"p-384\"]\ndigests = [\"sha384\"]\nrequire_subject = [\"O=Example\", \"CN\"]\nrequire_san = [\"dns\", \"ip\", \"uri\", \"email\"]\nrequire_key_usage = [\"digitalSignature\"]\nrequire_extended_key_usage = [\"clientAuth\", \"serverAuth\"]\nextended_key_usage = [\"serverAuth\", \"clientAuth\", \"codeSigning\"]",
        )
    },
];

/// Labels `N-rfc8951`, `N-rfc9908` and `N-both` for the case of this number.
fn labels() -> String {
    let mut out = String::new();
    for (number, case) in CASES.iter().enumerate() {
        out.push_str(&format!("[profile.n{number}]\n{}\n", case.profile));
        for form in ["rfc8951", "rfc9908", "both"] {
            out.push_str(&format!(
                "[label.{number}-{form}]\nprofile = \"n{number}\"\n[label.{number}-{form}.csrattrs]\nform = \"{form}\"\nattributes = [{}]\n",
                case.attributes
            ));
        }
    }
    out
}

#[derive(Deserialize)]
struct Built {
    demands: serde_json::Value,
    good: String,
    broken: Vec<Broken>,
}

#[derive(Deserialize)]
struct Broken {
    demand: String,
    how: String,
    what: String,
    csr: String,
}

fn decoded(base64: &str) -> Vec<u8> {
    openssl_with(&["base64", "-d", "-A"], base64.as_bytes())
}

async fn built(server: &TestServer, label: &str, client: &str, build: Option<&Case>) -> Built {
    let reply = server.get(&format!("/.well-known/est/{label}/csrattrs")).await;
    assert_eq!(reply.status, 200, "{label}: {}", reply.text());
    let compact: String = reply.text().split_ascii_whitespace().collect();
    let answer = server.write(&format!("{label}-{client}.der"), decoded(&compact));
    let mut program = Command::new("/usr/bin/python3");
    program.args([&format!("{DRIVERS}/csr_from_attrs.py"), &answer, client]);
    if let Some(case) = build {
        program.args(["device-1", case.other_key, case.other_digest]);
    }
    let text = good(&format!("{label} as {client}"), program.output().unwrap());
    serde_json::from_str(&text).unwrap()
}

async fn enroll(server: &TestServer, label: &str, csr: &str) -> Reply {
    let path = format!("{label}/simpleenroll");
    server.send(post(&path, &decoded(csr), &basic("tester", PASSWORD))).await
}

/// The rule that a CSR breaks, and the value that the rejection names.
fn named(broken: &Broken) -> (&'static str, String) {
    match (broken.demand.as_str(), broken.what.as_str()) {
        ("key", what) => ("csr.key-kind", what.replace("rsa:", "rsa-").to_lowercase()),
        ("signature", "1.2.840.10045.4.3.3" | "1.2.840.113549.1.1.12") => {
            ("csr.signature-digest", "sha384".to_owned())
        }
        ("signature", "1.2.840.10045.4.3.4" | "1.2.840.113549.1.1.13") => {
            ("csr.signature-digest", "sha512".to_owned())
        }
        ("signature", _) => ("csr.signature-digest", "sha384, sha512".to_owned()),
        ("subject", what) => ("csr.subject-demanded", what.to_owned()),
        ("san", what) => ("csr.san-demanded", format!("kind {what}")),
        ("extension", "2.5.29.15") => ("csr.key-usage-demanded", "keyUsage".to_owned()),
        ("extension", "2.5.29.37") => ("csr.extended-key-usage-demanded", "clientAuth".to_owned()),
        ("attribute", what) => ("csr.attribute-demanded", what.to_owned()),
        other => panic!("{other:?}"),
    }
}

/// proves: R-7030-4.5.2-c, R-7030-4.5.2-e, R-9908-4-a
#[tokio::test]
async fn what_csrattrs_asks_for_is_what_enrolment_accepts() {
    let server = TestServer::start_with(&labels()).await;
    let (mut accepted, mut rejected) = (0, 0);
    for (number, case) in CASES.iter().enumerate() {
        let mut understood = Vec::new();
        for (form, client) in [("rfc8951", "list"), ("rfc9908", "template")] {
            let label = format!("{number}-{form}");
            let built_here = built(&server, &label, client, Some(case)).await;
            // Both forms of the answer mean the same to this client.
            let both = built(&server, &format!("{number}-both"), client, None).await;
            assert_eq!(built_here.demands, both.demands, "{label}");
            understood.push(both.demands);

            let reply = enroll(&server, &label, &built_here.good).await;
            assert_eq!(reply.status, 200, "{label}: {}", reply.text());
            accepted += 1;
            assert!(!built_here.broken.is_empty(), "{label} demands nothing");
            let stored = server.issued().await.len();
            for broken in &built_here.broken {
                let reply = enroll(&server, &label, &broken.csr).await;
                let (rule, what) = named(broken);
                let seen = reply.text();
                let reported =
                    format!("{label}: {} {} {}: {seen}", broken.demand, broken.how, broken.what);
                assert!(matches!(reply.status, 400 | 403), "{} {reported}", reply.status);
                assert!(
                    seen.starts_with(rule) && seen.contains(&what),
                    "{rule}, {what}: {reported}"
                );
                rejected += 1;
            }
            assert_eq!(server.issued().await.len(), stored, "{label}: nothing was stored");
        }
        // Both forms mean the same to both clients.
        assert_eq!(understood[0], understood[1], "{number}");
    }
    eprintln!("{} profiles: {accepted} CSRs accepted, {rejected} rejected by name", CASES.len());
    assert_eq!(accepted, 2 * CASES.len());
    assert!(rejected > 2 * CASES.len());
}

const STRICT: &str = r#"
[profile.strict]
keys = ["p-384"]
digests = ["sha384"]
require_subject = ["O=Example", "CN"]
require_san = ["dns"]
require_key_usage = ["digitalSignature"]
require_extended_key_usage = ["clientAuth"]
[label.strict]
profile = "strict"
renewal.window = "100%"
[label.strict.csrattrs]
attributes = ["1.3.6.1.4.1.99999.1=hex:0c03616263"]
[label.list]
profile = "strict"
renewal.window = "100%"
[label.list.csrattrs]
form = "rfc8951"
[label.template]
profile = "strict"
renewal.window = "100%"
[label.template.csrattrs]
form = "rfc9908"
[label.off]
[label.off.csrattrs]
offer = false
"#;

fn start() -> Estd {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + STRICT).unwrap();
    Estd::start_in(folder)
}

/// curl and Bouncy Castle, in both versions of TLS, for each form, for nothing and for no path.
#[test]
fn clients_read_csrattrs() {
    let estd = start();
    let call = |mut driver: Command, label: &str, tls: &str| {
        driver
            .arg("csrattrs")
            .env("EST_PORT", estd.port.to_string())
            .env("EST_CA", estd.anchor())
            .env("EST_OUT", estd.path(&format!("{label}-{tls}")))
            .env("EST_TLS", tls);
        if label.is_empty() {
            driver.env_remove("EST_LABEL");
        } else {
            driver.env("EST_LABEL", label);
        }
        good(&format!("{driver:?}"), driver.output().unwrap())
    };
    let java = || {
        let mut java = Command::new("java");
        java.args(["-cp", &format!("{}:{JARS}", bouncy_castle().display()), "BcEst"]);
        java
    };
    for (curl_tls, java_tls) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
        for label in ["strict", "list", "template"] {
            let text = call(Command::new(format!("{DRIVERS}/curl_est.sh")), label, curl_tls);
            let list = label != "template";
            for (part, there) in [
                ("HTTP 200 1.1 Content-Type: application/csrattrs", true),
                (":secp384r1", true),
                (":ecdsa-with-SHA384", true),
                (":Extension Request", list),
                (":1.2.840.113549.1.9.16.2.61", label != "list"),
            ] {
                assert_eq!(text.contains(part), there, "{label}: {part}: {text}");
            }
            let text = call(java(), label, java_tls);
            // The algorithm of the key is an element of its own in the list only.
            let elements = text.lines().filter(|line| line.starts_with("attr: ")).count();
            assert_eq!(
                elements,
                match label {
                    "strict" => 7,
                    "list" => 5,
                    _ => 2,
                },
                "{label}: {text}"
            );
        }
        for label in ["", "off"] {
            let curl = call(Command::new(format!("{DRIVERS}/curl_est.sh")), label, curl_tls);
            assert!(curl.contains("no attributes wanted"), "{curl}");
            let status = if label.is_empty() { "HTTP 204" } else { "HTTP 404" };
            assert!(curl.contains(status), "{curl}");
            let bouncy = call(java(), label, java_tls);
            assert!(bouncy.contains("server wants no CSR attributes"), "{bouncy}");
        }
    }
}

/// The program's own client shows the requested contents, and includes them without an option.
#[test]
fn est_does_what_csrattrs_asks() {
    let estd = start();
    let est = |arguments: &[&str]| estd.est(arguments).output().unwrap();
    for label in ["strict", "list", "template"] {
        let text = good("csrattrs", est(&["csrattrs", "--label", label, "--print"]));
        for part in [
            "subject: o (2.5.4.10) = \"Example\"",
            "subject: cn (2.5.4.3), which you choose",
            "key: p-384",
            "ecdsa-with-SHA384",
            "(2.5.29.17) = dns, which you choose",
            "(2.5.29.15) = digitalSignature",
        ] {
            assert!(text.contains(part), "{label}: {part}: {text}");
        }
        let printed = decoded(text.lines().last().unwrap());
        openssl_with(&["asn1parse", "-inform", "DER"], &printed);

        let san = format!("dns:{label}.example.com");
        let names = ["--subject", "CN=d", "--san", &san, "--label", label, "--out", label];
        good("enroll", est(&[&["enroll", "--user", "enroll"], &names[..]].concat()));
        let pem = fs::read(estd.path(label).join("cert.pem")).unwrap();
        let shown = openssl_with(&["x509", "-noout", "-text"], &pem);
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("P-384") && shown.contains("O = Example, CN = d"), "{shown}");
        // A renewal has to hold the same, but for its names.
        good("reenroll", est(&["reenroll", "--label", label, "--out", label]));
        good("renew", est(&["reenroll", "--renew", "--label", label, "--out", label]));

        // Without it, the server's rejection names it. The client reports the values that only a
        // person can give.
        let (bare, other) = (format!("{label}-bare"), format!("{label}-other"));
        let names = ["--subject", "CN=d", "--label", label, "--user", "enroll", "--out", &bare];
        let rejected = est(&[&["enroll", "--no-csrattrs"], &names[..]].concat());
        assert_eq!(rejected.status.code(), Some(1));
        let text = String::from_utf8(rejected.stderr).unwrap();
        assert!(text.contains("csr.key-kind") && text.contains("p-384"), "{text}");
        let names = ["--subject", "CN=d", "--label", label, "--user", "enroll", "--out", &other];
        let text = String::from_utf8(est(&[&["enroll"], &names[..]].concat()).stderr).unwrap();
        assert!(text.contains("an alternative name of kind dns"), "{text}");
        assert!(text.contains("csr.san-demanded"), "{text}");
    }
    // Neither 204 nor 404 prevents an enrollment.
    for label in ["", "off"] {
        let label: &[&str] = if label.is_empty() { &[] } else { &["--label", label] };
        let out = format!("plain{}", label.len());
        let asked = est(&[&["csrattrs"], label].concat());
        if label.is_empty() {
            good("csrattrs", asked);
        } else {
            // 404 may also mean that the label does not exist.
            assert_eq!(asked.status.code(), Some(1));
            assert!(String::from_utf8_lossy(&asked.stderr).contains("no label \"off\""));
        }
        let call = ["enroll", "--subject", "CN=d", "--user", "enroll", "--out", &out];
        good("enroll", est(&[&call[..], label].concat()));
    }
}
