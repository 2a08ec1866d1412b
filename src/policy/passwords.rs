//! The rules that guard passwords.

use std::time::Duration;

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
