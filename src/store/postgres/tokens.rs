//! Statements on one-time tokens.

use super::{
    super::{Error, Token, TokenFilter, format},
    database::DatabaseError,
    row::{column, query, seconds},
};
use crate::types::{Serial, Time, TokenId};
use deadpool_postgres::Object;
use std::collections::HashMap;
use tokio_postgres::Row;

/// The columns that [`to_token`] reads.
const TOKEN: &str = "record, disabled, consumed_by, reissued";

fn to_token(row: &Row) -> Result<Token, Error> {
    let consumed_by: Option<&[u8]> = column(row, 2)?;
    Ok(Token {
        disabled: column(row, 1)?,
        consumed_by: consumed_by
            .map(Serial::parse)
            .transpose()
            .map_err(|error| Error::Corrupt(error.to_string()))?,
        reissued: column(row, 3)?,
        ..format::read_record("a token", column(row, 0)?)?
    })
}

/// Adds tokens. Returns how many were not there before.
pub(super) async fn add(client: &Object, tokens: &[Token]) -> Result<usize, DatabaseError> {
    const SQL: &str = "
        INSERT INTO token (id, label, device, expires, disabled, consumed_by, reissued, record)
        SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::int8[], $5::bool[],
                             $6::bytea[], $7::bool[], $8::bytea[])
        ON CONFLICT DO NOTHING RETURNING id";
    let ids: Vec<&[u8]> = tokens.iter().map(|token| &token.id.0[..]).collect();
    let labels: Vec<Option<&str>> =
        tokens.iter().map(|token| token.label.as_ref().map(|label| label.as_str())).collect();
    let devices: Vec<Option<&str>> =
        tokens.iter().map(|token| token.device().map(|id| id.as_str())).collect();
    let expires: Vec<i64> = tokens.iter().map(|token| seconds(token.expires)).collect();
    let disabled: Vec<bool> = tokens.iter().map(|token| token.disabled).collect();
    let consumed: Vec<Option<&[u8]>> =
        tokens.iter().map(|token| token.consumed_by.as_ref().map(Serial::as_bytes)).collect();
    let reissued: Vec<bool> = tokens.iter().map(|token| token.reissued).collect();
    let records: Vec<Vec<u8>> = tokens.iter().map(format::record).collect::<Result<_, _>>()?;
    let rows = query(
        client,
        SQL,
        &[&ids, &labels, &devices, &expires, &disabled, &consumed, &reissued, &records],
    )
    .await?;
    Ok(rows.len())
}

/// Finds tokens by their ids.
pub(super) async fn find_tokens(
    client: &Object,
    ids: &[TokenId],
) -> Result<HashMap<TokenId, Token>, DatabaseError> {
    let sql = format!("SELECT {TOKEN} FROM token WHERE id = ANY($1::bytea[])");
    let ids: Vec<&[u8]> = ids.iter().map(|id| &id.0[..]).collect();
    let rows = query(client, &sql, &[&ids]).await?;
    let found = rows.iter().map(|row| to_token(row).map(|token| (token.id, token)));
    Ok(found.collect::<Result<_, _>>()?)
}

/// Lists tokens in the order of their ids.
pub(super) async fn list_tokens(
    client: &Object,
    filter: &TokenFilter,
    after: Option<&TokenId>,
    limit: usize,
) -> Result<Vec<Token>, DatabaseError> {
    let sql = format!(
        "SELECT {TOKEN} FROM token
         WHERE id > $1 AND (NOT $2 OR label IS NOT DISTINCT FROM $3)
             AND ($4::text IS NULL OR device = $4)
             AND ($5::int8 IS NULL OR (NOT disabled AND consumed_by IS NULL AND expires > $5))
         ORDER BY id LIMIT $6"
    );
    let after: &[u8] = after.map_or(&[], |id| &id.0);
    let label = filter.label.as_ref().and_then(|label| label.as_ref()).map(|one| one.as_str());
    let device = filter.device.as_ref().map(|id| id.as_str());
    let usable = filter.usable.map(seconds);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        query(client, &sql, &[&after, &filter.label.is_some(), &label, &device, &usable, &limit])
            .await?;
    Ok(rows.iter().map(to_token).collect::<Result<_, _>>()?)
}

/// Writes the use of tokens that no statement changed since they were read. Their locks keep other begins
/// away, but not [`disable_all`].
///
/// # Errors
/// [`DatabaseError::Lost`] if one was disabled: the next attempt sees it.
pub(super) async fn consume(client: &Object, tokens: &[Token]) -> Result<(), DatabaseError> {
    const SQL: &str = "
        UPDATE token t SET consumed_by = a.serial, reissued = a.reissued
        FROM unnest($1::bytea[], $2::bytea[], $3::bool[]) AS a (id, serial, reissued)
        WHERE t.id = a.id AND NOT t.disabled
        RETURNING t.id";
    if tokens.is_empty() {
        return Ok(());
    }
    let ids: Vec<&[u8]> = tokens.iter().map(|token| &token.id.0[..]).collect();
    let serials: Vec<Option<&[u8]>> =
        tokens.iter().map(|token| token.consumed_by.as_ref().map(Serial::as_bytes)).collect();
    let reissued: Vec<bool> = tokens.iter().map(|token| token.reissued).collect();
    let rows = query(client, SQL, &[&ids, &serials, &reissued]).await?;
    if rows.len() == tokens.len() {
        return Ok(());
    }
    Err(DatabaseError::Lost("a token was disabled at once".to_owned()))
}

/// Disables a token. Returns whether it was enabled; none if there is no such token.
pub(super) async fn disable(client: &Object, id: &TokenId) -> Result<Option<bool>, DatabaseError> {
    const SQL: &str =
        "UPDATE token SET disabled = true WHERE id = $1 AND NOT disabled RETURNING id";
    let id: &[u8] = &id.0;
    if !query(client, SQL, &[&id]).await?.is_empty() {
        return Ok(Some(true));
    }
    let found = query(client, "SELECT FROM token WHERE id = $1", &[&id]).await?;
    Ok((!found.is_empty()).then_some(false))
}

/// Disables all tokens that have not ended at this time, used or not. Returns their number.
pub(super) async fn disable_all(client: &Object, at: Time) -> Result<u64, DatabaseError> {
    const SQL: &str = "
        UPDATE token SET disabled = true WHERE NOT disabled AND expires > $1 RETURNING id";
    Ok(query(client, SQL, &[&seconds(at)]).await?.len() as u64)
}
