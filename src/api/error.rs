//! The answer to a call that did not succeed.

use serde::{Deserialize, Serialize};

/// The answer to a call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct ErrorResponse {
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub remedy: String,
    /// What kind of error it is.
    #[serde(default)]
    pub kind: ErrorKind,
}

/// What kind of error keeps a call from succeeding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The call has a value that is not accepted.
    Invalid,
    /// The thing that the call names does not exist.
    NotFound,
    /// The thing that the call adds exists.
    Exists,
    /// The call names several things where one is meant.
    Ambiguous,
    /// The store does not answer.
    Unavailable,
    /// Anything else.
    #[default]
    #[serde(other)]
    Failed,
}

impl ErrorKind {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::Ambiguous => "ambiguous",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}
