//! Statements on devices and identifiers.
//!
//! A staged row carries the number of its import, and nobody sees it while `staging` names that import. A
//! change of a device holds the lock of that device, as a begin with conditions does: the two have an
//! order. A change of what the import is holds the import's lock alone, and writers of rows share it.

use super::{
    super::{
        Device, DeviceFilter, DeviceStanding, Error, Identifier, ImportNumber, format,
        registry::Staging,
    },
    database::DatabaseError,
    row::{column, query, signed, unsigned},
};
use crate::types::DeviceId;
use aws_lc_rs::digest::{SHA256, digest};
use deadpool_postgres::Object;
use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
};
use tokio_postgres::Row;

/// Whether a row of `device` or `identifier`, called `d`, can be seen.
const VISIBLE: &str =
    "(d.import IS NULL OR d.import IS DISTINCT FROM (SELECT import FROM staging))";

/// Rows that one statement removes.
const REMOVED: i64 = 10_000;

/// Rows that a search with a filter reads at once.
const SEARCHED: i64 = 2000;

/// The number of a lock: the begin of a digest, so that two subjects rarely share one.
pub(super) fn lock_of(kind: &str, subject: impl Display) -> i64 {
    let digest = digest(&SHA256, format!("{kind}:{subject}").as_bytes());
    digest.as_ref().first_chunk().map_or(0, |begin| i64::from_le_bytes(*begin))
}

fn import_lock() -> i64 {
    lock_of("import", "")
}

/// Locks until the end of the transaction, in the order of the numbers, so that two nodes cannot deadlock.
pub(super) async fn lock(client: &Object, numbers: HashSet<i64>) -> Result<(), DatabaseError> {
    const SQL: &str = "SELECT pg_advisory_xact_lock(n) FROM
        (SELECT n FROM unnest($1::int8[]) AS n ORDER BY n) AS sorted";
    let numbers: Vec<i64> = numbers.into_iter().collect();
    query(client, SQL, &[&numbers]).await.map(|_| ())
}

/// Keeps the import as it is until the end of the transaction. Before any other lock.
pub(super) async fn share_import(client: &Object) -> Result<(), DatabaseError> {
    const SQL: &str = "SELECT pg_advisory_xact_lock_shared($1)";
    query(client, SQL, &[&import_lock()]).await.map(|_| ())
}

/// Keeps all others from rows of an import until the end of the transaction.
pub(super) async fn hold_import(client: &Object) -> Result<(), DatabaseError> {
    lock(client, HashSet::from([import_lock()])).await
}

/// Returns the staged import.
pub(super) async fn staging(client: &Object) -> Result<Option<Staging>, DatabaseError> {
    const SQL: &str = "SELECT import, abandoned, device, identifier FROM staging";
    let rows = query(client, SQL, &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let Some(number) = column::<Option<i64>>(row, 0)? else { return Ok(None) };
    let device = column::<Option<&str>>(row, 2)?.map(parsed).transpose()?;
    let identifier = column::<Option<&str>>(row, 3)?.map(parsed).transpose()?;
    Ok(Some(Staging {
        number: ImportNumber(unsigned(number)),
        abandoned: column(row, 1)?,
        conflict: device.map(|device| (device, identifier)),
    }))
}

/// Checks that the staged import has this number.
pub(super) async fn staged(
    client: &Object,
    import: ImportNumber,
) -> Result<Staging, DatabaseError> {
    let found = staging(client).await?.filter(|staging| staging.number == import);
    Ok(found.ok_or(Error::ImportEnded(import))?)
}

fn parsed<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Corrupt(error.to_string()))
}

fn read(row: &Row, index: usize) -> Result<Device, Error> {
    format::read_record("a device", column(row, index)?)
}

/// Finds registered devices by their ids.
pub(super) async fn find_devices(
    client: &Object,
    ids: &[&str],
) -> Result<HashMap<DeviceId, Device>, DatabaseError> {
    let sql = format!("SELECT d.record FROM device d WHERE d.id = ANY($1::text[]) AND {VISIBLE}");
    let rows = query(client, &sql, &[&ids]).await?;
    let found = rows.iter().map(|row| read(row, 0).map(|device| (device.id.clone(), device)));
    Ok(found.collect::<Result<_, _>>()?)
}

/// Whether the device may neither enroll nor authenticate.
pub(super) async fn is_barred(client: &Object, id: &DeviceId) -> Result<bool, DatabaseError> {
    let sql = format!("SELECT FROM device d WHERE d.id = $1 AND d.barred AND {VISIBLE}");
    Ok(!query(client, &sql, &[&id.as_str()]).await?.is_empty())
}

/// Finds the registered devices that have any of the identifiers.
pub(super) async fn identified(
    client: &Object,
    by: &[Identifier],
) -> Result<Vec<Device>, DatabaseError> {
    let sql = format!(
        "SELECT d.record FROM device d WHERE {VISIBLE} AND d.id IN
            (SELECT device FROM identifier WHERE identifier = ANY($1::text[])) ORDER BY d.id"
    );
    let texts: Vec<String> = by.iter().map(ToString::to_string).collect();
    let rows = query(client, &sql, &[&texts]).await?;
    let mut found = rows.iter().map(|row| read(row, 0)).collect::<Result<Vec<_>, _>>()?;
    // An import may have staged an identifier for a device that was registered without it.
    found.retain(|device| device.identifiers.iter().any(|one| by.contains(one)));
    Ok(found)
}

/// Lists registered devices.
pub(super) async fn list_devices(
    client: &Object,
    filter: &DeviceFilter,
    after: Option<&DeviceId>,
    limit: usize,
) -> Result<Vec<Device>, DatabaseError> {
    let sql = format!(
        "SELECT d.record FROM device d
         WHERE d.id > $1 AND ($2::text IS NULL OR position($2 in lower(d.id)) > 0)
             AND ($3::bool IS NULL OR d.barred = $3) AND {VISIBLE}
         ORDER BY d.id LIMIT $4"
    );
    let part = filter.part.as_ref().map(|part| part.to_ascii_lowercase());
    if part.as_ref().is_some_and(|part| part.contains('\0')) {
        return Ok(Vec::new());
    }
    let barred = filter.standing.map(|standing| standing != DeviceStanding::Enabled);
    let searches = filter.label.is_some() || filter.tag.is_some() || filter.standing.is_some();
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows_at_once = if searches { SEARCHED } else { most };
    let mut after = after.map_or("", DeviceId::as_str).to_owned();
    let mut found = Vec::new();
    loop {
        let rows = query(client, &sql, &[&after, &part, &barred, &rows_at_once]).await?;
        for row in &rows {
            let device = read(row, 0)?;
            device.id.as_str().clone_into(&mut after);
            if found.len() < limit && filter.matches(&device) {
                found.push(device);
            }
        }
        let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < rows_at_once;
        if is_last || found.len() >= limit {
            return Ok(found);
        }
    }
}

/// An identifier, its device, and the import that staged it.
type Owner = (Identifier, DeviceId, Option<ImportNumber>);

async fn owners(client: &Object, of: &[String]) -> Result<Vec<Owner>, DatabaseError> {
    const SQL: &str =
        "SELECT identifier, device, import FROM identifier WHERE identifier = ANY($1::text[])";
    let rows = query(client, SQL, &[&of]).await?;
    let owner = |row: &Row| {
        let import = column::<Option<i64>>(row, 2)?.map(|number| ImportNumber(unsigned(number)));
        Ok((parsed(column(row, 0)?)?, parsed(column(row, 1)?)?, import))
    };
    Ok(rows.iter().map(owner).collect::<Result<_, Error>>()?)
}

fn texts(device: &Device) -> Vec<String> {
    device.identifiers.iter().map(ToString::to_string).collect()
}

/// Writes a registered device, in place of `old` if there is one. It takes the place of a staged one too, whose
/// import cannot be finished then: it does not wait for an import. Needs [`share_import`] and the device's lock.
///
/// # Errors
/// [`Error::DeviceExists`] without `old`, [`Error::IdentifierTaken`].
pub(super) async fn put_device(
    client: &Object,
    old: Option<&Device>,
    device: &Device,
) -> Result<(), DatabaseError> {
    const CONFLICT: &str =
        "UPDATE staging SET device = $2, identifier = $3 WHERE import = $1 AND device IS NULL";
    const FREE: &str = "DELETE FROM identifier WHERE identifier = ANY($1::text[]) AND device = $2";
    const DEVICE: &str = "
        INSERT INTO device AS d (id, barred, import, record) VALUES ($1, $2, NULL, $3)
        ON CONFLICT (id) DO UPDATE
            SET barred = excluded.barred, import = NULL, record = excluded.record
            WHERE $4 OR d.import = $5
        RETURNING id";
    const IDENTIFIERS: &str = "
        INSERT INTO identifier AS d (identifier, device, import)
        SELECT n, $2, NULL FROM unnest($1::text[]) AS n ORDER BY n
        ON CONFLICT (identifier) DO UPDATE SET device = excluded.device, import = NULL
            WHERE d.import = $3
        RETURNING identifier";
    let staged = staging(client).await?.map(|staging| staging.number);
    let is_visible = |import: Option<ImportNumber>| import.is_none() || import != staged;
    let id = device.id.as_str();
    let mut conflict: Option<Option<String>> = None;
    if old.is_none() {
        let rows = query(client, "SELECT import FROM device WHERE id = $1", &[&id]).await?;
        if let Some(row) = rows.first() {
            let import = column::<Option<i64>>(row, 0)?.map(|one| ImportNumber(unsigned(one)));
            if is_visible(import) {
                return Err(Error::DeviceExists(device.id.clone()).into());
            }
            conflict = Some(None);
        }
    }
    let mut texts = texts(device);
    texts.sort();
    texts.dedup();
    for (identifier, owner, import) in owners(client, &texts).await? {
        if owner == device.id {
            continue;
        }
        if is_visible(import) {
            let identifier = Box::new(identifier);
            return Err(Error::IdentifierTaken { identifier, device: owner }.into());
        }
        conflict.get_or_insert_with(|| Some(identifier.to_string()));
    }
    let staged = staged.map(|staged| signed(staged.0));
    if let Some(identifier) = conflict {
        query(client, CONFLICT, &[&staged, &id, &identifier]).await?;
    }
    if let Some(old) = old {
        query(client, FREE, &[&self::texts(old), &id]).await?;
    }
    let (barred, record) = (device.standing != DeviceStanding::Enabled, format::record(device)?);
    let written = query(client, DEVICE, &[&id, &barred, &record, &old.is_some(), &staged]).await?;
    let owned = query(client, IDENTIFIERS, &[&texts, &id, &staged]).await?;
    if written.len() == 1 && owned.len() == texts.len() {
        return Ok(());
    }
    // The next attempt sees who was first.
    Err(DatabaseError::Lost("a device was registered by another node at once".to_owned()))
}

/// Writes devices of another store, none of which is registered. Needs [`share_import`] and their locks.
///
/// # Errors
/// [`Error::IdentifierTaken`]; [`Error::Unavailable`] while an import is staged.
pub(super) async fn put_many(client: &Object, devices: &[&Device]) -> Result<(), DatabaseError> {
    const DEVICES: &str = "
        INSERT INTO device (id, barred, record)
        SELECT * FROM unnest($1::text[], $2::bool[], $3::bytea[])";
    const IDENTIFIERS: &str = "
        INSERT INTO identifier (identifier, device)
        SELECT * FROM unnest($1::text[], $2::text[])";
    if staging(client).await?.is_some() {
        let why = "an import of devices is not finished; finish or abandon it";
        return Err(Error::Unavailable(why.to_owned()).into());
    }
    let (mut identifiers, mut owner) = (Vec::new(), Vec::new());
    for device in devices {
        for text in texts(device) {
            identifiers.push(text);
            owner.push(device.id.as_str());
        }
    }
    if let Some((identifier, device, _)) = owners(client, &identifiers).await?.into_iter().next() {
        return Err(Error::IdentifierTaken { identifier: Box::new(identifier), device }.into());
    }
    let ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
    let barred: Vec<bool> =
        devices.iter().map(|device| device.standing != DeviceStanding::Enabled).collect();
    let records: Vec<Vec<u8>> =
        devices.iter().map(|device| format::record(*device)).collect::<Result<_, _>>()?;
    query(client, DEVICES, &[&ids, &barred, &records]).await?;
    match query(client, IDENTIFIERS, &[&identifiers, &owner]).await {
        Err(DatabaseError::Taken) => {
            Err(Error::Conflict("two devices have one identifier".to_owned()).into())
        }
        other => other.map(|_| ()),
    }
}

/// Stages devices: see [`super::super::Devices::stage_devices`].
pub(super) async fn stage(
    client: &Object,
    import: ImportNumber,
    devices: &[Device],
) -> Result<(), DatabaseError> {
    const DEVICES: &str = "
        INSERT INTO device (id, barred, import, record)
        SELECT id, false, $3, record FROM unnest($1::text[], $2::bytea[]) AS a (id, record)
        ON CONFLICT DO NOTHING RETURNING id";
    const IDENTIFIERS: &str = "
        INSERT INTO identifier (identifier, device, import)
        SELECT identifier, device, $3 FROM unnest($1::text[], $2::text[]) AS a (identifier, device)
        ON CONFLICT DO NOTHING";
    client.batch_execute("BEGIN").await?;
    share_import(client).await?;
    staged(client, import).await?.expect_finished()?;
    let ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
    let record = |device: &Device| {
        format::record(&Device { standing: DeviceStanding::Enabled, ..device.clone() })
    };
    let records: Vec<Vec<u8>> = devices.iter().map(record).collect::<Result<_, _>>()?;
    let number = signed(import.0);
    let rows = query(client, DEVICES, &[&ids, &records, &number]).await?;
    let inserted: HashSet<&str> =
        rows.iter().map(|row| column(row, 0)).collect::<Result<_, Error>>()?;
    let sql = "SELECT record FROM device WHERE id = ANY($1::text[])";
    if inserted.len() < devices.len() {
        let rows = query(client, sql, &[&ids]).await?;
        let known = rows.iter().map(|row| read(row, 0)).collect::<Result<Vec<_>, _>>()?;
        let known: HashMap<&DeviceId, &Device> = known.iter().map(|one| (&one.id, one)).collect();
        if let Some(other) =
            devices.iter().find(|one| known.get(&one.id).is_none_or(|known| !known.says_as(one)))
        {
            return Err(Error::DeviceExists(other.id.clone()).into());
        }
    }
    let new = || devices.iter().filter(|device| inserted.contains(device.id.as_str()));
    let (mut identifiers, mut owner) = (Vec::new(), Vec::new());
    for device in new() {
        for text in texts(device) {
            identifiers.push(text);
            owner.push(device.id.as_str());
        }
    }
    query(client, IDENTIFIERS, &[&identifiers, &owner, &number]).await?;
    let has: HashMap<Identifier, DeviceId> =
        owners(client, &identifiers).await?.into_iter().map(|(one, id, _)| (one, id)).collect();
    for device in new() {
        for identifier in &device.identifiers {
            if let Some(owner) = has.get(identifier).filter(|owner| **owner != device.id) {
                let (identifier, device) = (Box::new(identifier.clone()), owner.clone());
                return Err(Error::IdentifierTaken { identifier, device }.into());
            }
        }
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Begins an import. If another one is staged, marks that as abandoned and returns it.
pub(super) async fn begin_import(
    client: &Object,
) -> Result<Result<ImportNumber, ImportNumber>, DatabaseError> {
    const BEGIN: &str = "
        UPDATE staging SET last = last + 1, import = last + 1, abandoned = false, device = NULL,
            identifier = NULL
        WHERE import IS NULL RETURNING import";
    const ABANDON: &str = "UPDATE staging SET abandoned = true RETURNING import";
    client.batch_execute("BEGIN").await?;
    hold_import(client).await?;
    let number = |rows: &[Row]| match rows.first() {
        Some(row) => Ok(Some(ImportNumber(unsigned(column(row, 0)?)))),
        None => Ok::<_, Error>(None),
    };
    let begun = number(&query(client, BEGIN, &[]).await?)?;
    let result = match begun {
        Some(begun) => Ok(begun),
        None => Err(number(&query(client, ABANDON, &[]).await?)?.ok_or_else(|| {
            Error::Corrupt("the table staging has no row; restore the database".to_owned())
        })?),
    };
    client.batch_execute("COMMIT").await?;
    Ok(result)
}

/// Marks an import as abandoned. Returns whether it is staged.
pub(super) async fn abandon(client: &Object, import: ImportNumber) -> Result<bool, DatabaseError> {
    const SQL: &str = "UPDATE staging SET abandoned = true WHERE import = $1 RETURNING import";
    client.batch_execute("BEGIN").await?;
    hold_import(client).await?;
    let is_staged = !query(client, SQL, &[&signed(import.0)]).await?.is_empty();
    client.batch_execute("COMMIT").await?;
    Ok(is_staged)
}

/// Removes some of what an abandoned import staged, after a key; none: the first. Returns the last key that
/// was removed, none if nothing is left.
pub(super) async fn remove(
    client: &Object,
    import: ImportNumber,
    after: &str,
    identifiers: bool,
) -> Result<Option<String>, DatabaseError> {
    const DEVICES: &str = "
        WITH gone AS (DELETE FROM device WHERE id IN
            (SELECT id FROM device WHERE id > $1 AND import = $2 ORDER BY id LIMIT $3)
            RETURNING id)
        SELECT max(id) FROM gone";
    const IDENTIFIERS: &str = "
        WITH gone AS (DELETE FROM identifier WHERE identifier IN
            (SELECT identifier FROM identifier WHERE identifier > $1 AND import = $2
             ORDER BY identifier LIMIT $3)
            RETURNING identifier)
        SELECT max(identifier) FROM gone";
    let sql = if identifiers { IDENTIFIERS } else { DEVICES };
    let rows = query(client, sql, &[&after, &signed(import.0), &REMOVED]).await?;
    Ok(rows.first().map_or(Ok(None), |row| column(row, 0))?)
}

/// Ends an abandoned import of which nothing is left.
pub(super) async fn removed(client: &Object, import: ImportNumber) -> Result<(), DatabaseError> {
    const SQL: &str = "UPDATE staging SET import = NULL WHERE import = $1 AND abandoned";
    query(client, SQL, &[&signed(import.0)]).await.map(|_| ())
}
