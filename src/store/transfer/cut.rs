//! A store as it was at one point in time, read while its server continues.
//!
//! The cut ends with the last event that was committed when the reading began. Records are restored
//! to their state at that event:
//! - An issuance completed or voided by a later event is left out. It was open at the cut, and no
//!   client had its certificate; a retry of its request is a new request.
//! - A revocation by a later event is undone: the certificate was issued and not revoked.
//! - An open issuance is included if it began before the cut.
//!
//! A record that contradicts the events, earlier and later ones, is returned unchanged. It is an
//! error in the store, and a check of the cut must find it.

use super::{super::Error, super::State, source::Source};
use crate::{
    store::{Account, Issuance},
    telemetry::audit::{Event, EventId, Name},
    types::{Serial, Time},
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Mutex, time::sleep};

/// How many events are read at once.
const PAGE: usize = 500;

/// The writer of a store that one server has to itself: only its events grow in number.
const WRITER: u64 = 1;

/// How many times the accounts are read while one of them changes meanwhile.
const ATTEMPTS: usize = 20;

/// How many times, and how long each, later events are awaited: a record may be read shortly before
/// its event is durable and listed.
const LOOKS: usize = 100;
const LOOKS_AGAIN: usize = 10;
const LOOK: Duration = Duration::from_millis(50);

/// The issuances that ended, by the events that report it.
#[derive(Default)]
struct Referents {
    issued: HashSet<Serial>,
    voided: HashSet<Serial>,
    revoked: HashSet<Serial>,
}

impl Referents {
    fn add(&mut self, event: &Event) {
        let of = match event.name {
            Name::CertificateIssued => &mut self.issued,
            Name::IssuanceVoided => &mut self.voided,
            Name::CertificateRevoked => &mut self.revoked,
            _ => return,
        };
        // An event without one is an error that a check finds.
        if let Some(Ok(serial)) = event.detail("serial").map(str::parse) {
            of.insert(serial);
        }
    }

    fn highest(&self) -> Option<Serial> {
        let all = self.issued.iter().chain(&self.voided).chain(&self.revoked);
        all.max().cloned()
    }

    /// The state that the events leave the issuance in.
    fn state(&self, serial: &Serial) -> State {
        if self.revoked.contains(serial) {
            State::Revoked
        } else if self.issued.contains(serial) {
            State::Issued
        } else if self.voided.contains(serial) {
            State::Void
        } else {
            State::Open
        }
    }

    fn include(&self, state: State, serial: &Serial) -> bool {
        match state {
            State::Open => false,
            State::Issued => self.issued.contains(serial),
            State::Void => self.voided.contains(serial),
            State::Revoked => self.revoked.contains(serial),
        }
    }
}

/// The events after the cut, as far as they are read.
struct Later {
    /// The next event to read.
    next: EventId,
    ends: Referents,
    /// How many times a page's events are awaited.
    looks: usize,
}

/// A store of one server, as it was at one point in time. Keeps the serial number of each ended
/// issuance in memory: about 70 bytes for each certificate.
pub struct Cut<S> {
    source: S,
    /// Open issuances that were begun in this second or later are left out.
    started: Time,
    /// The last event of each writer.
    last: BTreeMap<u64, u64>,
    ends: Referents,
    /// The highest serial number in an event of the cut.
    highest: Option<Serial>,
    accounts: Vec<Account>,
    registers: Vec<(String, Vec<u8>)>,
    later: Mutex<Later>,
    look: Duration,
}

impl<S: Source> Cut<S> {
    /// Cuts at the last event that is committed now. `started` is the present time.
    ///
    /// # Errors
    /// [`Error`] of the source; [`Error::Unavailable`] if accounts change during every attempt.
    pub async fn new(source: S, started: Time) -> Result<Self, Error> {
        let (mut last, mut ends) = (BTreeMap::new(), Referents::default());
        let mut from = EventId { writer: 0, number: 0 };
        loop {
            let page = source.events(from, PAGE).await?;
            let Some((id, _)) = page.last() else { break };
            from = EventId { number: id.number + 1, ..*id };
            for (id, event) in &page {
                last.insert(id.writer, id.number);
                ends.add(event);
            }
        }
        for _ in 0..ATTEMPTS {
            let (accounts, registers) = (source.accounts().await?, source.registers().await?);
            // The cut is after the accounts are read, and none of them changes in between.
            let mut next = EventId::first_of(WRITER);
            next.number = last.get(&WRITER).map_or(1, |last| last + 1);
            let mut changed = false;
            for (id, event) in since(&source, &mut next).await? {
                changed |= matches!(event.name, Name::AccountAdded | Name::AccountRemoved);
                last.insert(id.writer, id.number);
                ends.add(&event);
            }
            if !changed {
                let later = Mutex::new(Later { next, ends: Referents::default(), looks: LOOKS });
                let look = LOOK;
                let highest = ends.highest();
                return Ok(Self {
                    highest,
                    source,
                    started,
                    last,
                    ends,
                    accounts,
                    registers,
                    later,
                    look,
                });
            }
        }
        Err(Error::Unavailable("accounts are added and removed all the time".to_owned()))
    }

    /// Waits until the events report the states of all records in the page: a record may be read
    /// before its event is listed.
    async fn catch_up(&self, page: &[Arc<Issuance>]) -> Result<(), Error> {
        let mut later = self.later.lock().await;
        for look in 0..later.looks {
            let is_reported = |one: &Arc<Issuance>| {
                let (state, serial) = (one.state, &one.intent.serial);
                state == State::Open
                    || self.ends.include(state, serial)
                    || later.ends.include(state, serial)
            };
            if page.iter().all(is_reported) {
                return Ok(());
            }
            if look > 0 {
                sleep(self.look).await;
            }
            let mut next = later.next;
            for (_, event) in since(&self.source, &mut next).await? {
                later.ends.add(&event);
            }
            later.next = next;
        }
        // A damaged store may have many such records.
        later.looks = LOOKS_AGAIN;
        Ok(())
    }

    /// Returns the issuance as it was at the cut; none if it did not exist, or was open and has
    /// ended since.
    async fn at_cut(&self, issuance: Arc<Issuance>) -> Option<Arc<Issuance>> {
        let serial = &issuance.intent.serial;
        let then = self.ends.state(serial);
        match (then, issuance.state) {
            (State::Open, State::Open) => {
                (issuance.intent.begun < self.started).then_some(issuance)
            }
            (State::Issued, State::Revoked) => {
                if !self.later.lock().await.ends.include(State::Revoked, serial) {
                    return Some(issuance);
                }
                let before = Issuance {
                    state: State::Issued,
                    revocation: None,
                    ..Arc::unwrap_or_clone(issuance)
                };
                Some(Arc::new(before))
            }
            (State::Open, now) => {
                let was_later = self.later.lock().await.ends.include(now, serial);
                (!was_later).then_some(issuance)
            }
            _ => Some(issuance),
        }
    }
}

/// Reads the events of one writer from `next` on, and moves `next` behind the last one.
async fn since<S: Source>(source: &S, next: &mut EventId) -> Result<Vec<(EventId, Event)>, Error> {
    let mut found = Vec::new();
    loop {
        let mut page = source.events(*next, PAGE).await?;
        page.retain(|(id, _)| id.writer == next.writer);
        let Some((id, _)) = page.last() else { return Ok(found) };
        next.number = id.number + 1;
        found.append(&mut page);
    }
}

#[async_trait]
impl<S: Source> Source for Cut<S> {
    async fn issuances(
        &self,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let mut after = after.cloned();
        loop {
            let page = self.source.issuances(after.as_ref(), limit).await?;
            let Some(last) = page.last() else { return Ok(page) };
            after = Some(last.intent.serial.clone());
            self.catch_up(&page).await?;
            let mut kept = Vec::with_capacity(page.len());
            for issuance in page {
                kept.extend(self.at_cut(issuance).await);
            }
            // Serial numbers begin with the time: a busy server adds issuances behind each page.
            let is_behind_all = after > self.highest;
            if !kept.is_empty() || is_behind_all {
                return Ok(kept);
            }
        }
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(self.accounts.clone())
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        Ok(self.registers.clone())
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        let mut from = from;
        loop {
            let mut page = self.source.events(from, limit).await?;
            let Some((end, _)) = page.last() else { return Ok(page) };
            from = if self.is_in(*end) {
                EventId { number: end.number + 1, ..*end }
            } else {
                // The writer's other events are after the cut.
                EventId::first_of(end.writer.saturating_add(1))
            };
            page.retain(|(id, _)| self.is_in(*id));
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }
}

impl<S> Cut<S> {
    fn is_in(&self, id: EventId) -> bool {
        self.last.get(&id.writer).is_some_and(|last| id.number <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{
            Intent, Item, MemoryStore, Store,
            contract::{NOW, account, at, event, intent, revocation, serial},
            transfer::{Export, Walk, export, import, tests::all},
        },
        telemetry::audit::NoTrail,
    };
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    fn event_of(name: Name, number: u64) -> Event {
        event(name, number).with("serial", serial(number))
    }

    async fn issue_at(store: &dyn Store, number: u64, begun: Time) {
        let intent = Intent { begun, ..intent(number, number) };
        store.begin(intent).await.unwrap();
        let event = event_of(Name::CertificateIssued, number);
        store.complete(&serial(number), vec![0x31; 80], event).await.unwrap();
    }

    /// A store that changes each time issuances are read, and lists new events one call late.
    struct Busy {
        store: MemoryStore,
        changes: AtomicBool,
        pages: AtomicU64,
        listed: AtomicU64,
        new_account: AtomicBool,
    }

    impl Busy {
        fn new() -> Self {
            Self {
                store: MemoryStore::new(Arc::new(NoTrail)),
                changes: AtomicBool::new(false),
                pages: AtomicU64::new(0),
                listed: AtomicU64::new(u64::MAX),
                new_account: AtomicBool::new(false),
            }
        }

        fn store(&self) -> &dyn Store {
            &self.store
        }

        /// New certificates before and behind the page, revocations of old and new ones, and the
        /// ends of issuances that were open.
        async fn change(&self) {
            let store = self.store();
            let page = self.pages.fetch_add(1, Ordering::SeqCst);
            for number in [1 + 2 * page, 1001 + 2 * page, 2401 + 2 * page] {
                issue_at(store, number, at(10)).await;
                let renewal = Intent {
                    predecessor: Some(serial(number)),
                    begun: at(10),
                    ..intent(5000 + number, 5000 + number)
                };
                store.begin(renewal).await.unwrap();
            }
            for number in [2 * page, 2000 + 2 * page, 1001 + 2 * page] {
                let event = event_of(Name::CertificateRevoked, number);
                store.revoke(&serial(number), revocation(number), event).await.unwrap();
            }
            if page == 0 {
                let event = event_of(Name::CertificateIssued, 3001);
                store.complete(&serial(3001), vec![0x31; 80], event).await.unwrap();
                store.void(&serial(3003), event_of(Name::IssuanceVoided, 3003)).await.unwrap();
            }
        }
    }

    #[async_trait]
    impl Source for Busy {
        async fn issuances(
            &self,
            after: Option<&Serial>,
            limit: usize,
        ) -> Result<Vec<Arc<Issuance>>, Error> {
            if self.changes.load(Ordering::SeqCst) {
                self.change().await;
            }
            self.store().issuances(after, limit).await
        }

        async fn accounts(&self) -> Result<Vec<Account>, Error> {
            let found = self.store.accounts().await;
            if self.new_account.swap(false, Ordering::SeqCst) {
                let event = event(Name::AccountAdded, 9).with("account", "new");
                self.store.add_account(account("new"), event).await?;
            }
            found
        }

        async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
            self.store.registers().await
        }

        async fn events(
            &self,
            from: EventId,
            limit: usize,
        ) -> Result<Vec<(EventId, Event)>, Error> {
            let mut found = self.store.events(from, limit).await?;
            if self.changes.load(Ordering::SeqCst) {
                let all = self.store.events(EventId::first_of(WRITER), usize::MAX).await?;
                let now = all.len() as u64;
                let listed = self.listed.swap(now, Ordering::SeqCst);
                found.retain(|(id, _)| id.number <= listed);
            }
            Ok(found)
        }
    }

    /// A store of 1200 certificates, two of them revoked, and three open issuances.
    async fn busy() -> Busy {
        let busy = Busy::new();
        let store = busy.store();
        for number in 0..1200 {
            issue_at(store, 2 * number, NOW).await;
        }
        for number in [800, 802] {
            let event = event_of(Name::CertificateRevoked, number);
            store.revoke(&serial(number), revocation(number), event).await.unwrap();
        }
        for number in [3001, 3003, 3005] {
            store.begin(intent(number, number)).await.unwrap();
        }
        store.void(&serial(3005), event_of(Name::IssuanceVoided, 3005)).await.unwrap();
        store.begin(intent(3007, 3007)).await.unwrap();
        store.compare_and_set("ca.default", None, &[7]).await.unwrap();
        store.add_account(account("old"), event(Name::AccountAdded, 1)).await.unwrap();
        busy
    }

    async fn cut(busy: Busy) -> Cut<Busy> {
        Cut { look: Duration::ZERO, ..Cut::new(busy, at(1)).await.unwrap() }
    }

    #[tokio::test]
    async fn a_cut_is_the_store_at_one_point_in_time_despite_later_changes() {
        let busy = busy().await;
        let mut then = all(busy.store()).await;
        // Open at the cut and ended since: left out.
        let ended = [serial(3001), serial(3003)];
        then.retain(|item| match item {
            Item::Issuance(one) => !ended.contains(&one.intent.serial),
            _ => true,
        });
        let cut = cut(busy).await;
        cut.source.changes.store(true, Ordering::SeqCst);
        let mut file = Vec::new();
        let summary = export(&cut, &mut file, &mut |_, _| {}).await.unwrap();
        assert!(cut.source.pages.load(Ordering::SeqCst) > 3, "it changed during the export");
        assert!(all(cut.source.store()).await.len() > then.len() + 10);

        let target = MemoryStore::new(Arc::new(NoTrail));
        let mut again = || -> Result<Box<dyn crate::store::transfer::Items>, _> {
            Ok(Box::new(Export::new(&*file)?))
        };
        assert_eq!(import(&mut again, &target, &mut |_, _| {}).await.unwrap(), summary);
        let imported = all(&target).await;
        assert_eq!(imported.len(), then.len());
        for (imported, then) in imported.iter().zip(&then) {
            assert_eq!(imported, then);
        }
        // An export of the same store at rest has the same digest.
        let still =
            export(&(&target as &dyn Store), &mut Vec::new(), &mut |_, _| {}).await.unwrap();
        assert_eq!(still, summary);
    }

    #[tokio::test]
    async fn a_cut_of_a_store_at_rest_is_all_of_it() {
        let busy = busy().await;
        let then = all(busy.store()).await;
        let cut = cut(busy).await;
        let (mut walk, mut items) = (Walk::new(&cut), Vec::new());
        while let Some(item) = crate::store::transfer::Items::next(&mut walk).await.unwrap() {
            items.push(item);
        }
        assert!(items == then);
    }

    #[tokio::test]
    async fn an_account_is_in_the_cut_together_with_its_event() {
        let busy = busy().await;
        busy.new_account.store(true, Ordering::SeqCst);
        let cut = cut(busy).await;
        let names: Vec<String> =
            cut.accounts().await.unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["new", "old"]);
        let last = cut.last[&WRITER];
        let events = cut.events(EventId { writer: WRITER, number: last }, 9).await.unwrap();
        assert_eq!(events[0].1.name, Name::AccountAdded);
        assert_eq!(events[0].1.detail("account"), Some("new"));
    }

    #[tokio::test]
    async fn records_without_an_event_are_not_hidden() {
        let busy = busy().await;
        let with_certificate = busy.store.find(&serial(0)).await.unwrap().unwrap();
        let mut planted = Arc::unwrap_or_clone(with_certificate);
        planted.intent = intent(1, 1);
        busy.store.import(vec![Item::Issuance(Arc::new(planted.clone()))]).await.unwrap();
        let cut = cut(busy).await;
        let page = cut.issuances(None, 3).await.unwrap();
        assert_eq!(*page[1], planted);
    }
}
