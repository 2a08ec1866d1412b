//! The conditions of an issuance, and the first that does not hold.

use super::{Device, DeviceStanding};
use crate::types::{DeviceId, Serial, Time, TokenId};

/// The conditions that must hold in the very step that records an intent. A retry is answered before any of it is looked
/// at.
///
/// [`Intent::token`](super::super::Intent::token) is consumed if there is one. If the registry knows
/// [`Intent::device`](super::super::Intent::device), it must be enabled, and inside its time window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Whether the registry must know the device.
    pub registered: bool,
    /// Registers this device with the issuance, unless one with its id exists: just in time.
    pub register: Option<Device>,
    /// How many certificates of the device may be valid at once, if its record does not say.
    ///
    /// Counted are certificates that are open or issued, neither revoked nor expired, and without a successor
    /// that is not void. The predecessor of the intent has one with it, as has [`Self::lost`]: a renewal never
    /// exceeds the quota.
    pub quota: Option<u32>,
    /// Whether another device's certificate may not have the key. A certificate without a device counts as
    /// another's, unless the predecessor of the intent has this key and no device either.
    pub own_key: bool,
    /// The certificate of this issuance, with a key that the server made, may not have reached the client: the
    /// token that it consumed is accepted once more for this retry.
    pub lost: Option<Serial>,
}

/// Why an intent was not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// No such token.
    UnknownToken(TokenId),
    /// The token was consumed by this issuance.
    ConsumedToken(Serial),
    /// The token ended at this time.
    ExpiredToken(Time),
    /// The token was disabled.
    DisabledToken,
    /// The registry does not know the device, or the intent has none.
    UnknownDevice(Option<DeviceId>),
    /// The device is blocked or retired.
    Standing(DeviceId, DeviceStanding),
    /// The device may enroll in this time only.
    Window {
        /// From this time on.
        from: Option<Time>,
        /// Before this time.
        until: Option<Time>,
    },
    /// As many certificates as the device may have are valid.
    Quota {
        /// How many it may have.
        quota: u32,
        /// How many are valid.
        valid: u32,
    },
    /// The key has a certificate of another device, or of none.
    Key {
        /// The device.
        device: Option<DeviceId>,
        /// The certificate.
        serial: Serial,
    },
}
