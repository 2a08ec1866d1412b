//! EnvelopedData (RFC 5652 §6) for one recipient, as RFC 7030 §4.4.2 requires. The recipient info is
//! kekri for a symmetric key, ktri for an RSA key, kari for an EC key.

use super::{
    Capabilities, SealError,
    algorithms::{Aes, Agreement, Transport, ecdh, shared_info, x963_kdf},
    der_rejection,
};
use crate::{
    pki::{Certificate, Error, PublicKey, extension::KeyUsage, oid},
    types::{Code, KeyKind, Rejection, Time},
};
use aws_lc_rs::{
    agreement::{self, UnparsedPublicKey},
    cipher::{DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    key_wrap::{AesKek, KeyWrap},
    rsa::{OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey},
};
use cms::{
    cert::IssuerAndSerialNumber,
    content_info::{CmsVersion, ContentInfo},
    enveloped_data::{
        EncryptedContentInfo, EnvelopedData, KekIdentifier, KekRecipientInfo,
        KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo,
        OriginatorIdentifierOrKey, OriginatorPublicKey, RecipientEncryptedKey, RecipientIdentifier,
        RecipientInfo, RecipientInfos, RecipientKeyIdentifier,
    },
};
use der::{
    Any, Decode, Encode,
    asn1::{BitString, OctetString},
};
use spki::AlgorithmIdentifierOwned;
use x509_cert::{ext::pkix::SubjectKeyIdentifier, serial_number::SerialNumber};
use zeroize::Zeroizing;

/// The holder of the key that decrypts.
#[derive(Clone, Debug)]
pub enum Recipient<'a> {
    /// The holder of a symmetric key.
    Symmetric {
        /// The bytes by which the device named it.
        id: &'a [u8],
        /// The key: 16 or 32 bytes.
        key: &'a [u8],
    },
    /// The holder of the key in a certificate.
    Certificate(&'a Certificate),
}

/// How a key will be encrypted. Every rejection happens when the plan is built, before a key is
/// generated.
pub struct EnvelopePlan {
    content: Aes,
    way: Way,
}

enum Way {
    Wrapped {
        id: Vec<u8>,
        key: Zeroizing<Vec<u8>>,
        wrap: Aes,
    },
    Transported {
        recipient: Box<Certificate>,
        transport: Transport,
        identifier: AlgorithmIdentifierOwned,
    },
    Agreed {
        recipient: Box<Certificate>,
        kind: KeyKind,
        agreement: Agreement,
        wrap: Aes,
    },
}

/// Does not print the key.
impl std::fmt::Debug for EnvelopePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EnvelopePlan({})", self.summary())
    }
}

impl EnvelopePlan {
    /// Selects algorithms that the device supports, none weaker than the key `kind` that they
    /// protect.
    ///
    /// A certificate's key must be for encipherment or agreement, or for any use (RFC 7030
    /// §4.4.1.2), and valid `now`.
    ///
    /// # Errors
    /// [`Error::Unacceptable`] naming what is missing.
    pub fn new(
        recipient: &Recipient<'_>,
        capabilities: &Capabilities,
        kind: KeyKind,
        now: Time,
    ) -> Result<Self, Error> {
        let least = Aes::as_strong_as(kind);
        let way = match recipient {
            Recipient::Symmetric { id, key } => {
                let wrap =
                    Aes::of_key(key.len()).filter(|wrap| *wrap >= least).ok_or_else(|| {
                        unacceptable(
                            Code::KeygenWeakKey,
                            format!("{} bits for {kind}", key.len() * 8),
                            "a decryption key of 256 bits, or another kind of key",
                        )
                    })?;
                capabilities.check_wrap(wrap)?;
                Way::Wrapped { id: id.to_vec(), key: Zeroizing::new(key.to_vec()), wrap }
            }
            Recipient::Certificate(certificate) => {
                by_certificate(certificate, capabilities, least, now)?
            }
        };
        Ok(Self { content: capabilities.content(least)?, way })
    }

    /// Names the plan, for the log.
    #[must_use]
    pub const fn summary(&self) -> &'static str {
        match self.way {
            Way::Wrapped { .. } => "made here, encrypted to a symmetric key",
            Way::Transported { .. } => "made here, encrypted to an RSA key",
            Way::Agreed { .. } => "made here, encrypted to an EC key",
        }
    }

    /// Encrypts SignedData (DER) into a ContentInfo with EnvelopedData (DER).
    ///
    /// # Errors
    /// [`SealError`] if the library rejects the recipient's key, or has no randomness.
    pub fn seal(&self, signed: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut content_key = Zeroizing::new(vec![0; self.content.bytes()]);
        aws_lc_rs::rand::fill(&mut content_key)
            .map_err(|_| SealError::Library("give randomness for a content key"))?;
        let (iv, ciphertext) = encrypt(self.content, &content_key, signed)?;
        let recipient = self.recipient(&content_key)?;
        let assemble = || {
            let enveloped = EnvelopedData {
                version: version(&recipient),
                originator_info: None,
                recip_infos: RecipientInfos::try_from(vec![recipient])?,
                encrypted_content: EncryptedContentInfo {
                    content_type: oid::SIGNED_DATA,
                    content_enc_alg: AlgorithmIdentifierOwned {
                        oid: self.content.cbc(),
                        parameters: Some(Any::encode_from(&OctetString::new(iv)?)?),
                    },
                    encrypted_content: Some(OctetString::new(ciphertext)?),
                },
                unprotected_attrs: None,
            };
            let content = Any::encode_from(&enveloped)?;
            ContentInfo { content_type: oid::ENVELOPED_DATA, content }.to_der()
        };
        assemble().map_err(der_rejection("the EnvelopedData"))
    }

    fn recipient(&self, content_key: &[u8]) -> Result<RecipientInfo, SealError> {
        let rejection = der_rejection("the recipient");
        match &self.way {
            Way::Wrapped { id, key, wrap } => {
                let wrapped = wrap_key(*wrap, key, content_key)?;
                let assemble = || {
                    Ok::<_, der::Error>(KekRecipientInfo {
                        version: CmsVersion::V4,
                        kek_id: KekIdentifier {
                            kek_identifier: OctetString::new(id.as_slice())?,
                            date: None,
                            other: None,
                        },
                        key_enc_alg: wrap.wrap_identifier(),
                        encrypted_key: OctetString::new(wrapped)?,
                    })
                };
                assemble().map(RecipientInfo::Kekri).map_err(rejection)
            }
            Way::Transported { recipient, transport, identifier } => {
                let encrypted = transport_key(recipient, *transport, content_key)?;
                let assemble = || {
                    let rid = match named(recipient)? {
                        Named::Key(id) => RecipientIdentifier::SubjectKeyIdentifier(id),
                        Named::Certificate(id) => RecipientIdentifier::IssuerAndSerialNumber(id),
                    };
                    Ok::<_, der::Error>(KeyTransRecipientInfo {
                        version: match rid {
                            RecipientIdentifier::SubjectKeyIdentifier(_) => CmsVersion::V2,
                            RecipientIdentifier::IssuerAndSerialNumber(_) => CmsVersion::V0,
                        },
                        rid,
                        key_enc_alg: identifier.clone(),
                        enc_key: OctetString::new(encrypted)?,
                    })
                };
                assemble().map(RecipientInfo::Ktri).map_err(rejection)
            }
            Way::Agreed { recipient, kind, agreement, wrap } => {
                let (ephemeral, wrapped) = agree(recipient, *kind, *agreement, *wrap, content_key)?;
                let assemble = || {
                    let rid = match named(recipient)? {
                        Named::Key(id) => {
                            KeyAgreeRecipientIdentifier::RKeyId(RecipientKeyIdentifier {
                                subject_key_identifier: id,
                                date: None,
                                other: None,
                            })
                        }
                        Named::Certificate(id) => {
                            KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(id)
                        }
                    };
                    Ok::<_, der::Error>(KeyAgreeRecipientInfo {
                        version: CmsVersion::V3,
                        originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
                            // The curve is the recipient's; here it should be absent (RFC 5753
                            // §3.1.1).
                            algorithm: AlgorithmIdentifierOwned {
                                oid: oid::EC_PUBLIC_KEY,
                                parameters: None,
                            },
                            public_key: BitString::from_bytes(&ephemeral)?,
                        }),
                        ukm: None,
                        key_enc_alg: AlgorithmIdentifierOwned {
                            oid: agreement.oid(),
                            parameters: Some(Any::encode_from(&wrap.wrap_identifier())?),
                        },
                        recipient_enc_keys: vec![RecipientEncryptedKey {
                            rid,
                            enc_key: OctetString::new(wrapped)?,
                        }],
                    })
                };
                assemble().map(RecipientInfo::Kari).map_err(rejection)
            }
        }
    }
}

/// RFC 5652 §6.1: 0 if the only recipient is a ktri by issuer and serial number.
const fn version(recipient: &RecipientInfo) -> CmsVersion {
    match recipient {
        RecipientInfo::Ktri(KeyTransRecipientInfo {
            rid: RecipientIdentifier::IssuerAndSerialNumber(_),
            ..
        }) => CmsVersion::V0,
        _ => CmsVersion::V2,
    }
}

fn by_certificate(
    certificate: &Certificate,
    capabilities: &Capabilities,
    least: Aes,
    now: Time,
) -> Result<Way, Error> {
    if now < certificate.not_before() || now > certificate.not_after() {
        return Err(unacceptable(
            Code::KeygenRecipientValidity,
            format!("one from {} to {}", certificate.not_before(), certificate.not_after()),
            "the identifier of a key whose certificate is valid now",
        ));
    }
    let usage = certificate.key_usage()?;
    let allowed = |needed: KeyUsage| match usage {
        Some(usage) if !usage.contains(needed) => Err(unacceptable(
            Code::KeygenRecipientUsage,
            usage.names().join(", "),
            needed.names().join(", "),
        )),
        _ => Ok(()),
    };
    let key = PublicKey::parse(certificate.spki()).map_err(|rejection| {
        unacceptable(
            Code::KeygenRecipientKind,
            &rejection.rejection().got,
            "RSA of 2048 to 4096 bits, or P-256, P-384, P-521",
        )
    })?;
    let recipient = Box::new(certificate.clone());
    match key.kind() {
        KeyKind::Rsa(_) => {
            allowed(KeyUsage::KEY_ENCIPHERMENT)?;
            let (transport, identifier) = capabilities.transport()?;
            Ok(Way::Transported { recipient, transport, identifier })
        }
        kind @ (KeyKind::P256 | KeyKind::P384 | KeyKind::P521) => {
            allowed(KeyUsage::KEY_AGREEMENT)?;
            let (agreement, wrap) = capabilities.agreement(least)?;
            Ok(Way::Agreed { recipient, kind, agreement, wrap })
        }
        KeyKind::Ed25519 => Err(unacceptable(
            Code::KeygenRecipientKind,
            "ed25519",
            "RSA of 2048 to 4096 bits, or P-256, P-384, P-521",
        )),
    }
}

fn unacceptable(
    code: Code,
    seen: impl std::fmt::Display,
    wanted: impl Into<std::borrow::Cow<'static, str>>,
) -> Error {
    Error::Unacceptable(Rejection::of(code, seen, wanted))
}

enum Named {
    Key(SubjectKeyIdentifier),
    Certificate(IssuerAndSerialNumber),
}

/// Names the recipient by the subjectKeyIdentifier of its certificate. Without one, by issuer and
/// serial number: a reader could not know how a computed identifier was derived.
fn named(certificate: &Certificate) -> der::Result<Named> {
    Ok(match certificate.subject_key_identifier() {
        Some(id) => Named::Key(SubjectKeyIdentifier(OctetString::new(id)?)),
        None => Named::Certificate(IssuerAndSerialNumber {
            issuer: x509_cert::name::Name::from_der(certificate.issuer().der())?,
            serial_number: SerialNumber::new(certificate.serial().as_bytes())?,
        }),
    })
}

fn encrypt(content: Aes, key: &[u8], clear: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let failed = |_| SealError::Library("encrypt the key");
    let cipher = UnboundCipherKey::new(content.cipher(), key)
        .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
        .map_err(failed)?;
    // Room for the padding: a reallocation would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(clear.len() + 16));
    bytes.extend_from_slice(clear);
    let DecryptionContext::Iv128(iv) = cipher.encrypt(&mut *bytes).map_err(failed)? else {
        return Err(SealError::Library("encrypt the key"));
    };
    Ok((iv.as_ref().to_vec(), bytes.to_vec()))
}

fn wrap_key(wrap: Aes, kek: &[u8], key: &[u8]) -> Result<Vec<u8>, SealError> {
    let failed = |_| SealError::Library("wrap the content key");
    let mut wrapped = vec![0; key.len() + 8];
    AesKek::new(wrap.wrapper(), kek)
        .and_then(|kek| kek.wrap(key, &mut wrapped).map(|bytes| bytes.len()))
        .map_err(failed)?;
    Ok(wrapped)
}

fn transport_key(
    recipient: &Certificate,
    transport: Transport,
    key: &[u8],
) -> Result<Vec<u8>, SealError> {
    let failed = |_| SealError::Library("encrypt the content key");
    let public = PublicEncryptingKey::from_der(recipient.spki())
        .map_err(|_| SealError::Library("read the recipient's key"))?;
    let mut encrypted = vec![0; public.key_size_bytes()];
    let length = match transport {
        Transport::Oaep(hash) => OaepPublicEncryptingKey::new(public)
            .and_then(|public| {
                public.encrypt(hash.oaep(), key, &mut encrypted, None).map(|bytes| bytes.len())
            })
            .map_err(failed)?,
        Transport::Pkcs1 => Pkcs1PublicEncryptingKey::new(public)
            .and_then(|public| public.encrypt(key, &mut encrypted).map(|bytes| bytes.len()))
            .map_err(failed)?,
    };
    encrypted.truncate(length);
    Ok(encrypted)
}

/// Ephemeral-static ECDH (RFC 5753 §3.1): the ephemeral public key and the wrapped content key.
fn agree(
    recipient: &Certificate,
    kind: KeyKind,
    scheme: Agreement,
    wrap: Aes,
    key: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let failed = |_| SealError::Library("agree on a key");
    let algorithm = ecdh(kind).ok_or(SealError::Library("find the curve"))?;
    let ephemeral = agreement::PrivateKey::generate(algorithm).map_err(failed)?;
    let public = ephemeral.compute_public_key().map_err(failed)?;
    let info = shared_info(wrap).map_err(der_rejection("the KDF's input"))?;
    // A SubjectPublicKeyInfo is one of the forms that the library reads; it checks the point.
    let peer = UnparsedPublicKey::new(algorithm, recipient.spki());
    let wrapped =
        agreement::agree(&ephemeral, peer, SealError::Library("agree on a key"), |secret| {
            let mut kek = Zeroizing::new(vec![0; wrap.bytes()]);
            x963_kdf(scheme.0, secret, &info, &mut kek);
            wrap_key(wrap, &kek, key)
        })?;
    Ok((public.as_ref().to_vec(), wrapped))
}
