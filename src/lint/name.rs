//! Distinguished names (RFC 5280 §4.1.2.4, §4.1.2.6, appendix A.1).

use super::{
    FieldName, RuleKept,
    read::{Element, IA5_STRING, OID, PRINTABLE_STRING, UTF8_STRING, dotted},
    rule::{LintRule, either, of_certificate},
    view::{CertificateView, attributes, ce},
    when,
};

pub(super) static RULES: &[LintRule] = &[
    either("rfc5280.4.1.2.4.issuer-empty", "The issuer's name is not empty.", |view| {
        when(!view.issuer.content.is_empty(), "issuer")
    }),
    either("rfc5280.4.1.2.4.issuer-form", "The issuer is a Name.", |view| {
        when(attributes(view.issuer).is_some(), "issuer")
    }),
    of_certificate("rfc5280.4.1.2.6.form", "The subject is a Name.", |view| {
        when(view.attributes.is_some(), "subject")
    }),
    of_certificate("rfc5280.4.1.2.6.ca", "The subject of a CA is not empty.", |view| {
        when(!(view.is_ca() && view.subject_is_empty()), "subject")
    }),
    of_certificate(
        "rfc5280.4.1.2.6.empty",
        "A certificate with an empty subject has a subjectAltName, and that is critical.",
        |view| {
            let critical = view.either.extension(ce::SUBJECT_ALT_NAME).map(|san| san.is_critical());
            when(!view.subject_is_empty() || critical == Some(true), "extensions.subjectAltName")
        },
    ),
    of_certificate(
        "rfc5280.4.1.2.6.string-type",
        "An attribute of the subject has the string type of RFC 5280: PrintableString or UTF8String, \
         or the only one of its kind.",
        |view| each(view, |kind, value| types(kind).contains(&value.tag)),
    ),
    of_certificate("rfc5280.a.1.empty", "No attribute of the subject is empty.", |view| {
        each(view, |_, value| !value.content.is_empty())
    }),
    of_certificate(
        "rfc5280.a.1.upper-bound",
        "An attribute of the subject has at most the characters of its upper bound.",
        |view| each(view, |kind, value| length(value) <= upper_bound(kind)),
    ),
    of_certificate("rfc5280.a.1.country", "countryName is two letters.", |view| {
        let two = |text: &[u8]| text.len() == 2 && text.iter().all(u8::is_ascii_alphabetic);
        each(view, |kind, value| kind != [0x55, 4, 6] || two(value.content))
    }),
    of_certificate(
        "x501.9.3.attribute-types",
        "An RDN of the subject has each type of attribute once.",
        |view| {
            let mut rdns = view.subject.inner();
            while let Some(rdn) = rdns.take() {
                let mut types: Vec<&[u8]> =
                    rdn.all().unwrap_or_default().iter().filter_map(kind).collect();
                types.sort_unstable();
                if types.windows(2).any(|pair| pair.first() == pair.last()) {
                    return Err(FieldName::Borrowed("subject"));
                }
            }
            Ok(())
        },
    ),
];

fn kind<'a>(attribute: &Element<'a>) -> Option<&'a [u8]> {
    Some(attribute.inner().take_if(OID)?.content)
}

/// Whether each attribute of the subject keeps a rule; a subject that cannot be read breaks another one.
fn each(view: &CertificateView<'_>, keeps: impl Fn(&[u8], Element<'_>) -> bool) -> RuleKept {
    let mut all = view.attributes.iter().flatten();
    match all.find(|(kind, value)| !keeps(kind, *value)) {
        None => Ok(()),
        Some((kind, _)) => Err(FieldName::Owned(format!("subject.{}", dotted(kind)))),
    }
}

const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
const DOMAIN_COMPONENT: &[u8] = &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];

/// The string types of an attribute (RFC 5280 §4.1.2.4 and appendix A.1; the other choices of
/// DirectoryString are for names that exist already).
const fn types(kind: &[u8]) -> &'static [u8] {
    match kind {
        EMAIL_ADDRESS | DOMAIN_COMPONENT => &[IA5_STRING],
        // countryName, serialNumber, dnQualifier.
        [0x55, 4, 6 | 5 | 46] => &[PRINTABLE_STRING],
        _ => &[PRINTABLE_STRING, UTF8_STRING],
    }
}

fn length(value: Element<'_>) -> usize {
    match std::str::from_utf8(value.content) {
        Ok(text) if value.tag == UTF8_STRING => text.chars().count(),
        _ => value.content.len(),
    }
}

/// Characters at most: the ub- values of RFC 5280 appendix A.1.
const fn upper_bound(kind: &[u8]) -> usize {
    match kind {
        // commonName, serialNumber, organizationName, organizationalUnitName, title.
        [0x55, 4, 3 | 5 | 10 | 11 | 12] => 64,
        [0x55, 4, 6] => 2,
        // localityName, stateOrProvinceName, pseudonym.
        [0x55, 4, 7 | 8 | 65] => 128,
        EMAIL_ADDRESS => 255,
        _ => 32_768,
    }
}
