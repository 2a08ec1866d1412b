//! Certificates (RFC 5280 §4.1), read.

use super::{
    DistinguishedName, Error, PublicKey, SubjectAltName,
    csr_builder::{CsrError, not_der},
    extension::{self, KeyUsage},
    oid,
};
use crate::types::{Code, Rejection, Serial, Time};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Header, Reader, SliceReader, Tag, TagNumber,
    asn1::{AnyRef, BitStringRef, OctetStringRef},
};
use spki::AlgorithmIdentifierRef;
use std::{fmt, ops::Range};
use x509_cert::time::Time as X509Time;

/// A certificate that was parsed and not verified.
///
/// Certificates are compared by [`Certificate::tbs`], never by their DER. ECDSA signatures are
/// malleable, so a holder of a certificate can create another encoding that verifies, too.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    /// Where the TBSCertificate is in `der`.
    tbs: Range<usize>,
    serial: Serial,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    spki: Vec<u8>,
    not_before: Time,
    not_after: Time,
    san: Option<SubjectAltName>,
    key_usage: Option<Vec<u8>>,
    extended_key_usage: Vec<ObjectIdentifier>,
    subject_key_identifier: Option<Vec<u8>>,
    extensions: Vec<ObjectIdentifier>,
}

impl Certificate {
    /// Reads a certificate (DER).
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not a certificate, or if its serial number, names, SAN or
    /// extKeyUsage cannot be read.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let parts = CertificateFields::read(der).map_err(malformed)?;
        let value = |oid| parts.extension(oid).map(|one| one.value);
        let subject_key_identifier = value(oid::SUBJECT_KEY_IDENTIFIER)
            .map(<&OctetStringRef as Decode<'_>>::from_der)
            .transpose()
            .map_err(malformed)?
            .map(|identifier| identifier.as_bytes().to_vec());
        Ok(Self {
            der: der.to_vec(),
            tbs: parts.tbs.clone(),
            serial: Serial::parse(parts.serial).map_err(malformed)?,
            issuer: DistinguishedName::parse(parts.issuer)?,
            subject: DistinguishedName::parse(parts.subject)?,
            spki: parts.public_key_spki.to_vec(),
            not_before: parts.not_before,
            not_after: parts.not_after,
            san: value(oid::SUBJECT_ALT_NAME).map(SubjectAltName::parse).transpose()?,
            key_usage: value(oid::KEY_USAGE).map(<[u8]>::to_vec),
            extended_key_usage: value(oid::EXTENDED_KEY_USAGE)
                .map(extension::extended_key_usage)
                .transpose()?
                .unwrap_or_default(),
            subject_key_identifier,
            extensions: parts.extensions.iter().map(|one| one.oid).collect(),
        })
    }

    /// The bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the TBSCertificate, DER: the bytes that the issuer signed (RFC 5280 §4.1.1.1).
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        self.der.get(self.tbs.clone()).unwrap_or_default()
    }

    /// PEM (RFC 7468).
    #[must_use]
    pub fn to_pem(&self) -> String {
        super::pem::encode_certificates([self.der.as_slice()])
    }

    /// The serial number.
    #[must_use]
    pub const fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The issuer.
    #[must_use]
    pub const fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// The subject.
    #[must_use]
    pub const fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The first second of validity.
    #[must_use]
    pub const fn not_before(&self) -> Time {
        self.not_before
    }

    /// The last second of validity.
    #[must_use]
    pub const fn not_after(&self) -> Time {
        self.not_after
    }

    /// The subjectAltName.
    #[must_use]
    pub const fn san(&self) -> Option<&SubjectAltName> {
        self.san.as_ref()
    }

    /// Whether both have the same names (D-08). Subjects are compared by value in order,
    /// subjectAltNames as sets of encodings. Two absent ones are equal; one absent is not.
    #[must_use]
    pub fn has_names_of(&self, other: &Self) -> bool {
        let san = match (&self.san, &other.san) {
            (Some(one), Some(other)) => one.same_as(other),
            (None, None) => true,
            _ => false,
        };
        san && self.subject.same_as(&other.subject)
    }

    /// keyUsage; without one the key is for everything.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it cannot be read.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, Error> {
        self.key_usage.as_deref().map(KeyUsage::parse).transpose()
    }

    /// extKeyUsage; empty without one.
    #[must_use]
    pub fn extended_key_usage(&self) -> &[ObjectIdentifier] {
        &self.extended_key_usage
    }

    /// The subjectKeyIdentifier's bytes.
    #[must_use]
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.subject_key_identifier.as_deref()
    }

    /// Returns the subjectKeyIdentifier; for a certificate without one, the identifier by method 1
    /// of RFC 5280 §4.2.1.2. Empty for a key of an unsupported kind.
    #[must_use]
    pub fn key_identifier(&self) -> Vec<u8> {
        self.subject_key_identifier.clone().unwrap_or_else(|| {
            PublicKey::parse(&self.spki).map(|key| key.identifier()).unwrap_or_default()
        })
    }

    /// Whether it has this extension.
    #[must_use]
    pub fn has_extension(&self, oid: ObjectIdentifier) -> bool {
        self.extensions.contains(&oid)
    }

    /// SHA-256 of the whole certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(super::sha256(&self.der))
    }
}

/// Returns the TBSCertificate of a certificate (both DER) without reading the rest of it; none if it
/// is not a certificate.
#[must_use]
pub fn tbs(certificate: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(certificate).ok()?;
    Header::decode(&mut reader).ok().filter(|outer| outer.tag() == Tag::Sequence)?;
    reader.tlv_bytes().ok()
}

/// Returns the SHA-256 fingerprint of a certificate as tools print it: `AB:CD:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(position, byte)| {
            if position > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")
        })
    }
}

/// Fields of a certificate, byte for byte.
///
/// Devices copy and print them. They must accept anchors with serial numbers and names that
/// [`Certificate`] rejects.
#[derive(Debug)]
pub struct CertificateFields<'a> {
    /// Where the TBSCertificate is.
    pub(super) tbs: Range<usize>,
    /// The issuer, a Name.
    pub issuer: &'a [u8],
    /// The subject, a Name.
    pub subject: &'a [u8],
    /// The serial number: the content of its INTEGER.
    pub serial: &'a [u8],
    /// First second of validity.
    pub not_before: Time,
    /// Last second of validity.
    pub not_after: Time,
    /// The SubjectPublicKeyInfo.
    pub public_key_spki: &'a [u8],
    /// The extensions; none in a version 1 certificate.
    pub(super) extensions: Vec<CertificateExtension<'a>>,
}

/// An extension of a certificate.
#[derive(Debug)]
pub struct CertificateExtension<'a> {
    pub(super) oid: ObjectIdentifier,
    /// Whether a reader that does not know it must reject the certificate.
    pub critical: bool,
    /// The content of its OCTET STRING.
    pub value: &'a [u8],
}

impl<'a> CertificateFields<'a> {
    /// Parses a certificate. Its signature is not verified.
    ///
    /// # Errors
    /// [`CsrError::Der`] if it is not a certificate.
    pub fn parse(certificate: &'a [u8]) -> Result<Self, CsrError> {
        Self::read(certificate).map_err(not_der("the certificate"))
    }

    /// The extension with this identifier.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&CertificateExtension<'a>> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    /// The subject as RFC 4514 text, for people to read.
    #[must_use]
    pub fn subject_text(&self) -> String {
        DistinguishedName::parse(self.subject)
            .map_or_else(|_| "(unreadable)".to_owned(), |name| name.to_string())
    }

    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let parts = reader.sequence(|certificate| {
            let start = usize::try_from(certificate.position())?;
            let parts = certificate.sequence(Self::read_tbs)?;
            let tbs = start..usize::try_from(certificate.position())?;
            let _algorithm: AlgorithmIdentifierRef<'_> = certificate.decode()?;
            let _signature: BitStringRef<'_> = certificate.decode()?;
            Ok::<_, der::Error>(Self { tbs, ..parts })
        })?;
        reader.finish()?;
        Ok(parts)
    }

    fn read_tbs(tbs: &mut SliceReader<'a>) -> der::Result<Self> {
        let context =
            |number| Tag::ContextSpecific { constructed: true, number: TagNumber(number) };
        if Tag::peek(tbs)? == context(0) {
            tbs.tlv_bytes()?;
        }
        let serial: AnyRef<'a> = tbs.decode()?;
        let _algorithm: AlgorithmIdentifierRef<'_> = tbs.decode()?;
        let issuer = name(tbs)?;
        let (not_before, not_after) =
            tbs.sequence(|validity| Ok::<_, der::Error>((time(validity)?, time(validity)?)))?;
        let subject = name(tbs)?;
        let public_key_spki = tbs.tlv_bytes()?;
        let mut extensions = Vec::new();
        while !tbs.is_finished() {
            let field: AnyRef<'a> = tbs.decode()?;
            if der::Tagged::tag(&field) == context(3) {
                let mut reader = SliceReader::new(field.value())?;
                reader.sequence(|list| {
                    while !list.is_finished() {
                        extensions.push(list.sequence(|extension| {
                            let oid = extension.decode()?;
                            let critical: Option<bool> = extension.decode()?;
                            let value: &'a OctetStringRef = extension.decode()?;
                            Ok::<_, der::Error>(CertificateExtension {
                                oid,
                                critical: critical.unwrap_or_default(),
                                value: value.as_bytes(),
                            })
                        })?);
                    }
                    Ok::<_, der::Error>(())
                })?;
            }
        }
        Ok(Self {
            tbs: 0..0,
            serial: serial.value(),
            issuer,
            subject,
            public_key_spki,
            not_before,
            not_after,
            extensions,
        })
    }
}

fn name<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    Tag::peek(reader)?.assert_eq(Tag::Sequence)?;
    reader.tlv_bytes()
}

fn time(reader: &mut SliceReader<'_>) -> der::Result<Time> {
    Ok(X509Time::decode(reader)?.to_system_time().into())
}

fn malformed(rejection: impl fmt::Display) -> Error {
    Error::Malformed(Rejection::of(Code::CertificateForm, rejection, "an X.509 certificate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tbs::{ToBeSigned, assemble};

    #[test]
    fn the_tbs_is_the_same_for_every_encoding_of_the_signature() {
        use der::Encode;
        let now = Time::from_unix(1_795_262_400);
        let name = "CN=a".parse::<x509_cert::name::Name>().unwrap().to_der().unwrap();
        let key = crate::pki::PrivateKey::generate(crate::types::KeyKind::P256).unwrap();
        let signature_algorithm =
            crate::pki::algorithm::signature_identifier(crate::types::KeyKind::P256);
        let serial = Serial::parse(&[1]).unwrap();
        let signed = ToBeSigned {
            serial: &serial,
            signature_algorithm,
            issuer: &name,
            not_before: now,
            not_after: now,
            subject: &name,
            spki: &key.public_key_spki_der().unwrap(),
            extensions: Vec::new(),
        }
        .to_der()
        .unwrap();
        for signature in [&[1; 70][..], &[2; 300]] {
            let der = assemble(&signed, signature_algorithm, signature).unwrap();
            assert_eq!(Certificate::parse(&der).unwrap().tbs(), signed);
            assert_eq!(tbs(&der), Some(&signed[..]));
        }
        for bad in [&b""[..], b"\x30\x00", b"\x31\x02\x30\x00", b"no certificate"] {
            assert_eq!(tbs(bad), None);
        }
    }
}
