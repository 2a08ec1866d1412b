//! SignedData with one signer over a key package (RFC 7030 §4.4.2).

use super::{SealError, der_rejection};
use crate::pki::{
    Certificate, PrivateKey, PublicKey,
    signed_data::{self, Signature, SignedBy, SignedMessage},
};
use const_oid::ObjectIdentifier;
use der::{Decode, asn1::AnyRef};
use zeroize::Zeroizing;

/// A key that signs, and the certificates by which the device can trust it.
#[derive(Clone, Copy, Debug)]
pub struct KeygenSigner<'a> {
    /// The key.
    pub key: &'a PrivateKey,
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// The certificates above it.
    pub chain: &'a [Certificate],
}

/// Signs `content`. Returns SignedData (DER) without a ContentInfo, since EnvelopedData names its type
/// itself (RFC 5652 §6.1).
///
/// # Errors
/// [`SealError`] if a certificate is not DER, or the key cannot sign.
pub fn sign(
    content_type: ObjectIdentifier,
    content: &[u8],
    signer: KeygenSigner<'_>,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let rejection = der_rejection("the SignedData");
    let kind = signer.key.kind();
    let attributes = signed_data::signed_attributes(content_type, content, kind, None);
    let attributes = attributes.map_err(&rejection)?;
    let (signature, _) =
        signer.key.sign(&attributes).map_err(|_| SealError::Library("sign the key package"))?;
    let certificates = std::iter::once(signer.certificate).chain(signer.chain);
    let signature = Signature {
        by: SignedBy::Certificate(signer.certificate),
        kind,
        attributes: &attributes,
        signature: &signature,
    };
    let certificates = certificates.map(Certificate::der);
    signed_data::encode_signed_data(content_type, Some(content), certificates, Some(signature))
        .map(Zeroizing::new)
        .map_err(rejection)
}

/// Verifies SignedData (DER) with one signer over a content of this type. Returns the content and the
/// signer's certificate, which the caller must find trustworthy.
///
/// # Errors
/// [`SealError`] naming the broken rule.
pub fn verify(
    content_type: ObjectIdentifier,
    signed: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Certificate), SealError> {
    let error = |why: &dyn std::fmt::Display| SealError::Invalid(format!("the signed key: {why}"));
    let signed = AnyRef::from_der(signed).map_err(der_rejection("the signed key"))?;
    let message = SignedMessage::read(content_type, signed).map_err(|cause| error(&cause))?;
    let [signer] = message.signers.as_slice() else {
        return Err(error(&"it has not exactly one signer"));
    };
    let certificate = message.certificates.into_iter().find(|one| signer.id.names(one));
    let certificate = certificate.ok_or_else(|| error(&"the signer's certificate is not in it"))?;
    let key = PublicKey::parse(certificate.spki()).map_err(|cause| error(&cause))?;
    signer.verify(&key).map_err(|cause| error(&cause))?;
    Ok((Zeroizing::new(message.content.to_vec()), certificate))
}
