//! Audit events: one for each verdict, issuance, start, reload and action of an operator.
//!
//! An [`Event`] of a change of the store is committed in the same transaction, which numbers it. A
//! writer's numbers have the order of its commits. The others (rejections) are only written to the
//! [`Trail`].

use crate::types::{Actor, Origin, RequestId, Time, form::stored_as_number};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// The kind of an event. The text of [`Name::as_str`] is stable: receivers match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Name {
    /// An enrollment account was added.
    AccountAdded,
    /// An enrollment account was changed: its labels, password or end.
    AccountChanged,
    /// An enrollment account was removed.
    AccountRemoved,
    /// A CA was created.
    CaCreated,
    /// A certificate was issued: signed and recorded.
    CertificateIssued,
    /// A certificate was revoked.
    CertificateRevoked,
    /// An alarm: a client presented a certificate signed by a CA of this server, but not on record.
    CertificateUnknown,
    /// A device was registered.
    DeviceAdded,
    /// Devices of a file were registered, in one step.
    DevicesImported,
    /// A device was blocked: it neither enrolls nor authenticates.
    DeviceBlocked,
    /// A device was unblocked, or is in service again.
    DeviceUnblocked,
    /// A device was retired: it is out of service.
    DeviceRetired,
    /// Tags of a device were set or removed.
    DeviceTagged,
    /// An issuance was begun and will never have a certificate.
    IssuanceVoided,
    /// An alarm: the linter stopped a certificate before it was recorded and signed.
    IssuanceStopped,
    /// A retry got the certificate of the first request.
    EnrollmentRetried,
    /// An enrollment request was rejected.
    EnrollmentRejected,
    /// A new configuration is in force.
    ServerReloaded,
    /// A new configuration was rejected; the old one stays in force.
    ServerReloadRejected,
    /// The server started.
    ServerStarted,
    /// The server stopped.
    ServerStopped,
    /// A request was rejected before its operation was known.
    RequestRejected,
    /// One-time tokens were created.
    TokenCreated,
    /// One-time tokens were disabled.
    TokenDisabled,
    /// Sums up rejections of unauthenticated clients that got no line each.
    RequestSummary,
    /// Events are missing from the audit file: the disk did not accept them.
    AuditIncomplete,
}

stored_as_number!(
    Name,
    1 = Name::AccountAdded,
    2 = Name::AccountRemoved,
    3 = Name::CaCreated,
    4 = Name::CertificateIssued,
    5 = Name::IssuanceVoided,
    6 = Name::EnrollmentRetried,
    7 = Name::EnrollmentRejected,
    8 = Name::ServerReloaded,
    9 = Name::ServerReloadRejected,
    10 = Name::ServerStarted,
    11 = Name::ServerStopped,
    12 = Name::RequestRejected,
    13 = Name::CertificateRevoked,
    14 = Name::RequestSummary,
    15 = Name::AuditIncomplete,
    16 = Name::CertificateUnknown,
    17 = Name::IssuanceStopped,
    18 = Name::DeviceAdded,
    19 = Name::DevicesImported,
    20 = Name::DeviceBlocked,
    21 = Name::DeviceUnblocked,
    22 = Name::DeviceRetired,
    23 = Name::DeviceTagged,
    24 = Name::TokenCreated,
    25 = Name::TokenDisabled,
    26 = Name::AccountChanged,
);

impl Name {
    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountAdded => "account.added",
            Self::AccountChanged => "account.changed",
            Self::AccountRemoved => "account.removed",
            Self::CaCreated => "ca.created",
            Self::CertificateIssued => "certificate.issued",
            Self::CertificateRevoked => "certificate.revoked",
            Self::CertificateUnknown => "certificate.unknown",
            Self::DeviceAdded => "device.added",
            Self::DevicesImported => "device.imported",
            Self::DeviceBlocked => "device.blocked",
            Self::DeviceUnblocked => "device.unblocked",
            Self::DeviceRetired => "device.retired",
            Self::DeviceTagged => "device.tagged",
            Self::IssuanceVoided => "issuance.voided",
            Self::IssuanceStopped => "issuance.stopped",
            Self::EnrollmentRetried => "enrollment.retried",
            Self::EnrollmentRejected => "enrollment.rejected",
            Self::ServerReloaded => "server.reloaded",
            Self::ServerReloadRejected => "server.reload-rejected",
            Self::ServerStarted => "server.started",
            Self::ServerStopped => "server.stopped",
            Self::RequestRejected => "request.rejected",
            Self::TokenCreated => "token.created",
            Self::TokenDisabled => "token.disabled",
            Self::RequestSummary => "request.summary",
            Self::AuditIncomplete => "audit.incomplete",
        }
    }
}

/// One audit event: when, what, who, for which request, and details in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub at: Time,
    /// Its kind.
    pub name: Name,
    /// The account, client, operator or server that caused it.
    pub actor: Actor,
    /// The request it belongs to.
    #[serde(rename = "request")]
    pub request_id: Option<RequestId>,
    /// Further facts, as name and value, in the order of their output. No secrets.
    pub details: Vec<(String, String)>,
    /// The client that caused it, if not authenticated. Not stored: it determines only whether the
    /// event is written.
    #[serde(skip)]
    pub stranger: Option<Stranger>,
}

/// A client that had not authenticated when it caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Where its events are counted together.
    pub origin: Origin,
    /// Whether it sent no credentials and was only asked for them (401).
    pub challenge: bool,
}

impl Event {
    /// Starts an event without request and details.
    #[must_use]
    pub const fn new(at: Time, name: Name, actor: Actor) -> Self {
        Self { at, name, actor, request_id: None, details: Vec::new(), stranger: None }
    }

    /// Names the request.
    #[must_use]
    pub fn request(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Attributes it to an unauthenticated client: such events are rate-limited.
    #[must_use]
    pub const fn by_stranger(mut self, stranger: Stranger) -> Self {
        self.stranger = Some(stranger);
        self
    }

    /// The value of the fact of this name, if any.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.details.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.details.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a fact, if any.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds several facts.
    #[must_use]
    pub fn with_all(self, facts: Vec<(&'static str, String)>) -> Self {
        facts.into_iter().fold(self, |event, (name, value)| event.with(name, value))
    }
}

/// Facts about a request, for its event: the client, its credentials, and the reason of a
/// rejection. Values may be chosen by the client, so each is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(&'static str, String)>);

impl Facts {
    /// Characters of a value at most.
    const LONGEST: usize = 300;

    /// Adds a fact, unless one of this name is known.
    pub fn add(&mut self, name: &'static str, value: impl Display) {
        if self.0.iter().any(|(known, _)| *known == name) {
            return;
        }
        let value = value.to_string();
        self.0.push((
            name,
            match value.char_indices().nth(Self::LONGEST) {
                Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
                None => value,
            },
        ));
    }

    /// Adds those of `others` whose names are not known.
    pub fn extend(&mut self, others: Self) {
        for (name, value) in others.0 {
            self.add(name, value);
        }
    }

    /// The value of the fact of this name, if known.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The facts, as name and value, in the order in which they were added.
    #[must_use]
    pub fn into_vec(self) -> Vec<(&'static str, String)> {
        self.0
    }
}

/// The place of a committed event: its writer, and its number among that writer's events.
///
/// A node numbers its own events, from 1 and without gaps. Numbers that several nodes shared would
/// make each commit of one wait for the commits of all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The number of the node that wrote it: 1 in a store of one node. In a shared store each start
    /// of a node has a number of its own.
    pub writer: u64,
    /// Its number among the writer's events, from 1.
    pub number: u64,
}

impl EventId {
    /// The first event of a writer.
    #[must_use]
    pub const fn first_of(writer: u64) -> Self {
        Self { writer, number: 1 }
    }
}

/// Receives events in the order in which they are published. Implementations return at once; another
/// thread waits for the disk.
pub trait Trail: Send + Sync + 'static {
    /// Publishes an event; `id` is its place in the store, if it was committed there.
    fn publish(&self, id: Option<EventId>, event: &Event);

    /// Reports that a client of this origin has authenticated: an earlier challenge was a step of
    /// the protocol and no incident.
    fn authenticated(&self, _origin: Origin) {}

    /// How many events got no line of their own, since the start.
    fn left_out(&self) -> LeftOut {
        LeftOut::default()
    }
}

/// Events without a line of their own in the audit file and the log, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Rejections of clients that had not authenticated: summed up by `request.summary`.
    pub rejections: u64,
    /// Challenges (401) that a client answered: steps of the protocol.
    pub challenges: u64,
    /// Events that the disk did not accept: counted by `audit.incomplete`. Those that changed
    /// something are in the store.
    pub lost: u64,
}

/// Keeps no trail: for tests, and for commands that change nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTrail;

impl Trail for NoTrail {
    fn publish(&self, _id: Option<EventId>, _event: &Event) {}
}
