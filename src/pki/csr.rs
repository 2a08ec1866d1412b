//! PKCS#10 certification requests (RFC 2986).

use super::{
    DistinguishedName, Error, PublicKey, SubjectAltName, algorithm, canonical,
    extension::{self, Requested},
    oid,
};
use crate::types::{Code, Digest, KeyKind, Rejection};
use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;
use der::{
    Decode, Header, Reader, SliceReader, Tag, TagNumber,
    asn1::{AnyRef, BitStringRef},
};
use spki::AlgorithmIdentifierRef;

/// A certification request, PKCS#10 or CRMF, whose signature was verified by the key in it, or whose
/// proof-of-possession a registration authority has seen; or for a key that this server is about to
/// make ([`Csr::for_key_to_be_made`]).
#[derive(Clone, Debug)]
pub struct Csr {
    subject: DistinguishedName,
    key: PublicKey,
    san: Option<SubjectAltName>,
    extensions: Vec<Requested>,
    attributes: Vec<(ObjectIdentifier, Vec<u8>)>,
    digest: Option<Digest>,
    content_sha256: [u8; 32],
}

impl Csr {
    /// Reads a CSR (DER) and verifies its proof-of-possession.
    ///
    /// Tolerated, since clients in the field do so: the attributes `[0]` left out, and
    /// attributes that are not in DER order. The signature is verified over the bytes as they
    /// came. Anything after the request is rejected (RFC 7030 §4.2.1: one PKCS#10).
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not a CSR of version 1; [`Error::Unacceptable`] if its key is
    /// of a kind or size that no certificate may have; [`Error::ProofOfPossession`] if the
    /// signature does not verify.
    pub fn verify(der: &[u8]) -> Result<Self, Error> {
        let parts = Parts::checked(der)?;
        let key = PublicKey::parse(parts.spki)?;
        key.verify(&parts.algorithm, parts.info, &parts.signature)?;
        Self::of(&parts, key, algorithm::digest(&parts.algorithm))
    }

    /// Reads a CSR (DER) that asks for a key to be made (RFC 7030 §4.4.1): neither the key in it nor
    /// the signature is looked at, but the key's algorithm is what is asked for, bounded by what is
    /// `accepted` ([`super::keygen::wanted_kind`]). [`Csr::key`] has that kind and no value.
    ///
    /// # Errors
    /// As [`Csr::verify`], but for the signature.
    pub fn for_key_to_be_made(der: &[u8], accepted: &[KeyKind]) -> Result<Self, Error> {
        let parts = Parts::checked(der)?;
        let kind = super::keygen::wanted_kind(parts.spki, accepted)?;
        Self::of(&parts, PublicKey::to_be_made(kind), None)
    }

    /// Reads a CSR (DER) whose proof-of-possession an RA has seen: it is signed by nobody
    /// (id-alg-noSignature, RFC 5272 App. C).
    ///
    /// # Errors
    /// As [`Csr::verify`]; [`Error::Malformed`] also if it is signed after all.
    pub(super) fn witnessed(der: &[u8]) -> Result<Self, Error> {
        let parts = Parts::checked(der)?;
        if parts.algorithm.oid != oid::NO_SIGNATURE {
            return Err(malformed(
                Code::CsrSignatureAlgorithm,
                "a request without a signature says so (RFC 5272 appendix C)",
                parts.algorithm.oid,
            ));
        }
        let key = PublicKey::parse(parts.spki)?;
        key.check_point()?;
        Self::of(&parts, key, None)
    }

    /// The algorithm of its signature.
    pub(super) fn signature_algorithm(der: &[u8]) -> Result<ObjectIdentifier, Error> {
        Ok(Parts::checked(der)?.algorithm.oid)
    }

    /// The key and the extensions asked for, before anything is proved: to find whose signature is
    /// around the request.
    pub(super) fn asked(der: &[u8]) -> Result<(PublicKey, Vec<Requested>), Error> {
        let parts = Parts::checked(der)?;
        let csr = Self::of(&parts, PublicKey::parse(parts.spki)?, None)?;
        Ok((csr.key, csr.extensions))
    }

    fn of(parts: &Parts<'_>, key: PublicKey, digest: Option<Digest>) -> Result<Self, Error> {
        let subject = DistinguishedName::parse(parts.subject)?;

        let mut extensions = None;
        let mut attributes = Vec::new();
        let mut content = digest::Context::new(&digest::SHA256);
        content.update(parts.subject);
        content.update(parts.spki);
        for attribute in &parts.attributes {
            if attribute.oid == oid::EXTENSION_REQUEST {
                let value = attribute.only_value()?;
                if extensions.replace(extension::requested(value)?).is_some() {
                    return Err(malformed(
                        Code::CsrExtensions,
                        "a CSR has at most one extensionRequest (RFC 2985 section 5.4.2)",
                        "two",
                    ));
                }
            } else {
                attributes.push((attribute.oid, attribute.values.to_vec()));
            }
            if !is_of_one_connection(attribute.oid) {
                content.update(attribute.whole);
            }
        }
        let extensions = extensions.unwrap_or_default();
        let san = san(&extensions)?;
        let content_sha256 = content.finish().as_ref().try_into().unwrap_or_default();
        Ok(Self { subject, key, san, extensions, attributes, digest, content_sha256 })
    }

    /// A request in another form than PKCS#10, whose proof-of-possession was verified; `digest` is
    /// that of its signature.
    pub(super) fn of_parts(
        subject: DistinguishedName,
        key: PublicKey,
        extensions: Vec<Requested>,
        attributes: Vec<(ObjectIdentifier, Vec<u8>)>,
        digest: Option<Digest>,
    ) -> Result<Self, Error> {
        let csr = Self {
            san: san(&extensions)?,
            subject,
            key,
            extensions,
            attributes,
            digest,
            content_sha256: [0; 32],
        };
        Ok(csr.hashed())
    }

    /// This request as an RA has changed it: what is given replaces what was asked for.
    pub(super) fn changed(
        self,
        subject: Option<DistinguishedName>,
        extensions: Vec<Requested>,
    ) -> Result<Self, Error> {
        let csr = Self {
            san: san(&extensions)?,
            subject: subject.unwrap_or(self.subject),
            extensions,
            ..self
        };
        Ok(csr.hashed())
    }

    fn hashed(self) -> Self {
        let mut content = digest::Context::new(&digest::SHA256);
        let mut part = |bytes: &[u8]| {
            content.update(&(bytes.len() as u64).to_be_bytes());
            content.update(bytes);
        };
        part(self.subject.der());
        part(self.key.spki());
        for extension in &self.extensions {
            part(extension.oid.as_bytes());
            part(&[u8::from(extension.critical)]);
            part(&extension.value);
        }
        for (kind, values) in
            self.attributes.iter().filter(|(kind, _)| !is_of_one_connection(*kind))
        {
            part(kind.as_bytes());
            part(values);
        }
        let content_sha256 = content.finish().as_ref().try_into().unwrap_or_default();
        Self { content_sha256, ..self }
    }

    /// The subject asked for; may be empty.
    #[must_use]
    pub const fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The subjectAltName asked for.
    #[must_use]
    pub const fn san(&self) -> Option<&SubjectAltName> {
        self.san.as_ref()
    }

    /// The extensions asked for, in order, each at most once.
    #[must_use]
    pub fn extensions(&self) -> &[Requested] {
        &self.extensions
    }

    /// The values of the attribute of this type: the content of its SET, each value a DER element.
    /// None if it is not there. Not for extensionRequest: see [`Self::extensions`].
    ///
    /// # Errors
    /// [`Error::Malformed`] if there are two attributes of this type (RFC 2986 §4.1).
    pub fn attribute(&self, oid: ObjectIdentifier) -> Result<Option<&[u8]>, Error> {
        let mut found = self.attributes.iter().filter(|(one, _)| *one == oid);
        let values = found.next().map(|(_, values)| values.as_slice());
        if found.next().is_some() {
            return Err(malformed(
                Code::CsrAttributes,
                "a CSR has at most one attribute of each type (RFC 2986 section 4.1)",
                format!("two of type {oid}"),
            ));
        }
        Ok(values)
    }

    /// Whether the CSR has an attribute of this type.
    #[must_use]
    pub fn has_attribute(&self, oid: ObjectIdentifier) -> bool {
        self.attributes.iter().any(|(one, _)| *one == oid)
    }

    /// The hash function of its signature; none for Ed25519, which leaves no choice, and where the
    /// signature is not looked at.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// SHA-256 over subject, key and attributes without those whose value changes from one
    /// connection to the next (the challenges): equal for a CSR that is signed again for a retry
    /// (D-10).
    #[must_use]
    pub const fn content_sha256(&self) -> [u8; 32] {
        self.content_sha256
    }
}

/// Attributes that bind a CSR to one connection or one use.
pub(super) const CHALLENGES: [ObjectIdentifier; 4] = [
    oid::CHALLENGE_PASSWORD,
    oid::OTP_CHALLENGE,
    oid::REVOCATION_CHALLENGE,
    oid::EST_IDENTITY_LINKING,
];

/// Whether the value of this attribute changes from one connection or message to the next.
fn is_of_one_connection(attribute: ObjectIdentifier) -> bool {
    CHALLENGES.contains(&attribute) || attribute == oid::CMC_POP_LINK_WITNESS_V2
}

fn san(extensions: &[Requested]) -> Result<Option<SubjectAltName>, Error> {
    extensions
        .iter()
        .find(|extension| extension.oid == oid::SUBJECT_ALT_NAME)
        .map(|extension| SubjectAltName::parse(&extension.value))
        .transpose()
}

/// The fields of a CSR, borrowed from its bytes.
struct Parts<'a> {
    info: &'a [u8],
    version: u8,
    subject: &'a [u8],
    spki: &'a [u8],
    attributes: Vec<Attribute<'a>>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

struct Attribute<'a> {
    oid: ObjectIdentifier,
    whole: &'a [u8],
    values: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn only_value(&self) -> Result<&'a [u8], Error> {
        let rule = "an extensionRequest has one value (RFC 2985 section 5.4.2)";
        let mut values = SliceReader::new(self.values)
            .map_err(|rejection| malformed(Code::CsrExtensions, rule, rejection))?;
        let first = values.tlv_bytes().map_err(|_| malformed(Code::CsrExtensions, rule, "none"))?;
        if values.is_finished() {
            Ok(first)
        } else {
            Err(malformed(Code::CsrExtensions, rule, "several"))
        }
    }
}

impl<'a> Parts<'a> {
    fn checked(der: &'a [u8]) -> Result<Self, Error> {
        let parts = Parts::read(der).map_err(|rejection| {
            malformed(
                Code::CsrForm,
                "the body is one PKCS#10 request in DER (RFC 2986 section 4)",
                rejection,
            )
        })?;
        if parts.version != 0 {
            return Err(malformed(
                Code::CsrVersion,
                "the version of a PKCS#10 request is 0 (RFC 2986 section 4.1)",
                parts.version,
            ));
        }
        Ok(parts)
    }

    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let parts = reader.sequence(|request| {
            let info = request.tlv_bytes()?;
            let mut inner = SliceReader::new(info)?;
            let (version, subject, spki, attributes) = inner.sequence(|info| {
                Ok::<_, der::Error>((
                    info.decode()?,
                    info.tlv_bytes()?,
                    info.tlv_bytes()?,
                    attributes(info)?,
                ))
            })?;
            inner.finish()?;
            let algorithm = request.decode()?;
            let signature = request.decode()?;
            Ok::<_, der::Error>(Parts {
                info,
                version,
                subject,
                spki,
                attributes,
                algorithm,
                signature,
            })
        })?;
        reader.finish()?;
        Ok(parts)
    }
}

/// Returns the subject (Name, DER) of what may be a request, which is not verified: to name a request
/// that is rejected.
#[must_use]
pub fn subject(request: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(request).ok()?;
    for _ in 0..2 {
        let outer = Header::decode(&mut reader).ok()?;
        outer.tag().assert_eq(Tag::Sequence).ok()?;
    }
    let _version = reader.tlv_bytes().ok()?;
    Tag::peek(&reader).ok()?.assert_eq(Tag::Sequence).ok()?;
    reader.tlv_bytes().ok()
}

/// The SubjectPublicKeyInfo of a request whose signature is not looked at.
pub(super) fn public_key(request: &[u8]) -> der::Result<&[u8]> {
    Parts::read(request).map(|parts| parts.spki)
}

fn attributes<'a>(info: &mut SliceReader<'a>) -> der::Result<Vec<Attribute<'a>>> {
    let mut out = Vec::new();
    if info.is_finished() {
        return Ok(out);
    }
    let set: AnyRef<'a> = info.decode()?;
    let zero = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
    der::Tagged::tag(&set).assert_eq(zero)?;
    let mut set = SliceReader::new(set.value())?;
    while !set.is_finished() {
        let whole = set.tlv_bytes()?;
        let mut reader = SliceReader::new(whole)?;
        let (oid, values) = reader.sequence(|attribute| {
            let oid = attribute.decode()?;
            canonical::check_oid(&oid)?;
            let values: AnyRef<'a> = attribute.decode()?;
            der::Tagged::tag(&values).assert_eq(Tag::Set)?;
            Ok::<_, der::Error>((oid, values.value()))
        })?;
        out.push(Attribute { oid, whole, values });
    }
    Ok(out)
}

fn malformed(code: Code, rule: &'static str, seen: impl std::fmt::Display) -> Error {
    Error::Malformed(Rejection::new(
        code,
        rule,
        seen,
        "a CSR such as openssl req -new -outform DER makes",
    ))
}
