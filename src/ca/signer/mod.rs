//! Holders of CA keys.

mod absent;
mod soft;

pub use absent::AbsentSigner;
pub use soft::SoftSigner;

use crate::types::KeyKind;
use async_trait::async_trait;

/// The key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Holds a CA's private key and signs with it. The key never leaves it.
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The kind of key, which fixes the signature algorithm
    /// ([`crate::pki::algorithm::signature_identifier`]).
    fn kind(&self) -> KeyKind;

    /// Signs `message`; returns the content of the certificate's signature BIT STRING.
    /// Long work must run on a thread of its own, never on a worker that serves TLS.
    ///
    /// # Errors
    /// [`Unavailable`] if the key cannot be used now.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unavailable>;
}
