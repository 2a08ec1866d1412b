//! The SignedData around a PKIData or PKIResponse (RFC 5652 §5, RFC 5272 §3.2.1.3.4).

use super::{FailInfo, Refused, control::IssuerAndSerial};
use crate::{
    pki::{
        Certificate, DistinguishedName, Error, PublicKey, algorithm::signature_identifier, oid, tbs,
    },
    types::{KeyKind, Serial, Time},
};
use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;
use der::{
    Any, Decode, Encode, Sequence, Tag, TagNumber, Tagged,
    asn1::{AnyRef, BitStringRef, OctetStringRef, SetOfVec},
};
use spki::AlgorithmIdentifierRef;

/// Signers and certificates of one message, each at most.
const MAX_SIGNERS: usize = 4;
const MAX_CERTIFICATES: usize = 16;

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
struct Attribute<'a> {
    kind: ObjectIdentifier,
    values: SetOfVec<AnyRef<'a>>,
}

/// Whose key made a signature (RFC 5652 §5.3).
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

/// One signature, not verified yet: only the caller knows whose key it should be of.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Whose key is said to have made it.
    pub id: SignerId,
    /// What is signed: the signed attributes, DER.
    message: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// A SignedData whose signatures cover its content; they are to be verified one by one.
#[derive(Clone, Debug)]
pub struct SignedMessage<'a> {
    /// The PKIData, DER.
    pub content: &'a [u8],
    /// The certificates in it that can be read.
    pub certificates: Vec<Certificate>,
    /// The signatures.
    pub signers: Vec<Signer>,
}

impl<'a> SignedMessage<'a> {
    /// Reads a SignedData over a PKIData, and checks all of each signature but whose it is: hash,
    /// signed attributes, the content's digest.
    ///
    /// # Errors
    /// [`Refused`]: badRequest for what is none, badAlg for a hash that is not accepted,
    /// badMessageCheck for a digest that is not the content's.
    pub fn parse(der: &'a [u8]) -> Result<Self, Refused> {
        let bad = |reason: String| Refused::whole(FailInfo::BadRequest, reason);
        let rejection = |rejection: der::Error| bad(format!("no SignedData in DER: {rejection}"));
        let info = match ContentInfo::from_der(der) {
            Ok(info) => info,
            // RFC 5272 §6.1.1: an error about a Simple PKI Request names part 1.
            Err(_) if crate::pki::Csr::signature_algorithm(der).is_ok() => {
                let reason =
                    "a PKCS#10 request alone is a Simple PKI Request: send it to /simpleenroll";
                return Err(Refused::part(FailInfo::BadRequest, 1, reason));
            }
            Err(error) => return Err(rejection(error)),
        };
        if info.content_type != oid::SIGNED_DATA {
            return Err(bad(format!(
                "a Full PKI Request is a SignedData here, not {}",
                info.content_type
            )));
        }
        let signed: SignedData<'a> = info.content.decode_as().map_err(rejection)?;
        if signed.encap_content_info.content_type != oid::CCT_PKI_DATA {
            return Err(bad(format!(
                "the content of a Full PKI Request is id-cct-PKIData, not {} (RFC 5272 section 3.2)",
                signed.encap_content_info.content_type
            )));
        }
        let Some(content) = signed.encap_content_info.content else {
            return Err(bad("a SignedData without content".to_owned()));
        };
        let content = content.as_bytes();
        let certificates = signed.certificates.unwrap_or_default();
        if signed.signer_infos.len() > MAX_SIGNERS || certificates.len() > MAX_CERTIFICATES {
            return Err(bad(format!(
                "more than {MAX_SIGNERS} signers or {MAX_CERTIFICATES} certificates"
            )));
        }
        let signers = signed
            .signer_infos
            .iter()
            .map(|info| Signer::read(info.decode_as().map_err(rejection)?, content))
            .collect::<Result<_, Refused>>()?;
        let certificates = certificates
            .iter()
            // A certificate of another format is none that a signer of ours has.
            .filter_map(|certificate| Certificate::parse(&certificate.to_der().ok()?).ok())
            .collect();
        Ok(Self { content, certificates, signers })
    }
}

impl Signer {
    fn read(info: SignerInfo<'_>, content: &[u8]) -> Result<Self, Refused> {
        let bad = |reason: &str| Refused::whole(FailInfo::BadRequest, reason);
        let rejection = |rejection: der::Error| Refused::whole(FailInfo::BadRequest, rejection);
        let skid = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
        let id = if info.sid.tag() == skid {
            SignerId::KeyIdentifier(info.sid.value().to_vec())
        } else {
            let sid: IssuerAndSerial<'_> = info.sid.decode_as().map_err(rejection)?;
            let issuer = DistinguishedName::parse(&sid.issuer.to_der().map_err(rejection)?);
            SignerId::IssuerAndSerial(
                issuer.map_err(|rejection| Refused::whole(FailInfo::BadRequest, rejection))?,
                Serial::parse(sid.serial_number.as_bytes())
                    .map_err(|rejection| Refused::whole(FailInfo::BadRequest, rejection))?,
            )
        };
        let version = if matches!(id, SignerId::KeyIdentifier(_)) { 3 } else { 1 };
        if info.version != version {
            return Err(bad(
                "the version of a SignerInfo is 1, or 3 with a key identifier (RFC 5652 section 5.3)",
            ));
        }
        let hash = hash(info.digest_algorithm.oid)?;
        let Some(attributes) = info.signed_attrs else {
            return Err(bad(
                "a SignedData over a PKIData has signed attributes (RFC 5652 section 5.3)",
            ));
        };
        let only = |kind| {
            let mut found = None;
            for attribute in attributes.iter() {
                let attribute: Attribute<'_> = attribute.decode_as().map_err(rejection)?;
                if attribute.kind == kind {
                    let mut values = attribute.values.iter();
                    let one = values.next().copied().filter(|_| found.is_none());
                    let Some(value) = one.filter(|_| values.next().is_none()) else {
                        return Err(bad(
                            "a signed attribute that is not there once, with one value",
                        ));
                    };
                    found = Some(value);
                }
            }
            found.ok_or_else(|| {
                bad("the signed attributes hold contentType and messageDigest (RFC 5652 section 5.3)")
            })
        };
        let content_type: ObjectIdentifier =
            only(oid::CONTENT_TYPE)?.decode_as().map_err(rejection)?;
        let message_digest: &OctetStringRef =
            only(oid::MESSAGE_DIGEST)?.decode_as().map_err(rejection)?;
        if content_type != oid::CCT_PKI_DATA {
            return Err(Refused::whole(
                FailInfo::BadMessageCheck,
                "the signed contentType is not that of the content",
            ));
        }
        if digest::digest(hash, content).as_ref() != message_digest.as_bytes() {
            return Err(Refused::whole(
                FailInfo::BadMessageCheck,
                "the signed messageDigest is not that of the content",
            ));
        }
        let algorithm = if info.signature_algorithm.oid == oid::RSA {
            // As OpenSSL and others write it: the hash is that of the digestAlgorithm (RFC 3370 §3.2).
            let identifier = match info.digest_algorithm.oid {
                oid::SHA256 => oid::RSA_SHA256,
                oid::SHA384 => oid::RSA_SHA384,
                _ => oid::RSA_SHA512,
            };
            AlgorithmIdentifierRef { oid: identifier, parameters: None }.to_der()
        } else {
            info.signature_algorithm.to_der()
        };
        Ok(Self {
            id,
            message: attributes.to_der().map_err(rejection)?,
            algorithm: algorithm.map_err(rejection)?,
            signature: info.signature.as_bytes().to_vec(),
        })
    }

    /// Verifies the signature by this key.
    ///
    /// # Errors
    /// [`Refused`] about the message as a whole: badAlg, badMessageCheck.
    pub fn verify(&self, key: &PublicKey) -> Result<(), Refused> {
        let rejection = |rejection: der::Error| Refused::whole(FailInfo::BadRequest, rejection);
        let algorithm = AlgorithmIdentifierRef::from_der(&self.algorithm).map_err(rejection)?;
        let signature = BitStringRef::from_bytes(&self.signature).map_err(rejection)?;
        key.verify(&algorithm, &self.message, &signature).map_err(|rejection| match rejection {
            Error::ProofOfPossession(_) => Refused::whole(
                FailInfo::BadMessageCheck,
                "a signature of the message does not verify (RFC 5272 section 3.2.1.3.4)",
            ),
            other => Refused::whole(FailInfo::BadAlg, other),
        })
    }
}

fn hash(oid: ObjectIdentifier) -> Result<&'static digest::Algorithm, Refused> {
    match oid {
        oid::SHA256 => Ok(&digest::SHA256),
        oid::SHA384 => Ok(&digest::SHA384),
        oid::SHA512 => Ok(&digest::SHA512),
        other => Err(Refused::whole(
            FailInfo::BadAlg,
            format!("the hash is SHA-256, SHA-384 or SHA-512, not {other}"),
        )),
    }
}

/// What a CA signs to answer: the signed attributes around a PKIResponse, DER. They begin with the
/// tag of a SET, so the signature over them can never be that of a certificate.
///
/// # Errors
/// Those of the encoder.
pub fn to_sign(content: &[u8], signer: KeyKind, now: Time) -> der::Result<Vec<u8>> {
    let (_, hash) = digest_of(signer);
    let digest = digest::digest(hash, content);
    let attribute = |kind, value: Any| {
        let values = SetOfVec::try_from(vec![AnyRef::from(&value)])?;
        Any::encode_from(&Attribute { kind, values })
    };
    let attributes = [
        attribute(oid::CONTENT_TYPE, Any::encode_from(&oid::CCT_PKI_RESPONSE)?)?,
        attribute(oid::SIGNING_TIME, Any::encode_from(&tbs::time(now)?)?)?,
        attribute(oid::MESSAGE_DIGEST, Any::new(Tag::OctetString, digest.as_ref())?)?,
    ];
    SetOfVec::try_from(attributes.iter().map(AnyRef::from).collect::<Vec<_>>())?.to_der()
}

/// Who signs an answer.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// The identifier of the key.
    pub key_identifier: &'a [u8],
    /// Its kind.
    pub kind: KeyKind,
    /// What [`to_sign`] gave.
    pub attributes: &'a [u8],
    /// The signature over that.
    pub signature: &'a [u8],
}

/// Writes a Full PKI Response: SignedData over a PKIResponse, with certificates. Without
/// `answering` nobody has signed it: the key cannot be used at present.
///
/// # Errors
/// Those of the encoder.
pub fn answer(
    content: &[u8],
    certificates: &[&[u8]],
    answering: Option<Answering<'_>>,
) -> der::Result<Vec<u8>> {
    let mut bag = certificates
        .iter()
        .map(|certificate| AnyRef::from_der(certificate))
        .collect::<der::Result<Vec<_>>>()?;
    // DER: a SET OF is in order, and nothing is gained by what stands there twice.
    bag.sort_by(|a, b| a.value().cmp(b.value()));
    bag.dedup();
    let (mut digests, mut infos) = (Vec::new(), Vec::new());
    if let Some(answering) = answering {
        let (hash, _) = digest_of(answering.kind);
        let digest_algorithm = AlgorithmIdentifierRef { oid: hash, parameters: None };
        let sid = Any::new(
            Tag::ContextSpecific { constructed: false, number: TagNumber(0) },
            answering.key_identifier,
        )?;
        digests.push(Any::encode_from(&digest_algorithm)?);
        infos.push(Any::encode_from(&SignerInfo {
            version: 3,
            sid: AnyRef::from(&sid),
            digest_algorithm,
            signed_attrs: Some(SetOfVec::from_der(answering.attributes)?),
            signature_algorithm: AlgorithmIdentifierRef::from_der(signature_identifier(
                answering.kind,
            ))?,
            signature: OctetStringRef::new(answering.signature)?,
            unsigned_attrs: None,
        })?);
    }
    let signed = SignedData {
        version: 3,
        digest_algorithms: digests.iter().map(AnyRef::from).collect::<Vec<_>>().try_into()?,
        encap_content_info: EncapsulatedContentInfo {
            content_type: oid::CCT_PKI_RESPONSE,
            content: Some(OctetStringRef::new(content)?),
        },
        certificates: if bag.is_empty() { None } else { Some(bag.try_into()?) },
        crls: None,
        signer_infos: infos.iter().map(AnyRef::from).collect::<Vec<_>>().try_into()?,
    };
    let content = Any::encode_from(&signed)?;
    ContentInfo { content_type: oid::SIGNED_DATA, content: AnyRef::from(&content) }.to_der()
}

/// The hash that goes with a key of ours (RFC 8419 §3: SHA-512 with Ed25519).
fn digest_of(kind: KeyKind) -> (ObjectIdentifier, &'static digest::Algorithm) {
    match kind {
        KeyKind::P256 | KeyKind::Rsa(_) => (oid::SHA256, &digest::SHA256),
        KeyKind::P384 => (oid::SHA384, &digest::SHA384),
        KeyKind::P521 | KeyKind::Ed25519 => (oid::SHA512, &digest::SHA512),
    }
}
