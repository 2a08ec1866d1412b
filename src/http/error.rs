//! The one place that gives an error its status and its text for the client.

use crate::{
    est,
    types::{Code, Fault},
};
use hyper::StatusCode;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operation refused.
    #[error(transparent)]
    Est(#[from] est::Error),
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// Not with this method.
    #[error("method not allowed; allowed: {allowed}")]
    Method {
        /// Those that are.
        allowed: &'static str,
    },
    /// The header is not what HTTP or EST ask for.
    #[error("{0}")]
    Header(Fault),
    /// Wrong Content-Type or Content-Encoding.
    #[error("{0}")]
    MediaType(Fault),
    /// The body is too large.
    #[error("{0}")]
    TooLarge(Fault),
    /// The body did not come in time.
    #[error("{0}")]
    TooSlow(Fault),
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// The status.
    pub(super) status: StatusCode,
    /// Stable code of the rule.
    pub(super) code: Code,
    /// The sentence.
    pub(super) text: String,
    /// Seconds until a repeat makes sense.
    pub(super) retry_after: Option<u32>,
}

impl Error {
    /// Chooses status and text. Every variant is named: a new one fails the lint until somebody
    /// decides.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub(super) fn told(&self) -> Told {
        use est::Error as Est;
        match self {
            Self::Header(fault) => Told::of(StatusCode::BAD_REQUEST, fault),
            Self::MediaType(fault) => Told::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, fault),
            Self::TooLarge(fault) => Told::of(StatusCode::PAYLOAD_TOO_LARGE, fault),
            Self::TooSlow(fault) => Told::of(StatusCode::REQUEST_TIMEOUT, fault),
            Self::Method { allowed } => Told::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::HttpMethod,
                format!("this path does not take this method; would pass: {allowed}"),
            ),
            Self::NotFound | Self::Est(Est::UnknownPath) => Told::plain(
                StatusCode::NOT_FOUND,
                Code::HttpPath,
                "no such path; would pass: /.well-known/est/[LABEL/]OPERATION with a label and an operation that are offered here (RFC 7030 section 3.2.2)".to_owned(),
            ),
            Self::Est(Est::Malformed(fault) | Est::ProofOfPossession(fault) | Est::Unacceptable(fault) | Est::Linking(fault)) => {
                Told::of(StatusCode::BAD_REQUEST, fault)
            }
            Self::Est(Est::Unauthenticated(fault) | Est::Stale(fault)) => Told::of(StatusCode::UNAUTHORIZED, fault),
            Self::Est(Est::TooManyFailures(fault, seconds)) => Told {
                retry_after: Some(*seconds),
                ..Told::of(StatusCode::TOO_MANY_REQUESTS, fault)
            },
            Self::Est(Est::CertificateNeeded(fault) | Est::Denied(fault) | Est::IdentityChanged(fault)) => {
                Told::of(StatusCode::FORBIDDEN, fault)
            }
            // No 401: the device has the right certificate, and would give up.
            Self::Est(Est::NotYetValid(fault)) => Told {
                retry_after: Some(300),
                ..Told::of(StatusCode::SERVICE_UNAVAILABLE, fault)
            },
            Self::Est(Est::Store(_)) => Told::later(Code::ServerStore, "the server cannot record what it would issue; nothing was handed out; repeat the request later", 10),
            Self::Est(Est::Signer(_)) => Told::later(Code::ServerSigner, "the CA cannot sign at present; repeat the request later", 30),
            Self::Est(Est::Busy(_)) => Told::later(Code::ServerBusy, "too many requests of this kind at once; repeat the request later", 5),
            Self::Est(Est::Internal(_)) => Told::plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::ServerInternal,
                "internal error; tell the operator the request id".to_owned(),
            ),
        }
    }

    /// Whether a fault of the server, rather than of the request, is the reason.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.told().status.is_server_error()
    }
}

impl Told {
    fn of(status: StatusCode, fault: &Fault) -> Self {
        let text = format!("{}; saw {}; would pass: {}", fault.rule, fault.seen, fault.wanted);
        Self::plain(status, fault.code, text)
    }

    const fn plain(status: StatusCode, code: Code, text: String) -> Self {
        Self { status, code, text, retry_after: None }
    }

    fn later(code: Code, text: &str, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::plain(StatusCode::SERVICE_UNAVAILABLE, code, text.to_owned())
        }
    }
}
