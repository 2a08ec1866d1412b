//! One-time tokens.

use crate::types::{DeviceId, Label, Serial, Time, TokenId};

/// A one-time token: it proves its holder's right to one certificate (RFC 7030 §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of its text: the record's key. The text itself is not kept.
    pub id: TokenId,
    /// The label under which it is accepted; none: requests without a label.
    pub label: Option<Label>,
    /// The right that it gives.
    pub grant: Grant,
    /// When it was created.
    pub created: Time,
    /// When it ends (exclusive).
    pub expires: Time,
    /// Whether the operator, a restore or an import disabled it.
    pub disabled: bool,
    /// The issuance that consumed it; none: it was not used, or that issuance was voided.
    pub consumed_by: Option<Serial>,
    /// Whether a retry got a second certificate for a key that may be lost on its way (RFC 7030 §4.4).
    pub reissued: bool,
    /// The keys of CMC's proofs by a shared secret, if requested.
    pub proof_keys: Option<super::super::ProofKeys>,
}

/// The right that a token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A certificate of this registered device, with the names that the label's rules give it.
    Device(DeviceId),
    /// A certificate with exactly these names: a subject as RFC 4514 text, entries of the subjectAltName as
    /// `dns:…`.
    Names {
        /// The subject.
        subject: String,
        /// The entries.
        san: Vec<String>,
    },
    /// A certificate with any name that the label's rules allow.
    AnyName,
}
