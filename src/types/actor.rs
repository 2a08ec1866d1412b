//! The actor of an event, and its authentication.

use super::form::stored_as_number;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which database of trust anchors validated a certificate (RFC 7030 §1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrustClass {
    /// A CA of this server, or an anchor that the configuration lists beside them.
    Explicit,
    /// A third party, such as a device maker's IDevID CA.
    Implicit,
}

/// How an [`Actor`] was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// The name is not verified.
    Anonymous,
    /// HTTP Basic with an enrollment account (RFC 7030 §3.2.3).
    Password,
    /// TLS client certificate (RFC 7030 §3.3.2).
    Certificate(TrustClass),
    /// A TLS client certificate and, in the same request, an account's password.
    CertificateAndPassword(TrustClass),
    /// A one-time token (RFC 7030 §6).
    Token,
    /// A TLS client certificate and, in the same request, a one-time token.
    CertificateAndToken(TrustClass),
    /// A local operator: the peer credentials of the Unix socket, or the owner of the files.
    Operator,
    /// The server itself.
    Server,
}

stored_as_number!(
    AuthMethod,
    1 = AuthMethod::Anonymous,
    2 = AuthMethod::Password,
    3 = AuthMethod::Certificate(TrustClass::Explicit),
    4 = AuthMethod::Certificate(TrustClass::Implicit),
    5 = AuthMethod::CertificateAndPassword(TrustClass::Explicit),
    6 = AuthMethod::CertificateAndPassword(TrustClass::Implicit),
    7 = AuthMethod::Operator,
    8 = AuthMethod::Server,
    9 = AuthMethod::Token,
    10 = AuthMethod::CertificateAndToken(TrustClass::Explicit),
    11 = AuthMethod::CertificateAndToken(TrustClass::Implicit),
);

impl AuthMethod {
    /// The words of the log, of exports and of the audit file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Password => "password",
            Self::Certificate(TrustClass::Explicit) => "certificate",
            Self::Certificate(TrustClass::Implicit) => "third-party certificate",
            Self::CertificateAndPassword(TrustClass::Explicit) => "certificate and password",
            Self::CertificateAndPassword(TrustClass::Implicit) => {
                "third-party certificate and password"
            }
            Self::Token => "token",
            Self::CertificateAndToken(TrustClass::Explicit) => "certificate and token",
            Self::CertificateAndToken(TrustClass::Implicit) => "third-party certificate and token",
            Self::Operator => "operator",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The actor of an event, and its authentication.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// The account's name, `token` and the beginning of its id, the certificate's subject, the operator's user id, or `estd`. With a
    /// certificate and a password or token: the subject, then the other name in brackets.
    pub name: String,
    /// How it was authenticated.
    pub method: AuthMethod,
}

impl Actor {
    /// Somebody unknown.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: String::new(), method: AuthMethod::Anonymous }
    }

    /// The server itself.
    #[must_use]
    pub fn server() -> Self {
        Self { name: "estd".to_owned(), method: AuthMethod::Server }
    }

    /// The operator with this Unix user id.
    #[must_use]
    pub fn operator(uid: u32) -> Self {
        Self { name: format!("uid {uid}"), method: AuthMethod::Operator }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            AuthMethod::Anonymous => write!(f, "anonymous"),
            _ => write!(f, "{} ({})", self.name, self.method),
        }
    }
}
