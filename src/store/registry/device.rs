//! Devices: what an operator registered, or what was registered when a device came first.

use crate::types::{DeviceId, Label, ManufacturerName, Time};
use std::collections::BTreeMap;

/// A registered device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id: the record's key.
    pub id: DeviceId,
    /// What it can prove, each of one device only.
    pub identifiers: Vec<Identifier>,
    /// The labels under which it may enroll; none: all.
    pub labels: Option<Vec<Label>>,
    /// How many of its certificates may be valid at once; none: as many as the label allows.
    pub quota: Option<u32>,
    /// It may enroll from this time on.
    pub from: Option<Time>,
    /// It may enroll before this time.
    pub until: Option<Time>,
    /// What the operator says of it, by name.
    pub tags: BTreeMap<String, String>,
    /// Whether it may enroll and authenticate.
    pub standing: DeviceStanding,
    /// When it was registered.
    pub registered: Time,
}

/// Whether a device may enroll and authenticate. Neither of the others changes a certificate's status: that
/// is a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceStanding {
    /// It may. It is *active* once it has a certificate.
    Enabled,
    /// It may not, until the operator unblocks it.
    Blocked,
    /// It may not any more: it is out of service.
    Retired,
}

/// What a device can prove, and by which it is found. Its text is `KIND:…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// `serial:MANUFACTURER:VALUE`: serialNumber of the subject in a certificate of this manufacturer
    /// (IEEE 802.1AR).
    SerialNumber(ManufacturerName, String),
    /// `hardware:MANUFACTURER:OID:HEX`: hardwareModuleName in a certificate of this manufacturer (RFC 4108
    /// §5).
    HardwareModule {
        /// The manufacturer.
        manufacturer: ManufacturerName,
        /// hwType, dotted.
        hardware: String,
        /// hwSerialNum.
        serial: Vec<u8>,
    },
    /// `san:MANUFACTURER:dns:…`: an entry of the subjectAltName in a certificate of this manufacturer.
    SubjectAltName(ManufacturerName, String),
    /// `spki:HEX`: SHA-256 of the SubjectPublicKeyInfo, of its certificate or CSR.
    Key([u8; 32]),
    /// `certificate:HEX`: SHA-256 of its certificate.
    Fingerprint([u8; 32]),
}
