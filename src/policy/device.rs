//! The rules about devices.

use std::fmt;

/// The keys `devices`, `quota` and `own_keys` of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRules {
    /// Which devices may enroll.
    pub mode: DeviceMode,
    /// How many certificates of a device may be valid at once, unless its record says; none: any number.
    pub quota: Option<u32>,
    /// Whether a key that has a certificate of another device is rejected.
    pub own_keys: bool,
}

/// The key `devices`: which devices may enroll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMode {
    /// Any. One that nobody registered gets a derived id.
    Any,
    /// Any. One that nobody registered is registered with its first certificate.
    JustInTime,
    /// Those that the operator registered.
    Registered,
}

impl DeviceMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Any, Self::JustInTime, Self::Registered];

    /// Its word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::JustInTime => "just-in-time",
            Self::Registered => "registered",
        }
    }
}

impl fmt::Display for DeviceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
