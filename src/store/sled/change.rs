//! What callers ask of the thread that writes, and what it answers.

use super::super::{Error, Issuance, Item, format};
use crate::{telemetry::audit::Event, types::Serial};
use ::sled::IVec;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How many items are imported with one commit: what [`COMMIT`] holds, at some 1,000 bytes each.
pub(super) const IMPORT: usize = 64;

/// How many bytes of values are committed together, but for the last change.
///
/// sled takes a segment of its log again, 512 KiB, when the log has gone on elsewhere by what it
/// believes to be durable, and it believes so before the sync of the disk. A commit that filled
/// segments could so overwrite what the disk still needs, should the power go before the sync:
/// with 512 changes in one commit, replayed power cuts left stores that did not open. sled writes
/// several times what it is given.
pub(super) const COMMIT: usize = 64 * 1024;

/// A change that a caller waits for. Values are encoded by the caller, on its own thread.
pub(super) enum Change {
    /// Records an open issuance. `revoked`: one that was seen to be revoked, and answers no repeat.
    Begin { record: Arc<Issuance>, item: Vec<u8>, revoked: Option<Serial> },
    /// Ends an open issuance; `recent` is empty if it was voided.
    End { record: Arc<Issuance>, value: Vec<u8>, recent: Vec<u8>, event: Told },
    /// Puts a revoked certificate's record in the place of what was `seen`.
    Revoke { serial: Serial, seen: IVec, value: Vec<u8>, event: Told },
    /// Adds an account.
    AddAccount { name: String, value: Vec<u8>, event: Told },
    /// Removes an account.
    RemoveAccount { name: String, event: Told },
    /// Appends an event.
    Append { event: Told },
    /// Sets a register if it holds `expected`.
    CompareAndSet { name: String, expected: Option<Vec<u8>>, value: Vec<u8> },
    /// Adds what another store kept.
    Import(Vec<Item>),
    /// Changes nothing: reads an issuance that has ended.
    Find(Serial),
    /// Takes no more commands.
    Close,
}

impl Change {
    /// How many bytes it writes, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Begin { item, .. } => item.len(),
            Self::End { value, recent, event, .. } => value.len() + recent.len() + event.item.len(),
            Self::Revoke { value, event, .. } | Self::AddAccount { value, event, .. } => {
                value.len() + event.item.len()
            }
            Self::RemoveAccount { event, .. } | Self::Append { event } => event.item.len(),
            Self::CompareAndSet { value, .. } => value.len(),
            // Alone in its commit.
            Self::Import(_) => COMMIT,
            Self::Find(_) | Self::Close => 0,
        }
    }
}

/// An event and its stored form.
pub(super) struct Told {
    pub(super) event: Event,
    pub(super) item: Vec<u8>,
}

impl Told {
    pub(super) fn new(event: Event) -> Result<Self, Error> {
        Ok(Self { item: format::event_item(&event)?, event })
    }
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done, durably.
    Done,
    /// A repeat: this one is open.
    Open(Arc<Issuance>),
    /// A repeat, and this one is complete.
    Complete(Serial),
    /// Not done: the account exists already or does not, the issuance has ended before.
    Not,
    /// Not done: the register holds this value.
    Otherwise(Option<Vec<u8>>),
    /// What is stored of the issuance, if it has ended.
    Found(Option<IVec>),
}

/// A change and who waits for it.
pub(super) struct Command {
    pub(super) change: Change,
    pub(super) reply: Reply,
}

/// Where the answer goes.
pub(super) type Reply = oneshot::Sender<Result<Outcome, Error>>;
