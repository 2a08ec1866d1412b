//! The statements: each is one transaction, takes a group at once, and can be done again.

use super::{
    super::{
        Account, CompareAndSet, Error, Filter, IdempotencyKey, Intent, Issuance, Revocation, State,
        format,
    },
    database::Rejection,
    lane::Asked,
    writer::{Change, Outcome, Told},
};
use crate::{
    telemetry::audit::{Event, EventId},
    types::{RevocationReason, Serial, Time},
};
use deadpool_postgres::Object;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};

const OPEN: i16 = 1;
const ISSUED: i16 = 2;
const VOID: i16 = 3;
const REVOKED: i16 = 4;

/// Columns of an issuance, as [`issuance`] reads them.
const ISSUANCE: &str =
    "i.serial, i.state, i.intent, i.tbs, i.certificate, i.ended, i.revoked, i.reason";

/// PostgreSQL has no unsigned numbers. What is beyond the largest is as good as the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn seconds(moment: Time) -> i64 {
    signed(moment.unix())
}

fn moment(seconds: i64) -> Time {
    Time::from_unix(unsigned(seconds))
}

pub(super) const fn state_number(state: State) -> i16 {
    match state {
        State::Open => OPEN,
        State::Issued => ISSUED,
        State::Void => VOID,
        State::Revoked => REVOKED,
    }
}

/// Runs a statement, prepared once for each connection.
pub(super) async fn query(
    client: &Object,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Rejection> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, parameters).await?)
}

/// Reads a column; one that is of another type is not ours.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(|error| Error::Corrupt(error.to_string()))
}

/// What the tables hold of an intent.
pub(super) struct IntentRow {
    pub(super) serial: Vec<u8>,
    pub(super) idempotency_key: [u8; 32],
    pub(super) begun: i64,
    pub(super) retry_until: i64,
    pub(super) not_after: i64,
    pub(super) label: Option<String>,
    pub(super) names: Vec<u8>,
    pub(super) intent: Vec<u8>,
    pub(super) tbs: Vec<u8>,
}

impl IntentRow {
    pub(super) fn new(intent: &Intent) -> Result<Self, Error> {
        Ok(Self {
            serial: intent.serial.as_bytes().to_vec(),
            idempotency_key: intent.idempotency_key.0,
            begun: seconds(intent.begun),
            retry_until: seconds(intent.retry_until),
            not_after: seconds(intent.not_after),
            label: intent.label.as_ref().map(ToString::to_string),
            names: names(intent),
            intent: format::intent_without_tbs(intent)?,
            tbs: intent.tbs.clone(),
        })
    }
}

/// What [`Filter::subject`] is looked for in: a line for each name. Bytes, not text: text of
/// PostgreSQL cannot hold a zero, and names from a CSR may.
fn names(intent: &Intent) -> Vec<u8> {
    let mut names = searched(&intent.subject);
    for entry in &intent.san {
        names.push(b'\n');
        names.extend(searched(entry));
    }
    names
}

fn searched(text: &str) -> Vec<u8> {
    text.to_ascii_lowercase().replace('\n', " ").into_bytes()
}

/// Reads the columns of [`ISSUANCE`].
fn issuance(row: &Row) -> Result<Arc<Issuance>, Error> {
    let state = match column(row, 1)? {
        OPEN => State::Open,
        ISSUED => State::Issued,
        VOID => State::Void,
        REVOKED => State::Revoked,
        other => return Err(Error::Corrupt(format!("an issuance of state {other}"))),
    };
    let mut intent = format::read_intent(column(row, 2)?)?;
    intent.tbs = column::<Option<Vec<u8>>>(row, 3)?.unwrap_or_default();
    let revocation = match (state, column(row, 6)?, column::<Option<i16>>(row, 7)?) {
        (State::Revoked, Some(at), Some(reason)) => Some(Revocation {
            at: moment(at),
            reason: u8::try_from(reason)
                .ok()
                .and_then(|code| RevocationReason::try_from(code).ok())
                .ok_or_else(|| Error::Corrupt(format!("a revocation for reason {reason}")))?,
        }),
        (State::Open | State::Issued | State::Void, None, None) => None,
        _ => {
            return Err(Error::Corrupt(format!(
                "an issuance that is {state} and says otherwise of its revocation"
            )));
        }
    };
    Ok(Arc::new(Issuance {
        intent,
        state,
        certificate: column::<Option<Vec<u8>>>(row, 4)?.unwrap_or_default(),
        ended: column::<Option<i64>>(row, 5)?.map(moment),
        revocation,
    }))
}

/// Begins issuances: those whose serial numbers are returned are new, the others repeat a request.
///
/// # Errors
/// [`Error::SerialTaken`] if a serial number was used before; if there is more than one, it may be
/// any of them. Nothing is begun then.
pub(super) async fn begin(client: &Object, asked: &[Asked]) -> Result<HashSet<Vec<u8>>, Rejection> {
    // In the order of the keys, so that two nodes cannot wait for each other.
    const SQL: &str = "
        WITH asked AS (
            SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::int8[], $4::int8[], $5::int8[],
                                 $6::text[], $7::bytea[], $8::bytea[], $9::bytea[])
                AS a (serial, request_key, begun, repeat_until, not_after, label, names, intent, tbs)
        ), slot AS (
            INSERT INTO request AS r (request_key, serial, begun, repeat_until)
            SELECT request_key, serial, begun, repeat_until FROM asked ORDER BY request_key
            ON CONFLICT (request_key) DO UPDATE
                SET serial = excluded.serial, begun = excluded.begun,
                    repeat_until = excluded.repeat_until
                WHERE r.repeat_until <= excluded.begun
            RETURNING serial
        )
        INSERT INTO issuance
            (serial, state, label, names, not_after, begun, request_key, intent, tbs)
        SELECT serial, 1, label, names, not_after, begun, request_key, intent, tbs
        FROM asked JOIN slot USING (serial)
        RETURNING serial";
    let rows = query(
        client,
        SQL,
        &[
            &each(asked, |row| row.serial.as_slice()),
            &each(asked, |row| row.idempotency_key.as_slice()),
            &each(asked, |row| row.begun),
            &each(asked, |row| row.retry_until),
            &each(asked, |row| row.not_after),
            &each(asked, |row| row.label.as_deref()),
            &each(asked, |row| row.names.as_slice()),
            &each(asked, |row| row.intent.as_slice()),
            &each(asked, |row| row.tbs.as_slice()),
        ],
    )
    .await;
    match (rows, asked) {
        (Ok(rows), _) => Ok(rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?),
        (Err(Rejection::Taken), [only]) => {
            let serial = only.row.serial.as_slice();
            let found = find(client, &[serial]).await?.remove(serial).transpose()?;
            match found {
                // Its window was over at once.
                Some(found) if only.is_own(&found) => Ok(HashSet::from([serial.to_vec()])),
                _ => Err(Rejection::Store(Error::SerialTaken(only.intent.serial.clone()))),
            }
        }
        (Err(Rejection::Taken), [first, ..]) => {
            Err(Rejection::Store(Error::SerialTaken(first.intent.serial.clone())))
        }
        (Err(error), _) => Err(error),
    }
}

fn each<'a, T>(asked: &'a [Asked], field: impl Fn(&'a IntentRow) -> T) -> Vec<T> {
    asked.iter().map(|each| field(&each.row)).collect()
}

/// The issuances that requests lead to now.
pub(super) async fn requests(
    client: &Object,
    asked: &[Asked],
) -> Result<HashMap<IdempotencyKey, Arc<Issuance>>, Rejection> {
    let sql = format!(
        "SELECT {ISSUANCE} FROM request r JOIN issuance i USING (serial)
         WHERE r.request_key = ANY($1::bytea[])"
    );
    let keys = each(asked, |row| row.idempotency_key.as_slice());
    let rows = query(client, &sql, &[&keys]).await?;
    let found =
        rows.iter().map(|row| issuance(row).map(|found| (found.intent.idempotency_key, found)));
    Ok(found.collect::<Result<_, _>>()?)
}

/// Finds issuances by their serial numbers; one that cannot be read is an error of its own.
pub(super) async fn find(
    client: &Object,
    serials: &[&[u8]],
) -> Result<HashMap<Vec<u8>, Result<Arc<Issuance>, Error>>, Rejection> {
    let sql = format!("SELECT {ISSUANCE} FROM issuance i WHERE i.serial = ANY($1::bytea[])");
    let rows = query(client, &sql, &[&serials]).await?;
    let found = rows.iter().map(|row| Ok((column(row, 0)?, issuance(row))));
    Ok(found.collect::<Result<_, Error>>()?)
}

/// Lists issuances in the order of their serial numbers.
pub(super) async fn list(
    client: &Object,
    filter: &Filter,
    after: Option<&Serial>,
    limit: usize,
) -> Result<Vec<Arc<Issuance>>, Rejection> {
    let after: &[u8] = after.map_or(&[], Serial::as_bytes);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let label = filter.label.as_ref().map(|label| label.as_ref().map(ToString::to_string));
    let part = filter.subject.as_deref().map(searched);
    let before = filter.expires_before.map(seconds);
    let from = filter.expires_from.map(seconds);
    let mut sql = format!("SELECT {ISSUANCE} FROM issuance i WHERE i.serial > $1");
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&after, &limit];
    // A number that stands in the text lets the index of its state be used.
    if let Some(state) = filter.state {
        sql.push_str(&format!(" AND i.state = {}", state_number(state)));
    }
    match &label {
        None => {}
        Some(None) => sql.push_str(" AND i.label IS NULL"),
        Some(Some(label)) => {
            parameters.push(label);
            sql.push_str(&format!(" AND i.label = ${}", parameters.len()));
        }
    }
    if let Some(part) = &part {
        parameters.push(part);
        sql.push_str(&format!(" AND position(${}::bytea in i.names) > 0", parameters.len()));
    }
    if let Some(before) = &before {
        parameters.push(before);
        sql.push_str(&format!(" AND i.not_after < ${}", parameters.len()));
    }
    if let Some(from) = &from {
        parameters.push(from);
        sql.push_str(&format!(" AND i.not_after >= ${}", parameters.len()));
    }
    sql.push_str(" ORDER BY i.serial LIMIT $2");
    let rows = query(client, &sql, &parameters).await?;
    Ok(rows.iter().map(issuance).collect::<Result<_, _>>()?)
}

/// Where events are written: the writer, and its last number.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) writer: i64,
    pub(super) after: i64,
}

/// Takes a number that no writer has had.
pub(super) async fn new_writer(client: &Object) -> Result<i64, Rejection> {
    const SQL: &str = "
        INSERT INTO writer (id)
        SELECT 1 + greatest((SELECT coalesce(max(id), 0) FROM writer),
                            (SELECT coalesce(max(writer), 0) FROM event))
        RETURNING id";
    let rows = query(client, SQL, &[]).await?;
    let row = rows.first().ok_or_else(|| Rejection::Lost("no writer was registered".to_owned()))?;
    Ok(column(row, 0)?)
}

/// The events of a writer after one of them.
pub(super) async fn own_events(
    client: &Object,
    writer: i64,
    after: i64,
) -> Result<Vec<(i64, Event)>, Rejection> {
    const SQL: &str =
        "SELECT number, event FROM event WHERE writer = $1 AND number > $2 ORDER BY number";
    let rows = query(client, SQL, &[&writer, &after]).await?;
    let read = |row: &Row| Ok((column(row, 0)?, format::read_event(column(row, 1)?)?));
    Ok(rows.iter().map(read).collect::<Result<_, Error>>()?)
}

/// Ends open issuances with their certificates, each with its event. All changes are completions,
/// and no serial number is there twice.
pub(super) async fn complete(
    client: &Object,
    place: Place,
    group: &[Told],
) -> Result<Vec<Outcome>, Rejection> {
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
        ), told AS (
            INSERT INTO event (writer, number, event)
            SELECT $5::int8, $6::int8 + row_number() OVER (ORDER BY n), event FROM done
        )
        SELECT n, intent FROM done";
    let (mut serials, mut certificates) = (Vec::new(), Vec::new());
    for each in group {
        let Change::Complete { serial, certificate } = &each.change else {
            let why = "a group of changes holds one that is no completion";
            return Err(Rejection::Store(Error::Unavailable(why.to_owned())));
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
    let mut done = vec![Outcome::Not; group.len()];
    for row in &rows {
        let number: i64 = column(row, 0)?;
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let (Some(slot), Some(Told { change: Change::Complete { certificate, .. }, event, .. })) =
            (done.get_mut(index), group.get(index))
        else {
            return Err(Rejection::Store(Error::Corrupt(format!("row {number} of a statement"))));
        };
        *slot = Outcome::Ended(Arc::new(Issuance {
            intent: format::read_intent(column(row, 1)?)?,
            state: State::Issued,
            certificate: certificate.clone(),
            ended: Some(event.at),
            revocation: None,
        }));
    }
    Ok(done)
}

/// Ends an open issuance without a certificate, and frees its slot.
pub(super) async fn void(
    client: &Object,
    place: Place,
    serial: &Serial,
    at: Time,
    event: &[u8],
) -> Result<Outcome, Rejection> {
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
    place: Place,
    serial: &Serial,
    revocation: Revocation,
    event: &[u8],
) -> Result<Outcome, Rejection> {
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

/// Adds an account unless there is one of that name.
pub(super) async fn add_account(
    client: &Object,
    place: Place,
    account: &Account,
    event: &[u8],
) -> Result<Outcome, Rejection> {
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
    place: Place,
    name: &str,
    event: &[u8],
) -> Result<Outcome, Rejection> {
    const SQL: &str = "
        WITH done AS (DELETE FROM account WHERE name = $1 RETURNING name)
        INSERT INTO event (writer, number, event) SELECT $2, $3, $4 FROM done RETURNING number";
    let number = place.after + 1;
    Ok(done_or_not(&query(client, SQL, &[&name, &place.writer, &number, &event]).await?))
}

/// Writes an event that changes nothing else.
pub(super) async fn append(
    client: &Object,
    place: Place,
    event: &[u8],
) -> Result<Outcome, Rejection> {
    const SQL: &str =
        "INSERT INTO event (writer, number, event) VALUES ($1, $2, $3) RETURNING number";
    let number = place.after + 1;
    Ok(done_or_not(&query(client, SQL, &[&place.writer, &number, &event]).await?))
}

const fn done_or_not(rows: &[Row]) -> Outcome {
    if rows.is_empty() { Outcome::Not } else { Outcome::Done }
}

pub(super) async fn account(client: &Object, name: &str) -> Result<Option<Account>, Rejection> {
    let rows = query(client, "SELECT record FROM account WHERE name = $1", &[&name]).await?;
    let read = |row| format::read_account(column(row, 0)?);
    Ok(rows.first().map(read).transpose()?)
}

pub(super) async fn accounts(client: &Object) -> Result<Vec<Account>, Rejection> {
    // In the order of the bytes, as everywhere, not in that of a language.
    const SQL: &str = "SELECT record FROM account ORDER BY name COLLATE \"C\"";
    let rows = query(client, SQL, &[]).await?;
    let read = |row| format::read_account(column(row, 0)?);
    Ok(rows.iter().map(read).collect::<Result<_, Error>>()?)
}

pub(super) async fn events(
    client: &Object,
    from: EventId,
    limit: usize,
) -> Result<Vec<(EventId, Event)>, Rejection> {
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

pub(super) async fn compare_and_set(
    client: &Object,
    name: &str,
    expected: Option<&[u8]>,
    value: &[u8],
) -> Result<CompareAndSet, Rejection> {
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

pub(super) async fn register(client: &Object, name: &str) -> Result<Option<Vec<u8>>, Rejection> {
    let rows = query(client, "SELECT value FROM decision WHERE matter = $1", &[&name]).await?;
    Ok(rows.first().map(|row| column(row, 0)).transpose()?)
}

pub(super) async fn registers(client: &Object) -> Result<Vec<(String, Vec<u8>)>, Rejection> {
    const SQL: &str = "SELECT matter, value FROM decision ORDER BY matter COLLATE \"C\"";
    let rows = query(client, SQL, &[]).await?;
    let read = |row| Ok((column(row, 0)?, column(row, 1)?));
    Ok(rows.iter().map(read).collect::<Result<_, Error>>()?)
}

/// Removes slots of requests whose repeats have not been answered since `before`: some at a time,
/// so that nobody waits for it.
pub(super) async fn purge(client: &Object, before: Time) -> Result<(), Rejection> {
    // What is looked at once may be renewed by a node before it is removed: only a row that is
    // locked, and over as it is then, goes. One that another node works on is for the next time.
    const SQL: &str = "
        DELETE FROM request WHERE repeat_until < $1 AND request_key IN
            (SELECT request_key FROM request WHERE repeat_until < $1 LIMIT 50000
             FOR UPDATE SKIP LOCKED)";
    query(client, SQL, &[&seconds(before)]).await?;
    Ok(())
}
