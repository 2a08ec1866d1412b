//! The CAs of this server.

use serde::{Deserialize, Serialize};

/// Shows the CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowCas {}

/// The CAs of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cas {
    /// CAs, by name.
    pub cas: Vec<CaEntry>,
}

/// One CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaEntry {
    /// Name in the configuration.
    pub name: String,
    /// Root certificate: the trust anchor.
    pub root: CaCertificate,
    /// Certificate of the signing key.
    pub issuing: CaCertificate,
}

/// One certificate of a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of the certificate, `AB:CD:…`, to compare out of band (RFC 7030 §4.1.1).
    pub sha256: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// End of validity, inclusive, RFC 3339.
    pub not_after: String,
    /// Certificate, PEM.
    pub pem: String,
}
