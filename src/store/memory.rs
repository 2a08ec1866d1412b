//! A store in memory: for tests and trials. Gone at the end.

use super::{
    Account, Begun, Error, Filter, Intent, Issuance, State, Store,
    ledger::{Open, Requests, issued, voided, wrong_state},
};
use crate::{
    telemetry::audit::{Event, Trail},
    types::Serial,
};
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Keeps everything in memory.
pub struct MemoryStore {
    inner: Mutex<Inner>,
    trail: Arc<dyn Trail>,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    open: Open,
    ended: BTreeMap<Serial, Arc<Issuance>>,
    requests: Requests,
    accounts: BTreeMap<String, Account>,
    events: Vec<Event>,
}

impl MemoryStore {
    /// Starts empty. Committed events are told to `trail`.
    #[must_use]
    pub fn new(trail: Arc<dyn Trail>) -> Self {
        Self { inner: Mutex::default(), trail }
    }

    fn inner(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        // Nothing below panics between two changes that belong together.
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.closed {
            return Err(Error::Unavailable("it is closed".to_owned()));
        }
        Ok(inner)
    }

    /// Told under the lock, so that the trail has the order of the commits.
    fn commit(&self, inner: &mut Inner, event: Event) {
        inner.events.push(event);
        if let Some(event) = inner.events.last() {
            self.trail.tell(Some(inner.events.len() as u64), event);
        }
    }
}

impl Inner {
    fn find(&self, serial: &Serial) -> Option<&Arc<Issuance>> {
        self.open.get(serial).or_else(|| self.ended.get(serial))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn begin(&self, intent: Intent) -> Result<Begun, Error> {
        let mut inner = self.inner()?;
        inner.requests.forget(intent.begun);
        if let Some(serial) = inner.requests.earlier(&intent.request_key, intent.begun)
            && let Some(earlier) = inner.find(serial).cloned()
        {
            return Ok(if earlier.state == State::Open {
                Begun::Open(earlier)
            } else {
                Begun::Complete(earlier)
            });
        }
        if inner.find(&intent.serial).is_some() {
            return Err(Error::SerialTaken(intent.serial));
        }
        inner.requests.insert(intent.request_key, intent.serial.clone(), intent.repeat_until);
        inner.open.insert(intent.serial.clone(), Arc::new(intent.into()));
        Ok(Begun::New)
    }

    async fn complete(
        &self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let mut inner = self.inner()?;
        let Some(open) = inner.open.remove(serial) else {
            return match inner.ended.get(serial) {
                Some(found) if found.state == State::Issued => Ok(Arc::clone(found)),
                found => Err(wrong_state(serial, found.map(AsRef::as_ref))),
            };
        };
        let done = Arc::new(issued(&open, certificate, event.at));
        inner.ended.insert(serial.clone(), Arc::clone(&done));
        self.commit(&mut inner, event);
        Ok(done)
    }

    async fn void(&self, serial: &Serial, event: Event) -> Result<(), Error> {
        let mut inner = self.inner()?;
        let Some(open) = inner.open.remove(serial) else {
            return match inner.ended.get(serial) {
                Some(found) if found.state == State::Void => Ok(()),
                found => Err(wrong_state(serial, found.map(AsRef::as_ref))),
            };
        };
        inner.requests.remove(&open.intent.request_key, serial);
        inner.ended.insert(serial.clone(), Arc::new(voided(&open, event.at)));
        self.commit(&mut inner, event);
        Ok(())
    }

    async fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        Ok(self.inner()?.find(serial).cloned())
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let inner = self.inner()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::<&Serial>::Unbounded);
        let mut found: Vec<_> = inner
            .open
            .range::<Serial, _>(range)
            .chain(inner.ended.range::<Serial, _>(range))
            .collect();
        found.sort_by_key(|(serial, _)| *serial);
        Ok(found
            .into_iter()
            .map(|(_, one)| one)
            .filter(|one| filter.matches(one))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error> {
        let mut inner = self.inner()?;
        if inner.accounts.contains_key(&account.name) {
            return Err(Error::AccountExists(account.name));
        }
        inner.accounts.insert(account.name.clone(), account);
        self.commit(&mut inner, event);
        Ok(())
    }

    async fn remove_account(&self, name: &str, event: Event) -> Result<(), Error> {
        let mut inner = self.inner()?;
        inner.accounts.remove(name).ok_or_else(|| Error::NoSuchAccount(name.to_owned()))?;
        self.commit(&mut inner, event);
        Ok(())
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        Ok(self.inner()?.accounts.get(name).cloned())
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(self.inner()?.accounts.values().cloned().collect())
    }

    async fn append(&self, event: Event) -> Result<(), Error> {
        let mut inner = self.inner()?;
        self.commit(&mut inner, event);
        Ok(())
    }

    async fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, Event)>, Error> {
        let inner = self.inner()?;
        Ok((1..)
            .zip(inner.events.iter().cloned())
            .filter(|(number, _)| *number >= from)
            .take(limit)
            .collect())
    }

    async fn close(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }
}
