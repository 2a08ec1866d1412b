//! Proofs of identity, and the combinations of them that a label accepts.

use crate::types::{InvalidName, Label, ManufacturerName};
use std::{fmt, str::FromStr};

/// A proof of a client's identity (RFC 7030 §3.2.3, §3.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate of the label's CA, on record here.
    Certificate,
    /// A certificate that was issued under this label, on record here.
    CertificateOf(Label),
    /// A certificate of this manufacturer (IEEE 802.1AR).
    Manufacturer(ManufacturerName),
    /// A certificate of the label's CA with id-kp-cmcRA: a registration authority (RFC 7030 §3.7).
    Ra,
    /// The password of an account, proved by this scheme.
    Password(Scheme),
    /// A one-time token (RFC 7030 §6).
    Token,
}

impl Proof {
    /// The words of the configuration.
    pub const WORDS: &str = "certificate, certificate:LABEL, manufacturer:NAME, ra, password, password:digest, password:digest-md5 and token";

    /// Returns what a client shows to give this proof.
    #[must_use]
    pub const fn meaning(&self) -> &'static str {
        match self {
            Self::Certificate => "a certificate of the label's CA, on record here and not revoked",
            Self::CertificateOf(_) => {
                "a certificate that was issued under this label, on record here and not revoked"
            }
            Self::Manufacturer(_) => {
                "a certificate whose path ends in an anchor of `[manufacturer.NAME]` (IEEE 802.1AR)"
            }
            Self::Ra => {
                "a certificate of the label's CA with cmcRA; with `ra_keys`, of one of these keys"
            }
            Self::Password(Scheme::Basic | Scheme::Token) => {
                "the password of an account, by HTTP Basic"
            }
            Self::Password(Scheme::Digest) => {
                "the password of an account, by HTTP Digest with SHA-256"
            }
            Self::Password(Scheme::DigestMd5) => {
                "the password of an account, by HTTP Digest with MD5, for clients that know nothing else"
            }
            Self::Token => {
                "a one-time token of `estd token create`, as the password of HTTP Basic; it gives one certificate"
            }
        }
    }

    /// Returns the scheme of a password or token; `None` if the proof is a certificate.
    #[must_use]
    pub const fn scheme(&self) -> Option<Scheme> {
        match self {
            Self::Password(scheme) => Some(*scheme),
            Self::Token => Some(Scheme::Token),
            Self::Certificate | Self::CertificateOf(_) | Self::Manufacturer(_) | Self::Ra => None,
        }
    }

    /// Whether the proof is a certificate.
    #[must_use]
    pub const fn is_certificate(&self) -> bool {
        self.scheme().is_none()
    }

    /// Whether the proof is the password of an account.
    #[must_use]
    pub const fn is_of_account(&self) -> bool {
        matches!(self, Self::Password(_))
    }

    /// Whether the proof is a certificate that this server issued.
    #[must_use]
    pub const fn is_own_certificate(&self) -> bool {
        matches!(self, Self::Certificate | Self::CertificateOf(_) | Self::Ra)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate => f.write_str("certificate"),
            Self::CertificateOf(label) => write!(f, "certificate:{label}"),
            Self::Manufacturer(name) => write!(f, "manufacturer:{name}"),
            Self::Ra => f.write_str("ra"),
            Self::Password(Scheme::Basic) => f.write_str("password"),
            Self::Password(scheme) => write!(f, "password:{scheme}"),
            Self::Token => f.write_str("token"),
        }
    }
}

/// Why a text is no [`Proof`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProof {
    /// It is none of the words.
    #[error("got {0:?}; expected: one of {words}", words = Proof::WORDS)]
    Word(String),
    /// The name after the colon is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for Proof {
    type Err = InvalidProof;

    fn from_str(text: &str) -> Result<Self, InvalidProof> {
        Ok(match text.split_once(':') {
            None if text == "certificate" => Self::Certificate,
            None if text == "ra" => Self::Ra,
            None if text == "password" => Self::Password(Scheme::Basic),
            None if text == "token" => Self::Token,
            Some(("certificate", label)) => Self::CertificateOf(label.parse()?),
            Some(("manufacturer", name)) => Self::Manufacturer(name.parse()?),
            Some(("password", "digest")) => Self::Password(Scheme::Digest),
            Some(("password", "digest-md5")) => Self::Password(Scheme::DigestMd5),
            _ => return Err(InvalidProof::Word(text.chars().take(64).collect())),
        })
    }
}

/// The combinations of proofs that a label accepts: any alternative, and of that all proofs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept(Vec<Vec<Proof>>);

impl Accept {
    /// Makes a list of alternatives.
    #[must_use]
    pub const fn new(alternatives: Vec<Vec<Proof>>) -> Self {
        Self(alternatives)
    }

    /// Returns the alternatives in the order of the configuration.
    pub fn alternatives(&self) -> impl Iterator<Item = &[Proof]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Returns all proofs, each as often as it is written.
    pub fn proofs(&self) -> impl Iterator<Item = &Proof> {
        self.0.iter().flatten()
    }

    /// Whether any alternative needs this proof.
    #[must_use]
    pub fn has(&self, proof: &Proof) -> bool {
        self.proofs().any(|one| one == proof)
    }

    /// Returns the schemes of passwords in the order of their challenges, each once.
    pub fn schemes(&self) -> impl Iterator<Item = Scheme> {
        let all = || self.proofs().filter_map(Proof::scheme);
        all()
            .enumerate()
            .filter(move |(at, scheme)| !all().take(*at).any(|one| one == *scheme))
            .map(|(_, scheme)| scheme)
    }
}

/// As the configuration writes it: `certificate`, or `password and manufacturer:acme`.
impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, alternative) in self.alternatives().enumerate() {
            f.write_str(if at == 0 { "" } else { "; or " })?;
            for (at, proof) in alternative.iter().enumerate() {
                write!(f, "{}{proof}", if at == 0 { "" } else { " and " })?;
            }
        }
        Ok(())
    }
}

/// A scheme by which a client proves its password (RFC 7030 §3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP Basic (RFC 7617).
    Basic,
    /// HTTP Digest with SHA-256 (RFC 7616).
    Digest,
    /// HTTP Digest with MD5, for clients that support nothing else.
    DigestMd5,
    /// A one-time token in place of a password, by HTTP Basic.
    Token,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "basic",
            Self::Digest => "digest",
            Self::DigestMd5 => "digest-md5",
            Self::Token => "token",
        })
    }
}
