//! The public key in a PEM file that an operator names.

use super::{Certificate, Csr, PublicKey, sha256};

/// Reads the first PEM block (RFC 7468): a certificate, a CSR whose signature verifies, or a public
/// key. Returns SHA-256 of its SubjectPublicKeyInfo, DER.
///
/// # Errors
/// What is wrong with it.
pub fn spki_sha256_of_pem(pem: &[u8]) -> Result<[u8; 32], String> {
    let none = || "it holds no PEM block".to_owned();
    let text = std::str::from_utf8(pem).map_err(|_| none())?;
    let start = text.find("-----BEGIN ").ok_or_else(none)?;
    let text = text.get(start..).unwrap_or_default();
    let end = text.find("-----END ").ok_or_else(none)?;
    let last = text.get(end..).unwrap_or_default().lines().next().unwrap_or_default();
    let block = text.get(..end + last.len()).unwrap_or_default().trim_end();
    let (kind, der) = der::pem::decode_vec(block.as_bytes())
        .map_err(|rejection| format!("its PEM: {rejection}"))?;
    match kind {
        "CERTIFICATE" => {
            let certificate =
                Certificate::parse(&der).map_err(|rejection| rejection.to_string())?;
            Ok(sha256(certificate.spki()))
        }
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            Ok(Csr::verify(&der).map_err(|rejection| rejection.to_string())?.key().spki_sha256())
        }
        "PUBLIC KEY" => {
            Ok(PublicKey::parse(&der).map_err(|rejection| rejection.to_string())?.spki_sha256())
        }
        other => Err(format!("it holds a {other}")),
    }
}
