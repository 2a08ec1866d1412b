//! CMS SignedData (RFC 5652 §5): its writer, and the reader of signed messages.
//!
//! Written from borrowed parts. Certificates are not decoded to be encoded again, and no copy of a
//! private key inside remains.

use super::{
    Certificate, DistinguishedName, Error, PublicKey, algorithm::signature_identifier, oid, tbs,
};
use crate::types::{KeyKind, Serial, Time};
use aws_lc_rs::digest::{self, digest};
use const_oid::ObjectIdentifier;
use der::{
    Any, Decode, Encode, Sequence, Tag, TagNumber, Tagged,
    asn1::{AnyRef, BitStringRef, IntRef, OctetStringRef, SetOfVec},
};
use spki::AlgorithmIdentifierRef;

/// Signers and certificates of one message, each at most.
const MAX_SIGNERS: usize = 4;
const MAX_CERTIFICATES: usize = 16;

/// The tag of a signer named by its key identifier.
const KEY_IDENTIFIER: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };

#[derive(Sequence)]
struct ContentInfo<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: AnyRef<'a>,
}

#[derive(Sequence)]
struct SignedData<'a> {
    version: u8,
    digest_algorithms: SetOfVec<AnyRef<'a>>,
    encap_content_info: EncapsulatedContentInfo<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    certificates: Option<SetOfVec<AnyRef<'a>>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    crls: Option<SetOfVec<AnyRef<'a>>>,
    signer_infos: SetOfVec<AnyRef<'a>>,
}

#[derive(Sequence)]
struct EncapsulatedContentInfo<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<&'a OctetStringRef>,
}

#[derive(Sequence)]
struct SignerInfo<'a> {
    version: u8,
    sid: AnyRef<'a>,
    digest_algorithm: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    signed_attrs: Option<SetOfVec<AnyRef<'a>>>,
    signature_algorithm: AlgorithmIdentifierRef<'a>,
    signature: &'a OctetStringRef,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    unsigned_attrs: Option<SetOfVec<AnyRef<'a>>>,
}

#[derive(Sequence)]
struct SignedAttribute<'a> {
    kind: ObjectIdentifier,
    values: SetOfVec<AnyRef<'a>>,
}

/// IssuerAndSerialNumber (RFC 5652 §10.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct IssuerAndSerial<'a> {
    /// The issuer.
    pub issuer: AnyRef<'a>,
    /// The serial number.
    pub serial_number: IntRef<'a>,
}

/// The hash for signatures by a key of this kind (RFC 8419 §3: SHA-512 with Ed25519).
fn hash_of(kind: KeyKind) -> (ObjectIdentifier, &'static digest::Algorithm) {
    match kind {
        KeyKind::P256 | KeyKind::Rsa(_) => (oid::SHA256, &digest::SHA256),
        KeyKind::P384 => (oid::SHA384, &digest::SHA384),
        KeyKind::P521 | KeyKind::Ed25519 => (oid::SHA512, &digest::SHA512),
    }
}

/// Writes the signed attributes that a key of this kind signs (RFC 5652 §5.4): contentType,
/// messageDigest and, with a time, signingTime. They begin with the tag of a SET, so a signature over
/// them is never that of a certificate.
///
/// # Errors
/// Those of the encoder.
pub fn signed_attributes(
    content_type: ObjectIdentifier,
    content: &[u8],
    kind: KeyKind,
    signing_time: Option<Time>,
) -> der::Result<Vec<u8>> {
    let attribute = |kind, value: Any| {
        let values = SetOfVec::try_from(vec![AnyRef::from(&value)])?;
        Any::encode_from(&SignedAttribute { kind, values })
    };
    let (_, hash) = hash_of(kind);
    let mut attributes = vec![
        attribute(oid::CONTENT_TYPE, Any::encode_from(&content_type)?)?,
        attribute(
            oid::MESSAGE_DIGEST,
            Any::new(Tag::OctetString, digest(hash, content).as_ref())?,
        )?,
    ];
    if let Some(time) = signing_time {
        attributes.push(attribute(oid::SIGNING_TIME, Any::encode_from(&tbs::time(time)?)?)?);
    }
    SetOfVec::try_from(attributes.iter().map(AnyRef::from).collect::<Vec<_>>())?.to_der()
}

/// A finished signature over signed attributes.
#[derive(Clone, Copy, Debug)]
pub struct Signature<'a> {
    /// How the signer is named.
    pub by: SignedBy<'a>,
    /// The kind of its key.
    pub kind: KeyKind,
    /// The result of [`signed_attributes`].
    pub attributes: &'a [u8],
    /// The signature over them.
    pub signature: &'a [u8],
}

/// How a signer is named (RFC 5652 §5.3).
#[derive(Clone, Copy, Debug)]
pub enum SignedBy<'a> {
    /// By the identifier of its key.
    KeyIdentifier(&'a [u8]),
    /// By issuer and serial number of its certificate.
    Certificate(&'a Certificate),
}

impl SignedBy<'_> {
    fn encode(self) -> der::Result<(u8, Any)> {
        Ok(match self {
            Self::KeyIdentifier(identifier) => (3, Any::new(KEY_IDENTIFIER, identifier)?),
            Self::Certificate(certificate) => {
                let issuer = AnyRef::from_der(certificate.issuer().der())?;
                let serial_number = IntRef::new(certificate.serial().as_bytes())?;
                (1, Any::encode_from(&IssuerAndSerial { issuer, serial_number })?)
            }
        })
    }
}

/// Writes SignedData without the ContentInfo around it. Certificates are in the order of DER, each
/// once; `crls` is absent (D-29).
///
/// # Errors
/// Those of the encoder: a certificate that is not DER.
pub fn encode_signed_data<'a>(
    content_type: ObjectIdentifier,
    content: Option<&[u8]>,
    certificates: impl IntoIterator<Item = &'a [u8]>,
    signature: Option<Signature<'_>>,
) -> der::Result<Vec<u8>> {
    let mut bag: Vec<AnyRef<'_>> =
        certificates.into_iter().map(AnyRef::from_der).collect::<der::Result<_>>()?;
    bag.sort_by(|a, b| a.value().cmp(b.value()));
    bag.dedup();
    let (mut digests, mut infos) = (Vec::new(), Vec::new());
    if let Some(Signature { by, kind, attributes, signature }) = signature {
        let digest_algorithm = AlgorithmIdentifierRef { oid: hash_of(kind).0, parameters: None };
        let (version, sid) = by.encode()?;
        digests.push(Any::encode_from(&digest_algorithm)?);
        infos.push(Any::encode_from(&SignerInfo {
            version,
            sid: AnyRef::from(&sid),
            digest_algorithm,
            signed_attrs: Some(SetOfVec::from_der(attributes)?),
            signature_algorithm: AlgorithmIdentifierRef::from_der(signature_identifier(kind))?,
            signature: OctetStringRef::new(signature)?,
            unsigned_attrs: None,
        })?);
    }
    SignedData {
        // RFC 5652 §5.1.
        version: if content_type == oid::DATA { 1 } else { 3 },
        digest_algorithms: digests.iter().map(AnyRef::from).collect::<Vec<_>>().try_into()?,
        encap_content_info: EncapsulatedContentInfo {
            content_type,
            content: content.map(OctetStringRef::new).transpose()?,
        },
        certificates: if bag.is_empty() { None } else { Some(bag.try_into()?) },
        crls: None,
        signer_infos: infos.iter().map(AnyRef::from).collect::<Vec<_>>().try_into()?,
    }
    .to_der()
}

/// Wraps SignedData into a ContentInfo (RFC 5652 §3).
///
/// # Errors
/// Those of the encoder.
pub fn content_info(signed_data: &[u8]) -> der::Result<Vec<u8>> {
    ContentInfo { content_type: oid::SIGNED_DATA, content: AnyRef::from_der(signed_data)? }.to_der()
}

/// Why a signed message was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedDataError {
    /// The bytes are no SignedData.
    #[error("no SignedData in DER: {0}")]
    Der(#[from] der::Error),
    /// A rule of RFC 5652 is broken.
    #[error("{0}")]
    Form(String),
    /// The hash is not supported.
    #[error("got the hash {0}; expected: SHA-256, SHA-384, SHA-512")]
    Hash(ObjectIdentifier),
    /// The signature's algorithm is not accepted.
    #[error("{0}")]
    Algorithm(Error),
    /// The signature does not verify.
    #[error("got a signature that does not verify")]
    Signature,
    /// The signed attributes are about another content.
    #[error("got signed attributes with another {0} than that of the content")]
    OtherContent(&'static str),
}

fn form(error: impl ToString) -> SignedDataError {
    SignedDataError::Form(error.to_string())
}

/// The named signer of a message (RFC 5652 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerId {
    /// The key of this certificate.
    IssuerAndSerial(DistinguishedName, Serial),
    /// The key with this identifier.
    KeyIdentifier(Vec<u8>),
}

impl SignerId {
    /// Whether this certificate is meant.
    #[must_use]
    pub fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial(issuer, serial) => {
                issuer.same_as(certificate.issuer()) && serial == certificate.serial()
            }
            Self::KeyIdentifier(identifier) => {
                certificate.subject_key_identifier() == Some(identifier)
            }
        }
    }
}

/// One signature, not verified yet: the caller selects the key.
#[derive(Clone, Debug)]
pub struct MessageSigner {
    /// The signer that the message names.
    pub id: SignerId,
    /// The signed attributes, DER.
    message: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// A SignedData whose signatures cover its content; each must be verified with its key.
#[derive(Clone, Debug)]
pub struct SignedMessage<'a> {
    /// The content.
    pub content: &'a [u8],
    /// The certificates in it that can be read.
    pub certificates: Vec<Certificate>,
    /// The signatures.
    pub signers: Vec<MessageSigner>,
}

/// Unwraps SignedData from a ContentInfo.
///
/// # Errors
/// [`SignedDataError::Der`]; [`SignedDataError::Form`] for another type of content.
pub fn open_content_info(der: &[u8]) -> Result<AnyRef<'_>, SignedDataError> {
    let info = ContentInfo::from_der(der)?;
    match info.content_type {
        oid::SIGNED_DATA => Ok(info.content),
        other => Err(form(format_args!("got a CMS of type {other}; expected: SignedData"))),
    }
}

impl<'a> SignedMessage<'a> {
    /// Reads a SignedData over a content of this type. Checks hash, signed attributes and digest of
    /// each signature, not the signature itself.
    ///
    /// # Errors
    /// [`SignedDataError`].
    pub fn read(
        content_type: ObjectIdentifier,
        signed: AnyRef<'a>,
    ) -> Result<Self, SignedDataError> {
        let signed: SignedData<'a> = signed.decode_as()?;
        let EncapsulatedContentInfo { content_type: got, content } = signed.encap_content_info;
        if got != content_type {
            return Err(form(format_args!(
                "got a content of type {got}; expected: {content_type}"
            )));
        }
        let content = content.ok_or_else(|| form("a SignedData without content"))?.as_bytes();
        let certificates = signed.certificates.unwrap_or_default();
        if signed.signer_infos.len() > MAX_SIGNERS || certificates.len() > MAX_CERTIFICATES {
            return Err(form(format_args!(
                "more than {MAX_SIGNERS} signers or {MAX_CERTIFICATES} certificates"
            )));
        }
        let signers = signed.signer_infos.iter();
        Ok(Self {
            content,
            signers: signers
                .map(|info| MessageSigner::read(info.decode_as()?, content_type, content))
                .collect::<Result<_, _>>()?,
            certificates: certificates
                .iter()
                // No signer accepted here has a certificate in another format.
                .filter_map(|certificate| Certificate::parse(&certificate.to_der().ok()?).ok())
                .collect(),
        })
    }
}

impl MessageSigner {
    fn read(
        info: SignerInfo<'_>,
        content_type: ObjectIdentifier,
        content: &[u8],
    ) -> Result<Self, SignedDataError> {
        let (id, version) = if info.sid.tag() == KEY_IDENTIFIER {
            (SignerId::KeyIdentifier(info.sid.value().to_vec()), 3)
        } else {
            let sid: IssuerAndSerial<'_> = info.sid.decode_as()?;
            let issuer = DistinguishedName::parse(&sid.issuer.to_der()?).map_err(form)?;
            let serial = Serial::parse(sid.serial_number.as_bytes()).map_err(form)?;
            (SignerId::IssuerAndSerial(issuer, serial), 1)
        };
        if info.version != version {
            return Err(form(
                "the version of a SignerInfo is 1, or 3 with a key identifier (RFC 5652 section 5.3)",
            ));
        }
        let hash = match info.digest_algorithm.oid {
            oid::SHA256 => &digest::SHA256,
            oid::SHA384 => &digest::SHA384,
            oid::SHA512 => &digest::SHA512,
            other => return Err(SignedDataError::Hash(other)),
        };
        let attributes = info
            .signed_attrs
            .ok_or_else(|| form("a SignerInfo has signed attributes (RFC 5652 section 5.3)"))?;
        let said_type: ObjectIdentifier = only(&attributes, oid::CONTENT_TYPE)?.decode_as()?;
        let said_digest: &OctetStringRef = only(&attributes, oid::MESSAGE_DIGEST)?.decode_as()?;
        if said_type != content_type {
            return Err(SignedDataError::OtherContent("contentType"));
        }
        if digest(hash, content).as_ref() != said_digest.as_bytes() {
            return Err(SignedDataError::OtherContent("messageDigest"));
        }
        let mut algorithm = info.signature_algorithm;
        if algorithm.oid == oid::RSA {
            // OpenSSL and others leave the hash to digestAlgorithm (RFC 3370 §3.2).
            algorithm.oid = match info.digest_algorithm.oid {
                oid::SHA256 => oid::RSA_SHA256,
                oid::SHA384 => oid::RSA_SHA384,
                _ => oid::RSA_SHA512,
            };
            algorithm.parameters = None;
        }
        Ok(Self {
            id,
            message: attributes.to_der()?,
            algorithm: algorithm.to_der()?,
            signature: info.signature.as_bytes().to_vec(),
        })
    }

    /// Verifies the signature by this key.
    ///
    /// # Errors
    /// [`SignedDataError::Signature`], [`SignedDataError::Algorithm`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignedDataError> {
        let algorithm = AlgorithmIdentifierRef::from_der(&self.algorithm)?;
        let signature = BitStringRef::from_bytes(&self.signature)?;
        key.verify(&algorithm, &self.message, &signature).map_err(|error| match error {
            Error::ProofOfPossession(_) => SignedDataError::Signature,
            other => SignedDataError::Algorithm(other),
        })
    }
}

/// Returns the one value of the one attribute of this kind.
fn only<'a>(
    attributes: &SetOfVec<AnyRef<'a>>,
    kind: ObjectIdentifier,
) -> Result<AnyRef<'a>, SignedDataError> {
    let mut found = Vec::new();
    for attribute in attributes.iter() {
        let attribute: SignedAttribute<'_> = attribute.decode_as()?;
        if attribute.kind == kind {
            found.push(attribute.values);
        }
    }
    match found.as_slice() {
        [values] if values.len() == 1 => values.iter().next().copied(),
        _ => None,
    }
    .ok_or_else(|| {
        form(
            "signed attributes hold contentType and messageDigest once, with one value each \
             (RFC 5652 section 5.3)",
        )
    })
}
