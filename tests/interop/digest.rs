//! HTTP Digest with real clients, and old ones: each scheme by itself, and all together.

use crate::{
    clients::Call,
    process::{Estd, good},
};
use std::fs;

/// Without a label, all are offered.
const BASIC: &str = "accept = [\"certificate\", \"password\", \"ra\"]";
const ALL: &str = "accept = [\"certificate\", \"password:digest-md5\", \"password:digest\", \"password\", \"ra\"]";
/// A renewal needs the password, too.
const RENEWAL: &str = "accept = [\"certificate\"] ";
const RENEWAL_BY_BOTH: &str = "accept = [[\"certificate\", \"password:digest-md5\"], [\"certificate\", \"password:digest\"]] ";
const LABELS: &str = r#"
[label.md5]
accept = ["certificate", "password:digest-md5", "ra"]
[label.md5.renewal]
accept = [["certificate", "password:digest-md5"]]
window = "100%"
[label.sha256]
accept = ["certificate", "password:digest", "ra"]
[label.sha256.renewal]
accept = [["certificate", "password:digest"]]
window = "100%"
"#;

/// A server with these labels, and the password of account `device` of Digest.
fn start() -> (Estd, String) {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(BASIC) && text.contains(RENEWAL));
    let text = text.replacen(BASIC, ALL, 1).replacen(RENEWAL, RENEWAL_BY_BOTH, 1);
    fs::write(&path, text + LABELS).unwrap();
    let estd = Estd::start_in(folder);
    let added = estd.operator(&["user", "add", "device", "--digest", "--digest-md5", "--json"]);
    let added: serde_json::Value = serde_json::from_str(&added).unwrap();
    (estd, added["password"].as_str().unwrap().to_owned())
}

/// Returns how each certificate's password was proved, for requests with this label or none.
fn schemes(estd: &Estd, label: Option<&str>) -> Vec<String> {
    let trail = fs::read_to_string(estd.path("data/audit.jsonl")).unwrap();
    let events = trail.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut schemes: Vec<String> = events
        .filter(|event| {
            event["event"] == "certificate.issued"
                && event["details"]["operation"].is_string()
                && event["details"]["label"].as_str() == label
        })
        .map(|event| event["details"]["scheme"].as_str().unwrap_or("none").to_owned())
        .collect();
    schemes.dedup();
    schemes
}

/// proves: R-7616-3.3-a
#[test]
fn curl_with_md5_and_sha_256() {
    let (estd, password) = start();
    for (label, scheme) in [("md5", "digest-md5"), ("sha256", "digest")] {
        for tls in ["1.2", "1.3"] {
            for http in ["1.0", "1.1"] {
                for authentication in ["digest", "anyauth"] {
                    Call::new(&estd, &format!("{label}-{tls}-{http}-{authentication}"))
                        .with("EST_TLS", tls)
                        .with("EST_HTTP", http)
                        .with("EST_LABEL", label)
                        .with("EST_HTTPAUTH", authentication)
                        .with("EST_USER", "device")
                        .with("EST_PASS", &password)
                        .curl("enroll");
                }
            }
        }
        assert_eq!(schemes(&estd, Some(label)), [scheme]);
    }
    // If all are offered, curl 7.88 chooses the first Digest challenge, not Basic.
    Call::new(&estd, "all")
        .with("EST_HTTPAUTH", "anyauth")
        .with("EST_USER", "device")
        .with("EST_PASS", &password)
        .curl("enroll");
    assert_eq!(schemes(&estd, None), ["digest-md5"]);
}

/// D-41: a client that shows a certificate and asks for another name is challenged, and succeeds.
#[test]
fn d_41_curl_shows_a_certificate_and_sends_its_password_after_the_challenge() {
    let (estd, password) = start();
    let first = Call::new(&estd, "shows-first")
        .with("EST_HTTPAUTH", "anyauth")
        .with("EST_USER", "device")
        .with("EST_PASS", &password)
        .with("EST_CN", "first");
    first.curl("enroll");
    let folder = estd.path("shows-first");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    Call::new(&estd, "shows-second")
        .with("EST_HTTPAUTH", "anyauth")
        .with("EST_USER", "device")
        .with("EST_PASS", &password)
        .with("EST_CERT", file("new.pem"))
        .with("EST_KEY", file("new.key"))
        .with("EST_CN", "second")
        .curl("enroll");
    let trail = fs::read_to_string(estd.path("data/audit.jsonl")).unwrap();
    let last = trail.lines().rfind(|line| line.contains("certificate.issued")).unwrap();
    assert!(last.contains("CN=second") && last.contains("certificate and password"), "{last}");
}

#[test]
fn bouncy_castle_with_md5_and_sha_256() {
    let (estd, password) = start();
    for (label, scheme) in [("md5", "digest-md5"), ("sha256", "digest")] {
        for (tls, version) in [("TLSv1.2", "1.2"), ("TLSv1.3", "1.3")] {
            Call::new(&estd, &format!("{label}-{version}"))
                .with("EST_TLS", tls)
                .with("EST_LABEL", label)
                .with("EST_USER", "device")
                .with("EST_PASS", &password)
                .bouncy_castle("enroll");
        }
        assert_eq!(schemes(&estd, Some(label)), [scheme]);
    }
    // If all are offered, it chooses the first challenge.
    Call::new(&estd, "all")
        .with("EST_USER", "device")
        .with("EST_PASS", &password)
        .bouncy_castle("enroll");
    assert_eq!(schemes(&estd, None), ["digest-md5"]);
}

/// strongSwan sends Basic without being asked.
#[test]
fn strongswan_where_digest_is_offered_too() {
    let (estd, password) = start();
    for tls in ["1.2", "1.3"] {
        Call::new(&estd, &format!("all-{tls}"))
            .with("EST_TLS", tls)
            .with("EST_USER", "device")
            .with("EST_PASS", &password)
            .strongswan("enroll");
    }
    assert_eq!(schemes(&estd, None), ["basic"]);
}

/// The program's own client chooses the strongest scheme offered.
#[test]
fn est_takes_the_best_scheme() {
    let (estd, password) = start();
    let est = |command: &str, label: Option<&str>, more: &[&str]| {
        let out = format!("device-{}", label.unwrap_or("all"));
        let output = estd
            .est(&[command, "--user", "device", "--out", &out])
            .args(label.map(|label| ["--label", label]).into_iter().flatten())
            .args(more)
            .env("EST_PASSWORD", &password)
            .output()
            .unwrap();
        good(&format!("est {command} {label:?}"), output)
    };
    for (label, scheme) in
        [(Some("md5"), "digest-md5"), (Some("sha256"), "digest"), (None, "digest")]
    {
        est("enroll", label, &["--subject", "CN=d"]);
        assert_eq!(schemes(&estd, label), [scheme]);
        // With the certificate shown, too.
        let at = |name: &str| estd.path(&format!("device-{}", label.unwrap_or("all"))).join(name);
        let (cert, key) = (at("cert.pem"), at("key.pem"));
        let shown = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
        est("reenroll", label, &shown);
        assert_eq!(schemes(&estd, label), [scheme]);
    }
}
