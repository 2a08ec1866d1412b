//! Enrollment accounts.

use serde::{Deserialize, Serialize};

/// Lists the enrollment accounts.
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

/// The enrollment accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// Accounts, by name.
    pub users: Vec<UserEntry>,
}

/// One enrollment account. Its password is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    /// User name.
    pub name: String,
    /// Time at which it was added, RFC 3339.
    pub added: String,
    /// Stored secrets: `argon2id`; or `digest`, and with it `digest-md5` and `identity-proof`.
    pub kept: Vec<String>,
    /// Realm of its secrets; none with `argon2id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The labels it may enroll under; none: all, and without a label.
    pub labels: Option<Vec<String>>,
    /// End of its use, RFC 3339; none: never.
    #[serde(default)]
    pub expires: Option<String>,
}

/// Adds an enrollment account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// User name.
    pub name: String,
    /// Password: 8 characters or more.
    pub password: String,
    /// The labels it may enroll under; none: all, and without a label.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// Stores the secret of HTTP Digest with SHA-256 instead of a hash of the password.
    #[serde(default)]
    pub digest: bool,
    /// Stores the secret of HTTP Digest with MD5, too.
    #[serde(default)]
    pub digest_md5: bool,
    /// Stores SHA-256 of the password, too: the key of CMC's identity proof.
    #[serde(default)]
    pub identity_proof: bool,
    /// Accepts an empty name (RFC 7030 §3.2.3).
    #[serde(default)]
    pub allow_empty_name: bool,
    /// End of its use: `90d`, RFC 3339 or a date; none: never.
    #[serde(default)]
    pub expires: Option<String>,
    /// Checks the account without adding it.
    #[serde(default)]
    pub dry_run: bool,
}

/// Changes an enrollment account. Its stored secrets keep their kinds.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeUser {
    /// User name.
    pub name: String,
    /// New password: 8 characters or more.
    pub password: Option<String>,
    /// The labels it may enroll under from now on.
    pub labels: Option<Vec<String>>,
    /// Whether it may enroll under all labels from now on, and without one.
    pub all_labels: bool,
    /// New end of its use: `90d`, RFC 3339 or a date.
    pub expires: Option<String>,
    /// Whether it never expires from now on.
    pub never_expires: bool,
    /// Checks the change without making it.
    pub dry_run: bool,
}
