//! The other end of a TLS connection.

use super::{Binding, CaName, Spent, Time, TrustClass};
use async_trait::async_trait;
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// What TLS tells about a client. Made when the handshake ends, read by each request.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Bits of the key of the session's cipher: how confidential the session is.
    pub cipher_bits: u16,
    /// The certificate that it showed with its chain, whose key it was seen to hold.
    pub chain: Option<Arc<dyn ClientChain>>,
    /// What binds a CSR to the connection.
    pub binding: Binding,
    /// Whether a CSR that was accepted was bound to it.
    pub spent: Arc<Spent>,
}

impl Peer {
    /// Returns the client's certificate and whether it is trusted, by the anchors in force now. Its
    /// chain is validated when the first request asks: only call this if the answer counts.
    pub async fn certificate(&self) -> Option<Arc<ClientCertificate>> {
        let chain = self.chain.as_ref()?;
        match chain.validated() {
            Some(certificate) => Some(certificate),
            None => Some(chain.validate().await),
        }
    }
}

/// The chain that a client presented.
#[async_trait]
pub trait ClientChain: fmt::Debug + Send + Sync {
    /// Returns the outcome of a validation that is over.
    fn validated(&self) -> Option<Arc<ClientCertificate>>;

    /// Validates the chain, once for each set of anchors, and waits for the outcome.
    async fn validate(&self) -> Arc<ClientCertificate>;
}

/// A certificate shown in the handshake, and whether it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The end-entity certificate, DER.
    pub der: Vec<u8>,
    /// The outcome of path validation (RFC 5280 §6).
    pub verdict: Verdict,
}

/// The outcome of path validation. A certificate that is not trusted does not end the handshake:
/// its holder may read `/cacerts` and authenticate otherwise (D-09).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leads to an anchor.
    Trusted {
        /// The database that the anchor is in.
        class: TrustClass,
        /// The CA of this server whose root or issuing certificate ends the validated path, found
        /// by subject and key. `None`: a third party's certificate.
        issuer: Option<CaName>,
    },
    /// It will at this moment: the certificate is not valid before. Since somebody has issued it,
    /// one of the clocks is wrong, or was.
    NotYet(Time),
    /// It led to an explicit anchor until the certificate expired.
    Expired {
        /// As in [`Verdict::Trusted`].
        issuer: Option<CaName>,
    },
    /// It does not, for this reason, which may be told to the client.
    Untrusted(String),
}

/// Where connections and failures are counted together: an IPv4 address, or what one host has of
/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// The origin of this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                // Within a /64 a host takes as many addresses as it likes (RFC 4291 §2.5.4).
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
            }
            v4 => v4,
        })
    }
}

impl fmt::Display for Origin {
    /// `203.0.113.7` or `2001:db8:1:2::/64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}
