//! A signer that counts.

use async_trait::async_trait;
use estd::{
    ca::signer::{Signer, SoftSigner, Unavailable},
    lint::LintedTbs,
    pki::{PrivateKey, cmc::SignedAttributes},
    types::KeyKind,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Signs with a key in memory, and counts. It can be made to fail.
pub(crate) struct Counting {
    key: SoftSigner,
    signed: AtomicUsize,
    fails: bool,
}

impl Counting {
    pub(crate) fn new(key: PrivateKey, fails: bool) -> Self {
        Self { key: SoftSigner::new(key), signed: AtomicUsize::new(0), fails }
    }

    pub(crate) fn signed(&self) -> usize {
        self.signed.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Signer for Counting {
    fn kind(&self) -> KeyKind {
        self.key.kind()
    }

    async fn sign(&self, tbs: &LintedTbs) -> Result<Vec<u8>, Unavailable> {
        if self.fails {
            return Err(Unavailable("the token is not there".to_owned()));
        }
        self.signed.fetch_add(1, Ordering::SeqCst);
        self.key.sign(tbs).await
    }

    async fn sign_attributes(&self, attributes: &SignedAttributes) -> Result<Vec<u8>, Unavailable> {
        self.key.sign_attributes(attributes).await
    }
}
