//! Independent checks of issued certificates: pkilint, openssl, GnuTLS, Bouncy Castle.

use crate::{
    clients::{JARS, bouncy_castle},
    process::{Estd, good},
};
use std::{fs, path::PathBuf, process::Command};

/// pkilint's command, where tests/run installed it, or from the PATH.
fn pkilint() -> PathBuf {
    let own = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/tools/pkilint/bin/lint_pkix_cert"
    ));
    if own.is_file() { own } else { PathBuf::from("lint_pkix_cert") }
}

#[test]
fn every_reader_accepts_root_issuing_ca_server_and_devices_of_each_key_type() {
    let estd = Estd::start_with("[\"est.example.com\"]");
    let server = format!("https://127.0.0.1:{}", estd.port);
    let mut files = vec![estd.anchor(), estd.path("data/ca/default/issuing.pem")];
    files.push(server_certificate(&estd));
    for kind in ["p-256", "p-384", "p-521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"] {
        for (form, names) in [
            (
                "named",
                &[
                    "--subject",
                    "CN=device-1,O=Example,C=DE",
                    "--san",
                    "dns:a.example.com",
                    "--san",
                    "ip:192.0.2.1",
                    "--san",
                    "uri:https://a.example.com/device-1",
                ][..],
            ),
            ("unnamed", &["--subject", "", "--san", "dns:a.example.com"][..]),
        ] {
            let out = format!("{form}-{kind}");
            let mut est = Command::new(env!("CARGO_BIN_EXE_est"));
            est.args([
                "enroll",
                "--server",
                &server,
                "--user",
                "enroll",
                "--key-type",
                kind,
                "--out",
                &out,
                "--cacert",
            ])
            .arg(estd.anchor())
            .args(names)
            .current_dir(estd.folder.path())
            .env("EST_PASSWORD", &estd.password);
            good(&out, est.output().unwrap());
            files.push(estd.path(&out).join("cert.pem"));
        }
    }
    for file in &files {
        let mut lint = Command::new(pkilint());
        lint.args(["lint", "-s", "ERROR"]).arg(file);
        good(&format!("pkilint {}", file.display()), lint.output().unwrap());
        let text = good(
            "openssl",
            Command::new("openssl")
                .args(["x509", "-noout", "-text", "-in"])
                .arg(file)
                .output()
                .unwrap(),
        );
        assert!(!text.contains("Unable to load"), "{text}");
        good(
            "certtool",
            Command::new("certtool")
                .args(["--certificate-info", "--infile"])
                .arg(file)
                .output()
                .unwrap(),
        );
    }
    let mut java = Command::new("java");
    java.args(["-cp", &format!("{}:{JARS}", bouncy_castle().display()), "BcRead"]).args(&files);
    assert_eq!(good("BcRead", java.output().unwrap()).lines().count(), files.len());
}

/// The server's own certificate, from its records.
fn server_certificate(estd: &Estd) -> PathBuf {
    let listed = estd.operator(&["cert", "list", "--json", "--subject", "CN=estd"]);
    let first: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    let shown = estd.operator(&["cert", "show", "--json", first["serial"].as_str().unwrap()]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let file = estd.path("server.pem");
    fs::write(&file, shown["pem"].as_str().unwrap()).unwrap();
    file
}

/// `localhost` is a dNSName by RFC 1034 §3.5, which RFC 5280 §4.2.1.6 refers to; pkilint wants two
/// labels at least. It reports nothing else about the server certificate of the example configuration.
#[test]
fn of_the_example_configuration_pkilint_doubts_localhost_and_nothing_else() {
    let estd = Estd::start();
    let mut lint = Command::new(pkilint());
    lint.args(["lint", "-s", "ERROR", "-f", "CSV"]).arg(server_certificate(&estd));
    let text = String::from_utf8(lint.output().unwrap().stdout).unwrap();
    let findings: Vec<&str> = text.lines().skip(1).filter(|line| !line.is_empty()).collect();
    assert_eq!(findings.len(), 1, "{text}");
    assert!(
        findings[0].contains("invalid_domain_name_syntax") && findings[0].contains("localhost"),
        "{text}"
    );
}

/// The check above can fail: pkilint finds planted errors.
#[test]
fn pkilint_finds_a_planted_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let make = |subject: &str| {
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-subj", subject, "-set_serial", "0", "-days", "1"])
            .args(["-keyout", &at("key"), "-out", &at("bad.pem")]);
        make.output().unwrap()
    };
    if !make("/C=Germany/CN=x").status.success() {
        // This openssl rejects the country itself, so only the serial number is wrong.
        good("openssl", make("/CN=x"));
    }
    let output =
        Command::new(pkilint()).args(["lint", "-s", "ERROR", &at("bad.pem")]).output().unwrap();
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Bar: openssl finds the attributes and entries of the template, whatever value fills it.
#[test]
fn openssl_reads_the_names_that_a_rule_gives() {
    use estd::{
        naming::{NameMode, NameRules, Proven},
        pki::{
            PrivateKey, SubjectAltName,
            extension::Extension,
            tbs::{ToBeSigned, assemble},
        },
        types::{KeyKind, Serial, Time},
    };
    let san = [
        "dns:{account}.plant7.example",
        "dns:*.{account}.example",
        "uri:https://{account}.example/{account}/x?a={account}#f",
        "email:{account}@x.example",
        "ip:192.0.2.1",
    ]
    .map(str::to_owned);
    let subject = "CN=a-{account}+OU={account},O=Example\\, Inc.,DC=x";
    let rules = |subject, san: &[String]| match NameRules::parse(NameMode::Set, subject, san, &[])
        .unwrap()
    {
        NameRules::Set(template) => template,
        other => panic!("{other:?}"),
    };
    let (subject, entries) = (rules(Some(subject), &[]), rules(Some("CN=x"), &san));
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let algorithm = key.sign(b"").unwrap().1.to_vec();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.der");
    let mut read = 0;
    for value in [
        "a",
        "A-1",
        "x y",
        "x/O=evil",
        "x/CN",
        "x,O=evil",
        "x+CN=y",
        "\u{e4}",
        "\u{4e2d}",
        "x:y",
        "a@b",
        "DNS:evil",
        "x|y",
        "{account}",
        "x'y",
        "(x)",
        "x#",
        "x?",
        "x&y",
        "%2e",
        "%00",
        "a.b",
        "..",
        "*",
        "x\u{202e}y",
        "x\0y",
        "x\ny",
        "xn--a",
        "-",
        "\u{ff0c}O=evil",
        "\\2c",
        "x;y",
        "\"x\"",
    ] {
        let client = Proven::new().with_account(value);
        for (rule, names) in [(&subject, 0), (&entries, san.len())] {
            let Ok((name, san)) = rule.names(&client) else { continue };
            let extension = |san: &SubjectAltName| Extension::subject_alt_name(san.der(), false);
            let signed = ToBeSigned {
                serial: &Serial::parse(&[1]).unwrap(),
                signature_algorithm: &algorithm,
                issuer: name.der(),
                not_before: Time::from_unix(1_795_262_400),
                not_after: Time::from_unix(1_795_262_400),
                subject: name.der(),
                spki: &key.public_key_spki_der().unwrap(),
                extensions: san.iter().map(extension).collect::<Result<_, _>>().unwrap(),
            };
            let signed = signed.to_der().unwrap();
            let (signature, _) = key.sign(&signed).unwrap();
            fs::write(&file, assemble(&signed, &algorithm, &signature).unwrap()).unwrap();
            let mut openssl = Command::new("openssl");
            openssl.args(["x509", "-inform", "DER", "-noout", "-subject", "-text"]);
            openssl.args(["-nameopt", "sep_multiline,sname,utf8", "-in"]).arg(&file);
            let text = good("openssl", openssl.output().unwrap());
            let lines: Vec<_> = text.lines().collect();
            if names == 0 {
                let place = lines.iter().position(|line| *line == "subject=").unwrap();
                let wanted = [
                    "    DC=x".to_owned(),
                    "    O=Example, Inc.".to_owned(),
                    format!("    OU={value} + CN=a-{value}"),
                ];
                assert_eq!(lines[place + 1..place + 4], wanted, "{text}");
                assert!(
                    !lines.get(place + 4).is_some_and(|line| line.starts_with("    ")),
                    "{text}"
                );
            } else {
                let line = lines.iter().find(|line| line.trim().starts_with("DNS:")).unwrap();
                let wanted = format!(
                    "DNS:{value}.plant7.example, DNS:*.{value}.example, URI:https://{value}.example/{value}/x?a={value}#f, email:{value}@x.example, IP Address:192.0.2.1"
                );
                assert_eq!(line.trim(), wanted, "{text}");
            }
            read += 1;
        }
    }
    assert!(read >= 15, "{read} names");
}
