//! The store in PostgreSQL: for several nodes over one database.
//!
//! All that must be decided once is decided by the database: a request key and a serial number are
//! primary keys, and a step of an issuance is one statement, so that it happens whole or not at
//! all ([`mod@sql`]). Nothing is locked from one statement to the next, and no number comes from a
//! sequence.
//!
//! What many callers ask for at the same time goes in one statement ([`lane`]): one lane begins
//! issuances, one reads them, one writes all that comes with an event ([`writer`]). A lane is a
//! task, which takes what has come meanwhile whenever the database has answered.
//!
//! When the connection is lost while a statement runs, nobody knows whether it was done. So every
//! statement can be done again: who begins finds its own issuance, who completes finds its own
//! certificate, and the writer reads which of its events are there.

mod database;
mod import;
mod lane;
mod sql;
#[cfg(test)]
mod tests;
mod writer;

use super::{
    Account, Begun, CompareAndSet, Error, Filter, Intent, Issuance, Item, Revocation, State, Store,
    closed,
};
use crate::{
    telemetry::audit::{Event, EventId, Trail},
    types::Serial,
};
use async_trait::async_trait;
use database::{Database, Rejection, attempt};
use lane::{Asked, Found};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use writer::{Change, Outcome, Told};

/// How many commands wait in a lane before callers wait to get in: two batches.
const QUEUE: usize = 1024;

/// Where the database is, and how it is used.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Hosts, name, user, password, `sslmode`: with `disable` there is no TLS, otherwise it is
    /// required and always verifies certificate and name. Of several hosts the first that takes
    /// writes is used.
    pub connection: tokio_postgres::Config,
    /// Whom TLS trusts: certificates, DER.
    pub anchors: Vec<Vec<u8>>,
    /// Connections at most; at least 4.
    pub connections: usize,
    /// How long a call tries while the database is away, and how long a statement may run.
    pub patience: Duration,
}

/// Keeps the state in PostgreSQL.
pub struct PostgresStore {
    database: Arc<Database>,
    /// None once closed.
    lanes: Mutex<Option<Lanes>>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

#[derive(Clone)]
struct Lanes {
    begin: mpsc::Sender<Asked>,
    find: mpsc::Sender<Found>,
    write: mpsc::Sender<Told>,
}

impl PostgresStore {
    /// Connects, makes or brings up to date the tables, and starts. Committed events are told to
    /// `trail`.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Corrupt`] if the tables are those of a later version.
    pub async fn open(options: PostgresOptions, trail: Arc<dyn Trail>) -> Result<Self, Error> {
        let database = Arc::new(Database::open(options).await?);
        let (begin, asked) = mpsc::channel(QUEUE);
        let (find, found) = mpsc::channel(QUEUE);
        let (write, told) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(lane::begin(Arc::clone(&database), asked));
        tasks.spawn(lane::find(Arc::clone(&database), found));
        tasks.spawn(writer::run(Arc::clone(&database), trail, told));
        Ok(Self {
            database,
            lanes: Mutex::new(Some(Lanes { begin, find, write })),
            tasks: tokio::sync::Mutex::new(tasks),
        })
    }

    fn lanes(&self) -> Result<Lanes, Error> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.clone().ok_or_else(closed)
    }

    async fn write(&self, change: Change, event: Event) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let told = Told::new(change, event, reply)?;
        send(&self.lanes()?.write, told).await?;
        answer.await.map_err(|_| gone())?
    }

    async fn end(
        &self,
        serial: &Serial,
        state: State,
        change: Change,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        match self.write(change, event).await? {
            Outcome::Ended(issuance) => Ok(issuance),
            // Somebody else was first, or this one in an attempt that seemed to fail.
            _ => match self.find(serial).await? {
                Some(ended) => ended.expect_state(state),
                None => Err(Error::NoSuchIssuance(serial.clone())),
            },
        }
    }
}

async fn send<T>(lane: &mpsc::Sender<T>, command: T) -> Result<(), Error> {
    lane.send(command).await.map_err(|_| gone())
}

fn gone() -> Error {
    Error::Unavailable("a lane to the database has ended: a restart is needed".to_owned())
}

#[async_trait]
impl Store for PostgresStore {
    async fn begin(&self, intent: Intent) -> Result<Begun, Error> {
        let (reply, answer) = oneshot::channel();
        send(&self.lanes()?.begin, Asked::new(intent, reply)?).await?;
        answer.await.map_err(|_| gone())?
    }

    async fn complete(
        &self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let change = Change::Complete { serial: serial.clone(), certificate };
        self.end(serial, State::Issued, change, event).await
    }

    async fn void(&self, serial: &Serial, event: Event) -> Result<(), Error> {
        let change = Change::Void { serial: serial.clone() };
        self.end(serial, State::Void, change, event).await.map(|_| ())
    }

    async fn revoke(
        &self,
        serial: &Serial,
        revocation: Revocation,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let change = Change::Revoke { serial: serial.clone(), revocation };
        // Whoever did it: here, in an attempt that seemed to fail, or elsewhere.
        self.end(serial, State::Revoked, change, event).await
    }

    async fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        let (reply, answer) = oneshot::channel();
        send(&self.lanes()?.find, Found { serial: serial.clone(), reply }).await?;
        answer.await.map_err(|_| gone())?
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        self.lanes()?;
        attempt!(self.database, client => sql::list(client, filter, after, limit).await)
    }

    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error> {
        let name = account.name.clone();
        match self.write(Change::AddAccount(account), event).await? {
            Outcome::Not => Err(Error::AccountExists(name)),
            _ => Ok(()),
        }
    }

    async fn remove_account(&self, name: &str, event: Event) -> Result<(), Error> {
        match self.write(Change::RemoveAccount(name.to_owned()), event).await? {
            Outcome::Not => Err(Error::NoSuchAccount(name.to_owned())),
            _ => Ok(()),
        }
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        self.lanes()?;
        // Text of PostgreSQL cannot hold a zero: no account has such a name.
        if name.contains('\0') {
            return Ok(None);
        }
        attempt!(self.database, client => sql::account(client, name).await)
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.lanes()?;
        attempt!(self.database, client => sql::accounts(client).await)
    }

    async fn append(&self, event: Event) -> Result<(), Error> {
        self.write(Change::Append, event).await.map(|_| ())
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        self.lanes()?;
        attempt!(self.database, client => sql::events(client, from, limit).await)
    }

    async fn compare_and_set(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<CompareAndSet, Error> {
        self.lanes()?;
        // Not retried: after a lost answer, the value could be that of this call or of another.
        let mut tried = false;
        attempt!(self.database, client => {
            if std::mem::replace(&mut tried, true) {
                let why = format!("the connection was lost while register {name:?} was set");
                Err(Rejection::Store(Error::Unavailable(why)))
            } else {
                sql::compare_and_set(client, name, expected, value).await
            }
        })
    }

    async fn register(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.lanes()?;
        attempt!(self.database, client => sql::register(client, name).await)
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.lanes()?;
        attempt!(self.database, client => sql::registers(client).await)
    }

    async fn import(&self, items: Vec<Item>) -> Result<(), Error> {
        self.lanes()?;
        attempt!(self.database, client => import::import(client, &items).await)
    }

    async fn close(&self) {
        // What is queued is finished: the lanes end when nobody can send any more.
        drop(self.lanes.lock().unwrap_or_else(PoisonError::into_inner).take());
        while self.tasks.lock().await.join_next().await.is_some() {}
        self.database.close();
    }
}
