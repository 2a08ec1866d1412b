//! Stores by subject: a function's signature names the part that it can touch.

use super::{
    Account, Begun, CompareAndSet, Conditions, Device, DeviceFilter, Error, Filter, IdempotencyKey,
    Identifier, ImportNumber, Intent, Issuance, Item, Revocation, Token, TokenFilter,
};
use crate::{
    telemetry::audit::{Event, EventId},
    types::{DeviceId, Serial, Time, TokenId},
};
use async_trait::async_trait;
use std::sync::Arc;

/// The state of every certificate.
#[async_trait]
pub trait Issuances: Send + Sync {
    /// Records the content to sign, if the conditions hold in that very step. For a retry, returns the
    /// record of the first request instead, whether they hold or not. A retry has the same [`IdempotencyKey`] and begins before the first one's
    /// [`Intent::retry_until`].
    ///
    /// # Errors
    /// [`Error::SerialTaken`]; [`Error::IdentifierTaken`] for [`Conditions::register`];
    /// [`Error::Unavailable`].
    async fn begin(&self, intent: Intent, conditions: Conditions) -> Result<Begun, Error>;

    /// Finds the issuance whose record [`Issuances::begin`] would return to a retry that arrives at `at`.
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
}

/// The enrollment accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
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

    /// Replaces the record `seen` by `new`, which has the same name.
    ///
    /// # Errors
    /// [`Error::Changed`] if the record is not `seen` any more, or not there; [`Error::Unavailable`].
    async fn change_account(&self, seen: &Account, new: Account, event: Event)
    -> Result<(), Error>;

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
}

/// The audit events, each committed with the change that it reports.
#[async_trait]
pub trait AuditEvents: Send + Sync {
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
}

/// Registers: named values that all nodes agree on.
#[async_trait]
pub trait Registers: Send + Sync {
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
}

/// The registered devices.
///
/// An import is staged in pieces, which nobody sees, and switched in one step. A store has at most one staged
/// import.
#[async_trait]
pub trait Devices: Send + Sync {
    /// Finds one device.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error>;

    /// Whether the device may neither enroll nor authenticate. Costs no access to a disk on sled: each
    /// authenticated request asks.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn is_barred(&self, id: &DeviceId) -> Result<bool, Error>;

    /// Finds the devices that have any of the identifiers, each once, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn identified(&self, by: &[Identifier]) -> Result<Vec<Device>, Error>;

    /// Lists devices that match `filter`, in the order of their ids: those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<Device>, Error>;

    /// Registers a device.
    ///
    /// # Errors
    /// [`Error::DeviceExists`], [`Error::IdentifierTaken`]; [`Error::Unavailable`].
    async fn add_device(&self, device: Device, event: Event) -> Result<(), Error>;

    /// Replaces the record `seen` by `new`, which has the same id.
    ///
    /// # Errors
    /// [`Error::Changed`] if the record is not `seen` any more, or not there; [`Error::IdentifierTaken`];
    /// [`Error::Unavailable`].
    async fn change_device(&self, seen: &Device, new: Device, event: Event) -> Result<(), Error>;

    /// Begins to stage an import, and discards what another one staged.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn begin_import(&self) -> Result<ImportNumber, Error>;

    /// Stages devices of the import. Fastest in the order of their ids. One that equals the device on record,
    /// except for standing and time of registration, is left out; so is one that was staged before.
    ///
    /// # Errors
    /// [`Error::DeviceExists`] and [`Error::IdentifierTaken`], after which the import can only be abandoned;
    /// [`Error::ImportEnded`]; [`Error::Unavailable`].
    async fn stage_devices(&self, import: ImportNumber, devices: Vec<Device>) -> Result<(), Error>;

    /// Makes the staged devices registered ones, in one step.
    ///
    /// # Errors
    /// [`Error::DeviceExists`] and [`Error::IdentifierTaken`] if one was registered meanwhile;
    /// [`Error::ImportEnded`]; [`Error::Unavailable`].
    async fn finish_import(&self, import: ImportNumber, event: Event) -> Result<(), Error>;

    /// Discards what the import staged. An import that has ended is no error.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn abandon_import(&self, import: ImportNumber) -> Result<(), Error>;
}

/// The one-time tokens. [`Issuances::begin`] consumes them.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Adds tokens, then the event. After an error some may have been added.
    ///
    /// # Errors
    /// [`Error::Conflict`] if one exists; [`Error::Unavailable`].
    async fn add_tokens(&self, tokens: Vec<Token>, event: Event) -> Result<(), Error>;

    /// Finds one token.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn token(&self, id: &TokenId) -> Result<Option<Token>, Error>;

    /// Lists tokens that match `filter`, in the order of their ids: those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn tokens(
        &self,
        filter: &TokenFilter,
        after: Option<&TokenId>,
        limit: usize,
    ) -> Result<Vec<Token>, Error>;

    /// Disables a token. Disabling it twice changes nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchToken`]; [`Error::Unavailable`].
    async fn disable_token(&self, id: &TokenId, event: Event) -> Result<(), Error>;

    /// Disables all tokens that have not ended at the time of the event, then adds the event with their number
    /// as `count`. Used ones, too: a void gives their use back. Returns that number. After an error some may be
    /// disabled.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn disable_tokens(&self, event: Event) -> Result<u64, Error>;
}

/// Everything that a server keeps.
///
/// Each method that changes something returns once the change is durable, together with its event.
/// No method panics or blocks the caller's thread on a disk.
#[async_trait]
pub trait Store:
    Issuances + Accounts + AuditEvents + Registers + Devices + Tokens + Send + Sync + 'static
{
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
