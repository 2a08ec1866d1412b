//! Certificate request messages (RFC 4211), as far as RFC 5272 §3.2.1.2.2 lets them be used.

use super::BodyPartId;
use const_oid::ObjectIdentifier;
use der::{
    Choice, Decode, DecodeValue, EncodeValue, FixedTag, Header, Length, Reader, Sequence, Tag,
    TagNumber, Tagged, Writer,
    asn1::{AnyRef, BitStringRef, Null},
};
use spki::AlgorithmIdentifierRef;

/// A certification request in CRMF (RFC 4211 §3). Its `certReq` is stored as received, because the
/// signature is over those bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertReqMsg<'a> {
    /// The requested fields.
    pub cert_req: CertRequest<'a>,
    /// The same, DER.
    pub cert_req_der: AnyRef<'a>,
    /// How possession is proved.
    pub popo: Option<ProofOfPossession<'a>>,
    /// Whether it has a regInfo, which CMC forbids.
    pub reg_info: bool,
}

/// The requested fields of a certificate (RFC 4211 §5).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertRequest<'a> {
    /// Names it: its bodyPartID.
    pub cert_req_id: BodyPartId,
    /// The fields of the certificate.
    pub cert_template: CertTemplate<'a>,
    /// Attributes, such as a POP link witness.
    #[asn1(optional = "true")]
    pub controls: Option<Vec<AttributeTypeAndValue<'a>>>,
}

/// A type and its value (RFC 4211 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct AttributeTypeAndValue<'a> {
    /// Which.
    pub oid: ObjectIdentifier,
    /// The value.
    pub value: AnyRef<'a>,
}

/// The fields of a certificate to be (RFC 4211 §5). Names are stored as received. Fields that only
/// a CA decides are stored to detect their presence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Sequence)]
#[asn1(tag_mode = "IMPLICIT")]
pub struct CertTemplate<'a> {
    /// The version.
    #[asn1(context_specific = "0", optional = "true")]
    pub version: Option<u8>,
    /// Only a CA decides.
    #[asn1(context_specific = "1", optional = "true")]
    pub serial_number: Option<der::asn1::IntRef<'a>>,
    /// Only a CA decides.
    #[asn1(context_specific = "2", optional = "true")]
    pub signing_alg: Option<AlgorithmIdentifierRef<'a>>,
    /// Only a CA decides.
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub issuer: Option<AnyRef<'a>>,
    /// A requested validity.
    #[asn1(context_specific = "4", constructed = "true", optional = "true")]
    pub validity: Option<OptionalValidity<'a>>,
    /// The subject.
    #[asn1(context_specific = "5", tag_mode = "EXPLICIT", optional = "true")]
    pub subject: Option<AnyRef<'a>>,
    /// The key, as the content of a SubjectPublicKeyInfo.
    #[asn1(context_specific = "6", constructed = "true", optional = "true")]
    pub public_key: Option<RawSequence<'a>>,
    /// Not used any more (RFC 5280 §4.1.2.8).
    #[asn1(context_specific = "7", optional = "true")]
    pub issuer_uid: Option<BitStringRef<'a>>,
    /// The same.
    #[asn1(context_specific = "8", optional = "true")]
    pub subject_uid: Option<BitStringRef<'a>>,
    /// The extensions, as the content of Extensions.
    #[asn1(context_specific = "9", constructed = "true", optional = "true")]
    pub extensions: Option<RawSequence<'a>>,
}

/// A requested validity (RFC 4211 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct OptionalValidity<'a> {
    /// From.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub not_before: Option<AnyRef<'a>>,
    /// To.
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub not_after: Option<AnyRef<'a>>,
}

/// The content of a SEQUENCE, not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSequence<'a>(pub &'a [u8]);

impl RawSequence<'_> {
    /// Returns the SEQUENCE: its header and this content.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn to_sequence(&self) -> der::Result<Vec<u8>> {
        use der::Encode;
        AnyRef::new(Tag::Sequence, self.0)?.to_der()
    }
}

impl FixedTag for RawSequence<'_> {
    const TAG: Tag = Tag::Sequence;
}

impl<'a> DecodeValue<'a> for RawSequence<'a> {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        Ok(Self(reader.read_slice(header.length())?))
    }
}

impl EncodeValue for RawSequence<'_> {
    fn value_len(&self) -> der::Result<Length> {
        self.0.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.0)
    }
}

/// How possession of the private key is proved (RFC 4211 §4).
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum ProofOfPossession<'a> {
    /// An RA saw it proved.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    RaVerified(Null),
    /// A signature over the request.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Signature(PopoSigningKey<'a>),
    /// By decrypting.
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    KeyEncipherment(AnyRef<'a>),
    /// By agreeing on a key.
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", constructed = "true")]
    KeyAgreement(AnyRef<'a>),
}

/// A signature as proof (RFC 4211 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PopoSigningKey<'a> {
    /// The bytes signed instead of the request; CMC forbids them.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub poposk_input: Option<RawSequence<'a>>,
    /// The algorithm.
    pub algorithm: AlgorithmIdentifierRef<'a>,
    /// The signature.
    pub signature: BitStringRef<'a>,
}

impl FixedTag for CertReqMsg<'_> {
    const TAG: Tag = Tag::Sequence;
}

impl<'a> DecodeValue<'a> for CertReqMsg<'a> {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        reader.read_nested(header.length(), |reader| {
            let cert_req_der = AnyRef::decode(reader)?;
            let cert_req = cert_req_der.decode_as()?;
            let (mut popo, mut reg_info) = (None, false);
            while !reader.is_finished() {
                match Tag::peek(reader)? {
                    Tag::Sequence if !reg_info => {
                        AnyRef::decode(reader)?;
                        reg_info = true;
                    }
                    Tag::ContextSpecific { .. } if popo.is_none() && !reg_info => {
                        popo = Some(ProofOfPossession::decode(reader)?);
                    }
                    other => return Err(other.value_error().into()),
                }
            }
            Ok(Self { cert_req, cert_req_der, popo, reg_info })
        })
    }
}

impl EncodeValue for CertReqMsg<'_> {
    fn value_len(&self) -> der::Result<Length> {
        use der::Encode;
        let popo = self.popo.as_ref().map_or(Ok(Length::ZERO), Encode::encoded_len)?;
        self.cert_req_der.encoded_len()? + popo
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        use der::Encode;
        self.cert_req_der.encode(writer)?;
        self.popo.as_ref().map_or(Ok(()), |popo| popo.encode(writer))
    }
}

/// Whether a proof by key encipherment or agreement is indirect: the certificate is returned
/// encrypted (RFC 4211 §4.2, `subsequentMessage encrCert`).
#[must_use]
pub fn is_indirect(proof: &AnyRef<'_>) -> bool {
    // POPOPrivKey: subsequentMessage is [1], an INTEGER; encrCert is 0.
    let one = Tag::ContextSpecific { constructed: false, number: TagNumber(1) };
    proof.tag() == one && proof.value() == [0]
}
