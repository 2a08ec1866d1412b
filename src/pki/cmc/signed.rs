//! The SignedData around a PKIData or PKIResponse (RFC 5272 §3.2.1.3.4).

use super::{CmcError, FailInfo};
use crate::{
    pki::{
        Csr, oid,
        signed_data::{
            self, Signature, SignedBy, SignedDataError, SignedMessage, open_content_info,
        },
    },
    types::{KeyKind, Time},
};
use der::{Decode, Tag, Tagged, asn1::AnyRef};

impl From<SignedDataError> for CmcError {
    fn from(error: SignedDataError) -> Self {
        let fail = match &error {
            SignedDataError::Der(_) | SignedDataError::Form(_) => FailInfo::BadRequest,
            SignedDataError::Hash(_) | SignedDataError::Algorithm(_) => FailInfo::BadAlg,
            SignedDataError::Signature | SignedDataError::OtherContent(_) => {
                FailInfo::BadMessageCheck
            }
        };
        Self::whole(fail, error)
    }
}

/// Reads a SignedData over a PKIData. Its signatures must be verified one by one.
///
/// # Errors
/// [`CmcError`]: badRequest for other bytes, badAlg for a hash that is not accepted, badMessageCheck
/// for a digest of another content.
pub fn parse(der: &[u8]) -> Result<SignedMessage<'_>, CmcError> {
    // RFC 5272 §6.1.1: an error about a Simple PKI Request names part 1.
    let signed = open_content_info(der).map_err(|error| match Csr::signature_algorithm(der) {
        Ok(_) => CmcError::part(
            FailInfo::BadRequest,
            1,
            "a PKCS#10 request alone is a Simple PKI Request: send it to /simpleenroll",
        ),
        Err(_) => error.into(),
    })?;
    Ok(SignedMessage::read(oid::CCT_PKI_DATA, signed)?)
}

/// The signed attributes of an answer: what a CA's key signs beside certificates and CRLs. They begin
/// with the tag of a SET, those with that of a SEQUENCE.
#[derive(Clone, Debug)]
pub struct SignedAttributes(Vec<u8>);

impl SignedAttributes {
    /// Writes those around a PKIResponse.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn of_response(content: &[u8], signer: KeyKind, now: Time) -> der::Result<Self> {
        let der =
            signed_data::signed_attributes(oid::CCT_PKI_RESPONSE, content, signer, Some(now))?;
        AnyRef::from_der(&der)?.tag().assert_eq(Tag::Set)?;
        Ok(Self(der))
    }

    /// The bytes, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

/// The signer of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// The identifier of its key.
    pub key_identifier: &'a [u8],
    /// The kind of its key.
    pub kind: KeyKind,
    /// The signed attributes.
    pub attributes: &'a SignedAttributes,
    /// The signature over it.
    pub signature: &'a [u8],
}

/// Writes a Full PKI Response: SignedData over a PKIResponse, with certificates. It has no signature
/// without `answering`, when the key cannot be used.
///
/// # Errors
/// Those of the encoder.
pub fn full_pki_response(
    content: &[u8],
    certificates: &[&[u8]],
    answering: Option<Answering<'_>>,
) -> der::Result<Vec<u8>> {
    let signature = answering.map(|Answering { key_identifier, kind, attributes, signature }| {
        let by = SignedBy::KeyIdentifier(key_identifier);
        Signature { by, kind, attributes: attributes.der(), signature }
    });
    let certificates = certificates.iter().copied();
    signed_data::content_info(&signed_data::encode_signed_data(
        oid::CCT_PKI_RESPONSE,
        Some(content),
        certificates,
        signature,
    )?)
}
