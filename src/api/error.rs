//! The answer to a call that failed.

use serde::{Deserialize, Serialize};

/// Answer to a call that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct ErrorResponse {
    /// Error.
    pub error: String,
    /// Remedy for the operator.
    pub remedy: String,
    /// Kind of the error.
    #[serde(default)]
    pub kind: ErrorKind,
}

/// Kind of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// A value of the call is not accepted.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The thing to add exists already.
    Exists,
    /// The call matches several things instead of one.
    Ambiguous,
    /// The store does not answer.
    Unavailable,
    /// Any other.
    #[default]
    #[serde(other)]
    Failed,
}
