//! The layouts of the tables, and the migration from one to the next.
//!
//! Each step is one transaction: an estd that is killed in it leaves the layout before. Of several nodes
//! that start at once one does each step, and the others wait for its row.

use super::{
    super::{Error, format},
    database::{Database, DatabaseError, PAUSE, PostgresOptions, attempt},
    row::{column, query},
};
use crate::failpoint::failpoint;
use deadpool_postgres::Object;
use tokio::time::{Instant, sleep};

/// A layout: number n is the (n + 1)th.
struct TableLayout {
    sql: &'static str,
    /// Whether columns of existing rows are filled from their intents, and what is done afterwards.
    filled: Option<&'static str>,
}

/// The layouts, in order.
const LAYOUTS: [TableLayout; 4] = [
    TableLayout { sql: include_str!("migrations/0001.sql"), filled: None },
    TableLayout { sql: include_str!("migrations/0002.sql"), filled: None },
    TableLayout {
        sql: include_str!("migrations/0003.sql"),
        filled: Some(include_str!("migrations/0003-filled.sql")),
    },
    TableLayout { sql: include_str!("migrations/0004.sql"), filled: None },
];

/// Rows that are filled by one statement.
const PAGE: i64 = 200;

/// Connects, and migrates the tables to this program's layout.
///
/// # Errors
/// [`Error::Corrupt`] if the layout is a later one, or a record cannot be read; [`Error::Unavailable`].
pub(super) async fn open(options: PostgresOptions) -> Result<Database, Error> {
    let database = Database::open(options).await?;
    migrate(&database).await?;
    Ok(database)
}

async fn migrate(database: &Database) -> Result<(), Error> {
    let known = i64::try_from(LAYOUTS.len()).unwrap_or(i64::MAX);
    let found = attempt!(*database, client => layout(client).await)?;
    if found > known {
        return Err(Error::Corrupt(format!(
            "the database has layout {found}, and this estd reads layout {known}: run the version \
             of estd that created it, or a later one"
        )));
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        tracing::info!(
            "the tables are brought from layout {found} to {known}: earlier versions of estd can no \
             longer use them"
        );
    }
    // No attempt is cut off: a large table takes minutes.
    let until = Instant::now() + database.patience();
    loop {
        let why = match steps(database, found).await {
            Ok(()) => return Ok(()),
            Err(DatabaseError::Store(error)) => return Err(error),
            Err(DatabaseError::Taken) => "another node created the tables".to_owned(),
            Err(DatabaseError::Lost(why)) => why,
        };
        if Instant::now() + PAUSE >= until {
            return Err(Error::Unavailable(format!("the database: {why}")));
        }
        sleep(PAUSE).await;
    }
}

/// Returns the layout of the tables; 0 if there are none.
async fn layout(client: &Object) -> Result<i64, DatabaseError> {
    // First: a user with only read and write rights may not execute CREATE … IF NOT EXISTS.
    let exists = "SELECT to_regclass('migration') IS NOT NULL";
    if !client.query_one(exists, &[]).await?.get::<_, bool>(0) {
        client
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS migration (
                    number int8 PRIMARY KEY,
                    applied timestamptz NOT NULL DEFAULT now()
                )",
            )
            .await?;
    }
    Ok(client.query_one("SELECT coalesce(max(number), 0) FROM migration", &[]).await?.get(0))
}

async fn steps(database: &Database, found: i64) -> Result<(), DatabaseError> {
    // An idle transaction has no limit either: the rows of a page are read in between.
    const BEGIN: &str = "
        BEGIN;
        SET LOCAL statement_timeout = 0;
        SET LOCAL idle_in_transaction_session_timeout = 0";
    const INSERT: &str = "INSERT INTO migration (number) VALUES ($1) ON CONFLICT DO NOTHING";
    let lease = database.lease().await?;
    let client = lease.client()?;
    for (number, layout) in (1_i64..).zip(LAYOUTS).filter(|(number, _)| *number > found) {
        failpoint!("migrate: before a layout");
        client.batch_execute(BEGIN).await?;
        if client.execute(INSERT, &[&number]).await? == 1 {
            client.batch_execute(layout.sql).await?;
            failpoint!("migrate: columns added");
            if let Some(after) = layout.filled {
                fill(client).await?;
                client.batch_execute(after).await?;
            }
        }
        failpoint!("migrate: before its commit");
        client.batch_execute("COMMIT").await?;
        failpoint!("migrate: committed");
    }
    lease.back();
    Ok(())
}

/// Fills the columns that repeat what a row's intent says.
async fn fill(client: &Object) -> Result<(), DatabaseError> {
    const READ: &str =
        "SELECT serial, intent FROM issuance WHERE serial > $1 ORDER BY serial LIMIT $2";
    const WRITE: &str = "
        UPDATE issuance i SET spki = a.spki, predecessor = a.predecessor
        FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS a (serial, spki, predecessor)
        WHERE i.serial = a.serial";
    let mut last: Vec<u8> = Vec::new();
    loop {
        let rows = query(client, READ, &[&last, &PAGE]).await?;
        let (mut serials, mut keys, mut predecessors) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let intent = format::read_intent(column(row, 1)?).map_err(|error| {
                Error::Corrupt(format!(
                    "the tables keep their layout, for one record cannot be read: {error}"
                ))
            })?;
            serials.push(column::<Vec<u8>>(row, 0)?);
            keys.push(intent.spki_sha256.to_vec());
            predecessors.push(intent.predecessor.map(|serial| serial.as_bytes().to_vec()));
        }
        let Some(end) = serials.last().cloned() else { return Ok(()) };
        query(client, WRITE, &[&serials, &keys, &predecessors]).await?;
        failpoint!("migrate: a page filled");
        last = end;
    }
}
