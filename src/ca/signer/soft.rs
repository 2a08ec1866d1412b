//! A key in this process's memory.

use super::{Signer, Unavailable};
use crate::{
    lint::LintedTbs,
    pki::{PrivateKey, cmc::SignedAttributes},
    types::KeyKind,
};
use async_trait::async_trait;
use std::sync::Arc;

/// Signs with a key in memory.
#[derive(Debug)]
pub struct SoftSigner {
    key: Arc<PrivateKey>,
}

impl SoftSigner {
    /// Creates a signer with this key.
    pub fn new(key: PrivateKey) -> Self {
        Self { key: Arc::new(key) }
    }

    async fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        if matches!(self.key.kind(), KeyKind::Rsa(_)) {
            // 0.2 to 1.5 ms: long enough to hold up other connections on this worker.
            let (key, message) = (Arc::clone(&self.key), message.to_vec());
            let signing = tokio::task::spawn_blocking(move || signature(&key, &message));
            return signing.await.map_err(|error| Unavailable(error.to_string()))?;
        }
        signature(&self.key, message)
    }
}

/// Signs a certificate with a key that signs nothing else: one of a root that is being created.
///
/// # Errors
/// [`Unavailable`].
pub(in crate::ca) fn sign_once(key: &PrivateKey, tbs: &LintedTbs) -> Result<Vec<u8>, Unavailable> {
    signature(key, tbs.der())
}

fn signature(key: &PrivateKey, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
    match key.sign(message) {
        Ok((signature, _)) => Ok(signature),
        Err(error) => Err(Unavailable(error.to_string())),
    }
}

#[async_trait]
impl Signer for SoftSigner {
    fn kind(&self) -> KeyKind {
        self.key.kind()
    }

    async fn sign(&self, tbs: &LintedTbs) -> Result<Vec<u8>, Unavailable> {
        self.sign_bytes(tbs.der()).await
    }

    async fn sign_attributes(&self, attributes: &SignedAttributes) -> Result<Vec<u8>, Unavailable> {
        self.sign_bytes(attributes.der()).await
    }
}
