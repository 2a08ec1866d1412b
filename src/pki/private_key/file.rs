//! Private keys as files: PEM around PKCS#8, SEC 1 and PKCS#1.
//!
//! Reads PKCS#8 (RFC 5958), clear or encrypted by PBES2 (RFC 8018 §6.2), SEC 1 `EC PRIVATE KEY`
//! (RFC 5915) and PKCS#1 `RSA PRIVATE KEY` (RFC 8017). Writes PKCS#8 version 1 only, because OpenSSL
//! 3.0 and Java do not read the version 2 of Ed25519 keys. Encrypts with PBKDF2 and AES-256-CBC,
//! because GnuTLS and Java do not read scrypt.

use super::{AnyKeyPair, KeyError, PrivateKey, ecdsa, rejected};
use crate::{
    pki::pem::{self, PemError},
    types::KeyKind,
};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use const_oid::{
    ObjectIdentifier,
    db::{rfc5912, rfc8410},
};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, pkcs5::pbes2};
use zeroize::Zeroizing;

/// Rounds of PBKDF2-HMAC-SHA-256, as OWASP recommends.
const PBKDF2_ROUNDS: u32 = 600_000;

/// The labels of private keys.
const LABELS: [&str; 4] =
    ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];

impl From<PemError> for KeyError {
    fn from(error: PemError) -> Self {
        match error {
            PemError::Missing(_) | PemError::OtherKind { .. } => Self::NoPem,
            PemError::HeaderFields(_) => Self::LegacyEncryption,
            PemError::Several(_) | PemError::Unclosed(_) | PemError::Base64(_) => {
                Self::Malformed(error.to_string())
            }
        }
    }
}

impl PrivateKey {
    /// Reads the first private key of a PEM file. Other blocks (`EC PARAMETERS`, certificates) and
    /// text around them are ignored.
    ///
    /// # Errors
    /// [`KeyError`] names the cause: form, passphrase or kind of key.
    pub fn from_pem(pem: impl AsRef<[u8]>, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let block = pem::blocks(pem.as_ref()).find(|block| LABELS.contains(&block.label));
        let block = block.ok_or(KeyError::NoPem)?;
        let der = block.decode()?;
        match block.label {
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
            return Ok(Self::new(KeyKind::Ed25519, AnyKeyPair::Ed25519(pair)));
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
        Ok(Self::new(kind, AnyKeyPair::Ec(pair)))
    }

    /// The curve is the one that the key fits: the library checks it.
    fn from_sec1_der(der: &[u8]) -> Result<Self, KeyError> {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(ecdsa(kind)?, der) {
                return Ok(Self::new(kind, AnyKeyPair::Ec(pair)));
            }
        }
        Err(KeyError::Unsupported("an EC key on no curve that is known, or damaged".to_owned()))
    }

    fn from_rsa(pair: RsaKeyPair) -> Result<Self, KeyError> {
        let bits = pair.public_modulus_len().saturating_mul(8);
        match u16::try_from(bits) {
            Ok(bits @ 2048..=4096) => Ok(Self::new(KeyKind::Rsa(bits), AnyKeyPair::Rsa(pair))),
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
            AnyKeyPair::Ec(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            AnyKeyPair::Ed25519(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            AnyKeyPair::Rsa(pair) => {
                let der: Pkcs8V1Der<'static> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
        }))
    }

    /// Writes PKCS#8 as PEM, encrypted with PBES2 if it receives a passphrase. An encrypted one
    /// takes 600,000 rounds of PBKDF2: not on a runtime's worker.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn to_pem(&self, passphrase: Option<&str>) -> Result<Zeroizing<String>, KeyError> {
        let der = self.to_pkcs8_der()?;
        let Some(passphrase) = passphrase else {
            return Ok(pem::encode_block("PRIVATE KEY", &der));
        };
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
        Ok(pem::encode_block("ENCRYPTED PRIVATE KEY", encrypted.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::openssl, *};

    const KINDS: [KeyKind; 5] =
        [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];

    #[test]
    fn openssl_reads_written_keys_with_the_same_public_key() {
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
    fn reads_keys_of_openssl() {
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
    fn names_unreadable_contents() {
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
}
