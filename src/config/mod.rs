//! The configuration: TOML, version 1.
//!
//! [`Settings`] is checked and complete: relative paths are resolved from the file's folder, durations are
//! [`Duration`]. [`load()`] reads the file section by section, rejects unknown keys, and reports
//! all errors together, each with file, key, value and remedy.

mod changes;
mod error;
mod example;
mod load;
mod section;
mod source;

pub use error::{SettingError, SettingErrors};
pub use example::Example;
pub use load::{load, load_for, parse};
pub use source::{PLACES, SettingsSource, built_in};

use crate::{
    policy::{CaRules, DecryptKeys, Passwords, Policies, ServerCertificateRules},
    types::CaName,
};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// Secrets that a configuration names: which of them to read. [`Settings`] omits the others, and their files
/// and environment variables need not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// All: a server needs them.
    All,
    /// The password of the store.
    Store,
    /// None: the running server answers the command.
    None,
}

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where a reload reads it from.
    pub source: SettingsSource,
    /// The file that was read; without one, the first that the search looks for.
    pub file: PathBuf,
    /// Settings that take a restart.
    pub boot: BootSettings,
    /// Settings that a reload replaces.
    pub live: LiveSettings,
}

/// Settings that a running server keeps until it restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootSettings {
    /// The folder of keys, certificates, store and socket.
    pub data: PathBuf,
    /// `[server]`: addresses to listen on; the system chooses a free port for port 0.
    pub listen: Vec<SocketAddr>,
    /// `[server]`: concurrent connections; for more, those that wait longest for their client are closed.
    pub max_connections: usize,
    /// The server's own certificate.
    pub server_certificate: ServerCertificateRules,
    /// How private keys are stored.
    pub keys: Keys,
    /// Limits that guard passwords.
    pub passwords: Passwords,
    /// Where audit events go.
    pub audit: Audit,
    /// Where the state is stored.
    pub store: StoreSettings,
    /// The CAs, by name.
    pub cas: BTreeMap<CaName, CaRules>,
}

/// Settings that a reload replaces atomically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// Limits of connections and requests.
    pub server: Server,
    /// The keys to which keys generated for devices are encrypted.
    pub decrypt_keys: DecryptKeys,
    /// The policies of all labels, and the profiles that they name.
    pub policies: Policies,
}

/// `[server]`: limits of connections and requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for a request's header, from its first byte.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// How long an idle connection stays open.
    pub idle_timeout: Duration,
    /// Whether clients may resume a TLS session (RFC 7030 §3.3).
    pub session_tickets: bool,
    /// Whether HTTP/2 is offered besides HTTP/1.1 (D-17).
    pub http2: bool,
    /// Concurrent connections of one IPv4 address or IPv6 /64; more are closed.
    pub max_connections_per_address: usize,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// How long running requests may take after SIGTERM.
    pub shutdown_grace: Duration,
}

/// `[keys]`: how private keys are stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The passphrase that encrypts them (PKCS#8, PBES2). None: they are stored in clear, with mode 0600.
    pub passphrase: Option<zeroize::Zeroizing<String>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("passphrase", &self.passphrase.as_ref().map(|_| "…")).finish()
    }
}

/// `[audit]`: where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The file of JSON lines.
    pub file: PathBuf,
    /// The output to the terminal.
    pub terminal: Terminal,
    /// The name of this node in its events. None: the host name.
    pub node: Option<String>,
    /// Bytes of the file before it is rotated; 0: estd does not rotate it.
    pub max: u64,
    /// Rotated files to keep.
    pub keep: u32,
    /// Bytes of the data folder's file system that the audit file leaves free.
    pub reserve: u64,
}

/// The output to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// A readable line for each event.
    Text,
    /// Nothing but errors.
    Quiet,
}

/// `[store]`: where the state is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreSettings {
    /// sled, embedded, in `data/store`.
    Sled {
        /// Bytes of page cache.
        cache: u64,
    },
    /// PostgreSQL, for one node or several.
    Postgres(Box<Postgres>),
    /// In memory, lost when the process ends. For trials and tests.
    Memory,
}

/// `[store]` with `backend = "postgres"`: the database and the limits of its use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// Hosts, database, user, password and `sslmode`; its `Debug` does not show the password.
    pub connection: tokio_postgres::Config,
    /// Trust anchors for TLS: certificates, DER.
    pub anchors: Vec<Vec<u8>>,
    /// Most connections.
    pub connections: usize,
    /// Time that a request waits for an unavailable database, and limit of a statement.
    pub patience: Duration,
}
