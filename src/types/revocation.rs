//! Why a certificate is no longer to be trusted.

use super::form;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{fmt, str::FromStr};

/// The reason of a revocation: a CRLReason (RFC 5280 §5.3.1).
///
/// Revocation is permanent, so certificateHold and removeFromCRL are not supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// No reason was specified.
    #[default]
    Unspecified = 0,
    /// The private key is in other hands, or may be.
    KeyCompromise = 1,
    /// The same of a CA's key.
    CaCompromise = 2,
    /// The names or other facts in the certificate no longer hold.
    AffiliationChanged = 3,
    /// Another certificate took its place.
    Superseded = 4,
    /// It is no longer needed for what it was issued for.
    CessationOfOperation = 5,
    /// A right that the certificate stands for was taken away.
    PrivilegeWithdrawn = 9,
    /// The key of an attribute authority is in other hands, or may be.
    AaCompromise = 10,
}

/// Why a text or a number is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen} is no reason of a revocation; reasons: {}", RevocationReason::names())]
pub struct InvalidReason {
    seen: String,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The number of the CRLReason.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name of the CRLReason, as RFC 5280 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl TryFrom<u8> for RevocationReason {
    type Error = InvalidReason;
    fn try_from(code: u8) -> Result<Self, InvalidReason> {
        let known = Self::ALL.into_iter().find(|reason| reason.code() == code);
        known.ok_or_else(|| InvalidReason { seen: format!("CRLReason {code}") })
    }
}

impl Serialize for RevocationReason {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(self.as_str())
        } else {
            to.serialize_u8(self.code())
        }
    }
}

impl<'de> Deserialize<'de> for RevocationReason {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            return form::read_text(from);
        }
        u8::deserialize(from)?.try_into().map_err(D::Error::custom)
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads the name without regard to case: cACompromise is easily mistyped.
impl FromStr for RevocationReason {
    type Err = InvalidReason;
    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| InvalidReason {
            seen: format!("{:?}", text.chars().take(64).collect::<String>()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_read_from_its_name_and_its_number() {
        for reason in RevocationReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
            assert_eq!(RevocationReason::try_from(reason.code()), Ok(reason));
        }
        assert_eq!("KEYcompromise".parse(), Ok(RevocationReason::KeyCompromise));
        let rejection = "certificateHold".parse::<RevocationReason>().unwrap_err().to_string();
        assert!(
            rejection.contains("certificateHold") && rejection.contains("keyCompromise"),
            "{rejection}"
        );
        for code in [6, 7, 8, 11] {
            assert!(RevocationReason::try_from(code).is_err(), "{code}");
        }
    }
}
