//! Rules of this server beside RFC 5280: agreement with the CA, the record and the profile.

use super::{
    CertificateRole, ProfileLimits,
    extensions::{authority, constraints, purposes},
    general_name::{ADDRESS, DNS, MAIL, OTHER, URI},
    key,
    read::{Element, dotted},
    rule::{LintRule, either, of_certificate},
    time,
    view::{CertificateView, ce},
    when,
};
use crate::types::{KeyKind, SanKind};
use aws_lc_rs::digest;

pub(super) static RULES: &[LintRule] = &[
    either("profile.issuer", "The issuer is the subject of the CA, byte for byte.", |view| {
        when(view.issuer.whole == view.expected.name, "issuer")
    }),
    either(
        "profile.authority-key",
        "keyIdentifier of authorityKeyIdentifier is the subjectKeyIdentifier of the CA.",
        |view| {
            let Some(one) = view.extension(ce::AUTHORITY_KEY_IDENTIFIER) else { return Ok(()) };
            let Some([Some(key), ..]) = authority(one) else { return Ok(()) };
            when(key.content == view.expected.key_identifier, "extensions.authorityKeyIdentifier")
        },
    ),
    of_certificate("profile.serial-number", "The serial number is the one on record.", |view| {
        when(view.serial.content == view.expected.serial.as_bytes(), "serialNumber")
    }),
    of_certificate("profile.serial-random", "The serial number has at least 64 bits.", |view| {
        let bytes = view.serial.content;
        when(bytes.strip_prefix(&[0]).unwrap_or(bytes).len() >= 8, "serialNumber")
    }),
    of_certificate("profile.public-key", "The public key is the one on record.", |view| {
        let found = digest::digest(&digest::SHA256, view.spki.whole);
        when(found.as_ref() == view.expected.spki_sha256, "subjectPublicKeyInfo")
    }),
    of_certificate("profile.validity", "The validity is inside that of the CA.", |view| {
        let issuer = &view.expected.issuer;
        let (from, to) = view.times();
        time::in_order(Some(issuer.not_before), from, "validity.notBefore")?;
        time::in_order(to, Some(issuer.not_after), "validity.notAfter")
    }),
    of_certificate(
        "profile.lifetime",
        "The validity is not longer than the profile has it.",
        |view| {
            let Some(limits) = limits(view) else { return Ok(()) };
            let longer = match view.times() {
                (Some(from), Some(to)) => to.since(from) > limits.longest,
                _ => false,
            };
            when(!longer, "validity.notAfter")
        },
    ),
    of_certificate("profile.ca", "Only the certificate of a CA says that it is one.", |view| {
        let wanted = matches!(view.expected.role, CertificateRole::Ca { .. });
        when(view.is_ca() == wanted, "extensions.basicConstraints")
    }),
    of_certificate(
        "profile.path-len",
        "pathLenConstraint is the one that the CA was given.",
        |view| {
            let CertificateRole::Ca { path_len, .. } = view.expected.role else { return Ok(()) };
            let found = view.either.extension(ce::BASIC_CONSTRAINTS).and_then(constraints);
            let found = found.and_then(|(_, length)| length);
            let same = match (found.map(|length| length.content), path_len) {
                (None, None) => true,
                (Some([length]), Some(wanted)) => *length == wanted,
                (Some([0, length]), Some(wanted)) => *length == wanted,
                _ => false,
            };
            when(same, "extensions.basicConstraints.pathLenConstraint")
        },
    ),
    of_certificate("profile.key-kind", "The key is of a kind that the profile accepts.", |view| {
        let Some(limits) = limits(view) else { return Ok(()) };
        let accepts = |wanted: &KeyKind, kind: KeyKind| match (*wanted, kind) {
            (KeyKind::Rsa(least), KeyKind::Rsa(bits)) => bits >= least,
            (wanted, kind) => wanted == kind,
        };
        let kind = key::kind_of_key(view.spki);
        let fits = kind.is_some_and(|kind| limits.keys.iter().any(|one| accepts(one, kind)));
        when(fits, "subjectPublicKeyInfo")
    }),
    of_certificate(
        "profile.extended-key-usage",
        "extKeyUsage lists only what the profile allows, and something if the profile does.",
        |view| {
            let Some(limits) = limits(view) else { return Ok(()) };
            let found = view.either.extension(ce::EXTENDED_KEY_USAGE).and_then(purposes);
            let found = found.unwrap_or_default();
            let allowed =
                |one: &&[u8]| limits.extended_key_usage.iter().any(|oid| oid.as_bytes() == *one);
            if let Some(other) = found.iter().find(|one| !allowed(one)) {
                return Err(format!("extensions.extKeyUsage.{}", dotted(other)).into());
            }
            when(found.is_empty() == limits.extended_key_usage.is_empty(), "extensions.extKeyUsage")
        },
    ),
    of_certificate(
        "profile.san-kind",
        "subjectAltName has only kinds of names that the profile accepts.",
        |view| {
            let Some(limits) = limits(view) else { return Ok(()) };
            let names = view.either.extension(ce::SUBJECT_ALT_NAME).and_then(|one| one.sequence());
            let names = names.and_then(|names| names.all()).unwrap_or_default();
            let accepted = |one: &Element<'_>| {
                let kind = match one.tag {
                    OTHER => SanKind::Other,
                    MAIL => SanKind::Email,
                    DNS => SanKind::Dns,
                    URI => SanKind::Uri,
                    ADDRESS => SanKind::Ip,
                    _ => return false,
                };
                limits.san.contains(&kind)
            };
            when(names.iter().all(accepted), "extensions.subjectAltName")
        },
    ),
];

fn limits<'a>(view: &CertificateView<'a>) -> Option<&'a ProfileLimits> {
    match view.expected.role {
        CertificateRole::EndEntity(limits) => limits,
        CertificateRole::Ca { .. } => None,
    }
}
