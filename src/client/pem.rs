//! Certificates as PEM (RFC 7468).

use crate::client::Error;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Takes every certificate out of a PEM file, as DER. Text and other blocks are passed over.
///
/// # Errors
/// [`Error::Config`] if there is none, or a block is damaged.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let error = |why: String| Error::Config { what: "the file of certificates", why };
    let certificates = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| error(cause.to_string()))?;
    if certificates.is_empty() {
        return Err(error("it holds no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}

/// Writes certificates as PEM, one block after the other.
#[must_use]
pub fn certificates_to_pem<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> String {
    certificates
        .into_iter()
        .filter_map(|certificate| {
            der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, certificate).ok()
        })
        .collect()
}

/// Reads a CSR (PKCS#10) from a file: PEM, with or without text around it, or DER.
///
/// # Errors
/// Text that says what is wrong.
pub fn request_from_file(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    let (label, der) = der::pem::decode_vec(bytes)
        .map_err(|error| format!("it is neither DER nor PEM: {error}"))?;
    if !label.ends_with("CERTIFICATE REQUEST") {
        return Err(format!("it holds a {label}, not a CERTIFICATE REQUEST"));
    }
    Ok(der)
}
