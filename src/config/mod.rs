//! The configuration: TOML, version 1.
//!
//! [`Settings`] is what the rest of the program sees: checked, complete, relative paths resolved
//! from the file's folder, durations as [`Duration`]. [`load()`] reads the file section by section,
//! refuses unknown keys, and reports all faults at once, each with file, key, value and remedy.

mod fault;
mod load;
mod section;

pub use fault::{Fault, Faults};
pub use load::{load, parse};

pub use crate::types::SanKind;

use crate::types::{
    CaName, CsrAttribute, CsrAttrsForm, DecryptKey, Digest, KeyKind, KeyUsage, Label, ProfileName,
    SubjectAttribute,
};
use const_oid::ObjectIdentifier;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file it came from.
    pub file: PathBuf,
    /// The folder of keys, certificates, store and socket. Restart.
    pub data: PathBuf,
    /// Listeners and limits.
    pub server: Server,
    /// The server's own certificate. Restart.
    pub server_certificate: ServerCertificate,
    /// Which client certificates are believed. Reload.
    pub client_trust: ClientTrust,
    /// The keys by which devices decrypt what is made for them. Reload.
    pub decrypt_keys: DecryptKeys,
    /// How private keys are kept. Restart.
    pub keys: Keys,
    /// What guards passwords. Restart.
    pub passwords: Passwords,
    /// Where audit events go. Restart.
    pub audit: Audit,
    /// Where the state is kept. Restart.
    pub store: Store,
    /// The CAs, by name. Restart.
    pub cas: BTreeMap<CaName, Ca>,
    /// The profiles, by name. Reload.
    pub profiles: BTreeMap<ProfileName, Profile>,
    /// The policy without a label. Reload.
    pub unlabelled: Policy,
    /// The policies by label. Reload.
    pub labels: BTreeMap<Label, Policy>,
}

impl Settings {
    /// The sections in which `new` differs and that only a restart can put in force.
    #[must_use]
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let changed = [
            ("data", self.data != new.data),
            ("[server] listen", self.server.listen != new.server.listen),
            ("[server] max_connections", self.server.max_connections != new.server.max_connections),
            ("[server.certificate]", self.server_certificate != new.server_certificate),
            ("[keys]", self.keys != new.keys),
            ("[passwords]", self.passwords != new.passwords),
            ("[audit]", self.audit != new.audit),
            ("[store]", self.store != new.store),
            ("[ca]", self.cas != new.cas),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect()
    }

    /// The policies of all labels, and the one without.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        std::iter::once(&self.unlabelled).chain(self.labels.values())
    }

    /// These settings with everything that needs a restart as it is in `running`.
    #[must_use]
    pub fn with_restart_only_from(self, running: &Self) -> Self {
        Self {
            data: running.data.clone(),
            server: Server {
                listen: running.server.listen.clone(),
                max_connections: running.server.max_connections,
                ..self.server
            },
            server_certificate: running.server_certificate.clone(),
            keys: running.keys.clone(),
            passwords: running.passwords.clone(),
            audit: running.audit.clone(),
            store: running.store.clone(),
            cas: running.cas.clone(),
            ..self
        }
    }
}

/// `[server]`: listeners and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Addresses to listen on; port 0 takes a free one. Restart.
    pub listen: Vec<SocketAddr>,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for a request's header, from its first octet.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// How long a connection is kept that waits for a request.
    pub idle_timeout: Duration,
    /// Whether clients may resume a TLS session (RFC 7030 §3.3).
    pub session_tickets: bool,
    /// Whether HTTP/2 is offered beside HTTP/1.1 (D-17).
    pub http2: bool,
    /// Connections at once; for more, those that wait longest for their client are ended. Restart.
    pub max_connections: usize,
    /// Connections at once of one IPv4 address or IPv6 /64; more are closed.
    pub max_connections_per_address: usize,
    /// Octets of a request's body.
    pub max_body: usize,
    /// How long running requests may take after SIGTERM.
    pub shutdown_grace: Duration,
}

/// `[server.certificate]`: the server's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The CA that issues it.
    pub ca: CaName,
    /// dNSName entries of its SAN.
    pub names: Vec<String>,
    /// iPAddress entries of its SAN.
    pub addresses: Vec<IpAddr>,
    /// Its key.
    pub key: KeyKind,
    /// Its lifetime; renewed when a third of it is left.
    pub validity: Duration,
}

/// `[client_trust]`: anchors beside our own CAs, which always belong to the explicit ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTrust {
    /// Further explicit anchors: certificates, DER.
    pub explicit: Vec<Vec<u8>>,
    /// Third-party anchors (RFC 7030 §1.1 "implicit"): certificates, DER. Empty: none.
    pub implicit: Vec<Vec<u8>>,
}

/// `[serverkeygen]`: the keys by which devices decrypt the keys that are made for them (RFC 7030
/// §4.4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecryptKeys {
    /// Symmetric keys, each identifier once.
    pub symmetric: Vec<DecryptKey>,
    /// Certificates of asymmetric keys, DER.
    pub recipients: Vec<Vec<u8>>,
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

/// `[passwords]`: what guards passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    /// The realm of challenges (RFC 9110 §11.5). The secrets of Digest accounts are made for it.
    pub realm: String,
    /// How long a nonce of Digest is fresh.
    pub nonce_lifetime: Duration,
    /// The time in which failures are counted.
    pub failure_window: Duration,
    /// Failures of one account in that time.
    pub failures_per_account: usize,
    /// Failures from one IPv4 address or IPv6 /64 in that time.
    pub failures_per_address: usize,
}

/// `[audit]`: where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The file of JSON lines.
    pub file: PathBuf,
    /// What the terminal shows.
    pub terminal: Terminal,
}

/// What the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// A readable line for each event.
    Text,
    /// Nothing but faults.
    Quiet,
}

/// `[store]`: where the state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Store {
    /// sled, embedded, in `data/store`.
    Sled {
        /// Octets of page cache.
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

/// `[ca.NAME]`: a root and an issuing CA under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// The key of both.
    pub key: KeyKind,
    /// The root's subject, RFC 4514.
    pub root_subject: String,
    /// The issuing CA's subject, RFC 4514.
    pub issuing_subject: String,
    /// The root's lifetime.
    pub root_validity: Duration,
    /// The issuing CA's lifetime.
    pub issuing_validity: Duration,
}

/// `[profile.NAME]`: rules for one kind of certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Lifetime, cut at the CA's own end.
    pub validity: Duration,
    /// How far notBefore lies before the moment of issue.
    pub backdate: Duration,
    /// Kinds of key accepted; an RSA kind accepts its size and any larger one up to 4096.
    pub keys: Vec<KeyKind>,
    /// extKeyUsage when the CSR asks for none, and all that it may ask for.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Kinds of SAN entry accepted.
    pub san: Vec<SanKind>,
    /// Whether a certificate may have an empty subject (its SAN is critical then).
    pub empty_subject: bool,
    /// Requested extensions that are left out without refusing the CSR.
    pub ignore_extensions: Vec<ObjectIdentifier>,
    /// Hash functions accepted in the CSR's signature.
    pub digests: Vec<Digest>,
    /// What the subject has to hold.
    pub require_subject: Vec<SubjectAttribute>,
    /// Kinds of SAN entry of which there has to be one each.
    pub require_san: Vec<SanKind>,
    /// The key usage that the CSR has to ask for.
    pub require_key_usage: Option<KeyUsage>,
    /// The extended key usages that the CSR has to ask for.
    pub require_extended_key_usage: Vec<ObjectIdentifier>,
}

/// `[est]` or `[label.NAME]`: what enrolment under a label means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The CA.
    pub ca: CaName,
    /// The profile.
    pub profile: ProfileName,
    /// Whether that profile gives cmcRA: who enrols here may ask in any name afterwards (RFC 7030 §3.7).
    pub makes_ra: bool,
    /// How clients prove who they are.
    pub authentication: Authentication,
    /// How a password is proved, in the order of the challenges; never empty.
    pub schemes: Vec<Scheme>,
    /// Which names a client may have that shows a certificate and no password.
    pub certificate_names: CertificateNames,
    /// Whether a CSR has to be bound to the TLS connection that it comes over (RFC 7030 §3.5).
    pub linking: Linking,
    /// Whether `/fullcmc` is offered (RFC 7030 §4.3).
    pub fullcmc: bool,
    /// Whether re-enrolment with the same key (renew) is allowed.
    pub renew: bool,
    /// Whether re-enrolment with a new key (rekey) is allowed.
    pub rekey: bool,
    /// How base64 goes out.
    pub base64: Base64Form,
    /// Whether keys are made for devices (RFC 7030 §4.4).
    pub serverkeygen: ServerKeyGen,
    /// Whether a PEM-armoured CSR is accepted (D-19).
    pub pem: bool,
    /// Whether a CSR that is no base64 but DER itself is accepted (D-20).
    pub der: bool,
    /// Whether changeSubjectName is acted on (RFC 6402 §2.8). The new names are authorised like any.
    pub change_names: bool,
    /// How long after its end a certificate may still be renewed by `/simplereenroll`; zero: not at
    /// all.
    pub expired_grace: Duration,
    /// Whether an enrolment's answer holds the issuing CA's certificate beside the device's (D-28).
    pub include_chain: bool,
    /// Whether `/cacerts` also holds the root of the CA that issued the server's certificate (D-38).
    pub server_root: bool,
    /// How long after the first request an equal one gets the same certificate (D-10). At most a day.
    pub repeat_window: Duration,
    /// What `/csrattrs` says.
    pub csrattrs: CsrAttrs,
}

/// `[est.csrattrs]` or `[label.NAME.csrattrs]`: what `/csrattrs` says beside the profile's demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsrAttrs {
    /// Whether there is a `/csrattrs`.
    pub offer: bool,
    /// In which form it answers.
    pub form: CsrAttrsForm,
    /// Attributes that a CSR has to hold, offered or not.
    pub attributes: Vec<CsrAttribute>,
}

/// How clients prove who they are (RFC 7030 §3.2.3, §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// A TLS client certificate.
    Certificate,
    /// A password.
    Password,
    /// One of the two.
    Either,
    /// Both in one request.
    Both,
}

/// How a password is proved (RFC 7030 §3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP Basic (RFC 7617).
    Basic,
    /// HTTP Digest with SHA-256 (RFC 7616).
    Digest,
    /// HTTP Digest with MD5, for clients that know nothing else.
    DigestMd5,
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic => "basic",
            Self::Digest => "digest",
            Self::DigestMd5 => "digest-md5",
        })
    }
}

/// Which names a client may have that shows a certificate and no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateNames {
    /// Those of its certificate (RFC 6402 §2.4); an RA of ours may ask for any.
    Own,
    /// Any.
    Any,
}

/// Linking identity and proof-of-possession (RFC 7030 §3.5): whether a CSR holds the channel binding
/// of the TLS connection that it comes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linking {
    /// No binding is known here: a CSR that has one is refused, for it cannot be verified.
    Off,
    /// A binding that is there is verified; none need be.
    Optional,
    /// A CSR without a binding is refused, unless it comes from an RA.
    Required,
}

/// Whether keys are made for devices, and how they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKeyGen {
    /// Not offered.
    Off,
    /// Encrypted if the CSR names a key for that; otherwise protected by TLS alone.
    On,
    /// Only encrypted to a key that the CSR names.
    Encrypted,
}

/// How base64 goes out (D-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Form {
    /// As the client's own request shows that it can read.
    Auto,
    /// Lines of 64 columns, each ended by LF.
    Wrapped,
    /// One line.
    Line,
}
