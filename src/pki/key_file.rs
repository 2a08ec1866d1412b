//! The public key in a PEM file that an operator names.

use super::{Certificate, Csr, PemError, PublicKey, pem, sha256};

/// Reads the first PEM block (RFC 7468): a certificate, a CSR whose signature verifies, or a public
/// key. Returns SHA-256 of its SubjectPublicKeyInfo, DER.
///
/// # Errors
/// A text with the error.
pub fn spki_sha256_of_pem(file: &[u8]) -> Result<[u8; 32], String> {
    const EXPECTED: &str = "CERTIFICATE, CERTIFICATE REQUEST, PUBLIC KEY";
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let block = pem::blocks(file).next().ok_or_else(|| text(&PemError::Missing(EXPECTED)))?;
    let der = block.decode().map_err(|error| text(&error))?;
    match block.label {
        "CERTIFICATE" => {
            let certificate = Certificate::parse(&der).map_err(|error| text(&error))?;
            Ok(sha256(certificate.spki()))
        }
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            Ok(Csr::verify(&der).map_err(|error| text(&error))?.key().spki_sha256())
        }
        "PUBLIC KEY" => Ok(PublicKey::parse(&der).map_err(|error| text(&error))?.spki_sha256()),
        got => Err(text(&PemError::OtherKind { got: got.to_owned(), expected: EXPECTED })),
    }
}
