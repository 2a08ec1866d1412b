//! What /csrattrs asks for and what enrolment accepts are the same: CSRs made from the answers by a
//! program that shares nothing with this one (drivers/csr_from_attrs.py).

use crate::{
    common::{PASSWORD, Reply, TestServer, basic, openssl_with, post},
    process::good,
};
use serde::Deserialize;
use std::process::Command;

const DRIVER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/drivers/csr_from_attrs.py");

/// A profile, the attributes that its label adds, and a key and a hash function that it refuses.
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
    program.args([DRIVER, &answer, client]);
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

/// The rule that a CSR breaks, and how the refusal names what it is about.
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
    let (mut accepted, mut refused) = (0, 0);
    for (number, case) in CASES.iter().enumerate() {
        let mut understood = Vec::new();
        for (form, client) in [("rfc8951", "list"), ("rfc9908", "template")] {
            let label = format!("{number}-{form}");
            let built_here = built(&server, &label, client, Some(case)).await;
            // The answer in both forms says the same to this client.
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
                let told =
                    format!("{label}: {} {} {}: {seen}", broken.demand, broken.how, broken.what);
                assert!(matches!(reply.status, 400 | 403), "{} {told}", reply.status);
                assert!(seen.starts_with(rule) && seen.contains(&what), "{rule}, {what}: {told}");
                refused += 1;
            }
            assert_eq!(server.issued().await.len(), stored, "{label}: nothing was stored");
        }
        // And both forms say the same to both clients.
        assert_eq!(understood[0], understood[1], "{number}");
    }
    eprintln!("{} profiles: {accepted} CSRs accepted, {refused} refused by name", CASES.len());
    assert_eq!(accepted, 2 * CASES.len());
    assert!(refused > 2 * CASES.len());
}
