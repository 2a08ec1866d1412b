//! A store in memory, for tests and trials: it ends with the process.

mod registry;

use super::{
    Account, Accounts, AuditEvents, Begun, CompareAndSet, Conditions, Error, Filter,
    IdempotencyKey, Intent, Issuance, Issuances, Item, Registers, Revocation, State, Store,
    requests::Requests,
};
use crate::{
    telemetry::audit::{Event, EventId, Trail},
    types::{Serial, Time},
};
use async_trait::async_trait;
use registry::Registry;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The number of the only writer.
const WRITER: u64 = 1;

/// Stores everything in memory.
pub struct MemoryStore {
    state: Mutex<Kept>,
    trail: Arc<dyn Trail>,
}

#[derive(Default)]
struct Kept {
    closed: bool,
    issuances: BTreeMap<Serial, Arc<Issuance>>,
    requests: Requests,
    accounts: BTreeMap<String, Account>,
    events: BTreeMap<EventId, Event>,
    registers: BTreeMap<String, Vec<u8>>,
    registry: Registry,
}

impl Kept {
    /// The number after the last event of each writer.
    fn next_event(&self, writer: u64) -> u64 {
        let own = EventId::first_of(writer)..=EventId { writer, number: u64::MAX };
        self.events.range(own).next_back().map_or(1, |(id, _)| id.number + 1)
    }
}

impl MemoryStore {
    /// Creates an empty store; committed events are published to `trail`.
    #[must_use]
    pub fn new(trail: Arc<dyn Trail>) -> Self {
        Self { state: Mutex::default(), trail }
    }

    fn kept(&self) -> Result<MutexGuard<'_, Kept>, Error> {
        // A panic while the lock was held (at most of the trail) leaves each map consistent: each
        // change below is complete before its event is published.
        let kept = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.closed { Err(super::closed()) } else { Ok(kept) }
    }

    /// Numbers an event and publishes it, under the lock: the trail has the order of the store.
    fn commit(&self, kept: &mut Kept, event: Event) {
        let id = EventId { writer: WRITER, number: kept.next_event(WRITER) };
        self.trail.publish(Some(id), &event);
        kept.events.insert(id, event);
    }

    /// Ends an open issuance; an ended one is returned unchanged.
    fn end(
        &self,
        serial: &Serial,
        state: State,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let mut kept = self.kept()?;
        let record = kept.issuances.get(serial);
        let record = record.ok_or_else(|| Error::NoSuchIssuance(serial.clone()))?.clone();
        if record.state != State::Open {
            return record.expect_state(state);
        }
        let ended = Arc::new(record.end(state, certificate, event.at));
        if state == State::Void {
            kept.requests.forget(&record.intent.idempotency_key, serial);
            kept.registry.give_back(&record.intent);
        }
        kept.issuances.insert(serial.clone(), Arc::clone(&ended));
        self.commit(&mut kept, event);
        Ok(ended)
    }
}

#[async_trait]
impl Issuances for MemoryStore {
    async fn begin(&self, intent: Intent, conditions: Conditions) -> Result<Begun, Error> {
        let mut kept = self.kept()?;
        kept.requests.purge(intent.begun);
        let repeated = kept.requests.find(&intent.idempotency_key, intent.begun);
        if let Some(first) = repeated.and_then(|serial| kept.issuances.get(serial)) {
            let first = Arc::clone(first);
            return Ok(match first.state {
                State::Open => Begun::Open(first),
                State::Issued | State::Void | State::Revoked => Begun::Complete(first),
            });
        }
        if kept.issuances.contains_key(&intent.serial) {
            return Err(Error::SerialTaken(intent.serial));
        }
        match kept.evaluate(&intent, &conditions)? {
            Ok(effects) => kept.registry.apply(effects),
            Err(unmet) => return Ok(Begun::Unmet(unmet)),
        }
        kept.requests.remember(intent.idempotency_key, intent.serial.clone(), intent.retry_until);
        kept.issuances.insert(intent.serial.clone(), Arc::new(intent.into()));
        Ok(Begun::New)
    }

    async fn first_answer(
        &self,
        key: &IdempotencyKey,
        at: Time,
    ) -> Result<Option<Arc<Issuance>>, Error> {
        let kept = self.kept()?;
        Ok(kept.requests.find(key, at).and_then(|serial| kept.issuances.get(serial)).cloned())
    }

    async fn complete(
        &self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        self.end(serial, State::Issued, certificate, event)
    }

    async fn void(&self, serial: &Serial, event: Event) -> Result<(), Error> {
        self.end(serial, State::Void, Vec::new(), event).map(|_| ())
    }

    async fn revoke(
        &self,
        serial: &Serial,
        revocation: Revocation,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let mut kept = self.kept()?;
        let record = kept.issuances.get(serial);
        let record = record.ok_or_else(|| Error::NoSuchIssuance(serial.clone()))?.clone();
        let Some(revoked) = record.revoke(revocation)?.map(Arc::new) else { return Ok(record) };
        kept.requests.forget(&record.intent.idempotency_key, serial);
        kept.issuances.insert(serial.clone(), Arc::clone(&revoked));
        self.commit(&mut kept, event);
        Ok(revoked)
    }

    async fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        Ok(self.kept()?.issuances.get(serial).cloned())
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = self.kept()?;
        let later = kept.issuances.range::<Serial, _>((from, Bound::Unbounded));
        let passing = later.map(|(_, issuance)| issuance).filter(|each| filter.matches(each));
        Ok(passing.take(limit).cloned().collect())
    }
}

#[async_trait]
impl Accounts for MemoryStore {
    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        if kept.accounts.contains_key(&account.name) {
            return Err(Error::AccountExists(account.name));
        }
        kept.accounts.insert(account.name.clone(), account);
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn remove_account(&self, name: &str, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        if kept.accounts.remove(name).is_none() {
            return Err(Error::NoSuchAccount(name.to_owned()));
        }
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn change_account(
        &self,
        seen: &Account,
        new: Account,
        event: Event,
    ) -> Result<(), Error> {
        let mut kept = self.kept()?;
        if seen.name != new.name || kept.accounts.get(&seen.name) != Some(seen) {
            return Err(Error::Changed(format!("account {:?}", seen.name)));
        }
        kept.accounts.insert(new.name.clone(), new);
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        Ok(self.kept()?.accounts.get(name).cloned())
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(self.kept()?.accounts.values().cloned().collect())
    }
}

#[async_trait]
impl AuditEvents for MemoryStore {
    async fn append(&self, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        let kept = self.kept()?;
        Ok(kept.events.range(from..).take(limit).map(|(id, event)| (*id, event.clone())).collect())
    }
}

#[async_trait]
impl Registers for MemoryStore {
    async fn compare_and_set(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<CompareAndSet, Error> {
        let mut kept = self.kept()?;
        let now = kept.registers.get(name);
        if now.map(Vec::as_slice) != expected {
            return Ok(CompareAndSet::Differs(now.cloned()));
        }
        kept.registers.insert(name.to_owned(), value.to_vec());
        Ok(CompareAndSet::Set)
    }

    async fn register(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.kept()?.registers.get(name).cloned())
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let kept = self.kept()?;
        Ok(kept.registers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn import(&self, items: Vec<Item>) -> Result<(), Error> {
        let mut kept = self.kept()?;
        for item in items {
            let other = match &item {
                Item::Issuance(one) => {
                    kept.issuances.get(&one.intent.serial).is_some_and(|there| there != one)
                }
                Item::Account(one) => {
                    kept.accounts.get(&one.name).is_some_and(|there| there != one)
                }
                Item::Event(id, one) => match kept.events.get(id) {
                    Some(there) => there != one,
                    None => kept.next_event(id.writer) != id.number,
                },
                Item::Register(name, one) => {
                    kept.registers.get(name).is_some_and(|there| there != one)
                }
                Item::Device(one) => match kept.registry.devices.get(&one.id) {
                    Some(there) => there != &**one,
                    None => kept.registry.expect_new(one).is_err(),
                },
                Item::Token(one) => {
                    kept.registry.tokens.get(&one.id).is_some_and(|there| there != &**one)
                }
            };
            if other {
                return Err(Error::Conflict(item.to_string()));
            }
            match item {
                Item::Issuance(one) => {
                    let intent = &one.intent;
                    if one.state.answers_repeats() {
                        let until = intent.retry_until;
                        kept.requests.restore(intent.idempotency_key, intent.serial.clone(), until);
                    }
                    kept.issuances.insert(intent.serial.clone(), one);
                }
                Item::Account(one) => drop(kept.accounts.insert(one.name.clone(), one)),
                Item::Event(id, one) => drop(kept.events.insert(id, one)),
                Item::Register(name, one) => drop(kept.registers.insert(name, one)),
                Item::Device(one) => kept.registry.put(*one),
                Item::Token(one) => drop(kept.registry.tokens.insert(one.id, *one)),
            }
        }
        Ok(())
    }

    async fn close(&self) {
        if let Ok(mut kept) = self.kept() {
            kept.closed = true;
        }
    }
}
