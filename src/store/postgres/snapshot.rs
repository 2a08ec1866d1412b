//! The whole database as of one point in time, read while other nodes write.

use super::{
    super::{
        Account, Device, DeviceFilter, Error, Filter, Issuance, Token, TokenFilter,
        transfer::Source,
    },
    database::{Database, DatabaseError, Lease, PostgresOptions},
    devices, issuances, migration, reads, tokens,
};
use crate::{
    telemetry::audit::{Event, EventId},
    types::{DeviceId, Serial, TokenId},
};
use async_trait::async_trait;
use deadpool_postgres::Object;
use std::sync::Arc;

/// A read-only transaction from which every page is read.
///
/// A record and its event are committed by one statement, and a commit is visible before it is
/// acknowledged. So a snapshot contains everything acknowledged before it was taken, and nothing
/// without its event, account or predecessor.
pub struct PostgresSnapshot {
    database: Database,
    lease: Lease,
}

impl PostgresSnapshot {
    /// Connects, creates or migrates the tables, and takes a snapshot.
    ///
    /// # Errors
    /// As [`super::PostgresStore::open`].
    pub async fn open(options: PostgresOptions) -> Result<Self, Error> {
        let database = migration::open(options).await?;
        let mut attempts = database.attempts();
        let lease = loop {
            if let Some(lease) = attempts.run(begin(&database)).await? {
                break lease;
            }
        };
        Ok(Self { database, lease })
    }

    /// Reads once: a lost connection takes its snapshot with it.
    async fn read<T>(
        &self,
        work: impl Future<Output = Result<T, DatabaseError>> + Send,
    ) -> Result<T, Error> {
        let lost = || Error::Unavailable("the database: its snapshot was lost; start again".into());
        self.database.attempts().run(work).await?.ok_or_else(lost)
    }

    fn client(&self) -> Result<&Object, DatabaseError> {
        self.lease.client()
    }
}

/// Begins the transaction. Its first query takes the snapshot.
async fn begin(database: &Database) -> Result<Lease, DatabaseError> {
    // The pause between two pages is as long as their receiver needs.
    const SQL: &str = "
        BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SET LOCAL idle_in_transaction_session_timeout = 0;
        SELECT FROM migration LIMIT 1";
    let lease = database.lease().await?;
    lease.client()?.batch_execute(SQL).await?;
    Ok(lease)
}

#[async_trait]
impl Source for PostgresSnapshot {
    async fn issuances(
        &self,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let filter = Filter::default();
        self.read(async { issuances::list(self.client()?, &filter, after, limit).await }).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(async { reads::accounts(self.client()?).await }).await
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.read(async { reads::registers(self.client()?).await }).await
    }

    async fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Device>, Error> {
        let all = DeviceFilter::default();
        self.read(async { devices::list_devices(self.client()?, &all, after, limit).await }).await
    }

    async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>, Error> {
        let all = TokenFilter::default();
        self.read(async { tokens::list_tokens(self.client()?, &all, after, limit).await }).await
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        self.read(async { reads::find_events(self.client()?, from, limit).await }).await
    }
}
