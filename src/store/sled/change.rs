//! Commands to the writing thread, and their outcomes.

use super::super::{Error, IdempotencyKey, Issuance, Item, format};
use crate::{
    telemetry::audit::Event,
    types::{Serial, Time},
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
    Begin { record: Arc<Issuance>, item: Vec<u8>, revoked: Option<Serial> },
    /// Ends an open issuance; `recent` is empty if it was voided.
    End { record: Arc<Issuance>, value: Vec<u8>, recent: Vec<u8>, event: NewEvent },
    /// Replaces the record `seen` by that of the revoked certificate.
    Revoke { serial: Serial, seen: IVec, value: Vec<u8>, event: NewEvent },
    /// Adds an account.
    AddAccount { name: String, value: Vec<u8>, event: NewEvent },
    /// Removes an account.
    RemoveAccount { name: String, event: NewEvent },
    /// Appends an event.
    Append { event: NewEvent },
    /// Sets a register if it holds `expected`.
    CompareAndSet { name: String, expected: Option<Vec<u8>>, value: Vec<u8> },
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
            Self::Revoke { value, event, .. } | Self::AddAccount { value, event, .. } => {
                value.len() + event.item.len()
            }
            Self::RemoveAccount { event, .. } | Self::Append { event } => event.item.len(),
            Self::CompareAndSet { value, .. } => value.len(),
            // One commit holds nothing else.
            Self::Import(_) => COMMIT,
            Self::Find(_) | Self::FindRequest(..) | Self::Close => 0,
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
