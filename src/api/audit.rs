//! The audit trail: the committed events of all nodes over one store.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lists committed events in the order of writer and number: every condition that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventQuery {
    /// Those at this time or later, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Those before this time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The event's name, such as `certificate.issued`; `certificate.*` for all that begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Part of the actor's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The beginning of a serial number that the event names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The beginning of the request's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The label; `-` for events without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Events of this writer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer: Option<u64>,
    /// The place to start from: `WRITER.NUMBER`, as in [`Events::next`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// At most so many: 1 to 1000, 100 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// In the order of writer and number.
    pub events: Vec<EventEntry>,
    /// Pass this as `from` for what follows, now or later.
    pub next: String,
    /// Whether there may be more now. A page may be empty and there be more: a call looks at a
    /// limited number of events.
    pub more: bool,
}

/// One event. The fields are those of a line of the audit file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Who did it; empty: nobody known.
    pub actor: String,
    /// When, RFC 3339.
    pub at: String,
    /// How the actor is known.
    pub authenticated_by: String,
    /// Facts by name.
    pub details: BTreeMap<String, String>,
    /// What happened.
    pub event: String,
    /// Its number among the writer's events, from 1.
    pub number: u64,
    /// The request that it belongs to.
    pub request: Option<String>,
    /// Its writer.
    pub writer: u64,
}

/// Asks who wrote events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListWriters {
    /// Writers with this number or a higher one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

/// The writers of events: 1 in a store that one node has to itself; on a shared one each start of
/// a node is a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writers {
    /// By number.
    pub writers: Vec<WriterEntry>,
}

/// One writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterEntry {
    /// Its number.
    pub writer: u64,
    /// The node's name, from the first start that it recorded.
    pub node: Option<String>,
    /// How many events it has written: their numbers are 1 to this one.
    pub events: u64,
    /// When the first event happened, RFC 3339.
    pub first: String,
    /// When the last event happened, RFC 3339.
    pub last: String,
}
