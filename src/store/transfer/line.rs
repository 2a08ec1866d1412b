//! The text of an item: one line of JSON, version 1 of the export.
//!
//! Bytes are base64, digests and serial numbers hexadecimal, timestamps RFC 3339 in UTC. The order
//! of the fields is fixed, and only `revocation` may be absent, so that equal items have equal lines.

use super::{Checksum, Counts, Summary};
use crate::{
    store::{Account, IdempotencyKey, Intent, Issuance, Item, Password, Revocation, State, format},
    telemetry::audit::{Event, EventId, Name},
    types::{Actor, AuthMethod, Label, Operation, RequestId, Serial, Time},
};
use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::IntoDeserializer};
use std::{fmt::Display, io, str::FromStr, sync::Arc};

/// The first line's `format`.
const FORMAT: &str = "estd store";

/// The version that is written, and the one that is read.
const VERSION: u32 = 1;

/// A line after the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Issuance(Box<IssuanceLine>),
    Account(AccountLine),
    #[serde(alias = "decision")]
    Register(RegisterLine),
    Event(EventLine),
    End(EndLine),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActorLine {
    name: String,
    method: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuanceLine {
    serial: String,
    state: String,
    #[serde(alias = "request_key")]
    idempotency_key: String,
    #[serde(alias = "repeat_until")]
    retry_until: String,
    tbs: String,
    ca: String,
    profile: String,
    label: Option<String>,
    operation: Option<String>,
    subject: String,
    san: Vec<String>,
    spki_sha256: String,
    not_before: String,
    not_after: String,
    actor: ActorLine,
    predecessor: Option<String>,
    request: String,
    begun: String,
    certificate: String,
    ended: Option<String>,
    /// Left out if none: exports without revocations are those of versions that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocation: Option<RevocationLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationLine {
    at: String,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountLine {
    name: String,
    password_hash: String,
    added: String,
    labels: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterLine {
    #[serde(alias = "matter")]
    name: String,
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine {
    writer: u64,
    number: u64,
    at: String,
    name: String,
    actor: ActorLine,
    request: Option<String>,
    details: Vec<(String, String)>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    counts: Counts,
    sha256: String,
}

/// The content of a line after the first.
#[derive(Debug)]
pub(super) enum Read {
    Item(Item),
    End(Counts, String),
}

/// The reason why a line is not one of an export.
type LineError = String;

fn text(error: impl Display) -> LineError {
    error.to_string()
}

fn shown(value: impl ToString) -> String {
    value.to_string()
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, LineError> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn time(text: &str) -> Result<Time, LineError> {
    let time = humantime::parse_rfc3339(text).map_err(|error| format!("{text:?}: {error}"))?;
    Ok(Time::from(time))
}

fn bytes(text: &str) -> Result<Vec<u8>, LineError> {
    STANDARD.decode(text).map_err(|error| format!("base64: {error}"))
}

fn digest(text: &str) -> Result<[u8; 32], LineError> {
    let bytes = base16ct::mixed::decode_vec(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("{text:?} is not 64 hexadecimal digits"))
}

fn request_id(id: &str) -> Result<RequestId, LineError> {
    RequestId::deserialize(id.into_deserializer())
        .map_err(|error: serde::de::value::Error| text(error))
}

impl From<&Actor> for ActorLine {
    fn from(actor: &Actor) -> Self {
        Self { name: actor.name.clone(), method: shown(actor.method) }
    }
}

impl ActorLine {
    fn read(self) -> Result<Actor, LineError> {
        let method = format::by_text(&self.method, format::method_of, AuthMethod::to_string)?;
        Ok(Actor { name: self.name, method })
    }
}

impl From<&Issuance> for IssuanceLine {
    fn from(issuance: &Issuance) -> Self {
        let Issuance { intent, state, certificate, ended, revocation } = issuance;
        Self {
            serial: shown(&intent.serial),
            state: shown(state),
            idempotency_key: shown(Checksum(intent.idempotency_key.0)),
            retry_until: shown(intent.retry_until),
            tbs: STANDARD.encode(&intent.tbs),
            ca: shown(&intent.ca),
            profile: shown(&intent.profile),
            label: intent.label.as_ref().map(shown),
            operation: intent.operation.map(shown),
            subject: intent.subject.clone(),
            san: intent.san.clone(),
            spki_sha256: shown(Checksum(intent.spki_sha256)),
            not_before: shown(intent.not_before),
            not_after: shown(intent.not_after),
            actor: (&intent.actor).into(),
            predecessor: intent.predecessor.as_ref().map(shown),
            request: shown(&intent.request_id),
            begun: shown(intent.begun),
            certificate: STANDARD.encode(certificate),
            ended: ended.map(shown),
            revocation: revocation.map(|Revocation { at, reason }| RevocationLine {
                at: shown(at),
                reason: shown(reason),
            }),
        }
    }
}

impl IssuanceLine {
    fn read(self) -> Result<Issuance, LineError> {
        let operation =
            |name: &String| format::by_text(name, format::operation_of, Operation::to_string);
        let intent = Intent {
            serial: parsed::<Serial>(&self.serial)?,
            idempotency_key: IdempotencyKey(digest(&self.idempotency_key)?),
            retry_until: time(&self.retry_until)?,
            tbs: bytes(&self.tbs)?,
            ca: parsed(&self.ca)?,
            profile: parsed(&self.profile)?,
            label: self.label.as_deref().map(parsed).transpose()?,
            operation: self.operation.as_ref().map(operation).transpose()?,
            subject: self.subject,
            san: self.san,
            spki_sha256: digest(&self.spki_sha256)?,
            not_before: time(&self.not_before)?,
            not_after: time(&self.not_after)?,
            actor: self.actor.read()?,
            predecessor: self.predecessor.as_deref().map(parsed).transpose()?,
            request_id: request_id(&self.request)?,
            begun: time(&self.begun)?,
        };
        let revocation = self.revocation.map(|line| {
            Ok::<_, LineError>(Revocation { at: time(&line.at)?, reason: parsed(&line.reason)? })
        });
        let state = format::by_text(&self.state, format::state_of, State::to_string)?;
        if (state == State::Revoked) != revocation.is_some() {
            return Err(format!("it is {state} and says otherwise of its revocation"));
        }
        Ok(Issuance {
            intent,
            state,
            certificate: bytes(&self.certificate)?,
            ended: self.ended.as_deref().map(time).transpose()?,
            revocation: revocation.transpose()?,
        })
    }
}

impl From<&Item> for Line {
    fn from(item: &Item) -> Self {
        match item {
            Item::Issuance(issuance) => Self::Issuance(Box::new((&**issuance).into())),
            Item::Account(account) => Self::Account(AccountLine {
                name: account.name.clone(),
                password_hash: account.password.text().to_string(),
                added: shown(account.added),
                labels: account.labels.as_ref().map(|labels| labels.iter().map(shown).collect()),
            }),
            Item::Register(name, value) => {
                Self::Register(RegisterLine { name: name.clone(), value: STANDARD.encode(value) })
            }
            Item::Event(id, event) => Self::Event(EventLine {
                writer: id.writer,
                number: id.number,
                at: shown(event.at),
                name: event.name.as_str().to_owned(),
                actor: (&event.actor).into(),
                request: event.request_id.as_ref().map(shown),
                details: event.details.clone(),
            }),
        }
    }
}

impl Line {
    fn read(self) -> Result<Read, LineError> {
        Ok(Read::Item(match self {
            Self::Issuance(line) => Item::Issuance(Arc::new(line.read()?)),
            Self::Account(line) => {
                let labels = line.labels.map(|labels| {
                    labels.iter().map(|label| parsed(label)).collect::<Result<Vec<Label>, _>>()
                });
                Item::Account(Account {
                    name: line.name,
                    password: Password::parse(&line.password_hash)?,
                    added: time(&line.added)?,
                    labels: labels.transpose()?,
                })
            }
            Self::Register(line) => Item::Register(line.name, bytes(&line.value)?),
            Self::Event(line) => Item::Event(
                EventId { writer: line.writer, number: line.number },
                Event {
                    at: time(&line.at)?,
                    name: format::by_text(&line.name, format::name_of, |name: &Name| {
                        name.as_str().to_owned()
                    })?,
                    actor: line.actor.read()?,
                    request_id: line.request.as_deref().map(request_id).transpose()?,
                    details: line.details,
                    stranger: None,
                },
            ),
            Self::End(line) => return Ok(Read::End(line.counts, line.sha256)),
        }))
    }
}

fn written(line: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The first line.
pub(super) fn head() -> Vec<u8> {
    // Written out: what is summed up must not hang on a library's spaces.
    format!("{{\"format\":\"{FORMAT}\",\"version\":{VERSION}}}\n").into_bytes()
}

/// The line of an item.
pub(super) fn item(item: &Item) -> io::Result<Vec<u8>> {
    written(&Line::from(item))
}

/// Writes an item as its line of an export, without the end of the line.
///
/// # Errors
/// Why it cannot be written.
pub fn to_line(one: &Item) -> io::Result<String> {
    serde_json::to_string(&Line::from(one)).map_err(io::Error::from)
}

/// Reads an item from its line of an export.
///
/// # Errors
/// Why the line is not one of an item.
pub fn from_line(line: &str) -> Result<Item, String> {
    match read(line.as_bytes())? {
        Read::Item(item) => Ok(item),
        Read::End(..) => Err("it is the last line of an export".to_owned()),
    }
}

/// The last line.
pub(super) fn end(summary: &Summary) -> io::Result<Vec<u8>> {
    written(&Line::End(EndLine { counts: summary.counts, sha256: shown(summary.digest) }))
}

/// Reads the first line.
pub(super) fn read_head(line: &[u8]) -> Result<(), LineError> {
    let head: HeadLine = serde_json::from_slice(line).map_err(|_| {
        format!("this is no export of estd: it begins with {{\"format\":\"{FORMAT}\"")
    })?;
    if head.format != FORMAT {
        return Err(format!("this is no export of estd but of {:?}", head.format));
    }
    if head.version != VERSION {
        return Err(format!(
            "it has version {}, and this estd reads version {VERSION}: run the version of estd \
             that wrote it, or a later one",
            head.version
        ));
    }
    Ok(())
}

/// Reads a line after the first.
pub(super) fn read(line: &[u8]) -> Result<Read, LineError> {
    serde_json::from_slice::<Line>(line).map_err(text)?.read()
}

/// Counts items and sums their lines up.
pub(super) struct Sum {
    counts: Counts,
    context: Context,
}

impl Sum {
    pub(super) fn new() -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&head());
        Self { counts: Counts::default(), context }
    }

    pub(super) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Adds an item.
    pub(super) fn add(&mut self, one: &Item) -> io::Result<()> {
        self.add_line(one, &item(one)?);
        Ok(())
    }

    /// Adds an item whose line is known.
    pub(super) fn add_line(&mut self, item: &Item, line: &[u8]) {
        self.counts.add(item);
        self.context.update(line);
    }

    pub(super) fn finish(self) -> Summary {
        let mut digest = [0; 32];
        for (byte, from) in digest.iter_mut().zip(self.context.finish().as_ref()) {
            *byte = *from;
        }
        Summary { counts: self.counts, digest: Checksum(digest) }
    }
}
