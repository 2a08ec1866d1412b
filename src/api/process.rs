//! Calls about the process that serves: its state, its configuration, its own certificate.

use serde::{Deserialize, Serialize};

/// Asks for the state of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowStatus {}

/// Has the server read its configuration again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {}

/// Has the server renew its own certificate, due or not.
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
    /// Connections for which there is room.
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
    pub left_out: LeftOut,
    /// The last reload; none since the start.
    pub reload: Option<Reloaded>,
    /// What needs attention, the most pressing first.
    pub warnings: Vec<Warning>,
}

/// Events without a line of their own in audit file and log, since the start of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Rejections of clients that had not authenticated, summed up in `request.summary`.
    pub rejections: u64,
    /// Challenges (401) that clients answered.
    pub challenges: u64,
    /// Events that the disk did not take, counted in `audit.incomplete`.
    pub lost: u64,
}

/// When a CA ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaStatus {
    /// Its name in the configuration.
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
    /// When it is renewed.
    pub renewal: String,
}

/// Where the state is stored, and whether that works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// `sled`, `postgres` or `memory`.
    pub backend: String,
    /// Why it does not take changes or cannot be read; none if all is well.
    pub error: Option<String>,
}

/// The verdict on a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// When it was.
    pub at: String,
    /// Whether the file is in force, except for `needs_restart`.
    pub in_force: bool,
    /// Sections that changed and are in force.
    pub changed: Vec<String>,
    /// Sections that changed and wait for a restart.
    pub needs_restart: Vec<String>,
    /// Why it is not in force.
    pub errors: Vec<ConfigError>,
    /// What needs attention.
    pub warnings: Vec<Warning>,
}

/// One error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// Stable code, `E-CONFIG-…`.
    pub code: String,
    /// The file.
    pub file: String,
    /// Section and key; empty if the whole file is meant.
    pub key: String,
    /// The value as TOML; empty if there is none.
    pub value: String,
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub remedy: String,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The section of the configuration that it is about.
    pub about: String,
    /// What is wrong, or will be.
    pub warning: String,
    /// What to do.
    pub remedy: String,
}
