//! Enrollment accounts.

use serde::{Deserialize, Serialize};

/// Asks for the enrollment accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListUsers {}

/// Removes an enrollment account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveUser {
    /// User name.
    pub name: String,
}

/// The enrolment accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// By name.
    pub users: Vec<UserEntry>,
}

/// One enrolment account. Its password is not known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    /// User name.
    pub name: String,
    /// When it was added, RFC 3339.
    pub added: String,
    /// What is kept of the password: `argon2id`; or `digest`, with it `digest-md5` and
    /// `identity-proof`.
    pub kept: Vec<String>,
    /// The realm that it was made for; none with `argon2id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The labels it may enrol under; none: all, and without a label.
    pub labels: Option<Vec<String>>,
}

/// Adds an enrollment account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// User name.
    pub name: String,
    /// Password: 8 characters or more.
    pub password: String,
    /// The labels it may enrol under; none: all, and without a label.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// Keeps the secret of HTTP Digest with SHA-256 instead of a hash of the password.
    #[serde(default)]
    pub digest: bool,
    /// Keeps that of HTTP Digest with MD5, too.
    #[serde(default)]
    pub digest_md5: bool,
    /// Keeps SHA-256 of the password, too: the key of CMC's identity proof.
    #[serde(default)]
    pub identity_proof: bool,
    /// Accepts an empty name (RFC 7030 §3.2.3).
    #[serde(default)]
    pub allow_empty_name: bool,
    /// Checks all of it and adds nothing.
    #[serde(default)]
    pub dry_run: bool,
}
