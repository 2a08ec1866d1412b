//! The serial number of a certificate (RFC 5280 §4.1.2.2).

use super::form;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A certificate's serial number: 1 to 20 bytes, positive, without a leading zero byte beyond
/// the one that DER needs for the sign. Its text form is lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// Why bytes or text are no serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a serial number is 1 to 20 bytes, positive, written in hexadecimal; got {0:?}")]
pub struct InvalidSerial(String);

impl Serial {
    /// Parses the content bytes of the INTEGER, as in DER.
    ///
    /// # Errors
    /// [`InvalidSerial`] without bytes, with more than 20, or if the number is not positive.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidSerial> {
        let positive = match bytes {
            [] | [0] => false,
            [0x80..=0xff, ..] => false,
            [0, second, ..] => *second >= 0x80,
            _ => true,
        };
        if !positive || bytes.len() > 20 {
            return Err(InvalidSerial(hex(bytes)));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The serial number 1, which this server gives to no certificate: a placeholder.
    #[must_use]
    pub fn placeholder() -> Self {
        Self(vec![1])
    }

    /// The content bytes of the INTEGER.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            return form::read_text(from);
        }
        form::read_bytes(from, |bytes| Self::parse(bytes).map_err(|error| error.to_string()))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads hexadecimal in either case, with or without colons between bytes.
impl FromStr for Serial {
    type Err = InvalidSerial;
    fn from_str(text: &str) -> Result<Self, InvalidSerial> {
        let rejection = || InvalidSerial(text.chars().take(64).collect());
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let bytes = base16ct::mixed::decode_vec(digits).map_err(|_| rejection())?;
        Self::parse(&bytes).map_err(|_| rejection())
    }
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes.get(..32).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_positive_numbers_of_at_most_twenty_bytes() {
        assert!(Serial::parse(&[1]).is_ok());
        assert!(Serial::parse(&[0, 0x80]).is_ok());
        assert!(Serial::parse(&[0x7f; 20]).is_ok());
        for bad in [&[][..], &[0], &[0x80], &[0, 1], &[0x7f; 21]] {
            assert!(Serial::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn reads_its_own_text() {
        let serial = Serial::parse(&[0x0c, 0xef, 1]).unwrap();
        assert_eq!(serial.to_string(), "0cef01");
        assert_eq!("0C:EF:01".parse::<Serial>().unwrap(), serial);
        for bad in ["", "0", "zz", "+1", "00"] {
            assert!(bad.parse::<Serial>().is_err(), "{bad}");
        }
    }
}
