//! The configuration: TOML, version 1.
//!
//! [`Settings`] is what the rest of the program sees: checked, complete, relative paths resolved
//! from the file's folder, durations as [`Duration`]. [`load()`] reads the file section by section,
//! refuses unknown keys, and reports all errors at once, each with file, key, value and remedy.

mod changes;
mod error;
mod example;
mod load;
mod section;
mod source;

pub use error::{SettingError, SettingErrors};
pub use example::Example;
pub use load::{load, load_for, parse};
pub use source::{PLACES, Source, built_in};

use crate::{
    policy::{Ca, DecryptKeys, Passwords, Policies, ServerCertificate},
    types::CaName,
};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// Which of the secrets that a configuration names are read. Those that are not are left out of
/// [`Settings`], and their files and environment variables need not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// All: a server needs them.
    All,
    /// The password of the store.
    Store,
    /// None: the running server does the work.
    None,
}

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where a reload reads it from.
    pub source: Source,
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
    pub server_certificate: ServerCertificate,
    /// How private keys are stored.
    pub keys: Keys,
    /// What guards passwords.
    pub passwords: Passwords,
    /// Where audit events go.
    pub audit: Audit,
    /// Where the state is stored.
    pub store: Store,
    /// The CAs, by name.
    pub cas: BTreeMap<CaName, Ca>,
}

/// Settings that a reload replaces, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// Limits of connections and requests.
    pub server: Server,
    /// Trust anchors for client certificates.
    pub client_trust: ClientTrust,
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

/// `[client_trust]`: anchors beside our own CAs, which always belong to the explicit ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTrust {
    /// Further explicit anchors: certificates, DER.
    pub explicit: Vec<Vec<u8>>,
    /// Third-party anchors (RFC 7030 §1.1 "implicit"): certificates, DER. Empty: none.
    pub implicit: Vec<Vec<u8>>,
}

/// `[keys]`: how private keys are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The passphrase that encrypts them (PKCS#8, PBES2); none: clear, protected by mode 0600.
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
    /// What the terminal shows.
    pub terminal: Terminal,
    /// The name of this node in its events; the machine's without one.
    pub node: Option<String>,
    /// Bytes of the file before it is rotated; 0: estd does not rotate it.
    pub max: u64,
    /// Older files that are kept.
    pub keep: u32,
    /// Bytes that stay free on the file system of the data folder.
    pub reserve: u64,
}

/// What the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// A readable line for each event.
    Text,
    /// Nothing but errors.
    Quiet,
}

/// `[store]`: where the state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Store {
    /// sled, embedded, in `data/store`.
    Sled {
        /// Bytes of page cache.
        cache: u64,
    },
    /// PostgreSQL, for one node or several.
    Postgres(Box<Postgres>),
    /// In memory: gone at the end. For trials and tests.
    Memory,
}

/// `[store]` with `backend = "postgres"`: where the database is, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// Hosts, database, user, password and `sslmode`; its `Debug` does not show the password.
    pub connection: tokio_postgres::Config,
    /// Whom TLS trusts: certificates, DER.
    pub anchors: Vec<Vec<u8>>,
    /// Connections at most.
    pub connections: usize,
    /// How long a request waits for a database that is away, and how long a statement may run.
    pub patience: Duration,
}
