//! One-time tokens. Their texts never travel: the command that creates a token keeps its text and
//! sends its SHA-256.

use super::error::ErrorResponse;
use serde::{Deserialize, Serialize};

/// Adds one-time tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTokens {
    /// The label under which they are accepted; none: requests without a label.
    #[serde(default)]
    pub label: Option<String>,
    /// End of their use: `24h`, RFC 3339 or a date; at most 366 days from now.
    pub expires: String,
    /// Tokens: 1 to 500.
    pub tokens: Vec<NewToken>,
    /// Checks the call without adding a token.
    #[serde(default)]
    pub dry_run: bool,
}

/// A token to add.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The id that its text gives, 64 hexadecimal digits. A dry run needs none.
    #[serde(default)]
    pub id: String,
    /// The right that it gives.
    pub grant: TokenGrant,
    /// Keys of CMC's identity proof; they can be used in place of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_keys: Option<TokenProofKeys>,
}

/// Keys of CMC's identity proof, each 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenProofKeys {
    /// SHA-256 of the token.
    pub alone: String,
    /// SHA-256 of the token followed by the user name.
    pub named: String,
}

/// The right that a token gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenGrant {
    /// A certificate of this registered device.
    Device(String),
    /// A certificate with exactly these names.
    Names {
        /// Subject, RFC 4514; may be empty.
        subject: String,
        /// Entries of the subjectAltName as `KIND:VALUE`.
        #[serde(default)]
        san: Vec<String>,
    },
    /// A certificate with any name that the label's rules allow.
    AnyName,
}

/// The answer to [`NewTokens`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensAdded {
    /// End of their use, RFC 3339.
    pub expires: String,
    /// The rights as they are recorded, in the order of the call.
    pub grants: Vec<TokenGrant>,
}

/// Lists tokens by id; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenQuery {
    /// Label; `-` for tokens without one.
    pub label: Option<String>,
    /// Id of the device that it is for.
    pub device: Option<String>,
    /// `usable`, `used`, `expired` or `disabled`.
    pub state: Option<String>,
    /// Cursor: the id of the last token of the previous page.
    pub after: Option<String>,
    /// Largest number of tokens: 1 to 1000. Default: 100.
    pub limit: Option<usize>,
}

/// A page of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenList {
    /// Tokens by id. A page may be empty although a next one exists.
    pub tokens: Vec<TokenEntry>,
    /// Value of `after` for the next page; none if this is the last.
    pub next: Option<String>,
}

/// One token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    /// The first 16 digits of its id.
    pub id: String,
    /// `usable`, `used`, `expired` or `disabled`.
    pub state: String,
    /// The label under which it is accepted; none: requests without a label.
    pub label: Option<String>,
    /// The right that it gives.
    pub grant: TokenGrant,
    /// Time of its creation, RFC 3339.
    pub created: String,
    /// End of its use, RFC 3339.
    pub expires: String,
    /// Serial number of the certificate that it was used for.
    pub certificate: Option<String>,
    /// Whether the store has the keys of CMC's identity proof.
    pub cmc: bool,
}

/// Disables tokens: they can no longer be used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisableTokens {
    /// Ids, or their first 8 digits or more: 1 to 500.
    pub tokens: Vec<String>,
    /// Text for the audit events.
    #[serde(default)]
    pub comment: Option<String>,
}

/// The answer to [`DisableTokens`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensDisabled {
    /// Tokens that are disabled now. A used one keeps its certificate.
    pub disabled: Vec<TokenEntry>,
    /// Tokens that are not, and why.
    pub failed: Vec<FailedToken>,
}

/// A token that a call could not handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedToken {
    /// The first 16 digits of the id as given.
    pub token: String,
    /// The error.
    pub reason: ErrorResponse,
}
