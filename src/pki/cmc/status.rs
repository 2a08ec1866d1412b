//! CMCStatusInfoV2 (RFC 5272 §6.1.1): how a request ended.

use super::BodyPartId;
use der::{
    Choice, Encode, Sequence,
    asn1::{GeneralizedTime, OctetString, Utf8StringRef},
};

/// How a request or control ended (RFC 5272 §6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CmcStatus {
    /// Granted.
    Success = 0,
    /// Not granted.
    Failed = 2,
    /// Not decided, or not finished, yet.
    Pending = 3,
    /// Of a kind that this server does not do.
    NoSupport = 4,
}

/// Why a request failed (RFC 5272 §6.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FailInfo {
    /// An algorithm that is not accepted.
    BadAlg = 0,
    /// A signature that does not verify.
    BadMessageCheck = 1,
    /// Not permitted or not supported.
    BadRequest = 2,
    /// A time that is too far off.
    BadTime = 3,
    /// No such certificate.
    BadCertId = 4,
    /// An extension that the CA does not issue.
    UnsupportedExt = 5,
    /// The identity is not proved, or may not make the request.
    BadIdentity = 7,
    /// Possession of the key must be proved.
    PopRequired = 8,
    /// The proof of possession does not hold.
    PopFailed = 9,
    /// The key of the last certificate may not be used again.
    NoKeyReuse = 10,
    /// A rejection of this program.
    InternalCaError = 11,
    /// Not now.
    TryLater = 12,
}

impl FailInfo {
    /// The name in the RFC.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadAlg => "badAlg",
            Self::BadMessageCheck => "badMessageCheck",
            Self::BadRequest => "badRequest",
            Self::BadTime => "badTime",
            Self::BadCertId => "badCertId",
            Self::UnsupportedExt => "unsupportedExt",
            Self::BadIdentity => "badIdentity",
            Self::PopRequired => "popRequired",
            Self::PopFailed => "popFailed",
            Self::NoKeyReuse => "noKeyReuse",
            Self::InternalCaError => "internalCAError",
            Self::TryLater => "tryLater",
        }
    }
}

/// Time and token of the next query (RFC 5272 §6.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PendInfo {
    /// The token for queryPending.
    pub pend_token: OctetString,
    /// When.
    pub pend_time: GeneralizedTime,
}

/// A status for some parts of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusInfo {
    /// How they ended.
    pub status: CmcStatus,
    /// Which parts.
    pub parts: Vec<BodyPartId>,
    /// A sentence for people.
    pub text: Option<String>,
    /// The code; with [`CmcStatus::Failed`] only.
    pub fail: Option<FailInfo>,
    /// Time and token of the next query; with [`CmcStatus::Pending`] only.
    pub pending: Option<PendInfo>,
}

#[derive(Sequence)]
struct Encoded<'a> {
    status: u8,
    body_list: Vec<BodyPartId>,
    #[asn1(optional = "true")]
    status_string: Option<Utf8StringRef<'a>>,
    #[asn1(optional = "true")]
    other_info: Option<OtherInfo>,
}

#[derive(Choice)]
enum OtherInfo {
    FailInfo(u8),
    PendInfo(PendInfo),
}

impl StatusInfo {
    /// Success of these parts.
    #[must_use]
    pub const fn success(parts: Vec<BodyPartId>) -> Self {
        Self { status: CmcStatus::Success, parts, text: None, fail: None, pending: None }
    }

    /// Failure of these parts.
    #[must_use]
    pub fn failed(fail: FailInfo, parts: Vec<BodyPartId>, text: impl Into<String>) -> Self {
        Self {
            status: CmcStatus::Failed,
            parts,
            text: Some(text.into()),
            fail: Some(fail),
            pending: None,
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn to_der(&self) -> der::Result<Vec<u8>> {
        let other_info = match (self.fail, &self.pending) {
            (Some(fail), _) => Some(OtherInfo::FailInfo(fail as u8)),
            (None, Some(pending)) => Some(OtherInfo::PendInfo(pending.clone())),
            (None, None) => None,
        };
        Encoded {
            status: self.status as u8,
            body_list: self.parts.clone(),
            status_string: self.text.as_deref().map(Utf8StringRef::new).transpose()?,
            other_info,
        }
        .to_der()
    }
}
