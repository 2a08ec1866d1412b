//! Reports failed TLS handshakes in terms for operators, and at a limited rate: anybody can cause
//! them.

use super::{connections::End, hello::OldVersion, throttle::Throttle};
use rustls::{AlertDescription, Error as Tls};
use std::{
    collections::BTreeMap,
    io,
    io::ErrorKind,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Why a handshake failed.
#[derive(Debug)]
pub(super) enum HandshakeFailure {
    /// Reading or writing, or TLS.
    Io(io::Error),
    /// The client supports no version after this one.
    Old(OldVersion),
    /// It took too long, or other connections needed its place.
    Ended(End),
}

/// Kinds of failure, each with a rate limit of its own: a flood of one must not hide another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HandshakeFailureKind {
    UnknownCa,
    Name,
    Expired,
    Rejected,
    Alert,
    Version,
    Offer,
    NotTls,
    Key,
    Late,
    Closed,
    Other,
}

/// Counts failed handshakes.
#[derive(Debug, Default)]
pub(super) struct Handshakes(Mutex<BTreeMap<HandshakeFailureKind, Throttle>>);

impl Handshakes {
    /// Counts a failure, and logs it unless one of its kind was logged in the last seconds.
    pub(super) fn failed(&self, address: SocketAddr, failure: &HandshakeFailure, now: Instant) {
        let (kind, text) = describe(failure);
        match self.count(kind, now) {
            Some(1) => tracing::warn!("TLS handshake with {address} failed: {text}"),
            Some(number) => tracing::warn!(
                "TLS handshake with {address} failed, as {} others recently: {text}",
                number - 1
            ),
            None => tracing::debug!("TLS handshake with {address} failed: {text}"),
        }
    }

    /// Logs the number of failures that were left out. Call it regularly.
    pub(super) fn sum_up(&self, now: Instant) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, throttle) in kinds.iter_mut() {
            if let Some(number) = throttle.count(0, now) {
                tracing::warn!("{number} more TLS handshakes failed: {}", kind.summary());
            }
        }
    }

    fn count(&self, kind: HandshakeFailureKind, now: Instant) -> Option<usize> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(kind).or_default().count(1, now)
    }
}

impl HandshakeFailureKind {
    const fn summary(self) -> &'static str {
        match self {
            Self::UnknownCa => "the client does not trust this server's CA",
            Self::Name => "the client expects another name in the server's certificate",
            Self::Expired => "the client finds the server's certificate expired",
            Self::Rejected => "the client rejects the server's certificate",
            Self::Alert => "the client ended it",
            Self::Version => "the client offers no TLS version that is accepted",
            Self::Offer => "client and server have nothing in common",
            Self::NotTls => "the client does not speak TLS",
            Self::Key => "the client does not hold the key of its certificate",
            Self::Late => "the client did not finish it in time",
            Self::Closed => "the client closed the connection",
            Self::Other => "other errors",
        }
    }
}

/// Returns the kind of a failure, and its text with the remedy.
fn describe(failure: &HandshakeFailure) -> (HandshakeFailureKind, String) {
    let error = match failure {
        HandshakeFailure::Old(version) => {
            let text = format!(
                "the client offers {version} at most; this server accepts TLS 1.2 and 1.3 (RFC 8996)"
            );
            return (HandshakeFailureKind::Version, text);
        }
        HandshakeFailure::Ended(end) => {
            let why = match end {
                End::Late(_) => "handshake_timeout",
                End::Displaced(_) => "other clients needed its place",
            };
            return (
                HandshakeFailureKind::Late,
                format!("the client did not finish it in time ({why})"),
            );
        }
        HandshakeFailure::Io(error) => error,
    };
    let tls = error.get_ref().and_then(|cause| cause.downcast_ref::<Tls>());
    match tls {
        Some(Tls::AlertReceived(alert)) => described_alert(*alert),
        Some(Tls::PeerIncompatible(what)) => (
            HandshakeFailureKind::Offer,
            format!("client and server have nothing in common: {what:?}; TLS 1.2 or 1.3 with forward secrecy and AEAD is needed"),
        ),
        Some(Tls::InvalidMessage(_)) => (
            HandshakeFailureKind::NotTls,
            "the client does not speak TLS, or speaks it wrongly: its URL must begin with https".to_owned(),
        ),
        Some(Tls::InvalidCertificate(_) | Tls::DecryptError) => (
            HandshakeFailureKind::Key,
            format!("the client does not hold the key of its certificate, or its certificate cannot be read ({error})"),
        ),
        Some(_) => (HandshakeFailureKind::Other, error.to_string()),
        None => match error.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => (
                HandshakeFailureKind::Closed,
                "the client closed the connection without saying why; some do when they do not trust the server's certificate".to_owned(),
            ),
            _ => (HandshakeFailureKind::Other, error.to_string()),
        },
    }
}

/// Describes an alert of the client for the operator (RFC 8446 §6.2).
fn described_alert(alert: AlertDescription) -> (HandshakeFailureKind, String) {
    use AlertDescription as Alert;
    let (kind, name, advice) = match alert {
        Alert::UnknownCA => (
            HandshakeFailureKind::UnknownCa,
            "unknown_ca",
            "the client does not trust this server's CA: install the root certificate (estd ca show) on it",
        ),
        Alert::BadCertificate => (
            HandshakeFailureKind::Rejected,
            "bad_certificate",
            "the client rejects the server's certificate: often it does not trust the CA, or expects another name",
        ),
        Alert::CertificateUnknown => (
            HandshakeFailureKind::Rejected,
            "certificate_unknown",
            "the client rejects the server's certificate: often it does not trust the CA, or expects another name",
        ),
        Alert::UnsupportedCertificate => (
            HandshakeFailureKind::Rejected,
            "unsupported_certificate",
            "the client cannot use the server's certificate: see key in [server.certificate]",
        ),
        Alert::UnrecognisedName => (
            HandshakeFailureKind::Name,
            "unrecognized_name",
            "the client expects another name: see names in [server.certificate]",
        ),
        Alert::CertificateExpired => (
            HandshakeFailureKind::Expired,
            "certificate_expired",
            "the client finds the server's certificate expired: compare its clock with this server's",
        ),
        Alert::ProtocolVersion => (
            HandshakeFailureKind::Version,
            "protocol_version",
            "the client accepts no TLS version of this server: 1.2 and 1.3",
        ),
        Alert::HandshakeFailure => (
            HandshakeFailureKind::Offer,
            "handshake_failure",
            "the client accepts no cipher suite, group or signature of this server",
        ),
        other => {
            return (
                HandshakeFailureKind::Alert,
                format!("the client ended it (alert {}, {other:?})", u8::from(other)),
            );
        }
    };
    let text = match advice.split_once(": ") {
        Some((what, more)) => format!("{what} (alert {name}): {more}"),
        None => format!("{advice} (alert {name})"),
    };
    (kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::progress::Phase;
    use std::time::Duration;

    fn text(failure: &HandshakeFailure) -> String {
        describe(failure).1
    }

    fn of(error: Tls) -> HandshakeFailure {
        HandshakeFailure::Io(io::Error::new(ErrorKind::InvalidData, error))
    }

    #[test]
    fn describes_each_failure_for_the_operator() {
        let alert = |alert| text(&of(Tls::AlertReceived(alert)));
        assert_eq!(
            alert(AlertDescription::UnknownCA),
            "the client does not trust this server's CA (alert unknown_ca): install the root certificate (estd ca show) on it"
        );
        assert_eq!(
            alert(AlertDescription::HandshakeFailure),
            "the client accepts no cipher suite, group or signature of this server (alert handshake_failure)"
        );
        assert_eq!(
            alert(AlertDescription::InternalError),
            "the client ended it (alert 80, InternalError)"
        );
        let end = HandshakeFailure::Ended(End::Late(Phase::Handshake));
        assert_eq!(text(&end), "the client did not finish it in time (handshake_timeout)");
        let closed = HandshakeFailure::Io(io::Error::from(ErrorKind::UnexpectedEof));
        assert!(text(&closed).starts_with("the client closed the connection without saying why"));
        let plain = of(Tls::InvalidMessage(rustls::InvalidMessage::InvalidContentType));
        assert!(text(&plain).contains("must begin with https"));
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other_and_is_counted() {
        let (handshakes, start) = (Handshakes::default(), Instant::now());
        let mut lines = 0;
        for number in 0..10_000 {
            let now = start + Duration::from_millis(number);
            lines += usize::from(handshakes.count(HandshakeFailureKind::Closed, now).is_some());
        }
        assert_eq!(lines, 1, "10 s");
        assert_eq!(
            handshakes.count(HandshakeFailureKind::UnknownCa, start + Duration::from_secs(5)),
            Some(1)
        );
        let later = start + Duration::from_secs(20);
        assert_eq!(handshakes.count(HandshakeFailureKind::Closed, later), Some(10_000));
    }
}
