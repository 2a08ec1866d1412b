//! The store in a folder of its own, on sled 0.34.7: for one server without a database.
//!
//! One thread writes ([`committer`]). It reads queued commands ([`change`]), commits them in one
//! transaction, makes it durable ([`disk`]), shows it to readers ([`shared`]), and replies. After
//! an error the folder is opened again ([`supervisor`]). Reads run on the runtime's blocking
//! threads. The layout ([`pages`], [`mod@super::format`]):
//!
//! | Tree | Key | Value |
//! |---|---|---|
//! | `certificates` | serial number | an ended issuance |
//! | `open` | number of the first | a page of open issuances, removed when the last has ended |
//! | `recent` | number of the first | a page of requests that have their certificate, removed when their retry windows are over |
//! | `events` | writer and number of the first | a page of events |
//! | `accounts` | name | an account |
//! | `decisions` | name of a register | its value |
//! | `devices` | id | a device, and the import that staged it |
//! | `identifiers` | text of an identifier | the id of its device, and the import that staged it |
//! | `barred` | id of a device that is blocked or retired | nothing |
//! | `staging` | `staging`, `imports` | the staged import, the number of the last one |
//! | `tokens` | id | a one-time token |
//! | `index` | number of the first | a page of short items about issuances that have ended |
//! | `meta` | `format`, `index` | the layout's version, whether `index` is complete |
//!
//! The file `mark` beside sled's files holds a lower bound of the number of events.
//!
//! An insert into a tree costs far more than its bytes. So an issuance has one insert of its own,
//! and shares the others with its batch. Open issuances and recent requests are kept in memory, and
//! recovered from `open` and `recent`.
//!
//! The index of issuances by device, key, predecessor, expiry and revocation is in memory ([`index`]).
//!
//! Inserts are fastest in the order of the keys; serial numbers begin with the time (see `ca`) and
//! are nearly in order. Only speed depends on it.

mod change;
mod committer;
mod compact;
mod disk;
mod index;
mod listing;
mod pages;
mod registration;
mod shared;
mod supervisor;
#[cfg(test)]
mod tests;

use super::{
    Account, Accounts, AuditEvents, Begun, CompareAndSet, Conditions, Error, Filter,
    IdempotencyKey, Intent, Issuance, Issuances, Item, Registers, Revocation, State, Store, closed,
    format,
};
use crate::{
    telemetry::audit::{Event, EventId, Trail},
    types::{Serial, Time},
};
use async_trait::async_trait;
use change::{NewEvent, QueuedChange, SledChange, SledOutcome};
pub use compact::Compacted;
use disk::{Trees, fitting, store_error};
use shared::{SharedState, Slot};
use std::{
    ops::Bound,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};
use supervisor::Supervisor;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::spawn_blocking,
};

/// The capacity of the queue in changes: two batches. Callers wait while it is full.
const QUEUE: usize = 1024;

/// The number of candidates that the index is asked for at once.
const PAGE: usize = 128;

/// The number of reads that run at once.
const READS: usize = 32;

/// Keeps the state in a folder. Close it: dropping it leaves the folder locked until its threads
/// have noticed.
pub struct SledStore {
    commands: mpsc::Sender<QueuedChange>,
    shared: Arc<SharedState>,
    reads: Arc<Semaphore>,
    /// None once closed.
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SledStore {
    /// Opens the store in `folder`, or creates an empty one. sled keeps `cache_bytes` of it in
    /// memory; committed events are published to `trail`. Blocks, for about a second with a million
    /// records.
    ///
    /// # Errors
    /// [`Error::InUse`]; [`Error::Corrupt`] if it is damaged or another version's;
    /// [`Error::Unavailable`].
    pub fn open(
        folder: &Path,
        cache_bytes: u64,
        now: Time,
        trail: Arc<dyn Trail>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(SharedState::default());
        let supervisor = Supervisor {
            folder: folder.to_owned(),
            cache_bytes,
            shared: Arc::clone(&shared),
            trail,
        };
        let committer = supervisor.open(now)?;
        supervisor.shared.set(Slot::Serving(Arc::clone(committer.trees())));
        let (commands, queue) = mpsc::channel(QUEUE);
        let writer = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || supervisor.run(committer, queue))
            .map_err(|error| Error::Unavailable(format!("cannot start its thread: {error}")))?;
        Ok(Self {
            commands,
            shared,
            reads: Arc::new(Semaphore::new(READS)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Commits a change.
    async fn change(&self, change: SledChange) -> Result<SledOutcome, Error> {
        if let Some(error) = self.shared.write_error() {
            return Err(error);
        }
        self.ask(change).await
    }

    /// Sends a command to the writing thread and returns its outcome.
    async fn ask(&self, change: SledChange) -> Result<SledOutcome, Error> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(QueuedChange { change, reply }).await.is_err() {
            return Err(closed());
        }
        // No reply arrives if the committer failed while it processed this change.
        answer.await.map_err(|_| {
            Error::Unavailable("it gave up; the change may or may not be on the disk".to_owned())
        })?
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Trees) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| closed())?;
        let trees = self.shared.trees()?;
        let result = spawn_blocking(move || {
            let result = read(&trees);
            drop(trees);
            drop(permit);
            result
        });
        result.await.map_err(|error| Error::Unavailable(format!("a read failed: {error}")))?
    }

    /// Reads an issuance that has ended. The writing thread reads it, together with all others that
    /// wait: a thread for each read costs half as much as verifying a signature. While writes are
    /// impossible, a thread for blocking calls reads it.
    async fn ended(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        let value = self.ended_value(serial).await?;
        value.map(|value| format::read_issuance(&value).map(Arc::new)).transpose()
    }

    /// Returns its stored value.
    async fn ended_value(&self, serial: &Serial) -> Result<Option<::sled::IVec>, Error> {
        if self.shared.write_error().is_none() {
            Ok(match self.ask(SledChange::Find(serial.clone())).await? {
                SledOutcome::Found(value) => value,
                _ => None,
            })
        } else {
            let serial = serial.clone();
            let find =
                move |trees: &Trees| trees.certificates.get(serial.as_bytes()).map_err(store_error);
            self.read(find).await
        }
    }

    async fn end(
        &self,
        serial: &Serial,
        state: State,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        if let Some(error) = self.shared.write_error() {
            return Err(error);
        }
        let open = self.shared.open(|open| open.get(serial).cloned());
        if let Some(open) = open {
            // An open issuance changes only by ending. So this record is right if the issuance is
            // still open when the change is evaluated.
            let record = Arc::new(open.end(state, certificate, event.at));
            let value = fitting(format::issuance(&record)?)?;
            let is_recent = state == State::Issued && event.at < record.intent.retry_until;
            let recent = if is_recent { format::recent_item(&record.intent)? } else { Vec::new() };
            let change = SledChange::End {
                record: Arc::clone(&record),
                value,
                recent,
                event: NewEvent::new(event)?,
            };
            if let SledOutcome::Done = self.change(change).await? {
                return Ok(record);
            }
        }
        match self.ended(serial).await? {
            Some(ended) => ended.expect_state(state),
            None => Err(Error::NoSuchIssuance(serial.clone())),
        }
    }
}

#[async_trait]
impl Issuances for SledStore {
    async fn begin(&self, intent: Intent, conditions: Conditions) -> Result<Begun, Error> {
        let conditions = Arc::new(conditions);
        let record = Arc::new(Issuance::from(intent));
        let mut revoked = None;
        loop {
            let item = fitting(format::intent_item(&record.intent)?)?;
            let (record, conditions) = (Arc::clone(&record), Arc::clone(&conditions));
            let change = SledChange::Begin { record, item, revoked, conditions };
            match self.change(change).await? {
                SledOutcome::Open(first) => return Ok(Begun::Open(first)),
                SledOutcome::Unmet(unmet) => return Ok(Begun::Unmet(unmet)),
                SledOutcome::Complete(serial) => match self.ended(&serial).await? {
                    Some(first) if first.state == State::Revoked => revoked = Some(serial),
                    Some(first) => return Ok(Begun::Complete(first)),
                    None => {
                        return Err(Error::Corrupt(format!(
                            "issuance {serial} is known as complete and is not there; restore \
                             the store's folder from a backup"
                        )));
                    }
                },
                _ => return Ok(Begun::New),
            }
        }
    }

    async fn first_answer(
        &self,
        key: &IdempotencyKey,
        at: Time,
    ) -> Result<Option<Arc<Issuance>>, Error> {
        let SledOutcome::Complete(serial) = self.change(SledChange::FindRequest(*key, at)).await?
        else {
            return Ok(None);
        };
        Ok(self.find(&serial).await?.filter(|first| first.state.answers_repeats()))
    }

    async fn complete(
        &self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        self.end(serial, State::Issued, certificate, event).await
    }

    async fn void(&self, serial: &Serial, event: Event) -> Result<(), Error> {
        self.end(serial, State::Void, Vec::new(), event).await.map(|_| ())
    }

    async fn revoke(
        &self,
        serial: &Serial,
        revocation: Revocation,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        self.shared.trees()?;
        // As in `find`: if it ends now, it was open when this call began.
        let open = self.shared.open(|open| open.get(serial).cloned());
        if let Some(open) = open {
            open.revoke(revocation)?;
        }
        loop {
            let Some(seen) = self.ended_value(serial).await? else {
                return Err(Error::NoSuchIssuance(serial.clone()));
            };
            let record = Arc::new(format::read_issuance(&seen)?);
            let Some(revoked) = record.revoke(revocation)?.map(Arc::new) else {
                return Ok(record);
            };
            let value = fitting(format::issuance(&revoked)?)?;
            let (record, event) = (Arc::clone(&revoked), NewEvent::new(event.clone())?);
            let change = SledChange::Revoke { record, seen, value, event };
            if let SledOutcome::Done = self.change(change).await? {
                return Ok(revoked);
            }
        }
    }

    async fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        self.shared.trees()?;
        // The open ones first: one that ends meanwhile is in the tree before it leaves here.
        match self.shared.open(|open| open.get(serial).cloned()) {
            Some(open) => Ok(Some(open)),
            None => self.ended(serial).await,
        }
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let (filter, after) = (filter.clone(), after.cloned());
        let shared = Arc::clone(&self.shared);
        self.read(move |trees| {
            let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            // Before the tree is read, for the reason given in `find`.
            let open: Vec<Arc<Issuance>> = shared.open(|open| {
                let later = open.range::<Serial, _>((from, Bound::Unbounded));
                later.map(|(_, record)| Arc::clone(record)).collect()
            });
            let found = |after: &[u8]| shared.index(|index| index.page(&filter, after, PAGE));
            match found(after.as_ref().map_or(&[], Serial::as_bytes)) {
                None => listing::walked(trees, open, &filter, after.as_ref(), limit),
                Some(page) => listing::indexed(trees, &open, &filter, page, found, limit),
            }
        })
        .await
    }
}

#[async_trait]
impl Accounts for SledStore {
    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error> {
        let value = fitting(format::account(&account)?)?;
        let change = SledChange::AddAccount {
            name: account.name.clone(),
            value,
            event: NewEvent::new(event)?,
        };
        match self.change(change).await? {
            SledOutcome::Not => Err(Error::AccountExists(account.name)),
            _ => Ok(()),
        }
    }

    async fn remove_account(&self, name: &str, event: Event) -> Result<(), Error> {
        let change =
            SledChange::RemoveAccount { name: name.to_owned(), event: NewEvent::new(event)? };
        match self.change(change).await? {
            SledOutcome::Not => Err(Error::NoSuchAccount(name.to_owned())),
            _ => Ok(()),
        }
    }

    async fn change_account(
        &self,
        seen: &Account,
        new: Account,
        event: Event,
    ) -> Result<(), Error> {
        let changed = || Error::Changed(format!("account {:?}", seen.name));
        if seen.name != new.name {
            return Err(changed());
        }
        let change = SledChange::ChangeAccount {
            seen: format::account(seen)?,
            value: fitting(format::account(&new)?)?,
            name: new.name,
            event: NewEvent::new(event)?,
        };
        match self.change(change).await? {
            SledOutcome::Not => Err(changed()),
            _ => Ok(()),
        }
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        let name = name.to_owned();
        self.read(move |trees| {
            let value = trees.accounts.get(name).map_err(store_error)?;
            value.map(|value| format::read_account(&value)).transpose()
        })
        .await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(|trees| {
            let values = trees.accounts.iter().values();
            values.map(|value| format::read_account(&value.map_err(store_error)?)).collect()
        })
        .await
    }
}

#[async_trait]
impl AuditEvents for SledStore {
    async fn append(&self, event: Event) -> Result<(), Error> {
        self.change(SledChange::Append { event: NewEvent::new(event)? }).await.map(|_| ())
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        // Durable ones only: after a failed sync a number may be used again.
        let last = self.shared.events();
        self.read(move |trees| pages::events(trees, from, last, limit)).await
    }
}

#[async_trait]
impl Registers for SledStore {
    async fn compare_and_set(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<CompareAndSet, Error> {
        let change = SledChange::CompareAndSet {
            name: name.to_owned(),
            expected: expected.map(<[u8]>::to_vec),
            value: fitting(value.to_vec())?,
        };
        match self.change(change).await? {
            SledOutcome::Otherwise(now) => Ok(CompareAndSet::Differs(now)),
            _ => Ok(CompareAndSet::Set),
        }
    }

    async fn register(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let name = name.to_owned();
        self.read(move |trees| {
            let value = trees.registers.get(name).map_err(store_error)?;
            Ok(value.map(|value| value.to_vec()))
        })
        .await
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.read(|trees| {
            let entry = |entry| {
                let (name, value): (::sled::IVec, ::sled::IVec) = entry;
                (String::from_utf8_lossy(&name).into_owned(), value.to_vec())
            };
            trees.registers.iter().map(|found| found.map(entry).map_err(store_error)).collect()
        })
        .await
    }
}

#[async_trait]
impl Store for SledStore {
    async fn import(&self, items: Vec<Item>) -> Result<(), Error> {
        // In parts: each is one commit, about as large as those of callers.
        let mut parts = items.into_iter().peekable();
        while parts.peek().is_some() {
            let part: Vec<Item> = parts.by_ref().take(change::IMPORT).collect();
            self.change(SledChange::Import(part)).await?;
        }
        Ok(())
    }

    async fn close(&self) {
        // Last in the queue; fails if it was closed before. Not by `change`: a store that failed
        // is closed as well.
        let (reply, answer) = oneshot::channel();
        if self.commands.send(QueuedChange { change: SledChange::Close, reply }).await.is_ok() {
            let _ = answer.await;
        }
        // It ends when the files are closed.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = spawn_blocking(move || writer.join()).await;
        }
    }
}
