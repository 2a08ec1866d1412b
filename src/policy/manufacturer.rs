//! The rules of a manufacturer of devices.

use std::{path::PathBuf, time::Duration};

/// `[manufacturer.NAME]`: a manufacturer that certifies the identity of its devices (IEEE 802.1AR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManufacturerRules {
    /// The trust anchors of its devices: certificates, DER. They count only under labels that accept
    /// this manufacturer.
    pub anchors: Vec<Vec<u8>>,
    /// Files with the CRLs of its CAs, one for each. Without any, revocation is not checked.
    pub crl_files: Vec<PathBuf>,
    /// How long after its nextUpdate a CRL still counts.
    pub crl_grace: Duration,
}
