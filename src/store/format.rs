//! The stored form: one byte of version, then postcard.
//!
//! serde writes the records themselves (`record.rs`, with the forms of single
//! values in `types/form.rs`). A version that is no longer written has a file of its own here, with types
//! that may not change: [`v1`].

mod v1;

use super::{Account, Error, IdempotencyKey, Intent, Issuance};
use crate::{
    telemetry::audit::Event,
    types::{Serial, Time},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt::Display;

/// The version that is written.
pub(super) const VERSION: u8 = 3;

/// The version of the folder's layout number, which every version of estd must read.
const FOLDER: u8 = 1;

/// The reason why a value that postcard could read is invalid.
type FormatError = String;

fn text(error: impl Display) -> FormatError {
    error.to_string()
}

/// A request that has its certificate, as stored for its retries.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recent {
    pub(super) idempotency_key: IdempotencyKey,
    pub(super) serial: Serial,
    pub(super) retry_until: Time,
}

fn encode(value: &(impl Serialize + ?Sized), start: Vec<u8>) -> Result<Vec<u8>, Error> {
    postcard::to_extend(value, start)
        .map_err(|error| Error::Unavailable(format!("a record cannot be encoded: {error}")))
}

/// Encodes a value, with its version.
fn versioned(value: &impl Serialize, size: usize) -> Result<Vec<u8>, Error> {
    let mut start = Vec::with_capacity(size);
    start.push(VERSION);
    encode(value, start)
}

/// Encodes a record whose first version is the present one.
pub(super) fn record(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    versioned(value, 256)
}

/// Encodes it as an item of a page.
pub(super) fn record_item(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    encode(value, Vec::with_capacity(64))
}

/// Encodes an ended issuance.
pub(super) fn issuance(issuance: &Issuance) -> Result<Vec<u8>, Error> {
    versioned(issuance, issuance.certificate.len() + 512)
}

/// Encodes an account.
pub(super) fn account(account: &Account) -> Result<Vec<u8>, Error> {
    versioned(account, 256)
}

/// Encodes the version of the folder as a whole.
pub(super) fn folder_version(version: u32) -> Result<Vec<u8>, Error> {
    encode(&version, vec![FOLDER])
}

/// Encodes an open issuance as an item of a page.
pub(super) fn intent_item(intent: &Intent) -> Result<Vec<u8>, Error> {
    encode(intent, Vec::with_capacity(intent.tbs.len() + 512))
}

/// Encodes an intent as a value, but without `tbs`, which has a column.
pub(super) fn intent_without_tbs(intent: &Intent) -> Result<Vec<u8>, Error> {
    versioned(&intent.without_tbs(), 512)
}

/// Encodes an event as a value.
pub(super) fn event(event: &Event) -> Result<Vec<u8>, Error> {
    versioned(event, 256)
}

/// Encodes an event as an item of a page.
pub(super) fn event_item(event: &Event) -> Result<Vec<u8>, Error> {
    encode(event, Vec::with_capacity(256))
}

/// Encodes a request that has its certificate as an item of a page.
pub(super) fn recent_item(intent: &Intent) -> Result<Vec<u8>, Error> {
    let stored = Recent {
        idempotency_key: intent.idempotency_key,
        serial: intent.serial.clone(),
        retry_until: intent.retry_until,
    };
    encode(&stored, Vec::with_capacity(64))
}

/// Encodes a page of `count` items, whose encodings `items` concatenates, as postcard encodes a
/// sequence.
pub(super) fn page(count: u64, items: &[u8]) -> Result<Vec<u8>, Error> {
    let mut page = versioned(&count, items.len() + 11)?;
    page.extend_from_slice(items);
    Ok(page)
}

/// Decodes a whole value.
fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, FormatError> {
    match postcard::take_from_bytes::<T>(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, more)) => Err(format!("{} bytes too many", more.len())),
        Err(error) => Err(text(error)),
    }
}

/// Reads a value by its version; `by_version` returns none for one that it does not know.
fn read<'a, T>(
    what: &str,
    bytes: &'a [u8],
    by_version: impl FnOnce(u8, &'a [u8]) -> Option<Result<T, FormatError>>,
) -> Result<T, Error> {
    let corrupt =
        |error: &str| Error::Corrupt(format!("{what}: {error}; restore the store from a backup"));
    let Some((version, rest)) = bytes.split_first() else { return Err(corrupt("an empty value")) };
    let value = by_version(*version, rest).ok_or_else(|| {
        Error::Corrupt(format!(
            "{what} has format {version}, and this estd reads formats up to {VERSION}: run the \
             version of estd that wrote it, or a later one"
        ))
    })?;
    value.map_err(|error| corrupt(&error))
}

/// Reads a value of the version that is written, or of version 1.
fn read_as<'a, T: Deserialize<'a>, Old: Deserialize<'a>>(
    what: &str,
    bytes: &'a [u8],
    of_old: impl FnOnce(Old) -> Result<T, FormatError>,
) -> Result<T, Error> {
    read(what, bytes, |version, rest| match version {
        VERSION => Some(decode(rest)),
        v1::VERSION => Some(decode(rest).and_then(of_old)),
        _ => None,
    })
}

/// Reads a page.
fn read_page<'a, T: Deserialize<'a>, Old: Deserialize<'a>>(
    what: &str,
    bytes: &'a [u8],
    of_old: impl Fn(Old) -> Result<T, FormatError>,
) -> Result<Vec<T>, Error> {
    read_as(what, bytes, |items: Vec<Old>| items.into_iter().map(of_old).collect())
}

/// Reads a record whose first version is the present one, or a page of such.
pub(super) fn read_record<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    read(what, bytes, |version, rest| (version == VERSION).then(|| decode(rest)))
}

/// Reads an ended issuance.
pub(super) fn read_issuance(bytes: &[u8]) -> Result<Issuance, Error> {
    read("an issuance", bytes, |version, rest| match version {
        VERSION => Some(decode(rest).and_then(Issuance::checked)),
        v1::VERSION => Some(decode(rest).and_then(|old: v1::IssuanceV1<'_>| old.read(None))),
        v1::REVOKED => Some(decode(rest).and_then(v1::IssuanceV2::read)),
        _ => None,
    })
}

/// Reads an account.
pub(super) fn read_account(bytes: &[u8]) -> Result<Account, Error> {
    read_as("an account", bytes, v1::AccountV1::read)
}

/// Reads the version of the folder as a whole.
pub(super) fn read_folder_version(bytes: &[u8]) -> Result<u32, Error> {
    read("the folder's version", bytes, |version, rest| (version == FOLDER).then(|| decode(rest)))
}

/// Reads a page of the journal of open issuances.
pub(super) fn read_intents(bytes: &[u8]) -> Result<Vec<Intent>, Error> {
    read_page("a page of open issuances", bytes, v1::IntentV1::read)
}

/// Reads an intent that is a value.
pub(super) fn read_intent(bytes: &[u8]) -> Result<Intent, Error> {
    read_as("an intent", bytes, v1::IntentV1::read)
}

/// Reads an event that is a value.
pub(super) fn read_event(bytes: &[u8]) -> Result<Event, Error> {
    read_as("an event", bytes, v1::EventV1::read)
}

/// Reads a page of events.
pub(super) fn read_events(bytes: &[u8]) -> Result<Vec<Event>, Error> {
    read_page("a page of events", bytes, v1::EventV1::read)
}

/// Reads a page of recent requests.
pub(super) fn read_recent(bytes: &[u8]) -> Result<Vec<Recent>, Error> {
    read_page("a page of recent requests", bytes, v1::RecentV1::read)
}
