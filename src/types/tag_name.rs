//! The names of what an operator says of a device.

use std::{fmt, str::FromStr};

/// The longest name, in bytes.
const LONGEST: usize = 32;

/// The name of a device's tag: 1 to 32 characters of `a-z 0-9 _ -`. A plain value without memory of its own,
/// since a template of names holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagName {
    /// Filled up with zeros.
    bytes: [u8; LONGEST],
}

/// Why a text is no [`TagName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag's name is 1 to {LONGEST} characters of a-z 0-9 _ -; got {0:?}")]
pub struct InvalidTagName(String);

impl TagName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(LONGEST);
        self.bytes.get(..end).and_then(|name| str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl FromStr for TagName {
    type Err = InvalidTagName;

    fn from_str(text: &str) -> Result<Self, InvalidTagName> {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if !(1..=LONGEST).contains(&text.len()) || !text.bytes().all(plain) {
            return Err(InvalidTagName(text.chars().take(LONGEST).collect()));
        }
        let mut bytes = [0; LONGEST];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte);
        Ok(Self { bytes })
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "x".repeat(32);
        for good in ["a", "site", "line_2-b", &longest] {
            assert_eq!(good.parse::<TagName>().unwrap().as_str(), good);
        }
        for bad in ["", "Site", "a b", "a.b", "\0", "ä", &"x".repeat(33)] {
            assert!(bad.parse::<TagName>().is_err(), "{bad:?}");
        }
    }
}
