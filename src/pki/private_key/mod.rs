//! Private keys held in memory, by aws-lc-rs.

mod file;

use super::algorithm::signature_identifier;
use crate::types::{Digest, KeyKind};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING,
    ECDSA_P521_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RsaKeyPair, RsaSignatureEncoding,
};
use der::{Encode, asn1::Any};
use spki::AlgorithmIdentifierOwned;
use std::fmt;

/// The error of a private key that cannot be generated, read, written or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No PEM block that holds a private key.
    #[error("no private key in PEM form (PRIVATE KEY, ENCRYPTED PRIVATE KEY, EC or RSA)")]
    NoPem,
    /// The bytes are no private key that can be used.
    #[error("the private key cannot be read: {0}")]
    Malformed(String),
    /// A kind of key outside [`KeyKind`].
    #[error(
        "unsupported private key: {0}; supported: rsa-2048 to rsa-4096, P-256, P-384, P-521, Ed25519"
    )]
    Unsupported(String),
    /// The file is encrypted and the passphrase is missing.
    #[error("the private key is encrypted and no passphrase was given")]
    PassphraseNeeded,
    /// Decryption failed.
    #[error("the private key cannot be decrypted: wrong passphrase, or not PBES2")]
    WrongPassphrase,
    /// OpenSSL's own encryption of PKCS#1 and SEC 1 keys.
    #[error(
        "the private key is encrypted in OpenSSL's old form; convert it with \"openssl pkcs8 -topk8\""
    )]
    LegacyEncryption,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
}

/// A private key and what signs with it. Signing costs only the signature: nothing is parsed
/// again.
pub struct PrivateKey {
    kind: KeyKind,
    pair: AnyKeyPair,
    random: SystemRandom,
}

enum AnyKeyPair {
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// Shows the kind only.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.kind)
    }
}

impl PrivateKey {
    fn new(kind: KeyKind, pair: AnyKeyPair) -> Self {
        Self { kind, pair, random: SystemRandom::new() }
    }

    /// Generates a key. RSA takes up to seconds: not on a runtime's worker.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for RSA of other than 2048, 3072 or 4096 bits,
    /// [`KeyError::Library`] if the random number generator fails.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Library("generate a key");
        let pair = match kind {
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(KeyError::Unsupported(kind.to_string())),
                };
                AnyKeyPair::Rsa(RsaKeyPair::generate(size).map_err(failed)?)
            }
            KeyKind::Ed25519 => AnyKeyPair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => {
                AnyKeyPair::Ec(EcdsaKeyPair::generate(ecdsa(kind)?).map_err(failed)?)
            }
        };
        Ok(Self::new(kind, pair))
    }

    /// The kind of key.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn public_key_spki_der(&self) -> Result<Vec<u8>, KeyError> {
        let spki: Result<PublicKeyX509Der<'static>, _> = match &self.pair {
            AnyKeyPair::Ec(pair) => pair.public_key().as_der(),
            AnyKeyPair::Ed25519(pair) => pair.public_key().as_der(),
            AnyKeyPair::Rsa(pair) => pair.public_key().as_der(),
        };
        Ok(spki.map_err(|_| KeyError::Library("serialize a public key"))?.as_ref().to_vec())
    }

    /// The AlgorithmIdentifier of this key's signatures, DER. It is part of the structure before
    /// that is signed.
    #[must_use]
    pub const fn signature_algorithm_der(&self) -> &'static [u8] {
        signature_identifier(self.kind)
    }

    /// Signs `message`; returns the signature as X.509 carries it and
    /// [`PrivateKey::signature_algorithm_der`]. ECDSA hashes with SHA-256, 384 or 512 by curve,
    /// RSA is PKCS#1 v1.5 with SHA-256.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn sign(&self, message: &[u8]) -> Result<(Vec<u8>, &'static [u8]), KeyError> {
        let failed = |_| KeyError::Library("sign");
        let signature = match &self.pair {
            AnyKeyPair::Ec(pair) => {
                pair.sign(&self.random, message).map_err(failed)?.as_ref().to_vec()
            }
            AnyKeyPair::Ed25519(pair) => pair.try_sign(message).map_err(failed)?.as_ref().to_vec(),
            AnyKeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
                    .map_err(failed)?;
                signature
            }
        };
        Ok((signature, self.signature_algorithm_der()))
    }

    /// Signs `message` with this hash function, where the library can (for a CSR, if a server
    /// insists); otherwise as [`PrivateKey::sign`]. Ed25519 has its own hash function.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] if a key of this kind does not sign with it;
    /// [`KeyError::Library`].
    pub fn sign_with(
        &self,
        message: &[u8],
        digest: Digest,
    ) -> Result<(Vec<u8>, Vec<u8>), KeyError> {
        let unsupported = || KeyError::Unsupported(format!("{} with {digest}", self.kind));
        let signature = match &self.pair {
            AnyKeyPair::Ed25519(_) => self.sign(message)?.0,
            AnyKeyPair::Rsa(pair) => {
                let encoding: &RsaSignatureEncoding = match digest {
                    Digest::Sha256 => &RSA_PKCS1_SHA256,
                    Digest::Sha384 => &RSA_PKCS1_SHA384,
                    Digest::Sha512 => &RSA_PKCS1_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &self.random, message, &mut signature)
                    .map_err(|_| KeyError::Library("sign"))?;
                signature
            }
            AnyKeyPair::Ec(_) => {
                let algorithm = ecdsa_with(self.kind, digest).ok_or_else(unsupported)?;
                let der = self.to_pkcs8_der()?;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der).map_err(rejected)?;
                let signature = pair.sign(&self.random, message);
                signature.map_err(|_| KeyError::Library("sign"))?.as_ref().to_vec()
            }
        };
        let parameters = matches!(self.pair, AnyKeyPair::Rsa(_)).then(Any::null);
        let oid = super::algorithm::signature(self.kind, digest);
        let identifier = AlgorithmIdentifierOwned { oid, parameters }.to_der();
        Ok((signature, identifier.map_err(|_| KeyError::Library("encode an algorithm"))?))
    }
}

/// Whether a key of this kind signs with this hash function.
pub(super) fn signs_with(kind: KeyKind, digest: Digest) -> bool {
    !kind.is_ec() || ecdsa_with(kind, digest).is_some()
}

/// The library has one hash function for each curve, but for P-521.
fn ecdsa_with(kind: KeyKind, digest: Digest) -> Option<&'static EcdsaSigningAlgorithm> {
    match (kind, digest) {
        (KeyKind::P256, Digest::Sha256) => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        (KeyKind::P384, Digest::Sha384) => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        (KeyKind::P521, Digest::Sha256) => Some(&ECDSA_P521_SHA256_ASN1_SIGNING),
        (KeyKind::P521, Digest::Sha384) => Some(&ECDSA_P521_SHA384_ASN1_SIGNING),
        (KeyKind::P521, Digest::Sha512) => Some(&ECDSA_P521_SHA512_ASN1_SIGNING),
        _ => None,
    }
}

fn ecdsa(kind: KeyKind) -> Result<&'static EcdsaSigningAlgorithm, KeyError> {
    match kind {
        KeyKind::P256 => Ok(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyKind::P384 => Ok(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyKind::P521 => Ok(&ECDSA_P521_SHA512_ASN1_SIGNING),
        KeyKind::Rsa(_) | KeyKind::Ed25519 => Err(KeyError::Unsupported(kind.to_string())),
    }
}

fn rejected(reason: aws_lc_rs::error::KeyRejected) -> KeyError {
    KeyError::Malformed(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    pub(super) fn openssl(folder: &std::path::Path, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .output()
            .expect("the tests need the openssl command");
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    #[test]
    fn is_shared_between_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<PrivateKey>();
    }

    #[test]
    fn openssl_accepts_the_signatures() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("message"), b"message").unwrap();
        for (kind, hash) in [
            (KeyKind::Rsa(2048), "-sha256"),
            (KeyKind::P256, "-sha256"),
            (KeyKind::P384, "-sha384"),
            (KeyKind::P521, "-sha512"),
        ] {
            let key = PrivateKey::generate(kind).unwrap();
            let (signature, algorithm) = key.sign(b"message").unwrap();
            assert_eq!(algorithm, key.signature_algorithm_der());
            std::fs::write(folder.path().join("key.pem"), key.to_pem(None).unwrap()).unwrap();
            std::fs::write(folder.path().join("signature"), signature).unwrap();
            openssl(
                folder.path(),
                &["dgst", hash, "-prverify", "key.pem", "-signature", "signature", "message"],
            );
        }
    }
}
