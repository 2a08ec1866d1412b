//! Names that appear in paths, in the configuration and in the log.

use super::form::{stored_as_number, stored_as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Why text is no [`Label`] or other name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Wrong length or characters.
    #[error(
        "{what} is 1 to 64 characters of A-Z a-z 0-9 . _ ~ - and not \".\" or \"..\"; got {seen:?}"
    )]
    Form {
        /// The kind of name.
        what: &'static str,
        /// The text, cut to 64 characters.
        seen: String,
    },
    /// A label that is the name of an operation, which RFC 7030 §3.2.2 forbids.
    #[error("a label must not be the name of an operation, and {seen:?} is one of {rfc}")]
    Reserved {
        /// The text.
        seen: String,
        /// The document that names the operation.
        rfc: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let form = !text.is_empty()
                    && text.len() <= 64
                    && text != "."
                    && text != ".."
                    && text.bytes().all(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
                    });
                if !form {
                    return Err(InvalidName::Form {
                        what: $what,
                        seen: text.chars().take(64).collect(),
                    });
                }
                let check: fn(&str) -> Result<(), InvalidName> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        stored_as_text!($type);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The additional path segment that chooses CA, profile and policy (RFC 7030 §3.2.2).
    Label,
    "a label",
    |text| match RESERVED.iter().find(|(_, names)| names.contains(&text)) {
        Some((rfc, _)) => Err(InvalidName::Reserved { seen: text.to_owned(), rfc }),
        None => Ok(()),
    }
);
name!(
    /// The name of a set of rules for one kind of certificate.
    ProfileName,
    "a profile's name",
    |_| Ok(())
);
name!(
    /// The name of a CA in the configuration and in `data/ca`.
    CaName,
    "a CA's name",
    |_| Ok(())
);
name!(
    /// The name of a manufacturer of devices in the configuration.
    ManufacturerName,
    "a manufacturer's name",
    |_| Ok(())
);

/// Path segments that name operations, by the document that defines them.
const RESERVED: [(&str, &[&str]); 4] = [
    (
        "RFC 7030 section 3.2.2",
        &["cacerts", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen", "csrattrs"],
    ),
    (
        "RFC 8295 section 1.1",
        &["pal", "eecerts", "crls", "arls", "symmetrickeys", "firmware", "tamp", "return"],
    ),
    ("RFC 9148 section 4.1 (EST-coaps)", &["crts", "sen", "sren", "skg", "skc", "att", "est"]),
    ("draft-ietf-lamps-est-renewal-info", &["renewal-info"]),
];

/// An operation of RFC 7030. Which of the optional ones a label offers is its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `/cacerts` (RFC 7030 §4.1).
    CaCerts,
    /// `/simpleenroll` (RFC 7030 §4.2.1).
    SimpleEnroll,
    /// `/simplereenroll` (RFC 7030 §4.2.2).
    SimpleReenroll,
    /// `/fullcmc` (RFC 7030 §4.3).
    FullCmc,
    /// `/serverkeygen` (RFC 7030 §4.4).
    ServerKeyGen,
    /// `/csrattrs` (RFC 7030 §4.5).
    CsrAttrs,
}

stored_as_number!(
    Operation,
    1 = Operation::CaCerts,
    2 = Operation::SimpleEnroll,
    3 = Operation::SimpleReenroll,
    4 = Operation::FullCmc,
    5 = Operation::ServerKeyGen,
    6 = Operation::CsrAttrs,
);

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 6] = [
        Self::CaCerts,
        Self::SimpleEnroll,
        Self::SimpleReenroll,
        Self::FullCmc,
        Self::ServerKeyGen,
        Self::CsrAttrs,
    ];

    /// Whether it requests a certificate.
    #[must_use]
    pub const fn enrolls(self) -> bool {
        match self {
            Self::SimpleEnroll | Self::SimpleReenroll | Self::FullCmc | Self::ServerKeyGen => true,
            Self::CaCerts | Self::CsrAttrs => false,
        }
    }

    /// The path segment, which is also the operation's name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CaCerts => "cacerts",
            Self::SimpleEnroll => "simpleenroll",
            Self::SimpleReenroll => "simplereenroll",
            Self::FullCmc => "fullcmc",
            Self::ServerKeyGen => "serverkeygen",
            Self::CsrAttrs => "csrattrs",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id that an answer, its log lines and its record share: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// Creates the id from 8 random bytes.
    #[must_use]
    pub fn new(random: [u8; 8]) -> Self {
        Self(format!("{:016x}", u64::from_be_bytes(random)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_7030_3_2_2_f_a_label_is_no_operation() {
        for (rfc, names) in [
            ("RFC 7030", "cacerts simpleenroll simplereenroll fullcmc serverkeygen csrattrs"),
            // And the second part of serverkeygen/return and others.
            ("RFC 8295", "pal eecerts crls arls symmetrickeys firmware tamp return"),
            ("RFC 9148", "crts sen sren skg skc att est"),
            ("draft-ietf-lamps", "renewal-info"),
        ] {
            for reserved in names.split(' ') {
                let error = reserved.parse::<Label>().unwrap_err().to_string();
                assert!(error.contains(rfc) && error.contains(reserved), "{error}");
            }
        }
        assert!("factory-1".parse::<Label>().is_ok());
        assert!("CACERTS".parse::<Label>().is_ok(), "paths are case-sensitive");
    }

    #[test]
    fn rejects_text_that_a_path_cannot_hold() {
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a%2f", &"x".repeat(65)] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
            assert!(bad.parse::<CaName>().is_err(), "{bad}");
        }
    }
}
