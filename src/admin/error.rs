//! Errors of the operator's calls.

use crate::{
    api::{ErrorKind, ErrorResponse},
    store,
    types::escaped,
};

/// Reasons why a call does not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the call is not accepted.
    #[error("{what}: got {got}; expected: {expected}")]
    Invalid {
        /// The name of the value.
        what: String,
        /// The value.
        got: String,
        /// The values that are accepted.
        expected: String,
    },
    /// The call cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Its path.
        path: &'static str,
        /// The reason.
        error: String,
    },
    /// The named thing does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// No request with this id is remembered.
    #[error(
        "request {0}: got the id of no request that this estd remembers; expected: of a recent one"
    )]
    Forgotten(String),
    /// Several serial numbers have this prefix.
    #[error(
        "serial number {prefix}: got the prefix of several; expected: of one. They are {candidates}"
    )]
    Ambiguous {
        /// The prefix that was given.
        prefix: String,
        /// Serial numbers with their subjects.
        candidates: String,
    },
    /// The thing to add exists already.
    #[error("{0} exists already")]
    Exists(String),
    /// Another device has the identifier.
    #[error(
        "identifier {identifier}: got that of device {device}; expected: one of no other device"
    )]
    Taken {
        /// The identifier.
        identifier: String,
        /// The device that has it.
        device: String,
    },
    /// The store did not answer, or rejected the change.
    #[error(transparent)]
    Store(store::Error),
    /// The server attempted the action and failed.
    #[error("{error}")]
    Failed {
        /// The error.
        error: String,
        /// The remedy.
        remedy: String,
    },
    /// A defect of this program, or the system has no randomness.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Returns the remedy: what the operator can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Invalid { .. } | Self::Unreadable { .. } => "correct the value and try again",
            Self::Ambiguous { .. } => "give more digits",
            Self::NotFound(_) => {
                "list what exists, with list of estd cert, estd device, estd token or estd user"
            },
            Self::Forgotten(_) => {
                "search the audit file and the log for the id; estd remembers about 1,000 requests, until it stops"
            }
            Self::Exists(_) => "choose another name, or change the one that exists",
            Self::Taken { .. } => "correct it: an identifier belongs to one device",
            Self::Store(_) => "see the server's log",
            Self::Failed { remedy, .. } => remedy,
            Self::Internal(_) => "report it",
        }
        .to_owned()
    }

    /// Returns the response to the call.
    #[must_use]
    pub fn response(&self) -> ErrorResponse {
        let kind = match self {
            Self::Invalid { .. } | Self::Unreadable { .. } => ErrorKind::Invalid,
            Self::NotFound(_) | Self::Forgotten(_) => ErrorKind::NotFound,
            Self::Ambiguous { .. } => ErrorKind::Ambiguous,
            Self::Exists(_) | Self::Taken { .. } => ErrorKind::Exists,
            Self::Store(_) => ErrorKind::Unavailable,
            Self::Failed { .. } | Self::Internal(_) => ErrorKind::Failed,
        };
        ErrorResponse { error: self.to_string(), remedy: self.remedy(), kind }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchAccount(name) => {
                Self::NotFound(format!("user \"{}\"", escaped(name).quote()))
            }
            store::Error::AccountExists(name) => {
                Self::Exists(format!("user \"{}\"", escaped(name).quote()))
            }
            store::Error::DeviceExists(id) => Self::Exists(format!("device {id}")),
            store::Error::IdentifierTaken { identifier, device } => {
                Self::Taken { identifier: identifier.to_string(), device: device.to_string() }
            }
            store::Error::NoSuchToken(id) => Self::NotFound(format!("token {}", id.short())),
            error @ store::Error::Changed(_) => Self::Failed {
                error: error.to_string(),
                remedy: "look at it again, and repeat the command".to_owned(),
            },
            error @ store::Error::ImportEnded(_) => Self::Failed {
                error: error.to_string(),
                remedy:
                    "one import runs at a time: when the other one has ended, repeat the command"
                        .to_owned(),
            },
            other => Self::Store(other),
        }
    }
}

/// Returns the error for a value that is not accepted.
pub(super) fn invalid(what: &str, got: impl ToString, expected: impl ToString) -> Error {
    let got = Some(got.to_string()).filter(|got| !got.is_empty());
    Error::Invalid {
        what: what.to_owned(),
        got: got.unwrap_or_else(|| "nothing".to_owned()),
        expected: expected.to_string(),
    }
}
