//! CSR attributes: a server's demands on a CSR (RFC 7030 §4.5.2, RFC 8951 §4, RFC 9908 §3).
//!
//! One answer can be written in two forms: a list of OIDs and attributes, and a template of the
//! CSR. [`CsrAttrsResponse`] is the content of both. A value that the client must fill in is left out; in a
//! subjectAltName it is an entry without content. RFC 9908 §3.4 defines that for iPAddress; here it
//! is also used for dNSName, rfc822Name and uniformResourceIdentifier alike, none of which can be
//! empty in a certificate.
//!
//! Each file names only those below it:
//!
//! | File | Contents |
//! |---|---|
//! | `lines` | what is asked for, in plain words |
//! | `write` | an answer written, in either form or both |
//! | `read` | an answer read, of any server |
//! | `key` | a kind of key as an attribute and as a template |
//! | `asn1` | the types of the list and of the template |
//! | here | the demands |

mod asn1;
mod key;
mod lines;
mod read;
#[cfg(test)]
mod tests;
mod write;

use super::{SubjectAltName, csr::CHALLENGES, oid, san};
use crate::types::{CsrAttribute, KeyKind, SanKind, SubjectAttribute};
use const_oid::ObjectIdentifier;
use der::{
    Encode,
    asn1::{Ia5String, OctetString},
};
use x509_cert::ext::pkix::name::GeneralName;

/// The demands of a server on a CSR. Empty fields demand nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsrAttrsResponse {
    /// Attributes of the subject, in their order in the name.
    pub subject: Vec<SubjectAttribute>,
    /// The kind of key.
    pub key: Option<Key>,
    /// Algorithms for the CSR's signature: it must have the one that fits the key.
    pub signatures: Vec<ObjectIdentifier>,
    /// Extensions that the CSR must request, each once.
    pub extensions: Vec<AskedExtension>,
    /// Further attributes, such as challengePassword.
    pub attributes: Vec<CsrAttribute>,
}

/// A requested kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A supported kind; an RSA kind has the exact size, which may be any.
    Kind(KeyKind),
    /// An unknown algorithm or curve.
    Other(ObjectIdentifier),
}

/// A requested extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedExtension {
    /// Which.
    pub oid: ObjectIdentifier,
    /// The bytes inside its OCTET STRING; none if the client chooses them.
    pub value: Option<Vec<u8>>,
}

impl AskedExtension {
    /// A subjectAltName with an entry of each of these kinds, which the client fills in. otherName is
    /// left out: a client could not know its type.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn open_san(kinds: &[SanKind]) -> der::Result<Self> {
        let empty = || Ia5String::new("");
        let names = kinds
            .iter()
            .filter_map(|kind| match kind {
                SanKind::Dns => Some(empty().map(GeneralName::DnsName)),
                SanKind::Email => Some(empty().map(GeneralName::Rfc822Name)),
                SanKind::Uri => Some(empty().map(GeneralName::UniformResourceIdentifier)),
                SanKind::Ip => Some(OctetString::new([]).map(GeneralName::IpAddress)),
                SanKind::Other => None,
            })
            .collect::<der::Result<Vec<_>>>()?;
        Ok(Self { oid: oid::SUBJECT_ALT_NAME, value: Some(names.to_der()?) })
    }

    /// Whether the client must fill in a value.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Some(value) = &self.value else { return true };
        self.oid == oid::SUBJECT_ALT_NAME
            && SubjectAltName::parse(value)
                .is_ok_and(|san| san.entries().iter().any(san::Entry::is_open))
    }
}

impl CsrAttrsResponse {
    /// Whether it is empty: the answer is then 204 (D-13).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a CSR must be linked to its TLS connection (RFC 7030 §3.5, RFC 7894 §3.3).
    #[must_use]
    pub fn asks_for_linking(&self) -> bool {
        let binding = [oid::CHALLENGE_PASSWORD, oid::EST_IDENTITY_LINKING];
        self.attributes.iter().any(|asked| binding.contains(&asked.kind))
    }
}

/// The attributes that bind a CSR to one connection or one use.
pub(super) fn is_challenge(kind: ObjectIdentifier) -> bool {
    CHALLENGES.contains(&kind)
}
