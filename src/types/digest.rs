//! The hash functions of signatures.

use std::{fmt, str::FromStr};

/// A hash function with which a CSR may be signed. Ed25519 has its own and leaves no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// All hash functions that are accepted anywhere.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        })
    }
}

impl FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|digest| digest.to_string() == text)
            .ok_or_else(|| "an unknown hash function".to_owned())
    }
}

/// Reads a SHA-256: 64 hexadecimal digits, with or without colons.
#[must_use]
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    base16ct::mixed::decode_vec(digits).ok()?.try_into().ok()
}
