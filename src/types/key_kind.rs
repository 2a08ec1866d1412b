//! The kinds of key that this server signs with or certifies.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An algorithm and its size or curve. RSA kinds are lower bounds of what a profile accepts and
/// exact sizes of what is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyKind {
    /// RSA, with this many bits of modulus: 2048 to 4096.
    Rsa(u16),
    /// ECDSA on secp256r1.
    P256,
    /// ECDSA on secp384r1.
    P384,
    /// ECDSA on secp521r1.
    P521,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

impl KeyKind {
    /// Whether this is an elliptic curve of NIST.
    #[must_use]
    pub const fn is_ec(self) -> bool {
        matches!(self, Self::P256 | Self::P384 | Self::P521)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "rsa-{bits}"),
            Self::P256 => f.write_str("p-256"),
            Self::P384 => f.write_str("p-384"),
            Self::P521 => f.write_str("p-521"),
            Self::Ed25519 => f.write_str("ed25519"),
        }
    }
}

impl FromStr for KeyKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rsa-2048" => Ok(Self::Rsa(2048)),
            "rsa-3072" => Ok(Self::Rsa(3072)),
            "rsa-4096" => Ok(Self::Rsa(4096)),
            "p-256" => Ok(Self::P256),
            "p-384" => Ok(Self::P384),
            "p-521" => Ok(Self::P521),
            "ed25519" => Ok(Self::Ed25519),
            _ => Err(format!(
                "unknown kind of key {text:?}; known: rsa-2048 rsa-3072 rsa-4096 p-256 p-384 p-521 ed25519"
            )),
        }
    }
}

impl TryFrom<String> for KeyKind {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyKind> for String {
    fn from(kind: KeyKind) -> Self {
        kind.to_string()
    }
}
