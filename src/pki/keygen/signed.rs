//! SignedData with one signer over a content that it holds (RFC 5652 §5).
//!
//! Written with borrowed parts: the content is a private key, and the only copy made of it is the
//! one that is returned and overwritten when it is dropped.

use super::{SealError, der_rejection};
use crate::{
    pki::{Certificate, PrivateKey, PublicKey, algorithm, oid},
    types::KeyKind,
};
use aws_lc_rs::digest;
use cms::{
    cert::CertificateChoices,
    content_info::CmsVersion,
    signed_data::{SignedData, SignerIdentifier},
};
use const_oid::ObjectIdentifier;
use der::{
    Any, Decode, Encode, Sequence, Tag, ValueOrd,
    asn1::{AnyRef, BitStringRef, OctetString, OctetStringRef, SetOfVec},
};
use spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};
use x509_cert::{attr::Attribute, ext::pkix::SubjectKeyIdentifier};
use zeroize::Zeroizing;

/// Who signs, and the certificates by which the other side finds out whether to believe it.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The key.
    pub key: &'a PrivateKey,
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// Those above it.
    pub chain: &'a [Certificate],
}

#[derive(Sequence)]
struct Encapsulated<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Signed<'a> {
    version: CmsVersion,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    content: Encapsulated<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    certificates: SetOfVec<AnyRef<'a>>,
    signers: SetOfVec<SignerInfo<'a>>,
}

#[derive(Sequence, ValueOrd)]
struct SignerInfo<'a> {
    version: CmsVersion,
    sid: IssuerAndSerial<'a>,
    digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    attributes: SetOfVec<Attribute>,
    signature_algorithm: AnyRef<'a>,
    signature: OctetString,
}

#[derive(Sequence, ValueOrd)]
pub(super) struct IssuerAndSerial<'a> {
    issuer: AnyRef<'a>,
    serial: AnyRef<'a>,
}

impl<'a> IssuerAndSerial<'a> {
    fn of(certificate: &'a Certificate) -> der::Result<Self> {
        Ok(Self {
            issuer: AnyRef::from_der(certificate.issuer().der())?,
            serial: AnyRef::new(Tag::Integer, certificate.serial().as_bytes())?,
        })
    }
}

/// The hash of the signatures that a key of this kind makes (`PrivateKey::sign`); with Ed25519
/// RFC 8419 §3 wants SHA-512.
const fn hash(kind: KeyKind) -> (ObjectIdentifier, &'static digest::Algorithm) {
    match kind {
        KeyKind::Rsa(_) | KeyKind::P256 => (oid::SHA256, &digest::SHA256),
        KeyKind::P384 => (oid::SHA384, &digest::SHA384),
        KeyKind::P521 | KeyKind::Ed25519 => (oid::SHA512, &digest::SHA512),
    }
}

fn attribute(oid: ObjectIdentifier, value: Any) -> der::Result<Attribute> {
    let mut values = SetOfVec::new();
    values.insert(value)?;
    Ok(Attribute { oid, values })
}

/// Signs `content`; returns SignedData (DER), which is not wrapped into a ContentInfo, since
/// EnvelopedData names its type itself (RFC 5652 §6.1).
///
/// The signed attributes are contentType and messageDigest.
///
/// # Errors
/// [`SealError`] if a certificate is no DER, or the key cannot sign.
pub fn sign(
    content_type: ObjectIdentifier,
    content: &[u8],
    signer: Signer<'_>,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let rejection = der_rejection("the SignedData");
    let (hash_oid, hash) = hash(signer.key.kind());
    let hash_identifier = AlgorithmIdentifierOwned { oid: hash_oid, parameters: None };
    let digest = digest::digest(hash, content);
    let build = || {
        let digest = OctetString::new(digest.as_ref())?;
        let attributes = SetOfVec::try_from(vec![
            attribute(oid::CONTENT_TYPE, Any::encode_from(&content_type)?)?,
            attribute(oid::MESSAGE_DIGEST, Any::encode_from(&digest)?)?,
        ])?;
        // Signed as the SET OF that they are, not with the tag that they have below (§5.4).
        let bytes = attributes.to_der()?;
        Ok::<_, der::Error>((attributes, bytes))
    };
    let (attributes, bytes) = build().map_err(&rejection)?;
    let (signature, signature_algorithm) =
        signer.key.sign(&bytes).map_err(|_| SealError::Library("sign the key package"))?;
    let assemble = || {
        let certificates: Vec<AnyRef<'_>> = std::iter::once(signer.certificate)
            .chain(signer.chain)
            .map(|certificate| AnyRef::from_der(certificate.der()))
            .collect::<der::Result<_>>()?;
        let info = SignerInfo {
            version: CmsVersion::V1,
            sid: IssuerAndSerial::of(signer.certificate)?,
            digest_algorithm: hash_identifier.clone(),
            attributes,
            signature_algorithm: AnyRef::from_der(signature_algorithm)?,
            signature: OctetString::new(signature)?,
        };
        Signed {
            // The content is not id-data (RFC 5652 §5.1).
            version: CmsVersion::V3,
            digest_algorithms: vec![hash_identifier].try_into()?,
            content: Encapsulated { content_type, content: OctetStringRef::new(content)? },
            certificates: certificates.try_into()?,
            signers: vec![info].try_into()?,
        }
        .to_der()
    };
    assemble().map(Zeroizing::new).map_err(rejection)
}

/// Verifies SignedData (DER) with one signer over a content of this type, and returns the content
/// and the signer's certificate. Whether to believe that certificate is the caller's to decide.
///
/// # Errors
/// [`SealError`] naming what does not hold.
pub fn verify(
    content_type: ObjectIdentifier,
    signed: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Certificate), SealError> {
    let refused = |why: &str| SealError::Refused(format!("the signed key: {why}"));
    let signed = SignedData::from_der(signed).map_err(der_rejection("the signed key"))?;
    if signed.encap_content_info.econtent_type != content_type {
        return Err(refused("it is of another type than it has to be"));
    }
    let content = signed.encap_content_info.econtent.ok_or_else(|| refused("it holds nothing"))?;
    let content: Zeroizing<Vec<u8>> = {
        let bytes: &OctetStringRef =
            content.decode_as().map_err(der_rejection("the signed key"))?;
        Zeroizing::new(bytes.as_bytes().to_vec())
    };
    let [info] = signed.signer_infos.0.as_slice() else {
        return Err(refused("it has not exactly one signer"));
    };
    let held: Vec<Certificate> = signed
        .certificates
        .iter()
        .flat_map(|set| set.0.iter())
        .filter_map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => {
                Certificate::parse(&certificate.to_der().ok()?).ok()
            }
            CertificateChoices::Other(_) => None,
        })
        .collect();
    let certificate = held
        .into_iter()
        .find(|certificate| identifies(&info.sid, certificate))
        .ok_or_else(|| refused("the signer's certificate is not in it"))?;

    let attributes = info.signed_attrs.as_ref().ok_or_else(|| refused("no signed attributes"))?;
    let only = |wanted: ObjectIdentifier| {
        let mut found = attributes.iter().filter(|attribute| attribute.oid == wanted);
        match (found.next().map(|attribute| attribute.values.as_slice()), found.next()) {
            (Some([value]), None) => Some(value.clone()),
            _ => None,
        }
    };
    let said_type: Option<ObjectIdentifier> =
        only(oid::CONTENT_TYPE).and_then(|value| value.decode_as().ok());
    if said_type != Some(content_type) {
        return Err(refused("contentType is missing among the signed attributes, or wrong"));
    }
    let hash = [
        (oid::SHA256, &digest::SHA256),
        (oid::SHA384, &digest::SHA384),
        (oid::SHA512, &digest::SHA512),
    ]
    .into_iter()
    .find(|(oid, _)| *oid == info.digest_alg.oid)
    .map(|(_, hash)| hash)
    .ok_or_else(|| {
        refused(&format!("its hash is {}", algorithm::described(info.digest_alg.oid)))
    })?;
    let said: Option<OctetString> =
        only(oid::MESSAGE_DIGEST).and_then(|value| value.decode_as().ok());
    if said.as_ref().map(OctetString::as_bytes) != Some(digest::digest(hash, &content).as_ref()) {
        return Err(refused("messageDigest is missing among the signed attributes, or wrong"));
    }
    let key = PublicKey::parse(certificate.spki())
        .map_err(|rejection| refused(&rejection.to_string()))?;
    let message = attributes.to_der().map_err(der_rejection("the signed key"))?;
    let identifier = info.signature_algorithm.to_der().map_err(der_rejection("the signed key"))?;
    let identifier =
        AlgorithmIdentifierRef::from_der(&identifier).map_err(der_rejection("the signed key"))?;
    let signature = BitStringRef::from_bytes(info.signature.as_bytes())
        .map_err(der_rejection("the signed key"))?;
    key.verify(&signed_with(&identifier, hash), &message, &signature)
        .map_err(|_| refused("its signature does not verify"))?;
    Ok((content, certificate))
}

/// `rsaEncryption` as a signature's algorithm leaves the hash to digestAlgorithm (RFC 3370 §3.2), and
/// OpenSSL writes it so.
fn signed_with<'a>(
    identifier: &AlgorithmIdentifierRef<'a>,
    hash: &'static digest::Algorithm,
) -> AlgorithmIdentifierRef<'a> {
    let oid = match identifier.oid {
        oid::RSA if *hash == digest::SHA256 => oid::RSA_SHA256,
        oid::RSA if *hash == digest::SHA384 => oid::RSA_SHA384,
        oid::RSA => oid::RSA_SHA512,
        other => other,
    };
    AlgorithmIdentifierRef { oid, parameters: identifier.parameters }
}

fn identifies(sid: &SignerIdentifier, certificate: &Certificate) -> bool {
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            significant(named.serial_number.as_bytes())
                == significant(certificate.serial().as_bytes())
                && named.issuer.to_der().is_ok_and(|issuer| issuer == certificate.issuer().der())
        }
        SignerIdentifier::SubjectKeyIdentifier(SubjectKeyIdentifier(named)) => {
            certificate.subject_key_identifier() == Some(named.as_bytes())
        }
    }
}

/// Without the byte that DER puts in front of a number whose first bit is set.
fn significant(serial: &[u8]) -> &[u8] {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        whole => whole,
    }
}
