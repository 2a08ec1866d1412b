//! Begins issuances that have conditions, in one transaction for a batch.
//!
//! It first locks what the conditions are about: devices, tokens, keys. So of two nodes one evaluates them after
//! the other has committed. No two requests of a batch are about the same.

use super::{
    super::{Error, Intent, Token, Unmet, registry::KnownFacts},
    change::Begin,
    database::DatabaseError,
    devices, issuances,
    row::{column, query, seconds},
    tokens,
};
use crate::types::{DeviceId, Serial};
use deadpool_postgres::Object;
use std::collections::{HashMap, HashSet};

/// The outcome of a request.
#[derive(Clone)]
pub(super) enum Admission {
    /// It is begun.
    New,
    /// It is a retry, or became one: of which issuance is not known yet.
    Retry,
    /// Its conditions do not hold.
    Unmet(Unmet),
    /// It cannot be begun.
    Failed(Error),
}

/// The locks of a request.
pub(super) fn locks(begin: &Begin) -> HashSet<i64> {
    let intent = &begin.intent;
    let mut locks = HashSet::new();
    locks.extend(intent.device.as_ref().map(|id| devices::lock_of("device", id)));
    locks.extend(
        begin.conditions.register.as_ref().map(|device| devices::lock_of("device", &device.id)),
    );
    locks.extend(intent.token.map(|id| devices::lock_of("token", id)));
    if begin.conditions.own_key {
        let key = base16ct::lower::encode_string(&intent.spki_sha256);
        locks.insert(devices::lock_of("key", key));
    }
    locks
}

/// Begins issuances. No two of them have a lock, a key or a serial number in common.
pub(super) async fn begin_bound(
    client: &Object,
    asked: &[&Begin],
) -> Result<Vec<Admission>, DatabaseError> {
    client.batch_execute("BEGIN").await?;
    if asked.iter().any(|begin| begin.conditions.register.is_some()) {
        devices::share_import(client).await?;
    }
    devices::lock(client, asked.iter().flat_map(|begin| locks(begin)).collect()).await?;

    let mut answers: Vec<Option<Admission>> = vec![None; asked.len()];
    let first = issuances::requests(client, asked).await?;
    let serials: Vec<&[u8]> = asked.iter().map(|begin| begin.row.serial.as_slice()).collect();
    let taken = issuances::find(client, &serials).await?;
    for (begin, answer) in asked.iter().zip(&mut answers) {
        let intent = &begin.intent;
        let retried = first.get(&intent.idempotency_key);
        if retried.is_some_and(|first| intent.begun < first.intent.retry_until) {
            // Its own record is found there, too, after an attempt that seemed to fail.
            *answer = Some(Admission::Retry);
        } else if let Some(found) = taken.get(begin.row.serial.as_slice()) {
            let is_own = found.as_ref().is_ok_and(|found| begin.is_own(found));
            *answer = Some(match is_own {
                true => Admission::New,
                false => Admission::Failed(Error::SerialTaken(intent.serial.clone())),
            });
        }
    }

    let mut consumed: HashMap<Serial, Token> = HashMap::new();
    let mut facts = facts(client, asked).await?.into_iter();
    for (begin, answer) in asked.iter().zip(&mut answers) {
        let facts = facts.next().unwrap_or_default();
        if answer.is_some() {
            continue;
        }
        let effects = match begin.conditions.evaluate(&begin.intent, facts) {
            Ok(effects) => effects,
            Err(unmet) => {
                *answer = Some(Admission::Unmet(unmet));
                continue;
            }
        };
        if let Some(device) = effects.device {
            match devices::put_device(client, None, &device).await {
                Err(DatabaseError::Store(error)) => {
                    *answer = Some(Admission::Failed(error));
                    continue;
                }
                put => put?,
            }
        }
        if let Some(token) = effects.token {
            consumed.insert(begin.intent.serial.clone(), token);
        }
    }

    let open = asked.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
    let passed: Vec<&Begin> = open.map(|(begin, _)| *begin).collect();
    let mut begun = HashSet::new();
    if !passed.is_empty() {
        begun = issuances::begin(client, &passed).await?;
    }
    consumed.retain(|serial, _| begun.contains(serial.as_bytes()));
    let consumed: Vec<Token> = consumed.into_values().collect();
    tokens::consume(client, &consumed).await?;
    client.batch_execute("COMMIT").await?;
    let answer = |(begin, answer): (&&Begin, Option<Admission>)| {
        answer.unwrap_or_else(|| match begun.contains(&begin.row.serial) {
            true => Admission::New,
            false => Admission::Retry,
        })
    };
    Ok(asked.iter().zip(answers).map(answer).collect())
}

/// Reads what the conditions are about, for each request.
async fn facts(client: &Object, asked: &[&Begin]) -> Result<Vec<KnownFacts>, DatabaseError> {
    let ids: Vec<&str> =
        asked.iter().filter_map(|one| one.intent.device.as_ref().map(DeviceId::as_str)).collect();
    let devices = match ids.is_empty() {
        true => HashMap::new(),
        false => devices::find_devices(client, &ids).await?,
    };
    let ids: Vec<_> = asked.iter().filter_map(|one| one.intent.token).collect();
    let tokens = match ids.is_empty() {
        true => HashMap::new(),
        false => tokens::find_tokens(client, &ids).await?,
    };
    let device = |intent: &Intent| intent.device.as_ref().and_then(|id| devices.get(id));
    let counted: Vec<usize> = (0_usize..)
        .zip(asked)
        .filter(|(_, one)| {
            let device = device(&one.intent).or(one.conditions.register.as_ref());
            one.intent.device.is_some() && one.conditions.quota(device).is_some()
        })
        .map(|(number, _)| number)
        .collect();
    let valid = valid(client, asked, &counted).await?;
    let owned: Vec<usize> = (0_usize..)
        .zip(asked)
        .filter(|(_, one)| one.conditions.own_key)
        .map(|(number, _)| number)
        .collect();
    let mut others = others(client, asked, &owned).await?;
    Ok((0_usize..)
        .zip(asked)
        .map(|(number, one)| KnownFacts {
            token: one.intent.token.and_then(|id| tokens.get(&id)).cloned(),
            device: device(&one.intent).cloned(),
            valid: valid.get(&number).copied().unwrap_or_default(),
            other: others.remove(&number),
        })
        .collect())
}

/// The requests with these numbers.
fn numbered<'a>(
    asked: &'a [&'a Begin],
    numbers: &'a [usize],
) -> impl Iterator<Item = (i64, &'a Begin)> {
    numbers.iter().filter_map(|number| {
        Some((i64::try_from(*number).unwrap_or(i64::MAX), *asked.get(*number)?))
    })
}

fn number(row: &tokio_postgres::Row) -> Result<usize, Error> {
    Ok(usize::try_from(column::<i64>(row, 0)?).unwrap_or(usize::MAX))
}

/// Counts the certificates that the quotas of these requests count.
async fn valid(
    client: &Object,
    asked: &[&Begin],
    numbers: &[usize],
) -> Result<HashMap<usize, u32>, DatabaseError> {
    const SQL: &str = "
        SELECT a.n, count(i.serial)
        FROM unnest($1::int8[], $2::text[], $3::int8[], $4::bytea[], $5::bytea[])
            AS a (n, device, at, predecessor, lost)
        JOIN issuance i ON i.device = a.device AND i.state IN (1, 2) AND i.not_after >= a.at
            AND i.serial IS DISTINCT FROM a.predecessor AND i.serial IS DISTINCT FROM a.lost
            AND NOT EXISTS
                (SELECT FROM issuance s WHERE s.predecessor = i.serial AND s.state <> 3)
        GROUP BY a.n";
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let all = || numbered(asked, numbers);
    let devices: Vec<Option<&str>> =
        all().map(|(_, one)| one.intent.device.as_ref().map(DeviceId::as_str)).collect();
    let predecessors: Vec<Option<&[u8]>> =
        all().map(|(_, one)| one.intent.predecessor.as_ref().map(Serial::as_bytes)).collect();
    let lost: Vec<Option<&[u8]>> =
        all().map(|(_, one)| one.conditions.lost.as_ref().map(Serial::as_bytes)).collect();
    let rows = query(
        client,
        SQL,
        &[
            &all().map(|(number, _)| number).collect::<Vec<_>>(),
            &devices,
            &all().map(|(_, one)| seconds(one.intent.begun)).collect::<Vec<_>>(),
            &predecessors,
            &lost,
        ],
    )
    .await?;
    let counted = |row| {
        let count = u32::try_from(column::<i64>(row, 1)?).unwrap_or(u32::MAX);
        Ok((number(row)?, count))
    };
    Ok(rows.iter().map(counted).collect::<Result<_, Error>>()?)
}

/// Finds certificates of the requests' keys that belong to other devices.
async fn others(
    client: &Object,
    asked: &[&Begin],
    numbers: &[usize],
) -> Result<HashMap<usize, (Option<DeviceId>, Serial)>, DatabaseError> {
    const SQL: &str = "
        SELECT DISTINCT ON (a.n) a.n, i.device, i.serial
        FROM unnest($1::int8[], $2::bytea[], $3::text[], $4::bytea[])
            AS a (n, spki, device, predecessor)
        JOIN issuance i ON i.spki = a.spki AND i.state <> 3
            AND i.device IS DISTINCT FROM a.device
        WHERE i.device IS NOT NULL OR NOT EXISTS
            (SELECT FROM issuance p
             WHERE p.serial = a.predecessor AND p.spki = a.spki AND p.device IS NULL)
        ORDER BY a.n, i.serial";
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let all = || numbered(asked, numbers);
    let devices: Vec<Option<&str>> =
        all().map(|(_, one)| one.intent.device.as_ref().map(DeviceId::as_str)).collect();
    let predecessors: Vec<Option<&[u8]>> =
        all().map(|(_, one)| one.intent.predecessor.as_ref().map(Serial::as_bytes)).collect();
    let rows = query(
        client,
        SQL,
        &[
            &all().map(|(number, _)| number).collect::<Vec<_>>(),
            &all().map(|(_, one)| one.row.spki.as_slice()).collect::<Vec<_>>(),
            &devices,
            &predecessors,
        ],
    )
    .await?;
    let corrupt = |error: String| Error::Corrupt(error);
    let found = |row| {
        let device: Option<&str> = column(row, 1)?;
        let device = device.map(|id| id.parse::<DeviceId>()).transpose();
        let serial = Serial::parse(column(row, 2)?).map_err(|error| corrupt(error.to_string()))?;
        Ok((number(row)?, (device.map_err(|error| corrupt(error.to_string()))?, serial)))
    };
    Ok(rows.iter().map(found).collect::<Result<_, Error>>()?)
}
