//! Filters of lists of devices and tokens.

use super::{Device, DeviceStanding, Token};
use crate::types::{DeviceId, Label, Time};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Selects devices to list. Every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Part of the id, without regard to ASCII case.
    pub part: Option<String>,
    /// Whether it may enroll and authenticate.
    pub standing: Option<DeviceStanding>,
    /// A label under which it may enroll.
    pub label: Option<Label>,
    /// A tag's name, and its value if that matters.
    pub tag: Option<(String, Option<String>)>,
}

impl DeviceFilter {
    /// Whether `device` matches.
    #[must_use]
    pub fn matches(&self, device: &Device) -> bool {
        let has_part = |part: &String| {
            device.id.as_str().to_ascii_lowercase().contains(&part.to_ascii_lowercase())
        };
        let has_tag = |(name, value): &(String, Option<String>)| {
            let found = device.tags.get(name);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        self.part.as_ref().is_none_or(has_part)
            && self.standing.is_none_or(|standing| standing == device.standing)
            && self.label.as_ref().is_none_or(|label| device.permits(Some(label)))
            && self.tag.as_ref().is_none_or(has_tag)
    }
}

/// Selects tokens to list. Every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// The label; `Some(None)`: tokens without one.
    pub label: Option<Option<Label>>,
    /// The device that it is for.
    pub device: Option<DeviceId>,
    /// A time at which it can be used.
    pub usable: Option<Time>,
}

impl TokenFilter {
    /// Whether `token` matches.
    #[must_use]
    pub fn matches(&self, token: &Token) -> bool {
        self.label.as_ref().is_none_or(|label| *label == token.label)
            && self.device.as_ref().is_none_or(|device| token.device() == Some(device))
            && self.usable.is_none_or(|at| token.is_usable(at))
    }
}

/// Identifies an import of devices: a number that a store uses once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImportNumber(pub u64);

impl fmt::Display for ImportNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
