//! The stored form: one byte of version, then postcard.
//!
//! The types here belong to one version: records of the store may change, these may not. Enums are
//! stored as numbers assigned here. serde would store the position of a variant, which changes when
//! another is inserted. Another version gets types of its own beside these; testdata/store/sled-v1
//! proves that version 1 stays readable.
//!
//! Version 2 is that of a revoked certificate's record. All others are written in version 1, so
//! that an older estd reads what it knows, and rejects a revoked record instead of taking it for
//! valid.

use super::{Account, Error, IdempotencyKey, Intent, Issuance, Password, Revocation, State};
use crate::{
    telemetry::audit::{Event, Name},
    types::{
        Actor, AuthMethod, Label, Operation, RequestId, RevocationReason, Serial, Time, TrustClass,
    },
};
use serde::{Deserialize, Serialize, Serializer, de::IntoDeserializer};
use std::fmt::Display;

/// The version of all records that are not revoked.
pub(super) const VERSION: u8 = 1;

/// The version of a revoked certificate's record.
const REVOKED: u8 = 2;

macro_rules! numbers {
    ($number:ident, $value:ident, $type:ty, $($code:literal => $variant:pat => $make:expr),+ $(,)?) => {
        const fn $number(value: $type) -> u8 {
            match value { $($variant => $code),+ }
        }

        pub(super) fn $value(number: u8) -> Result<$type, String> {
            match number {
                $($code => Ok($make),)+
                _ => Err(format!(concat!("unknown ", stringify!($type), " {}"), number)),
            }
        }
    };
}

// A number is never reused. A new variant fails to compile until it has one.
numbers!(name_number, name_of, Name,
    1 => Name::AccountAdded => Name::AccountAdded,
    2 => Name::AccountRemoved => Name::AccountRemoved,
    3 => Name::CaCreated => Name::CaCreated,
    4 => Name::CertificateIssued => Name::CertificateIssued,
    5 => Name::IssuanceVoided => Name::IssuanceVoided,
    6 => Name::EnrollmentRetried => Name::EnrollmentRetried,
    7 => Name::EnrollmentRejected => Name::EnrollmentRejected,
    8 => Name::ServerReloaded => Name::ServerReloaded,
    9 => Name::ServerReloadRejected => Name::ServerReloadRejected,
    10 => Name::ServerStarted => Name::ServerStarted,
    11 => Name::ServerStopped => Name::ServerStopped,
    12 => Name::RequestRejected => Name::RequestRejected,
    13 => Name::CertificateRevoked => Name::CertificateRevoked,
    14 => Name::RequestSummary => Name::RequestSummary,
    15 => Name::AuditIncomplete => Name::AuditIncomplete,
    16 => Name::CertificateUnknown => Name::CertificateUnknown,
);
numbers!(operation_number, operation_of, Operation,
    1 => Operation::CaCerts => Operation::CaCerts,
    2 => Operation::SimpleEnroll => Operation::SimpleEnroll,
    3 => Operation::SimpleReenroll => Operation::SimpleReenroll,
    4 => Operation::FullCmc => Operation::FullCmc,
    5 => Operation::ServerKeyGen => Operation::ServerKeyGen,
    6 => Operation::CsrAttrs => Operation::CsrAttrs,
);
numbers!(state_number, state_of, State,
    1 => State::Open => State::Open,
    2 => State::Issued => State::Issued,
    3 => State::Void => State::Void,
    4 => State::Revoked => State::Revoked,
);
numbers!(method_number, method_of, AuthMethod,
    1 => AuthMethod::Anonymous => AuthMethod::Anonymous,
    2 => AuthMethod::Password => AuthMethod::Password,
    3 => AuthMethod::Certificate(TrustClass::Explicit) => AuthMethod::Certificate(TrustClass::Explicit),
    4 => AuthMethod::Certificate(TrustClass::Implicit) => AuthMethod::Certificate(TrustClass::Implicit),
    5 => AuthMethod::CertificateAndPassword(TrustClass::Explicit)
        => AuthMethod::CertificateAndPassword(TrustClass::Explicit),
    6 => AuthMethod::CertificateAndPassword(TrustClass::Implicit)
        => AuthMethod::CertificateAndPassword(TrustClass::Implicit),
    7 => AuthMethod::Operator => AuthMethod::Operator,
    8 => AuthMethod::Server => AuthMethod::Server,
);

/// Returns the value with this text, of those that have a number.
pub(super) fn by_text<T>(
    text: &str,
    of: fn(u8) -> Result<T, String>,
    shown: fn(&T) -> String,
) -> Result<T, String> {
    let mut known = (1..=u8::MAX).filter_map(|number| of(number).ok());
    known.find(|value| shown(value) == text).ok_or_else(|| format!("unknown: {text:?}"))
}

/// Writes bytes in one copy; serde's own form of a slice writes each byte alone. The result is
/// equal.
fn bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

#[derive(Serialize, Deserialize)]
struct ActorV1<'a> {
    name: &'a str,
    method: u8,
}

#[derive(Serialize, Deserialize)]
struct IntentV1<'a> {
    #[serde(serialize_with = "bytes")]
    serial: &'a [u8],
    idempotency_key: [u8; 32],
    retry_until: u64,
    #[serde(serialize_with = "bytes")]
    tbs: &'a [u8],
    ca: &'a str,
    profile: &'a str,
    label: Option<&'a str>,
    operation: Option<u8>,
    subject: &'a str,
    #[serde(borrow)]
    san: Vec<&'a str>,
    spki_sha256: [u8; 32],
    not_before: u64,
    not_after: u64,
    actor: ActorV1<'a>,
    predecessor: Option<&'a [u8]>,
    request_id: &'a str,
    begun: u64,
}

#[derive(Serialize, Deserialize)]
struct IssuanceV1<'a> {
    #[serde(borrow)]
    intent: IntentV1<'a>,
    state: u8,
    #[serde(serialize_with = "bytes")]
    certificate: &'a [u8],
    ended: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct IssuanceV2<'a> {
    #[serde(borrow)]
    issuance: IssuanceV1<'a>,
    revoked: u64,
    reason: u8,
}

#[derive(Serialize, Deserialize)]
struct AccountV1<'a> {
    name: &'a str,
    /// The text of a [`Password`]; the first versions wrote only hashes.
    password: &'a str,
    added: u64,
    #[serde(borrow)]
    labels: Option<Vec<&'a str>>,
}

#[derive(Serialize, Deserialize)]
struct EventV1<'a> {
    at: u64,
    name: u8,
    #[serde(borrow)]
    actor: ActorV1<'a>,
    request_id: Option<&'a str>,
    details: Vec<(&'a str, &'a str)>,
}

#[derive(Serialize, Deserialize)]
struct RecentV1<'a> {
    idempotency_key: [u8; 32],
    #[serde(serialize_with = "bytes")]
    serial: &'a [u8],
    retry_until: u64,
}

impl<'a> From<&'a Actor> for ActorV1<'a> {
    fn from(actor: &'a Actor) -> Self {
        Self { name: &actor.name, method: method_number(actor.method) }
    }
}

impl<'a> From<&'a Intent> for IntentV1<'a> {
    fn from(intent: &'a Intent) -> Self {
        Self {
            serial: intent.serial.as_bytes(),
            idempotency_key: intent.idempotency_key.0,
            retry_until: intent.retry_until.unix(),
            tbs: &intent.tbs,
            ca: intent.ca.as_str(),
            profile: intent.profile.as_str(),
            label: intent.label.as_ref().map(Label::as_str),
            operation: intent.operation.map(operation_number),
            subject: &intent.subject,
            san: intent.san.iter().map(String::as_str).collect(),
            spki_sha256: intent.spki_sha256,
            not_before: intent.not_before.unix(),
            not_after: intent.not_after.unix(),
            actor: (&intent.actor).into(),
            predecessor: intent.predecessor.as_ref().map(Serial::as_bytes),
            request_id: intent.request_id.as_str(),
            begun: intent.begun.unix(),
        }
    }
}

/// The reason why a value that postcard could read is invalid.
type FormatError = String;

fn text(error: impl Display) -> FormatError {
    error.to_string()
}

impl ActorV1<'_> {
    fn read(self) -> Result<Actor, FormatError> {
        Ok(Actor { name: self.name.to_owned(), method: method_of(self.method)? })
    }
}

fn request_id(id: &str) -> Result<RequestId, FormatError> {
    RequestId::deserialize(id.into_deserializer())
        .map_err(|error: serde::de::value::Error| text(error))
}

impl IntentV1<'_> {
    fn read(self) -> Result<Intent, FormatError> {
        Ok(Intent {
            serial: Serial::parse(self.serial).map_err(text)?,
            idempotency_key: IdempotencyKey(self.idempotency_key),
            retry_until: Time::from_unix(self.retry_until),
            tbs: self.tbs.to_vec(),
            ca: self.ca.parse().map_err(text)?,
            profile: self.profile.parse().map_err(text)?,
            label: self.label.map(str::parse).transpose().map_err(text)?,
            operation: self.operation.map(operation_of).transpose()?,
            subject: self.subject.to_owned(),
            san: self.san.into_iter().map(str::to_owned).collect(),
            spki_sha256: self.spki_sha256,
            not_before: Time::from_unix(self.not_before),
            not_after: Time::from_unix(self.not_after),
            actor: self.actor.read()?,
            predecessor: self.predecessor.map(Serial::parse).transpose().map_err(text)?,
            request_id: request_id(self.request_id)?,
            begun: Time::from_unix(self.begun),
        })
    }
}

impl IssuanceV1<'_> {
    fn read(self, revocation: Option<Revocation>) -> Result<Issuance, FormatError> {
        let state = state_of(self.state)?;
        if (state == State::Revoked) != revocation.is_some() {
            return Err(format!("it is {state} and says otherwise of its revocation"));
        }
        Ok(Issuance {
            intent: self.intent.read()?,
            state,
            certificate: self.certificate.to_vec(),
            ended: self.ended.map(Time::from_unix),
            revocation,
        })
    }
}

impl EventV1<'_> {
    fn read(self) -> Result<Event, FormatError> {
        let details = self.details.into_iter();
        Ok(Event {
            at: Time::from_unix(self.at),
            name: name_of(self.name)?,
            actor: self.actor.read()?,
            request_id: self.request_id.map(request_id).transpose()?,
            details: details.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            stranger: None,
        })
    }
}

/// A request that has its certificate, as stored for its retries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recent {
    pub(super) idempotency_key: IdempotencyKey,
    pub(super) serial: Serial,
    pub(super) retry_until: Time,
}

fn encode(value: &impl Serialize, start: Vec<u8>) -> Result<Vec<u8>, Error> {
    postcard::to_extend(value, start)
        .map_err(|error| Error::Unavailable(format!("a record cannot be encoded: {error}")))
}

/// Encodes an ended issuance, with its version.
pub(super) fn issuance(issuance: &Issuance) -> Result<Vec<u8>, Error> {
    let ended = IssuanceV1 {
        intent: (&issuance.intent).into(),
        state: state_number(issuance.state),
        certificate: &issuance.certificate,
        ended: issuance.ended.map(Time::unix),
    };
    let mut start = Vec::with_capacity(issuance.certificate.len() + 512);
    match issuance.revocation {
        None => {
            start.push(VERSION);
            encode(&ended, start)
        }
        Some(Revocation { at, reason }) => {
            start.push(REVOKED);
            let (revoked, reason) = (at.unix(), reason.code());
            encode(&IssuanceV2 { issuance: ended, revoked, reason }, start)
        }
    }
}

/// Encodes an account, with its version.
pub(super) fn account(account: &Account) -> Result<Vec<u8>, Error> {
    let labels = account.labels.as_ref();
    let password = account.password.text();
    let stored = AccountV1 {
        name: &account.name,
        password: &password,
        added: account.added.unix(),
        labels: labels.map(|labels| labels.iter().map(Label::as_str).collect()),
    };
    encode(&stored, vec![VERSION])
}

/// Encodes the version of the folder as a whole.
pub(super) fn folder_version(version: u32) -> Result<Vec<u8>, Error> {
    encode(&version, vec![VERSION])
}

/// Encodes an open issuance as an item of a page.
pub(super) fn intent_item(intent: &Intent) -> Result<Vec<u8>, Error> {
    encode(&IntentV1::from(intent), Vec::with_capacity(intent.tbs.len() + 512))
}

/// Encodes an intent as a value, with its version, but without `tbs`, which has a column.
pub(super) fn intent_without_tbs(intent: &Intent) -> Result<Vec<u8>, Error> {
    let mut start = Vec::with_capacity(512);
    start.push(VERSION);
    encode(&IntentV1 { tbs: &[], ..intent.into() }, start)
}

/// Encodes an event as a value, with its version.
pub(super) fn event(event: &Event) -> Result<Vec<u8>, Error> {
    encode_event(event, vec![VERSION])
}

/// Encodes an event as an item of a page.
pub(super) fn event_item(event: &Event) -> Result<Vec<u8>, Error> {
    encode_event(event, Vec::with_capacity(256))
}

fn encode_event(event: &Event, start: Vec<u8>) -> Result<Vec<u8>, Error> {
    let details = event.details.iter();
    let stored = EventV1 {
        at: event.at.unix(),
        name: name_number(event.name),
        actor: (&event.actor).into(),
        request_id: event.request_id.as_ref().map(RequestId::as_str),
        details: details.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
    };
    encode(&stored, start)
}

/// Encodes a request that has its certificate as an item of a page.
pub(super) fn recent_item(intent: &Intent) -> Result<Vec<u8>, Error> {
    let stored = RecentV1 {
        idempotency_key: intent.idempotency_key.0,
        serial: intent.serial.as_bytes(),
        retry_until: intent.retry_until.unix(),
    };
    encode(&stored, Vec::with_capacity(64))
}

/// Encodes a page of `count` items, whose encodings `items` concatenates, as postcard encodes a
/// sequence.
pub(super) fn page(count: u64, items: &[u8]) -> Result<Vec<u8>, Error> {
    let mut start = Vec::with_capacity(items.len() + 11);
    start.push(VERSION);
    let mut page = encode(&count, start)?;
    page.extend_from_slice(items);
    Ok(page)
}

/// Reads a value of version 1.
fn decode<'a, T: Deserialize<'a>, R>(
    what: &str,
    bytes: &'a [u8],
    read: impl FnOnce(T) -> Result<R, FormatError>,
) -> Result<R, Error> {
    decode_as(VERSION, what, bytes, read)
}

/// Reads a value if it has this version byte.
fn decode_as<'a, T: Deserialize<'a>, R>(
    version: u8,
    what: &str,
    bytes: &'a [u8],
    read: impl FnOnce(T) -> Result<R, FormatError>,
) -> Result<R, Error> {
    let corrupt = |error: &dyn Display| {
        Error::Corrupt(format!("{what}: {error}; restore the store from a backup"))
    };
    match bytes.split_first() {
        Some((found, rest)) if *found == version => match postcard::take_from_bytes::<T>(rest) {
            Ok((value, [])) => read(value).map_err(|error| corrupt(&error)),
            Ok((_, more)) => Err(corrupt(&format_args!("{} bytes too many", more.len()))),
            Err(error) => Err(corrupt(&error)),
        },
        Some((found, _)) => Err(Error::Corrupt(format!(
            "{what} has format {found}, and this estd reads format {version}: run the version \
             of estd that wrote it, or a later one"
        ))),
        None => Err(corrupt(&"an empty value")),
    }
}

/// Reads an ended issuance.
pub(super) fn read_issuance(bytes: &[u8]) -> Result<Issuance, Error> {
    const WHAT: &str = "an issuance";
    if bytes.first() == Some(&REVOKED) {
        return decode_as(REVOKED, WHAT, bytes, |stored: IssuanceV2<'_>| {
            let reason = RevocationReason::try_from(stored.reason).map_err(text)?;
            let at = Time::from_unix(stored.revoked);
            stored.issuance.read(Some(Revocation { at, reason }))
        });
    }
    decode(WHAT, bytes, |stored: IssuanceV1<'_>| stored.read(None))
}

/// Reads an account.
pub(super) fn read_account(bytes: &[u8]) -> Result<Account, Error> {
    decode("an account", bytes, |stored: AccountV1<'_>| {
        let labels = stored.labels.map(|labels| labels.into_iter().map(str::parse).collect());
        Ok(Account {
            name: stored.name.to_owned(),
            password: Password::parse(stored.password)?,
            added: Time::from_unix(stored.added),
            labels: labels.transpose().map_err(text)?,
        })
    })
}

/// Reads the version of the folder as a whole.
pub(super) fn read_folder_version(bytes: &[u8]) -> Result<u32, Error> {
    decode("the folder's version", bytes, Ok)
}

/// Reads a page of the journal of open issuances.
pub(super) fn read_intents(bytes: &[u8]) -> Result<Vec<Intent>, Error> {
    decode("a page of open issuances", bytes, |items: Vec<IntentV1<'_>>| {
        items.into_iter().map(IntentV1::read).collect()
    })
}

/// Reads an intent that is a value.
pub(super) fn read_intent(bytes: &[u8]) -> Result<Intent, Error> {
    decode("an intent", bytes, IntentV1::read)
}

/// Reads an event that is a value.
pub(super) fn read_event(bytes: &[u8]) -> Result<Event, Error> {
    decode("an event", bytes, EventV1::read)
}

/// Reads a page of events.
pub(super) fn read_events(bytes: &[u8]) -> Result<Vec<Event>, Error> {
    decode("a page of events", bytes, |items: Vec<EventV1<'_>>| {
        items.into_iter().map(EventV1::read).collect()
    })
}

/// Reads a page of recent requests.
pub(super) fn read_recent(bytes: &[u8]) -> Result<Vec<Recent>, Error> {
    decode("a page of recent requests", bytes, |items: Vec<RecentV1<'_>>| {
        let read = |item: RecentV1<'_>| {
            Ok(Recent {
                idempotency_key: IdempotencyKey(item.idempotency_key),
                serial: Serial::parse(item.serial).map_err(text)?,
                retry_until: Time::from_unix(item.retry_until),
            })
        };
        items.into_iter().map(read).collect()
    })
}
