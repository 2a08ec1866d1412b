//! The fields of a certificate before its extensions (RFC 5280 §4.1), and those that a CRL has, too.

use super::{
    RuleKept,
    read::{Element, NULL, OID},
    rule::{LintRule, either, of_certificate},
    time,
    view::EitherView,
    when,
};

pub(super) static RULES: &[LintRule] = &[
    either(
        "rfc5280.4.1.1.2.equal",
        "The signature algorithm is the one beside the signature, byte for byte.",
        |view| when(view.signature.whole == view.expected.signature_algorithm, "signature"),
    ),
    either(
        "rfc5280.4.1.1.2.form",
        "An AlgorithmIdentifier is an OID and at most one parameter.",
        |view| when(parameters(view.signature).is_some(), "signature"),
    ),
    either(
        "rfc4055.5.parameters",
        "The parameters of an RSA signature with PKCS#1 v1.5 are NULL.",
        |view| parameters_are(view, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1], true),
    ),
    either("rfc5758.3.2.parameters", "An ECDSA signature has no parameters.", |view| {
        parameters_are(view, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4], false)
    }),
    either("rfc8410.3.parameters", "A signature with Ed25519 has no parameters.", |view| {
        parameters_are(view, &[0x2b, 0x65], false)
    }),
    of_certificate("rfc5280.4.1.2.1.version", "The version is 3.", |view| {
        let three = [0xa0, 3, 2, 1, 2];
        when(view.version.is_some_and(|version| version.whole == three), "version")
    }),
    of_certificate("rfc5280.4.1.2.2.serial-positive", "The serial number is positive.", |view| {
        when(is_positive(view.serial.content), "serialNumber")
    }),
    of_certificate(
        "rfc5280.4.1.2.2.serial-length",
        "The serial number has at most 20 bytes.",
        |view| when(view.serial.content.len() <= 20, "serialNumber"),
    ),
    of_certificate(
        "rfc5280.4.1.2.5.form",
        "notBefore and notAfter have seconds, no fraction, and end with Z.",
        |view| {
            time::has_form(view.not_before, "validity.notBefore")?;
            time::has_form(view.not_after, "validity.notAfter")
        },
    ),
    of_certificate(
        "rfc5280.4.1.2.5.type",
        "notBefore and notAfter are UTCTime through 2049, and GeneralizedTime from 2050 on.",
        |view| {
            time::has_type(view.not_before, "validity.notBefore")?;
            time::has_type(view.not_after, "validity.notAfter")
        },
    ),
    of_certificate("rfc5280.4.1.2.5.order", "notBefore is not after notAfter.", |view| {
        let (from, to) = view.times();
        time::in_order(from, to, "validity.notAfter")
    }),
    of_certificate("rfc5280.4.1.2.8.unique-ids", "There are no unique identifiers.", |view| {
        when(!view.unique_ids, "uniqueID")
    }),
];

/// Whether an INTEGER is above zero.
pub(super) fn is_positive(content: &[u8]) -> bool {
    content.first().is_some_and(|first| *first < 0x80) && content.iter().any(|byte| *byte != 0)
}

/// OID and parameters of an AlgorithmIdentifier.
pub(super) fn parameters(algorithm: Element<'_>) -> Option<(&[u8], Option<Element<'_>>)> {
    let mut inner = algorithm.inner();
    let oid = inner.take_if(OID)?.content;
    let parameters = if inner.is_empty() { None } else { Some(inner.take()?) };
    inner.is_empty().then_some((oid, parameters))
}

/// Of signature algorithms below an OID, whether the parameters are NULL, or absent.
fn parameters_are(view: &EitherView<'_>, below: &[u8], null: bool) -> RuleKept {
    let Some((oid, found)) = parameters(view.signature) else { return Ok(()) };
    let fits = found.map(|one| one.tag) == null.then_some(NULL);
    when(!oid.starts_with(below) || fits, "signature.parameters")
}
