//! The durable state that the writing thread shares with all others: whether the store is usable,
//! the open issuances, and the number of events.

use super::{
    super::{Error, ImportNumber, Issuance, closed, registry::Staging},
    disk::Trees,
    index::Index,
};
use crate::types::{DeviceId, Serial};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
    registry: RwLock<Visibility>,
    /// It may be ahead of the disk by a batch: what it finds are candidates.
    index: RwLock<Index>,
}

/// The part of the registry that readers need at once.
#[derive(Default)]
struct Visibility {
    /// The import whose devices nobody sees.
    staged: Option<ImportNumber>,
    /// The devices that may neither enroll nor authenticate.
    barred: HashSet<DeviceId>,
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

    /// Sets what was read of the registry when the store was opened.
    pub(super) fn set_registry(&self, staging: Option<&Staging>, barred: HashSet<DeviceId>) {
        let staged = staging.map(|staging| staging.number);
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) =
            Visibility { staged, barred };
    }

    /// Shows durable changes of the registry.
    pub(super) fn update_registry(
        &self,
        staging: Option<&Option<Staging>>,
        barred: &HashMap<DeviceId, bool>,
    ) {
        if staging.is_none() && barred.is_empty() {
            return;
        }
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = staging {
            registry.staged = now.as_ref().map(|staging| staging.number);
        }
        for (id, barred) in barred {
            match barred {
                true => registry.barred.insert(id.clone()),
                false => registry.barred.remove(id),
            };
        }
    }

    /// The import whose devices nobody sees. To be asked for after a device was read: its import is
    /// named here before the first device is written.
    pub(super) fn staged(&self) -> Option<ImportNumber> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).staged
    }

    /// Whether the device may neither enroll nor authenticate.
    pub(super) fn is_barred(&self, id: &DeviceId) -> bool {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).barred.contains(id)
    }

    /// Reads the index.
    pub(super) fn index<R>(&self, read: impl FnOnce(&Index) -> R) -> R {
        read(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the index.
    pub(super) fn index_mut(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sets the index of a store that was just opened.
    pub(super) fn set_index(&self, index: Index) {
        self.index_mut(|old| *old = index);
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
