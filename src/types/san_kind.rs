//! Kinds of subjectAltName entry.

use std::fmt;

/// A kind of subjectAltName entry (RFC 5280 §4.2.1.6) that a profile may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SanKind {
    /// dNSName.
    Dns,
    /// iPAddress.
    Ip,
    /// uniformResourceIdentifier.
    Uri,
    /// rfc822Name.
    Email,
    /// otherName, such as hardwareModuleName (RFC 4108 §5).
    Other,
}

impl fmt::Display for SanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "dns",
            Self::Ip => "ip",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Other => "other",
        })
    }
}
