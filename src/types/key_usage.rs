//! Key usage: the permitted uses of a key.

use super::KeyKind;

/// keyUsage bits in the order of RFC 5280 §4.2.1.3: bit 0 is digitalSignature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u16);

const NAMES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// nonRepudiation (contentCommitment).
    pub const NON_REPUDIATION: Self = Self(1 << 1);
    /// keyEncipherment.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// dataEncipherment.
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// keyAgreement.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// keyCertSign.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// cRLSign.
    pub const CRL_SIGN: Self = Self(1 << 6);

    /// Creates it from the bits; those that RFC 5280 does not name are dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0x1ff)
    }

    /// The bits; bit 0 is digitalSignature.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The bit of this name (RFC 5280 §4.2.1.3).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(|bit| Self(1 << bit))
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `other` is set here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits, in order.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        NAMES
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| *name)
            .collect()
    }

    /// All that a key of this kind can be used for in the certificate of a device (RFC 5280
    /// §4.2.1.3, RFC 8813, RFC 8410 §5).
    #[must_use]
    pub const fn possible(kind: KeyKind) -> Self {
        let signing = Self::DIGITAL_SIGNATURE.and(Self::NON_REPUDIATION);
        match kind {
            KeyKind::Rsa(_) => signing.and(Self::KEY_ENCIPHERMENT),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => signing.and(Self::KEY_AGREEMENT),
            KeyKind::Ed25519 => signing,
        }
    }
}
