//! Certificate revocation lists (RFC 5280 §5), read: the full lists of other CAs.
//!
//! A list may have a million entries. It is kept as the bytes that were read, with twelve bytes for each
//! entry: where its serial number is.

mod error;

pub use error::CrlError;

use super::{
    CertificateFields, DistinguishedName, Error, PublicKey, algorithm::described,
    extension::KeyUsage, oid, pem,
};
use crate::types::{RevocationReason, Time};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Reader, SliceReader, Tag, TagNumber,
    asn1::{AnyRef, BitStringRef, OctetStringRef},
};
use spki::AlgorithmIdentifierRef;
use std::{fmt, ops::Range};
use x509_cert::time::Time as X509Time;

/// A full CRL of version 2 whose entries are certificates of its issuer. It was parsed and not verified.
#[derive(Clone)]
pub struct RevocationList {
    der: Vec<u8>,
    /// Where the TBSCertList is in `der`.
    tbs: Range<usize>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    issuer: DistinguishedName,
    this_update: Time,
    next_update: Time,
    number: Option<Vec<u8>>,
    /// In the order of the serial numbers.
    entries: Vec<Place>,
}

/// Where an entry is in the bytes: `serial..rest` is its serial number, `rest..end` what follows.
#[derive(Clone, Copy, Debug)]
struct Place {
    serial: u32,
    rest: u32,
    end: u32,
}

/// An entry of a CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Since when the certificate is revoked.
    pub since: Time,
    /// The name of the CRLReason, if it has one: also `certificateHold`.
    pub reason: Option<&'static str>,
}

impl RevocationList {
    /// The size of a CRL at most, in bytes. A million entries have 40 MB.
    pub const MAX_BYTES: usize = error::MAX_BYTES;

    /// Reads the contents of a file, DER or PEM.
    ///
    /// # Errors
    /// [`CrlError`], but for those of the signature.
    pub fn from_file(contents: Vec<u8>) -> Result<Self, CrlError> {
        const SEQUENCE: u8 = 0x30;
        if contents.len() > Self::MAX_BYTES {
            return Err(CrlError::TooLong);
        }
        if contents.first() == Some(&SEQUENCE) {
            Self::parse(contents)
        } else {
            Self::parse(pem::revocation_list(&contents)?)
        }
    }

    /// Reads a CRL (DER).
    ///
    /// Rejects partitions, delta CRLs and indirect ones: none of them shows that a certificate is not
    /// revoked. Reads an empty list of entries as none.
    ///
    /// # Errors
    /// [`CrlError`], but for those of the signature.
    pub fn parse(der: Vec<u8>) -> Result<Self, CrlError> {
        if der.len() > Self::MAX_BYTES {
            return Err(CrlError::TooLong);
        }
        let Parts { tbs, signed, algorithm, signature, contents } = Parts::read(&der)?;
        if signed != algorithm {
            return Err(CrlError::Algorithms);
        }
        let (algorithm, signature) = (algorithm.to_vec(), signature.to_vec());
        let issuer = DistinguishedName::parse(contents.issuer)
            .map_err(|error| CrlError::Form(error.rejection().got.clone()))?;
        let next_update = contents.next_update.ok_or(CrlError::NoNextUpdate)?;
        let Contents { this_update, number, mut entries, .. } = contents;
        entries.sort_unstable_by(|one, other| serial(&der, *one).cmp(serial(&der, *other)));
        entries.shrink_to_fit();
        Ok(Self {
            tbs,
            algorithm,
            signature,
            issuer,
            this_update,
            next_update,
            number,
            entries,
            der,
        })
    }

    /// The bytes, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The issuer.
    #[must_use]
    pub const fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// The time of its issue.
    #[must_use]
    pub const fn this_update(&self) -> Time {
        self.this_update
    }

    /// The time by which the next one is issued.
    #[must_use]
    pub const fn next_update(&self) -> Time {
        self.next_update
    }

    /// The cRLNumber in hexadecimal digits, if it has one.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        let number = self.number.as_ref()?;
        Some(number.iter().map(|byte| format!("{byte:02X}")).collect())
    }

    /// The number of entries.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.entries.len()
    }

    /// Returns the entry of a certificate of its issuer, by the content of its serial number. One on
    /// hold counts as revoked.
    #[must_use]
    pub fn entry(&self, of: &[u8]) -> Option<RevokedEntry> {
        let of = significant(of);
        let found = |place: &Place| serial(&self.der, *place).cmp(of);
        let place = self.entries.get(self.entries.binary_search_by(found).ok()?)?;
        // It was read before.
        read_rest(bytes(&self.der, place.rest, place.end)).ok()
    }

    /// Whether its issuer has this name (Name, DER). The ASN.1 type of a character string does not
    /// count, as in [`DistinguishedName::same_as`].
    #[must_use]
    pub fn is_of(&self, issuer: &[u8]) -> bool {
        self.issuer.der() == issuer
            || DistinguishedName::parse(issuer).is_ok_and(|issuer| self.issuer.same_as(&issuer))
    }

    /// Whether `other` was issued later: by the cRLNumber if both have one, or by thisUpdate.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        let lower = match (&self.number, &other.number) {
            (Some(this), Some(other)) => (this.len(), this) < (other.len(), other),
            _ => false,
        };
        lower || self.this_update < other.this_update
    }

    /// Checks that a CA may sign CRLs: it has no keyUsage, or one with cRLSign (RFC 5280 §6.3.3 f).
    ///
    /// # Errors
    /// [`CrlError::Usage`].
    pub fn check_signer(ca: &CertificateFields<'_>) -> Result<(), CrlError> {
        let Some(usage) = ca.extension(oid::KEY_USAGE) else { return Ok(()) };
        match KeyUsage::parse(usage.value) {
            Ok(usage) if usage.contains(KeyUsage::CRL_SIGN) => Ok(()),
            _ => Err(CrlError::Usage),
        }
    }

    /// Verifies the signature over the bytes as received, by a key of the issuer: a
    /// SubjectPublicKeyInfo (DER). Hashes all bytes: tens of milliseconds for a long list.
    ///
    /// # Errors
    /// [`CrlError::Key`], [`CrlError::Algorithm`] or [`CrlError::Signature`].
    pub fn verify(&self, spki: &[u8]) -> Result<(), CrlError> {
        let key =
            PublicKey::parse(spki).map_err(|error| CrlError::Key(error.rejection().got.clone()))?;
        let algorithm = AlgorithmIdentifierRef::from_der(&self.algorithm)?;
        let signature = BitStringRef::from_der(&self.signature)?;
        let tbs = self.der.get(self.tbs.clone()).unwrap_or_default();
        key.verify(&algorithm, tbs, &signature).map_err(|error| match error {
            Error::ProofOfPossession(_) => CrlError::Signature,
            Error::Malformed(rejection) | Error::Unacceptable(rejection) => {
                CrlError::Algorithm(rejection.got)
            }
        })
    }
}

/// One line: a list of entries would be endless.
impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issuer", &self.issuer.to_string())
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

fn bytes(der: &[u8], start: u32, end: u32) -> &[u8] {
    let place = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    place.and_then(|(start, end)| der.get(start..end)).unwrap_or_default()
}

fn serial(der: &[u8], place: Place) -> &[u8] {
    bytes(der, place.serial, place.rest)
}

/// The fields of a CRL, borrowed from its bytes.
struct Parts<'a> {
    tbs: Range<usize>,
    /// AlgorithmIdentifier in the signed part.
    signed: &'a [u8],
    /// AlgorithmIdentifier beside the signature.
    algorithm: &'a [u8],
    signature: &'a [u8],
    contents: Contents<'a>,
}

struct Contents<'a> {
    issuer: &'a [u8],
    this_update: Time,
    next_update: Option<Time>,
    number: Option<Vec<u8>>,
    entries: Vec<Place>,
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Result<Self, CrlError> {
        let mut reader = SliceReader::new(der)?;
        let parts = reader.sequence(|list| {
            let start = usize::try_from(list.position())?;
            let (signed, contents) = list.sequence(Contents::read)?;
            let tbs = start..usize::try_from(list.position())?;
            let (algorithm, signature) = (list.tlv_bytes()?, list.tlv_bytes()?);
            AlgorithmIdentifierRef::from_der(algorithm)?;
            BitStringRef::from_der(signature)?;
            Ok::<_, CrlError>(Self { tbs, signed, algorithm, signature, contents })
        })?;
        reader.finish()?;
        Ok(parts)
    }
}

impl<'a> Contents<'a> {
    fn read(tbs: &mut SliceReader<'a>) -> Result<(&'a [u8], Self), CrlError> {
        let next =
            |tbs: &SliceReader<'a>| if tbs.is_finished() { None } else { Tag::peek(tbs).ok() };
        let version = match next(tbs) {
            // v2 is 1.
            Some(Tag::Integer) => tbs.decode::<u8>()?,
            _ => 0,
        };
        if version != 1 {
            return Err(CrlError::Version(u16::from(version) + 1));
        }
        let signed = tbs.tlv_bytes()?;
        Tag::peek(tbs)?.assert_eq(Tag::Sequence)?;
        let issuer = tbs.tlv_bytes()?;
        let this_update = read_time(tbs)?;
        let next_update = match next(tbs) {
            Some(Tag::UtcTime | Tag::GeneralizedTime) => Some(read_time(tbs)?),
            _ => None,
        };
        let mut entries = Vec::new();
        if next(tbs) == Some(Tag::Sequence) {
            tbs.sequence(|list| {
                while !list.is_finished() {
                    entries.push(list.sequence(Place::read)?);
                }
                Ok::<_, CrlError>(())
            })?;
        }
        let mut number = None;
        if !tbs.is_finished() {
            let field: AnyRef<'a> = tbs.decode()?;
            der::Tagged::tag(&field)
                .assert_eq(Tag::ContextSpecific { constructed: true, number: TagNumber(0) })?;
            let mut reader = SliceReader::new(field.value())?;
            for extension in read_extensions(&mut reader)? {
                extension.check()?;
                if extension.oid == oid::CRL_NUMBER {
                    number = Some(read_number(extension.value)?);
                }
            }
            reader.finish()?;
        }
        Ok((signed, Self { issuer, this_update, next_update, number, entries }))
    }
}

impl Place {
    /// Reads an entry, and checks it as a whole.
    fn read(entry: &mut SliceReader<'_>) -> Result<Self, CrlError> {
        let place = |reader: &SliceReader<'_>| u32::from(reader.position());
        let number: AnyRef<'_> = entry.decode()?;
        der::Tagged::tag(&number).assert_eq(Tag::Integer)?;
        let rest = place(entry);
        let significant = significant(number.value());
        if significant.is_empty() {
            return Err(CrlError::Form("a serial number of no bytes".to_owned()));
        }
        let serial = rest.saturating_sub(u32::try_from(significant.len()).unwrap_or(u32::MAX));
        let length = entry.remaining_len();
        read_rest(entry.read_slice(length)?)?;
        Ok(Self { serial, rest, end: place(entry) })
    }
}

/// Leaves out zero bytes that the sign does not need: some CAs write them, and a serial number must be
/// found however it is written.
fn significant(mut integer: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = integer
        && matches!(rest, [0..=0x7f, ..])
    {
        integer = rest;
    }
    integer
}

fn read_time(reader: &mut SliceReader<'_>) -> Result<Time, CrlError> {
    Ok(reader.decode::<X509Time>()?.to_system_time().into())
}

fn read_number(value: &[u8]) -> Result<Vec<u8>, CrlError> {
    let number = AnyRef::from_der(value)?;
    der::Tagged::tag(&number).assert_eq(Tag::Integer)?;
    match significant(number.value()) {
        [] | [0x80..=0xff, ..] => Err(CrlError::Form("a negative cRLNumber".to_owned())),
        [0, magnitude @ ..] | magnitude => Ok(magnitude.to_vec()),
    }
}

/// Reads what follows the serial number of an entry.
fn read_rest(rest: &[u8]) -> Result<RevokedEntry, CrlError> {
    let mut reader = SliceReader::new(rest)?;
    let since = read_time(&mut reader)?;
    let mut reason = None;
    if !reader.is_finished() {
        for extension in read_extensions(&mut reader)? {
            extension.check_of_entry()?;
            if extension.oid == oid::REASON_CODE {
                let code = AnyRef::from_der(extension.value)?;
                der::Tagged::tag(&code).assert_eq(Tag::Enumerated)?;
                reason = Some(reason_name(code.value()));
            }
        }
    }
    reader.finish()?;
    Ok(RevokedEntry { since, reason })
}

fn reason_name(code: &[u8]) -> &'static str {
    match code {
        [6] => "certificateHold",
        [8] => "removeFromCRL",
        [code] => {
            RevocationReason::try_from(*code).map_or("an unknown reason", RevocationReason::as_str)
        }
        _ => "an unknown reason",
    }
}

struct ListExtension<'a> {
    oid: ObjectIdentifier,
    critical: bool,
    value: &'a [u8],
}

fn read_extensions<'a>(reader: &mut SliceReader<'a>) -> Result<Vec<ListExtension<'a>>, CrlError> {
    let found: Vec<ListExtension<'a>> = reader.sequence(|list| {
        let mut found = Vec::new();
        while !list.is_finished() {
            found.push(list.sequence(|extension| {
                let oid = extension.decode()?;
                let critical: Option<bool> = extension.decode()?;
                let value: &'a OctetStringRef = extension.decode()?;
                let critical = critical.unwrap_or_default();
                Ok::<_, CrlError>(ListExtension { oid, critical, value: value.as_bytes() })
            })?);
        }
        Ok::<_, CrlError>(found)
    })?;
    let mut oids: Vec<ObjectIdentifier> = found.iter().map(|one| one.oid).collect();
    oids.sort_unstable();
    match oids.iter().zip(oids.iter().skip(1)).find(|(one, next)| one == next) {
        Some((twice, _)) => Err(CrlError::Twice(described(*twice))),
        None => Ok(found),
    }
}

impl ListExtension<'_> {
    /// Rejects those of lists that are no full ones, whether critical or not, and what is unknown.
    fn check(&self) -> Result<(), CrlError> {
        match self.oid {
            oid::DELTA_CRL_INDICATOR => Err(CrlError::Delta),
            oid::ISSUING_DISTRIBUTION_POINT if self.is_indirect()? => Err(CrlError::Indirect),
            oid::ISSUING_DISTRIBUTION_POINT => Err(CrlError::Partition),
            oid::CRL_NUMBER | oid::AUTHORITY_KEY_IDENTIFIER => Ok(()),
            other if self.critical => Err(CrlError::Extension(described(other))),
            _ => Ok(()),
        }
    }

    fn check_of_entry(&self) -> Result<(), CrlError> {
        match self.oid {
            oid::CERTIFICATE_ISSUER => Err(CrlError::Indirect),
            oid::REASON_CODE | oid::INVALIDITY_DATE => Ok(()),
            other if self.critical => Err(CrlError::Extension(described(other))),
            _ => Ok(()),
        }
    }

    /// Whether an issuingDistributionPoint has indirectCRL.
    fn is_indirect(&self) -> Result<bool, CrlError> {
        let mut reader = SliceReader::new(self.value)?;
        let indirect = Tag::ContextSpecific { constructed: false, number: TagNumber(4) };
        let found = reader.sequence(|fields| {
            let mut found = false;
            while !fields.is_finished() {
                let field: AnyRef<'_> = fields.decode()?;
                found |= der::Tagged::tag(&field) == indirect && field.value() != [0];
            }
            Ok::<_, CrlError>(found)
        })?;
        reader.finish()?;
        Ok(found)
    }
}

#[cfg(test)]
pub(crate) mod made;

#[cfg(test)]
mod tests;
