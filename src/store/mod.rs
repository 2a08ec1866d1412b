//! The state of every certificate, every enrolment account, and the audit events that belong to
//! them.
//!
//! An issuance is recorded in two steps: [`Store::begin`] makes what will be signed durable,
//! [`Store::complete`] adds the certificate. Between the two the record is *open* and visible as
//! such; a certificate leaves the server only after `complete` has returned. Both steps are
//! idempotent: a repeated request finds the record of the first one, and whoever completes first
//! decides which certificate it is. [`Store::revoke`] ends a certificate's use. docs/design/issuance.md
//! has the states.
//!
//! The trait hides where a backend blocks: sled does on threads of its own.

#[cfg(test)]
mod contract;
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
    types::Serial,
};
use async_trait::async_trait;
use std::sync::Arc;

/// What [`Store::begin`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The intent is recorded, durably; nobody else has asked for it.
    New,
    /// The same request was begun before and has no certificate yet. Sign *its* `tbs` and
    /// complete *its* serial; the new intent was not recorded.
    Open(Arc<Issuance>),
    /// The same request has its certificate already; the new intent was not recorded.
    Complete(Arc<Issuance>),
}

/// What [`Store::compare_and_set`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareAndSet {
    /// The register held the expected value; it holds the new one now, durably.
    Set,
    /// The register holds another value, which is returned, or none: nothing was changed.
    Differs(Option<Vec<u8>>),
}

/// Why the store did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has it open. Only sled.
    #[error("the store {0} is in use by another process")]
    InUse(String),
    /// It does not answer, or could not write: nothing may be issued.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is stored cannot be read back.
    #[error("the store holds what this version cannot read: {0}")]
    Corrupt(String),
    /// A serial number that was used before.
    #[error("serial number {0} is taken")]
    SerialTaken(Serial),
    /// No issuance has this serial number.
    #[error("no issuance has serial number {0}")]
    NoSuchIssuance(Serial),
    /// The issuance is not in the state that the step needs.
    #[error("issuance {serial} is {state}")]
    WrongState {
        /// Which.
        serial: Serial,
        /// The state it is in.
        state: State,
    },
    /// The account exists already.
    #[error("account {0:?} exists already")]
    AccountExists(String),
    /// No account has this name.
    #[error("no account is called {0:?}")]
    NoSuchAccount(String),
    /// What is imported is there already, and differs.
    #[error("{0} is in the store already, and is not the same")]
    Conflict(String),
}

/// What every method answers after [`Store::close`].
fn closed() -> Error {
    Error::Unavailable("it was closed".to_owned())
}

/// The state of every certificate, account and audit event.
///
/// Each method that changes something returns when the change is durable, and takes the event
/// that is committed with it. No method panics or blocks the caller's thread on a disk.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Records what will be signed, unless the same request (by [`IdempotencyKey`]) was recorded
    /// before and the moment [`Intent::begun`] is before that record's
    /// [`Intent::retry_until`].
    ///
    /// # Errors
    /// [`Error::SerialTaken`]; [`Error::Unavailable`].
    async fn begin(&self, intent: Intent) -> Result<Begun, Error>;

    /// Adds the certificate (DER) to an open issuance. If it is complete already, changes nothing
    /// and returns the record as it is: the caller sends *that* certificate.
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
    /// changes nothing: the first revocation stays. From now on a repeat of its request is a new
    /// one.
    ///
    /// # Errors
    /// [`Error::NoSuchIssuance`]; [`Error::WrongState`] if there is no certificate: it is open, or
    /// was voided; [`Error::Unavailable`].
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

    /// Lists issuances in the order of their serial numbers, those after `after`, at most `limit`
    /// that pass `filter`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error>;

    /// Adds an enrolment account.
    ///
    /// # Errors
    /// [`Error::AccountExists`]; [`Error::Unavailable`].
    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error>;

    /// Removes an enrolment account.
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

    /// Adds what another store kept, as it was there; nothing is told to the trail. What is there
    /// already and equal is left alone, so that an import which was cut short can be done again.
    ///
    /// # Errors
    /// [`Error::Conflict`] naming the first item that is there and differs, or an event whose
    /// predecessor is missing: items before it may have been imported; [`Error::Unavailable`].
    async fn import(&self, items: Vec<Item>) -> Result<(), Error>;

    /// Finishes what is queued and lets go of the files. Later calls answer
    /// [`Error::Unavailable`].
    async fn close(&self);
}
