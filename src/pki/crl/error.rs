//! Errors of CRLs.

use crate::pki::PemError;

/// Maximum length of a CRL in bytes.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Why bytes are no CRL that can be used, or why its signature does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// It is longer than 64 MiB.
    #[error("got a file of more than {} MiB; expected: a CRL of at most that size", MAX_BYTES >> 20)]
    TooLong,
    /// It is neither DER nor PEM.
    #[error("got neither DER nor a PEM block X509 CRL ({0}); expected: one CRL in DER or PEM")]
    Pem(#[from] PemError),
    /// It is malformed.
    #[error(
        "got bytes that are no CRL in DER ({0}); expected: one complete CRL (RFC 5280 section 5.1)"
    )]
    Form(String),
    /// It is not of version 2.
    #[error(
        "got a CRL of version {0}; expected: version 2 (RFC 5280 section 5.1.2.1), which openssl writes with \
         crl_extensions in its configuration"
    )]
    Version(u16),
    /// It has no nextUpdate.
    #[error(
        "got a CRL without nextUpdate; expected: the time of the next one (RFC 5280 section 5.1.2.5)"
    )]
    NoNextUpdate,
    /// It lists the changes since another one.
    #[error("got a delta CRL; expected: a full one")]
    Delta,
    /// It lists a part of the certificates.
    #[error(
        "got a CRL with an issuingDistributionPoint, which covers a part of the certificates; give the full \
         CRL"
    )]
    Partition,
    /// It lists certificates of other CAs.
    #[error("got an indirect CRL; expected: one that each CA issues for itself")]
    Indirect,
    /// An extension occurs twice.
    #[error("got two extensions {0}; expected: each at most once (RFC 5280 section 4.2)")]
    Twice(String),
    /// A critical extension whose meaning is unknown here.
    #[error("got a critical extension {0}; expected: none that is unknown (RFC 5280 section 5.2)")]
    Extension(String),
    /// The signed algorithm and that of the signature differ.
    #[error(
        "got two signature algorithms that differ; expected: equal ones (RFC 5280 section 5.1.1.2)"
    )]
    Algorithms,
    /// The algorithm is unknown, weak, or does not fit the key.
    #[error("got a signature by {0}; expected: an algorithm of the key with SHA-256 or better")]
    Algorithm(String),
    /// The issuer's key is of a kind that this program does not use.
    #[error("the issuer's key cannot verify it: got {0}")]
    Key(String),
    /// The issuer's keyUsage lacks cRLSign.
    #[error("got a CRL of a CA whose keyUsage lacks cRLSign (RFC 5280 section 6.3.3)")]
    Usage,
    /// The signature does not verify.
    #[error("got a signature that does not verify by the issuer's key")]
    Signature,
}

impl From<der::Error> for CrlError {
    fn from(error: der::Error) -> Self {
        Self::Form(error.to_string())
    }
}
