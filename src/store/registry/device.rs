//! Devices: what an operator registered, or what was registered when a device came first.

use crate::types::{DeviceId, Label, ManufacturerName, Time, form::stored_as_number};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A registered device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its id: the record's key.
    pub id: DeviceId,
    /// The identifiers that it can prove, each of one device only.
    pub identifiers: Vec<Identifier>,
    /// The labels under which it may enroll; none: all.
    pub labels: Option<Vec<Label>>,
    /// How many of its certificates may be valid at once; none: as many as the label allows.
    pub quota: Option<u32>,
    /// It may enroll from this time on.
    pub from: Option<Time>,
    /// It may enroll before this time.
    pub until: Option<Time>,
    /// Tags of the operator, by name.
    pub tags: BTreeMap<String, String>,
    /// Whether it may enroll and authenticate.
    pub standing: DeviceStanding,
    /// When it was registered.
    pub registered: Time,
}

impl Device {
    /// Whether it may enroll under the label, or without one.
    #[must_use]
    pub fn permits(&self, label: Option<&Label>) -> bool {
        self.labels.as_ref().is_none_or(|labels| label.is_some_and(|label| labels.contains(label)))
    }

    /// Whether the other says the same, but for standing and time of registration.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        let Self { id, identifiers, labels, quota, from, until, tags, standing: _, registered: _ } =
            self;
        (id, identifiers, labels, quota, from, until, tags)
            == (
                &other.id,
                &other.identifiers,
                &other.labels,
                &other.quota,
                &other.from,
                &other.until,
                &other.tags,
            )
    }
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

stored_as_number!(
    DeviceStanding,
    1 = DeviceStanding::Enabled,
    2 = DeviceStanding::Blocked,
    3 = DeviceStanding::Retired,
);

impl DeviceStanding {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Blocked => "blocked",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for DeviceStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An identifier that a device can prove, and by which it is found. Its text is `KIND:…`.
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
