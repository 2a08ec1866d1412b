//! A kind of key as an attribute (RFC 9908 §3.2) and as a template (§3.4), in both directions.

use super::{Key, asn1::KeyTemplate};
use crate::{pki::oid, types::KeyKind};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode,
    asn1::{Any, BitString, SetOfVec, UintRef},
};
use rsa::pkcs1::RsaPublicKey;
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;

const fn curve(kind: KeyKind) -> Option<ObjectIdentifier> {
    match kind {
        KeyKind::P256 => Some(oid::P256),
        KeyKind::P384 => Some(oid::P384),
        KeyKind::P521 => Some(oid::P521),
        KeyKind::Rsa(_) | KeyKind::Ed25519 => None,
    }
}

fn kind_of_curve(found: ObjectIdentifier) -> Option<KeyKind> {
    [KeyKind::P256, KeyKind::P384, KeyKind::P521]
        .into_iter()
        .find(|kind| curve(*kind) == Some(found))
}

/// The attribute of a kind of key: its type is the algorithm, its value the curve or the size
/// (RFC 9908 §3.2). Ed25519 has neither, and no value (D-27).
pub(super) fn key_attribute(key: Key) -> der::Result<Attribute> {
    let (algorithm, value) = match key {
        Key::Kind(KeyKind::Rsa(bits)) => (oid::RSA, Some(Any::encode_from(&bits)?)),
        Key::Kind(KeyKind::Ed25519) => (oid::ED25519, None),
        Key::Kind(kind) => {
            (oid::EC_PUBLIC_KEY, curve(kind).map(|curve| Any::encode_from(&curve)).transpose()?)
        }
        Key::Other(algorithm) => (algorithm, None),
    };
    let values = SetOfVec::try_from(value.into_iter().collect::<Vec<_>>())?;
    Ok(Attribute { oid: algorithm, values })
}

pub(super) fn key_of(algorithm: ObjectIdentifier, values: &[Any]) -> Option<Key> {
    let value = values.first();
    match algorithm {
        oid::RSA => {
            let bits = value.map_or(Some(2048), |bits| bits.decode_as::<u16>().ok());
            Some(bits.map_or(Key::Other(algorithm), |bits| Key::Kind(KeyKind::Rsa(bits))))
        }
        oid::ED25519 => Some(Key::Kind(KeyKind::Ed25519)),
        oid::EC_PUBLIC_KEY => Some(match value.map(Any::decode_as::<ObjectIdentifier>) {
            None => Key::Kind(KeyKind::P256),
            Some(Err(_)) => Key::Other(algorithm),
            Some(Ok(curve)) => kind_of_curve(curve).map_or(Key::Other(curve), Key::Kind),
        }),
        _ => None,
    }
}

/// A key or a curve as servers of before RFC 9908 name it.
pub(super) fn bare_key(found: ObjectIdentifier) -> Option<Key> {
    kind_of_curve(found).map(Key::Kind).or_else(|| key_of(found, &[]))
}

pub(super) fn key_template(key: Key) -> der::Result<KeyTemplate> {
    let (oid, parameters, public_key) = match key {
        Key::Kind(KeyKind::Rsa(bits)) => {
            (oid::RSA, Some(Any::null()), Some(BitString::from_bytes(&dummy_rsa(bits)?)?))
        }
        Key::Kind(KeyKind::Ed25519) => (oid::ED25519, None, None),
        Key::Kind(kind) => (
            oid::EC_PUBLIC_KEY,
            curve(kind).map(|curve| Any::encode_from(&curve)).transpose()?,
            None,
        ),
        Key::Other(algorithm) => (algorithm, None, None),
    };
    Ok(KeyTemplate { algorithm: AlgorithmIdentifierOwned { oid, parameters }, public_key })
}

/// A public key of this size that nobody has: the modulus is 2^(bits - 1) + 1 (RFC 9908 §3.4).
fn dummy_rsa(bits: u16) -> der::Result<Vec<u8>> {
    let mut modulus = vec![0; usize::from(bits.div_ceil(8))];
    if let Some(first) = modulus.first_mut() {
        *first = 1 << ((bits.max(1) - 1) % 8);
    }
    if let Some(last) = modulus.last_mut() {
        *last |= 1;
    }
    RsaPublicKey { modulus: UintRef::new(&modulus)?, public_exponent: UintRef::new(&[1, 0, 1])? }
        .to_der()
}

pub(super) fn key_of_template(template: &KeyTemplate) -> der::Result<Key> {
    let algorithm = template.algorithm.oid;
    if algorithm == oid::RSA
        && let Some(bits) = template.public_key.as_ref().and_then(BitString::as_bytes)
    {
        let modulus = RsaPublicKey::<UintRef<'_>>::from_der(bits)?.modulus;
        let bytes = modulus.as_bytes();
        let unused = bytes.first().map_or(8, |byte| byte.leading_zeros() as usize);
        let size = (bytes.len() * 8).saturating_sub(unused);
        return Ok(
            u16::try_from(size).map_or(Key::Other(algorithm), |size| Key::Kind(KeyKind::Rsa(size)))
        );
    }
    let parameters: Vec<Any> =
        template.algorithm.parameters.iter().filter(|any| !any.is_null()).cloned().collect();
    Ok(key_of(algorithm, &parameters).unwrap_or(Key::Other(algorithm)))
}
