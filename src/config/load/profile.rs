//! `[profile.NAME]`.

use super::{DAY, MINUTE, csrattrs};
use crate::{
    config::section::Section,
    policy::ProfileRules,
    types::{Digest, KeyKind, SanKind},
};
use const_oid::ObjectIdentifier;
use std::time::Duration;

/// Extended key usages by the names of RFC 5280 §4.2.1.12 and others in use.
const USAGES: [(&str, &str); 7] = [
    ("serverAuth", "1.3.6.1.5.5.7.3.1"),
    ("clientAuth", "1.3.6.1.5.5.7.3.2"),
    ("codeSigning", "1.3.6.1.5.5.7.3.3"),
    ("emailProtection", "1.3.6.1.5.5.7.3.4"),
    ("timeStamping", "1.3.6.1.5.5.7.3.8"),
    ("ipsecIKE", "1.3.6.1.5.5.7.3.17"),
    ("cmcRA", "1.3.6.1.5.5.7.3.28"),
];

/// Usages that no profile may give, and the reason.
const FORBIDDEN_USAGES: [(&str, &str, &str); 3] = [
    ("anyExtendedKeyUsage", "2.5.29.37.0", "it would allow every use"),
    ("OCSPSigning", "1.3.6.1.5.5.7.3.9", "a device must not answer for the CA"),
    ("cmcCA", "1.3.6.1.5.5.7.3.27", "a device is no CA"),
];

pub(super) fn profile(section: Section<'_>) -> ProfileRules {
    let all_keys =
        vec![KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];
    let common = vec![SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email];
    let profile = ProfileRules {
        validity: section.duration("validity", 90 * DAY, MINUTE..=(36_525 * DAY)),
        backdate: section.duration("backdate", 5 * MINUTE, Duration::ZERO..=DAY),
        keys: section.list(
            "keys",
            all_keys,
            "choose from rsa-2048, rsa-3072, rsa-4096, p-256, p-384, p-521, ed25519",
            |text| text.parse().map_err(|_| "a kind of key".to_owned()),
        ),
        extended_key_usage: section.list(
            "extended_key_usage",
            vec![ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2")],
            "write a name such as \"clientAuth\", or an OID",
            usage,
        ),
        san: section.list("san", common, "choose from dns, ip, uri, email, other", san_kind),
        empty_subject: section.boolean("empty_subject", true),
        ignore_extensions: section.list(
            "ignore_extensions",
            Vec::new(),
            "write OIDs such as \"1.3.6.1.4.1.311.20.2\"",
            |text| text.parse::<ObjectIdentifier>().map_err(|_| "an OID".to_owned()),
        ),
        digests: section.list(
            "digests",
            Digest::ALL.to_vec(),
            "choose from sha256, sha384, sha512",
            |text| text.parse().map_err(|_| "a hash function".to_owned()),
        ),
        require_subject: csrattrs::required_subject(&section),
        require_san: section.list(
            "require_san",
            Vec::new(),
            "choose from dns, ip, uri, email",
            san_kind,
        ),
        require_key_usage: csrattrs::key_usage(&section),
        require_extended_key_usage: section.list(
            "require_extended_key_usage",
            Vec::new(),
            "write a name such as \"clientAuth\", or an OID",
            usage,
        ),
    };
    csrattrs::check_demands(&section, &profile);
    if profile.keys.is_empty() && section.has("keys") {
        section.error("keys", "got an empty list; expected: kinds of key", "accept at least one");
    }
    if profile.backdate >= profile.validity {
        let shown = |time: Duration| humantime::format_duration(time).to_string();
        let (validity, backdate) = (shown(profile.validity), shown(profile.backdate));
        let given = if section.has("backdate") { "" } else { " by default" };
        section.error(
            "backdate",
            format!("got {backdate}{given}; expected: less than validity, which is {validity}"),
            format!("set backdate below {validity}, or a longer validity"),
        );
    }
    section.finish();
    profile
}

fn san_kind(text: &str) -> Result<SanKind, String> {
    [SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email, SanKind::Other]
        .into_iter()
        .find(|kind| kind.to_string() == text)
        .ok_or_else(|| "a kind of name".to_owned())
}

fn usage(text: &str) -> Result<ObjectIdentifier, String> {
    let named = USAGES.iter().find(|(name, _)| *name == text).map(|(_, oid)| *oid);
    let forbidden = FORBIDDEN_USAGES.iter().find(|(name, oid, _)| *name == text || *oid == text);
    if let Some((_, _, reason)) = forbidden {
        return Err(format!("a usage of devices; {reason}"));
    }
    named.unwrap_or(text).parse().map_err(|_| "a name of a usage, or an OID".to_owned())
}
