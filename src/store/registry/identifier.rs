//! The text of an identifier.

use super::Identifier;
use crate::types::{ManufacturerName, hidden_character, parse_sha256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// The longest value of an identifier, in bytes: that of hwSerialNum too.
const LONGEST: usize = 256;

/// The kinds of entries of a subjectAltName that identify a device.
const SAN: [&str; 5] = ["dns:", "ip:", "uri:", "email:", "other:"];

/// Why text is no [`Identifier`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("got {seen:?}; accepts {expected}")]
pub struct InvalidIdentifier {
    seen: String,
    expected: &'static str,
}

impl InvalidIdentifier {
    /// The identifiers that are accepted.
    #[must_use]
    pub const fn expected(&self) -> &'static str {
        self.expected
    }
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    parse_sha256(text)
}

/// Whether the text is an OID: arcs in decimal without leading zeros, at least two.
fn is_oid(text: &str) -> bool {
    let is_arc = |arc: &str| {
        !arc.is_empty()
            && arc.bytes().all(|byte| byte.is_ascii_digit())
            && (arc == "0" || !arc.starts_with('0'))
    };
    text.len() <= LONGEST
        && matches!(text.split_once('.'), Some(("0" | "1" | "2", _)))
        && text.split('.').all(is_arc)
}

fn is_value(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && hidden_character(text).is_none()
}

impl Identifier {
    /// Returns the part after the manufacturer's name.
    fn of_manufacturer<'a>(
        rest: &'a str,
        expected: &'static str,
    ) -> Result<(ManufacturerName, &'a str), &'static str> {
        let (manufacturer, value) = rest.split_once(':').ok_or(expected)?;
        Ok((manufacturer.parse().map_err(|_| expected)?, value))
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        const KINDS: &str = "serial:MANUFACTURER:VALUE, hardware:MANUFACTURER:OID:HEX, \
                             san:MANUFACTURER:dns:NAME, spki:HEX or certificate:HEX";
        const SERIAL: &str = "serial:MANUFACTURER:VALUE, with the name of a configured manufacturer \
                              and a serialNumber of 1 to 256 bytes without hidden characters";
        const HARDWARE: &str = "hardware:MANUFACTURER:OID:HEX, with the name of a configured \
                                manufacturer, a dotted OID and 1 to 256 bytes in hexadecimal";
        const ALT_NAME: &str = "san:MANUFACTURER:ENTRY, with the name of a configured manufacturer and \
                                an entry as dns:, ip:, uri:, email: or other: of at most 256 bytes";
        const SPKI: &str =
            "spki:HEX, with the SHA-256 of a SubjectPublicKeyInfo in 64 hexadecimal digits";
        const CERTIFICATE: &str =
            "certificate:HEX, with the SHA-256 of a certificate in 64 hexadecimal digits";
        let (kind, rest) = text.split_once(':').ok_or(KINDS)?;
        match kind {
            "serial" => {
                let (manufacturer, value) = Self::of_manufacturer(rest, SERIAL)?;
                let value = is_value(value).then(|| value.to_owned()).ok_or(SERIAL)?;
                Ok(Self::SerialNumber(manufacturer, value))
            }
            "hardware" => {
                let (manufacturer, value) = Self::of_manufacturer(rest, HARDWARE)?;
                let (hardware, digits) =
                    value.split_once(':').filter(|(oid, _)| is_oid(oid)).ok_or(HARDWARE)?;
                let serial = base16ct::mixed::decode_vec(digits).map_err(|_| HARDWARE)?;
                if !(1..=LONGEST).contains(&serial.len()) {
                    return Err(HARDWARE);
                }
                Ok(Self::HardwareModule { manufacturer, hardware: hardware.to_owned(), serial })
            }
            "san" => {
                let (manufacturer, entry) = Self::of_manufacturer(rest, ALT_NAME)?;
                let value = SAN.iter().find_map(|kind| entry.strip_prefix(kind));
                if !value.is_some_and(is_value) || !is_value(entry) {
                    return Err(ALT_NAME);
                }
                // DNS names have no case (RFC 4343).
                let entry = match entry.strip_prefix("dns:") {
                    Some(_) => entry.to_ascii_lowercase(),
                    None => entry.to_owned(),
                };
                Ok(Self::SubjectAltName(manufacturer, entry))
            }
            "spki" => sha256(rest).map(Self::Key).ok_or(SPKI),
            "certificate" => sha256(rest).map(Self::Fingerprint).ok_or(CERTIFICATE),
            _ => Err(KINDS),
        }
    }
}

impl FromStr for Identifier {
    type Err = InvalidIdentifier;

    fn from_str(text: &str) -> Result<Self, InvalidIdentifier> {
        Self::read(text).map_err(|expected| InvalidIdentifier {
            seen: text.chars().take(LONGEST).collect(),
            expected,
        })
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = base16ct::lower::encode_string;
        match self {
            Self::SerialNumber(manufacturer, value) => write!(f, "serial:{manufacturer}:{value}"),
            Self::HardwareModule { manufacturer, hardware, serial } => {
                write!(f, "hardware:{manufacturer}:{hardware}:{}", hex(serial))
            }
            Self::SubjectAltName(manufacturer, entry) => write!(f, "san:{manufacturer}:{entry}"),
            Self::Key(digest) => write!(f, "spki:{}", hex(digest)),
            Self::Fingerprint(digest) => write!(f, "certificate:{}", hex(digest)),
        }
    }
}

impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn the_text_is_read_again() {
        for text in [
            "serial:acme:SN 1:2".to_owned(),
            "hardware:acme:1.3.6.1.4.1.99999.1:00ff".to_owned(),
            "san:acme:dns:gate-1.example".to_owned(),
            "san:acme:uri:urn:dev:1".to_owned(),
            format!("spki:{HEX}"),
            format!("certificate:{HEX}"),
        ] {
            let identifier: Identifier = text.parse().unwrap();
            assert_eq!(identifier.to_string(), text);
            let json = serde_json::to_string(&identifier).unwrap();
            assert_eq!(serde_json::from_str::<Identifier>(&json).unwrap(), identifier);
        }
        let upper: Identifier = format!("spki:{}", HEX.to_uppercase()).parse().unwrap();
        assert_eq!(upper.to_string(), format!("spki:{HEX}"));
        let dns: Identifier = "san:acme:dns:GATE.example".parse().unwrap();
        assert_eq!(dns.to_string(), "san:acme:dns:gate.example");
    }

    #[test]
    fn other_text_is_rejected_with_what_is_accepted() {
        let long = format!("serial:acme:{}", "x".repeat(257));
        for (bad, accepted) in [
            ("", "serial:MANUFACTURER:VALUE"),
            ("SN1", "spki:HEX"),
            ("mac:00:11", "serial:MANUFACTURER:VALUE"),
            ("serial:SN1", "serialNumber of 1 to 256 bytes"),
            ("serial:a b:SN1", "configured manufacturer"),
            ("serial:acme:", "1 to 256 bytes"),
            ("serial:acme:a\u{202e}b", "hidden characters"),
            (&long, "1 to 256 bytes"),
            ("hardware:acme:1.2", "OID:HEX"),
            ("hardware:acme:1.02:00", "dotted OID"),
            ("hardware:acme:3.1:00", "dotted OID"),
            ("hardware:acme:1.2:", "1 to 256 bytes"),
            ("hardware:acme:1.2:0g", "hexadecimal"),
            ("san:acme:gate.example", "dns:"),
            ("san:acme:dns:", "dns:"),
            ("spki:00", "64 hexadecimal digits"),
            ("certificate:x", "64 hexadecimal digits"),
        ] {
            let error = bad.parse::<Identifier>().unwrap_err().to_string();
            assert!(error.contains("; accepts ") && error.contains(accepted), "{bad}: {error}");
        }
    }
}
