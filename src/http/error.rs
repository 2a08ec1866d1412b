//! The one file that chooses statuses, and an error's text for the client. No other file under `http`
//! names `StatusCode` (`tests/layering`).

use crate::{
    admin,
    est::{self, CmcOutcome, RETRY},
    pki::cmc::FailInfo,
    ra,
    types::{Code, Rejection},
};
use hyper::StatusCode;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registration authority rejected the request, and has reported that.
    #[error(transparent)]
    Rejected(#[from] ra::Rejected),
    /// An error of the registration authority that HTTP finds first, such as malformed base64.
    #[error(transparent)]
    Est(#[from] est::Error),
    /// The path does not exist.
    #[error("no such path")]
    NotFound,
    /// The path does not accept this method.
    #[error("method not allowed; allowed: {allowed}")]
    Method {
        /// The methods that it accepts.
        allowed: &'static str,
    },
    /// The header breaks a rule of HTTP or EST.
    #[error("{0}")]
    Header(Rejection),
    /// Wrong Content-Type or Content-Encoding.
    #[error("{0}")]
    MediaType(Rejection),
    /// The body is too large.
    #[error("{0}")]
    TooLarge(Rejection),
    /// The body did not arrive in time.
    #[error("{0}")]
    TooSlow(Rejection),
}

/// The reply to a request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorReply {
    /// The status.
    pub(super) status: StatusCode,
    /// Stable code of the rule.
    pub(super) code: Code,
    /// The sentence.
    pub(super) text: String,
    /// Seconds until a retry makes sense.
    pub(super) retry_after: Option<u32>,
}

impl Error {
    /// Chooses status and text.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub(super) fn reply(&self) -> ErrorReply {
        match self {
            Self::Header(rejection) => ErrorReply::of(StatusCode::BAD_REQUEST, rejection),
            Self::MediaType(rejection) => {
                ErrorReply::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, rejection)
            }
            Self::TooLarge(rejection) => ErrorReply::of(StatusCode::PAYLOAD_TOO_LARGE, rejection),
            Self::TooSlow(rejection) => ErrorReply::of(StatusCode::REQUEST_TIMEOUT, rejection),
            Self::Method { allowed } => ErrorReply::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::HttpMethod,
                format!("this path does not accept this method; expected: {allowed}"),
            ),
            Self::NotFound => reply(&est::Error::UnknownPath),
            Self::Rejected(rejected) => reply(&rejected.error),
            Self::Est(error) => reply(error),
        }
    }
}

/// Selects the status and text of an error of the registration authority. Every variant is named: a
/// new one fails the lint until somebody decides.
#[deny(clippy::wildcard_enum_match_arm)]
pub(super) fn reply(error: &est::Error) -> ErrorReply {
    use est::Error as Est;
    let code = error.code();
    match error {
        Est::UnknownPath => ErrorReply::plain(
            StatusCode::NOT_FOUND,
            code,
            "no such path; expected: /.well-known/est/[LABEL/]OPERATION with a label and an operation that are offered here (RFC 7030 section 3.2.2)".to_owned(),
        ),
        Est::Malformed(rejection)
        | Est::ProofOfPossession(rejection)
        | Est::Unacceptable(rejection)
        | Est::Linking(rejection) => ErrorReply::of(StatusCode::BAD_REQUEST, rejection),
        Est::Unauthenticated(rejection) | Est::Stale(rejection) => {
            ErrorReply::of(StatusCode::UNAUTHORIZED, rejection)
        }
        Est::TooManyFailures(rejection, seconds) => {
            ErrorReply { retry_after: Some(*seconds), ..ErrorReply::of(StatusCode::TOO_MANY_REQUESTS, rejection) }
        }
        Est::TooEarly(rejection, seconds) => {
            ErrorReply { retry_after: Some(*seconds), ..ErrorReply::of(StatusCode::FORBIDDEN, rejection) }
        }
        Est::CertificateNeeded(rejection) | Est::TooLate(rejection) | Est::Forbidden(rejection) | Est::IdentityChanged(rejection) => {
            ErrorReply::of(StatusCode::FORBIDDEN, rejection)
        }
        // No 401: the device has the right certificate, and would give up.
        Est::NotYetValid(rejection) => {
            ErrorReply { retry_after: Some(300), ..ErrorReply::of(StatusCode::SERVICE_UNAVAILABLE, rejection) }
        }
        Est::Store(_) => ErrorReply::later(code, "the server cannot record what it would issue; nothing was handed out; try again later", 10),
        Est::Signer(_) => ErrorReply::later(code, "the CA cannot sign at present; try again later", 30),
        Est::Busy(_) => ErrorReply::later(code, "too many requests of this kind at once; try again later", 5),
        Est::Internal(_) => ErrorReply::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            code,
            "internal error; report the request id to the operator".to_owned(),
        ),
    }
}

/// Chooses the status of a Full PKI Request's outcome, and after how many seconds to retry. A
/// rejection is never 200 (RFC 7030 §4.3.2), and a pending request is 202 (D-11).
pub(super) const fn of_outcome(outcome: &CmcOutcome) -> (StatusCode, Option<u32>) {
    match outcome {
        CmcOutcome::Done => (StatusCode::OK, None),
        CmcOutcome::Pending => (StatusCode::ACCEPTED, Some(RETRY)),
        CmcOutcome::Rejected(fail, _) => of_failure(*fail),
    }
}

/// Selects the status of a CMC failure; no code: the kind of the request is not supported.
#[deny(clippy::wildcard_enum_match_arm)]
pub(super) const fn of_failure(fail: Option<FailInfo>) -> (StatusCode, Option<u32>) {
    let Some(fail) = fail else { return (StatusCode::BAD_REQUEST, None) };
    match fail {
        FailInfo::BadIdentity => (StatusCode::FORBIDDEN, None),
        FailInfo::TryLater => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY)),
        FailInfo::InternalCaError => (StatusCode::INTERNAL_SERVER_ERROR, None),
        FailInfo::BadAlg
        | FailInfo::BadMessageCheck
        | FailInfo::BadRequest
        | FailInfo::BadTime
        | FailInfo::BadCertId
        | FailInfo::UnsupportedExt
        | FailInfo::PopRequired
        | FailInfo::PopFailed
        | FailInfo::NoKeyReuse => (StatusCode::BAD_REQUEST, None),
    }
}

/// Chooses the status of an operator's call that failed.
#[deny(clippy::wildcard_enum_match_arm)]
pub(super) const fn of_call(error: &admin::Error) -> StatusCode {
    match error {
        admin::Error::Invalid { .. } | admin::Error::Unreadable { .. } => StatusCode::BAD_REQUEST,
        admin::Error::NotFound(_) | admin::Error::Forgotten(_) => StatusCode::NOT_FOUND,
        admin::Error::Exists(_)
        | admin::Error::Taken { .. }
        | admin::Error::Ambiguous { .. }
        | admin::Error::Failed { .. } => StatusCode::CONFLICT,
        admin::Error::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        admin::Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Of an operator's call with a method that its path does not accept.
pub(super) const NO_SUCH_METHOD: StatusCode = StatusCode::METHOD_NOT_ALLOWED;
/// Of an answer without content (RFC 7030 §4.5.2).
pub(super) const NOTHING: StatusCode = StatusCode::NO_CONTENT;

impl ErrorReply {
    /// Whether the answer carries challenges.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Whether the path does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// Whether the body was left unread or cut short.
    pub(super) const fn cuts_the_body(&self) -> bool {
        matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
    }

    fn of(status: StatusCode, rejection: &Rejection) -> Self {
        let text =
            format!("{}; got {}; expected: {}", rejection.rule, rejection.got, rejection.expected);
        Self::plain(status, rejection.code, text)
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
