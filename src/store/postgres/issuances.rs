//! Statements that begin issuances and read them. Each is one transaction, handles a group of
//! commands, and can be retried.

use super::{
    super::{Error, Filter, IdempotencyKey, Issuance},
    change::Begin,
    database::DatabaseError,
    row::{ISSUANCE, IntentRow, column, query, searchable, seconds, state_number, to_issuance},
};
use crate::types::{Serial, Time};
use deadpool_postgres::Object;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio_postgres::types::ToSql;

/// Begins issuances. Returns the serial numbers of the new ones; the others are retries.
///
/// # Errors
/// [`Error::SerialTaken`] if a serial number was used before; with several commands, of any of
/// them. None is begun then.
pub(super) async fn begin(
    client: &Object,
    asked: &[&Begin],
) -> Result<HashSet<Vec<u8>>, DatabaseError> {
    // In the order of the keys, so that two nodes cannot deadlock.
    const SQL: &str = "
        WITH asked AS (
            SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::int8[], $4::int8[], $5::int8[],
                                 $6::text[], $7::bytea[], $8::bytea[], $9::bytea[], $10::text[],
                                 $11::bytea[], $12::bytea[])
                AS a (serial, request_key, begun, repeat_until, not_after, label, names, intent,
                      tbs, device, spki, predecessor)
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
            (serial, state, label, names, not_after, begun, request_key, intent, tbs, device,
             spki, predecessor)
        SELECT serial, 1, label, names, not_after, begun, request_key, intent, tbs, device, spki,
               predecessor
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
            &each(asked, |row| &*row.tbs),
            &each(asked, |row| row.device.as_deref()),
            &each(asked, |row| row.spki.as_slice()),
            &each(asked, |row| row.predecessor.as_deref()),
        ],
    )
    .await;
    match (rows, asked) {
        (Ok(rows), _) => Ok(rows.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?),
        (Err(DatabaseError::Taken), [only]) => {
            let serial = only.row.serial.as_slice();
            let found = find(client, &[serial]).await?.remove(serial).transpose()?;
            match found {
                // Its window had length zero.
                Some(found) if only.is_own(&found) => Ok(HashSet::from([serial.to_vec()])),
                _ => Err(DatabaseError::Store(Error::SerialTaken(only.intent.serial.clone()))),
            }
        }
        (Err(DatabaseError::Taken), [first, ..]) => {
            Err(DatabaseError::Store(Error::SerialTaken(first.intent.serial.clone())))
        }
        (Err(error), _) => Err(error),
    }
}

fn each<'a, T>(asked: &[&'a Begin], field: impl Fn(&'a IntentRow) -> T) -> Vec<T> {
    asked.iter().map(|each| field(&each.row)).collect()
}

/// Returns the issuances of the first requests.
pub(super) async fn requests(
    client: &Object,
    asked: &[&Begin],
) -> Result<HashMap<IdempotencyKey, Arc<Issuance>>, DatabaseError> {
    let sql = format!(
        "SELECT {ISSUANCE} FROM request r JOIN issuance i USING (serial)
         WHERE r.request_key = ANY($1::bytea[])"
    );
    let keys = each(asked, |row| row.idempotency_key.as_slice());
    let rows = query(client, &sql, &[&keys]).await?;
    let found =
        rows.iter().map(|row| to_issuance(row).map(|found| (found.intent.idempotency_key, found)));
    Ok(found.collect::<Result<_, _>>()?)
}

/// Finds the issuance of the first request with this key, for a retry at this time.
pub(super) async fn first_answer(
    client: &Object,
    key: &IdempotencyKey,
    at: Time,
) -> Result<Option<Arc<Issuance>>, DatabaseError> {
    let sql = format!(
        "SELECT {ISSUANCE} FROM request r JOIN issuance i USING (serial)
         WHERE r.request_key = $1 AND r.repeat_until > $2"
    );
    let rows = query(client, &sql, &[&key.0.as_slice(), &seconds(at)]).await?;
    Ok(rows.first().map(to_issuance).transpose()?)
}

/// Finds issuances by their serial numbers; each unreadable one is an error of its own.
pub(super) async fn find(
    client: &Object,
    serials: &[&[u8]],
) -> Result<HashMap<Vec<u8>, Result<Arc<Issuance>, Error>>, DatabaseError> {
    let sql = format!("SELECT {ISSUANCE} FROM issuance i WHERE i.serial = ANY($1::bytea[])");
    let rows = query(client, &sql, &[&serials]).await?;
    let found = rows.iter().map(|row| Ok((column(row, 0)?, to_issuance(row))));
    Ok(found.collect::<Result<_, Error>>()?)
}

/// Lists issuances in the order of their serial numbers.
pub(super) async fn list(
    client: &Object,
    filter: &Filter,
    after: Option<&Serial>,
    limit: usize,
) -> Result<Vec<Arc<Issuance>>, DatabaseError> {
    let after: &[u8] = after.map_or(&[], Serial::as_bytes);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let label = filter.label.as_ref().map(|label| label.as_ref().map(ToString::to_string));
    let part = filter.subject.as_deref().map(searchable);
    let before = filter.expires_before.map(seconds);
    let from = filter.expires_from.map(seconds);
    let mut sql = format!("SELECT {ISSUANCE} FROM issuance i WHERE i.serial > $1");
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&after, &limit];
    // A literal number allows PostgreSQL to use the index of the state.
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
    let device = filter.device.as_ref().map(|id| id.as_str());
    if let Some(device) = &device {
        parameters.push(device);
        sql.push_str(&format!(" AND i.device = ${}", parameters.len()));
    }
    let key = filter.key.as_ref().map(<[u8; 32]>::as_slice);
    if let Some(key) = &key {
        parameters.push(key);
        sql.push_str(&format!(" AND i.spki = ${}", parameters.len()));
    }
    let predecessor = filter.predecessor.as_ref().map(Serial::as_bytes);
    if let Some(predecessor) = &predecessor {
        parameters.push(predecessor);
        sql.push_str(&format!(" AND i.predecessor = ${}", parameters.len()));
    }
    let revoked = filter.revoked_from.map(seconds);
    if let Some(revoked) = &revoked {
        parameters.push(revoked);
        sql.push_str(&format!(" AND i.state = 4 AND i.revoked >= ${}", parameters.len()));
    }
    sql.push_str(" ORDER BY i.serial LIMIT $2");
    let rows = query(client, &sql, &parameters).await?;
    Ok(rows.iter().map(to_issuance).collect::<Result<_, _>>()?)
}

/// Removes slots whose windows ended before `before`, some at a time, so that no caller waits.
pub(super) async fn purge(client: &Object, before: Time) -> Result<(), DatabaseError> {
    // Another node may renew a row between its selection and its removal. So only a row that is
    // locked, and still expired, is removed. Rows locked by others are left to the next purge.
    const SQL: &str = "
        DELETE FROM request WHERE repeat_until < $1 AND request_key IN
            (SELECT request_key FROM request WHERE repeat_until < $1 LIMIT 50000
             FOR UPDATE SKIP LOCKED)";
    query(client, SQL, &[&seconds(before)]).await?;
    Ok(())
}
