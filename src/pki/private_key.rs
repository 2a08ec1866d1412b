//! Private keys held in memory: made, read, written, and signed with, by aws-lc-rs.
//!
//! Read: PKCS#8 (RFC 5958), clear or encrypted by PBES2 (RFC 8018 §6.2), SEC 1 `EC PRIVATE KEY`
//! (RFC 5915) and PKCS#1 `RSA PRIVATE KEY` (RFC 8017). Written: PKCS#8 version 1 only, because
//! OpenSSL 3.0 and Java do not read the version 2 of Ed25519 keys; encrypted with PBKDF2 and
//! AES-256-CBC, because GnuTLS and Java do not read scrypt.

use super::algorithm::signature_identifier;
use crate::types::{Digest, KeyKind};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING,
    ECDSA_P521_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RsaKeyPair, RsaSignatureEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::{Encode, asn1::Any};
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use spki::AlgorithmIdentifierOwned;
use std::fmt;
use zeroize::Zeroizing;

/// Rounds of PBKDF2-HMAC-SHA-256: what OWASP asks for.
const PBKDF2_ROUNDS: u32 = 600_000;

/// Why a private key cannot be made, read, written or used.
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
    /// The file is encrypted and no passphrase was given.
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
    /// The cryptographic library refused.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
}

/// A private key and what signs with it. Signing costs only the signature: nothing is parsed
/// again.
pub struct PrivateKey {
    kind: KeyKind,
    pair: Pair,
    random: SystemRandom,
}

enum Pair {
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
    fn new(kind: KeyKind, pair: Pair) -> Self {
        Self { kind, pair, random: SystemRandom::new() }
    }

    /// Makes a new key. RSA takes up to seconds: not on a runtime's worker.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for RSA of other than 2048, 3072 or 4096 bits,
    /// [`KeyError::Library`] if there is no randomness.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Library("make a key");
        let pair = match kind {
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(KeyError::Unsupported(kind.to_string())),
                };
                Pair::Rsa(RsaKeyPair::generate(size).map_err(failed)?)
            }
            KeyKind::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => {
                Pair::Ec(EcdsaKeyPair::generate(ecdsa(kind)?).map_err(failed)?)
            }
        };
        Ok(Self::new(kind, pair))
    }

    /// Reads the first private key of a PEM file. Other blocks (`EC PARAMETERS`, certificates) and
    /// text around them are passed over.
    ///
    /// # Errors
    /// [`KeyError`] says whether the form, the passphrase or the kind of key is the trouble.
    pub fn from_pem(pem: impl AsRef<[u8]>, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let (label, der) = first_key_block(pem.as_ref())?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8_der(&der),
            "EC PRIVATE KEY" => Self::from_sec1_der(&der),
            "RSA PRIVATE KEY" => Self::from_rsa(RsaKeyPair::from_der(&der).map_err(rejected)?),
            _ => {
                let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
                let clear = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
                    .map_err(|error| KeyError::Malformed(error.to_string()))?
                    .decrypt(passphrase)
                    .map_err(|_| KeyError::WrongPassphrase)?;
                Self::from_pkcs8_der(clear.as_bytes())
            }
        }
    }

    /// Reads an unencrypted PKCS#8 structure, version 1 or 2.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] or [`KeyError::Unsupported`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfoRef::try_from(der)
            .map_err(|error| KeyError::Malformed(error.to_string()))?;
        let algorithm = info.algorithm.oid;
        if algorithm == rfc5912::RSA_ENCRYPTION {
            return Self::from_rsa(RsaKeyPair::from_pkcs8(der).map_err(rejected)?);
        }
        if algorithm == rfc8410::ID_ED_25519 {
            let pair = Ed25519KeyPair::from_pkcs8(der).map_err(rejected)?;
            return Ok(Self::new(KeyKind::Ed25519, Pair::Ed25519(pair)));
        }
        if algorithm != rfc5912::ID_EC_PUBLIC_KEY {
            return Err(KeyError::Unsupported(format!("algorithm {algorithm}")));
        }
        let curve: ObjectIdentifier = info
            .algorithm
            .parameters
            .and_then(|parameters| parameters.decode_as().ok())
            .ok_or_else(|| KeyError::Unsupported("an elliptic curve without a name".to_owned()))?;
        let kind = match curve {
            rfc5912::SECP_256_R_1 => KeyKind::P256,
            rfc5912::SECP_384_R_1 => KeyKind::P384,
            rfc5912::SECP_521_R_1 => KeyKind::P521,
            _ => return Err(KeyError::Unsupported(format!("elliptic curve {curve}"))),
        };
        let pair = EcdsaKeyPair::from_pkcs8(ecdsa(kind)?, der).map_err(rejected)?;
        Ok(Self::new(kind, Pair::Ec(pair)))
    }

    /// The curve is the one whose parameters the key fits: the library checks them.
    fn from_sec1_der(der: &[u8]) -> Result<Self, KeyError> {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(ecdsa(kind)?, der) {
                return Ok(Self::new(kind, Pair::Ec(pair)));
            }
        }
        Err(KeyError::Unsupported("an EC key on no curve that is known, or damaged".to_owned()))
    }

    fn from_rsa(pair: RsaKeyPair) -> Result<Self, KeyError> {
        let bits = pair.public_modulus_len().saturating_mul(8);
        match u16::try_from(bits) {
            Ok(bits @ 2048..=4096) => Ok(Self::new(KeyKind::Rsa(bits), Pair::Rsa(pair))),
            _ => Err(KeyError::Unsupported(format!("rsa-{bits}"))),
        }
    }

    /// Writes PKCS#8 version 1, unencrypted.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let failed = |_| KeyError::Library("serialize a private key");
        // The library's own buffers are overwritten when they are dropped.
        Ok(Zeroizing::new(match &self.pair {
            Pair::Ec(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'static> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
        }))
    }

    /// Writes PKCS#8 as PEM, encrypted by PBES2 if a passphrase is given. An encrypted one takes
    /// 600,000 rounds of PBKDF2: not on a runtime's worker.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<Zeroizing<String>, KeyError> {
        let der = self.to_pkcs8_der()?;
        let Some(passphrase) = passphrase else { return Ok(pem("PRIVATE KEY", &der)) };
        let mut salt = [0; 16];
        let mut iv = [0; 16];
        for random in [&mut salt, &mut iv] {
            aws_lc_rs::rand::fill(random)
                .map_err(|_| KeyError::Library("give randomness for a salt"))?;
        }
        let failed = |_| KeyError::Library("encrypt a private key");
        let scheme = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv)
            .map_err(failed)?;
        let encrypted = PrivateKeyInfoRef::try_from(der.as_slice())
            .map_err(|error| KeyError::Malformed(error.to_string()))?
            .encrypt_with_params(scheme, passphrase)
            .map_err(|_| KeyError::Library("encrypt a private key"))?;
        Ok(pem("ENCRYPTED PRIVATE KEY", encrypted.as_bytes()))
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
            Pair::Ec(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
        };
        Ok(spki.map_err(|_| KeyError::Library("serialize a public key"))?.as_ref().to_vec())
    }

    /// The AlgorithmIdentifier of the signatures this key makes, as DER: what goes into the
    /// structure before it is signed.
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
            Pair::Ec(pair) => pair.sign(&self.random, message).map_err(failed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.try_sign(message).map_err(failed)?.as_ref().to_vec(),
            Pair::Rsa(pair) => {
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
            Pair::Ed25519(_) => self.sign(message)?.0,
            Pair::Rsa(pair) => {
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
            Pair::Ec(_) => {
                let algorithm = ecdsa_with(self.kind, digest).ok_or_else(unsupported)?;
                let der = self.to_pkcs8_der()?;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der).map_err(rejected)?;
                let signature = pair.sign(&self.random, message);
                signature.map_err(|_| KeyError::Library("sign"))?.as_ref().to_vec()
            }
        };
        let parameters = matches!(self.pair, Pair::Rsa(_)).then(Any::null);
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

/// Finds the first block with the label of a private key and decodes it. More lenient than RFC
/// 7468 about line lengths and what stands around the blocks, as keys come from many tools.
fn first_key_block(pem: &[u8]) -> Result<(&'static str, Zeroizing<Vec<u8>>), KeyError> {
    const LABELS: [&str; 4] =
        ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];
    let text = std::str::from_utf8(pem).map_err(|_| KeyError::NoPem)?;
    let mut lines = text.lines().map(str::trim);
    let label = lines
        .by_ref()
        .find_map(|line| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            LABELS.into_iter().find(|known| *known == label)
        })
        .ok_or(KeyError::NoPem)?;
    let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
    let mut ended = false;
    for line in lines {
        if line.starts_with("-----END ") {
            ended = true;
            break;
        }
        if line.contains(':') {
            // RFC 1421 headers: only OpenSSL's old encryption writes them.
            return Err(KeyError::LegacyEncryption);
        }
        base64.extend(line.chars().filter(|character| !character.is_ascii_whitespace()));
    }
    if !ended {
        return Err(KeyError::Malformed("the PEM block has no end".to_owned()));
    }
    let der = STANDARD
        .decode(base64.as_bytes())
        .map_err(|error| KeyError::Malformed(format!("not base64: {error}")))?;
    Ok((label, Zeroizing::new(der)))
}

/// Writes PEM (RFC 7468) into one buffer that never grows, so that no copy stays behind.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(vec![0; der.len().div_ceil(3).saturating_mul(4)]);
    let length = STANDARD.encode_slice(der, &mut encoded).unwrap_or(0);
    let mut pem = Zeroizing::new(String::with_capacity(
        length.saturating_add(length.div_ceil(64)).saturating_add(2 * label.len() + 40),
    ));
    pem.push_str("-----BEGIN ");
    pem.push_str(label);
    pem.push_str("-----\n");
    for line in encoded.chunks(64) {
        pem.push_str(std::str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const KINDS: [KeyKind; 5] =
        [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];

    fn openssl(folder: &std::path::Path, arguments: &[&str]) -> Vec<u8> {
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
    fn openssl_reads_what_is_written_and_sees_the_same_public_key() {
        let folder = tempfile::tempdir().unwrap();
        for kind in KINDS {
            let key = PrivateKey::generate(kind).unwrap();
            assert_eq!(key.kind(), kind);
            let spki = key.public_key_spki_der().unwrap();
            let clear = key.to_pem(None).unwrap();
            std::fs::write(folder.path().join("key.pem"), clear.as_bytes()).unwrap();
            let pubkey =
                openssl(folder.path(), &["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"]);
            assert_eq!(pubkey, spki, "{kind}");
            let again = PrivateKey::from_pem(&*clear, None).unwrap();
            assert_eq!(again.public_key_spki_der().unwrap(), spki, "{kind}");
        }
    }

    #[test]
    fn an_encrypted_key_is_read_by_openssl_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let spki = key.public_key_spki_der().unwrap();
        let locked = key.to_pem(Some("correct horse")).unwrap();
        assert!(locked.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        std::fs::write(folder.path().join("key.pem"), locked.as_bytes()).unwrap();
        let pubkey = openssl(
            folder.path(),
            &[
                "pkey",
                "-in",
                "key.pem",
                "-passin",
                "pass:correct horse",
                "-pubout",
                "-outform",
                "DER",
            ],
        );
        assert_eq!(pubkey, spki);
        assert_eq!(
            PrivateKey::from_pem(&*locked, Some("correct horse"))
                .unwrap()
                .public_key_spki_der()
                .unwrap(),
            spki
        );
        assert_eq!(
            PrivateKey::from_pem(&*locked, Some("wrong")).unwrap_err(),
            KeyError::WrongPassphrase
        );
        assert_eq!(PrivateKey::from_pem(&*locked, None).unwrap_err(), KeyError::PassphraseNeeded);
    }

    #[test]
    fn reads_what_openssl_writes() {
        let folder = tempfile::tempdir().unwrap();
        let make = |arguments: &[&str]| {
            openssl(folder.path(), arguments);
            std::fs::read(folder.path().join("k.pem")).unwrap()
        };
        for (arguments, kind) in [
            (&["ecparam", "-name", "prime256v1", "-genkey", "-out", "k.pem"][..], KeyKind::P256),
            (&["ecparam", "-name", "secp384r1", "-genkey", "-out", "k.pem"], KeyKind::P384),
            (
                &["ecparam", "-name", "secp521r1", "-genkey", "-noout", "-out", "k.pem"],
                KeyKind::P521,
            ),
            (&["genrsa", "-traditional", "-out", "k.pem", "2048"], KeyKind::Rsa(2048)),
            (&["genpkey", "-algorithm", "ed25519", "-out", "k.pem"], KeyKind::Ed25519),
            (
                &[
                    "genpkey",
                    "-algorithm",
                    "rsa",
                    "-pkeyopt",
                    "rsa_keygen_bits:3072",
                    "-out",
                    "k.pem",
                ],
                KeyKind::Rsa(3072),
            ),
        ] {
            let key = PrivateKey::from_pem(make(arguments), None).unwrap();
            assert_eq!(key.kind(), kind, "{arguments:?}");
        }
        let locked = make(&[
            "genpkey",
            "-algorithm",
            "ed25519",
            "-aes256",
            "-pass",
            "pass:x",
            "-out",
            "k.pem",
        ]);
        assert!(PrivateKey::from_pem(locked, Some("x")).is_ok());
    }

    #[test]
    fn says_what_it_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let make = |arguments: &[&str]| {
            openssl(folder.path(), arguments);
            std::fs::read(folder.path().join("k.pem")).unwrap()
        };
        for arguments in [
            &["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "k.pem"]
                [..],
            &["ecparam", "-name", "secp224r1", "-genkey", "-out", "k.pem"],
            &["genpkey", "-algorithm", "x25519", "-out", "k.pem"],
        ] {
            let error = PrivateKey::from_pem(make(arguments), None).unwrap_err();
            assert!(
                matches!(error, KeyError::Unsupported(_) | KeyError::Malformed(_)),
                "{arguments:?}: {error}"
            );
        }
        let old = make(&[
            "genrsa",
            "-traditional",
            "-aes128",
            "-passout",
            "pass:x",
            "-out",
            "k.pem",
            "2048",
        ]);
        assert_eq!(PrivateKey::from_pem(old, Some("x")).unwrap_err(), KeyError::LegacyEncryption);
        assert_eq!(PrivateKey::from_pem("", None).unwrap_err(), KeyError::NoPem);
        assert!(matches!(
            PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nMEEC\n", None).unwrap_err(),
            KeyError::Malformed(_)
        ));
        assert_eq!(
            PrivateKey::generate(KeyKind::Rsa(1024)).unwrap_err(),
            KeyError::Unsupported("rsa-1024".to_owned())
        );
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
