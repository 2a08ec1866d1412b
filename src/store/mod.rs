//! The state of every certificate and enrollment account, and the audit events of their changes.
//!
//! An issuance is recorded in two steps. [`Store::begin`] makes the content to sign durable, and
//! [`Store::complete`] adds the certificate. In between the record is *open*, and listed as such. A
//! certificate leaves the server only after `complete` has returned. Both steps are idempotent: a
//! retried request finds the record of the first one, and the first completion determines the
//! certificate. [`Store::revoke`] ends a certificate's use. docs/design/issuance.md has the states.
//!
//! No call blocks the caller's thread: sled blocks threads of its own.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod fixtures;
mod format;
mod memory;
mod postgres;
mod record;
mod requests;
mod sled;
pub mod transfer;

pub use memory::MemoryStore;
pub use postgres::{PostgresOptions, PostgresSnapshot, PostgresStore};
pub use record::{
    Account, Filter, IdempotencyKey, Intent, Issuance, Item, Password, ProofKeys, Recomputable,
    Revocation, State,
};
pub use sled::{Compacted, SledStore};

use crate::{
    telemetry::audit::{Event, EventId},
    types::{Serial, Time},
};
use async_trait::async_trait;
use std::sync::Arc;

/// The result of [`Store::begin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The intent is recorded, durably; the request is no retry.
    New,
    /// The same request was begun before and has no certificate yet. Sign *its* `tbs` and
    /// complete *its* serial; the new intent was not recorded.
    Open(Arc<Issuance>),
    /// The same request has its certificate already; the new intent was not recorded.
    Complete(Arc<Issuance>),
}

/// The result of [`Store::compare_and_set`].
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
    /// An imported record exists with different contents.
    #[error("{0} already exists with different contents")]
    Conflict(String),
}

/// The error of every method after [`Store::close`].
fn closed() -> Error {
    Error::Unavailable("it was closed".to_owned())
}

/// The state of every certificate, account and audit event.
///
/// Each method that changes something returns once the change is durable, together with its event.
/// No method panics or blocks the caller's thread on a disk.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Records the content to sign. For a retry, returns the record of the first request instead. A
    /// retry has the same [`IdempotencyKey`] and begins before the first one's
    /// [`Intent::retry_until`].
    ///
    /// # Errors
    /// [`Error::SerialTaken`]; [`Error::Unavailable`].
    async fn begin(&self, intent: Intent) -> Result<Begun, Error>;

    /// Finds the issuance whose record [`Store::begin`] would return to a retry that arrives at `at`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn first_answer(
        &self,
        key: &IdempotencyKey,
        at: Time,
    ) -> Result<Option<Arc<Issuance>>, Error>;

    /// Adds the certificate (DER) to an open issuance. If it has one, changes nothing and returns
    /// the record: the caller sends *that* certificate.
    ///
    /// # Errors
    /// [`Error::NoSuchIssuance`]; [`Error::WrongState`] if it was voided, or revoked since;
    /// [`Error::Unavailable`].
    async fn complete(
        &self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error>;

    /// Ends an open issuance that will never have a certificate. Voiding it twice is no error.
    ///
    /// # Errors
    /// [`Error::NoSuchIssuance`]; [`Error::WrongState`] if it is complete;
    /// [`Error::Unavailable`].
    async fn void(&self, serial: &Serial, event: Event) -> Result<(), Error>;

    /// Revokes an issued certificate, for good, and returns the record. If it was revoked before,
    /// changes nothing: the first revocation stays. Later retries count as new requests.
    ///
    /// # Errors
    /// [`Error::NoSuchIssuance`]; [`Error::WrongState`] if it is open or void;
    /// [`Error::Unavailable`].
    async fn revoke(
        &self,
        serial: &Serial,
        revocation: Revocation,
        event: Event,
    ) -> Result<Arc<Issuance>, Error>;

    /// Finds one issuance.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error>;

    /// Lists issuances that match `filter`, in the order of their serial numbers: those after
    /// `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error>;

    /// Adds an enrollment account.
    ///
    /// # Errors
    /// [`Error::AccountExists`]; [`Error::Unavailable`].
    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error>;

    /// Removes an enrollment account.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`]; [`Error::Unavailable`].
    async fn remove_account(&self, name: &str, event: Event) -> Result<(), Error>;

    /// Finds one account.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn account(&self, name: &str) -> Result<Option<Account>, Error>;

    /// Lists the accounts by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn accounts(&self) -> Result<Vec<Account>, Error>;

    /// Commits an event that changes nothing else.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn append(&self, event: Event) -> Result<(), Error>;

    /// Lists committed events in the order of their ids, from `from` (inclusive), at most `limit`.
    /// A writer's numbers begin with 1 and have no gaps.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error>;

    /// Sets the register `name` to `value` if it holds `expected` (none: it was never set). Of several
    /// callers at once, on whichever nodes, one succeeds. Registers hold what must be agreed on
    /// once and has no table of its own: the keys of a CA, a lease, the next number.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn compare_and_set(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<CompareAndSet, Error>;

    /// Returns the value of a register; none if it was never set.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn register(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Lists the registers and their values, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// Imports records from another store verbatim, without publishing events. Equal records that
    /// exist are left unchanged, so that an interrupted import can be run again.
    ///
    /// # Errors
    /// [`Error::Conflict`] naming the first record that exists and differs, or an event whose
    /// predecessor is missing: records before it may have been imported; [`Error::Unavailable`].
    async fn import(&self, items: Vec<Item>) -> Result<(), Error>;

    /// Finishes queued changes and closes the files. Later calls fail with
    /// [`Error::Unavailable`].
    async fn close(&self);
}
