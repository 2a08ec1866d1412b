//! Reads and writes rows of the tables, and converts their columns.

use super::{
    super::{Error, Intent, Issuance, Revocation, State, format},
    database::DatabaseError,
};
use crate::types::{RevocationReason, Time};
use deadpool_postgres::Object;
use std::sync::Arc;
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};

const OPEN: i16 = 1;
const ISSUED: i16 = 2;
const VOID: i16 = 3;
const REVOKED: i16 = 4;

/// The columns that [`to_issuance`] reads.
pub(super) const ISSUANCE: &str =
    "i.serial, i.state, i.intent, i.tbs, i.certificate, i.ended, i.revoked, i.reason";

/// PostgreSQL has no unsigned numbers: larger ones become the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn seconds(time: Time) -> i64 {
    signed(time.unix())
}

fn time(seconds: i64) -> Time {
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

/// Runs a statement, which is prepared once for each connection.
pub(super) async fn query(
    client: &Object,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, DatabaseError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, parameters).await?)
}

/// Reads a column.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(|error| Error::Corrupt(error.to_string()))
}

/// The columns of an intent.
pub(super) struct IntentRow {
    pub(super) serial: Vec<u8>,
    pub(super) idempotency_key: [u8; 32],
    pub(super) begun: i64,
    pub(super) retry_until: i64,
    pub(super) not_after: i64,
    pub(super) label: Option<String>,
    pub(super) names: Vec<u8>,
    pub(super) device: Option<String>,
    pub(super) spki: [u8; 32],
    pub(super) predecessor: Option<Vec<u8>>,
    pub(super) intent: Vec<u8>,
    pub(super) tbs: Arc<[u8]>,
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
            device: intent.device.as_ref().map(ToString::to_string),
            spki: intent.spki_sha256,
            predecessor: intent.predecessor.as_ref().map(|serial| serial.as_bytes().to_vec()),
            intent: format::intent_without_tbs(intent)?,
            tbs: intent.tbs.clone(),
        })
    }
}

/// The text in which [`super::super::Filter::subject`] is searched: a line for each name. Bytes,
/// because text of PostgreSQL cannot contain a zero, and names from a CSR may.
fn names(intent: &Intent) -> Vec<u8> {
    let mut names = searchable(&intent.subject);
    for entry in &intent.san {
        names.push(b'\n');
        names.extend(searchable(entry));
    }
    names
}

pub(super) fn searchable(text: &str) -> Vec<u8> {
    text.to_ascii_lowercase().replace('\n', " ").into_bytes()
}

/// Converts the columns of [`ISSUANCE`].
pub(super) fn to_issuance(row: &Row) -> Result<Arc<Issuance>, Error> {
    let state = match column(row, 1)? {
        OPEN => State::Open,
        ISSUED => State::Issued,
        VOID => State::Void,
        REVOKED => State::Revoked,
        other => return Err(Error::Corrupt(format!("an issuance of state {other}"))),
    };
    let mut intent = format::read_intent(column(row, 2)?)?;
    intent.tbs = column::<Option<&[u8]>>(row, 3)?.unwrap_or_default().into();
    let revocation = match (state, column(row, 6)?, column::<Option<i16>>(row, 7)?) {
        (State::Revoked, Some(at), Some(reason)) => Some(Revocation {
            at: time(at),
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
        ended: column::<Option<i64>>(row, 5)?.map(time),
        revocation,
    }))
}
