//! The certification authority: the content of a certificate, its serial number, its signature, and
//! its record.

mod authority;
mod demand;
mod generated_key;
mod hierarchy;
mod keys;
mod linted;
mod profile;
mod revoke;
mod serial;
pub mod signer;
mod supersede;

pub use authority::{Ca, Issued, Order, OrderedDevice};
pub use hierarchy::{CaCertificates, Hierarchy, Made};
pub use keys::{KeyFile, write_private};
pub use profile::{Content, Profile, ProfileError};
pub use revoke::{Withdrawal, Withdrawn, revoke};
pub use serial::{Sequence, first_serial};
pub use supersede::supersede;

use crate::{
    entropy::NoEntropy,
    lint::LintFindings,
    store,
    types::{CaName, Rejection},
};
use std::path::PathBuf;

/// An error of a CA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store did not record it: nothing was signed, or the certificate was not delivered.
    #[error("store: {0}")]
    Store(#[from] store::Error),
    /// The key could not be used. The record stays open (`estd cert list --state open`).
    #[error("CA {ca}: the key cannot be used: {reason}")]
    Signer {
        /// The owner of the key.
        ca: CaName,
        /// The signer's error.
        reason: String,
        /// The record that stays open; none if nothing was to be issued.
        open: Option<crate::types::Serial>,
    },
    /// A condition of the issuance did not hold: nothing was recorded.
    #[error("the condition does not hold: {0:?}")]
    Unmet(store::Unmet),
    /// Too many keys were generated for one request within its window.
    #[error("{0} keys were generated for the same request within its window")]
    Repeats(usize),
    /// No randomness for a serial number.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The CA's certificate has expired, or is not valid yet.
    #[error("CA {ca}: its certificate is valid from {not_before} to {not_after}")]
    NotValid {
        /// Which.
        ca: CaName,
        /// From.
        not_before: crate::types::Time,
        /// To.
        not_after: crate::types::Time,
    },
    /// The key to be certified belongs to everybody.
    #[error("{0}")]
    WeakKey(Rejection),
    /// The linter stopped what would be signed: an error of this program. Nothing was recorded.
    #[error("the linter stopped a certificate before it was signed: {0}")]
    Lint(LintFindings),
    /// A certificate could not be written: an error of this program.
    #[error("encoding: {0}")]
    Encoding(#[from] der::Error),
    /// A file of the CA cannot be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The error.
        error: String,
        /// The remedy for the operator.
        remedy: String,
    },
}
