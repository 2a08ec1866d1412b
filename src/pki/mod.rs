//! DER in and out: requests, certificates, CMS, names, keys. No I/O.
//!
//! Clients' bytes are parsed with bounded depth and without copies. A checked value has a type of its
//! own: a [`Csr`] exists only after its signature verified.

pub mod algorithm;
pub mod base64;
mod canonical;
pub mod cert;
mod cert_lines;
mod challenge;
mod change_subject_name;
pub mod cmc;
pub mod cms;
pub mod crl;
pub mod csr;
mod csr_builder;
pub mod csrattrs;
pub mod extension;
mod fingerprints;
pub mod key;
mod key_file;
pub mod keygen;
pub mod name;
pub mod oid;
pub mod pem;
mod private_key;
pub mod san;
pub mod signed_data;
pub mod tbs;
mod weak_key;

pub use cert::{Certificate, CertificateExtension, CertificateFields};
pub use cert_lines::extension_lines;
pub use challenge::challenge;
pub use change_subject_name::ChangeSubjectName;
pub use crl::{CrlError, RevocationList};
pub use csr::Csr;
pub use csr_builder::{AltName, CsrBuilder, CsrError, request_public_key_spki};
pub use csrattrs::CsrAttrsResponse;
pub use key::PublicKey;
pub use key_file::spki_sha256_of_pem;
pub use name::DistinguishedName;
pub use pem::PemError;
pub use private_key::{KeyError, PrivateKey};
pub use san::{HardwareModule, SubjectAltName};

use crate::types::Rejection;

/// The rejection of bytes from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// They are malformed.
    #[error("{0}")]
    Malformed(Rejection),
    /// The request is not signed by the key that it asks a certificate for (RFC 2986 §4.2).
    #[error("{0}")]
    ProofOfPossession(Rejection),
    /// Well formed, but with a key or a name that no certificate may have.
    #[error("{0}")]
    Unacceptable(Rejection),
}

impl Error {
    /// The rule that was broken.
    #[must_use]
    pub const fn rejection(&self) -> &Rejection {
        match self {
            Self::Malformed(rejection)
            | Self::ProofOfPossession(rejection)
            | Self::Unacceptable(rejection) => rejection,
        }
    }
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use aws_lc_rs::digest;
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// Compares `mac` with the HMAC-SHA256 of `message`, in constant time.
#[must_use]
pub fn same_mac(key: &[u8], message: &[u8], mac: &[u8]) -> bool {
    use aws_lc_rs::hmac;
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), message, mac).is_ok()
}

/// Compares the SHA-256 of `secret` with `kept`, in constant time.
#[must_use]
pub fn same_secret(kept: &[u8], secret: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(kept, &sha256(secret)).is_ok()
}
