//! The EST client (RFC 7030) of the program `est`.
//!
//! A [`Client`] has a server, trust anchors and credentials. It verifies the server before it sends a
//! request. [`Client::connect`] opens a [`Connection`] for several requests; the other methods open
//! one for each request.
//!
//! Credentials go to a verified server only: the certificate in the handshake, the password with
//! enrollments, by the best scheme that the server offers. `/cacerts` never carries a password. The
//! bootstrap by fingerprint carries neither password nor certificate.

mod address;
mod answer;
mod body;
mod bootstrap;
mod config;
mod connection;
mod error;
mod keygen;
pub mod multipart;
#[cfg(feature = "server")]
pub mod operator;
mod password;
mod tls;
mod tolerant;
mod trust;

#[cfg(test)]
pub(crate) mod replay;
#[cfg(test)]
pub(crate) mod tests;

pub use address::{DEFAULT_PORT, ServerAddress};
pub use config::{
    ClientConfig, ClientIdentity, PasswordAccount, PasswordScheme, Timeouts, TlsVersions,
};
pub use connection::{Connection, MAX_ANSWER, Response};
pub use error::{Error, ServerRejection, TlsError};
pub use hyper::HeaderMap;
pub use keygen::GeneratedKey;
pub use trust::{ServerChain, Trust, fingerprint, parse_fingerprint, show_fingerprint};

use crate::types::Operation;
use connection::ConnectionTarget;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use password::PasswordAuthenticator;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use tls::{certified_key, has_aes_128};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use trust::{Anchors, Criteria};

/// An EST client for one server.
pub struct Client {
    config: ClientConfig,
    provider: Arc<CryptoProvider>,
    identity: Option<Arc<CertifiedKey>>,
    peer: Arc<ConnectionTarget>,
    /// Built at the first connection; with a fingerprint, by the bootstrap.
    trusted: OnceCell<Trusted>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.config.server).finish_non_exhaustive()
    }
}

struct Trusted {
    connector: TlsConnector,
    /// The same without the device's certificate.
    anonymous: TlsConnector,
    /// The CA certificates that the bootstrap by fingerprint verified.
    bootstrapped: Option<CaCertsResponse>,
}

/// CA certificates from a verified server (RFC 7030 §4.1).
#[derive(Debug, Clone)]
pub struct CaCertsResponse {
    /// The answer to `/cacerts` of the label, each as DER.
    pub bag: Vec<Vec<u8>>,
    /// The chain of the server that answered.
    pub server: ServerChain,
    /// The certificate with the configured fingerprint; it need not be in the bag.
    pub pinned: Option<Vec<u8>>,
}

impl Client {
    /// Checks the configuration; does not connect.
    ///
    /// # Errors
    /// [`Error::Config`] if anchors, identity or account cannot be used, [`Error::Address`] if the
    /// host can be in no certificate.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        let mut provider = aws_lc_rs::default_provider();
        if config.cipher_bits > 128 {
            provider.cipher_suites.retain(|suite| !has_aes_128(suite.suite()));
        }
        let provider = Arc::new(provider);
        let name =
            ServerName::try_from(config.server.host().to_owned()).map_err(|_| Error::Address {
                seen: config.server.host().to_owned(),
                why: "the host is neither a DNS name nor an IP address",
            })?;
        let identity = match &config.identity {
            Some(identity) => Some(certified_key(identity)?),
            None => None,
        };
        let criteria = Arc::new(Criteria {
            name,
            algorithms: provider.signature_verification_algorithms,
            accept_cmc_ra: config.accept_cmc_ra,
            clock: Arc::clone(&config.clock),
        });
        let peer = Arc::new(ConnectionTarget {
            server: config.server.clone(),
            label: config.label.clone(),
            password: PasswordAuthenticator::new(config.account.clone(), config.scheme)?,
            timeouts: config.timeouts,
            clock: Arc::clone(&config.clock),
            criteria,
        });
        let client = Self { config, provider, identity, peer, trusted: OnceCell::new() };
        client.configured()?;
        Ok(client)
    }

    /// The anchors of the configuration; none with a fingerprint.
    fn configured(&self) -> Result<Option<Anchors>, Error> {
        let sort = |sets: &[_]| Anchors::sort(sets, self.config.accept_cmc_ra).map(Some);
        match &self.config.trust {
            Trust::Fingerprint(_) => Ok(None),
            Trust::Anchors(anchors) => sort(std::slice::from_ref(anchors)),
            Trust::AnyOf(sets) => sort(sets),
        }
    }

    /// Connects to the server and verifies it. With a fingerprint, the first call fetches and
    /// checks the CA certificates over a connection of their own.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Timeout`], [`Error::Tls`], [`Error::Fingerprint`].
    pub async fn connect(&self) -> Result<Connection, Error> {
        let trusted = self.trusted().await?;
        Connection::open(Arc::clone(&self.peer), &trusted.connector).await
    }

    /// Fetches the CA certificates (RFC 7030 §4.1), each as DER, from a server that is verified.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::cacerts`].
    pub async fn cacerts(&self) -> Result<CaCertsResponse, Error> {
        if let Some(bootstrapped) = &self.trusted().await?.bootstrapped {
            return Ok(bootstrapped.clone());
        }
        let mut connection = self.connect().await?;
        let bag = connection.cacerts().await?;
        Ok(CaCertsResponse { bag, server: connection.server_chain(), pinned: None })
    }

    /// The certificate with the configured fingerprint, once the bootstrap has found it.
    #[must_use]
    pub fn pinned(&self) -> Option<&[u8]> {
        self.trusted.get()?.bootstrapped.as_ref()?.pinned.as_deref()
    }

    /// Enrolls over a new connection; see [`Connection::simple_enroll`].
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::simple_enroll`].
    pub async fn simple_enroll(&self, csr: &[u8]) -> Result<Vec<u8>, Error> {
        self.probe_challenge(Operation::SimpleEnroll).await?;
        match self.connect().await?.simple_enroll(csr).await {
            Err(Error::Challenged) => self.connect().await?.simple_enroll(csr).await,
            outcome => outcome,
        }
    }

    /// Re-enrolls over a new connection; see [`Connection::simple_reenroll`].
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::simple_reenroll`].
    pub async fn simple_reenroll(&self, csr: &[u8]) -> Result<Vec<u8>, Error> {
        self.probe_challenge(Operation::SimpleReenroll).await?;
        match self.connect().await?.simple_reenroll(csr).await {
            Err(Error::Challenged) => self.connect().await?.simple_reenroll(csr).await,
            outcome => outcome,
        }
    }

    /// Sends one request unchanged over a new connection; see [`Connection::request`].
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::request`].
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<hyper::body::Bytes>,
    ) -> Result<Response, Error> {
        self.connect().await?.request(method, path, headers, body).await
    }

    /// Probes the server's authentication challenge, if a password must accompany the certificate.
    ///
    /// Where either suffices, a server does not challenge clients with a certificate, and would
    /// ignore the password. So the probe is sent without the certificate.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Connection::request`].
    pub async fn probe_challenge(&self, operation: Operation) -> Result<(), Error> {
        if self.identity.is_none() || !self.peer.password.waits() {
            return Ok(());
        }
        let anonymous = &self.trusted().await?.anonymous;
        let peer = Arc::clone(&self.peer);
        let mut connection = Connection::open(peer, anonymous).await?;
        let path = connection.path(operation);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/pkcs10"));
        let answer = connection.send("POST", &path, headers, hyper::body::Bytes::new()).await?;
        if answer.status == 401 {
            self.peer.password.receive_challenge(&answer.headers, false);
        }
        Ok(())
    }
}
