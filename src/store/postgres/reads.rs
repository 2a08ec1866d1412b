//! Statements on accounts, events and registers that write no event.

use super::{
    super::{Account, CompareAndSet, Error, format},
    database::DatabaseError,
    row::{column, query, signed, unsigned},
};
use crate::telemetry::audit::{Event, EventId};
use deadpool_postgres::Object;
use tokio_postgres::Row;

/// Finds an account.
pub(super) async fn find_account(
    client: &Object,
    name: &str,
) -> Result<Option<Account>, DatabaseError> {
    let rows = query(client, "SELECT record FROM account WHERE name = $1", &[&name]).await?;
    let read = |row| format::read_account(column(row, 0)?);
    Ok(rows.first().map(read).transpose()?)
}

/// Lists the accounts by name.
pub(super) async fn accounts(client: &Object) -> Result<Vec<Account>, DatabaseError> {
    // In the order of the bytes, as in the other stores, not in that of a language.
    const SQL: &str = "SELECT record FROM account ORDER BY name COLLATE \"C\"";
    let rows = query(client, SQL, &[]).await?;
    let read = |row| format::read_account(column(row, 0)?);
    Ok(rows.iter().map(read).collect::<Result<_, Error>>()?)
}

/// Lists events in the order of their ids.
pub(super) async fn find_events(
    client: &Object,
    from: EventId,
    limit: usize,
) -> Result<Vec<(EventId, Event)>, DatabaseError> {
    const SQL: &str = "
        SELECT writer, number, event FROM event WHERE (writer, number) >= ($1, $2)
        ORDER BY writer, number LIMIT $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query(client, SQL, &[&signed(from.writer), &signed(from.number), &limit]).await?;
    let read = |row: &Row| {
        let id = EventId { writer: unsigned(column(row, 0)?), number: unsigned(column(row, 1)?) };
        Ok((id, format::read_event(column(row, 2)?)?))
    };
    Ok(rows.iter().map(read).collect::<Result<_, Error>>()?)
}

/// Sets a register if it holds `expected`.
pub(super) async fn compare_and_set(
    client: &Object,
    name: &str,
    expected: Option<&[u8]>,
    value: &[u8],
) -> Result<CompareAndSet, DatabaseError> {
    const FIRST: &str = "
        INSERT INTO decision (matter, value) VALUES ($1, $2) ON CONFLICT DO NOTHING
        RETURNING matter";
    const AGAIN: &str =
        "UPDATE decision SET value = $2 WHERE matter = $1 AND value = $3 RETURNING matter";
    let rows = match &expected {
        None => query(client, FIRST, &[&name, &value]).await?,
        Some(expected) => query(client, AGAIN, &[&name, &value, expected]).await?,
    };
    if !rows.is_empty() {
        return Ok(CompareAndSet::Set);
    }
    Ok(CompareAndSet::Differs(register(client, name).await?))
}

/// Returns the value of a register.
pub(super) async fn register(
    client: &Object,
    name: &str,
) -> Result<Option<Vec<u8>>, DatabaseError> {
    let rows = query(client, "SELECT value FROM decision WHERE matter = $1", &[&name]).await?;
    Ok(rows.first().map(|row| column(row, 0)).transpose()?)
}

/// Lists the registers by name.
pub(super) async fn registers(client: &Object) -> Result<Vec<(String, Vec<u8>)>, DatabaseError> {
    const SQL: &str = "SELECT matter, value FROM decision ORDER BY matter COLLATE \"C\"";
    let rows = query(client, SQL, &[]).await?;
    let read = |row| Ok((column(row, 0)?, column(row, 1)?));
    Ok(rows.iter().map(read).collect::<Result<_, Error>>()?)
}
