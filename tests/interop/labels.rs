//! Labels with a CA of their own: clients that keep nothing but what `/cacerts` gave them (D-38).

use crate::{
    clients::Call,
    process::{Estd, good},
};
use std::{fs, process::Command};

/// cacerts, enroll, reenroll, each with the bag of the step before as the only trust store.
#[test]
fn a_client_survives_with_the_bag_of_its_label() {
    for server_ca in ["default", "factory"] {
        let folder = Estd::folder("[\"localhost\"]");
        let path = folder.path().join("est.toml");
        let text = fs::read_to_string(&path).unwrap();
        let own = "\nca = \"default\"                        # restart. The CA that issues it.";
        assert!(text.contains(own));
        let text = text.replace(own, &format!("\nca = \"{server_ca}\""));
        let more = "[ca.factory]\nroot_subject = \"CN=Factory root\"\nissuing_subject = \"CN=Factory issuing\"\n[label.factory]\nrenewal.window = \"100%\"\nca = \"factory\"\n[label.plain]\nrenewal.window = \"100%\"\n";
        fs::write(&path, format!("{text}\n{more}")).unwrap();
        let estd = Estd::start_in(folder);
        let first = estd.path(&format!("data/ca/{server_ca}/root.pem")).display().to_string();
        for (label, ca) in [("factory", "factory"), ("plain", "default")] {
            // curl with openssl.
            let call = |out: &str, bag: &str| {
                Call::new(&estd, &format!("{out}-{label}"))
                    .with("EST_LABEL", label)
                    .with("EST_CA", bag)
            };
            call("ca", &first).curl("cacerts");
            let bag = estd.path(&format!("ca-{label}/ca.pem")).display().to_string();
            call("enroll", &bag).basic().curl("enroll");
            let enrolled = format!("enroll-{label}");
            call("reenroll", &bag).certificate(&enrolled, "new.pem", "new.key").curl("reenroll");
            // The bag also verifies certificates of the label's CA.
            for step in ["enroll", "reenroll"] {
                let mut verify = Command::new("openssl");
                verify.args(["verify", "-CAfile", &bag]);
                verify.arg(estd.path(&format!("{step}-{label}/new.pem")));
                good("verify", verify.output().unwrap());
            }
            // Bouncy Castle: its EST_CA may hold several anchors.
            let call = |out: &str, bag: &str| call(&format!("bc-{out}"), bag);
            call("enroll", &bag).basic().bouncy_castle("enroll");
            call("reenroll", &bag)
                .certificate(&format!("bc-enroll-{label}"), "newcert.pem", "newkey.pem")
                .bouncy_castle("reenroll");
            // The root that ends last is the label's.
            let pem = fs::read_to_string(&bag).unwrap();
            let last = pem
                .split_inclusive("-----END CERTIFICATE-----\n")
                .filter_map(estd_certificate)
                .filter(|one| one.issuer().der() == one.subject().der())
                .max_by_key(|one| one.not_after());
            let root = fs::read_to_string(estd.path(&format!("data/ca/{ca}/root.pem"))).unwrap();
            assert_eq!(last.unwrap().der(), estd_certificate(&root).unwrap().der(), "{label}");
        }
    }
}

fn estd_certificate(pem: &str) -> Option<estd::pki::Certificate> {
    let start = pem.find("-----BEGIN")?;
    let (_, der) = der::pem::decode_vec(&pem.as_bytes()[start..]).unwrap();
    Some(estd::pki::Certificate::parse(&der).unwrap())
}
