//! Answers to `/serverkeygen` (RFC 7030 §4.4.2): decodes, decrypts and verifies them.

use super::{Error, Response, answer, body, multipart};
use crate::{
    pki::{Certificate, PrivateKey, cms, keygen, keygen::Decryption, oid},
    types::{Operation, Time},
};
use zeroize::Zeroizing;

/// A key that the server generated, and its certificate.
#[derive(Debug)]
pub struct GeneratedKey {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: PrivateKey,
}

/// Returns key and certificate of an answer. `chain` is the server's chain in TLS, leaf first: a
/// signed key must be signed by one of them. With `decryption` a clear key is rejected.
pub(super) fn generated_key(
    response: &Response,
    decryption: Option<Decryption<'_>>,
    chain: &[Vec<u8>],
    now: Time,
) -> Result<GeneratedKey, Error> {
    let malformed =
        |why: String| Error::Malformed { operation: Operation::ServerKeyGen.as_str(), why };
    answer::check_status(response, now)?;
    let media_type = response.header("content-type").unwrap_or_default();
    let parts = multipart::parts(media_type, &response.body).map_err(malformed)?;
    let [one, other] = parts.as_slice() else {
        return Err(malformed(format!("it has {} parts instead of two", parts.len())));
    };
    let of = |part: &multipart::Part<'_>| KeygenPart::of(part.content_type);
    let (kind, key, certificate) = match (of(one), of(other)) {
        (Some(KeygenPart::Certificate), Some(kind)) if kind != KeygenPart::Certificate => {
            (kind, other, one)
        }
        (Some(kind), Some(KeygenPart::Certificate)) if kind != KeygenPart::Certificate => {
            (kind, one, other)
        }
        _ => {
            return Err(malformed(format!(
                "its parts are {:?} and {:?}, not a key and a certificate",
                answer::printable(one.content_type),
                answer::printable(other.content_type)
            )));
        }
    };
    let key = decoded(key).map_err(malformed)?;
    let invalid = |error: keygen::SealError| malformed(error.to_string());
    let key = match (kind, decryption) {
        (KeygenPart::Encrypted, Some(decryption)) => {
            let signed = keygen::decrypt(&key, decryption).map_err(invalid)?;
            let (package, signer) = keygen::verify(oid::KEY_PACKAGE, &signed).map_err(invalid)?;
            check_signer(&signer, chain).map_err(malformed)?;
            keygen::key_of_package(&package).map_err(invalid)?
        }
        (KeygenPart::Clear, None) => {
            PrivateKey::from_pkcs8_der(&key).map_err(|error| malformed(error.to_string()))?
        }
        (KeygenPart::Encrypted, None) => {
            return Err(malformed("the key is encrypted, and that was not asked for".to_owned()));
        }
        (KeygenPart::Clear | KeygenPart::Certificate, _) => {
            return Err(malformed("the key is not encrypted, as was asked for".to_owned()));
        }
    };
    let certificates = decoded(certificate)
        .and_then(|der| cms::parse_certs_only(&der).map_err(|error| error.to_string()))
        .map_err(malformed)?;
    let spki = key.public_key_spki_der().map_err(|error| malformed(error.to_string()))?;
    let certificate = answer::for_key(certificates, &spki).ok_or_else(|| {
        malformed("it holds no certificate that is for the key that came with it".to_owned())
    })?;
    Ok(GeneratedKey { certificate, key })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeygenPart {
    Clear,
    Encrypted,
    Certificate,
}

impl KeygenPart {
    fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let smime = multipart::parameter(media_type, "smime-type").unwrap_or_default();
        match (essence.as_str(), smime.to_ascii_lowercase().as_str()) {
            ("application/pkcs8", _) => Some(Self::Clear),
            ("application/pkcs7-mime", "server-generated-key") => Some(Self::Encrypted),
            ("application/pkcs7-mime", "certs-only" | "") => Some(Self::Certificate),
            _ => None,
        }
    }
}

fn decoded(part: &multipart::Part<'_>) -> Result<Zeroizing<Vec<u8>>, String> {
    if let Some(encoding) = part.encoding
        && !encoding.eq_ignore_ascii_case("base64")
    {
        return Err("a part is not encoded as base64".to_owned());
    }
    body::decode(part.content).map_err(|why| format!("a part cannot be read: {why}"))
}

/// The signer must be the verified server, or one of the CAs that verified it.
fn check_signer(signer: &Certificate, chain: &[Vec<u8>]) -> Result<(), String> {
    if chain.iter().any(|shown| shown == signer.der()) {
        return Ok(());
    }
    Err(format!(
        "the key is signed by {}, which is neither the server nor a CA of the chain that it showed",
        answer::printable(&signer.subject().to_string())
    ))
}
