//! The rules of a manufacturer of devices.

/// `[manufacturer.NAME]`: a manufacturer that certifies the identity of its devices (IEEE 802.1AR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManufacturerRules {
    /// The trust anchors of its devices: certificates, DER. They count only under labels that accept
    /// this manufacturer.
    pub anchors: Vec<Vec<u8>>,
}
