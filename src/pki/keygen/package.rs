//! AsymmetricKeyPackage (RFC 5958 §2): a SEQUENCE OF OneAsymmetricKey, here of one.

use super::{SealError, der_rejection};
use crate::pki::{KeyError, PrivateKey};
use der::{Encode, Reader, SliceReader, Tag, asn1::AnyRef};
use zeroize::Zeroizing;

/// Wraps a private key (PKCS#8, DER) into a package.
///
/// # Errors
/// [`SealError::Der`] if it is longer than DER allows.
pub fn key_package(pkcs8: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    AnyRef::new(Tag::Sequence, pkcs8)
        .and_then(|package| package.to_der())
        .map(Zeroizing::new)
        .map_err(der_rejection("the key package"))
}

/// Extracts the one key of a package.
///
/// # Errors
/// [`SealError`] if it is no package of one key that this program reads.
pub fn key_of_package(package: &[u8]) -> Result<PrivateKey, SealError> {
    let mut reader = SliceReader::new(package).map_err(der_rejection("the key package"))?;
    let key = reader
        .sequence(|keys| {
            let key = keys.tlv_bytes()?;
            Ok::<_, der::Error>(key)
        })
        .and_then(|key| reader.finish().map(|()| key))
        .map_err(der_rejection("the key package"))?;
    PrivateKey::from_pkcs8_der(key)
        .map_err(|rejection: KeyError| SealError::Invalid(rejection.to_string()))
}
