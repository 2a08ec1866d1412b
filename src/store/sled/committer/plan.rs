//! The plan of a commit: everything that a batch of changes writes.

use super::super::{
    super::{
        Error, Identifier, Issuance, Token, format,
        registry::{Staging, StoredDevice, StoredOwner},
    },
    change::{NewEvent, SledOutcome},
    disk::USUAL,
    index::IndexItem,
    pages::{Pages, WRITER},
};
use crate::{
    telemetry::audit::{Event, EventId},
    types::{DeviceId, Serial, Time, TokenId},
};
use ::sled::IVec;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// The numbers of the next items.
#[derive(Clone, Copy)]
pub(super) struct Next {
    pub(super) open: u64,
    pub(super) recent: u64,
    pub(super) event: u64,
    pub(super) index: u64,
}

/// The writes of one batch.
pub(super) struct BatchPlan {
    /// The latest time in the batch.
    pub(super) now: Option<Time>,
    pub(super) certificates: Vec<(IVec, IVec)>,
    pub(super) open: Pages,
    pub(super) open_drops: Vec<u64>,
    pub(super) recent: Pages,
    /// The end of the last window on each page.
    pub(super) recent_ends: BTreeMap<u64, Time>,
    pub(super) recent_drops: Vec<u64>,
    pub(super) events: Pages,
    /// None: it is removed.
    pub(super) accounts: HashMap<String, Option<IVec>>,
    pub(super) registers: HashMap<String, IVec>,
    pub(super) index: Pages,
    /// Devices, identifiers and tokens; none: it is removed.
    pub(super) devices: HashMap<DeviceId, Option<StoredDevice>>,
    pub(super) identifiers: HashMap<Identifier, Option<StoredOwner>>,
    pub(super) tokens: HashMap<TokenId, Token>,
    /// Devices whose standing changed, and whether they are barred now.
    pub(super) barred: HashMap<DeviceId, bool>,
    /// The staged import, if that changes.
    pub(super) staging: Option<Option<Staging>>,
    /// The number of a new import.
    pub(super) imports: Option<u64>,
    /// Imported events of other writers.
    pub(super) others: BTreeMap<u64, Pages>,
    pub(super) begun: Vec<Arc<Issuance>>,
    /// Issuances whose ended records are written: they are no longer open.
    pub(super) ended: HashSet<Serial>,
    /// Events of this store, to be published once they are durable.
    pub(super) published: Vec<Event>,
    /// Whether a value is so large that sled may keep it in a file of its own.
    pub(super) large: bool,
}

impl BatchPlan {
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
            index: Pages::new(next.index),
            devices: HashMap::new(),
            identifiers: HashMap::new(),
            tokens: HashMap::new(),
            barred: HashMap::new(),
            staging: None,
            imports: None,
            others: BTreeMap::new(),
            begun: Vec::new(),
            ended: HashSet::new(),
            published: Vec::new(),
            large: false,
        }
    }

    /// Returns the numbers after this plan.
    pub(super) const fn next(&self) -> Next {
        Next {
            open: self.open.next(),
            recent: self.recent.next(),
            event: self.events.next(),
            index: self.index.next(),
        }
    }

    /// Adds an ended issuance; `recent` is empty if its retries do not return the certificate.
    pub(super) fn take_ended(
        &mut self,
        record: &Issuance,
        value: Vec<u8>,
        recent: &[u8],
    ) -> Result<(), Error> {
        let intent = &record.intent;
        self.index.push(&format::record_item(&IndexItem::new(record, false))?)?;
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

    /// Adds an event of this store.
    pub(super) fn push_event(&mut self, event: NewEvent) -> Result<SledOutcome, Error> {
        self.large |= event.item.len() > USUAL;
        self.events.push(&event.item)?;
        self.published.push(event.event);
        Ok(SledOutcome::Done)
    }

    /// Finishes the current pages: nothing more is added.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let own = [&mut self.open, &mut self.recent, &mut self.events, &mut self.index];
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
            && self.devices.is_empty()
            && self.identifiers.is_empty()
            && self.tokens.is_empty()
            && self.staging.is_none()
            && self.recent_drops.is_empty()
    }
}
