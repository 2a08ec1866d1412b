//! No key: for a process that only explains.

use super::{Signer, Unavailable};
use crate::{lint::LintedTbs, pki::cmc::SignedAttributes, types::KeyKind};
use async_trait::async_trait;

/// Stands for a key that this process does not read. Signs nothing.
#[derive(Debug)]
pub struct AbsentSigner {
    kind: KeyKind,
}

impl AbsentSigner {
    /// Stands for a key of this kind.
    #[must_use]
    pub const fn new(kind: KeyKind) -> Self {
        Self { kind }
    }
}

#[async_trait]
impl Signer for AbsentSigner {
    fn kind(&self) -> KeyKind {
        self.kind
    }

    async fn sign(&self, _: &LintedTbs) -> Result<Vec<u8>, Unavailable> {
        Err(no_key())
    }

    async fn sign_attributes(&self, _: &SignedAttributes) -> Result<Vec<u8>, Unavailable> {
        Err(no_key())
    }
}

fn no_key() -> Unavailable {
    Unavailable("this process has no key of a CA".to_owned())
}
