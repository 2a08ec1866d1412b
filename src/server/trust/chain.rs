//! The certificates that a client presented, within bounds.

use rustls::pki_types::CertificateDer;

/// Certificates of a chain at most, the client's own included.
pub(super) const MAX_CERTIFICATES: usize = 8;

/// Bytes of a chain at most: four certificates of ML-DSA-87 have 31 KiB.
pub(super) const MAX_BYTES: usize = 48 << 10;

/// A chain: the end-entity certificate, then the intermediate certificates that the client sent.
#[derive(Debug)]
pub(in crate::server) struct Chain {
    end_entity: CertificateDer<'static>,
    intermediates: Box<[CertificateDer<'static>]>,
    excess: Option<String>,
}

impl Chain {
    /// Copies a chain. If the chain is too long, only the end-entity certificate is kept.
    pub(in crate::server) fn new(certificates: &[CertificateDer<'static>]) -> Option<Self> {
        let (end_entity, intermediates) = certificates.split_first()?;
        let bytes: usize = certificates.iter().map(|certificate| certificate.len()).sum();
        let excess = if certificates.len() > MAX_CERTIFICATES {
            Some(format!(
                "a chain of {} certificates; at most {MAX_CERTIFICATES} are read",
                certificates.len()
            ))
        } else if bytes > MAX_BYTES {
            Some(format!("a chain of {bytes} bytes; at most {MAX_BYTES} are read"))
        } else {
            None
        };
        let intermediates =
            if excess.is_some() { Box::default() } else { intermediates.to_vec().into() };
        Some(Self { end_entity: end_entity.clone(), intermediates, excess })
    }

    pub(in crate::server) const fn end_entity(&self) -> &CertificateDer<'static> {
        &self.end_entity
    }

    pub(in crate::server) fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// The certificates, the end-entity certificate first.
    pub(in crate::server) fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.end_entity).chain(&*self.intermediates).map(|one| one.as_ref())
    }

    /// Why the chain is not validated at all.
    pub(super) fn excess(&self) -> Option<&str> {
        self.excess.as_deref()
    }
}
