//! The one thread that writes: takes what is queued, commits it together, answers.
//!
//! Only this thread changes the trees, so what it decides on (which serial numbers are taken,
//! which requests are repeats) cannot change under it, and a sync of the disk serves as many
//! callers as have come meanwhile.

use super::{
    super::{Error, Intent, Issuance, Item, State, closed, format, requests::Requests},
    disk::{Disk, Trees, USUAL, fault},
};
use crate::{
    failpoint::failpoint,
    telemetry::audit::{Event, EventId, Trail},
    types::{Serial, Time},
};
use ::sled::{IVec, Transactional, transaction::TransactionError};
use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map::Entry},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How often the committer looks who has come while it waits for company.
const GLANCE: Duration = Duration::from_micros(500);

/// How often it looks at most, before it commits.
const GLANCES: usize = 8;

/// How many commands are committed together at most: measured, docs/adr/0001.
const BATCH: usize = 512;

/// How many items are imported with one commit: what [`COMMIT`] holds, at some 1,000 octets each.
pub(super) const IMPORT: usize = 64;

/// How many octets of values are committed together, but for the last change.
///
/// sled takes a segment of its log again, 512 KiB, when the log has gone on elsewhere by what it
/// believes to be durable, and it believes so before the sync of the disk. A commit that filled
/// segments could so overwrite what the disk still needs, should the power go before the sync:
/// with 512 changes in one commit, replayed power cuts left stores that did not open. sled writes
/// several times what it is given.
const COMMIT: usize = 64 * 1024;

/// The writer of this store's events: there is one.
pub(super) const WRITER: u64 = 1;

/// How many pages of recent requests are dropped with one batch, so that none waits long.
const DROPS: usize = 64;

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
    /// Decides a matter if it stands as `seen`.
    Decide { matter: String, seen: Option<Vec<u8>>, value: Vec<u8> },
    /// Adds what another store kept.
    Import(Vec<Item>),
    /// Changes nothing: reads an issuance that has ended.
    Find(Serial),
    /// Takes no more commands.
    Close,
}

impl Change {
    /// How many octets it writes, about.
    fn octets(&self) -> usize {
        match self {
            Self::Begin { item, .. } => item.len(),
            Self::End { value, recent, event, .. } => value.len() + recent.len() + event.item.len(),
            Self::Revoke { value, event, .. } | Self::AddAccount { value, event, .. } => {
                value.len() + event.item.len()
            }
            Self::RemoveAccount { event, .. } | Self::Append { event } => event.item.len(),
            Self::Decide { value, .. } => value.len(),
            // Alone in its commit.
            Self::Import(_) => COMMIT,
            Self::Find(_) | Self::Close => 0,
        }
    }
}

/// An event and its stored form.
pub(super) struct Told {
    event: Event,
    item: Vec<u8>,
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
    /// Not done: the matter stands like this.
    Otherwise(Option<Vec<u8>>),
    /// What is stored of the issuance, if it has ended.
    Found(Option<IVec>),
}

/// A change and who waits for it.
pub(super) struct Command {
    pub(super) change: Change,
    pub(super) reply: Reply,
}

type Reply = oneshot::Sender<Result<Outcome, Error>>;

/// What the thread shows to the others: only what is durable.
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

/// Packs items into pages of a usual value's size: a value an item would cost an insert each.
struct Pages {
    /// Whose events they are; none for other things than events.
    writer: Option<u64>,
    /// The number of the page's first item: its key, after the writer.
    first: u64,
    count: u64,
    items: Vec<u8>,
    full: Vec<(IVec, IVec)>,
}

impl Pages {
    const fn new(first: u64) -> Self {
        Self { writer: None, first, count: 0, items: Vec::new(), full: Vec::new() }
    }

    fn of_events(first: EventId) -> Self {
        Self { writer: Some(first.writer), ..Self::new(first.number) }
    }

    /// Adds an item. Answers the number of its page.
    fn push(&mut self, item: &[u8]) -> Result<u64, Error> {
        if self.count > 0 && self.items.len() + item.len() > USUAL {
            self.finish()?;
        }
        self.items.extend_from_slice(item);
        self.count += 1;
        Ok(self.first)
    }

    /// The number of the next item.
    const fn next(&self) -> u64 {
        self.first + self.count
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.count > 0 {
            let page = format::page(self.count, &self.items)?;
            let key = match self.writer {
                Some(writer) => event_key(EventId { writer, number: self.first }),
                None => key(self.first),
            };
            self.full.push((key, page.into()));
            self.first += self.count;
            self.count = 0;
            self.items.clear();
        }
        Ok(())
    }
}

/// Big-endian: the tree's order is that of the numbers.
fn key(number: u64) -> IVec {
    IVec::from(&number.to_be_bytes())
}

/// The key of a page of events.
pub(super) fn event_key(first: EventId) -> IVec {
    let mut key = [0; 16];
    let (writer, number) = key.split_at_mut(8);
    writer.copy_from_slice(&first.writer.to_be_bytes());
    number.copy_from_slice(&first.number.to_be_bytes());
    IVec::from(&key)
}

/// The first event of a page.
pub(super) fn event_id(key: &[u8]) -> Result<EventId, Error> {
    let (writer, first) = key.split_at_checked(8).unwrap_or_default();
    Ok(EventId { writer: number(writer)?, number: number(first)? })
}

fn number(key: &[u8]) -> Result<u64, Error> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| {
        Error::Corrupt("a page without a number; restore the store's folder from a backup".into())
    })
}

/// What one batch changes.
struct Plan {
    /// The latest moment that the batch knows of.
    now: Option<Time>,
    certificates: Vec<(IVec, IVec)>,
    open: Pages,
    open_drops: Vec<u64>,
    recent: Pages,
    recent_ends: BTreeMap<u64, Time>,
    recent_drops: Vec<u64>,
    events: Pages,
    accounts: HashMap<String, Option<IVec>>,
    decisions: HashMap<String, IVec>,
    /// Imported events of other writers.
    others: BTreeMap<u64, Pages>,
    begun: Vec<Arc<Issuance>>,
    /// Those whose records are written: they are open no more.
    ended: HashSet<Serial>,
    told: Vec<Event>,
    large: bool,
    answers: Vec<(Reply, Result<Outcome, Error>)>,
}

impl Plan {
    /// Takes an ended issuance; `recent` is empty if no repeat gets its certificate.
    fn take_ended(&mut self, intent: &Intent, value: Vec<u8>, recent: &[u8]) -> Result<(), Error> {
        if !recent.is_empty() {
            let page = self.recent.push(recent)?;
            let end = self.recent_ends.entry(page).or_insert(intent.repeat_until);
            *end = intent.repeat_until.max(*end);
        }
        self.large |= value.len() > USUAL;
        self.certificates.push((intent.serial.as_bytes().into(), value.into()));
        self.ended.insert(intent.serial.clone());
        Ok(())
    }

    fn tell(&mut self, told: Told) -> Result<Outcome, Error> {
        self.large |= told.item.len() > USUAL;
        self.events.push(&told.item)?;
        self.told.push(told.event);
        Ok(Outcome::Done)
    }
}

/// An open issuance, and the page of the journal that holds it.
struct Pending {
    record: Arc<Issuance>,
    page: u64,
}

/// How many callers there are at once, as far as the last commits tell.
///
/// A commit costs what it costs, whoever shares it: sled wakes all its threads twice for each. So
/// where several callers come, a commit waits for more of them: a while that grows with their
/// number, and no longer than until as many are there as lately were. A caller that is alone
/// never waits. docs/performance.md has what that gives.
#[derive(Default)]
struct Crowd {
    last: [usize; 8],
    next: usize,
}

impl Crowd {
    /// Whether to look once more before `here` changes are committed.
    fn is_worth_waiting_for(&self, here: usize, glances: usize) -> bool {
        let most = self.last.iter().copied().max().unwrap_or_default();
        here > 0 && here < most && glances < GLANCES.min(most / 3)
    }

    /// Takes note of how many a commit was for.
    fn note(&mut self, committed: usize) {
        if committed == 0 {
            return;
        }
        if let Some(place) = self.last.get_mut(self.next) {
            *place = committed;
        }
        self.next = (self.next + 1) % self.last.len();
    }
}

/// What is open, and what the thread keeps of it in memory. It runs ahead of the disk by the batch
/// at hand; if that fails, it is never used again: [`super::keeper`] reads another from the disk.
pub(super) struct Committer {
    trees: Arc<Trees>,
    disk: Disk,
    shared: Arc<Shared>,
    trail: Arc<dyn Trail>,
    open: HashMap<Serial, Pending>,
    /// How many open issuances each page of the journal holds.
    pages: HashMap<u64, usize>,
    requests: Requests,
    /// The pages of recent requests by the moment their last one ends.
    recent: BTreeMap<Time, Vec<u64>>,
    next_open: u64,
    next_recent: u64,
    next_event: u64,
    /// The latest moment that it knows of.
    now: Time,
    /// Whether it has written anything.
    pub(super) has_written: bool,
}

impl Committer {
    /// Reads back what is needed in memory. `acknowledged` is how many events this process has
    /// seen durable.
    pub(super) fn recover(
        trees: Arc<Trees>,
        disk: Disk,
        shared: Arc<Shared>,
        trail: Arc<dyn Trail>,
        acknowledged: u64,
        now: Time,
    ) -> Result<Self, Error> {
        let mut committer = Self {
            trees,
            disk,
            shared,
            trail,
            open: HashMap::new(),
            pages: HashMap::new(),
            requests: Requests::default(),
            recent: BTreeMap::new(),
            next_open: 1,
            next_recent: 1,
            next_event: 1,
            now,
            has_written: false,
        };
        committer.recover_recent(now)?;
        committer.recover_open(now)?;
        committer.next_event = committer.next_event_of(WRITER)?;
        committer.disk.check_mark(committer.next_event - 1, acknowledged)?;
        committer.shared.events.store(committer.next_event - 1, Ordering::Release);
        Ok(committer)
    }

    fn recover_recent(&mut self, now: Time) -> Result<(), Error> {
        for entry in &self.trees.recent {
            let (first, page) = entry.map_err(fault)?;
            let (first, page) = (number(&first)?, format::read_recent(&page)?);
            self.next_recent = first + page.len() as u64;
            let last = page.iter().map(|item| item.repeat_until).max();
            self.recent.entry(last.unwrap_or(Time::MAX)).or_default().push(first);
            for item in page {
                if item.repeat_until > now {
                    self.requests.restore(item.request_key, item.serial, item.repeat_until);
                }
            }
        }
        Ok(())
    }

    /// The number that follows the last committed event of a writer.
    fn next_event_of(&self, writer: u64) -> Result<u64, Error> {
        let last = event_key(EventId { writer, number: u64::MAX });
        let page = self.trees.events.range(event_key(EventId::first_of(writer))..=last).next_back();
        let Some((first, page)) = page.transpose().map_err(fault)? else { return Ok(1) };
        Ok(event_id(&first)?.number + format::read_events(&page)?.len() as u64)
    }

    fn recover_open(&mut self, now: Time) -> Result<(), Error> {
        for entry in &self.trees.open {
            let (first, page) = entry.map_err(fault)?;
            let (first, page) = (number(&first)?, format::read_intents(&page)?);
            self.next_open = first + page.len() as u64;
            for intent in page {
                // Others of the page may have ended; it stays until all have.
                if self.trees.certificates.contains_key(intent.serial.as_bytes()).map_err(fault)? {
                    continue;
                }
                if intent.repeat_until > now {
                    let serial = intent.serial.clone();
                    self.requests.restore(intent.request_key, serial, intent.repeat_until);
                }
                let record = Arc::new(Issuance::from(intent));
                let serial = record.intent.serial.clone();
                *self.pages.entry(first).or_default() += 1;
                self.open.insert(serial, Pending { record, page: first });
            }
        }
        let records = self.open.iter();
        let records = records.map(|(serial, open)| (serial.clone(), Arc::clone(&open.record)));
        *self.shared.open.write().unwrap_or_else(PoisonError::into_inner) = records.collect();
        Ok(())
    }

    /// What is open.
    pub(super) const fn trees(&self) -> &Arc<Trees> {
        &self.trees
    }

    /// The latest moment that it knows of.
    pub(super) const fn now(&self) -> Time {
        self.now
    }

    /// Commits until the store is closed or forgotten.
    ///
    /// # Errors
    /// Why a commit failed. Whoever waited for it has been told; what is queued has not.
    pub(super) fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), String> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut crowd = Crowd::default();
        while commands.blocking_recv_many(&mut batch, BATCH) > 0 {
            self.answer_reads(&mut batch);
            let mut glances = 0;
            while crowd.is_worth_waiting_for(batch.len(), glances)
                && batch.iter().map(|command| command.change.octets()).sum::<usize>() < COMMIT
            {
                // Nobody unparks this thread: it is a pause.
                std::thread::park_timeout(GLANCE);
                glances += 1;
                while batch.len() < BATCH
                    && let Ok(command) = commands.try_recv()
                {
                    batch.push(command);
                }
                self.answer_reads(&mut batch);
            }
            crowd.note(batch.len());
            let mut batch = batch.drain(..);
            while batch.len() > 0 {
                let settled = self.commit_some(&mut batch, commands);
                if let Err(why) = settled {
                    for Command { reply, .. } in batch {
                        let _ = reply.send(Err(Error::Unavailable(why.clone())));
                    }
                    return Err(why);
                }
            }
        }
        // Nothing acknowledged depends on this: it only leaves sled less to do when it is opened.
        let _ = self.disk.sync(&self.trees.db);
        Ok(())
    }

    /// Answers those who only read: none of them waits for a commit.
    fn answer_reads(&self, batch: &mut Vec<Command>) {
        let reads = |command: &mut Command| matches!(command.change, Change::Find(_));
        for Command { change, reply } in batch.extract_if(.., reads) {
            if let Change::Find(serial) = change {
                let found = self.trees.certificates.get(serial.as_bytes()).map_err(fault);
                let _ = reply.send(found.map(Outcome::Found));
            }
        }
    }

    /// Commits the first of these commands, as many as one commit may hold.
    fn commit_some(
        &mut self,
        batch: &mut std::vec::Drain<'_, Command>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), String> {
        let mut plan = self.plan();
        let mut octets = 0;
        while octets < COMMIT {
            let Some(Command { change, reply }) = batch.next() else { break };
            octets += change.octets();
            if matches!(change, Change::Close) {
                // What is queued behind is still taken; nothing new is.
                commands.close();
            }
            let outcome = self.consider(&mut plan, change);
            plan.answers.push((reply, outcome));
        }
        self.settle(plan)
    }

    /// An empty plan, numbered on from what was committed last.
    fn plan(&self) -> Plan {
        Plan {
            now: None,
            certificates: Vec::new(),
            open: Pages::new(self.next_open),
            open_drops: Vec::new(),
            recent: Pages::new(self.next_recent),
            recent_ends: BTreeMap::new(),
            recent_drops: Vec::new(),
            events: Pages::of_events(EventId { writer: WRITER, number: self.next_event }),
            accounts: HashMap::new(),
            decisions: HashMap::new(),
            others: BTreeMap::new(),
            begun: Vec::new(),
            ended: HashSet::new(),
            told: Vec::new(),
            large: false,
            answers: Vec::with_capacity(BATCH),
        }
    }

    /// Decides on one change and puts what it writes into the plan.
    fn consider(&mut self, plan: &mut Plan, change: Change) -> Result<Outcome, Error> {
        match change {
            Change::Begin { record, item, revoked } => {
                // What is revoked stays so: nothing can have changed since it was seen.
                if let Some(serial) = revoked {
                    self.requests.forget(&record.intent.request_key, &serial);
                }
                self.begin(plan, record, &item)
            }
            Change::End { record, value, recent, event } => {
                self.end(plan, &record, value, &recent, event)
            }
            Change::Revoke { serial, seen, value, event } => {
                let now = self.trees.certificates.get(serial.as_bytes()).map_err(fault)?;
                if plan.ended.contains(&serial) || now.is_none_or(|now| now != seen) {
                    // Somebody else was first: the caller reads what became of it.
                    return Ok(Outcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.certificates.push((serial.as_bytes().into(), value.into()));
                plan.ended.insert(serial);
                plan.tell(event)
            }
            Change::AddAccount { name, value, event } => {
                if self.has_account(plan, &name)? {
                    return Ok(Outcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.accounts.insert(name, Some(value.into()));
                plan.tell(event)
            }
            Change::RemoveAccount { name, event } => {
                if !self.has_account(plan, &name)? {
                    return Ok(Outcome::Not);
                }
                plan.accounts.insert(name, None);
                plan.tell(event)
            }
            Change::Append { event } => plan.tell(event),
            Change::Decide { matter, seen, value } => {
                let now = self.decision(plan, &matter)?;
                if now.as_deref() != seen.as_deref() {
                    return Ok(Outcome::Otherwise(now.map(|now| now.to_vec())));
                }
                plan.large |= value.len() > USUAL;
                plan.decisions.insert(matter, value.into());
                Ok(Outcome::Done)
            }
            Change::Import(items) => self.import(plan, items),
            Change::Find(_) | Change::Close => Ok(Outcome::Done),
        }
    }

    fn begin(
        &mut self,
        plan: &mut Plan,
        record: Arc<Issuance>,
        item: &[u8],
    ) -> Result<Outcome, Error> {
        let intent = &record.intent;
        let serial = &intent.serial;
        self.requests.purge(intent.begun);
        plan.now = plan.now.max(Some(intent.begun));
        if let Some(first) = self.requests.find(&intent.request_key, intent.begun) {
            return Ok(match self.open.get(first) {
                Some(pending) => Outcome::Open(Arc::clone(&pending.record)),
                None => Outcome::Complete(first.clone()),
            });
        }
        let taken = self.open.contains_key(serial)
            || plan.ended.contains(serial)
            || self.trees.certificates.contains_key(serial.as_bytes()).map_err(fault)?;
        if taken {
            return Err(Error::SerialTaken(serial.clone()));
        }
        self.requests.remember(intent.request_key, serial.clone(), intent.repeat_until);
        self.take_open(plan, record, item)?;
        Ok(Outcome::Done)
    }

    /// Takes an open issuance into the journal.
    fn take_open(
        &mut self,
        plan: &mut Plan,
        record: Arc<Issuance>,
        item: &[u8],
    ) -> Result<(), Error> {
        plan.large |= item.len() > USUAL;
        let page = plan.open.push(item)?;
        *self.pages.entry(page).or_default() += 1;
        let serial = record.intent.serial.clone();
        self.open.insert(serial, Pending { record: Arc::clone(&record), page });
        plan.begun.push(record);
        Ok(())
    }

    fn end(
        &mut self,
        plan: &mut Plan,
        record: &Issuance,
        value: Vec<u8>,
        recent: &[u8],
        event: Told,
    ) -> Result<Outcome, Error> {
        let intent = &record.intent;
        let Some(pending) = self.open.remove(&intent.serial) else {
            // Somebody else was first: the caller reads what became of it.
            return Ok(Outcome::Not);
        };
        if let Some(count) = self.pages.get_mut(&pending.page) {
            *count -= 1;
            if *count == 0 {
                self.pages.remove(&pending.page);
                plan.open_drops.push(pending.page);
            }
        }
        if record.state == State::Void {
            self.requests.forget(&intent.request_key, &intent.serial);
        }
        plan.take_ended(intent, value, recent)?;
        plan.tell(event)
    }

    /// Adds what another store kept, up to an item that differs from what is here.
    fn import(&mut self, plan: &mut Plan, items: Vec<Item>) -> Result<Outcome, Error> {
        for item in items {
            if self.is_there(plan, &item)? {
                continue;
            }
            match item {
                Item::Issuance(record) => self.import_issuance(plan, record)?,
                Item::Account(account) => {
                    let value = format::account(&account)?;
                    plan.large |= value.len() > USUAL;
                    plan.accounts.insert(account.name, Some(value.into()));
                }
                Item::Event(id, event) => {
                    let pages = match id.writer {
                        WRITER => &mut plan.events,
                        writer => match plan.others.entry(writer) {
                            Entry::Occupied(pages) => pages.into_mut(),
                            Entry::Vacant(place) => {
                                let number = self.next_event_of(writer)?;
                                place.insert(Pages::of_events(EventId { writer, number }))
                            }
                        },
                    };
                    if pages.next() != id.number {
                        let why = format!("event {} is missing before it", pages.next());
                        return Err(Error::Conflict(format!("{}: {why}", Item::Event(id, event))));
                    }
                    let item = format::event_item(&event)?;
                    plan.large |= item.len() > USUAL;
                    pages.push(&item)?;
                }
                Item::Decision(matter, value) => {
                    plan.large |= value.len() > USUAL;
                    plan.decisions.insert(matter, value.into());
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Whether an item is here already, as it is.
    fn is_there(&self, plan: &Plan, item: &Item) -> Result<bool, Error> {
        let conflict =
            |equal| if equal { Ok(true) } else { Err(Error::Conflict(item.to_string())) };
        match item {
            Item::Issuance(record) => {
                let serial = &record.intent.serial;
                if let Some(pending) = self.open.get(serial) {
                    return conflict(pending.record == *record);
                }
                let value = self.trees.certificates.get(serial.as_bytes()).map_err(fault)?;
                let Some(value) = value else { return Ok(false) };
                conflict(format::read_issuance(&value)? == **record)
            }
            Item::Account(account) => {
                let value = self.trees.accounts.get(&account.name).map_err(fault)?;
                let Some(value) = value else { return Ok(false) };
                conflict(format::read_account(&value)? == *account)
            }
            Item::Event(id, event) => {
                let found = super::events(&self.trees, *id, self.next_event - 1, 1)?;
                match found.first() {
                    Some((there, known)) if there == id => conflict(known == event),
                    _ => Ok(false),
                }
            }
            Item::Decision(matter, value) => match self.decision(plan, matter)? {
                Some(known) => conflict(known == value.as_slice()),
                None => Ok(false),
            },
        }
    }

    fn import_issuance(&mut self, plan: &mut Plan, record: Arc<Issuance>) -> Result<(), Error> {
        let intent = &record.intent;
        let until = intent.repeat_until;
        if record.state.answers_repeats() && until > self.now {
            self.requests.restore(intent.request_key, intent.serial.clone(), until);
        }
        if record.state == State::Open {
            let item = super::fitting(format::intent_item(intent)?)?;
            return self.take_open(plan, record, &item);
        }
        let value = super::fitting(format::issuance(&record)?)?;
        // What is over already is not needed by the next one that opens the store.
        let over = until <= self.now;
        let repeats =
            !over && record.state == State::Issued && record.ended.is_some_and(|end| end < until);
        let recent = if repeats { format::recent_item(intent)? } else { Vec::new() };
        plan.take_ended(intent, value, &recent)
    }

    fn decision(&self, plan: &Plan, matter: &str) -> Result<Option<IVec>, Error> {
        match plan.decisions.get(matter) {
            Some(value) => Ok(Some(value.clone())),
            None => self.trees.decisions.get(matter).map_err(fault),
        }
    }

    fn has_account(&self, plan: &Plan, name: &str) -> Result<bool, Error> {
        match plan.accounts.get(name) {
            Some(change) => Ok(change.is_some()),
            None => self.trees.accounts.contains_key(name).map_err(fault),
        }
    }

    /// Chooses the pages of recent requests that no repeat can need any more.
    fn drop_recent(&mut self, plan: &mut Plan) {
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

    /// Commits the plan, and tells everybody how it went.
    fn settle(&mut self, mut plan: Plan) -> Result<(), String> {
        self.drop_recent(&mut plan);
        if let Err(why) = self.commit(&mut plan) {
            // After a failed write or sync nobody knows what the disk holds: Linux drops the
            // pages it could not write and reports success the next time. So this is never used
            // again; what is really there is read back.
            let why = format!(
                "writing failed ({why}); what was not acknowledged may or may not be on the disk"
            );
            // Before the answers: who has one and asks again is refused at once.
            self.shared.set(Slot::Reading(Arc::clone(&self.trees), why.clone()));
            for (reply, _) in plan.answers {
                // The caller may have gone: its request was cut.
                let _ = reply.send(Err(Error::Unavailable(why.clone())));
            }
            return Err(why);
        }

        self.now = plan.now.map_or(self.now, |now| now.max(self.now));
        for (page, end) in plan.recent_ends {
            self.recent.entry(end).or_default().push(page);
        }
        if !(plan.begun.is_empty() && plan.ended.is_empty()) {
            let mut open = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
            for record in plan.begun {
                open.insert(record.intent.serial.clone(), record);
            }
            for serial in &plan.ended {
                open.remove(serial);
            }
        }
        failpoint!("sled: synced");
        // Told before it is answered: who has an answer finds its event in the trail.
        let first = self.next_event;
        self.next_open = plan.open.next();
        self.next_recent = plan.recent.next();
        self.next_event = plan.events.next();
        self.shared.events.store(self.next_event - 1, Ordering::Release);
        if self.next_event != first {
            self.disk.mark(self.next_event - 1);
        }
        for (number, event) in (first..).zip(&plan.told) {
            self.trail.tell(Some(EventId { writer: WRITER, number }), event);
        }
        failpoint!("sled: told");
        for (reply, outcome) in plan.answers {
            let _ = reply.send(outcome);
        }
        Ok(())
    }

    /// Makes the plan durable.
    fn commit(&mut self, plan: &mut Plan) -> Result<(), String> {
        let own = [&mut plan.open, &mut plan.recent, &mut plan.events];
        for pages in own.into_iter().chain(plan.others.values_mut()) {
            pages.finish().map_err(|error| error.to_string())?;
        }
        let idle = plan.certificates.is_empty()
            && plan.open.full.is_empty()
            && plan.events.full.is_empty()
            && plan.others.is_empty()
            && plan.accounts.is_empty()
            && plan.decisions.is_empty()
            && plan.recent_drops.is_empty();
        if idle {
            return Ok(());
        }
        if plan.large {
            self.disk.expect_blobs();
        }
        let trees = &self.trees;
        let all = (
            &trees.certificates,
            &trees.open,
            &trees.recent,
            &trees.events,
            &trees.accounts,
            &trees.decisions,
        );
        failpoint!("sled: before the transaction");
        all.transaction(|(certificates, open, recent, events, accounts, decisions)| {
            let inserts = [
                (certificates, &plan.certificates),
                (open, &plan.open.full),
                (recent, &plan.recent.full),
                (events, &plan.events.full),
            ];
            for (tree, values) in inserts {
                for (key, value) in values {
                    tree.insert(key, value)?;
                }
            }
            for (tree, drops) in [(open, &plan.open_drops), (recent, &plan.recent_drops)] {
                for page in drops {
                    tree.remove(key(*page))?;
                }
            }
            for (key, page) in plan.others.values().flat_map(|pages| &pages.full) {
                events.insert(key, page)?;
            }
            for (matter, value) in &plan.decisions {
                decisions.insert(matter.as_bytes(), value)?;
            }
            for (name, value) in &plan.accounts {
                match value {
                    Some(value) => accounts.insert(name.as_bytes(), value)?,
                    None => accounts.remove(name.as_bytes())?,
                };
            }
            Ok(())
        })
        .map_err(|error: TransactionError<()>| match error {
            TransactionError::Storage(error) => error.to_string(),
            TransactionError::Abort(()) => "the transaction was aborted".to_owned(),
        })?;
        failpoint!("sled: committed");
        self.disk.sync(&trees.db)?;
        self.has_written = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_never_waits_and_many_wait_for_as_many_as_lately_came() {
        let mut crowd = Crowd::default();
        assert!(!crowd.is_worth_waiting_for(1, 0), "nothing is known yet");
        for _ in 0..20 {
            crowd.note(1);
        }
        assert!(!crowd.is_worth_waiting_for(1, 0));
        crowd.note(12);
        assert!(!crowd.is_worth_waiting_for(0, 0), "who only reads waits for nobody");
        assert!(crowd.is_worth_waiting_for(1, 3) && crowd.is_worth_waiting_for(11, 0));
        assert!(!crowd.is_worth_waiting_for(12, 0) && !crowd.is_worth_waiting_for(1, 4));
        crowd.note(0);
        crowd.note(500);
        assert!(crowd.is_worth_waiting_for(1, 7) && !crowd.is_worth_waiting_for(1, GLANCES));
        for _ in 0..8 {
            crowd.note(1);
        }
        assert!(!crowd.is_worth_waiting_for(1, 0), "the crowd has gone");
    }
}
