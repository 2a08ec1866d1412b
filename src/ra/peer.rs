//! The client's end of a TLS connection.

use super::RevocationStatus;
use crate::{
    pki::Certificate,
    types::{Binding, CaName, ManufacturerName, Spent, Time},
};
use async_trait::async_trait;
use std::{fmt, net::SocketAddr, sync::Arc};

/// The client's end of a TLS connection. Created after the handshake, read by each request.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Bits of the key of the session's cipher: how confidential the session is.
    pub cipher_bits: u16,
    /// The certificate chain that the client presented. The handshake proved possession of its key.
    pub chain: Option<Arc<dyn ClientChain>>,
    /// The value that binds a CSR to the connection.
    pub binding: Binding,
    /// Whether a CSR that was accepted was bound to the connection.
    pub spent: Arc<Spent>,
}

impl Peer {
    /// Returns the client's certificate with its verdict under the anchors in force now. The first
    /// call validates the chain, which is expensive: only call this if the result is needed.
    pub async fn certificate(&self) -> Option<Arc<ClientCertificate>> {
        let chain = self.chain.as_ref()?;
        match chain.validated() {
            Some(certificate) => Some(certificate),
            None => Some(chain.validate().await),
        }
    }
}

/// The certificate chain that a client presented.
#[async_trait]
pub trait ClientChain: fmt::Debug + Send + Sync {
    /// Returns the outcome of a validation that has ended.
    fn validated(&self) -> Option<Arc<ClientCertificate>>;

    /// Validates the chain, once for each set of anchors, and waits for the outcome.
    async fn validate(&self) -> Arc<ClientCertificate>;

    /// Returns its certificates, DER, the client's own first.
    fn certificates(&self) -> Vec<Vec<u8>>;

    /// Bytes of its certificates.
    fn size(&self) -> usize;
}

/// A chain that was validated before, at a time of the caller's choice: for an explanation.
#[derive(Debug)]
pub struct JudgedChain {
    /// The certificates, DER, the client's own first.
    pub certificates: Vec<Vec<u8>>,
    /// The outcome.
    pub outcome: Arc<ClientCertificate>,
}

#[async_trait]
impl ClientChain for JudgedChain {
    fn validated(&self) -> Option<Arc<ClientCertificate>> {
        Some(Arc::clone(&self.outcome))
    }

    async fn validate(&self) -> Arc<ClientCertificate> {
        Arc::clone(&self.outcome)
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        self.certificates.clone()
    }

    fn size(&self) -> usize {
        self.certificates.iter().map(Vec::len).sum()
    }
}

/// The client's own certificate, parsed once a connection, and the outcome of path validation.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate; `None` if it cannot be parsed, which the verdict then reports.
    pub certificate: Option<Arc<Certificate>>,
    /// The outcome of path validation (RFC 5280 §6).
    pub verdict: Verdict,
}

/// The outcome of path validation. An untrusted certificate does not end the handshake: its holder
/// may read `/cacerts` and authenticate with a password (D-09).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The path ends in this CA of this server, found by subject and key.
    Ours(CaName),
    /// The path leads to anchors of these manufacturers. Whether it is revoked may differ: each has CRLs
    /// of its own.
    Manufacturers(Vec<(ManufacturerName, RevocationStatus)>),
    /// The certificate becomes valid at this time, and is trusted then. Since a CA has issued it,
    /// one of the clocks is wrong, or was.
    NotYet(Time),
    /// The path ended in this CA of this server until the certificate expired.
    Expired(CaName),
    /// No path is valid, for this reason, which may be sent to the client.
    Untrusted(String),
}
