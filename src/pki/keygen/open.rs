//! The device's end: decrypts what [`super::Plan::seal`], or another server, has made.

use super::{
    SealError,
    algorithms::{Aes, Agreement, Transport, ecdh, shared_info, x963_kdf},
    der_fault,
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

/// What decrypts.
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
/// Some servers put a ContentInfo around that, too: it is taken off.
///
/// # Errors
/// [`SealError`] if it is something else, is not for this key, or is damaged. What fails inside of
/// the decryption is not told apart.
pub fn decrypt(message: &[u8], with: Decryption<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let refused = |why: String| SealError::Refused(format!("the encrypted key: {why}"));
    let fault = der_fault("the encrypted key");
    let info = ContentInfo::from_der(message).map_err(&fault)?;
    if info.content_type != oid::ENVELOPED_DATA {
        return Err(refused(format!("it is no EnvelopedData but {}", info.content_type)));
    }
    let enveloped: EnvelopedData = info.content.decode_as().map_err(&fault)?;
    let encrypted = enveloped.encrypted_content;
    if encrypted.content_type != oid::SIGNED_DATA {
        return Err(refused(format!("it holds no SignedData but {}", encrypted.content_type)));
    }
    let cipher = Aes::ALL
        .into_iter()
        .find(|aes| aes.cbc() == encrypted.content_enc_alg.oid)
        .ok_or_else(|| refused(format!("its cipher is {}", encrypted.content_enc_alg.oid)))?;
    let iv: OctetString = encrypted
        .content_enc_alg
        .parameters
        .and_then(|parameters| parameters.decode_as().ok())
        .ok_or_else(|| refused("its cipher has no initialization vector".to_owned()))?;
    let iv: [u8; 16] = iv
        .as_bytes()
        .try_into()
        .map_err(|_| refused("its initialization vector is not of 16 octets".to_owned()))?;
    let ciphertext =
        encrypted.encrypted_content.ok_or_else(|| refused("it holds nothing".to_owned()))?;

    let content_key = enveloped
        .recip_infos
        .0
        .iter()
        .find_map(|recipient| content_key(recipient, with).transpose())
        .ok_or_else(|| refused("it is not for the key given".to_owned()))??;
    let failed = |_| SealError::Library("decrypt the key");
    let key = UnboundCipherKey::new(cipher.cipher(), &content_key)
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .map_err(failed)?;
    let mut octets = Zeroizing::new(ciphertext.as_bytes().to_vec());
    let length =
        key.decrypt(&mut octets, DecryptionContext::Iv128(iv.into())).map_err(failed)?.len();
    octets.truncate(length);
    match ContentInfo::from_der(&octets) {
        Ok(wrapped) if wrapped.content_type == oid::SIGNED_DATA => {
            wrapped.content.to_der().map(Zeroizing::new).map_err(fault)
        }
        _ => Ok(octets),
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
        .map_err(|_| SealError::Refused("the decrypting key is no RSA key".to_owned()))?;
    let mut clear = Zeroizing::new(vec![0; private.key_size_bytes()]);
    let encrypted = info.enc_key.as_bytes();
    let length = match transport {
        Transport::Oaep(hash) => OaepPrivateDecryptingKey::new(private)
            .and_then(|private| {
                private.decrypt(hash.oaep(), encrypted, &mut clear, None).map(|octets| octets.len())
            })
            .map_err(failed)?,
        Transport::Pkcs1 => Pkcs1PrivateDecryptingKey::new(private)
            .and_then(|private| private.decrypt(encrypted, &mut clear).map(|octets| octets.len()))
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
        return Err(SealError::Refused("the encrypted key: its sender names no key".to_owned()));
    };
    if info.ukm.is_some() {
        return Err(SealError::Refused(
            "the encrypted key: keying material of the sender's is not supported".to_owned(),
        ));
    }
    let kind = key.kind();
    let algorithm = match kind {
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => ecdh(kind),
        KeyKind::Rsa(_) | KeyKind::Ed25519 => None,
    }
    .ok_or_else(|| SealError::Refused("the decrypting key is no EC key".to_owned()))?;
    let pkcs8 = key.to_pkcs8_der().map_err(|_| SealError::Library("use the key"))?;
    let private = agreement::PrivateKey::from_private_key_der(algorithm, &pkcs8)
        .map_err(|_| SealError::Library("use the key"))?;
    let public = originator.public_key.as_bytes().unwrap_or_default();
    let info = shared_info(wrap).map_err(der_fault("the KDF's input"))?;
    agreement::agree(
        &private,
        UnparsedPublicKey::new(algorithm, public),
        SealError::Library("agree on a key"),
        |secret| {
            let mut kek = Zeroizing::new(vec![0; wrap.octets()]);
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
    let significant = |octets: &[u8]| {
        octets.iter().skip_while(|octet| **octet == 0).copied().collect::<Vec<u8>>()
    };
    significant(serial) == significant(certificate.serial().as_bytes())
        && issuer.to_der().is_ok_and(|issuer| issuer == certificate.issuer().der())
}

fn wrap_of(identifier: &AlgorithmIdentifierOwned) -> Result<Aes, SealError> {
    Aes::by_wrap(identifier).ok_or_else(|| unknown(identifier))
}

fn unknown(identifier: &AlgorithmIdentifierOwned) -> SealError {
    let name = crate::pki::algorithm::described(identifier.oid);
    SealError::Refused(format!("the encrypted key: {name} is not supported"))
}

fn unwrap_key(wrap: Aes, kek: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let failed = |_| SealError::Library("unwrap the content key");
    let mut key = Zeroizing::new(vec![0; wrapped.len()]);
    let length = AesKek::new(wrap.wrapper(), kek)
        .and_then(|kek| kek.unwrap(wrapped, &mut key).map(|octets| octets.len()))
        .map_err(failed)?;
    key.truncate(length);
    Ok(key)
}
