//! How many signatures a validation may verify. webpki's own limit is 100 and cannot be set.

use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Signatures at most: a path of eight certificates, the longest chain that is read.
pub(super) const MAX_SIGNATURES: usize = 8;

/// Counts the signatures of one validation.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

/// An algorithm that counts verifications, and rejects those beyond the budget.
#[derive(Debug)]
struct Counted<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    budget: &'a Budget,
}

impl Budget {
    /// Calls `work` with webpki's algorithms, counted.
    pub(super) fn counting<T>(
        &self,
        work: impl FnOnce(&[&dyn SignatureVerificationAlgorithm]) -> T,
    ) -> T {
        let counted: Vec<_> = webpki::ALL_VERIFICATION_ALGS
            .iter()
            .map(|algorithm| Counted { algorithm: *algorithm, budget: self })
            .collect();
        let algorithms: Vec<_> =
            counted.iter().map(|one| one as &dyn SignatureVerificationAlgorithm).collect();
        work(&algorithms)
    }

    /// Returns the number of signatures verified.
    pub(super) fn spent(&self) -> usize {
        self.0.load(Ordering::Relaxed).min(MAX_SIGNATURES)
    }

    /// Returns whether more than [`MAX_SIGNATURES`] were needed.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MAX_SIGNATURES
    }
}

impl SignatureVerificationAlgorithm for Counted<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if self.budget.0.fetch_add(1, Ordering::Relaxed) >= MAX_SIGNATURES {
            return Err(InvalidSignature);
        }
        self.algorithm.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.algorithm.fips()
    }
}
