//! A key in this process's memory.

use super::{Signer, Unavailable};
use crate::{
    pki::{KeyError, PrivateKey},
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
}

#[async_trait]
impl Signer for SoftSigner {
    fn kind(&self) -> KeyKind {
        self.key.kind()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let signature = |outcome: Result<(Vec<u8>, &'static [u8]), KeyError>| match outcome {
            Ok((signature, _)) => Ok(signature),
            Err(error) => Err(Unavailable(error.to_string())),
        };
        if matches!(self.kind(), KeyKind::Rsa(_)) {
            // 0.2 to 1.5 ms: long enough to hold up other connections on this worker.
            let (key, message) = (Arc::clone(&self.key), message.to_vec());
            let signing = tokio::task::spawn_blocking(move || key.sign(&message));
            return signature(signing.await.map_err(|error| Unavailable(error.to_string()))?);
        }
        signature(self.key.sign(message))
    }
}
