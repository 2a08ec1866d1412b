//! Statements that write a change together with its event. Each is one transaction and can be
//! retried.

use super::{
    super::{Error, Issuance, State, format},
    change::{PostgresChange, PostgresOutcome, RegistryWrite, Write},
    database::DatabaseError,
    devices,
    row::{column, query, seconds},
    tokens,
};
use crate::telemetry::audit::Event;
use deadpool_postgres::Object;
use std::{collections::HashSet, sync::Arc};
use tokio_postgres::{Row, types::ToSql};

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

/// Writes changes, each with its event: completions of different serial numbers, or one change of
/// another kind.
pub(super) async fn write_changes(
    client: &Object,
    place: WriterPosition,
    group: &[Write],
) -> Result<Vec<PostgresOutcome>, DatabaseError> {
    const VOID: &str = "
        UPDATE issuance SET state = 3, tbs = NULL, ended = $5 WHERE serial = $4 AND state = 1
        RETURNING serial, request_key";
    const REVOKE: &str = "
        UPDATE issuance SET state = 4, revoked = $5, reason = $6 WHERE serial = $4 AND state = 2
        RETURNING serial, request_key";
    // A voided issuance gives the use of its token back.
    const GIVE_BACK: &str = ", given AS (
        UPDATE token t SET consumed_by = NULL FROM done d WHERE t.consumed_by = d.serial)";
    const ADD: &str = "
        INSERT INTO account (name, record) VALUES ($4, $5) ON CONFLICT DO NOTHING RETURNING name";
    const REMOVE: &str = "DELETE FROM account WHERE name = $4 RETURNING name";
    let [Write { change, event, item, .. }] = group else {
        return complete(client, place, group).await;
    };
    let number = place.after + 1;
    // The event is $1, $2 and $3.
    let with_event = async |sql: &str, values: &[&(dyn ToSql + Sync)]| {
        let own: [&(dyn ToSql + Sync); 3] = [&place.writer, &number, item];
        let rows = query(client, sql, &[&own, values].concat()).await?;
        let done = if rows.is_empty() { PostgresOutcome::Not } else { PostgresOutcome::Done };
        Ok::<_, DatabaseError>(vec![done])
    };
    match change {
        PostgresChange::Complete { .. } => complete(client, place, group).await,
        PostgresChange::Void { serial } => {
            with_event(&freeing(VOID, GIVE_BACK), &[&serial.as_bytes(), &seconds(event.at)]).await
        }
        PostgresChange::Revoke { serial, revocation } => {
            let (at, reason) = (seconds(revocation.at), i16::from(revocation.reason.code()));
            with_event(&freeing(REVOKE, ""), &[&serial.as_bytes(), &at, &reason]).await
        }
        PostgresChange::AddAccount(account) => {
            with_event(&logged(ADD), &[&account.name, &format::account(account)?]).await
        }
        PostgresChange::ChangeAccount { .. } | PostgresChange::Registry(_) => {
            Ok(vec![transact(client, place, change, item).await?])
        }
        PostgresChange::RemoveAccount(name) => with_event(&logged(REMOVE), &[name]).await,
        PostgresChange::Append => with_event(&logged("SELECT"), &[]).await,
    }
}

/// The statement of a change, with that of its event if it changes a row.
fn logged(change: &str) -> String {
    format!(
        "WITH done AS ({change})
         INSERT INTO event (writer, number, event) SELECT $1, $2, $3 FROM done RETURNING number"
    )
}

/// The same for the end of an issuance, which frees its slot.
fn freeing(change: &str, more: &str) -> String {
    logged(&format!(
        "{change}){more}, freed AS (
            DELETE FROM request r USING done d
            WHERE r.request_key = d.request_key AND r.serial = d.serial"
    ))
}

/// Writes a change of several statements, and its event.
async fn transact(
    client: &Object,
    place: WriterPosition,
    change: &PostgresChange,
    item: &[u8],
) -> Result<PostgresOutcome, DatabaseError> {
    const EVENT: &str = "INSERT INTO event (writer, number, event) VALUES ($1, $2, $3)";
    client.batch_execute("BEGIN").await?;
    let done = match apply(client, change).await {
        Ok(done) => done,
        Err(DatabaseError::Store(error)) => {
            client.batch_execute("ROLLBACK").await?;
            return Ok(PostgresOutcome::Failed(error));
        }
        // Another node was first; the next attempt sees it.
        Err(DatabaseError::Taken) => {
            return Err(DatabaseError::Lost("another node wrote the same at once".to_owned()));
        }
        Err(error) => return Err(error),
    };
    if done {
        query(client, EVENT, &[&place.writer, &(place.after + 1), &item]).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(if done { PostgresOutcome::Done } else { PostgresOutcome::Not })
}

/// Returns whether anything changed.
async fn apply(client: &Object, change: &PostgresChange) -> Result<bool, DatabaseError> {
    const ACCOUNT: &str = "SELECT record FROM account WHERE name = $1 FOR UPDATE";
    const CHANGE: &str = "UPDATE account SET record = $2 WHERE name = $1";
    const FINISH: &str = "UPDATE staging SET import = NULL";
    let device_lock = |id| HashSet::from([devices::lock_of("device", id)]);
    match change {
        PostgresChange::ChangeAccount { seen, new } => {
            let rows = query(client, ACCOUNT, &[&seen.name]).await?;
            let now = rows.first().map(|row| format::read_account(column(row, 0)?)).transpose()?;
            if seen.name != new.name || now.as_ref() != Some(&**seen) {
                return Err(Error::Changed(format!("account {:?}", seen.name)).into());
            }
            query(client, CHANGE, &[&new.name, &format::account(new)?]).await?;
            Ok(true)
        }
        PostgresChange::Registry(RegistryWrite::Add(device)) => {
            devices::share_import(client).await?;
            devices::lock(client, device_lock(&device.id)).await?;
            devices::put_device(client, None, device).await?;
            Ok(true)
        }
        PostgresChange::Registry(RegistryWrite::Change { seen, new }) => {
            devices::share_import(client).await?;
            devices::lock(client, device_lock(&seen.id)).await?;
            let now = devices::find_devices(client, &[seen.id.as_str()]).await?;
            if seen.id != new.id || now.get(&seen.id) != Some(&**seen) {
                return Err(Error::Changed(format!("device {}", seen.id)).into());
            }
            devices::put_device(client, Some(seen), new).await?;
            Ok(true)
        }
        PostgresChange::Registry(RegistryWrite::Finish(import)) => {
            devices::hold_import(client).await?;
            devices::staged(client, *import).await?.expect_finished()?;
            query(client, FINISH, &[]).await?;
            Ok(true)
        }
        PostgresChange::Registry(RegistryWrite::AddTokens(new)) => {
            if tokens::add(client, new).await? == new.len() {
                return Ok(true);
            }
            Err(Error::Conflict("one of the tokens".to_owned()).into())
        }
        PostgresChange::Registry(RegistryWrite::DisableToken(id)) => {
            let lock = devices::lock_of("token", id);
            devices::lock(client, HashSet::from([lock])).await?;
            Ok(tokens::disable(client, id).await?.ok_or(Error::NoSuchToken(*id))?)
        }
        _ => Ok(false),
    }
}

/// Completes open issuances, each with its event.
async fn complete(
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
