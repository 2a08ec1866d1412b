//! Errors between a device and its EST server, with their remedies.

use crate::types::{Code, Time};
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

/// The error of a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's address cannot be read.
    #[error("got {seen:?}; expected the address of a server: {why}")]
    Address {
        /// The text.
        seen: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The configuration of the client cannot be used.
    #[error("{what} cannot be used: {why}")]
    Config {
        /// Anchors, identity or account.
        what: &'static str,
        /// The reason.
        why: String,
    },
    /// No TCP connection.
    #[error("no connection to {server}: {source}")]
    Connect {
        /// Host and port.
        server: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The other side took too long.
    #[error("the server did not {what} within {} s", after.as_secs_f32())]
    Timeout {
        /// The awaited step.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The TLS connection failed.
    #[error("TLS: {0}")]
    Tls(TlsError),
    /// No certificate in the server's answer has the configured fingerprint.
    #[error(
        "no CA certificate of the server has the fingerprint given; it sent: {}",
        seen.join("; ")
    )]
    Fingerprint {
        /// Fingerprint and subject of each certificate that the server sent.
        seen: Vec<String>,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("the HTTP exchange failed: {0}")]
    Http(String),
    /// The answer is longer than the limit.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The server answered with another status than 200 or 202.
    #[error("the server answered {}{}{}", .0.status, colon(&.0.text), request(.0.unstated_id()))]
    Rejected(Box<ServerRejection>),
    /// The request awaits a decision (RFC 7030 §4.2.3). Retry with the same key.
    #[error("the request awaits a decision{}", request(request_id.as_ref()))]
    Pending {
        /// When to retry, if the server sent it.
        retry_after: Option<Duration>,
        /// The X-Request-Id field.
        request_id: Option<String>,
    },
    /// The server asked for a password and closed the connection. Retry on another one: it
    /// then carries the password.
    #[error("the server asked for a password and closed the connection")]
    Challenged,
    /// The answer is 200 and not what EST prescribes.
    #[error("the server's answer to {operation} is malformed: {why}")]
    Malformed {
        /// The operation.
        operation: &'static str,
        /// The error.
        why: String,
    },
}

/// The answer of a server that rejected a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRejection {
    /// The HTTP status.
    pub status: u16,
    /// The first line of the body, or X-Reason where that is empty, without control characters, cut to
    /// 500 characters.
    pub text: String,
    /// The X-Request-Id field, which the server's operator finds in the log.
    pub request_id: Option<String>,
    /// When to retry, if the server sent it.
    pub retry_after: Option<Duration>,
    /// The same as a time, by the clock of this device.
    pub retry_at: Option<Time>,
}

impl ServerRejection {
    /// Returns the code that the text begins with, if the server is an estd with a code known to
    /// this version.
    fn code(&self) -> Option<Code> {
        self.text.split_once(':').and_then(|(code, _)| code.parse().ok())
    }

    /// The rule that rejected the request, if the text begins with one as that of estd does:
    /// `csr.key-size: …`.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        let (rule, _) = self.text.split_once(':')?;
        let (area, name) = rule.split_once('.')?;
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|one| one.is_ascii_lowercase() || one == '-')
        };
        (plain(area) && plain(name)).then_some(rule)
    }

    /// The request id, unless the text has it, as that of estd does.
    fn unstated_id(&self) -> Option<&String> {
        self.request_id.as_ref().filter(|id| !self.text.contains(id.as_str()))
    }
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn request(id: Option<&String>) -> String {
    id.map_or_else(String::new, |id| format!(" (request {id})"))
}

/// Why TLS failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The chain leads to none of the anchors.
    #[error("the server's certificate was not issued under the anchors given")]
    UnknownIssuer,
    /// A certificate of the server's chain has expired.
    #[error("the server's certificate expired{}", at(*.not_after))]
    Expired {
        /// When.
        not_after: Option<Time>,
    },
    /// A certificate of the server's chain is not valid yet.
    #[error("the server's certificate is not valid yet{}", at(*.not_before))]
    NotYetValid {
        /// From when on.
        not_before: Option<Time>,
    },
    /// The certificate is for other names (RFC 7030 §3.6).
    #[error("the server's certificate is not for {expected} but for {}", presented.join(", "))]
    NameMismatch {
        /// The host that was connected to.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The certificate is not one of a TLS server.
    #[error("the server's certificate is not allowed for a TLS server")]
    Purpose,
    /// The server rejected the handshake.
    #[error("the server rejected the handshake: {0}")]
    RejectedByServer(String),
    /// The TCP connection ended during the handshake.
    #[error("the connection broke during the handshake: {0}")]
    Broken(String),
    /// The other side does not speak TLS.
    #[error("the server does not speak TLS on this port")]
    NotTls,
    /// Any other error.
    #[error("{0}")]
    Other(String),
}

fn at(time: Option<Time>) -> String {
    time.map_or_else(String::new, |time| format!(" ({time})"))
}

impl From<&rustls::Error> for TlsError {
    fn from(error: &rustls::Error) -> Self {
        let time = |time: &rustls::pki_types::UnixTime| Some(Time::from_unix(time.as_secs()));
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                CertificateError::Expired => Self::Expired { not_after: None },
                CertificateError::ExpiredContext { not_after, .. } => {
                    Self::Expired { not_after: time(not_after) }
                }
                CertificateError::NotValidYet => Self::NotYetValid { not_before: None },
                CertificateError::NotValidYetContext { not_before, .. } => {
                    Self::NotYetValid { not_before: time(not_before) }
                }
                CertificateError::NotValidForNameContext { expected, presented } => {
                    Self::NameMismatch {
                        expected: expected.to_str().into_owned(),
                        presented: presented.iter().map(|name| plain_name(name)).collect(),
                    }
                }
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
                other => Self::Other(format!(
                    "the server's certificate cannot be used: {}",
                    why_unusable(other)
                )),
            },
            rustls::Error::AlertReceived(alert) => Self::RejectedByServer(
                match alert {
                    AlertDescription::CertificateRequired => "it wants a client certificate",
                    AlertDescription::BadCertificate
                    | AlertDescription::UnsupportedCertificate
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::UnknownCA => "it does not accept the client certificate",
                    AlertDescription::CertificateExpired => "the client certificate has expired",
                    AlertDescription::CertificateRevoked => "the client certificate is revoked",
                    AlertDescription::ProtocolVersion => "it does not speak this version of TLS",
                    AlertDescription::HandshakeFailure => "no common algorithms",
                    other => return Self::RejectedByServer(words(&format!("{other:?}"))),
                }
                .to_owned(),
            ),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Why a certificate cannot be used, in plain words.
pub(super) fn why_unusable(error: &CertificateError) -> String {
    match error {
        CertificateError::BadEncoding => "it is not a certificate in DER".to_owned(),
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that est does not know".to_owned()
        }
        CertificateError::BadSignature => "its signature does not verify".to_owned(),
        CertificateError::Revoked => "it is revoked".to_owned(),
        // The name of the library's error, which names a rule of RFC 5280.
        CertificateError::Other(inner) => match inner.0.to_string().as_str() {
            "UnsupportedCertVersion" => {
                "it is of X.509 version 1 or 2; version 3 is needed".to_owned()
            }
            "CaUsedAsEndEntity" => "it is the certificate of a CA, not of a server".to_owned(),
            "EndEntityUsedAsCa" => "a certificate of its chain is not that of a CA".to_owned(),
            other => words(other),
        },
        other => words(format!("{other:?}").split([' ', '(', '{']).next().unwrap_or_default()),
    }
}

/// Turns the name of an error, such as `BadDerTime`, into words: `bad der time`.
fn words(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
        text.extend(character.to_lowercase());
    }
    text
}

/// Takes the name out of `DnsName("est.example")`, as rustls writes it.
fn plain_name(shown: &str) -> String {
    let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(shown, |name| name.trim_matches('"')).to_owned()
}

/// Finds the TLS error among the causes of another.
pub(super) fn tls_error(error: &(dyn StdError + 'static)) -> Option<TlsError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(error.into());
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // Its source() would skip the inner error.
            if let Some(error) = inner.downcast_ref::<rustls::Error>() {
                return Some(error.into());
            }
        }
        cause = error.source();
    }
    None
}

impl Error {
    /// The remedy for the person at the device, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Address { .. } => "write https://host:port",
            Self::Config { .. } => "correct it and run the command again",
            Self::Connect { .. } => {
                "check that the server runs, and the address, the port and the network"
            }
            Self::Timeout { .. } => "try again later; a retry with the same key is safe",
            Self::Tls(error) => match error {
                TlsError::UnknownIssuer => {
                    "fetch the right anchors with \"est cacerts --fingerprint HEX\", the \
                     fingerprint taken from the server's operator"
                }
                TlsError::Expired { .. } | TlsError::NotYetValid { .. } => {
                    "check the clock of this device; if it is right, ask the server's operator"
                }
                TlsError::NameMismatch { .. } => {
                    "connect by one of these names; or have the server's operator add this one to \
                     [server.certificate] names in est.toml and restart the server"
                }
                TlsError::RejectedByServer(_) => {
                    "check the certificate and the version of TLS that this device uses"
                }
                TlsError::Broken(_) => "try again later; check that this is the port of the server",
                TlsError::NotTls => "check the port",
                TlsError::Purpose | TlsError::Other(_) => "ask the server's operator",
            },
            Self::Fingerprint { .. } => {
                "compare with the server's operator; if the fingerprint given is right, this is \
                 not the right server"
            }
            Self::Http(_) => "try again; a retry with the same key is safe",
            Self::TooLong { .. } | Self::Malformed { .. } => {
                "check that this is an EST server; if so, ask its operator"
            }
            Self::Rejected(rejection) => match rejection.status {
                401 => "give credentials that the server knows: an account, or a certificate",
                404 => "check the label, and that the server offers this operation under it",
                400 if rejection.code() == Some(Code::LinkingRequired) => {
                    "bind the request to its connection: est --link always"
                }
                _ if self.is_early() => {
                    return Some(match rejection.retry_at {
                        Some(time) => format!("repeat the same command from {time} on"),
                        None => "repeat the same command later".to_owned(),
                    });
                }
                408 | 429 | 502..=504 => "try again later",
                500.. => "ask the server's operator, with the request id",
                _ => "change the request as the text says, or ask the server's operator",
            },
            Self::Challenged => "repeat the same command",
            Self::Pending { .. } => "repeat the same command later; it keeps its key",
        };
        Some(text.to_owned())
    }

    /// Returns whether the same request may succeed later without a change, and the delay that the
    /// server requested.
    ///
    /// Such errors are: an unreachable server, a timeout, a closed connection, a pending request,
    /// an early renewal, and the statuses 408, 429, 502, 503 and 504.
    #[must_use]
    pub fn later(&self) -> Option<Option<Duration>> {
        match self {
            Self::Pending { retry_after, .. } => Some(*retry_after),
            Self::Rejected(rejection)
                if self.is_early() || matches!(rejection.status, 408 | 429 | 502..=504) =>
            {
                Some(rejection.retry_after)
            }
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Http(_)
            | Self::Challenged
            | Self::Tls(TlsError::Broken(_)) => Some(None),
            _ => None,
        }
    }

    /// Whether the renewal window of the certificate is not open yet. It opens in days rather than
    /// seconds, so that no command should wait for it.
    #[must_use]
    pub fn is_early(&self) -> bool {
        let Self::Rejected(rejection) = self else { return false };
        rejection.status == 403 && rejection.code() == Some(Code::RenewalEarly)
    }

    /// The id by which the server's operator finds the request in the log.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Pending { request_id, .. } => request_id.as_deref(),
            Self::Rejected(rejection) => rejection.request_id.as_deref(),
            _ => None,
        }
    }

    /// One word for programs. It stays the same from version to version.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Address { .. } | Self::Config { .. } => "arguments",
            Self::Connect { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Tls(TlsError::Broken(_)) | Self::Http(_) | Self::Challenged => "broken",
            Self::Tls(_) => "tls",
            Self::Fingerprint { .. } => "fingerprint",
            Self::TooLong { .. } | Self::Malformed { .. } => "malformed",
            Self::Rejected(_) => "rejected",
            Self::Pending { .. } => "pending",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::OtherError;
    use std::sync::Arc;

    /// First-user findings 16 and 26: no text of a library's `Debug` reaches a person.
    #[test]
    fn errors_of_certificates_are_shown_in_words() {
        let other = |name: &'static str| {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
                io::Error::other(name),
            ))))
        };
        for (error, expected) in [
            (other("UnsupportedCertVersion"), "X.509 version 1 or 2"),
            (other("CaUsedAsEndEntity"), "certificate of a CA"),
            (other("PathLenConstraintViolated"), "path len constraint violated"),
            (
                rustls::Error::InvalidCertificate(CertificateError::BadEncoding),
                "not a certificate in DER",
            ),
            (rustls::Error::InvalidCertificate(CertificateError::Revoked), "it is revoked"),
            (
                rustls::Error::AlertReceived(AlertDescription::InsufficientSecurity),
                "insufficient security",
            ),
        ] {
            let text = Error::Tls(TlsError::from(&error)).to_string();
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("Other(") && !text.contains("Error"), "{text}");
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_names_that_are_right() {
        let error = CertificateError::NotValidForNameContext {
            expected: rustls::pki_types::ServerName::try_from("gateway.example").unwrap(),
            presented: vec!["DnsName(\"localhost\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()],
        };
        let error = Error::Tls(TlsError::from(&rustls::Error::InvalidCertificate(error)));
        let expected =
            "the server's certificate is not for gateway.example but for localhost, 10.0.0.1";
        assert_eq!(error.to_string(), format!("TLS: {expected}"));
        assert!(error.remedy().unwrap().contains("[server.certificate] names"));
    }
}
