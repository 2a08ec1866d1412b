//! Commands to the writing thread, and their outcomes.

use super::super::{
    Conditions, Device, Error, IdempotencyKey, ImportNumber, Issuance, Item, Token, Unmet, format,
};
use crate::{
    telemetry::audit::Event,
    types::{Serial, Time, TokenId},
};
use ::sled::IVec;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Items imported with one commit: as many as [`COMMIT`] holds, at some 1,000 bytes each.
pub(super) const IMPORT: usize = 64;

/// Bytes of values in one commit; its last change may exceed it.
///
/// sled reuses a segment of its log (512 KiB) once newer content exists that it regards as durable.
/// It does so before the sync of the disk. A commit that fills segments could therefore overwrite
/// content that the disk still needs if the power fails before the sync. With 512 changes in one
/// commit, replayed power cuts left stores that did not open. sled writes several times the bytes of
/// its values.
pub(super) const COMMIT: usize = 64 * 1024;

/// A change with a waiting caller, which has encoded the values on its own thread.
pub(super) enum SledChange {
    /// Records an open issuance. `revoked`: a revoked issuance of the same request, which answers
    /// no retries.
    Begin {
        record: Arc<Issuance>,
        item: Vec<u8>,
        revoked: Option<Serial>,
        conditions: Arc<Conditions>,
    },
    /// Ends an open issuance; `recent` is empty if it was voided.
    End { record: Arc<Issuance>, value: Vec<u8>, recent: Vec<u8>, event: NewEvent },
    /// Replaces the record `seen` by that of the revoked certificate.
    Revoke { record: Arc<Issuance>, seen: IVec, value: Vec<u8>, event: NewEvent },
    /// Adds an account.
    AddAccount { name: String, value: Vec<u8>, event: NewEvent },
    /// Replaces an account whose stored form is `seen`.
    ChangeAccount { name: String, seen: Vec<u8>, value: Vec<u8>, event: NewEvent },
    /// Removes an account.
    RemoveAccount { name: String, event: NewEvent },
    /// Appends an event.
    Append { event: NewEvent },
    /// Sets a register if it holds `expected`.
    CompareAndSet { name: String, expected: Option<Vec<u8>>, value: Vec<u8> },
    /// Changes devices or tokens.
    Registry(RegistryChange),
    /// Imports records of another store.
    Import(Vec<Item>),
    /// Changes nothing: reads an ended issuance.
    Find(Serial),
    /// Changes nothing: finds the issuance of the first request with this key, for a retry at this time.
    FindRequest(IdempotencyKey, Time),
    /// Ends the queue.
    Close,
}

impl SledChange {
    /// Returns the approximate number of bytes that it writes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Begin { item, .. } => item.len(),
            Self::End { value, recent, event, .. } => value.len() + recent.len() + event.item.len(),
            Self::Revoke { value, event, .. }
            | Self::AddAccount { value, event, .. }
            | Self::ChangeAccount { value, event, .. } => value.len() + event.item.len(),
            Self::RemoveAccount { event, .. } | Self::Append { event } => event.item.len(),
            Self::CompareAndSet { value, .. } => value.len(),
            // One commit holds nothing else.
            Self::Import(_) => COMMIT,
            Self::Registry(change) => change.bytes(),
            Self::Find(_) | Self::FindRequest(..) | Self::Close => 0,
        }
    }
}

/// A change of devices or tokens.
pub(super) enum RegistryChange {
    /// Registers a device.
    Add { device: Device, event: NewEvent },
    /// Replaces the record `seen`.
    Change { seen: Box<Device>, new: Box<Device>, event: NewEvent },
    /// Begins to stage an import.
    Begin,
    /// Stages devices.
    Stage(ImportNumber, Vec<Device>),
    /// Makes the staged devices registered ones.
    Finish(ImportNumber, NewEvent),
    /// Ends an import whose devices are to be removed.
    Abandon(ImportNumber),
    /// Removes staged devices and identifiers with these keys.
    Remove { import: ImportNumber, devices: Vec<IVec>, identifiers: Vec<IVec> },
    /// Ends an import of which nothing is left.
    Removed(ImportNumber),
    /// Adds tokens.
    AddTokens(Vec<Token>),
    /// Disables a token.
    DisableToken(TokenId, NewEvent),
    /// Disables the tokens that can be used at this time.
    DisableTokens(Vec<TokenId>, Time),
}

impl RegistryChange {
    /// Returns the approximate number of bytes that it writes.
    const fn bytes(&self) -> usize {
        match self {
            Self::Add { .. } | Self::Change { .. } => 1024,
            // One commit holds nothing else.
            Self::Stage(..)
            | Self::Remove { .. }
            | Self::AddTokens(_)
            | Self::DisableTokens(..) => COMMIT,
            Self::Begin
            | Self::Finish(..)
            | Self::Abandon(_)
            | Self::Removed(_)
            | Self::DisableToken(..) => 256,
        }
    }
}

/// An event and its stored form.
pub(super) struct NewEvent {
    pub(super) event: Event,
    pub(super) item: Vec<u8>,
}

impl NewEvent {
    pub(super) fn new(event: Event) -> Result<Self, Error> {
        Ok(Self { item: format::event_item(&event)?, event })
    }
}

/// The outcome of a change.
#[derive(Debug)]
pub(super) enum SledOutcome {
    /// Done, durably.
    Done,
    /// A retry, whose issuance is open.
    Open(Arc<Issuance>),
    /// A retry, whose issuance has its certificate.
    Complete(Serial),
    /// Not done: the account exists or does not, or the issuance has ended before.
    Not,
    /// Not done: the conditions do not hold.
    Unmet(Unmet),
    /// Done so many times, or with this number.
    Number(u64),
    /// Not done: the register holds this value.
    Otherwise(Option<Vec<u8>>),
    /// The stored record of an ended issuance.
    Found(Option<IVec>),
}

/// A change and its caller.
pub(super) struct QueuedChange {
    pub(super) change: SledChange,
    pub(super) reply: OutcomeSender,
}

/// Receives the outcome.
pub(super) type OutcomeSender = oneshot::Sender<Result<SledOutcome, Error>>;
