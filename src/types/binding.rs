//! The channel binding of a TLS connection: what links a CSR to it (RFC 7030 §3.5).

use std::{fmt, sync::atomic::AtomicBool, sync::atomic::Ordering};
use zeroize::Zeroizing;

/// A kind of channel binding that a CSR may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingKind {
    /// The first Finished message of a TLS 1.2 handshake, 12 bytes (RFC 5929 §3).
    TlsUnique,
    /// 32 bytes of exported keying material (RFC 9266 §2).
    TlsExporter,
}

impl BindingKind {
    /// Its registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsUnique => "tls-unique",
            Self::TlsExporter => "tls-exporter",
        }
    }
}

impl fmt::Display for BindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a connection has no channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// It was not requested when the connection began.
    NotWanted,
    /// TLS 1.2 without extended_master_secret: an attacker can give two connections the same
    /// binding (RFC 7627 §1, RFC 9266 §4.2).
    NoExtendedMasterSecret,
    /// HTTP/2: many requests at once over one connection (D-17).
    Http2,
    /// The handshake was longer than is recorded, or could not be read.
    NotRecorded,
}

/// The channel bindings of one connection. Treated as secrets: with them, a CSR can be bound to the
/// connection. Overwritten when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Binding {
    /// TLS 1.3.
    Tls13 {
        /// tls-exporter.
        exporter: Zeroizing<[u8; 32]>,
    },
    /// TLS 1.2 with extended_master_secret.
    Tls12 {
        /// tls-unique.
        unique: Zeroizing<[u8; 12]>,
        /// tls-exporter.
        exporter: Zeroizing<[u8; 32]>,
    },
    /// There is none.
    None(Unbound),
}

impl Binding {
    /// The value that a client puts into its CSR (D-03).
    #[must_use]
    pub fn of_choice(&self) -> Option<(BindingKind, &[u8])> {
        match self {
            Self::Tls13 { exporter } => Some((BindingKind::TlsExporter, &exporter[..])),
            Self::Tls12 { unique, .. } => Some((BindingKind::TlsUnique, &unique[..])),
            Self::None(_) => None,
        }
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls13 { .. } => f.write_str("Tls13"),
            Self::Tls12 { .. } => f.write_str("Tls12"),
            Self::None(why) => f.debug_tuple("None").field(why).finish(),
        }
    }
}

/// Whether a connection's binding has served: it serves for one CSR that is accepted
/// (RFC 9266 §4.1, D-05).
#[derive(Debug, Default)]
pub struct Spent(AtomicBool);

impl Spent {
    /// Spends it. False if it was spent before.
    pub fn spend(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Whether it was spent.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_not_shown_and_serves_once() {
        let unique = Zeroizing::new([0x41; 12]);
        let binding = Binding::Tls12 { unique, exporter: Zeroizing::new([0x42; 32]) };
        assert_eq!(format!("{binding:?}"), "Tls12");
        assert_eq!(binding.of_choice(), Some((BindingKind::TlsUnique, &[0x41; 12][..])));
        let spent = Spent::default();
        assert!(!spent.is_spent() && spent.spend() && spent.is_spent() && !spent.spend());
    }
}
