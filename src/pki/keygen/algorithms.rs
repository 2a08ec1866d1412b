//! The device's SMIMECapabilities (RFC 8551 §2.5.2), and the supported ones of them.

use crate::{
    pki::{Error, algorithm::described, oid},
    types::{Code, KeyKind, Rejection},
};
use aws_lc_rs::{
    agreement, cipher, digest, key_wrap,
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
        OaepAlgorithm,
    },
};
use const_oid::ObjectIdentifier;
use der::{Any, Decode, Encode, Tag, Tagged, asn1::AnyRef};
use rsa::pkcs1::RsaOaepParams;
use spki::{AlgorithmIdentifier, AlgorithmIdentifierOwned};

/// AES by the length of its key, as a content cipher (CBC, RFC 3565) and to wrap a key. GCM would
/// need AuthEnvelopedData (RFC 5084), but RFC 7030 §4.4.2 requires EnvelopedData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aes {
    Aes128,
    Aes256,
}

impl Aes {
    pub(super) const ALL: [Self; 2] = [Self::Aes128, Self::Aes256];

    /// The least that is no weaker than a key of this kind (NIST SP 800-57 part 1 §5.6.1). RSA of
    /// 4096 bits is nearer to 128 than to 192.
    pub(super) const fn as_strong_as(kind: KeyKind) -> Self {
        match kind {
            KeyKind::P384 | KeyKind::P521 => Self::Aes256,
            KeyKind::Rsa(_) | KeyKind::P256 | KeyKind::Ed25519 => Self::Aes128,
        }
    }

    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    /// The cipher with keys of this many bytes.
    pub(super) fn of_key(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|aes| aes.bytes() == bytes)
    }

    pub(super) const fn cbc(self) -> ObjectIdentifier {
        match self {
            Self::Aes128 => oid::AES_128_CBC,
            Self::Aes256 => oid::AES_256_CBC,
        }
    }

    pub(super) const fn wrap(self) -> ObjectIdentifier {
        match self {
            Self::Aes128 => oid::AES_128_WRAP,
            Self::Aes256 => oid::AES_256_WRAP,
        }
    }

    pub(super) const fn cipher(self) -> &'static cipher::Algorithm {
        match self {
            Self::Aes128 => &cipher::AES_128,
            Self::Aes256 => &cipher::AES_256,
        }
    }

    pub(super) const fn wrapper(self) -> &'static key_wrap::AesBlockCipher {
        match self {
            Self::Aes128 => &key_wrap::AES_128,
            Self::Aes256 => &key_wrap::AES_256,
        }
    }

    /// The wrap's AlgorithmIdentifier, whose parameters are absent (RFC 3565 §2.3.2).
    pub(super) const fn wrap_identifier(self) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid: self.wrap(), parameters: None }
    }

    pub(super) fn by_wrap(identifier: &AlgorithmIdentifierOwned) -> Option<Self> {
        Self::ALL.into_iter().find(|aes| {
            aes.wrap() == identifier.oid && absent_or_null(identifier.parameters.as_ref())
        })
    }
}

/// Encryption of a content key to the holder of an RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// RSAES-OAEP with MGF1 over the same hash and no label (RFC 4055 §4.1).
    Oaep(Hash),
    /// RSAES-PKCS1-v1_5, for devices that support nothing else. Encryption does not create an
    /// oracle.
    Pkcs1,
}

/// Key agreement with the holder of an EC key: ephemeral-static ECDH without cofactor, and the KDF of
/// X9.63 with this hash (RFC 5753 §7.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreement(pub(super) Hash);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// In RSAES-OAEP only: nothing there rests on collisions.
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => oid::SHA1,
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    pub(super) const fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    pub(super) const fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &OAEP_SHA384_MGF1SHA384,
            Self::Sha512 => &OAEP_SHA512_MGF1SHA512,
        }
    }
}

impl Transport {
    /// Reads `keyEncryptionAlgorithm`, which is also how a capability names it.
    pub(super) fn by_identifier(identifier: &AlgorithmIdentifierOwned) -> Option<Self> {
        match identifier.oid {
            oid::RSA => absent_or_null(identifier.parameters.as_ref()).then_some(Self::Pkcs1),
            oid::RSAES_OAEP => {
                let encoded = identifier.parameters.as_ref()?.to_der().ok()?;
                let parameters = RsaOaepParams::<Any>::from_der(&encoded).ok()?;
                let of_mask = parameters.mask_gen.parameters.as_ref()?.oid;
                let unlabeled = match &parameters.p_source.parameters {
                    None => true,
                    Some(label) => label.tag() == Tag::OctetString && label.value().is_empty(),
                };
                let usual = parameters.mask_gen.oid == oid::MGF1
                    && of_mask == parameters.hash.oid
                    && parameters.p_source.oid == oid::P_SPECIFIED
                    && unlabeled;
                [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512]
                    .into_iter()
                    .find(|hash| usual && hash.oid() == parameters.hash.oid)
                    .map(Self::Oaep)
            }
            _ => None,
        }
    }
}

impl Transport {
    /// RSAES-OAEP with SHA-256, as a capability names it.
    pub(super) fn oaep_sha256() -> der::Result<AlgorithmIdentifierOwned> {
        let hash = AlgorithmIdentifier { oid: oid::SHA256, parameters: Some(AnyRef::NULL) };
        let parameters = RsaOaepParams {
            hash,
            mask_gen: AlgorithmIdentifier { oid: oid::MGF1, parameters: Some(hash) },
            p_source: AlgorithmIdentifier {
                oid: oid::P_SPECIFIED,
                parameters: Some(AnyRef::new(Tag::OctetString, &[])?),
            },
        };
        Ok(AlgorithmIdentifierOwned {
            oid: oid::RSAES_OAEP,
            parameters: Some(Any::encode_from(&parameters)?),
        })
    }
}

impl Agreement {
    /// The scheme for a curve, with AES-256, as a capability names it.
    pub(super) fn identifier_for(kind: KeyKind) -> der::Result<AlgorithmIdentifierOwned> {
        let scheme = Self(match kind {
            KeyKind::P384 => Hash::Sha384,
            KeyKind::P521 => Hash::Sha512,
            KeyKind::Rsa(_) | KeyKind::P256 | KeyKind::Ed25519 => Hash::Sha256,
        });
        Ok(AlgorithmIdentifierOwned {
            oid: scheme.oid(),
            parameters: Some(Any::encode_from(&Aes::Aes256.wrap_identifier())?),
        })
    }

    pub(super) const fn oid(self) -> ObjectIdentifier {
        match self.0 {
            Hash::Sha384 => oid::ECDH_SHA384_KDF,
            Hash::Sha512 => oid::ECDH_SHA512_KDF,
            Hash::Sha1 | Hash::Sha256 => oid::ECDH_SHA256_KDF,
        }
    }

    pub(super) fn by_oid(identifier: ObjectIdentifier) -> Option<Self> {
        [Hash::Sha256, Hash::Sha384, Hash::Sha512]
            .into_iter()
            .map(Self)
            .find(|agreement| agreement.oid() == identifier)
    }
}

/// The curve's ECDH.
pub(super) const fn ecdh(kind: KeyKind) -> Option<&'static agreement::Algorithm> {
    match kind {
        KeyKind::P256 => Some(&agreement::ECDH_P256),
        KeyKind::P384 => Some(&agreement::ECDH_P384),
        KeyKind::P521 => Some(&agreement::ECDH_P521),
        KeyKind::Rsa(_) | KeyKind::Ed25519 => None,
    }
}

fn absent_or_null(parameters: Option<&Any>) -> bool {
    parameters.is_none_or(Any::is_null)
}

/// The algorithms that a device can decrypt with, in its order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities(Vec<AlgorithmIdentifierOwned>);

impl Capabilities {
    /// Reads the values of an SMIMECapabilities attribute: the content of its SET.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it does not have exactly one value, or that is no list of
    /// capabilities.
    pub fn parse(values: &[u8]) -> Result<Self, Error> {
        Vec::from_der(values).map(Self).map_err(|rejection| {
            Error::Malformed(Rejection::new(
                Code::KeygenCapabilities,
                "SMIMECapabilities has one value, a list of algorithms (RFC 8551 section 2.5.2)",
                rejection,
                "a list of algorithm identifiers in DER",
            ))
        })
    }

    /// The content cipher: the first that is no weaker than the key to be protected.
    pub(super) fn content(&self, least: Aes) -> Result<Aes, Error> {
        let known = |listed: &AlgorithmIdentifierOwned| {
            Aes::ALL.into_iter().find(|aes| aes.cbc() == listed.oid)
        };
        self.0.iter().filter_map(known).find(|aes| *aes >= least).ok_or_else(|| {
            self.missing(match least {
                Aes::Aes128 => "aes256-CBC or aes128-CBC, for the content",
                Aes::Aes256 => "aes256-CBC, for the content: no weaker than the key asked for",
            })
        })
    }

    /// Whether the device can unwrap with a key of this length.
    pub(super) fn check_wrap(&self, wrap: Aes) -> Result<(), Error> {
        if self.0.iter().any(|listed| Aes::by_wrap(listed) == Some(wrap)) {
            return Ok(());
        }
        Err(self.missing(match wrap {
            Aes::Aes128 => "aes128-wrap, by which the key named in the CSR wraps",
            Aes::Aes256 => "aes256-wrap, by which the key named in the CSR wraps",
        }))
    }

    /// Selects the encryption to an RSA key: the first OAEP listed, otherwise PKCS #1 v1.5.
    /// Returned as the device wrote it.
    pub(super) fn transport(&self) -> Result<(Transport, AlgorithmIdentifierOwned), Error> {
        let known =
            || self.0.iter().filter_map(|listed| Some((Transport::by_identifier(listed)?, listed)));
        known()
            .find(|(transport, _)| matches!(transport, Transport::Oaep(_)))
            .or_else(|| known().next())
            .map(|(transport, listed)| (transport, listed.clone()))
            .ok_or_else(|| {
                self.missing(
                    "RSAES-OAEP (one hash for all, SHA-256, 384, 512 or 1), or rsaEncryption",
                )
            })
    }

    /// Selects the key agreement for an EC key: the first scheme, with the wrap that it names (RFC 5753
    /// §8). If it names none, with the first wrap listed.
    pub(super) fn agreement(&self, least: Aes) -> Result<(Agreement, Aes), Error> {
        let listed_wrap = || self.0.iter().filter_map(Aes::by_wrap).find(|aes| *aes >= least);
        self.0
            .iter()
            .filter_map(|listed| {
                let agreement = Agreement::by_oid(listed.oid)?;
                let wrap = match &listed.parameters {
                    Some(parameters) if !parameters.is_null() => {
                        Aes::by_wrap(&parameters.decode_as().ok()?)?
                    }
                    _ => listed_wrap()?,
                };
                (wrap >= least).then_some((agreement, wrap))
            })
            .next()
            .ok_or_else(|| {
                self.missing(match least {
                    Aes::Aes128 => "dhSinglePass-stdDH with sha256kdf, sha384kdf or sha512kdf, and aes128-wrap or aes256-wrap",
                    Aes::Aes256 => "dhSinglePass-stdDH with sha256kdf, sha384kdf or sha512kdf, and aes256-wrap: no weaker than the key asked for",
                })
            })
    }

    fn missing(&self, wanted: &'static str) -> Error {
        let listed: Vec<String> = self.0.iter().map(|listed| described(listed.oid)).collect();
        Error::Unacceptable(Rejection::new(
            Code::KeygenCapabilities,
            "a key is encrypted by algorithms of the CSR's SMIMECapabilities only, and none of it is weaker than the key (RFC 7030 section 4.4.1)",
            if listed.is_empty() { "an empty list".to_owned() } else { listed.join(", ") },
            wanted,
        ))
    }
}

/// X9.63's key derivation (SEC 1 §3.6.1): the library has NIST's one-step KDF, which puts the
/// counter elsewhere. Fills `key`.
pub(super) fn x963_kdf(hash: Hash, secret: &[u8], shared_info: &[u8], key: &mut [u8]) {
    let length = hash.digest().output_len;
    for (part, counter) in key.chunks_mut(length).zip(1u32..) {
        let mut context = digest::Context::new(hash.digest());
        context.update(secret);
        context.update(&counter.to_be_bytes());
        context.update(shared_info);
        for (byte, derived) in part.iter_mut().zip(context.finish().as_ref()) {
            *byte = *derived;
        }
    }
}

/// The KDF's input that binds the wrapping key (RFC 5753 §7.2): the wrap and its key's length in bits.
pub(super) fn shared_info(wrap: Aes) -> der::Result<Vec<u8>> {
    #[derive(der::Sequence)]
    struct SharedInfo<'a> {
        key_info: AlgorithmIdentifierOwned,
        #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
        supp_pub_info: AnyRef<'a>,
    }
    let bits = u32::try_from(wrap.bytes() * 8).unwrap_or_default().to_be_bytes();
    SharedInfo {
        key_info: wrap.wrap_identifier(),
        supp_pub_info: AnyRef::new(Tag::OctetString, &bits)?,
    }
    .to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// From the documentation of RustCrypto's ansi-x963-kdf, and NIST's CAVS (SHA-256).
    #[test]
    fn the_kdf_of_x9_63() {
        let mut key = [0; 16];
        x963_kdf(Hash::Sha256, b"secret", b"shared-info", &mut key);
        assert_eq!(key.to_vec(), hex("8dbb1d50bcc7fc782abc9db5c64a2826"));
        let secret = hex("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08");
        let mut key = [0; 16];
        x963_kdf(Hash::Sha256, &secret, &[], &mut key);
        assert_eq!(key.to_vec(), hex("443024c3dae66b95e6f5670601558f71"));
        // Longer than the hash: the counter advances.
        let (mut short, mut long) = ([0; 32], [0; 40]);
        x963_kdf(Hash::Sha256, b"s", b"i", &mut short);
        x963_kdf(Hash::Sha256, b"s", b"i", &mut long);
        assert_eq!(short, long[..32]);
        assert_ne!(long[32..], [0; 8]);
    }

    fn list(items: &[AlgorithmIdentifierOwned]) -> Capabilities {
        Capabilities::parse(&items.to_vec().to_der().unwrap()).unwrap()
    }

    fn plain(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid, parameters: None }
    }

    fn null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid, parameters: Some(Any::null()) }
    }

    #[test]
    fn the_devices_order_counts_among_strong_enough_algorithms() {
        let both = list(&[plain(oid::AES_128_CBC), plain(oid::AES_256_CBC)]);
        assert_eq!(both.content(Aes::Aes128).unwrap(), Aes::Aes128);
        assert_eq!(both.content(Aes::Aes256).unwrap(), Aes::Aes256);
        let weak = list(&[plain(oid::AES_128_CBC)]);
        let rejection = weak.content(Aes::Aes256).unwrap_err();
        assert!(
            matches!(rejection, Error::Unacceptable(rejection) if rejection.expected.contains("aes256-CBC"))
        );
        assert!(list(&[]).content(Aes::Aes128).is_err());
    }

    #[test]
    fn oaep_is_preferred_to_pkcs1_and_its_parameters_are_read() {
        // As openssl writes SHA-256, and the default: SHA-1.
        let sha256 = hex(
            "303c06092a864886f70d010107302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500",
        );
        let sha256 = AlgorithmIdentifierOwned::from_der(&sha256).unwrap();
        let sha1 =
            AlgorithmIdentifierOwned::from_der(&hex("300d06092a864886f70d0101073000")).unwrap();
        let taken =
            |items: &[AlgorithmIdentifierOwned]| list(items).transport().map(|(taken, _)| taken);
        assert_eq!(
            taken(&[null(oid::RSA), sha256.clone()]).unwrap(),
            Transport::Oaep(Hash::Sha256)
        );
        assert_eq!(taken(&[sha1, sha256]).unwrap(), Transport::Oaep(Hash::Sha1));
        assert_eq!(taken(&[null(oid::RSA)]).unwrap(), Transport::Pkcs1);
        assert!(taken(&[plain(oid::RSAES_OAEP)]).is_err(), "its parameters are not optional");
        assert!(taken(&[plain(oid::AES_128_CBC)]).is_err());
    }

    #[test]
    fn a_scheme_has_its_own_wrap_or_one_of_the_list() {
        let with = |wrap: Aes| AlgorithmIdentifierOwned {
            oid: oid::ECDH_SHA384_KDF,
            parameters: Some(Any::encode_from(&wrap.wrap_identifier()).unwrap()),
        };
        let both = list(&[with(Aes::Aes128), with(Aes::Aes256)]);
        assert_eq!(both.agreement(Aes::Aes128).unwrap(), (Agreement(Hash::Sha384), Aes::Aes128));
        assert_eq!(both.agreement(Aes::Aes256).unwrap(), (Agreement(Hash::Sha384), Aes::Aes256));
        let apart = list(&[plain(oid::ECDH_SHA256_KDF), null(oid::AES_256_WRAP)]);
        assert_eq!(apart.agreement(Aes::Aes128).unwrap(), (Agreement(Hash::Sha256), Aes::Aes256));
        assert!(list(&[plain(oid::ECDH_SHA256_KDF)]).agreement(Aes::Aes128).is_err());
    }

    #[test]
    fn reads_the_vector() {
        // SMIMECapabilities aes256-wrap, aes256-CBC: the value of the attribute.
        let values = hex("301a300b060960864801650304012d300b060960864801650304012a");
        let read = Capabilities::parse(&values).unwrap();
        assert_eq!(read.content(Aes::Aes256).unwrap(), Aes::Aes256);
        assert!(read.check_wrap(Aes::Aes256).is_ok() && read.check_wrap(Aes::Aes128).is_err());
        assert!(Capabilities::parse(&values[1..]).is_err());
        assert!(Capabilities::parse(&[&values[..], &values[..]].concat()).is_err(), "two values");
    }
}
