//! Why a request did not get what it asked for.

use super::{Denial, Unauthenticated};
use crate::{
    ca, pki, store,
    types::{Code, Rejection},
};

/// Why a request did not get what it asked for. Each protocol gives each a status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what the operation takes.
    #[error("{0}")]
    Malformed(Rejection),
    /// The CSR is not signed by the key in it.
    #[error("{0}")]
    ProofOfPossession(Rejection),
    /// The CSR breaks a rule that another one could keep.
    #[error("{0}")]
    Unacceptable(Rejection),
    /// The CSR is not bound to the connection that it came over, and should be.
    #[error("{0}")]
    Linking(Rejection),
    /// Nobody is authenticated, or not for this, and a password could help (D-24, D-41).
    #[error("{0}")]
    Unauthenticated(Rejection),
    /// The password was right, and has to be proved again with a new nonce.
    #[error("{0}")]
    Stale(Rejection),
    /// Too many wrong passwords of late; again after so many seconds.
    #[error("{0}")]
    TooManyFailures(Rejection, u32),
    /// Nobody is authenticated, and only a certificate could help.
    #[error("{0}")]
    CertificateNeeded(Rejection),
    /// The client may not have this.
    #[error("{0}")]
    Denied(Rejection),
    /// The names are not those of the certificate to be renewed.
    #[error("{0}")]
    IdentityChanged(Rejection),
    /// No such label or operation; which of the two is not told (R-7030-3.2.2-g).
    #[error("no such path")]
    UnknownPath,
    /// The store does not answer or does not take what must be recorded.
    #[error("store: {0}")]
    Store(#[source] store::Error),
    /// The CA's key cannot be used, or its certificate is not valid now.
    #[error("{0}")]
    Signer(#[source] ca::Error),
    /// The client's certificate becomes valid later: a clock is wrong, or was.
    #[error("{0}")]
    NotYetValid(Rejection),
    /// More asks for work than is taken on at once.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// A rejection of this program.
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
            | Self::CertificateNeeded(rejection)
            | Self::Denied(rejection)
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
    fn from(rejection: store::Error) -> Self {
        Self::Store(rejection)
    }
}

impl From<Unauthenticated> for Error {
    fn from(rejection: Unauthenticated) -> Self {
        use Unauthenticated as Ra;
        match rejection {
            Ra::Challenge(rejection) => Self::Unauthenticated(rejection),
            Ra::Stale(rejection) => Self::Stale(rejection),
            Ra::TooManyFailures { rejection, seconds } => Self::TooManyFailures(rejection, seconds),
            Ra::Entropy(rejection) => Self::Internal(rejection.to_string()),
            Ra::CertificateNeeded(rejection) => Self::CertificateNeeded(rejection),
            Ra::Store(rejection) => Self::Store(rejection),
            Ra::NotYetValid(rejection) => Self::NotYetValid(rejection),
            Ra::Busy => Self::Busy("passwords are being checked"),
        }
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        use Denial as Ra;
        match denial {
            Ra::Unacceptable(rejection) => Self::Unacceptable(rejection),
            Ra::Linking(rejection) => Self::Linking(rejection),
            Ra::Denied(rejection) => Self::Denied(rejection),
            Ra::IdentityChanged(rejection) => Self::IdentityChanged(rejection),
            Ra::PasswordHelps(rejection) => Self::Unauthenticated(rejection),
        }
    }
}

impl From<ca::Error> for Error {
    fn from(rejection: ca::Error) -> Self {
        match rejection {
            ca::Error::Store(rejection) => Self::Store(rejection),
            ca::Error::WeakKey(rejection) => Self::Unacceptable(rejection),
            ca::Error::Repeats(_) => Self::Busy("keys were made for this request again and again"),
            ca::Error::Signer { .. } | ca::Error::NotValid { .. } | ca::Error::Entropy(_) => {
                Self::Signer(rejection)
            }
            ca::Error::Encoding(_) | ca::Error::File { .. } => {
                Self::Internal(rejection.to_string())
            }
        }
    }
}

impl From<pki::Error> for Error {
    fn from(rejection: pki::Error) -> Self {
        use pki::Error as Pki;
        match rejection {
            Pki::Malformed(rejection) => Self::Malformed(rejection),
            Pki::ProofOfPossession(rejection) => Self::ProofOfPossession(rejection),
            Pki::Unacceptable(rejection) => Self::Unacceptable(rejection),
        }
    }
}

/// A rejection of the request that only the transport can see.
impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Malformed(rejection)
    }
}
