//! Public keys that a certificate may hold.

use super::{Error, algorithm, oid, weak_key};
use crate::types::{Code, KeyKind, Rejection};
use aws_lc_rs::{
    digest,
    signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm},
};
use der::{
    Decode,
    asn1::{AnyRef, BitStringRef, UintRef},
};
use rsa::pkcs1::RsaPublicKey;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

const KEYS: &str = "an RSA key of 2048 to 4096 bits, or one on P-256, P-384, P-521 or Ed25519";

/// A public key of a kind and strength that this server certifies. A profile may accept less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    bits: Vec<u8>,
    spki: Vec<u8>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (DER) and checks kind, size and exponent. Whether a point is on its
    /// curve is left to `verify`, or `check_point` if there is no signature; whether an
    /// RSA modulus is weak, to [`Self::check_strength`].
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no SubjectPublicKeyInfo, [`Error::Unacceptable`] if no
    /// certificate may have such a key.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|rejection| {
            Error::Malformed(Rejection::of(Code::CsrKeyForm, rejection, KEYS))
        })?;
        let bits = spki.subject_public_key.as_bytes().unwrap_or_default();
        let kind = match spki.algorithm.oid {
            oid::RSA => rsa(&spki.algorithm, bits)?,
            oid::EC_PUBLIC_KEY => ec(&spki.algorithm, bits)?,
            oid::ED25519 if spki.algorithm.parameters.is_none() && bits.len() == 32 => {
                weak_key::ed25519(bits).map_or(Ok(KeyKind::Ed25519), |weak| {
                    Err(unacceptable(Code::CsrKeyWeak, weak))
                })?
            }
            other => return Err(unacceptable(Code::CsrKeyKind, algorithm::described(other))),
        };
        Ok(Self { kind, bits: bits.to_vec(), spki: der.to_vec() })
    }

    /// Returns the reason why anybody can sign for this SubjectPublicKeyInfo (DER): a point of small
    /// order. Needs no arithmetic. For the keys of certificates that others issued.
    #[must_use]
    pub fn signed_by_anybody(spki: &[u8]) -> Option<&'static str> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki).ok()?;
        if spki.algorithm.oid != oid::ED25519 {
            return None;
        }
        weak_key::ed25519(spki.subject_public_key.as_bytes()?)
    }

    /// A placeholder for a key of this kind that is not generated yet.
    pub(super) const fn to_be_made(kind: KeyKind) -> Self {
        Self { kind, bits: Vec::new(), spki: Vec::new() }
    }

    /// Its kind; for RSA with the size in bits.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The SubjectPublicKeyInfo as received, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        super::sha256(&self.spki)
    }

    /// The key identifier of RFC 5280 §4.2.1.2 method 1: SHA-1 over the key's bits. No security
    /// rests on it.
    #[must_use]
    pub fn identifier(&self) -> Vec<u8> {
        digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.bits).as_ref().to_vec()
    }

    /// Checks that the point is on its curve, as the verification of a signature would.
    ///
    /// # Errors
    /// [`Error::Unacceptable`].
    pub(super) fn check_point(&self) -> Result<(), Error> {
        let scheme: &'static dyn VerificationAlgorithm = match self.kind {
            KeyKind::Rsa(_) => &signature::RSA_PKCS1_2048_8192_SHA256,
            KeyKind::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            KeyKind::P384 => &signature::ECDSA_P384_SHA384_ASN1,
            KeyKind::P521 => &signature::ECDSA_P521_SHA512_ASN1,
            KeyKind::Ed25519 => &signature::ED25519,
        };
        ParsedPublicKey::new(scheme, &self.bits)
            .map(drop)
            .map_err(|_| no_point(format!("a key for {} that is not on its curve", self.kind)))
    }

    /// Checks that the private key cannot be computed from this one. An RSA key must not have a small
    /// factor, neighboring primes, a prime modulus or the ROCA fingerprint. The module
    /// `weak_key` names the source of each test. [`Self::parse`] has rejected the weak keys of
    /// Ed25519; there are none on the curves of NIST, whose order is prime.
    ///
    /// Takes milliseconds for RSA: call it where that blocks no other task.
    ///
    /// # Errors
    /// [`Error::Unacceptable`] with the code `csr.key-weak`.
    pub fn check_strength(&self) -> Result<(), Error> {
        let modulus = match self.kind {
            KeyKind::Rsa(_) => RsaPublicKey::<UintRef<'_>>::from_der(&self.bits),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => return Ok(()),
        };
        match modulus.map(|key| weak_key::rsa(key.modulus.as_bytes())) {
            Ok(None) => Ok(()),
            Ok(Some(weak)) => Err(unacceptable(Code::CsrKeyWeak, weak)),
            Err(defect) => Err(unacceptable(Code::CsrKeyForm, defect)),
        }
    }

    /// Verifies `signature` over `message` with this key.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the algorithm does not fit, [`Error::Unacceptable`] if the point is not
    /// on its curve, [`Error::ProofOfPossession`] if the signature does not verify.
    pub(super) fn verify(
        &self,
        identifier: &AlgorithmIdentifierRef<'_>,
        message: &[u8],
        signature: &BitStringRef<'_>,
    ) -> Result<(), Error> {
        let scheme = algorithm::verification(self.kind, identifier)?;
        UnparsedPublicKey::new(scheme, &self.bits)
            .verify(message, signature.as_bytes().unwrap_or_default())
            .map_err(|_| {
                // No signature verifies with such a key, and the client should learn why.
                if matches!(self.kind, KeyKind::P256 | KeyKind::P384 | KeyKind::P521)
                    && let Err(rejection) = self.check_point()
                {
                    return rejection;
                }
                Error::ProofOfPossession(Rejection::of(
                    Code::CsrProofOfPossession,
                    "a signature that does not verify",
                    "a CSR signed with the private key of its public key",
                ))
            })
    }
}

fn rsa(algorithm: &AlgorithmIdentifierRef<'_>, bits: &[u8]) -> Result<KeyKind, Error> {
    if !algorithm.parameters.is_some_and(AnyRef::is_null) {
        // A key has one form: it is copied to certificates unchanged and compared by its bytes.
        return Err(Error::Unacceptable(Rejection::of(
            Code::CsrKeyParameters,
            if algorithm.parameters.is_some() { "others" } else { "none" },
            "NULL",
        )));
    }
    let key = RsaPublicKey::<UintRef<'_>>::from_der(bits).map_err(|rejection| {
        Error::Malformed(Rejection::new(
            Code::CsrKeyForm,
            "an RSA key is modulus and exponent (RFC 8017 appendix A.1.1)",
            rejection,
            KEYS,
        ))
    })?;
    let modulus = key.modulus.as_bytes();
    let leading = modulus.first().map_or(8, |byte| byte.leading_zeros() as usize);
    let size = (modulus.len() * 8).saturating_sub(leading);
    let Some(size) = u16::try_from(size).ok().filter(|size| (2048..=4096).contains(size)) else {
        return Err(unacceptable(Code::CsrKeySize, format!("RSA with {size} bits")));
    };
    let exponent = key.public_exponent.as_bytes();
    let value = exponent.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte & 1 == 1);
    if exponent.len() > 4 || value < 65_537 || !odd(exponent) {
        return Err(Error::Unacceptable(Rejection::of(
            Code::CsrKeyExponent,
            if exponent.len() > 8 { "a longer one".to_owned() } else { value.to_string() },
            "65537",
        )));
    }
    if !odd(modulus) {
        return Err(unacceptable(Code::CsrKeyWeak, "RSA with an even modulus"));
    }
    Ok(KeyKind::Rsa(size))
}

fn ec(algorithm: &AlgorithmIdentifierRef<'_>, bits: &[u8]) -> Result<KeyKind, Error> {
    let curve = algorithm
        .parameters_oid()
        .map_err(|_| unacceptable(Code::CsrKeyCurve, "an elliptic curve that is not named"))?;
    let (kind, length) = match curve {
        oid::P256 => (KeyKind::P256, 65),
        oid::P384 => (KeyKind::P384, 97),
        oid::P521 => (KeyKind::P521, 133),
        other => return Err(unacceptable(Code::CsrKeyCurve, algorithm::described(other))),
    };
    if bits.len() != length || bits.first() != Some(&4) {
        return Err(no_point(format!("{} bytes for {kind}", bits.len())));
    }
    Ok(kind)
}

fn no_point(got: String) -> Error {
    Error::Unacceptable(Rejection::of(Code::CsrKeyPoint, got, "an uncompressed point"))
}

fn unacceptable(code: Code, seen: impl std::fmt::Display) -> Error {
    Error::Unacceptable(Rejection::new(
        code,
        "the key is of a kind and strength that is certified",
        seen,
        KEYS,
    ))
}
