//! `devices`, `quota` and `own_keys` of a label.

use crate::{
    config::section::Section,
    policy::{DeviceMode, DeviceRules},
};

/// The largest quota: more certificates of one device are a mistake.
const MOST: usize = 10_000;

/// Reads the rules about devices.
pub(super) fn devices(section: &Section<'_>) -> DeviceRules {
    let modes = DeviceMode::ALL.map(|mode| (mode.as_str(), mode));
    let mode = section.one_of("devices", &modes, DeviceMode::Any);
    let quota = section.number("quota", MOST, 1..=MOST);
    DeviceRules {
        mode,
        quota: section.has("quota").then(|| u32::try_from(quota).unwrap_or(u32::MAX)),
        own_keys: section.boolean("own_keys", mode == DeviceMode::Registered),
    }
}
