//! The durable state that the writing thread shares with all others: whether the store is usable,
//! the open issuances, and the number of events.

use super::{
    super::{Error, Issuance, closed},
    disk::Trees,
};
use crate::types::Serial;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// The shared state.
#[derive(Default)]
pub(super) struct SharedState {
    open: RwLock<BTreeMap<Serial, Arc<Issuance>>>,
    events: AtomicU64,
    slot: RwLock<Slot>,
}

/// The operations that are possible.
pub(super) enum Slot {
    /// All.
    Serving(Arc<Trees>),
    /// Reads only: a write failed, for this reason. Acknowledged changes can be read.
    Reading(Arc<Trees>, String),
    /// None, for this reason: the files are closed, and will be opened again.
    Away(String),
    /// None: the store is closed.
    Closed,
}

impl Default for Slot {
    fn default() -> Self {
        Self::Away("it is being opened".to_owned())
    }
}

impl SharedState {
    /// Reads the open issuances. Poison is ignored: only a failed allocation can panic while the
    /// lock is held for writing, and everything inserted by then is durable.
    pub(super) fn open<R>(&self, read: impl FnOnce(&BTreeMap<Serial, Arc<Issuance>>) -> R) -> R {
        read(&self.open.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of the last durable event.
    pub(super) fn events(&self) -> u64 {
        self.events.load(Ordering::Acquire)
    }

    /// Sets the content of a store that was just opened.
    pub(super) fn restore(&self, open: BTreeMap<Serial, Arc<Issuance>>, events: u64) {
        *self.open_mut() = open;
        self.set_events(events);
    }

    /// Adds begun issuances, and removes ended ones.
    pub(super) fn replace(&self, ended: &HashSet<Serial>, begun: Vec<Arc<Issuance>>) {
        if begun.is_empty() && ended.is_empty() {
            return;
        }
        let mut open = self.open_mut();
        for record in begun {
            open.insert(record.intent.serial.clone(), record);
        }
        for serial in ended {
            open.remove(serial);
        }
    }

    fn open_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Serial, Arc<Issuance>>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the number of the last durable event.
    pub(super) fn set_events(&self, last: u64) {
        self.events.store(last, Ordering::Release);
    }

    /// Sets which operations are possible.
    pub(super) fn set(&self, slot: Slot) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = slot;
    }

    /// Returns the trees, to read from. Drop them soon: the files are not closed before.
    pub(super) fn trees(&self) -> Result<Arc<Trees>, Error> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Serving(trees) | Slot::Reading(trees, _) => Ok(Arc::clone(trees)),
            Slot::Away(why) => Err(Error::Unavailable(why.clone())),
            Slot::Closed => Err(closed()),
        }
    }

    /// Returns the reason why writes are impossible, if they are.
    pub(super) fn write_error(&self) -> Option<Error> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Serving(_) => None,
            Slot::Reading(_, why) | Slot::Away(why) => Some(Error::Unavailable(why.clone())),
            Slot::Closed => Some(closed()),
        }
    }
}
