//! Types of Certificate Management over CMS (RFC 5272, RFC 6402; now RFC 10002) and of the certificate
//! request message format (RFC 4211).
//!
//! No library on this version of `der` has them: `crmf` 0.3.0-pre.0 is pinned to another `cms` and
//! `x509-cert`, and no crate has CMC.
//!
//! | File | Contents |
//! |---|---|
//! | `ber` | BER with indefinite lengths to DER |
//! | `message` | PKIData and PKIResponse as transmitted |
//! | `control` | each control's value |
//! | `status` | CMCStatusInfoV2 |
//! | `crmf` | CertReqMsg and CertTemplate |
//! | `request` | a certification request of either form, and its proof of possession |
//! | `signed` | the SignedData around it |

pub mod ber;
pub mod control;
pub mod crmf;
pub mod message;
pub mod request;
pub mod signed;
pub mod status;

pub use control::Control;
pub use message::{PkiData, PkiResponse, TaggedAttribute, TaggedContentInfo, TaggedRequest};
pub use request::Wanted;
pub use signed::SignedAttributes;
pub use status::{CmcStatus, FailInfo, PendInfo, StatusInfo};

/// Names an element of a PKIData; 0 is the PKIData itself (RFC 5272 §3.2.2).
pub type BodyPartId = u32;

/// Maximum number of controls, of requests, of content infos and of other messages in one PKIData. A
/// device or an RA's batch needs far fewer; the largest body could hold far more.
pub const MAX_PARTS: usize = 64;

/// The rejection of a message or of its parts, as the client receives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fail:?} about {parts:?}: {reason}")]
pub struct CmcError {
    /// The code.
    pub fail: FailInfo,
    /// Which parts; 0 is the message as a whole.
    pub parts: Vec<BodyPartId>,
    /// The error, for the status string and the log.
    pub reason: String,
}

impl CmcError {
    /// About the message as a whole.
    #[must_use]
    pub fn whole(fail: FailInfo, reason: impl std::fmt::Display) -> Self {
        Self::part(fail, 0, reason)
    }

    /// About one part.
    #[must_use]
    pub fn part(fail: FailInfo, part: BodyPartId, reason: impl std::fmt::Display) -> Self {
        Self { fail, parts: vec![part], reason: reason.to_string() }
    }
}
