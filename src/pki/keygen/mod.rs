//! Keys that the server generates for a device (RFC 7030 §4.4): the CSR's demands, and the packed
//! key for the device.
//!
//! ```text
//! EnvelopedData { SignedData { AsymmetricKeyPackage { OneAsymmetricKey }}}
//! ```
//!
//! The device names the decrypting key and its algorithms; no other is used.
//! All of the cryptography is aws-lc-rs'.

mod algorithms;
mod envelope;
mod open;
mod package;
mod request;
mod signed;

use crate::types::KeyKind;

pub use algorithms::Capabilities;
pub use envelope::{EnvelopePlan, Recipient};
pub use open::{Decryption, decrypt};
pub use package::{key_of_package, key_package};
pub use request::{Protection, ask_for_encryption, protection, wanted_kind};
pub use signed::{KeygenSigner, sign, verify};

/// Bits of a symmetric key that is no weaker than a key of this kind.
#[must_use]
pub fn strength(kind: KeyKind) -> u16 {
    match algorithms::Aes::as_strong_as(kind) {
        algorithms::Aes::Aes128 => 128,
        algorithms::Aes::Aes256 => 256,
    }
}

/// A key could not be protected, or what protects it could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The cryptographic library failed.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
    /// A structure could not be written or read.
    #[error("{what}: {rejection}")]
    Der {
        /// Which.
        what: &'static str,
        /// Where it breaks.
        rejection: String,
    },
    /// A server's answer breaks a rule.
    #[error("{0}")]
    Invalid(String),
}

fn der_rejection(what: &'static str) -> impl Fn(der::Error) -> SealError {
    move |rejection| SealError::Der { what, rejection: rejection.to_string() }
}
