//! Why a request did not get what it asked for.

use super::{Denial, Unauthenticated};
use crate::{
    ca, pki, store,
    types::{Code, Fault},
};

/// Why a request did not get what it asked for. Each protocol gives each a status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The octets are not what the operation takes.
    #[error("{0}")]
    Malformed(Fault),
    /// The CSR is not signed by the key in it.
    #[error("{0}")]
    ProofOfPossession(Fault),
    /// The CSR breaks a rule that another one could keep.
    #[error("{0}")]
    Unacceptable(Fault),
    /// The CSR is not bound to the connection that it came over, and should be.
    #[error("{0}")]
    Linking(Fault),
    /// Nobody is authenticated, or not for this, and a password could help (D-24, D-41).
    #[error("{0}")]
    Unauthenticated(Fault),
    /// The password was right, and has to be proved again with a new nonce.
    #[error("{0}")]
    Stale(Fault),
    /// Too many wrong passwords of late; again after so many seconds.
    #[error("{0}")]
    TooManyFailures(Fault, u32),
    /// Nobody is authenticated, and only a certificate could help.
    #[error("{0}")]
    CertificateNeeded(Fault),
    /// The client may not have this.
    #[error("{0}")]
    Denied(Fault),
    /// The names are not those of the certificate to be renewed.
    #[error("{0}")]
    IdentityChanged(Fault),
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
    NotYetValid(Fault),
    /// More asks for work than is taken on at once.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// A fault of this program.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Returns the code of the rule that was broken.
    #[must_use]
    #[deny(clippy::wildcard_enum_match_arm)]
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(fault)
            | Self::ProofOfPossession(fault)
            | Self::Unacceptable(fault)
            | Self::Linking(fault)
            | Self::Unauthenticated(fault)
            | Self::Stale(fault)
            | Self::TooManyFailures(fault, _)
            | Self::CertificateNeeded(fault)
            | Self::Denied(fault)
            | Self::IdentityChanged(fault)
            | Self::NotYetValid(fault) => fault.code,
            Self::UnknownPath => Code::HttpPath,
            Self::Store(_) => Code::ServerStore,
            Self::Signer(_) => Code::ServerSigner,
            Self::Busy(_) => Code::ServerBusy,
            Self::Internal(_) => Code::ServerInternal,
        }
    }
}

impl From<store::Error> for Error {
    fn from(fault: store::Error) -> Self {
        Self::Store(fault)
    }
}

impl From<Unauthenticated> for Error {
    fn from(fault: Unauthenticated) -> Self {
        use Unauthenticated as Ra;
        match fault {
            Ra::Challenge(fault) => Self::Unauthenticated(fault),
            Ra::Stale(fault) => Self::Stale(fault),
            Ra::TooManyFailures { fault, seconds } => Self::TooManyFailures(fault, seconds),
            Ra::Entropy(fault) => Self::Internal(fault.to_string()),
            Ra::CertificateNeeded(fault) => Self::CertificateNeeded(fault),
            Ra::Store(fault) => Self::Store(fault),
            Ra::NotYetValid(fault) => Self::NotYetValid(fault),
            Ra::Busy => Self::Busy("passwords are being checked"),
        }
    }
}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        use Denial as Ra;
        match denial {
            Ra::Unacceptable(fault) => Self::Unacceptable(fault),
            Ra::Linking(fault) => Self::Linking(fault),
            Ra::Denied(fault) => Self::Denied(fault),
            Ra::IdentityChanged(fault) => Self::IdentityChanged(fault),
            Ra::PasswordHelps(fault) => Self::Unauthenticated(fault),
        }
    }
}

impl From<ca::Error> for Error {
    fn from(fault: ca::Error) -> Self {
        match fault {
            ca::Error::Store(fault) => Self::Store(fault),
            ca::Error::WeakKey(fault) => Self::Unacceptable(fault),
            ca::Error::Repeats(_) => Self::Busy("keys were made for this request again and again"),
            ca::Error::Signer { .. } | ca::Error::NotValid { .. } | ca::Error::Entropy(_) => {
                Self::Signer(fault)
            }
            ca::Error::Encoding(_) | ca::Error::File { .. } => Self::Internal(fault.to_string()),
        }
    }
}

impl From<pki::Error> for Error {
    fn from(fault: pki::Error) -> Self {
        use pki::Error as Pki;
        match fault {
            Pki::Malformed(fault) => Self::Malformed(fault),
            Pki::ProofOfPossession(fault) => Self::ProofOfPossession(fault),
            Pki::Unacceptable(fault) => Self::Unacceptable(fault),
        }
    }
}

/// A fault of the request that only the transport can see.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}
