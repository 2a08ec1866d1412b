//! The values of controls (RFC 5272 §6).

use super::{BodyPartId, CmcError, FailInfo, crmf::CertTemplate, message::TaggedAttribute};
use crate::pki::{oid, signed_data::IssuerAndSerial};
use const_oid::ObjectIdentifier;
use der::{
    Choice, Sequence,
    asn1::{AnyRef, GeneralizedTime, IntRef, OctetStringRef, Utf8StringRef},
};
use spki::AlgorithmIdentifierRef;
use x509_cert::ext::pkix::CrlReason;

/// A control of a request, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// The client's status for an answer of this server (§6.1).
    Status(u8),
    /// Names the shared secret of an identity proof (§6.2.3).
    Identification(&'a str),
    /// Proof of identity by a shared secret, of the old kind with SHA-1 (§6.2.2).
    IdentityProofV1,
    /// Proof of identity by a shared secret (§6.2.1).
    IdentityProofV2(Witness<'a>),
    /// Returned unchanged (§6.4).
    DataReturn(AnyRef<'a>),
    /// Returned unchanged (§6.6).
    TransactionId(AnyRef<'a>),
    /// To be sent back as recipientNonce (§6.6).
    SenderNonce(AnyRef<'a>),
    /// The server's nonce of an earlier answer (§6.6).
    RecipientNonce,
    /// The answer to a challenge (§6.7); this server sends no challenge.
    DecryptedPop(BodyPartId),
    /// An RA saw possession proved (§6.8).
    LraPopWitness(LraPopWitness),
    /// Revoke this certificate (§6.11).
    RevokeRequest(Box<RevokeRequest<'a>>),
    /// Queries a pending request (§6.13).
    QueryPending(&'a [u8]),
    /// The input of POP link witnesses (§6.3.1.3).
    PopLinkRandom(&'a [u8]),
    /// The client accepts this certificate (§6.14).
    ConfirmCertAcceptance(IssuerAndSerial<'a>),
    /// An RA's collection (§6.17).
    BatchRequests(Vec<BodyPartId>),
    /// An RA changes requests (§6.5.1).
    ModCertTemplate(Box<ModCertTemplate<'a>>),
    /// An RA has processed these (§6.19).
    ControlProcessed(Vec<BodyPartReference>),
    /// An RA verified the proof of this identity (§6.20).
    RaIdentityWitness(Vec<BodyPartId>),
    /// An unknown control.
    Unknown(ObjectIdentifier),
    /// A control of answers or of requests' attributes.
    Misplaced(ObjectIdentifier),
}

/// Hash, MAC and the outcome: IdentityProofV2 and PopLinkWitnessV2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct Witness<'a> {
    /// The hash that derives the key from the secret.
    pub hash: AlgorithmIdentifierRef<'a>,
    /// The MAC.
    pub mac: AlgorithmIdentifierRef<'a>,
    /// The outcome.
    pub witness: &'a OctetStringRef,
}

/// LraPopWitness (RFC 5272 §6.8).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct LraPopWitness {
    /// The PKIData; 0 is this one.
    pub pki_data_body_id: BodyPartId,
    /// The requests in it.
    pub body_ids: Vec<BodyPartId>,
}

/// RevokeRequest (RFC 5272 §6.11).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct RevokeRequest<'a> {
    /// The issuer of the certificate.
    pub issuer_name: AnyRef<'a>,
    /// Its serial number.
    pub serial_number: IntRef<'a>,
    /// Why.
    pub reason: CrlReason,
    /// Since when, perhaps.
    #[asn1(optional = "true")]
    pub invalidity_date: Option<GeneralizedTime>,
    /// The proof that replaces a signature.
    #[asn1(optional = "true")]
    pub shared_secret: Option<&'a OctetStringRef>,
    /// For people.
    #[asn1(optional = "true")]
    pub comment: Option<Utf8StringRef<'a>>,
}

/// ModCertTemplate (RFC 5272 §6.5.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ModCertTemplate<'a> {
    /// The path to the PKI request; `[0]` is this one.
    pub pki_data_reference: Vec<BodyPartId>,
    /// The requests in it.
    pub cert_references: Vec<BodyPartId>,
    /// Whether to put these fields in the place of the request's, or to take them away.
    #[asn1(default = "replaces")]
    pub replace: bool,
    /// The fields.
    pub cert_template: CertTemplate<'a>,
}

const fn replaces() -> bool {
    true
}

/// A part, or the path to one in a nested message (RFC 5272 §3.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum BodyPartReference {
    /// A part of this message.
    Id(BodyPartId),
    /// A part of a nested one.
    Path(Vec<BodyPartId>),
}

#[derive(Sequence)]
struct StatusRead<'a> {
    status: u8,
    _body_list: Vec<BodyPartReference>,
    #[asn1(optional = "true")]
    _status_string: Option<Utf8StringRef<'a>>,
    #[asn1(optional = "true")]
    _other_info: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct ControlsProcessed {
    body_list: Vec<BodyPartReference>,
}

#[derive(Sequence)]
struct DecryptedPopRead<'a> {
    body_part_id: BodyPartId,
    _algorithm: AlgorithmIdentifierRef<'a>,
    _proof: &'a OctetStringRef,
}

impl<'a> Control<'a> {
    /// Reads a control's value. An unknown one is no error here: an RA may have processed it.
    ///
    /// # Errors
    /// [`CmcError`] with badRequest about this control.
    pub fn parse(attribute: &TaggedAttribute<'a>) -> Result<Self, CmcError> {
        let (kind, value) = (attribute.attr_type, attribute.value());
        match Self::read(kind, value.as_ref().map_or(AnyRef::NULL, |value| *value)) {
            // It may have any number of values.
            Ok(other @ (Self::Unknown(_) | Self::Misplaced(_))) => Ok(other),
            read => value.and_then(|_| {
                read.map_err(|rejection| {
                    CmcError::part(
                        FailInfo::BadRequest,
                        attribute.body_part_id,
                        format!("the value of control {kind}: {rejection}"),
                    )
                })
            }),
        }
    }

    fn read(kind: ObjectIdentifier, value: AnyRef<'a>) -> der::Result<Self> {
        let bytes = |value: AnyRef<'a>| value.decode_as::<&'a OctetStringRef>();
        Ok(match kind {
            oid::CMC_STATUS_INFO | oid::CMC_STATUS_INFO_V2 => {
                Self::Status(value.decode_as::<StatusRead<'a>>()?.status)
            }
            oid::CMC_IDENTIFICATION => {
                Self::Identification(value.decode_as::<Utf8StringRef<'a>>()?.as_str())
            }
            oid::CMC_IDENTITY_PROOF => {
                bytes(value)?;
                Self::IdentityProofV1
            }
            oid::CMC_IDENTITY_PROOF_V2 => Self::IdentityProofV2(value.decode_as()?),
            oid::CMC_DATA_RETURN => {
                bytes(value)?;
                Self::DataReturn(value)
            }
            oid::CMC_TRANSACTION_ID => {
                value.decode_as::<IntRef<'a>>()?;
                Self::TransactionId(value)
            }
            oid::CMC_SENDER_NONCE => {
                bytes(value)?;
                Self::SenderNonce(value)
            }
            oid::CMC_RECIPIENT_NONCE => {
                bytes(value)?;
                Self::RecipientNonce
            }
            oid::CMC_DECRYPTED_POP => {
                Self::DecryptedPop(value.decode_as::<DecryptedPopRead<'a>>()?.body_part_id)
            }
            oid::CMC_LRA_POP_WITNESS => Self::LraPopWitness(value.decode_as()?),
            oid::CMC_REVOKE_REQUEST => Self::RevokeRequest(Box::new(value.decode_as()?)),
            oid::CMC_QUERY_PENDING => Self::QueryPending(bytes(value)?.as_bytes()),
            oid::CMC_POP_LINK_RANDOM => Self::PopLinkRandom(bytes(value)?.as_bytes()),
            oid::CMC_CONFIRM_CERT_ACCEPTANCE => Self::ConfirmCertAcceptance(value.decode_as()?),
            oid::CMC_BATCH_REQUESTS => Self::BatchRequests(value.decode_as()?),
            oid::CMC_MOD_CERT_TEMPLATE => Self::ModCertTemplate(Box::new(value.decode_as()?)),
            oid::CMC_CONTROL_PROCESSED => {
                Self::ControlProcessed(value.decode_as::<ControlsProcessed>()?.body_list)
            }
            oid::CMC_RA_IDENTITY_WITNESS => Self::RaIdentityWitness(value.decode_as()?),
            oid::CMC_RESPONSE_BODY
            | oid::CMC_ENCRYPTED_POP
            | oid::CMC_POP_LINK_WITNESS
            | oid::CMC_POP_LINK_WITNESS_V2
            | oid::CMC_BATCH_RESPONSES
            | oid::CHANGE_SUBJECT_NAME => Self::Misplaced(kind),
            other => Self::Unknown(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::cmc::PkiData;

    #[test]
    fn every_control_is_read_and_every_cut_is_rejected() {
        let bytes = include_bytes!("../../../fuzz/seeds/cmc/every-control");
        let data = PkiData::parse(bytes).unwrap();
        assert_eq!((data.controls.len(), data.requests.len(), data.cms.len()), (15, 2, 1));
        for attribute in &data.controls {
            let control = Control::parse(attribute).unwrap();
            assert!(!matches!(control, Control::Unknown(_) | Control::Misplaced(_)), "{control:?}");
        }
        for end in 0..bytes.len() {
            assert!(PkiData::parse(&bytes[..end]).is_err(), "{end}");
        }
    }
}
