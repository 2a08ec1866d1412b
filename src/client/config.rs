//! The configuration of a client: server, trust anchors, credentials, timeouts.

use crate::client::{ServerAddress, Trust};
use crate::clock::{Clock, SystemClock};
use crate::pki::PrivateKey;
use crate::types::Label;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Timeouts of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection, over all addresses of the host.
    pub connect: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From sending a request to the end of its answer.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            answer: Duration::from_secs(60),
        }
    }
}

/// The versions of TLS that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersions {
    /// 1.2 and 1.3, of which the server chooses.
    #[default]
    Both,
    /// 1.2 only.
    Tls12,
    /// 1.3 only.
    Tls13,
}

/// Certificate and key that the device shows in the handshake (RFC 7030 §3.3.2).
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// The certificate as DER, and those above it, if any.
    pub chain: Vec<Vec<u8>>,
    /// Its key.
    pub key: Arc<PrivateKey>,
}

/// Name and password for HTTP Basic or Digest (RFC 7030 §3.2.3).
#[derive(Clone)]
pub struct PasswordAccount {
    /// The name; may be empty, may hold no colon.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for PasswordAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordAccount").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The HTTP scheme that proves the password, to a verified server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PasswordScheme {
    /// The best that the server's challenge offers. Costs one request without credentials, which the
    /// server rejects.
    #[default]
    Offered,
    /// Basic, with the first request; Digest if the server rejects that and offers Digest.
    Basic,
    /// Digest only: the password itself is never sent.
    Digest,
}

/// The configuration of a [`Client`](crate::client::Client). Start with [`ClientConfig::new`] and set
/// the fields that differ.
#[derive(Clone)]
pub struct ClientConfig {
    /// Where the server is.
    pub server: ServerAddress,
    /// The additional path segment (RFC 7030 §3.2.2).
    pub label: Option<Label>,
    /// The trust in the server.
    pub trust: Trust,
    /// Shown in the handshake when the server asks for a certificate.
    pub identity: Option<ClientIdentity>,
    /// Proved with enrollments.
    pub account: Option<PasswordAccount>,
    /// The scheme that proves it.
    pub scheme: PasswordScheme,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The versions of TLS offered.
    pub tls: TlsVersions,
    /// Minimum key size of the session's cipher, in bits: 128, or 256 for a P-384 or P-521 key that the
    /// server generates (RFC 7030 §4.4).
    pub cipher_bits: u16,
    /// Accepts a server under the anchors with a certificate for another name if its purpose is
    /// id-kp-cmcRA. RFC 7030 §3.6.1 allows that with explicit anchors. Off by default: any RA of the
    /// same CA could then impersonate this server.
    pub accept_cmc_ra: bool,
    /// Judges validity of the server's certificate.
    pub clock: Arc<dyn Clock>,
}

impl ClientConfig {
    /// Returns the defaults: no credentials, no label, both versions of TLS, the machine's clock.
    #[must_use]
    pub fn new(server: ServerAddress, trust: Trust) -> Self {
        Self {
            server,
            label: None,
            trust,
            identity: None,
            account: None,
            scheme: PasswordScheme::default(),
            timeouts: Timeouts::default(),
            tls: TlsVersions::default(),
            cipher_bits: 128,
            accept_cmc_ra: false,
            clock: Arc::new(SystemClock),
        }
    }
}
