//! The text of an item: one line of JSON, version 2 of the export.
//!
//! It is serde's form of the record: bytes are base64, digests and serial numbers hexadecimal, timestamps
//! RFC 3339 in UTC. The order of the fields is fixed, and only `revocation` may be absent, so that equal
//! items have equal lines. Version 1 lacked the fields that [`Intent`] marks with a default.

use super::{Checksum, Counts, Summary};
use crate::{
    store::{Account, Device, Intent, Issuance, Item, Revocation, State, Token},
    telemetry::audit::{Event, EventId},
    types::{Time, form},
};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt::Display, io, sync::Arc};

/// The first line's `format`.
const FORMAT: &str = "estd store";

/// The version that is written.
pub(super) const VERSION: u32 = 2;

/// The first version, which is read and no longer written: its lines lack some fields.
const FIRST: u32 = 1;

/// A line after the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line<'a> {
    Issuance(Box<IssuanceLine<'a>>),
    Account(Cow<'a, Account>),
    #[serde(alias = "decision")]
    Register(RegisterLine<'a>),
    Device(Cow<'a, Device>),
    Token(Cow<'a, Token>),
    Event(EventLine<'a>),
    End(EndLine),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine {
    format: String,
    version: u32,
}

/// An [`Issuance`], whose intent's fields stand beside its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuanceLine<'a> {
    #[serde(flatten)]
    intent: Cow<'a, Intent>,
    state: State,
    #[serde(with = "form::bytes")]
    certificate: Vec<u8>,
    ended: Option<Time>,
    /// Left out if none: exports without revocations are those of versions that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocation: Option<Revocation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterLine<'a> {
    #[serde(alias = "matter")]
    name: Cow<'a, str>,
    #[serde(with = "form::bytes")]
    value: Vec<u8>,
}

/// An event, whose fields stand beside its place.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine<'a> {
    #[serde(flatten)]
    id: EventId,
    #[serde(flatten)]
    event: Cow<'a, Event>,
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

impl<'a> From<&'a Item> for Line<'a> {
    fn from(item: &'a Item) -> Self {
        match item {
            Item::Issuance(issuance) => {
                let Issuance { intent, state, certificate, ended, revocation } = &**issuance;
                Self::Issuance(Box::new(IssuanceLine {
                    intent: Cow::Borrowed(intent),
                    state: *state,
                    certificate: certificate.clone(),
                    ended: *ended,
                    revocation: *revocation,
                }))
            }
            Item::Account(account) => Self::Account(Cow::Borrowed(account)),
            Item::Register(name, value) => {
                Self::Register(RegisterLine { name: name.into(), value: value.clone() })
            }
            Item::Device(device) => Self::Device(Cow::Borrowed(device)),
            Item::Token(token) => Self::Token(Cow::Borrowed(token)),
            Item::Event(id, event) => {
                Self::Event(EventLine { id: *id, event: Cow::Borrowed(event) })
            }
        }
    }
}

impl Line<'_> {
    fn read(self) -> Result<Read, LineError> {
        Ok(Read::Item(match self {
            Self::Issuance(line) => {
                let IssuanceLine { intent, state, certificate, ended, revocation } = *line;
                let intent = intent.into_owned();
                let issuance = Issuance { intent, state, certificate, ended, revocation };
                Item::Issuance(Arc::new(issuance.checked()?))
            }
            Self::Account(account) => Item::Account(account.into_owned()),
            Self::Register(line) => Item::Register(line.name.into_owned(), line.value),
            Self::Device(device) => Item::Device(Box::new(device.into_owned())),
            Self::Token(token) => Item::Token(Box::new(token.into_owned())),
            Self::Event(line) => Item::Event(line.id, line.event.into_owned()),
            Self::End(line) => return Ok(Read::End(line.counts, line.sha256)),
        }))
    }
}

fn written(line: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The first line of an export of this version.
pub(super) fn head(version: u32) -> Vec<u8> {
    // Written out: what is summed up must not hang on a library's spaces.
    format!("{{\"format\":\"{FORMAT}\",\"version\":{version}}}\n").into_bytes()
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
    written(&Line::End(EndLine { counts: summary.counts, sha256: summary.digest.to_string() }))
}

/// Reads the first line. Returns the version.
pub(super) fn read_head(line: &[u8]) -> Result<u32, LineError> {
    let head: HeadLine = serde_json::from_slice(line).map_err(|_| {
        format!("this is no export of estd: it begins with {{\"format\":\"{FORMAT}\"")
    })?;
    if head.format != FORMAT {
        return Err(format!("this is no export of estd but of {:?}", head.format));
    }
    if !(FIRST..=VERSION).contains(&head.version) {
        return Err(format!(
            "it has version {}, and this estd reads versions {FIRST} to {VERSION}: run the version of estd \
             that wrote it, or a later one",
            head.version
        ));
    }
    Ok(head.version)
}

/// Reads a line after the first.
pub(super) fn read(line: &[u8]) -> Result<Read, LineError> {
    serde_json::from_slice::<Line<'_>>(line).map_err(text)?.read()
}

/// Counts items and sums their lines up.
pub(super) struct Sum {
    counts: Counts,
    context: Context,
}

impl Sum {
    /// Begins the sum of an export of this version.
    pub(super) fn new(version: u32) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&head(version));
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
