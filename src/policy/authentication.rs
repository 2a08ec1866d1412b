//! Authentication of clients.

use std::time::Duration;

/// The proofs of identity that clients must give (RFC 7030 §3.2.3, §3.3.2).
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

/// A scheme by which a client proves its password (RFC 7030 §3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP Basic (RFC 7617).
    Basic,
    /// HTTP Digest with SHA-256 (RFC 7616).
    Digest,
    /// HTTP Digest with MD5, for clients that support nothing else.
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

/// `[passwords]`: the rules that guard passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    /// The realm of challenges (RFC 9110 §11.5). The secrets of Digest accounts depend on it.
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
