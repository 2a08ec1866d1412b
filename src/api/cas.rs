//! The CAs of this server.

use serde::{Deserialize, Serialize};

/// Asks for the CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowCas {}

/// The CAs of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cas {
    /// By name.
    pub cas: Vec<CaEntry>,
}

/// One CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaEntry {
    /// Its name in the configuration.
    pub name: String,
    /// The root: the trust anchor.
    pub root: CaCertificate,
    /// The certificate of the key that signs.
    pub issuing: CaCertificate,
}

/// One certificate of a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of the whole certificate, `AB:CD:…`: compare it out of band (RFC 7030 §4.1.1).
    pub sha256: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Last moment of validity, RFC 3339.
    pub not_after: String,
    /// The certificate.
    pub pem: String,
}
