//! The store in PostgreSQL: for several nodes over one database.
//!
//! The database serializes the nodes: idempotency keys and serial numbers are primary keys. Each
//! step of an issuance is one statement, and so atomic ([`issuances`], [`writes`]). No lock outlives
//! a statement, and no number is drawn from a sequence.
//!
//! Commands that arrive together go into one statement. One queue begins issuances and one finds
//! them ([`queue`]); one writes changes with their events ([`writer`]). A queue is a task: after
//! each statement it reads all commands that arrived meanwhile.
//!
//! When the connection is lost during a statement, its outcome is unknown. So every statement can
//! be retried: beginning finds its own issuance, completing its own certificate, and the writer
//! reads which of its events are stored.

mod admission;
mod change;
mod database;
mod devices;
mod import;
mod issuances;
mod migration;
mod queue;
mod reads;
mod registration;
mod row;
mod snapshot;
#[cfg(test)]
mod tests;
mod tokens;
mod writer;
mod writes;

use super::{
    Account, Accounts, AuditEvents, Begun, CompareAndSet, Conditions, Error, Filter,
    IdempotencyKey, Intent, Issuance, Issuances, Item, Registers, Revocation, State, Store, closed,
};
use crate::{
    telemetry::audit::{Event, EventId, Trail},
    types::{Serial, Time},
};
use async_trait::async_trait;
use change::{Begin, Find, PostgresChange, PostgresOutcome, Write};
pub use database::PostgresOptions;
use database::{Database, DatabaseError, attempt};
pub use snapshot::PostgresSnapshot;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// Capacity of a queue in commands: two batches. Callers wait while it is full.
const QUEUE: usize = 1024;

/// Keeps the state in PostgreSQL.
pub struct PostgresStore {
    database: Arc<Database>,
    /// None once closed.
    queues: Mutex<Option<Queues>>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

#[derive(Clone)]
struct Queues {
    begin: mpsc::Sender<Begin>,
    find: mpsc::Sender<Find>,
    write: mpsc::Sender<Write>,
}

impl PostgresStore {
    /// Connects, creates or migrates the tables, and starts the queues. Committed events are
    /// published to `trail`.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Corrupt`] if the tables are those of a later version.
    pub async fn open(options: PostgresOptions, trail: Arc<dyn Trail>) -> Result<Self, Error> {
        let database = Arc::new(migration::open(options).await?);
        let (begin, asked) = mpsc::channel(QUEUE);
        let (find, found) = mpsc::channel(QUEUE);
        let (write, changes) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(queue::begin_queued(Arc::clone(&database), asked));
        tasks.spawn(queue::find_queued(Arc::clone(&database), found));
        tasks.spawn(writer::run(Arc::clone(&database), trail, changes));
        Ok(Self {
            database,
            queues: Mutex::new(Some(Queues { begin, find, write })),
            tasks: tokio::sync::Mutex::new(tasks),
        })
    }

    fn queues(&self) -> Result<Queues, Error> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.clone().ok_or_else(closed)
    }

    async fn write(&self, change: PostgresChange, event: Event) -> Result<PostgresOutcome, Error> {
        let (reply, answer) = oneshot::channel();
        send(&self.queues()?.write, Write::new(change, event, reply)?).await?;
        answer.await.map_err(|_| gone())?
    }

    async fn end(
        &self,
        serial: &Serial,
        state: State,
        change: PostgresChange,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        match self.write(change, event).await? {
            PostgresOutcome::Ended(issuance) => Ok(issuance),
            // Another node was first, or this one in an attempt that seemed to fail.
            _ => match self.find(serial).await? {
                Some(ended) => ended.expect_state(state),
                None => Err(Error::NoSuchIssuance(serial.clone())),
            },
        }
    }
}

async fn send<T>(queue: &mpsc::Sender<T>, command: T) -> Result<(), Error> {
    queue.send(command).await.map_err(|_| gone())
}

fn gone() -> Error {
    Error::Unavailable("a queue to the database has ended; restart the server".to_owned())
}

#[async_trait]
impl Issuances for PostgresStore {
    async fn begin(&self, intent: Intent, conditions: Conditions) -> Result<Begun, Error> {
        let (reply, answer) = oneshot::channel();
        send(&self.queues()?.begin, Begin::new(intent, conditions, reply)?).await?;
        answer.await.map_err(|_| gone())?
    }

    async fn first_answer(
        &self,
        key: &IdempotencyKey,
        at: Time,
    ) -> Result<Option<Arc<Issuance>>, Error> {
        self.queues()?;
        attempt!(self.database, client => issuances::first_answer(client, key, at).await)
    }

    async fn complete(
        &self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let change = PostgresChange::Complete { serial: serial.clone(), certificate };
        self.end(serial, State::Issued, change, event).await
    }

    async fn void(&self, serial: &Serial, event: Event) -> Result<(), Error> {
        let change = PostgresChange::Void { serial: serial.clone() };
        self.end(serial, State::Void, change, event).await.map(|_| ())
    }

    async fn revoke(
        &self,
        serial: &Serial,
        revocation: Revocation,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let change = PostgresChange::Revoke { serial: serial.clone(), revocation };
        // Another node may have been first, or this one in an attempt that seemed to fail.
        self.end(serial, State::Revoked, change, event).await
    }

    async fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        let (reply, answer) = oneshot::channel();
        send(&self.queues()?.find, Find { serial: serial.clone(), reply }).await?;
        answer.await.map_err(|_| gone())?
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        self.queues()?;
        attempt!(self.database, client => issuances::list(client, filter, after, limit).await)
    }
}

#[async_trait]
impl Accounts for PostgresStore {
    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error> {
        let name = account.name.clone();
        match self.write(PostgresChange::AddAccount(account), event).await? {
            PostgresOutcome::Not => Err(Error::AccountExists(name)),
            _ => Ok(()),
        }
    }

    async fn remove_account(&self, name: &str, event: Event) -> Result<(), Error> {
        match self.write(PostgresChange::RemoveAccount(name.to_owned()), event).await? {
            PostgresOutcome::Not => Err(Error::NoSuchAccount(name.to_owned())),
            _ => Ok(()),
        }
    }

    async fn change_account(
        &self,
        seen: &Account,
        new: Account,
        event: Event,
    ) -> Result<(), Error> {
        let (seen, new) = (Box::new(seen.clone()), Box::new(new));
        match self.write(PostgresChange::ChangeAccount { seen, new }, event).await? {
            PostgresOutcome::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        self.queues()?;
        // Text of PostgreSQL cannot contain a zero: no account has such a name.
        if name.contains('\0') {
            return Ok(None);
        }
        attempt!(self.database, client => reads::find_account(client, name).await)
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.queues()?;
        attempt!(self.database, client => reads::accounts(client).await)
    }
}

#[async_trait]
impl AuditEvents for PostgresStore {
    async fn append(&self, event: Event) -> Result<(), Error> {
        self.write(PostgresChange::Append, event).await.map(|_| ())
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        self.queues()?;
        attempt!(self.database, client => reads::find_events(client, from, limit).await)
    }
}

#[async_trait]
impl Registers for PostgresStore {
    async fn compare_and_set(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<CompareAndSet, Error> {
        self.queues()?;
        // Not retried: after a lost answer, the value could be that of this call or of another.
        let mut tried = false;
        attempt!(self.database, client => {
            if std::mem::replace(&mut tried, true) {
                let why = format!("the connection was lost while register {name:?} was set");
                Err(DatabaseError::Store(Error::Unavailable(why)))
            } else {
                reads::compare_and_set(client, name, expected, value).await
            }
        })
    }

    async fn register(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.queues()?;
        attempt!(self.database, client => reads::register(client, name).await)
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.queues()?;
        attempt!(self.database, client => reads::registers(client).await)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn import(&self, items: Vec<Item>) -> Result<(), Error> {
        self.queues()?;
        attempt!(self.database, client => import::import_items(client, &items).await)
    }

    async fn close(&self) {
        // The queues finish their commands, and end when their senders are dropped.
        drop(self.queues.lock().unwrap_or_else(PoisonError::into_inner).take());
        while self.tasks.lock().await.join_next().await.is_some() {}
        self.database.close();
    }
}
