//! The public key, and what it may be used for (RFC 3279, RFC 5480, RFC 8410, RFC 8813).

use super::{
    RuleKept,
    certificate::{is_positive, parameters},
    read::{BIT_STRING, Element, INTEGER, NULL, OID, SEQUENCE},
    rule::{LintRule, of_certificate},
    view::CertificateView,
    when,
};
use crate::types::KeyKind;

pub(super) static RULES: &[LintRule] = &[
    of_certificate(
        "rfc5280.4.1.2.7.form",
        "A SubjectPublicKeyInfo is an AlgorithmIdentifier and a BIT STRING of whole bytes.",
        |view| when(fields(view.spki).is_some(), FIELD),
    ),
    of_certificate("rfc3279.2.3.1.parameters", "The parameters of an RSA key are NULL.", |view| {
        let Some((RSA, parameters, _)) = fields(view.spki) else { return Ok(()) };
        when(parameters.is_some_and(|one| one.tag == NULL), "subjectPublicKeyInfo.parameters")
    }),
    of_certificate(
        "rfc3279.2.3.1.rsa-key",
        "An RSA key is a positive odd modulus and an odd exponent above 1.",
        |view| {
            let Some((RSA, _, key)) = fields(view.spki) else { return Ok(()) };
            when(rsa(key).is_some(), FIELD)
        },
    ),
    of_certificate(
        "rfc5480.2.1.1.named-curve",
        "The parameters of a key on a curve are the OID of the curve.",
        |view| {
            let Some((EC, parameters, _)) = fields(view.spki) else { return Ok(()) };
            when(parameters.is_some_and(|one| one.tag == OID), "subjectPublicKeyInfo.parameters")
        },
    ),
    of_certificate(
        "rfc5480.2.2.point",
        "A point has the length of its curve, compressed or not.",
        |view| {
            let Some((EC, Some(curve), key)) = fields(view.spki) else { return Ok(()) };
            let Some((_, size)) = curve_of(curve) else { return Ok(()) };
            let fits = match key.first() {
                Some(2 | 3) => key.len() == size + 1,
                Some(4) => key.len() == 2 * size + 1,
                _ => false,
            };
            when(fits, FIELD)
        },
    ),
    of_certificate("rfc8410.3.key-parameters", "A key of Ed25519 has no parameters.", |view| {
        let Some((ED25519, parameters, _)) = fields(view.spki) else { return Ok(()) };
        when(parameters.is_none(), "subjectPublicKeyInfo.parameters")
    }),
    of_certificate("rfc8410.4.key-length", "A key of Ed25519 has 32 bytes.", |view| {
        let Some((ED25519, _, key)) = fields(view.spki) else { return Ok(()) };
        when(key.len() == 32, FIELD)
    }),
    // Usage by the type of key.
    of_certificate(
        "rfc3279.2.3.1.key-usage",
        "keyUsage of an RSA key has no keyAgreement, encipherOnly or decipherOnly.",
        |view| usage_excludes(view, RSA, KEY_AGREEMENT | ENCIPHER_ONLY | DECIPHER_ONLY),
    ),
    of_certificate(
        "rfc8813.3.key-usage",
        "keyUsage of a key on a curve has no keyEncipherment or dataEncipherment.",
        |view| usage_excludes(view, EC, KEY_ENCIPHERMENT | DATA_ENCIPHERMENT),
    ),
    of_certificate(
        "rfc8410.5.key-usage",
        "keyUsage of a key of Ed25519 is about signatures only.",
        |view| {
            let others = KEY_AGREEMENT | ENCIPHER_ONLY | DECIPHER_ONLY | KEY_ENCIPHERMENT;
            usage_excludes(view, ED25519, others | DATA_ENCIPHERMENT)
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.3.agreement-only",
        "encipherOnly and decipherOnly exclude each other, and need keyAgreement.",
        |view| {
            let usage = view.key_usage().unwrap_or(0);
            let both = ENCIPHER_ONLY | DECIPHER_ONLY;
            let agrees = usage & KEY_AGREEMENT != 0 && usage & both != both;
            when(usage & both == 0 || agrees, "extensions.keyUsage")
        },
    ),
];

const FIELD: &str = "subjectPublicKeyInfo";

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const KEY_ENCIPHERMENT: u16 = 1 << 2;
const DATA_ENCIPHERMENT: u16 = 1 << 3;
const KEY_AGREEMENT: u16 = 1 << 4;
pub(super) const KEY_CERT_SIGN: u16 = 1 << 5;
pub(super) const CRL_SIGN: u16 = 1 << 6;
const ENCIPHER_ONLY: u16 = 1 << 7;
const DECIPHER_ONLY: u16 = 1 << 8;

/// Algorithm, parameters and key of a SubjectPublicKeyInfo.
fn fields(spki: Element<'_>) -> Option<(&[u8], Option<Element<'_>>, &[u8])> {
    let mut inner = spki.inner();
    let (oid, found) = parameters(inner.take_if(SEQUENCE)?)?;
    let (unused, key) = inner.take_if(BIT_STRING)?.content.split_first()?;
    (inner.is_empty() && *unused == 0).then_some((oid, found, key))
}

/// The modulus of an RSA key.
fn rsa(key: &[u8]) -> Option<&[u8]> {
    let mut inner = Element::tagged(key, SEQUENCE)?.inner();
    let modulus = inner.take_if(INTEGER)?.content;
    let exponent = inner.take_if(INTEGER)?.content;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let good = inner.is_empty()
        && [modulus, exponent].into_iter().all(|number| is_positive(number) && odd(number))
        && exponent != [1];
    good.then_some(modulus)
}

/// Kind and bytes of a coordinate of a named curve.
const fn curve_of(curve: Element<'_>) -> Option<(KeyKind, usize)> {
    match curve.content {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Some((KeyKind::P256, 32)),
        [0x2b, 0x81, 4, 0, 34] => Some((KeyKind::P384, 48)),
        [0x2b, 0x81, 4, 0, 35] => Some((KeyKind::P521, 66)),
        _ => None,
    }
}

/// The kind of the key; none if it is unknown or cannot be read.
pub(super) fn kind_of_key(spki: Element<'_>) -> Option<KeyKind> {
    match fields(spki)? {
        (RSA, _, key) => {
            let modulus = rsa(key)?;
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            let leading = modulus.first()?.leading_zeros();
            let bits = u32::try_from(modulus.len()).ok()?.checked_mul(8)?.checked_sub(leading)?;
            u16::try_from(bits).ok().map(KeyKind::Rsa)
        }
        (EC, Some(curve), _) => curve_of(curve).map(|(kind, _)| kind),
        (ED25519, _, _) => Some(KeyKind::Ed25519),
        _ => None,
    }
}

fn usage_excludes(view: &CertificateView<'_>, algorithm: &[u8], bits: u16) -> RuleKept {
    let applies = fields(view.spki).is_some_and(|(oid, _, _)| oid == algorithm);
    when(!applies || view.key_usage().unwrap_or(0) & bits == 0, "extensions.keyUsage")
}
