//! Holders of CA keys.

mod absent;
mod soft;

pub use absent::AbsentSigner;
pub use soft::SoftSigner;
pub(super) use soft::sign_once;

use crate::{lint::LintedTbs, pki::cmc::SignedAttributes, types::KeyKind};
use async_trait::async_trait;

/// The key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Holds a CA's private key and signs with it. The key never leaves it.
///
/// It signs two things, each of a type of its own: bytes that the linter returned, and the attributes of an
/// answer. Those begin with the tag of a SET, so they are no certificate.
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The kind of key, which fixes the signature algorithm
    /// ([`crate::pki::algorithm::signature_identifier`]).
    fn kind(&self) -> KeyKind;

    /// Signs a certificate or CRL; returns the content of its signature BIT STRING.
    /// Long work must run on a thread of its own, never on a worker that serves TLS.
    ///
    /// # Errors
    /// [`Unavailable`] if the key cannot be used now.
    async fn sign(&self, tbs: &LintedTbs) -> Result<Vec<u8>, Unavailable>;

    /// Signs the signed attributes of an answer (RFC 5652 §5.4); otherwise as [`Self::sign`].
    ///
    /// # Errors
    /// As [`Self::sign`].
    async fn sign_attributes(&self, attributes: &SignedAttributes) -> Result<Vec<u8>, Unavailable>;
}
