//! What may go wrong between a device and its EST server, said so that somebody can act on it.

use crate::types::{Code, Time};
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

/// Why a request was not answered with what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's address cannot be read.
    #[error("{seen:?} is no address of a server: {why}")]
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
        /// What the system says.
        source: io::Error,
    },
    /// The other side took too long.
    #[error("the server did not {what} within {} s", after.as_secs_f32())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The TLS connection failed.
    #[error("TLS: {0}")]
    Tls(TlsFault),
    /// No certificate in the server's answer has the fingerprint given.
    #[error(
        "no CA certificate of the server has the fingerprint given; it sent: {}",
        seen.join("; ")
    )]
    Fingerprint {
        /// Fingerprint and subject of each certificate that the server sent.
        seen: Vec<String>,
    },
    /// The connection broke, or what came over it is no HTTP.
    #[error("the HTTP exchange failed: {0}")]
    Http(String),
    /// The answer is longer than the limit.
    #[error("the answer is longer than {limit} octets")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The server answered with another status than 200 or 202.
    #[error("the server answered {}{}{}", .0.status, colon(&.0.text), request(.0.untold_id()))]
    Refused(Box<Refusal>),
    /// The request awaits a decision (RFC 7030 §4.2.3). Repeat it with the same key.
    #[error("the request awaits a decision{}", request(request_id.as_ref()))]
    Pending {
        /// When to ask again, if the server says.
        retry_after: Option<Duration>,
        /// The X-Request-Id field.
        request_id: Option<String>,
    },
    /// The server asked for a password and closed the connection. Repeat the request on another
    /// one: it is sent with the password then.
    #[error("the server asked for a password and closed the connection")]
    Challenged,
    /// The answer is 200 and not what EST prescribes.
    #[error("the server's answer to {operation} is malformed: {why}")]
    Malformed {
        /// The operation.
        operation: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// A refusal as the server worded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The first line of the body, or X-Reason where that is empty, without control characters, cut to
    /// 500 characters.
    pub text: String,
    /// The X-Request-Id field, which the server's operator finds in the log.
    pub request_id: Option<String>,
    /// When to try again, if the server says.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Returns the code that the text begins with, if the server is an estd whose codes are known here.
    fn code(&self) -> Option<Code> {
        self.text.split_once(':').and_then(|(code, _)| code.parse().ok())
    }

    /// The request id, unless the text says it already, as that of estd does.
    fn untold_id(&self) -> Option<&String> {
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
pub enum TlsFault {
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
    /// The server refused the handshake.
    #[error("the server refused the handshake: {0}")]
    RefusedByServer(String),
    /// The other side does not speak TLS.
    #[error("the server does not speak TLS on this port")]
    NotTls,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

fn at(time: Option<Time>) -> String {
    time.map_or_else(String::new, |time| format!(" ({time})"))
}

impl From<&rustls::Error> for TlsFault {
    fn from(error: &rustls::Error) -> Self {
        let time = |moment: &rustls::pki_types::UnixTime| Some(Time::from_unix(moment.as_secs()));
        match error {
            rustls::Error::InvalidCertificate(fault) => match fault {
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
                        presented: presented.clone(),
                    }
                }
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
                _ => Self::Other(error.to_string()),
            },
            rustls::Error::AlertReceived(alert) => Self::RefusedByServer(
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
                    _ => return Self::RefusedByServer(format!("{alert:?}")),
                }
                .to_owned(),
            ),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Finds the TLS error among the causes of another.
pub(super) fn tls_fault(error: &(dyn StdError + 'static)) -> Option<TlsFault> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<rustls::Error>() {
            return Some(fault.into());
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // Its source() would pass over the inner error itself.
            if let Some(fault) = inner.downcast_ref::<rustls::Error>() {
                return Some(fault.into());
            }
        }
        cause = error.source();
    }
    None
}

impl Error {
    /// What the person at the device may do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Address { .. } => "write https://host:port",
            Self::Config { .. } => return None,
            Self::Connect { .. } => {
                "check that the server runs, and the address, the port and the network"
            }
            Self::Timeout { .. } => "try again later; a repeat with the same key is safe",
            Self::Tls(fault) => match fault {
                TlsFault::UnknownIssuer => {
                    "fetch the right anchors with \"est cacerts --fingerprint HEX\", the \
                     fingerprint taken from the server's operator"
                }
                TlsFault::Expired { .. } | TlsFault::NotYetValid { .. } => {
                    "check the clock of this device; if it is right, tell the server's operator"
                }
                TlsFault::NameMismatch { .. } => {
                    "connect by one of these names, or have the name added to the server's \
                     certificate"
                }
                TlsFault::RefusedByServer(_) => {
                    "check the certificate and the version of TLS that this device uses"
                }
                TlsFault::NotTls => "check the port",
                TlsFault::Purpose | TlsFault::Other(_) => "tell the server's operator",
            },
            Self::Fingerprint { .. } => {
                "compare with the server's operator; if the fingerprint given is right, this is \
                 not the right server"
            }
            Self::Http(_) => "try again; a repeat with the same key is safe",
            Self::TooLong { .. } | Self::Malformed { .. } => {
                "check that this is an EST server; if so, tell its operator"
            }
            Self::Refused(refusal) => match refusal.status {
                401 => "give credentials that the server knows: an account, or a certificate",
                404 => "check the label",
                400 if refusal.code() == Some(Code::LinkingRequired) => {
                    "bind the request to its connection: est --link always"
                }
                429 | 503 => "try again later",
                500.. => "tell the server's operator, with the request id",
                _ => "change the request as the text says, or ask the server's operator",
            },
            Self::Challenged => "repeat the same command",
            Self::Pending { .. } => "repeat the same command later; it keeps its key",
        };
        Some(text.to_owned())
    }

    /// Whether the same request may succeed later, and when the server would like to be asked.
    #[must_use]
    pub fn later(&self) -> Option<Option<Duration>> {
        match self {
            Self::Pending { retry_after, .. } => Some(*retry_after),
            Self::Refused(refusal) if matches!(refusal.status, 429 | 503) => {
                Some(refusal.retry_after)
            }
            _ => None,
        }
    }
}
