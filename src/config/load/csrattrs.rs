//! The content that a CSR must have: `[est.csrattrs]`, and the demands of `[profile.NAME]`.

use crate::{
    config::section::Section,
    policy::{CsrAttrs, ProfileRules},
    types::{CsrAttribute, CsrAttrsForm, KeyUsage, SanKind, SubjectAttribute},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use const_oid::ObjectIdentifier;
use der::{Decode, Tag};

/// Attribute types of a subject by their names in openssl and RFC 4514, with the string type that limits
/// their characters.
const SUBJECT: [(&str, &str, Tag); 19] = [
    ("CN", "2.5.4.3", Tag::Utf8String),
    ("SN", "2.5.4.4", Tag::Utf8String),
    ("serialNumber", "2.5.4.5", Tag::PrintableString),
    ("C", "2.5.4.6", Tag::PrintableString),
    ("L", "2.5.4.7", Tag::Utf8String),
    ("ST", "2.5.4.8", Tag::Utf8String),
    ("street", "2.5.4.9", Tag::Utf8String),
    ("O", "2.5.4.10", Tag::Utf8String),
    ("OU", "2.5.4.11", Tag::Utf8String),
    ("title", "2.5.4.12", Tag::Utf8String),
    ("postalCode", "2.5.4.17", Tag::Utf8String),
    ("name", "2.5.4.41", Tag::Utf8String),
    ("GN", "2.5.4.42", Tag::Utf8String),
    ("dnQualifier", "2.5.4.46", Tag::PrintableString),
    ("pseudonym", "2.5.4.65", Tag::Utf8String),
    ("organizationIdentifier", "2.5.4.97", Tag::Utf8String),
    ("UID", "0.9.2342.19200300.100.1.1", Tag::Utf8String),
    ("DC", "0.9.2342.19200300.100.1.25", Tag::Ia5String),
    ("emailAddress", "1.2.840.113549.1.9.1", Tag::Ia5String),
];

/// Attributes that cannot be listed, with the reason or the key that demands them.
const NOT_HERE: [(&str, &str); 10] = [
    ("1.2.840.113549.1.9.14", "the profile's require_* keys demand extensions"),
    ("1.2.840.113549.1.9.16.2.61", "form = \"rfc9908\" writes the template"),
    ("1.2.840.113549.1.9.16.2.62", "form = \"rfc9908\" writes the template"),
    ("1.2.840.113549.1.9.7", "it binds a CSR to its connection: linking demands it"),
    ("1.2.840.113549.1.9.16.2.56", "one-time passwords are not supported"),
    ("1.2.840.113549.1.9.16.2.57", "revocation challenges are not supported"),
    ("1.2.840.113549.1.9.16.2.58", "it binds a CSR to its connection: linking demands it"),
    ("1.3.6.1.5.5.7.7.36", "it demands other names"),
    ("1.2.840.113549.1.9.16.2.37", "it belongs to key generation by the server"),
    ("1.2.840.113549.1.9.16.2.54", "it belongs to key generation by the server"),
];

/// Arcs of OIDs that are no attributes of a CSR.
const NO_ATTRIBUTE: [(&str, &str); 8] = [
    ("2.5.29.", "an extension: the profile's require_* keys demand extensions"),
    ("2.5.4.", "of the subject: the profile's require_subject demands it"),
    ("0.9.2342.19200300.100.1.", "of the subject: the profile's require_subject demands it"),
    ("1.2.840.10045.", "a key or a signature: the profile's keys and digests demand it"),
    ("1.2.840.113549.1.1.", "a key or a signature: the profile's keys and digests demand it"),
    ("1.3.132.0.", "a key: the profile's keys demand it"),
    ("1.3.101.", "a key: the profile's keys demand it"),
    ("2.16.840.1.101.3.4.", "an algorithm: the profile's keys and digests demand it"),
];

pub(super) fn csrattrs_rules(section: Section<'_>) -> CsrAttrs {
    let csrattrs = CsrAttrs {
        offer: section.boolean("offer", true),
        form: section.one_of(
            "form",
            &[
                ("both", CsrAttrsForm::Both),
                ("rfc8951", CsrAttrsForm::Rfc8951),
                ("rfc9908", CsrAttrsForm::Rfc9908),
            ],
            CsrAttrsForm::Both,
        ),
        attributes: section.list(
            "attributes",
            Vec::new(),
            "write an OID such as \"1.3.6.1.1.1.1.22\", or one with its value in DER: \"OID=hex:1603414243\" or \"OID=base64:FgNBQkM=\"",
            attribute,
        ),
    };
    if let Some(twice) = twice(&csrattrs.attributes, |attribute| attribute.kind.to_string()) {
        section.error("attributes", format!("got {twice} twice; expected: once"), "name it once");
    }
    section.finish();
    csrattrs
}

fn attribute(text: &str) -> Result<CsrAttribute, String> {
    let (kind, value) = text.split_once('=').map_or((text, None), |(k, v)| (k, Some(v)));
    let kind: ObjectIdentifier = kind.parse().map_err(|_| "an OID, or OID=value".to_owned())?;
    let dotted = kind.to_string();
    let reason = NOT_HERE
        .iter()
        .find(|(oid, _)| *oid == dotted)
        .or_else(|| NO_ATTRIBUTE.iter().find(|(arc, _)| dotted.starts_with(arc)));
    if let Some((_, reason)) = reason {
        return Err(format!("another attribute; {reason}"));
    }
    let value = value.map(bytes).transpose()?;
    if let Some(value) = &value {
        der::Any::from_der(value).map_err(|error| format!("a value in DER; {error}"))?;
    }
    Ok(CsrAttribute { kind, value })
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    match text.split_once(':') {
        Some(("base64", text)) => STANDARD.decode(text).map_err(|_| "a value in base64".to_owned()),
        Some(("hex", text)) => {
            let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
            let digits = digits.filter(|digits| digits.len() % 2 == 0);
            let pairs = digits.ok_or_else(|| "a value in hexadecimal".to_owned())?;
            let byte = |pair: &[u32]| pair.iter().fold(0, |sum, digit| sum << 4 | digit);
            Ok(pairs.chunks_exact(2).filter_map(|pair| u8::try_from(byte(pair)).ok()).collect())
        }
        _ => Err("hex: or base64: before the value".to_owned()),
    }
}

pub(super) fn required_subject(section: &Section<'_>) -> Vec<SubjectAttribute> {
    section.list(
        "require_subject",
        Vec::new(),
        "write a type such as \"CN\", or one with its value such as \"O=Example\"",
        |text| {
            let (kind, value) = text.split_once('=').map_or((text, None), |(k, v)| (k, Some(v)));
            let (_, oid, tag) = SUBJECT
                .iter()
                .find(|(name, oid, _)| name.eq_ignore_ascii_case(kind) || *oid == kind)
                .ok_or_else(|| {
                    let names: Vec<&str> = SUBJECT.iter().map(|(name, ..)| *name).collect();
                    format!("one of these types: {}", names.join(" "))
                })?;
            if let Some(value) = value {
                check_value(oid, *tag, value)?;
            }
            let kind = oid.parse().map_err(|_| "an OID".to_owned())?;
            Ok(SubjectAttribute { kind, value: value.map(str::to_owned) })
        },
    )
}

/// Checks that a certificate can have this value (RFC 5280 §4.1.2.6, App. A.1).
fn check_value(oid: &str, tag: Tag, value: &str) -> Result<(), String> {
    let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
    let characters = match tag {
        Tag::PrintableString => value.chars().all(printable),
        Tag::Ia5String => value.is_ascii(),
        _ => true,
    };
    if !characters || value.trim().is_empty() || value.chars().any(char::is_control) {
        return Err("characters that this type allows".to_owned());
    }
    if oid == "2.5.4.6" && !(value.len() == 2 && value.bytes().all(|c| c.is_ascii_uppercase())) {
        return Err("a country of two capital letters, as in ISO 3166".to_owned());
    }
    let longest = match oid {
        "2.5.4.17" => 40,
        "0.9.2342.19200300.100.1.25" => 63,
        "2.5.4.7" | "2.5.4.8" | "2.5.4.9" | "2.5.4.65" => 128,
        "1.2.840.113549.1.9.1" => 255,
        _ => 64,
    };
    if value.chars().count() > longest {
        return Err(format!("at most {longest} characters"));
    }
    Ok(())
}

pub(super) fn key_usage(section: &Section<'_>) -> Option<KeyUsage> {
    let bits = section.list(
        "require_key_usage",
        Vec::new(),
        "choose from digitalSignature, nonRepudiation, keyEncipherment, keyAgreement",
        |text| KeyUsage::named(text).ok_or_else(|| "a key usage of devices".to_owned()),
    );
    bits.into_iter().reduce(KeyUsage::and)
}

/// Reports demands that no CSR can meet.
pub(super) fn check_demands(section: &Section<'_>, profile: &ProfileRules) {
    if profile.digests.is_empty() && section.has("digests") {
        section.error(
            "digests",
            "got an empty list; expected: hash functions",
            "accept at least one",
        );
    }
    if let Some(twice) = twice(&profile.digests, ToString::to_string) {
        section.error("digests", format!("got {twice} twice; expected: once"), "name it once");
    }
    for kind in &profile.require_san {
        if *kind == SanKind::Other {
            section.error(
                "require_san",
                "got other; expected: a kind whose form is known",
                "remove it",
            );
        } else if !profile.san.contains(kind) {
            let text = format!("got {kind}; expected: a kind that san accepts");
            section.error("require_san", text, "add it to san");
        }
    }
    if let Some(twice) = twice(&profile.require_san, ToString::to_string) {
        section.error("require_san", format!("got {twice} twice; expected: once"), "name it once");
    }
    if let Some(usage) = profile.require_key_usage {
        for kind in profile.keys.iter().filter(|kind| !KeyUsage::possible(**kind).contains(usage)) {
            let possible = KeyUsage::possible(*kind).names().join(", ");
            section.error(
                "require_key_usage",
                format!("got a usage that a key of kind {kind} cannot have; expected: {possible}"),
                format!("demand no other usage, or remove {kind} from keys"),
            );
        }
    }
    for usage in &profile.require_extended_key_usage {
        if !profile.extended_key_usage.contains(usage) {
            let text = format!("got {usage}; expected: a usage that the profile gives");
            section.error("require_extended_key_usage", text, "add it to extended_key_usage");
        }
    }
    let same = |attribute: &SubjectAttribute| format!("{}={:?}", attribute.kind, attribute.value);
    let fixed: Vec<_> =
        profile.require_subject.iter().filter(|attribute| attribute.value.is_some()).collect();
    if twice(&fixed, |attribute| same(attribute)).is_some() {
        section.error("require_subject", "got one value twice; expected: once", "name it once");
    }
}

fn twice<T>(all: &[T], text: impl Fn(&T) -> String) -> Option<String> {
    let texts: Vec<String> = all.iter().map(text).collect();
    texts
        .iter()
        .enumerate()
        .find(|(at, one)| texts.iter().take(*at).any(|other| other == *one))
        .map(|(_, one)| one.clone())
}
