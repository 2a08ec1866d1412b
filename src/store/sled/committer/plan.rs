//! The plan of a commit: what a batch of changes writes, as far as it was considered.

use super::super::{
    super::{Error, Intent, Issuance},
    change::{Outcome, Told},
    disk::USUAL,
    pages::{Pages, WRITER},
};
use crate::{
    telemetry::audit::{Event, EventId},
    types::{Serial, Time},
};
use ::sled::IVec;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// The numbers that the next items get.
#[derive(Clone, Copy)]
pub(super) struct Next {
    pub(super) open: u64,
    pub(super) recent: u64,
    pub(super) event: u64,
}

/// What one batch changes.
pub(super) struct Plan {
    /// The latest moment that the batch knows of.
    pub(super) now: Option<Time>,
    pub(super) certificates: Vec<(IVec, IVec)>,
    pub(super) open: Pages,
    pub(super) open_drops: Vec<u64>,
    pub(super) recent: Pages,
    /// When the last request of each page ends.
    pub(super) recent_ends: BTreeMap<u64, Time>,
    pub(super) recent_drops: Vec<u64>,
    pub(super) events: Pages,
    /// None: it is removed.
    pub(super) accounts: HashMap<String, Option<IVec>>,
    pub(super) registers: HashMap<String, IVec>,
    /// Imported events of other writers.
    pub(super) others: BTreeMap<u64, Pages>,
    pub(super) begun: Vec<Arc<Issuance>>,
    /// Those whose records are written: they are open no more.
    pub(super) ended: HashSet<Serial>,
    /// This store's own, to be told once they are durable.
    pub(super) told: Vec<Event>,
    /// Whether a value is so large that sled may keep it in a file of its own.
    pub(super) large: bool,
}

impl Plan {
    /// An empty plan.
    pub(super) fn new(next: Next) -> Self {
        Self {
            now: None,
            certificates: Vec::new(),
            open: Pages::new(next.open),
            open_drops: Vec::new(),
            recent: Pages::new(next.recent),
            recent_ends: BTreeMap::new(),
            recent_drops: Vec::new(),
            events: Pages::of_events(EventId { writer: WRITER, number: next.event }),
            accounts: HashMap::new(),
            registers: HashMap::new(),
            others: BTreeMap::new(),
            begun: Vec::new(),
            ended: HashSet::new(),
            told: Vec::new(),
            large: false,
        }
    }

    /// The numbers that follow what is in it.
    pub(super) const fn next(&self) -> Next {
        Next { open: self.open.next(), recent: self.recent.next(), event: self.events.next() }
    }

    /// Takes an ended issuance; `recent` is empty if no repeat gets its certificate.
    pub(super) fn take_ended(
        &mut self,
        intent: &Intent,
        value: Vec<u8>,
        recent: &[u8],
    ) -> Result<(), Error> {
        if !recent.is_empty() {
            let page = self.recent.push(recent)?;
            let end = self.recent_ends.entry(page).or_insert(intent.retry_until);
            *end = intent.retry_until.max(*end);
        }
        self.large |= value.len() > USUAL;
        self.certificates.push((intent.serial.as_bytes().into(), value.into()));
        self.ended.insert(intent.serial.clone());
        Ok(())
    }

    /// Takes an event of this store.
    pub(super) fn tell(&mut self, told: Told) -> Result<Outcome, Error> {
        self.large |= told.item.len() > USUAL;
        self.events.push(&told.item)?;
        self.told.push(told.event);
        Ok(Outcome::Done)
    }

    /// Ends the pages at hand: nothing more is taken.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let own = [&mut self.open, &mut self.recent, &mut self.events];
        own.into_iter().chain(self.others.values_mut()).try_for_each(Pages::finish)
    }

    /// Whether a finished plan writes nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.certificates.is_empty()
            && self.open.full.is_empty()
            && self.events.full.is_empty()
            && self.others.is_empty()
            && self.accounts.is_empty()
            && self.registers.is_empty()
            && self.recent_drops.is_empty()
    }
}
