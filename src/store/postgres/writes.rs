//! Statements that write a change together with its event. Each is one transaction and can be
//! retried.

use super::{
    super::{Account, Error, Issuance, Revocation, State, format},
    change::{PostgresChange, PostgresOutcome, Write},
    database::DatabaseError,
    row::{column, query, seconds},
};
use crate::{
    telemetry::audit::Event,
    types::{Serial, Time},
};
use deadpool_postgres::Object;
use std::sync::Arc;
use tokio_postgres::Row;

/// The writer of an event, and the number of its last one.
#[derive(Clone, Copy)]
pub(super) struct WriterPosition {
    pub(super) writer: i64,
    pub(super) after: i64,
}

/// Registers a writer with an unused number.
pub(super) async fn new_writer(client: &Object) -> Result<i64, DatabaseError> {
    const SQL: &str = "
        INSERT INTO writer (id)
        SELECT 1 + greatest((SELECT coalesce(max(id), 0) FROM writer),
                            (SELECT coalesce(max(writer), 0) FROM event))
        RETURNING id";
    let rows = query(client, SQL, &[]).await?;
    let row =
        rows.first().ok_or_else(|| DatabaseError::Lost("no writer was registered".to_owned()))?;
    Ok(column(row, 0)?)
}

/// Returns the events of a writer after one of them.
pub(super) async fn own_events(
    client: &Object,
    writer: i64,
    after: i64,
) -> Result<Vec<(i64, Event)>, DatabaseError> {
    const SQL: &str =
        "SELECT number, event FROM event WHERE writer = $1 AND number > $2 ORDER BY number";
    let rows = query(client, SQL, &[&writer, &after]).await?;
    let read = |row: &Row| Ok((column(row, 0)?, format::read_event(column(row, 1)?)?));
    Ok(rows.iter().map(read).collect::<Result<_, Error>>()?)
}

/// Completes open issuances, each with its event. All changes must be completions of different
/// serial numbers.
pub(super) async fn complete(
    client: &Object,
    place: WriterPosition,
    group: &[Write],
) -> Result<Vec<PostgresOutcome>, DatabaseError> {
    const SQL: &str = "
        WITH asked AS (
            SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::int8[], $4::bytea[])
                WITH ORDINALITY AS a (serial, certificate, ended, event, n)
        ), done AS (
            UPDATE issuance i
            SET state = 2, tbs = NULL, certificate = a.certificate, ended = a.ended
            FROM asked a
            WHERE i.serial = a.serial AND i.state = 1
            RETURNING a.n, a.event, i.intent
        ), events AS (
            INSERT INTO event (writer, number, event)
            SELECT $5::int8, $6::int8 + row_number() OVER (ORDER BY n), event FROM done
        )
        SELECT n, intent FROM done";
    let (mut serials, mut certificates) = (Vec::new(), Vec::new());
    for each in group {
        let PostgresChange::Complete { serial, certificate } = &each.change else {
            let why = "a group of changes holds one that is no completion";
            return Err(DatabaseError::Store(Error::Unavailable(why.to_owned())));
        };
        serials.push(serial.as_bytes());
        certificates.push(certificate.as_slice());
    }
    let ended: Vec<i64> = group.iter().map(|each| seconds(each.event.at)).collect();
    let events: Vec<&[u8]> = group.iter().map(|each| each.item.as_slice()).collect();
    let rows = query(
        client,
        SQL,
        &[&serials, &certificates, &ended, &events, &place.writer, &place.after],
    )
    .await?;
    let mut done = vec![PostgresOutcome::Not; group.len()];
    for row in &rows {
        let number: i64 = column(row, 0)?;
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let (
            Some(slot),
            Some(Write { change: PostgresChange::Complete { certificate, .. }, event, .. }),
        ) = (done.get_mut(index), group.get(index))
        else {
            return Err(DatabaseError::Store(Error::Corrupt(format!(
                "row {number} of a statement"
            ))));
        };
        *slot = PostgresOutcome::Ended(Arc::new(Issuance {
            intent: format::read_intent(column(row, 1)?)?,
            state: State::Issued,
            certificate: certificate.clone(),
            ended: Some(event.at),
            revocation: None,
        }));
    }
    Ok(done)
}

/// Voids an open issuance, and frees its slot.
pub(super) async fn void(
    client: &Object,
    place: WriterPosition,
    serial: &Serial,
    at: Time,
    event: &[u8],
) -> Result<PostgresOutcome, DatabaseError> {
    const SQL: &str = "
        WITH done AS (
            UPDATE issuance SET state = 3, tbs = NULL, ended = $2
            WHERE serial = $1 AND state = 1
            RETURNING serial, request_key
        ), freed AS (
            DELETE FROM request r USING done d
            WHERE r.request_key = d.request_key AND r.serial = d.serial
        )
        INSERT INTO event (writer, number, event) SELECT $3, $4, $5 FROM done RETURNING number";
    let (serial, number) = (serial.as_bytes(), place.after + 1);
    let rows = query(client, SQL, &[&serial, &seconds(at), &place.writer, &number, &event]).await?;
    Ok(done_or_not(&rows))
}

/// Revokes an issued certificate, and frees its slot.
pub(super) async fn revoke(
    client: &Object,
    place: WriterPosition,
    serial: &Serial,
    revocation: Revocation,
    event: &[u8],
) -> Result<PostgresOutcome, DatabaseError> {
    const SQL: &str = "
        WITH done AS (
            UPDATE issuance SET state = 4, revoked = $2, reason = $3
            WHERE serial = $1 AND state = 2
            RETURNING serial, request_key
        ), freed AS (
            DELETE FROM request r USING done d
            WHERE r.request_key = d.request_key AND r.serial = d.serial
        )
        INSERT INTO event (writer, number, event) SELECT $4, $5, $6 FROM done RETURNING number";
    let (serial, number) = (serial.as_bytes(), place.after + 1);
    let (at, reason) = (seconds(revocation.at), i16::from(revocation.reason.code()));
    let rows = query(client, SQL, &[&serial, &at, &reason, &place.writer, &number, &event]).await?;
    Ok(done_or_not(&rows))
}

/// Adds an account unless one of that name exists.
pub(super) async fn add_account(
    client: &Object,
    place: WriterPosition,
    account: &Account,
    event: &[u8],
) -> Result<PostgresOutcome, DatabaseError> {
    const SQL: &str = "
        WITH done AS (
            INSERT INTO account (name, record) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name
        )
        INSERT INTO event (writer, number, event) SELECT $3, $4, $5 FROM done RETURNING number";
    let (record, number) = (format::account(account)?, place.after + 1);
    let rows =
        query(client, SQL, &[&account.name, &record, &place.writer, &number, &event]).await?;
    Ok(done_or_not(&rows))
}

/// Removes an account.
pub(super) async fn remove_account(
    client: &Object,
    place: WriterPosition,
    name: &str,
    event: &[u8],
) -> Result<PostgresOutcome, DatabaseError> {
    const SQL: &str = "
        WITH done AS (DELETE FROM account WHERE name = $1 RETURNING name)
        INSERT INTO event (writer, number, event) SELECT $2, $3, $4 FROM done RETURNING number";
    let number = place.after + 1;
    Ok(done_or_not(&query(client, SQL, &[&name, &place.writer, &number, &event]).await?))
}

/// Writes an event that changes nothing else.
pub(super) async fn append(
    client: &Object,
    place: WriterPosition,
    event: &[u8],
) -> Result<PostgresOutcome, DatabaseError> {
    const SQL: &str =
        "INSERT INTO event (writer, number, event) VALUES ($1, $2, $3) RETURNING number";
    let number = place.after + 1;
    Ok(done_or_not(&query(client, SQL, &[&place.writer, &number, &event]).await?))
}

const fn done_or_not(rows: &[Row]) -> PostgresOutcome {
    if rows.is_empty() { PostgresOutcome::Not } else { PostgresOutcome::Done }
}
