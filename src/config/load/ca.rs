//! `[ca.NAME]`.

use super::DAY;
use crate::{
    config::section::{FileReport, Section},
    policy::{CaRules, UnknownCertificates},
    types::{CaName, KeyKind, Time},
};
use std::collections::{BTreeMap, HashMap};

pub(super) fn ca(section: Section<'_>) -> (CaRules, UnknownCertificates) {
    let subject = |key: &str, default: &str| {
        let text = section.string(key).unwrap_or(default).to_owned();
        let name = text.parse::<x509_cert::name::Name>();
        if name.as_ref().map_or(true, x509_cert::name::Name::is_empty) {
            section.error(
                key,
                format!("got {text:?}; expected: a distinguished name"),
                "write it as in RFC 4514, such as \"CN=Example root CA,O=Example\"",
            );
        }
        text
    };
    let life = DAY..=(36_525 * DAY);
    let ca = CaRules {
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
        section.error(
            "issuing_validity",
            "got more than root_validity; expected: at most that",
            "set at most root_validity",
        );
    }
    let unknown = unknown_certificates(&section);
    section.finish();
    (ca, unknown)
}

/// Reads `unknown_certificates` (D-36). The exception must have an end, or it would outlive its reason.
fn unknown_certificates(section: &Section<'_>) -> UnknownCertificates {
    const UNTIL: &str = "unknown_certificates_until";
    const EXAMPLE: &str = "write it as \"2026-12-31\" or \"2026-12-31T00:00:00Z\"";
    let renews = section.one_of(
        "unknown_certificates",
        &[("reject", false), ("renew-own-names", true)],
        false,
    );
    let until = section.string(UNTIL).map(|text| {
        let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
        humantime::parse_rfc3339(&whole).map(Time::from)
    });
    match (renews, until) {
        (false, None) => {}
        (true, Some(Ok(until))) => return UnknownCertificates::RenewOwnNames { until },
        (_, Some(Err(error))) => section.error(UNTIL, error, EXAMPLE),
        (true, None) => section.error(
            UNTIL,
            "got no end for renew-own-names; expected: a date; it is an exception for the time after a restore",
            EXAMPLE,
        ),
        (false, Some(Ok(_))) => section.error(
            UNTIL,
            "got an end without exception; expected: none with \"reject\"",
            "remove it, or set unknown_certificates = \"renew-own-names\"",
        ),
    }
    UnknownCertificates::Reject
}

/// Adds `[ca.default]` with its defaults unless the file has it, as `[profile.device]` is added.
/// Returns its name if it was added: the caller removes it if nothing uses it.
pub(super) fn imply_default(
    report: &FileReport<'_>,
    cas: &mut BTreeMap<CaName, CaRules>,
) -> Option<CaName> {
    let name: CaName = "default".parse().ok()?;
    if cas.contains_key(&name) {
        return None;
    }
    let (default, _) = ca(Section::new(report, "ca.default", toml::Table::new()));
    cas.insert(name.clone(), default);
    Some(name)
}

/// Checks that each CA certificate has a subject of its own: chains are built by names.
pub(super) fn check_subjects(report: &FileReport<'_>, cas: &BTreeMap<CaName, CaRules>) {
    let mut seen: HashMap<&str, String> = HashMap::new();
    for (name, ca) in cas {
        for (key, subject) in
            [("root_subject", &ca.root_subject), ("issuing_subject", &ca.issuing_subject)]
        {
            let here = format!("[ca.{name}] {key}");
            if let Some(other) = seen.insert(subject, here.clone()) {
                report.add(
                    "E-CONFIG-VALUE",
                    &here,
                    Some(&subject.as_str().into()),
                    format!("got the subject of {other}; expected: another one"),
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

#[cfg(test)]
mod tests {
    use crate::config::{SettingErrors, Settings, parse};
    use std::path::Path;

    fn read(text: &str) -> Result<Settings, SettingErrors> {
        parse(text, Path::new("est.toml"), &|_| None)
    }

    fn names(text: &str) -> Vec<String> {
        read(text).unwrap().boot.cas.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_ca_stays_while_a_section_uses_it() {
        let factory = "version = 1\n[ca.factory]\nroot_subject = \"CN=F root\"\nissuing_subject = \"CN=F issuing\"\n";
        assert_eq!(names("version = 1"), ["default"]);
        // Used by [est], by [server.certificate], by a label.
        assert_eq!(names(factory), ["default", "factory"]);
        let est = format!("{factory}[est]\nca = \"factory\"\n");
        assert_eq!(names(&est), ["default", "factory"]);
        let all = format!("{est}[server.certificate]\nca = \"factory\"\n");
        assert_eq!(names(&all), ["factory"]);
        assert_eq!(names(&format!("{all}[label.plain]\n")), ["default", "factory"]);
        // A CA in the file stays, used or not.
        assert_eq!(names(&format!("{all}[ca.default]\n")), ["default", "factory"]);
        // A CA with the default's subjects is an error that names both.
        let errors = read("version = 1\n[ca.factory]").unwrap_err().to_string();
        assert!(errors.contains("got the subject of [ca.default] root_subject"), "{errors}");
        let alone = "version = 1\n[ca.factory]\n[est]\nca = \"factory\"\n[server.certificate]\nca = \"factory\"";
        assert_eq!(names(alone), ["factory"]);
    }
}
