//! Channel bindings as other TLS libraries compute them: OpenSSL (by Python's ssl, and by s_client) and
//! Bouncy Castle. They enroll under a label that requires linking, so that a certificate says that
//! both ends have one value.

use crate::{
    clients::{Call, DRIVERS, java},
    process::{Estd, good},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
};

/// All suites of TLS 1.2 that are offered with this kind of server key: OpenSSL's name and JSSE's.
const SUITES: [(&str, &str); 3] = [
    ("AES128-GCM-SHA256", "AES_128_GCM_SHA256"),
    ("AES256-GCM-SHA384", "AES_256_GCM_SHA384"),
    ("CHACHA20-POLY1305", "CHACHA20_POLY1305_SHA256"),
];

/// Connections of each suite, with and without a client certificate, with each kind of server key:
/// twelve times so many.
const EACH: usize = 17;

/// A server whose own key is of this kind, with a label that requires linking.
fn server(key: &str, more: &str) -> Estd {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    let own = text.find("[server.certificate]").unwrap();
    let (before, after) = text.split_at(own);
    let text = format!(
        "{}{}\n[label.strict]\nlinking = \"required\"\nrenewal.window = \"100%\"\nnames.mode = \"any\"\n",
        before.replacen("session_tickets = false", more, 1),
        after.replacen("key = \"p-256\"", &format!("key = \"{key}\""), 1)
    );
    fs::write(&path, text).unwrap();
    Estd::start_in(folder)
}

fn python(call: Call<'_>) -> Vec<String> {
    let mut python = Command::new("/usr/bin/python3");
    python.arg(format!("{DRIVERS}/binding.py"));
    call.run(python, "enroll").lines().map(|line| line.trim().to_owned()).collect()
}

/// proves: R-7030-3.5-a, R-7030-3.5-b
#[test]
fn tls_unique_is_that_of_openssl_and_bouncy_castle_with_each_suite() {
    let mut agreed = (0, 0);
    for (key, kind) in [("p-256", "ECDSA"), ("rsa-2048", "RSA")] {
        let estd = server(key, "session_tickets = false");
        Call::new(&estd, "device").basic().curl("enroll");
        for (openssl, jsse) in SUITES {
            for certificate in [false, true] {
                let call = |who: &str| {
                    let name = format!("{who}-{kind}-{openssl}-{certificate}");
                    let call = Call::new(&estd, &name)
                        .with("EST_LABEL", "strict")
                        .with("EST_CN", name)
                        .with("EST_COUNT", EACH);
                    if certificate {
                        call.certificate("device", "new.pem", "new.key")
                    } else {
                        call.basic()
                    }
                };
                let suite = format!("ECDHE-{kind}-{openssl}");
                let lines = python(call("openssl").with("EST_CIPHER", &suite));
                assert_eq!(lines, vec![format!("{suite} full 200"); EACH]);
                agreed.0 += lines.len();
                let suite = format!("TLS_ECDHE_{kind}_WITH_{jsse}");
                let text = call("bc").with("EST_SUITE", &suite).run(java("BcBind"), "enroll");
                assert_eq!(text.trim(), format!("{suite} {EACH} issued"));
                agreed.1 += EACH;
            }
        }
    }
    assert!(agreed.0 >= 200 && agreed.1 >= 200, "{agreed:?}");
}

/// After a full handshake the client's Finished counts, in a resumed session the server's.
///
/// proves: R-5929-3.1-a, R-7030-3.3-b
#[test]
fn a_resumed_session_has_the_binding_that_openssl_computes() {
    let estd = server("p-256", "session_tickets = true");
    for (suite, _) in SUITES {
        let call = |out: &str| {
            Call::new(&estd, &format!("{out}-{suite}"))
                .basic()
                .with("EST_LABEL", "strict")
                .with("EST_CN", format!("{out}-{suite}"))
                .with("EST_CIPHER", format!("ECDHE-ECDSA-{suite}"))
                .with("EST_COUNT", 4)
                .with("EST_RESUME", 1)
        };
        let expected = |rest: &str| {
            let mut lines = vec![format!("ECDHE-ECDSA-{suite} full 200")];
            lines.resize(4, format!("ECDHE-ECDSA-{suite} resumed {rest}"));
            lines
        };
        assert_eq!(python(call("own")), expected("200"));
        let old = python(call("old").with("EST_VALUE", "old"));
        assert_eq!(old, expected("400 linking.mismatch"));
    }
}

/// proves: R-9266-4.2-a
#[test]
fn without_extended_master_secret_nothing_is_bound() {
    let estd = server("p-256", "session_tickets = false");
    let call = |label: Option<&str>| {
        let call = Call::new(&estd, "device").basic().with("EST_EMS", "no");
        match label {
            Some(label) => call.with("EST_LABEL", label),
            None => call,
        }
    };
    for label in [None, Some("strict")] {
        let lines = python(call(label));
        assert!(lines[0].ends_with(" full 400 linking.none"), "{lines:?}");
    }
    // It is served as long as it sends no binding.
    Call::new(&estd, "bare").basic().with("EST_TLS", "1.2").curl("enroll");
}

/// TLS 1.3: openssl's exported value, sent over the connection that it was exported from.
///
/// proves: R-9266-2-a
#[test]
fn tls_exporter_is_that_of_openssl() {
    let estd = server("p-256", "session_tickets = false");
    let key = estd.path("k.pem");
    let key = key.to_str().unwrap();
    let openssl = |arguments: &[&str]| Command::new("openssl").args(arguments).output().unwrap();
    good("key", openssl(&["genpkey", "-algorithm", "ED25519", "-out", key]));
    for (suite, right) in [
        ("TLS_AES_128_GCM_SHA256", true),
        ("TLS_AES_256_GCM_SHA384", true),
        ("TLS_CHACHA20_POLY1305_SHA256", true),
        ("TLS_AES_128_GCM_SHA256", false),
    ] {
        let mut client = Command::new("openssl")
            .args(["s_client", "-connect", &format!("localhost:{}", estd.port), "-tls1_3"])
            .args(["-ciphersuites", suite, "-ign_eof"])
            .args(["-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap());
        let mut exported = None;
        while exported.is_none() {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "{suite}: no keying material");
            exported = line.trim().strip_prefix("Keying material: ").map(str::to_owned);
        }
        let mut value: Vec<u8> = exported
            .unwrap()
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(value.len(), 32);
        if !right {
            value[31] ^= 1;
        }
        let config = estd.path("r.cnf");
        let value = crate::common::base64(&value);
        fs::write(&config, format!("[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\n[dn]\nCN={suite}\n[at]\nchallengePassword={value}\n")).unwrap();
        let made = ["req", "-new", "-key", key, "-config", config.to_str().unwrap()];
        let csr = openssl(&[&made[..], &["-outform", "DER"]].concat());
        assert!(csr.status.success());
        let credentials = format!("enroll:{}", estd.password);
        let more = format!(
            "Authorization: Basic {}\r\nConnection: close\r\n",
            crate::common::base64(credentials.as_bytes())
        );
        let request = crate::common::post("strict/simpleenroll", &csr.stdout, &more);
        client.stdin.take().unwrap().write_all(&request).unwrap();
        let mut answer = String::new();
        said.read_to_string(&mut answer).unwrap();
        client.wait().unwrap();
        assert_eq!(answer.contains("HTTP/1.1 200 OK"), right, "{suite}: {answer}");
        assert_eq!(answer.contains("linking.mismatch"), !right, "{suite}: {answer}");
    }
}

/// With the binding issued, without it rejected, and the client prints the reason.
///
/// proves: R-7030-3.5-c
#[test]
fn bouncy_castle_under_a_label_that_requires_linking() {
    let estd = server("p-256", "session_tickets = false");
    let call = |out: &str| Call::new(&estd, out).basic().with("EST_LABEL", "strict");
    call("bound").with("EST_POP", 1).bouncy_castle("enroll");
    call("again")
        .with("EST_POP", 1)
        .certificate("bound", "newcert.pem", "newkey.pem")
        .bouncy_castle("reenroll");
    let rejected = call("bare").output(java("BcEst"), "enroll");
    let text = String::from_utf8_lossy(&rejected.stderr).into_owned();
    assert_eq!(rejected.status.code(), Some(1), "{text}");
    // Bouncy Castle does not print the text of a rejection; the trail has it.
    let audit = fs::read_to_string(estd.path("data/audit.jsonl")).unwrap();
    assert!(text.contains("400") && audit.contains("linking.required"), "{text} {audit}");
    let other = Call::new(&estd, "unbound").basic();
    other.bouncy_castle("enroll");
}

/// `est --link`, with both versions: bound where requested; otherwise the error names a remedy.
#[test]
fn est_links() {
    let estd = server("p-256", "session_tickets = false");
    let est = |arguments: &[&str], tls: &str, label: &str, out: &str| {
        estd.est(arguments)
            .args(["--tls", tls, "--out", out])
            .args(if label.is_empty() { vec![] } else { vec!["--label", label] })
            .output()
            .unwrap()
    };
    let enroll = ["enroll", "--user", "enroll", "--subject", "CN=d"];
    for tls in ["1.2", "1.3"] {
        // By default it follows the server's request.
        for (link, label) in [
            (&["--link", "always"][..], "strict"),
            (&[], "strict"),
            (&["--link", "always"], ""),
            (&[], ""),
        ] {
            let out = format!("{tls}-{link:?}-{label}");
            good(&out, est(&[&enroll[..], link].concat(), tls, label, &out));
            for again in [&["reenroll"][..], &["reenroll", "--renew"]] {
                good(&out, est(&[again, link].concat(), tls, label, &out));
            }
        }
        let never = [&enroll[..], &["--link", "never"]].concat();
        let rejected = est(&never, tls, "strict", &format!("{tls}-rejected"));
        let text = String::from_utf8_lossy(&rejected.stderr).into_owned();
        assert_eq!(rejected.status.code(), Some(1), "{text}");
        assert!(text.contains("linking.required") && text.contains("--link always"), "{text}");
    }
    let audit = fs::read_to_string(estd.path("data/audit.jsonl")).unwrap();
    for kind in ["tls-unique", "tls-exporter"] {
        let issued = audit.lines().filter(|line| {
            line.contains("certificate.issued") && line.contains(&format!("\"{kind}\""))
        });
        assert_eq!(issued.count(), 9, "{kind}: {audit}");
    }
}
