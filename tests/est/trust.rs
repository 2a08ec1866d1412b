//! RFC 5280 path validation of client certificates (requirements of section 3). The server accepts
//! exactly the chains that openssl accepts.

use crate::common::*;
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// A root, an issuing CA and a device, each by lines of openssl's extension syntax.
struct Chain {
    folder: tempfile::TempDir,
    device: Identity,
}

/// The difference of a chain from a good one.
#[derive(Clone, Copy)]
struct Unlike {
    root: &'static str,
    issuing: &'static str,
    /// Also under the issuing CA, if not empty.
    second: &'static str,
    device: &'static str,
}

const CA: &str = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\n";
const DEVICE: &str =
    "keyUsage = critical, digitalSignature\nsubjectAltName = DNS:device.example.com\n";
const GOOD: Unlike = Unlike { root: CA, issuing: CA, second: "", device: DEVICE };

impl Chain {
    fn new(unlike: Unlike) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut above: Option<String> = None;
        let mut levels = vec![("root", unlike.root), ("issuing", unlike.issuing)];
        if !unlike.second.is_empty() {
            levels.push(("second", unlike.second));
        }
        levels.push(("device", unlike.device));
        for (serial, (name, extensions)) in levels.iter().enumerate() {
            let key = new_key("EC");
            std::fs::write(at(&format!("{name}.key")), &key).unwrap();
            std::fs::write(at("csr"), csr_with(&key, &["-subj", &format!("/CN={name}")])).unwrap();
            std::fs::write(at("ext"), extensions).unwrap();
            let issuer = above.as_deref().unwrap_or(name);
            let (csr, ext, serial) = (at("csr"), at("ext"), (serial + 1).to_string());
            let (issuer_pem, issuer_key) =
                (at(&format!("{issuer}.pem")), at(&format!("{issuer}.key")));
            let mut arguments = vec!["x509", "-req", "-inform", "DER", "-in", &csr];
            arguments.extend(["-set_serial", &serial, "-days", "9000", "-extfile", &ext]);
            if issuer == *name {
                arguments.extend(["-signkey", &issuer_key]);
            } else {
                arguments.extend(["-CA", &issuer_pem, "-CAkey", &issuer_key]);
            }
            let pem = backdated(&openssl(&arguments), Path::new(&issuer_key));
            std::fs::write(at(&format!("{name}.pem")), pem).unwrap();
            above = Some((*name).to_owned());
        }
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        let between: String = levels[1..levels.len() - 1]
            .iter()
            .rev()
            .map(|(name, _)| read(&format!("{name}.pem")))
            .collect();
        std::fs::write(at("between.pem"), &between).unwrap();
        let device = Identity { pem: read("device.pem") + &between, key: read("device.key") };
        Self { folder, device }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Whether openssl accepts it as a TLS client.
    fn openssl_accepts(&self) -> bool {
        Command::new("openssl")
            .args(["verify", "-purpose", "sslclient", "-attime", &NOW.to_string(), "-CAfile"])
            .args([self.at("root.pem"), "-untrusted".to_owned(), self.at("between.pem")])
            .arg(self.at("device.pem"))
            .output()
            .unwrap()
            .status
            .success()
    }

    /// The status of an enrollment with it, and the reason if there is one.
    async fn enroll(&self) -> (u16, String) {
        let anchor = self.at("root.pem");
        let server = TestServer::start_with(&accepting(&anchor)).await;
        let (csr, _) =
            new_csr(&["-subj", "/CN=device", "-addext", "subjectAltName=DNS:device.example.com"]);
        let mut connection = server.connect_as(&self.device).await;
        let reply = connection.send(post("simpleenroll", &csr, "")).await;
        (reply.status, reply.header("X-Reason").unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn r_7030_3_3_2_c_each_rule_of_path_validation_is_kept() {
    let good = Chain::new(GOOD);
    assert!(good.openssl_accepts());
    assert_eq!(good.enroll().await, (200, String::new()));
    for (what, said, unlike) in [
        (
            "the issuer is no CA",
            "EndEntityUsedAsCa",
            Unlike {
                issuing: "basicConstraints = critical, CA:FALSE\nsubjectKeyIdentifier = hash\n",
                ..GOOD
            },
        ),
        (
            "the issuer's key is not for certificates",
            "an issuer whose keyUsage lacks keyCertSign",
            Unlike {
                issuing: "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, digitalSignature, cRLSign\nsubjectKeyIdentifier = hash\n",
                ..GOOD
            },
        ),
        (
            "one CA too many for the length of the path",
            "PathLenConstraintViolated",
            Unlike {
                issuing: "basicConstraints = critical, CA:TRUE, pathlen:0\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\n",
                second: CA,
                ..GOOD
            },
        ),
        (
            "a name that the issuer may not give",
            "NameConstraintViolation",
            Unlike {
                issuing: "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\nnameConstraints = critical, permitted;DNS:example.org\n",
                ..GOOD
            },
        ),
        (
            "a critical extension that nobody knows",
            "UnsupportedCriticalExtension",
            Unlike {
                issuing: "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\n1.2.3.4.5 = critical, ASN1:NULL\n",
                ..GOOD
            },
        ),
        (
            "a key that does not sign",
            "keyUsage lacks digitalSignature",
            Unlike {
                device: "keyUsage = critical, keyEncipherment\nsubjectAltName = DNS:device.example.com\n",
                ..GOOD
            },
        ),
        (
            "an issuer for servers only",
            "lacks clientAuth",
            Unlike {
                issuing: "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\nextendedKeyUsage = serverAuth\n",
                ..GOOD
            },
        ),
    ] {
        let chain = Chain::new(unlike);
        assert!(!chain.openssl_accepts(), "{what}");
        let (status, reason) = chain.enroll().await;
        assert_eq!(status, 401, "{what}");
        assert!(reason.contains(said), "{what}: {reason}");
    }
    // Two CAs where two are allowed.
    let two = Chain::new(Unlike { second: CA, ..GOOD });
    assert!(two.openssl_accepts());
    assert_eq!(two.enroll().await.0, 200);
}

#[tokio::test]
async fn r_7030_3_3_2_c_a_signature_of_another_key_is_rejected() {
    let (chain, other) = (Chain::new(GOOD), Chain::new(GOOD));
    // The same names throughout, another root.
    let mixed = Chain { folder: other.folder, device: chain.device.clone() };
    std::fs::copy(chain.at("device.pem"), mixed.at("device.pem")).unwrap();
    std::fs::copy(chain.at("between.pem"), mixed.at("between.pem")).unwrap();
    assert!(!mixed.openssl_accepts());
    assert_eq!(mixed.enroll().await.0, 401);
}

/// Certificate policies are not processed, so a chain that makes their tree explode (CVE-2023-0464)
/// costs no more than any other. A chain that demands their processing is rejected: it has a critical
/// extension unknown to this server.
#[tokio::test]
async fn r_9618_4_a_a_chain_made_to_explode_the_tree_of_policies_costs_nothing() {
    // Each of thirty policies is mapped to each: every CA multiplies the leaves of the tree by 30.
    let policies: Vec<String> = (1..=30).map(|number| format!("1.2.3.{number}")).collect();
    let mappings: Vec<String> = policies
        .iter()
        .flat_map(|from| policies.iter().map(move |to| format!("{from}:{to}")))
        .collect();
    let explosive: &str = Box::leak(
        format!(
            "{CA}certificatePolicies = {}\npolicyMappings = {}\n",
            policies.join(", "),
            mappings.join(", ")
        )
        .into_boxed_str(),
    );
    let chain = Chain::new(Unlike { issuing: explosive, second: explosive, ..GOOD });
    let started = Instant::now();
    let (status, reason) = chain.enroll().await;
    assert_eq!(status, 200, "{reason}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let critical = Chain::new(Unlike {
        issuing: "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash\npolicyConstraints = critical, requireExplicitPolicy:0\n",
        ..GOOD
    });
    assert_eq!(critical.enroll().await.0, 401);
}

/// A reload is in force at once, also on connections that are open.
#[tokio::test]
async fn an_anchor_that_is_taken_away_vouches_for_nobody_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, device) = stranger(folder.path(), "/CN=x", "");
    let trusting = accepting(&ca);
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=x"]);
    let mut open = server.connect_as(&device).await;
    for (settings, expected) in [(trusting.as_str(), 200), ("", 401), (trusting.as_str(), 200)] {
        server.running.reload(server.settings(settings).unwrap()).await.unwrap();
        let reply = open.send(post("simpleenroll", &csr, "")).await;
        assert_eq!(reply.status, expected, "{}", reply.text());
    }
}
