//! The rules of a CA, and of the server's own certificate.

use crate::types::{CaName, KeyKind};
use std::{net::IpAddr, time::Duration};

/// `[ca.NAME]`: a root and an issuing CA under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaRules {
    /// The key of both.
    pub key: KeyKind,
    /// The root's subject, RFC 4514.
    pub root_subject: String,
    /// The issuing CA's subject, RFC 4514.
    pub issuing_subject: String,
    /// The root's lifetime.
    pub root_validity: Duration,
    /// The issuing CA's lifetime.
    pub issuing_validity: Duration,
}

/// `[server.certificate]`: the server's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificateRules {
    /// The CA that issues it.
    pub ca: CaName,
    /// dNSName entries of its SAN.
    pub names: Vec<String>,
    /// iPAddress entries of its SAN.
    pub addresses: Vec<IpAddr>,
    /// Its key.
    pub key: KeyKind,
    /// Its lifetime; renewed when a third of it is left.
    pub validity: Duration,
}
