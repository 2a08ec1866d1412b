//! PKIData and PKIResponse (RFC 5272 §3.2.1, §4.2).

use super::{BodyPartId, CmcError, FailInfo, MAX_PARTS, crmf::CertReqMsg};
use const_oid::ObjectIdentifier;
use der::{
    Choice, Decode, Encode, Sequence, ValueOrd,
    asn1::{AnyRef, SetOfVec},
};
use std::collections::BTreeSet;

/// One control: its place, its kind and its values (RFC 5272 §3.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TaggedAttribute<'a> {
    /// Names it.
    pub body_part_id: BodyPartId,
    /// Which control.
    pub attr_type: ObjectIdentifier,
    /// The values; every control of RFC 5272 has one.
    pub attr_values: SetOfVec<AnyRef<'a>>,
}

impl<'a> TaggedAttribute<'a> {
    /// The only value.
    ///
    /// # Errors
    /// [`CmcError`] with badRequest about this control if it has another number of values.
    pub fn value(&self) -> Result<AnyRef<'a>, CmcError> {
        let mut values = self.attr_values.iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(*value),
            _ => Err(CmcError::part(
                FailInfo::BadRequest,
                self.body_part_id,
                format!("control {} has one value", self.attr_type),
            )),
        }
    }
}

/// A certification request (RFC 5272 §3.2.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
#[allow(clippy::large_enum_variant, reason = "at most 64, for the time of a request")]
pub enum TaggedRequest<'a> {
    /// PKCS#10.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    Tcr(TaggedCertificationRequest<'a>),
    /// CRMF.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Crm(CertReqMsg<'a>),
    /// Another format.
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", constructed = "true")]
    Orm(OtherRequest<'a>),
}

impl TaggedRequest<'_> {
    /// Names it.
    #[must_use]
    pub const fn body_part_id(&self) -> BodyPartId {
        match self {
            Self::Tcr(request) => request.body_part_id,
            Self::Crm(request) => request.cert_req.cert_req_id,
            Self::Orm(request) => request.body_part_id,
        }
    }
}

/// A PKCS#10 request with its name.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TaggedCertificationRequest<'a> {
    /// Names it.
    pub body_part_id: BodyPartId,
    /// The CertificationRequest.
    pub certification_request: AnyRef<'a>,
}

/// A request of a format that this document does not define.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct OtherRequest<'a> {
    /// Names it.
    pub body_part_id: BodyPartId,
    /// Which format.
    pub request_message_type: ObjectIdentifier,
    /// The value.
    pub request_message_value: AnyRef<'a>,
}

/// A CMS object (RFC 5272 §3.2.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
pub struct TaggedContentInfo<'a> {
    /// Names it.
    pub body_part_id: BodyPartId,
    /// The ContentInfo.
    pub content_info: AnyRef<'a>,
}

/// Another object (RFC 5272 §3.2.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct OtherMsg<'a> {
    /// Names it.
    pub body_part_id: BodyPartId,
    /// Its kind.
    pub other_msg_type: ObjectIdentifier,
    /// The value.
    pub other_msg_value: AnyRef<'a>,
}

/// The content of a Full PKI Request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkiData<'a> {
    /// The controls.
    pub controls: Vec<TaggedAttribute<'a>>,
    /// The certification requests.
    pub requests: Vec<TaggedRequest<'a>>,
    /// The bytes of the sequence of requests as received: the input of an identity proof.
    pub requests_der: Vec<u8>,
    /// CMS objects that controls refer to.
    pub cms: Vec<TaggedContentInfo<'a>>,
    /// Other objects that controls refer to.
    pub others: Vec<OtherMsg<'a>>,
}

#[derive(Sequence)]
struct Outer<'a> {
    controls: Vec<TaggedAttribute<'a>>,
    requests: AnyRef<'a>,
    cms: Vec<TaggedContentInfo<'a>>,
    others: Vec<OtherMsg<'a>>,
}

impl<'a> PkiData<'a> {
    /// Reads a PKIData and checks the names of its parts: 1 to 2³²-1, each once (RFC 5272 §3.2.2).
    ///
    /// # Errors
    /// [`CmcError`] with badRequest.
    pub fn parse(der: &'a [u8]) -> Result<Self, CmcError> {
        let bad = |rejection: der::Error| {
            CmcError::whole(FailInfo::BadRequest, format!("no PKIData: {rejection}"))
        };
        let Outer { controls, requests, cms, others } = Outer::from_der(der).map_err(bad)?;
        let requests_der = requests.to_der().map_err(bad)?;
        let data = Self {
            requests: requests.decode_as().map_err(bad)?,
            controls,
            requests_der,
            cms,
            others,
        };
        data.check_parts()?;
        Ok(data)
    }

    fn check_parts(&self) -> Result<(), CmcError> {
        let too_many =
            [self.controls.len(), self.requests.len(), self.cms.len(), self.others.len()]
                .into_iter()
                .any(|count| count > MAX_PARTS);
        if too_many {
            return Err(CmcError::whole(
                FailInfo::BadRequest,
                format!("more than {MAX_PARTS} parts of one kind"),
            ));
        }
        let mut seen = BTreeSet::new();
        let ids = (self.controls.iter().map(|part| part.body_part_id))
            .chain(self.requests.iter().map(TaggedRequest::body_part_id))
            .chain(self.cms.iter().map(|part| part.body_part_id))
            .chain(self.others.iter().map(|part| part.body_part_id));
        for id in ids {
            if id == 0 || !seen.insert(id) {
                let reason = "each bodyPartID occurs once, and 0 is the PKIData itself (RFC 5272 section 3.2.2)";
                return Err(CmcError::part(FailInfo::BadRequest, id, reason));
            }
        }
        Ok(())
    }
}

/// The content of a Full PKI Response.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PkiResponse<'a> {
    /// The controls.
    pub controls: Vec<TaggedAttribute<'a>>,
    /// CMS objects.
    pub cms: Vec<TaggedContentInfo<'a>>,
    /// Other objects.
    pub others: Vec<OtherMsg<'a>>,
}

impl PkiResponse<'_> {
    /// Writes a PKIResponse: controls (type and value, DER) and CMS objects (ContentInfo, DER). The
    /// parts are numbered from 1, controls first.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn encode(
        controls: &[(ObjectIdentifier, Vec<u8>)],
        cms: &[Vec<u8>],
    ) -> der::Result<Vec<u8>> {
        let mut next: BodyPartId = 0;
        let mut number = || {
            next = next.saturating_add(1);
            next
        };
        let controls = controls
            .iter()
            .map(|(kind, value)| {
                Ok(TaggedAttribute {
                    body_part_id: number(),
                    attr_type: *kind,
                    attr_values: SetOfVec::try_from(vec![AnyRef::from_der(value)?])?,
                })
            })
            .collect::<der::Result<_>>()?;
        let cms = cms
            .iter()
            .map(|object| {
                let content_info = AnyRef::from_der(object)?;
                Ok(TaggedContentInfo { body_part_id: number(), content_info })
            })
            .collect::<der::Result<_>>()?;
        PkiResponse { controls, cms, others: Vec::new() }.to_der()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{
        cmc::{CmcStatus, PendInfo, StatusInfo},
        oid,
    };
    use der::asn1::{GeneralizedTime, OctetString};
    use std::time::Duration;

    fn encoded(status: &StatusInfo) -> Vec<u8> {
        let controls = [(oid::CMC_STATUS_INFO_V2, status.to_der().unwrap())];
        PkiResponse::encode(&controls, &[]).unwrap()
    }

    #[test]
    fn r_5272_6_1_1_a_the_vectors_are_written_byte_for_byte() {
        for (fail, vector) in [
            (
                FailInfo::PopFailed,
                &include_bytes!("../../../testdata/cmc/pkiresponse-popFailed.der")[..],
            ),
            (
                FailInfo::BadRequest,
                include_bytes!("../../../testdata/cmc/pkiresponse-badRequest.der"),
            ),
        ] {
            let failed = StatusInfo { text: None, ..StatusInfo::failed(fail, vec![1], "") };
            assert_eq!(encoded(&failed), vector);
        }
        let pending = StatusInfo {
            status: CmcStatus::Pending,
            pending: Some(PendInfo {
                pend_token: OctetString::new(*b"token").unwrap(),
                // 2026-11-21T12:00Z.
                pend_time: GeneralizedTime::from_unix_duration(Duration::from_secs(1_795_262_400))
                    .unwrap(),
            }),
            ..StatusInfo::success(vec![1])
        };
        assert_eq!(
            encoded(&pending),
            include_bytes!("../../../testdata/cmc/pkiresponse-pending.der")
        );
        assert!(PkiResponse::from_der(&encoded(&pending)).is_ok());
    }
}
