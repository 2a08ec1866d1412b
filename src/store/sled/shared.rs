//! What the thread that writes shows to all others: whether the store can be used, what is open,
//! and how many events there are.

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

/// What the thread shows: only what is durable.
#[derive(Default)]
pub(super) struct Shared {
    open: RwLock<BTreeMap<Serial, Arc<Issuance>>>,
    events: AtomicU64,
    slot: RwLock<Slot>,
}

/// What may be done just now.
pub(super) enum Slot {
    /// Everything.
    Serving(Arc<Trees>),
    /// A write failed, for this reason: what was acknowledged can be read, nothing is written.
    Reading(Arc<Trees>, String),
    /// Nothing, for this reason: the files are closed, and will be opened again.
    Away(String),
    /// Nothing any more.
    Closed,
}

impl Default for Slot {
    fn default() -> Self {
        Self::Away("it is being opened".to_owned())
    }
}

impl Shared {
    /// The open issuances. A panic while it was locked for writing is impossible short of an
    /// allocation that fails, and whatever was inserted by then is durable: so poison is no news.
    pub(super) fn open<R>(&self, read: impl FnOnce(&BTreeMap<Serial, Arc<Issuance>>) -> R) -> R {
        read(&self.open.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of the last durable event.
    pub(super) fn events(&self) -> u64 {
        self.events.load(Ordering::Acquire)
    }

    /// Shows what a store holds that was just opened.
    pub(super) fn restore(&self, open: BTreeMap<Serial, Arc<Issuance>>, events: u64) {
        *self.open_mut() = open;
        self.set_events(events);
    }

    /// Shows what was begun, and leaves out what has ended.
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

    /// Shows the events up to this number.
    pub(super) fn set_events(&self, last: u64) {
        self.events.store(last, Ordering::Release);
    }

    /// Says what may be done from now on.
    pub(super) fn set(&self, slot: Slot) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = slot;
    }

    /// The trees, to read from. Let go of them soon: the files are not closed before.
    pub(super) fn trees(&self) -> Result<Arc<Trees>, Error> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Serving(trees) | Slot::Reading(trees, _) => Ok(Arc::clone(trees)),
            Slot::Away(why) => Err(Error::Unavailable(why.clone())),
            Slot::Closed => Err(closed()),
        }
    }

    /// Why nothing can be written just now, if that is so.
    pub(super) fn refused(&self) -> Option<Error> {
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Serving(_) => None,
            Slot::Reading(_, why) | Slot::Away(why) => Some(Error::Unavailable(why.clone())),
            Slot::Closed => Some(closed()),
        }
    }
}
