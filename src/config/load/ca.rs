//! `[ca.NAME]`.

use super::DAY;
use crate::{
    config::section::{Report, Section},
    policy::Ca,
    types::{CaName, KeyKind},
};
use std::collections::{BTreeMap, HashMap};

pub(super) fn ca(section: Section<'_>) -> Ca {
    let subject = |key: &str, default: &str| {
        let text = section.string(key).unwrap_or(default).to_owned();
        let name = text.parse::<x509_cert::name::Name>();
        if name.as_ref().map_or(true, x509_cert::name::Name::is_empty) {
            section.tell(
                key,
                "not a distinguished name",
                "write it as in RFC 4514, such as \"CN=Example root CA,O=Example\"",
            );
        }
        text
    };
    let life = DAY..=(36_525 * DAY);
    let ca = Ca {
        key: section.parsed(
            "key",
            KeyKind::P256,
            "choose p-256, p-384, p-521, ed25519, rsa-2048, rsa-3072 or rsa-4096",
        ),
        root_subject: subject("root_subject", "CN=estd root CA"),
        issuing_subject: subject("issuing_subject", "CN=estd issuing CA"),
        root_validity: section.duration("root_validity", 7305 * DAY, life.clone()),
        issuing_validity: section.duration("issuing_validity", 3653 * DAY, life),
    };
    if ca.issuing_validity > ca.root_validity {
        section.tell("issuing_validity", "longer than the root's", "choose at most root_validity");
    }
    section.finish();
    ca
}

/// Names of CAs are how a chain is built: two with one name cannot be told apart.
pub(super) fn check_subjects(report: &Report<'_>, cas: &BTreeMap<CaName, Ca>) {
    let mut seen: HashMap<&str, String> = HashMap::new();
    for (name, ca) in cas {
        for (key, subject) in
            [("root_subject", &ca.root_subject), ("issuing_subject", &ca.issuing_subject)]
        {
            let here = format!("[ca.{name}] {key}");
            if let Some(other) = seen.insert(subject, here.clone()) {
                report.tell(
                    "E-CONFIG-VALUE",
                    &here,
                    Some(&subject.as_str().into()),
                    format!("the same as {other}"),
                    "give each CA certificate a subject of its own",
                );
            }
        }
    }
}

pub(super) fn ca_name(section: &Section<'_>) -> CaName {
    #[allow(clippy::expect_used, reason = "a constant that the test of the defaults parses")]
    section.parsed("ca", "default".parse().expect("a name"), "name a [ca.NAME] section")
}
