//! The ids of devices.

use super::{Label, form::stored_as_text};
use std::{fmt, str::FromStr};

/// The longest id that an operator may register, in characters.
const LONGEST: usize = 128;

/// The id of a device: one that an operator registered, or one that the server derived.
///
/// A derived id begins with `~`, the label and `/`. No registered id can, so the two never meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(String);

/// Why text is no [`DeviceId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device id is 1 to {LONGEST} characters of A-Z a-z 0-9 . _ : -; got {0:?}")]
pub struct InvalidDeviceId(String);

impl DeviceId {
    /// Derives the id of a device that nobody registered: under this label, with this digest of what the
    /// device proved when it came first.
    #[must_use]
    pub fn derived(label: Option<&Label>, digest: &[u8; 32]) -> Self {
        // 128 bits: as many as make a second device with the same id impossible to find.
        let digest = digest.split_at(16).0;
        let label = label.map_or("", Label::as_str);
        Self(format!("~{label}/{}", base16ct::lower::encode_string(digest)))
    }

    /// Whether the server derived it.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.0.starts_with('~')
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_derived_form(text: &str) -> bool {
        let Some((label, digest)) = text.strip_prefix('~').and_then(|rest| rest.split_once('/'))
        else {
            return false;
        };
        (label.is_empty() || label.parse::<Label>().is_ok())
            && digest.len() == 32
            && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl FromStr for DeviceId {
    type Err = InvalidDeviceId;

    /// Reads a registered or a derived id.
    fn from_str(text: &str) -> Result<Self, InvalidDeviceId> {
        let registered = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
            });
        if registered || Self::is_derived_form(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidDeviceId(text.chars().take(LONGEST).collect()))
    }
}

stored_as_text!(DeviceId);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_never_a_registered_one() {
        let label: Label = "factory".parse().unwrap();
        for label in [None, Some(&label)] {
            let id = DeviceId::derived(label, &[0xAB; 32]);
            assert!(id.is_derived());
            assert_eq!(id.as_str().parse(), Ok(id));
        }
        assert_eq!(
            DeviceId::derived(Some(&label), &[1; 32]).as_str(),
            "~factory/01010101010101010101010101010101"
        );
        let registered: DeviceId = "urn:dev:mac:0024be-fffe.80_4ff1".parse().unwrap();
        assert!(!registered.is_derived());
    }

    #[test]
    fn other_text_is_none() {
        let long = "x".repeat(129);
        for bad in
            ["", "a b", "a/b", "~x", "~", "~/", "ä", "a\0", "a,b", &long, "~a/ABCDEF", "~a b/0101"]
        {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
        assert!("x".repeat(128).parse::<DeviceId>().is_ok());
    }
}
