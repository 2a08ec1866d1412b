//! State of the writing thread: the open issuances and their pages of the journal, the recent
//! requests, and the next numbers. It is recovered from the disk at the start.

use super::{
    super::{
        super::{Error, Issuance, format, registry::Staging, requests::Requests},
        disk::{IMPORTS, STAGING, Trees, USUAL, store_error},
        index::{Index, IndexItem},
        pages::{WRITER, event_id, event_key, number},
        shared::SharedState,
    },
    plan::{BatchPlan, Next},
};
use crate::{
    telemetry::audit::EventId,
    types::{DeviceId, Serial, Time},
};
use ::sled::IVec;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// The most pages of recent requests that one batch removes, so that no caller waits long.
const DROPS: usize = 64;

/// The trees, and the state of their content. It is ahead of the disk by the current batch; if that
/// fails, it is discarded and recovered from the disk.
pub(super) struct Memory {
    pub(super) trees: Arc<Trees>,
    pub(super) open: HashMap<Serial, Pending>,
    /// The number of open issuances on each page of the journal.
    pages: HashMap<u64, usize>,
    pub(super) requests: Requests,
    /// The pages of recent requests by the end of their last window.
    recent: BTreeMap<Time, Vec<u64>>,
    pub(super) next: Next,
    /// The staged import of devices, and the number of the last one.
    pub(super) staging: Option<Staging>,
    pub(super) imports: u64,
    /// The devices that may neither enroll nor authenticate.
    pub(super) barred: HashSet<DeviceId>,
    pub(super) shared: Arc<SharedState>,
    /// The latest known time.
    pub(super) now: Time,
}

/// An open issuance, and its page of the journal.
pub(super) struct Pending {
    pub(super) record: Arc<Issuance>,
    page: u64,
}

impl Memory {
    /// Recovers the state.
    pub(super) fn recover(
        trees: Arc<Trees>,
        shared: Arc<SharedState>,
        now: Time,
    ) -> Result<Self, Error> {
        let mut memory = Self {
            trees,
            open: HashMap::new(),
            pages: HashMap::new(),
            requests: Requests::default(),
            recent: BTreeMap::new(),
            next: Next { open: 1, recent: 1, event: 1, index: 1 },
            staging: None,
            imports: 0,
            barred: HashSet::new(),
            shared,
            now,
        };
        memory.recover_index()?;
        memory.recover_registry()?;
        memory.recover_recent()?;
        memory.recover_open()?;
        memory.next.event = memory.next_event_of(WRITER)?;
        Ok(memory)
    }

    /// Reads the index.
    fn recover_index(&mut self) -> Result<(), Error> {
        let mut index = Index::default();
        for entry in &self.trees.index {
            let (first, page) = entry.map_err(store_error)?;
            let page: Vec<IndexItem> = format::read_record("a page of the index", &page)?;
            self.next.index = number(&first)? + page.len() as u64;
            page.iter().for_each(|item| index.add(item));
        }
        self.shared.set_index(index);
        Ok(())
    }

    fn recover_registry(&mut self) -> Result<(), Error> {
        let staging = &self.trees.staging;
        let value = staging.get(STAGING).map_err(store_error)?;
        self.staging =
            value.map(|value| format::read_record("the staged import", &value)).transpose()?;
        if let Some(value) = staging.get(IMPORTS).map_err(store_error)? {
            self.imports = format::read_record("the number of imports", &value)?;
        }
        for key in self.trees.barred.iter().keys() {
            let key = key.map_err(store_error)?;
            let id = std::str::from_utf8(&key).ok().and_then(|id| id.parse().ok());
            self.barred.extend(id);
        }
        self.shared.set_registry(self.staging.as_ref(), self.barred.clone());
        Ok(())
    }

    fn recover_recent(&mut self) -> Result<(), Error> {
        for entry in &self.trees.recent {
            let (first, page) = entry.map_err(store_error)?;
            let (first, page) = (number(&first)?, format::read_recent(&page)?);
            self.next.recent = first + page.len() as u64;
            let last = page.iter().map(|item| item.retry_until).max();
            self.recent.entry(last.unwrap_or(Time::MAX)).or_default().push(first);
            for item in page {
                if item.retry_until > self.now {
                    self.requests.restore(item.idempotency_key, item.serial, item.retry_until);
                }
            }
        }
        Ok(())
    }

    fn recover_open(&mut self) -> Result<(), Error> {
        for entry in &self.trees.open {
            let (first, page) = entry.map_err(store_error)?;
            let (first, page) = (number(&first)?, format::read_intents(&page)?);
            self.next.open = first + page.len() as u64;
            for intent in page {
                // Others of the page may have ended; it stays until all have.
                if self
                    .trees
                    .certificates
                    .contains_key(intent.serial.as_bytes())
                    .map_err(store_error)?
                {
                    continue;
                }
                if intent.retry_until > self.now {
                    let serial = intent.serial.clone();
                    self.requests.restore(intent.idempotency_key, serial, intent.retry_until);
                }
                let record = Arc::new(Issuance::from(intent));
                let serial = record.intent.serial.clone();
                *self.pages.entry(first).or_default() += 1;
                self.shared.index_mut(|index| index.add(&IndexItem::new(&record, false)));
                self.open.insert(serial, Pending { record, page: first });
            }
        }
        Ok(())
    }

    /// Returns the number after the last committed event of a writer.
    pub(super) fn next_event_of(&self, writer: u64) -> Result<u64, Error> {
        let last = event_key(EventId { writer, number: u64::MAX });
        let page = self.trees.events.range(event_key(EventId::first_of(writer))..=last).next_back();
        let Some((first, page)) = page.transpose().map_err(store_error)? else { return Ok(1) };
        Ok(event_id(&first)?.number + format::read_events(&page)?.len() as u64)
    }

    /// The number of the last event of this store.
    pub(super) const fn last_event(&self) -> u64 {
        self.next.event - 1
    }

    /// Returns the value of a register.
    pub(super) fn register(&self, plan: &BatchPlan, name: &str) -> Result<Option<IVec>, Error> {
        match plan.registers.get(name) {
            Some(value) => Ok(Some(value.clone())),
            None => self.trees.registers.get(name).map_err(store_error),
        }
    }

    /// Adds an open issuance to the journal.
    pub(super) fn take_open(
        &mut self,
        plan: &mut BatchPlan,
        record: Arc<Issuance>,
        item: &[u8],
    ) -> Result<(), Error> {
        plan.large |= item.len() > USUAL;
        let page = plan.open.push(item)?;
        *self.pages.entry(page).or_default() += 1;
        let serial = record.intent.serial.clone();
        self.shared.index_mut(|index| index.add(&IndexItem::new(&record, false)));
        self.open.insert(serial, Pending { record: Arc::clone(&record), page });
        plan.begun.push(record);
        Ok(())
    }

    /// Removes an open issuance, and its page if it was the last there. Returns whether it was
    /// open.
    pub(super) fn leave_open(&mut self, plan: &mut BatchPlan, serial: &Serial) -> bool {
        let Some(pending) = self.open.remove(serial) else { return false };
        if let Some(count) = self.pages.get_mut(&pending.page) {
            *count -= 1;
            if *count == 0 {
                self.pages.remove(&pending.page);
                plan.open_drops.push(pending.page);
            }
        }
        true
    }

    /// Selects the pages of recent requests whose windows are over.
    pub(super) fn drop_recent(&mut self, plan: &mut BatchPlan) {
        let Some(now) = plan.now else { return };
        while plan.recent_drops.len() < DROPS {
            let Some(mut first) = self.recent.first_entry().filter(|page| *page.key() <= now)
            else {
                return;
            };
            match first.get_mut().pop() {
                Some(page) => plan.recent_drops.push(page),
                None => drop(first.remove()),
            }
        }
    }

    /// Continues after a durable plan.
    pub(super) fn advance(&mut self, plan: &BatchPlan) {
        self.now = plan.now.map_or(self.now, |now| now.max(self.now));
        for (page, end) in &plan.recent_ends {
            self.recent.entry(*end).or_default().push(*page);
        }
        self.next = plan.next();
    }
}
