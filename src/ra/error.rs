//! Errors of the registration authority.

use crate::{
    ca,
    entropy::NoEntropy,
    pki, store,
    types::{Code, Rejection},
};

/// Why a request ends without a certificate. Each protocol chooses a status for each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body has not the form that the operation accepts.
    #[error("{0}")]
    Malformed(Rejection),
    /// The CSR is not signed by the key in it.
    #[error("{0}")]
    ProofOfPossession(Rejection),
    /// The CSR breaks a rule. Another CSR of the same client can be accepted.
    #[error("{0}")]
    Unacceptable(Rejection),
    /// The CSR is not bound to its connection as it should be (RFC 7030 §3.5).
    #[error("{0}")]
    Linking(Rejection),
    /// The client is not authenticated, or not for this request, and a password could help (D-24, D-41).
    #[error("{0}")]
    Unauthenticated(Rejection),
    /// The password is right, and its nonce is unknown, too old, or used: the client answers a new one
    /// (RFC 7616 §3.3).
    #[error("{0}")]
    Stale(Rejection),
    /// Too many failed logins; the next is allowed after this number of seconds.
    #[error("{0}")]
    TooManyFailures(Rejection, u32),
    /// The client is not authenticated, and only a certificate could help (D-24).
    #[error("{0}")]
    CertificateNeeded(Rejection),
    /// Policy does not allow this to the client.
    #[error("{0}")]
    Forbidden(Rejection),
    /// The names are not those of the certificate to be renewed (RFC 7030 §4.2.2).
    #[error("{0}")]
    IdentityChanged(Rejection),
    /// The certificate cannot be renewed yet, but after this number of seconds.
    #[error("{0}")]
    TooEarly(Rejection, u32),
    /// The certificate can be renewed no more; only the retry of a request that was in time is answered.
    #[error("{0}")]
    TooLate(Rejection),
    /// The label or the operation does not exist; the client does not learn which (R-7030-3.2.2-g).
    #[error("no such path")]
    UnknownPath,
    /// The store does not answer, or cannot record.
    #[error("store: {0}")]
    Store(#[source] store::Error),
    /// The CA's key cannot be used, or its certificate is not valid now.
    #[error("{0}")]
    Signer(#[source] ca::Error),
    /// The client's certificate becomes valid later: a clock is wrong, or was.
    #[error("{0}")]
    NotYetValid(Rejection),
    /// The server has no capacity for the request now.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// An error of this program.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Returns the code of the rule that was broken.
    #[must_use]
    #[deny(clippy::wildcard_enum_match_arm)]
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(rejection)
            | Self::ProofOfPossession(rejection)
            | Self::Unacceptable(rejection)
            | Self::Linking(rejection)
            | Self::Unauthenticated(rejection)
            | Self::Stale(rejection)
            | Self::TooManyFailures(rejection, _)
            | Self::TooEarly(rejection, _)
            | Self::TooLate(rejection)
            | Self::CertificateNeeded(rejection)
            | Self::Forbidden(rejection)
            | Self::IdentityChanged(rejection)
            | Self::NotYetValid(rejection) => rejection.code,
            Self::UnknownPath => Code::HttpPath,
            Self::Store(_) => Code::ServerStore,
            Self::Signer(_) => Code::ServerSigner,
            Self::Busy(_) => Code::ServerBusy,
            Self::Internal(_) => Code::ServerInternal,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<NoEntropy> for Error {
    fn from(error: NoEntropy) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<ca::Error> for Error {
    fn from(error: ca::Error) -> Self {
        match error {
            ca::Error::Store(error) => Self::Store(error),
            ca::Error::WeakKey(rejection) => Self::Unacceptable(rejection),
            ca::Error::Repeats(_) => {
                Self::Busy("too many keys were generated for retries of this request")
            }
            ca::Error::Signer { .. } | ca::Error::NotValid { .. } | ca::Error::Entropy(_) => {
                Self::Signer(error)
            }
            ca::Error::Unmet(unmet) => unmet.into(),
            ca::Error::Encoding(_) | ca::Error::File { .. } | ca::Error::Lint(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}

impl From<pki::Error> for Error {
    fn from(error: pki::Error) -> Self {
        use pki::Error as Pki;
        match error {
            Pki::Malformed(rejection) => Self::Malformed(rejection),
            Pki::ProofOfPossession(rejection) => Self::ProofOfPossession(rejection),
            Pki::Unacceptable(rejection) => Self::Unacceptable(rejection),
        }
    }
}

/// A body that the transport rejects.
impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Malformed(rejection)
    }
}
