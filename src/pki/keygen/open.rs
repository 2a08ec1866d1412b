//! The device's end: decrypts the output of [`super::EnvelopePlan::seal`], or of another server.

use super::{
    SealError,
    algorithms::{Aes, Agreement, Transport, ecdh, shared_info, x963_kdf},
    der_rejection,
};
use crate::{
    pki::{Certificate, PrivateKey, oid},
    types::KeyKind,
};
use aws_lc_rs::{
    agreement::{self, UnparsedPublicKey},
    cipher::{DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    key_wrap::{AesKek, KeyWrap},
    rsa::{OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey},
};
use cms::{
    content_info::ContentInfo,
    enveloped_data::{
        EnvelopedData, KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo,
        OriginatorIdentifierOrKey, RecipientIdentifier, RecipientInfo,
    },
};
use der::{Decode, Encode, asn1::OctetString};
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

/// The decrypting key.
#[derive(Clone, Copy, Debug)]
pub enum Decryption<'a> {
    /// A symmetric key.
    Symmetric {
        /// Its identifier.
        id: &'a [u8],
        /// The key.
        key: &'a [u8],
    },
    /// A private key and the certificate with its public half.
    Certificate {
        /// The certificate.
        certificate: &'a Certificate,
        /// Its key.
        key: &'a PrivateKey,
    },
}

/// Decrypts a ContentInfo with EnvelopedData around SignedData, and returns the SignedData (DER).
/// Some servers wrap that in a ContentInfo, too, which is removed.
///
/// # Errors
/// [`SealError`] if it is something else, is not for this key, or is damaged. Errors
/// inside the decryption are not distinguished.
pub fn decrypt(message: &[u8], with: Decryption<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let invalid = |why: String| SealError::Invalid(format!("the encrypted key: {why}"));
    let rejection = der_rejection("the encrypted key");
    let info = ContentInfo::from_der(message).map_err(&rejection)?;
    if info.content_type != oid::ENVELOPED_DATA {
        return Err(invalid(format!("it is no EnvelopedData but {}", info.content_type)));
    }
    let enveloped: EnvelopedData = info.content.decode_as().map_err(&rejection)?;
    let encrypted = enveloped.encrypted_content;
    if encrypted.content_type != oid::SIGNED_DATA {
        return Err(invalid(format!("it holds no SignedData but {}", encrypted.content_type)));
    }
    let cipher = Aes::ALL
        .into_iter()
        .find(|aes| aes.cbc() == encrypted.content_enc_alg.oid)
        .ok_or_else(|| invalid(format!("its cipher is {}", encrypted.content_enc_alg.oid)))?;
    let iv: OctetString = encrypted
        .content_enc_alg
        .parameters
        .and_then(|parameters| parameters.decode_as().ok())
        .ok_or_else(|| invalid("its cipher has no initialization vector".to_owned()))?;
    let iv: [u8; 16] = iv
        .as_bytes()
        .try_into()
        .map_err(|_| invalid("its initialization vector is not of 16 bytes".to_owned()))?;
    let ciphertext =
        encrypted.encrypted_content.ok_or_else(|| invalid("it holds nothing".to_owned()))?;

    let content_key = enveloped
        .recip_infos
        .0
        .iter()
        .find_map(|recipient| content_key(recipient, with).transpose())
        .ok_or_else(|| invalid("it is not for the key given".to_owned()))??;
    let failed = |_| SealError::Library("decrypt the key");
    let key = UnboundCipherKey::new(cipher.cipher(), &content_key)
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .map_err(failed)?;
    let mut bytes = Zeroizing::new(ciphertext.as_bytes().to_vec());
    let length =
        key.decrypt(&mut bytes, DecryptionContext::Iv128(iv.into())).map_err(failed)?.len();
    bytes.truncate(length);
    match ContentInfo::from_der(&bytes) {
        Ok(wrapped) if wrapped.content_type == oid::SIGNED_DATA => {
            wrapped.content.to_der().map(Zeroizing::new).map_err(rejection)
        }
        _ => Ok(bytes),
    }
}

/// The content key, if this recipient is who `with` is.
fn content_key(
    recipient: &RecipientInfo,
    with: Decryption<'_>,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    match (recipient, with) {
        (RecipientInfo::Kekri(info), Decryption::Symmetric { id, key }) => {
            if info.kek_id.kek_identifier.as_bytes() != id {
                return Ok(None);
            }
            let wrap = wrap_of(&info.key_enc_alg)?;
            unwrap_key(wrap, key, info.encrypted_key.as_bytes()).map(Some)
        }
        (RecipientInfo::Ktri(info), Decryption::Certificate { certificate, key }) => {
            transported(info, certificate, key)
        }
        (RecipientInfo::Kari(info), Decryption::Certificate { certificate, key }) => {
            agreed(info, certificate, key)
        }
        _ => Ok(None),
    }
}

fn transported(
    info: &KeyTransRecipientInfo,
    certificate: &Certificate,
    key: &PrivateKey,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    let ours = match &info.rid {
        RecipientIdentifier::SubjectKeyIdentifier(id) => is_key(id.0.as_bytes(), certificate),
        RecipientIdentifier::IssuerAndSerialNumber(id) => {
            is_certificate(&id.issuer, id.serial_number.as_bytes(), certificate)
        }
    };
    if !ours {
        return Ok(None);
    }
    let transport =
        Transport::by_identifier(&info.key_enc_alg).ok_or_else(|| unknown(&info.key_enc_alg))?;
    let failed = |_| SealError::Library("decrypt the content key");
    let pkcs8 = key.to_pkcs8_der().map_err(|_| SealError::Library("use the key"))?;
    let private = PrivateDecryptingKey::from_pkcs8(&pkcs8)
        .map_err(|_| SealError::Invalid("the decrypting key is no RSA key".to_owned()))?;
    let mut clear = Zeroizing::new(vec![0; private.key_size_bytes()]);
    let encrypted = info.enc_key.as_bytes();
    let length = match transport {
        Transport::Oaep(hash) => OaepPrivateDecryptingKey::new(private)
            .and_then(|private| {
                private.decrypt(hash.oaep(), encrypted, &mut clear, None).map(|bytes| bytes.len())
            })
            .map_err(failed)?,
        Transport::Pkcs1 => Pkcs1PrivateDecryptingKey::new(private)
            .and_then(|private| private.decrypt(encrypted, &mut clear).map(|bytes| bytes.len()))
            .map_err(failed)?,
    };
    clear.truncate(length);
    Ok(Some(clear))
}

fn agreed(
    info: &KeyAgreeRecipientInfo,
    certificate: &Certificate,
    key: &PrivateKey,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    let ours = info.recipient_enc_keys.iter().find(|each| match &each.rid {
        KeyAgreeRecipientIdentifier::RKeyId(id) => {
            is_key(id.subject_key_identifier.0.as_bytes(), certificate)
        }
        KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(id) => {
            is_certificate(&id.issuer, id.serial_number.as_bytes(), certificate)
        }
    });
    let Some(ours) = ours else { return Ok(None) };
    let scheme =
        Agreement::by_oid(info.key_enc_alg.oid).ok_or_else(|| unknown(&info.key_enc_alg))?;
    let wrap: AlgorithmIdentifierOwned = info
        .key_enc_alg
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.decode_as().ok())
        .ok_or_else(|| unknown(&info.key_enc_alg))?;
    let wrap = wrap_of(&wrap)?;
    let OriginatorIdentifierOrKey::OriginatorKey(originator) = &info.originator else {
        return Err(SealError::Invalid("the encrypted key: its sender names no key".to_owned()));
    };
    if info.ukm.is_some() {
        return Err(SealError::Invalid(
            "the encrypted key: keying material of the sender's is not supported".to_owned(),
        ));
    }
    let kind = key.kind();
    let algorithm = match kind {
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => ecdh(kind),
        KeyKind::Rsa(_) | KeyKind::Ed25519 => None,
    }
    .ok_or_else(|| SealError::Invalid("the decrypting key is no EC key".to_owned()))?;
    let pkcs8 = key.to_pkcs8_der().map_err(|_| SealError::Library("use the key"))?;
    let private = agreement::PrivateKey::from_private_key_der(algorithm, &pkcs8)
        .map_err(|_| SealError::Library("use the key"))?;
    let public = originator.public_key.as_bytes().unwrap_or_default();
    let info = shared_info(wrap).map_err(der_rejection("the KDF's input"))?;
    agreement::agree(
        &private,
        UnparsedPublicKey::new(algorithm, public),
        SealError::Library("agree on a key"),
        |secret| {
            let mut kek = Zeroizing::new(vec![0; wrap.bytes()]);
            x963_kdf(scheme.0, secret, &info, &mut kek);
            unwrap_key(wrap, &kek, ours.enc_key.as_bytes()).map(Some)
        },
    )
}

fn is_key(id: &[u8], certificate: &Certificate) -> bool {
    certificate.subject_key_identifier() == Some(id)
}

fn is_certificate(
    issuer: &x509_cert::name::Name,
    serial: &[u8],
    certificate: &Certificate,
) -> bool {
    let significant =
        |bytes: &[u8]| bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
    significant(serial) == significant(certificate.serial().as_bytes())
        && issuer.to_der().is_ok_and(|issuer| issuer == certificate.issuer().der())
}

fn wrap_of(identifier: &AlgorithmIdentifierOwned) -> Result<Aes, SealError> {
    Aes::by_wrap(identifier).ok_or_else(|| unknown(identifier))
}

fn unknown(identifier: &AlgorithmIdentifierOwned) -> SealError {
    let name = crate::pki::algorithm::described(identifier.oid);
    SealError::Invalid(format!("the encrypted key: {name} is not supported"))
}

fn unwrap_key(wrap: Aes, kek: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let failed = |_| SealError::Library("unwrap the content key");
    let mut key = Zeroizing::new(vec![0; wrapped.len()]);
    let length = AesKek::new(wrap.wrapper(), kek)
        .and_then(|kek| kek.unwrap(wrapped, &mut key).map(|bytes| bytes.len()))
        .map_err(failed)?;
    key.truncate(length);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pki::{
            Csr, CsrBuilder,
            keygen::{
                Capabilities, EnvelopePlan, KeygenSigner, Recipient, ask_for_encryption,
                key_of_package, key_package, protection, sign, verify,
            },
        },
        types::Time,
    };
    use std::process::Command;

    /// A self-signed certificate of openssl's for a key of this kind.
    fn certified(kind: KeyKind) -> (Certificate, PrivateKey) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = PrivateKey::generate(kind).unwrap();
        std::fs::write(&path, key.to_pem(None).unwrap()).unwrap();
        let output = Command::new("openssl")
            .args(["req", "-x509", "-subj", "/CN=x", "-days", "9000", "-outform", "DER", "-key"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (Certificate::parse(&output.stdout).unwrap(), key)
    }

    /// How a key is sent from the server to the device, and its form.
    struct Way {
        signer: Certificate,
        package: Zeroizing<Vec<u8>>,
        signed: Zeroizing<Vec<u8>>,
        sealed: Vec<u8>,
    }

    /// Asks as the device does, and answers as the server does.
    fn travel(made: KeyKind, with: Decryption<'_>) -> Way {
        let (certificate, signing_key) = certified(KeyKind::P256);
        let request = ask_for_encryption(CsrBuilder::new().subject("CN=d").unwrap(), with).unwrap();
        let csr = request.build(&PrivateKey::generate(made).unwrap()).unwrap();
        let csr = Csr::for_key_to_be_made(&csr, &[made]).unwrap();
        assert!(protection(&csr).unwrap().is_some());
        let capabilities = csr.attribute(oid::SMIME_CAPABILITIES).unwrap().unwrap();
        let capabilities = Capabilities::parse(capabilities).unwrap();
        let recipient = match with {
            Decryption::Symmetric { id, key } => Recipient::Symmetric { id, key },
            Decryption::Certificate { certificate, .. } => Recipient::Certificate(certificate),
        };
        let now = Time::from_unix(certificate.not_after().unix() - 86_400);
        let plan = EnvelopePlan::new(&recipient, &capabilities, csr.key().kind(), now).unwrap();
        let key = PrivateKey::generate(made).unwrap().to_pkcs8_der().unwrap();
        let package = key_package(&key).unwrap();
        let signer = KeygenSigner { key: &signing_key, certificate: &certificate, chain: &[] };
        let signed = sign(oid::KEY_PACKAGE, &package, signer).unwrap();
        let sealed = plan.seal(&signed).unwrap();
        Way { signer: certificate, package, signed, sealed }
    }

    #[test]
    fn the_device_opens_keys_encrypted_as_it_requested() {
        let (rsa, rsa_key) = certified(KeyKind::Rsa(2048));
        let mut decryptions = vec![
            Decryption::Symmetric { id: b"a", key: &[1; 16] },
            Decryption::Symmetric { id: b"b", key: &[2; 32] },
            Decryption::Certificate { certificate: &rsa, key: &rsa_key },
        ];
        let curves = [KeyKind::P256, KeyKind::P384, KeyKind::P521].map(certified);
        decryptions.extend(
            curves.iter().map(|(certificate, key)| Decryption::Certificate { certificate, key }),
        );
        for with in decryptions {
            let way = travel(KeyKind::P256, with);
            let signed = decrypt(&way.sealed, with).unwrap();
            assert_eq!(signed, way.signed);
            let (package, _) = verify(oid::KEY_PACKAGE, &signed).unwrap();
            assert_eq!(package, way.package);
            assert_eq!(key_of_package(&package).unwrap().kind(), KeyKind::P256);
        }
        let (certificate, key) = certified(KeyKind::Ed25519);
        let with = Decryption::Certificate { certificate: &certificate, key: &key };
        assert!(ask_for_encryption(CsrBuilder::new(), with).is_err());
    }

    #[test]
    fn nothing_that_was_altered_opens() {
        let with = Decryption::Symmetric { id: b"id", key: &[7; 32] };
        let way = travel(KeyKind::P256, with);
        for other in [
            Decryption::Symmetric { id: b"is", key: &[7; 32] },
            Decryption::Symmetric { id: b"id", key: &[8; 32] },
            Decryption::Symmetric { id: b"id", key: &[7; 16] },
        ] {
            assert!(decrypt(&way.sealed, other).is_err());
        }
        // The envelope is not authenticated; the signature inside is what holds.
        for at in 0..way.sealed.len() {
            let mut altered = way.sealed.clone();
            altered[at] ^= 1;
            let opened = decrypt(&altered, with);
            let verified = opened.and_then(|signed| verify(oid::KEY_PACKAGE, &signed));
            if let Ok((package, signer)) = verified {
                // A version number, or the signer's own certificate, which its signature does not
                // cover.
                assert_eq!(package, way.package, "byte {at}");
                assert_eq!(signer.spki(), way.signer.spki(), "byte {at}");
            }
        }
        for at in 0..way.signed.len() {
            let mut altered = way.signed.to_vec();
            altered[at] ^= 1;
            let Ok((package, signer)) = verify(oid::KEY_PACKAGE, &altered) else { continue };
            // As above. The trust in the certificate depends on all of its bytes.
            assert_eq!(package, way.package, "byte {at}");
            assert_eq!(signer.spki(), way.signer.spki(), "byte {at}");
        }
        assert!(verify(oid::DATA, &way.signed).is_err(), "another type");
        assert!(key_of_package(&way.package[1..]).is_err());
        let twice = [&way.package[..], &way.package[..]].concat();
        assert!(key_of_package(&twice).is_err());
    }

    /// OpenSSL's SignedData over the same content: RSA as rsaEncryption, by identifier, all hashes.
    #[test]
    fn reads_signatures_of_openssl() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("content"), b"0\x03\x02\x01\x00").unwrap();
        for (kind, hash, by_key) in [
            (KeyKind::Rsa(2048), "sha256", false),
            (KeyKind::Rsa(2048), "sha512", true),
            (KeyKind::P384, "sha384", true),
        ] {
            let (certificate, key) = certified(kind);
            std::fs::write(at("key"), key.to_pem(None).unwrap()).unwrap();
            std::fs::write(at("pem"), certificate.to_pem()).unwrap();
            let mut openssl = Command::new("openssl");
            openssl
                .args(["cms", "-sign", "-binary", "-nodetach", "-outform", "DER"])
                .args(["-econtent_type", "2.16.840.1.101.2.1.2.78.5", "-md", hash])
                .args(["-in", &at("content"), "-signer", &at("pem"), "-inkey", &at("key")]);
            if by_key {
                openssl.arg("-keyid");
            }
            let output = openssl.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let info = ContentInfo::from_der(&output.stdout).unwrap();
            let signed = info.content.to_der().unwrap();
            let (content, signer) = verify(oid::KEY_PACKAGE, &signed).unwrap();
            assert_eq!(content.as_slice(), b"0\x03\x02\x01\x00");
            assert_eq!(signer.tbs(), certificate.tbs());
        }
    }
}
