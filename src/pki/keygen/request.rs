//! A CSR's demands on the key that the server generates (RFC 7030 §4.4.1).

use super::{
    Decryption,
    algorithms::{Aes, Agreement, Transport},
};
use crate::{
    pki::{Csr, CsrBuilder, CsrError, Error, KeyError, algorithm::described, oid},
    types::{Code, KeyKind, Rejection},
};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode,
    asn1::{OctetStringRef, UintRef},
};
use rsa::pkcs1::RsaPublicKey;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};

/// The key that must encrypt the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// DecryptKeyIdentifier (RFC 7030 §4.4.1.1): the identifier of a symmetric key.
    Symmetric(Vec<u8>),
    /// AsymmetricDecryptKeyIdentifier (RFC 7030 §4.4.1.2): the identifier of a public key.
    Asymmetric(Vec<u8>),
}

/// Reads the name of the key that must encrypt the new one; none if the CSR names none.
///
/// # Errors
/// [`Error::Malformed`] if it names two, or in a form that cannot be read.
pub fn protection(csr: &Csr) -> Result<Option<Protection>, Error> {
    let symmetric = identifier(csr, oid::DECRYPT_KEY_IDENTIFIER)?;
    let asymmetric = identifier(csr, oid::ASYMMETRIC_DECRYPT_KEY_IDENTIFIER)?;
    match (symmetric, asymmetric) {
        (Some(_), Some(_)) => Err(malformed("one of each kind")),
        (Some(id), None) => Ok(Some(Protection::Symmetric(id))),
        (None, Some(id)) => Ok(Some(Protection::Asymmetric(id))),
        (None, None) => Ok(None),
    }
}

fn identifier(csr: &Csr, kind: ObjectIdentifier) -> Result<Option<Vec<u8>>, Error> {
    let Some(values) = csr.attribute(kind)? else { return Ok(None) };
    let id = <&OctetStringRef>::from_der(values).map_err(malformed)?.as_bytes();
    if id.is_empty() || id.len() > 1024 {
        return Err(malformed(format!("{} bytes", id.len())));
    }
    Ok(Some(id.to_vec()))
}

fn malformed(seen: impl std::fmt::Display) -> Error {
    Error::Malformed(Rejection::of(
        Code::KeygenIdentifier,
        seen,
        "DecryptKeyIdentifier or AsymmetricDecryptKeyIdentifier with one value",
    ))
}

/// Requests in a CSR that the new key is encrypted to the key of `with`, with the algorithms of
/// [`super::decrypt`], the strongest first.
///
/// # Errors
/// [`CsrError::Der`] if the identifier cannot be written, [`CsrError::Key`] if nothing can be
/// encrypted to a key of this kind.
pub fn ask_for_encryption(
    builder: CsrBuilder,
    with: Decryption<'_>,
) -> Result<CsrBuilder, CsrError> {
    let (attribute, id, ways) = match with {
        Decryption::Symmetric { id, key } => {
            let wrap = Aes::of_key(key.len())
                .ok_or_else(|| KeyError::Unsupported(format!("AES with {} bytes", key.len())))?;
            (oid::DECRYPT_KEY_IDENTIFIER, id.to_vec(), vec![wrap.wrap_identifier()])
        }
        Decryption::Certificate { certificate, key } => {
            let ways = match key.kind() {
                KeyKind::Rsa(_) => vec![Transport::oaep_sha256().map_err(not_der)?],
                kind @ (KeyKind::P256 | KeyKind::P384 | KeyKind::P521) => {
                    vec![Agreement::identifier_for(kind).map_err(not_der)?]
                }
                KeyKind::Ed25519 => {
                    return Err(KeyError::Unsupported("Ed25519, to decrypt with".to_owned()).into());
                }
            };
            (oid::ASYMMETRIC_DECRYPT_KEY_IDENTIFIER, certificate.key_identifier(), ways)
        }
    };
    let ciphers = Aes::ALL
        .into_iter()
        .rev()
        .map(|aes| AlgorithmIdentifierOwned { oid: aes.cbc(), parameters: None });
    let capabilities: Vec<_> = ways.into_iter().chain(ciphers).collect();
    let id = OctetStringRef::new(&id).and_then(|id| id.to_der()).map_err(not_der)?;
    builder
        .attribute(attribute, &id)?
        .attribute(oid::SMIME_CAPABILITIES, &capabilities.to_der().map_err(not_der)?)
}

fn not_der(source: der::Error) -> CsrError {
    CsrError::Der { what: "an attribute", source }
}

/// Returns the kind of key that a SubjectPublicKeyInfo (DER) requests by its algorithm, limited to
/// `accepted` (D-12).
///
/// The key in it is ignored (RFC 7030 §4.4.1), except for the size of an RSA key. The result is the
/// smallest supported size that is at least the size of this key and of the smallest RSA key in
/// `accepted`.
///
/// # Errors
/// [`Error::Malformed`] if it is not a SubjectPublicKeyInfo; [`Error::Unacceptable`] if the server does
/// not generate such keys.
pub fn wanted_kind(spki: &[u8], accepted: &[KeyKind]) -> Result<KeyKind, Error> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki).map_err(|rejection| {
        Error::Malformed(Rejection::of(
            Code::CsrKeyForm,
            rejection,
            "a CSR such as openssl req -new -outform DER writes",
        ))
    })?;
    let reject = |seen: String| {
        let made: Vec<String> = accepted.iter().map(ToString::to_string).collect();
        Error::Unacceptable(Rejection::of(Code::KeygenKeyKind, seen, made.join(", ")))
    };
    let kind = match spki.algorithm.oid {
        oid::RSA => {
            let least = accepted
                .iter()
                .filter_map(|kind| if let KeyKind::Rsa(bits) = kind { Some(*bits) } else { None })
                .min()
                .ok_or_else(|| reject("rsa".to_owned()))?;
            let asked = spki
                .subject_public_key
                .as_bytes()
                .and_then(|bits| RsaPublicKey::<UintRef<'_>>::from_der(bits).ok())
                .map_or(0, |key| key.modulus.as_bytes().len() * 8);
            [2048u16, 3072, 4096]
                .into_iter()
                .find(|bits| *bits >= least && usize::from(*bits) >= asked)
                .map(KeyKind::Rsa)
                .ok_or_else(|| reject(format!("rsa-{asked}")))?
        }
        oid::ED25519 => KeyKind::Ed25519,
        oid::EC_PUBLIC_KEY => match spki.algorithm.parameters_oid() {
            Ok(oid::P256) => KeyKind::P256,
            Ok(oid::P384) => KeyKind::P384,
            Ok(oid::P521) => KeyKind::P521,
            Ok(other) => return Err(reject(described(other))),
            Err(_) => return Err(reject("an elliptic curve that is not named".to_owned())),
        },
        other => return Err(reject(described(other))),
    };
    if matches!(kind, KeyKind::Rsa(_)) || accepted.contains(&kind) {
        Ok(kind)
    } else {
        Err(reject(kind.to_string()))
    }
}
