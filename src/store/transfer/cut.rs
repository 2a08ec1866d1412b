//! A store as it was at one point in time, read while its server continues.
//!
//! The cut ends with the last event that was committed when the reading began. Records are restored
//! to their state at that event:
//! - An issuance completed or voided by a later event is left out. It was open at the cut, and no
//!   client had its certificate; a retry of its request is a new request.
//! - A revocation by a later event is undone: the certificate was issued and not revoked.
//! - An open issuance is included if it began before the cut.
//!
//! Devices and tokens are returned as they are when they are read: they may be many, and a restore disables
//! tokens in any case.
//!
//! A record that contradicts the events, earlier and later ones, is returned unchanged. It is an
//! error in the store, and a check of the cut must find it.

use super::{super::Error, super::State, source::Source};
use crate::{
    store::{Account, Device, Issuance, Token},
    telemetry::audit::{Event, EventId, Name},
    types::{DeviceId, Serial, Time, TokenId},
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
struct EndedIssuances {
    issued: HashSet<Serial>,
    voided: HashSet<Serial>,
    revoked: HashSet<Serial>,
}

impl EndedIssuances {
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
    ends: EndedIssuances,
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
    ends: EndedIssuances,
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
        let (mut last, mut ends) = (BTreeMap::new(), EndedIssuances::default());
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
                changed |= matches!(
                    event.name,
                    Name::AccountAdded | Name::AccountChanged | Name::AccountRemoved
                );
                last.insert(id.writer, id.number);
                ends.add(&event);
            }
            if !changed {
                let later =
                    Mutex::new(Later { next, ends: EndedIssuances::default(), looks: LOOKS });
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

    async fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Device>, Error> {
        self.source.devices(after, limit).await
    }

    async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>, Error> {
        self.source.tokens(after, limit).await
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
mod tests;
