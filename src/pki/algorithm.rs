//! Signature algorithms: which fits which key, and how the library calls it.

use super::{Error, oid};
use crate::types::{Code, Digest, KeyKind, Rejection};
use aws_lc_rs::signature::{self, VerificationAlgorithm};
use const_oid::ObjectIdentifier;
use der::{Decode, Encode, asn1::AnyRef};
use rsa::pkcs1::RsaPssParams;
use spki::AlgorithmIdentifierRef;

/// Returns the AlgorithmIdentifier (DER) of signatures with a key of this kind.
///
/// - ECDSA: the hash of the curve's strength, absent parameters (RFC 5758 §3.2).
/// - RSA: PKCS#1 v1.5 with SHA-256, NULL parameters (RFC 4055 §5).
/// - Ed25519: absent parameters (RFC 8410 §3).
#[must_use]
pub const fn signature_identifier(kind: KeyKind) -> &'static [u8] {
    match kind {
        KeyKind::P256 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
        KeyKind::P384 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
        KeyKind::P521 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
        KeyKind::Ed25519 => b"\x30\x05\x06\x03\x2b\x65\x70",
        KeyKind::Rsa(_) => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
    }
}

/// The signature algorithms that leave a choice of hash function, by kind of key.
const SIGNATURES: [(bool, Digest, ObjectIdentifier); 6] = [
    (false, Digest::Sha256, oid::ECDSA_SHA256),
    (false, Digest::Sha384, oid::ECDSA_SHA384),
    (false, Digest::Sha512, oid::ECDSA_SHA512),
    (true, Digest::Sha256, oid::RSA_SHA256),
    (true, Digest::Sha384, oid::RSA_SHA384),
    (true, Digest::Sha512, oid::RSA_SHA512),
];

/// The algorithm of a signature by a key of this kind with this hash function: ECDSA, RSA PKCS#1
/// v1.5, or Ed25519 whatever the hash.
#[must_use]
pub fn signature(kind: KeyKind, digest: Digest) -> ObjectIdentifier {
    let rsa = matches!(kind, KeyKind::Rsa(_));
    SIGNATURES
        .iter()
        .find(|(of_rsa, one, _)| kind != KeyKind::Ed25519 && (*of_rsa, *one) == (rsa, digest))
        .map_or(oid::ED25519, |(_, _, oid)| *oid)
}

/// The hash function of a signature algorithm, if its OID names it.
#[must_use]
pub fn digest_of(signature: ObjectIdentifier) -> Option<Digest> {
    SIGNATURES.iter().find(|(_, _, oid)| *oid == signature).map(|(_, digest, _)| *digest)
}

/// Whether this names how a CSR is signed: a signature algorithm, or a hash function alone.
pub(super) fn is_of_signature(found: ObjectIdentifier) -> bool {
    digest_of(found).is_some() || found == oid::RSA_PSS || digest_alone(found).is_some()
}

/// The OID of a hash function alone.
pub(super) const fn hash_oid(digest: Digest) -> ObjectIdentifier {
    match digest {
        Digest::Sha256 => oid::SHA256,
        Digest::Sha384 => oid::SHA384,
        Digest::Sha512 => oid::SHA512,
    }
}

fn digest_alone(found: ObjectIdentifier) -> Option<Digest> {
    Digest::ALL.into_iter().find(|digest| hash_oid(*digest) == found)
}

/// The hash function of a signature; none for Ed25519.
pub(super) fn digest(identifier: &AlgorithmIdentifierRef<'_>) -> Option<Digest> {
    if identifier.oid != oid::RSA_PSS {
        return digest_of(identifier.oid);
    }
    let encoded = identifier.parameters?.to_der().ok()?;
    digest_alone(RsaPssParams::<der::Any>::from_der(&encoded).ok()?.hash.oid)
}

/// Chooses how to verify a signature with `identifier` by a key of this kind.
///
/// SHA-1 and older hashes are rejected. RSA PKCS#1 v1.5 may leave its parameters out instead of
/// writing NULL, as some clients do (RFC 4055 §5 asks receivers to accept both).
///
/// # Errors
/// [`Error::Malformed`] if the algorithm is unknown, too weak or not one of this kind of key.
pub(super) fn verification(
    kind: KeyKind,
    identifier: &AlgorithmIdentifierRef<'_>,
) -> Result<&'static dyn VerificationAlgorithm, Error> {
    use signature as s;
    let absent = identifier.parameters.is_none();
    let null = identifier.parameters.is_some_and(AnyRef::is_null);
    let found: Option<&'static dyn VerificationAlgorithm> = match (kind, identifier.oid) {
        (KeyKind::P256, oid::ECDSA_SHA256) if absent => Some(&s::ECDSA_P256_SHA256_ASN1),
        (KeyKind::P256, oid::ECDSA_SHA384) if absent => Some(&s::ECDSA_P256_SHA384_ASN1),
        (KeyKind::P256, oid::ECDSA_SHA512) if absent => Some(&s::ECDSA_P256_SHA512_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA256) if absent => Some(&s::ECDSA_P384_SHA256_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA384) if absent => Some(&s::ECDSA_P384_SHA384_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA512) if absent => Some(&s::ECDSA_P384_SHA512_ASN1),
        (KeyKind::P521, oid::ECDSA_SHA256) if absent => Some(&s::ECDSA_P521_SHA256_ASN1),
        (KeyKind::P521, oid::ECDSA_SHA384) if absent => Some(&s::ECDSA_P521_SHA384_ASN1),
        (KeyKind::P521, oid::ECDSA_SHA512) if absent => Some(&s::ECDSA_P521_SHA512_ASN1),
        (KeyKind::Ed25519, oid::ED25519) if absent => Some(&s::ED25519),
        (KeyKind::Rsa(_), oid::RSA_SHA256) if absent || null => {
            Some(&s::RSA_PKCS1_2048_8192_SHA256)
        }
        (KeyKind::Rsa(_), oid::RSA_SHA384) if absent || null => {
            Some(&s::RSA_PKCS1_2048_8192_SHA384)
        }
        (KeyKind::Rsa(_), oid::RSA_SHA512) if absent || null => {
            Some(&s::RSA_PKCS1_2048_8192_SHA512)
        }
        (KeyKind::Rsa(_), oid::RSA_PSS) => pss(identifier),
        _ => None,
    };
    found.ok_or_else(|| {
        Error::Malformed(Rejection::of(
            Code::CsrSignatureAlgorithm,
            format!("{} with a key of kind {kind}", described(identifier.oid)),
            match kind {
                KeyKind::Rsa(_) => "sha256WithRSAEncryption",
                KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => "ecdsa-with-SHA256",
                KeyKind::Ed25519 => "Ed25519",
            },
        ))
    })
}

/// RSASSA-PSS as the library verifies it: MGF1 over the same hash, salt as long as the hash,
/// default trailer (RFC 4055 §3.1).
fn pss(identifier: &AlgorithmIdentifierRef<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let encoded = identifier.parameters?.to_der().ok()?;
    let parameters = RsaPssParams::<der::Any>::from_der(&encoded).ok()?;
    let mask_hash = parameters.mask_gen.parameters.as_ref()?.oid;
    if parameters.mask_gen.oid != oid::MGF1 || mask_hash != parameters.hash.oid {
        return None;
    }
    match (parameters.hash.oid, parameters.salt_len) {
        (oid::SHA256, 32) => Some(&signature::RSA_PSS_2048_8192_SHA256),
        (oid::SHA384, 48) => Some(&signature::RSA_PSS_2048_8192_SHA384),
        (oid::SHA512, 64) => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// The registered name of an OID, or its dots.
#[must_use]
pub fn described(oid: ObjectIdentifier) -> String {
    const_oid::db::DB.by_oid(&oid).map_or_else(|| oid.to_string(), |name| format!("{name} ({oid})"))
}
