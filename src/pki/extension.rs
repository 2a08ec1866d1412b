//! Certificate extensions: those a CSR requests, and those of a certificate.

use super::{Error, algorithm::described, canonical, oid};
use crate::types::{Code, Rejection};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Reader, Sequence, SliceReader,
    asn1::{BitString, BitStringRef, OctetString, OctetStringRef},
};

/// One extension that a CSR requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Which.
    pub oid: ObjectIdentifier,
    /// Whether it must be critical.
    pub critical: bool,
    /// The bytes inside its OCTET STRING.
    pub value: Vec<u8>,
}

/// Parses Extensions and rejects duplicates (RFC 5280 §4.2).
pub(super) fn requested(der: &[u8]) -> Result<Vec<Requested>, Error> {
    let mut out = read(der).map_err(|rejection| {
        malformed("the extensionRequest holds Extensions (RFC 2985 section 5.4.2)", rejection)
    })?;
    let mut seen: Vec<ObjectIdentifier> = out.iter().map(|extension| extension.oid).collect();
    seen.sort_unstable();
    let twice = seen.iter().zip(seen.iter().skip(1)).find(|(a, b)| a == b);
    if let Some((oid, _)) = twice {
        return Err(malformed(
            "no extension occurs twice (RFC 5280 section 4.2)",
            format!("two of {}", described(*oid)),
        ));
    }
    out.shrink_to_fit();
    Ok(out)
}

fn read(der: &[u8]) -> der::Result<Vec<Requested>> {
    let mut reader = SliceReader::new(der)?;
    let out = reader.sequence(|list| {
        let mut out = Vec::new();
        while !list.is_finished() {
            out.push(list.sequence(|extension| {
                let oid = extension.decode()?;
                canonical::check_oid(&oid)?;
                let critical: Option<bool> = extension.decode()?;
                let value: &OctetStringRef = extension.decode()?;
                Ok::<_, der::Error>(Requested {
                    oid,
                    critical: critical.unwrap_or(false),
                    value: value.as_bytes().to_vec(),
                })
            })?);
        }
        Ok::<_, der::Error>(out)
    })?;
    reader.finish()?;
    Ok(out)
}

fn malformed(rule: &'static str, seen: impl std::fmt::Display) -> Error {
    Error::Malformed(Rejection::new(
        Code::CsrExtensions,
        rule,
        seen,
        "one extensionRequest with each extension once",
    ))
}

pub use crate::types::KeyUsage;

impl KeyUsage {
    /// Reads the extension's value.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no KeyUsage or has no bit set.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let bits = BitStringRef::from_der(der).map_err(|rejection| {
            malformed("keyUsage is a BIT STRING (RFC 5280 section 4.2.1.3)", rejection)
        })?;
        let mut usage = 0u16;
        let mut unknown = false;
        for (position, set) in bits.bits().enumerate() {
            if set && position < 9 {
                usage |= 1 << position;
            }
            unknown |= set && position >= 9;
        }
        if usage == 0 || unknown {
            return Err(malformed(
                "keyUsage has at least one bit set and none that is unknown (RFC 5280 section 4.2.1.3)",
                "none, or unknown ones",
            ));
        }
        Ok(Self::from_bits(usage))
    }

    /// Writes the extension's value: a named-bit list without trailing zero bits (X.690 §11.2.2).
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn to_der(self) -> der::Result<Vec<u8>> {
        let mut bytes = [0u8; 2];
        for bit in 0..9u8 {
            if self.bits() & (1 << bit) != 0
                && let Some(byte) = bytes.get_mut(usize::from(bit / 8))
            {
                *byte |= 0x80 >> (bit % 8);
            }
        }
        let used: &[u8] = match bytes {
            [first, 0] => &[first],
            both => &{ both },
        };
        let unused = used.last().map_or(0, |last| u8::try_from(last.trailing_zeros()).unwrap_or(0));
        BitString::new(unused, used)?.to_der()
    }
}

/// Reads the extKeyUsage extension's value.
///
/// # Errors
/// [`Error::Malformed`] if it is malformed or empty.
pub fn extended_key_usage(der: &[u8]) -> Result<Vec<ObjectIdentifier>, Error> {
    let usages = Vec::<ObjectIdentifier>::from_der(der).map_err(|rejection| {
        malformed("extKeyUsage lists OIDs (RFC 5280 section 4.2.1.12)", rejection)
    })?;
    if usages.is_empty() {
        return Err(malformed(
            "extKeyUsage lists at least one OID (RFC 5280 section 4.2.1.12)",
            "none",
        ));
    }
    Ok(usages)
}

/// Reads the basicConstraints extension's value: whether it requests a CA.
///
/// # Errors
/// [`Error::Malformed`] if it is malformed.
pub fn asks_for_ca(der: &[u8]) -> Result<bool, Error> {
    x509_cert::ext::pkix::BasicConstraints::from_der(der).map(|constraints| constraints.ca).map_err(
        |rejection| malformed("basicConstraints follows RFC 5280 section 4.2.1.9", rejection),
    )
}

/// One extension of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Extension {
    oid: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    value: OctetString,
}

#[derive(Sequence)]
struct KeyIdentifierOnly<'a> {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    key_identifier: &'a OctetStringRef,
}

#[derive(Sequence)]
struct CaConstraints {
    ca: bool,
    #[asn1(optional = "true")]
    path_len: Option<u8>,
}

impl Extension {
    /// The bytes inside its OCTET STRING.
    pub(super) fn value(&self) -> &[u8] {
        self.value.as_bytes()
    }

    fn new(oid: ObjectIdentifier, critical: bool, value: Vec<u8>) -> der::Result<Self> {
        Ok(Self { oid, critical, value: OctetString::new(value)? })
    }

    /// basicConstraints of a CA, critical; `path_len` CAs may follow below it.
    ///
    /// # Errors
    /// Those of the encoder; so for all of these constructors.
    pub fn ca(path_len: Option<u8>) -> der::Result<Self> {
        Self::new(oid::BASIC_CONSTRAINTS, true, CaConstraints { ca: true, path_len }.to_der()?)
    }

    /// keyUsage, critical.
    ///
    /// # Errors
    /// As [`Extension::ca`].
    pub fn key_usage(usage: KeyUsage) -> der::Result<Self> {
        Self::new(oid::KEY_USAGE, true, usage.to_der()?)
    }

    /// extKeyUsage, not critical.
    ///
    /// # Errors
    /// As [`Extension::ca`].
    pub fn extended_key_usage(usages: &[ObjectIdentifier]) -> der::Result<Self> {
        Self::new(oid::EXTENDED_KEY_USAGE, false, usages.to_vec().to_der()?)
    }

    /// subjectAltName; critical if the subject is empty (RFC 5280 §4.2.1.6).
    ///
    /// # Errors
    /// As [`Extension::ca`].
    pub fn subject_alt_name(value: &[u8], subject_is_empty: bool) -> der::Result<Self> {
        Self::new(oid::SUBJECT_ALT_NAME, subject_is_empty, value.to_vec())
    }

    /// subjectKeyIdentifier.
    ///
    /// # Errors
    /// As [`Extension::ca`].
    pub fn subject_key_identifier(identifier: &[u8]) -> der::Result<Self> {
        Self::new(oid::SUBJECT_KEY_IDENTIFIER, false, OctetStringRef::new(identifier)?.to_der()?)
    }

    /// authorityKeyIdentifier with the issuer's key identifier (RFC 5280 §4.2.1.1).
    ///
    /// # Errors
    /// As [`Extension::ca`].
    pub fn authority_key_identifier(identifier: &[u8]) -> der::Result<Self> {
        let value = KeyIdentifierOnly { key_identifier: OctetStringRef::new(identifier)? };
        Self::new(oid::AUTHORITY_KEY_IDENTIFIER, false, value.to_der()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_5280_4_2_1_3_a_key_usage_is_a_minimal_named_bit_list() {
        for (usage, der) in [
            (KeyUsage::DIGITAL_SIGNATURE, &[3, 2, 7, 0x80][..]),
            (KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_ENCIPHERMENT), &[3, 2, 5, 0xa0]),
            (KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_AGREEMENT), &[3, 2, 3, 0x88]),
            (KeyUsage::KEY_CERT_SIGN.and(KeyUsage::CRL_SIGN), &[3, 2, 1, 6]),
            (KeyUsage::from_bits(1 << 8), &[3, 3, 7, 0, 0x80]),
        ] {
            assert_eq!(usage.to_der().unwrap(), der);
            assert_eq!(KeyUsage::parse(der).unwrap(), usage);
        }
        assert!(KeyUsage::parse(&[3, 1, 0]).is_err());
        assert!(KeyUsage::parse(&[3, 2, 7, 0]).is_err());
    }

    #[test]
    fn r_5280_4_2_1_9_a_basic_constraints_of_a_ca() {
        assert_eq!(Extension::ca(None).unwrap().value.as_bytes(), [0x30, 3, 1, 1, 0xff]);
        assert_eq!(
            Extension::ca(Some(0)).unwrap().value.as_bytes(),
            [0x30, 6, 1, 1, 0xff, 2, 1, 0]
        );
    }

    #[test]
    fn r_2986_4_1_a_a_duplicate_extension_is_rejected() {
        let one = [0x30, 9, 6, 3, 0x55, 0x1d, 0x13, 4, 2, 0x30, 0];
        let mut two = vec![0x30, 22];
        two.extend_from_slice(&one);
        two.extend_from_slice(&one);
        assert!(requested(&two).is_err());
        let mut single = vec![0x30, 11];
        single.extend_from_slice(&one);
        assert_eq!(requested(&single).unwrap().len(), 1);
    }
}
