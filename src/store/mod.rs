//! The state of every certificate and enrollment account, and the audit events of their changes.
//!
//! An issuance is recorded in two steps. [`Issuances::begin`] makes the content to sign durable, and
//! [`Issuances::complete`] adds the certificate. In between the record is *open*, and listed as such. A
//! certificate leaves the server only after `complete` has returned. Both steps are idempotent: a
//! retried request finds the record of the first one, and the first completion determines the
//! certificate. [`Issuances::revoke`] ends a certificate's use. docs/design/issuance.md has the states.
//!
//! No call blocks the caller's thread: sled blocks threads of its own.

#[cfg(test)]
mod contract;
mod filter;
#[cfg(test)]
mod fixtures;
mod format;
mod memory;
mod postgres;
mod record;
mod registry;
mod requests;
mod sled;
mod subjects;
pub mod transfer;

pub use filter::Filter;
pub use memory::MemoryStore;
pub use postgres::{PostgresOptions, PostgresSnapshot, PostgresStore};
pub use record::{
    Account, IdempotencyKey, Intent, Issuance, Item, Password, ProofKeys, Recomputable, Revocation,
    State,
};
pub use registry::{
    Conditions, Device, DeviceFilter, DeviceStanding, Grant, Identifier, ImportNumber,
    InvalidIdentifier, Token, TokenFilter, Unmet,
};
pub use sled::{Compacted, SledStore};
pub use subjects::{Accounts, AuditEvents, Devices, Issuances, Registers, Store, Tokens};

use crate::types::{DeviceId, Serial, TokenId};
use std::sync::Arc;

/// The result of [`Issuances::begin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The intent is recorded, durably; the request is no retry.
    New,
    /// The same request was begun before and has no certificate yet. Sign *its* `tbs` and
    /// complete *its* serial; the new intent was not recorded.
    Open(Arc<Issuance>),
    /// The same request has its certificate already; the new intent was not recorded.
    Complete(Arc<Issuance>),
    /// The conditions do not hold; nothing was recorded.
    Unmet(Unmet),
}

/// The result of [`Registers::compare_and_set`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareAndSet {
    /// The register held the expected value; it holds the new one now, durably.
    Set,
    /// The register holds another value, which is returned, or none: nothing was changed.
    Differs(Option<Vec<u8>>),
}

/// The reason why a call to the store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has it open. Only sled.
    #[error("the store {0} is in use by another process")]
    InUse(String),
    /// It does not respond, or could not write: nothing may be issued.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A record cannot be read.
    #[error("the store holds a record that this version cannot read: {0}")]
    Corrupt(String),
    /// A serial number that was used before.
    #[error("serial number {0} was used before")]
    SerialTaken(Serial),
    /// No issuance has this serial number.
    #[error("no issuance has serial number {0}")]
    NoSuchIssuance(Serial),
    /// The issuance is in the wrong state for this step.
    #[error("issuance {serial} is {state}")]
    WrongState {
        /// Its serial number.
        serial: Serial,
        /// Its state.
        state: State,
    },
    /// The account exists already.
    #[error("account {0:?} exists already")]
    AccountExists(String),
    /// No account has this name.
    #[error("no account is called {0:?}")]
    NoSuchAccount(String),
    /// The record that a change replaces is another one now.
    #[error("{0} changed meanwhile")]
    Changed(String),
    /// The device exists already.
    #[error("device {0} exists already")]
    DeviceExists(DeviceId),
    /// Another device has the identifier.
    #[error("the identifier {identifier} is that of device {device}")]
    IdentifierTaken {
        /// The identifier.
        identifier: Box<Identifier>,
        /// The device that has it.
        device: DeviceId,
    },
    /// No token has this id.
    #[error("no token has the id {0}")]
    NoSuchToken(TokenId),
    /// The import of devices was finished or abandoned, or another one has begun.
    #[error("the import {0} has ended")]
    ImportEnded(ImportNumber),
    /// An imported record exists with different contents.
    #[error("{0} already exists with different contents")]
    Conflict(String),
}

/// The error of every method after [`Store::close`].
fn closed() -> Error {
    Error::Unavailable("it was closed".to_owned())
}
