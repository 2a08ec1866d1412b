//! Commands of callers to the queues, and their outcomes.

use super::{
    super::{
        Account, Begun, Conditions, Device, Error, ImportNumber, Intent, Issuance, Revocation,
        State, Token, format,
    },
    row::IntentRow,
};
use crate::{
    telemetry::audit::Event,
    types::{Serial, TokenId},
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The most commands of one statement.
pub(super) const BATCH: usize = 512;

/// Receives the outcome of a command. The caller may be gone: its request was canceled.
pub(super) type ReplySender<T> = oneshot::Sender<Result<T, Error>>;

/// An issuance to begin, encoded by the caller.
pub(super) struct Begin {
    pub(super) intent: Intent,
    pub(super) row: IntentRow,
    pub(super) conditions: Conditions,
    /// The number of retries.
    pub(super) retries: u8,
    pub(super) reply: ReplySender<Begun>,
}

impl Begin {
    pub(super) fn new(
        intent: Intent,
        conditions: Conditions,
        reply: ReplySender<Begun>,
    ) -> Result<Self, Error> {
        Ok(Self { row: IntentRow::new(&intent)?, intent, conditions, retries: 0, reply })
    }

    /// Whether `found` was begun by this command, in an attempt that seemed to fail.
    pub(super) fn is_own(&self, found: &Issuance) -> bool {
        found.state == State::Open && found.intent == self.intent
    }
}

/// An issuance to find.
pub(super) struct Find {
    pub(super) serial: Serial,
    pub(super) reply: ReplySender<Option<Arc<Issuance>>>,
}

/// A change that is written together with its event.
pub(super) enum PostgresChange {
    /// Adds the certificate to an open issuance.
    Complete { serial: Serial, certificate: Vec<u8> },
    /// Ends an open issuance without a certificate.
    Void { serial: Serial },
    /// Revokes an issued certificate.
    Revoke { serial: Serial, revocation: Revocation },
    /// Adds an account.
    AddAccount(Account),
    /// Replaces the account `seen`.
    ChangeAccount { seen: Box<Account>, new: Box<Account> },
    /// Changes devices or tokens.
    Registry(RegistryWrite),
    /// Removes an account.
    RemoveAccount(String),
    /// Writes the event alone.
    Append,
}

/// A change of devices or tokens.
pub(super) enum RegistryWrite {
    /// Registers a device.
    Add(Device),
    /// Replaces the record `seen`.
    Change { seen: Box<Device>, new: Box<Device> },
    /// Makes the devices of an import registered ones.
    Finish(ImportNumber),
    /// Adds tokens.
    AddTokens(Vec<Token>),
    /// Disables a token.
    DisableToken(TokenId),
}

/// The outcome of a change.
#[derive(Clone)]
pub(super) enum PostgresOutcome {
    /// The issuance has ended, as returned.
    Ended(Arc<Issuance>),
    /// Done.
    Done,
    /// Not done, for this reason, and no event written.
    Failed(Error),
    /// Not done, and no event written: the issuance is not in the right state, the account exists
    /// or does not.
    Not,
}

/// A change and its event.
pub(super) struct Write {
    pub(super) change: PostgresChange,
    pub(super) event: Event,
    /// The event as it is stored.
    pub(super) item: Vec<u8>,
    pub(super) reply: ReplySender<PostgresOutcome>,
}

impl Write {
    pub(super) fn new(
        change: PostgresChange,
        event: Event,
        reply: ReplySender<PostgresOutcome>,
    ) -> Result<Self, Error> {
        Ok(Self { change, item: format::event(&event)?, event, reply })
    }
}
