//! The audit trail: the committed events of all nodes over one store.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lists committed events by writer and number; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventQuery {
    /// Events at or after this time, RFC 3339.
    pub since: Option<String>,
    /// Events before this time, RFC 3339.
    pub until: Option<String>,
    /// Name of the event, such as `certificate.issued`; `certificate.*` matches a prefix.
    pub event: Option<String>,
    /// Part of the actor's name.
    pub actor: Option<String>,
    /// Prefix of a serial number that the event names.
    pub serial: Option<String>,
    /// Prefix of the request's id.
    pub request: Option<String>,
    /// Label; `-` for events without one.
    pub label: Option<String>,
    /// Events of this writer only.
    pub writer: Option<u64>,
    /// Place to start from: `WRITER.NUMBER`, as in [`Events::next`].
    pub from: Option<String>,
    /// Largest number of events: 1 to 1000. Default: 100.
    pub limit: Option<usize>,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Events, by writer and number.
    pub events: Vec<EventEntry>,
    /// Value of `from` for the following events, now or later.
    pub next: String,
    /// Whether more events may exist now, even after an empty page: a call reads a limited number.
    pub more: bool,
}

/// One event. The fields are those of a line of the audit file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Name of the actor; empty if it is unknown.
    pub actor: String,
    /// Time, RFC 3339.
    pub at: String,
    /// How the actor was authenticated.
    pub authenticated_by: String,
    /// Facts by name.
    pub details: BTreeMap<String, String>,
    /// Name of the event.
    pub event: String,
    /// Number among the writer's events, from 1.
    pub number: u64,
    /// Id of the request that caused it.
    pub request: Option<String>,
    /// Number of the writer.
    pub writer: u64,
}

/// Lists the writers of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListWriters {
    /// Writers with this number or a higher one.
    pub from: Option<u64>,
}

/// The writers of events: one in a store of a single node; in a shared store each start of a node
/// is a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writers {
    /// Writers, by number.
    pub writers: Vec<WriterEntry>,
}

/// One writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterEntry {
    /// Number of the writer.
    pub writer: u64,
    /// The node's name, from the first start that it recorded.
    pub node: Option<String>,
    /// Number of its events, which is also the number of the last one.
    pub events: u64,
    /// Time of the first event, RFC 3339.
    pub first: String,
    /// Time of the last event, RFC 3339.
    pub last: String,
}
