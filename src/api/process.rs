//! Calls to the serving process: its state, configuration and own certificate.

use serde::{Deserialize, Serialize};

/// Shows the state of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowStatus {}

/// Reloads the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {}

/// Renews the server's own certificate, even if it is not due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewServerCertificate {}

/// The state of a running server. All times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of estd.
    pub version: String,
    /// Start of the process.
    pub started: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// The configuration file; none with the built-in defaults.
    pub configuration: Option<String>,
    /// The data folder.
    pub data: String,
    /// Addresses that it listens on.
    pub listen: Vec<String>,
    /// Open connections of clients.
    pub connections: usize,
    /// Largest number of connections.
    pub max_connections: usize,
    /// The CAs, by name.
    pub cas: Vec<CaStatus>,
    /// The server's own certificate.
    pub server_certificate: ServerCertificate,
    /// The store.
    pub store: StoreStatus,
    /// Enrollment accounts; none if the store does not answer.
    pub accounts: Option<usize>,
    /// Events without a line of their own in audit file and log.
    pub left_out: LeftOutEvents,
    /// The last reload; none since the start.
    pub reload: Option<Reloaded>,
    /// Warnings, the most urgent first.
    pub warnings: Vec<OperatorWarning>,
}

/// Events without a line of their own in audit file and log, since the start of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutEvents {
    /// Rejections of clients that had not authenticated, summed up in `request.summary`.
    pub rejections: u64,
    /// Challenges (401) that clients answered.
    pub challenges: u64,
    /// Events that could not be written, counted in `audit.incomplete`.
    pub lost: u64,
}

/// When a CA expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaStatus {
    /// Name in the configuration.
    pub name: String,
    /// Last second of its root.
    pub root_not_after: String,
    /// Last second of its issuing certificate.
    pub issuing_not_after: String,
}

/// The server's own certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCertificate {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// The CA that [server.certificate] names.
    pub ca: String,
    /// Entries of its subjectAltName.
    pub names: Vec<String>,
    /// First second of its validity.
    pub not_before: String,
    /// Last second of its validity.
    pub not_after: String,
    /// Time of its renewal.
    pub renewal: String,
}

/// The store and its condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// `sled`, `postgres` or `memory`.
    pub backend: String,
    /// Why it cannot be changed or read; none if it works.
    pub error: Option<String>,
}

/// Outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Time of the reload.
    pub at: String,
    /// Whether the file is in force, except for `needs_restart`.
    pub in_force: bool,
    /// Sections that changed and are in force.
    pub changed: Vec<String>,
    /// Sections that changed and need a restart.
    pub needs_restart: Vec<String>,
    /// Errors because of which it is not in force.
    pub errors: Vec<ConfigError>,
    /// Warnings.
    pub warnings: Vec<OperatorWarning>,
}

/// One error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// Stable code, `E-CONFIG-…`.
    pub code: String,
    /// The file.
    pub file: String,
    /// Section and key; empty for the whole file.
    pub key: String,
    /// Value as TOML; empty without one.
    pub value: String,
    /// Error.
    pub error: String,
    /// Remedy.
    pub remedy: String,
}

/// A condition that needs the operator's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorWarning {
    /// Section of the configuration that it concerns.
    pub about: String,
    /// The condition, present or expected.
    pub warning: String,
    /// Remedy.
    pub remedy: String,
}
