//! The trust of a client, by its anchors or by a fingerprint (RFC 7030 §4.1.1).

use super::{
    CaCertsResponse, Client, Connection, Error, PasswordScheme, ServerChain, Trust, Trusted,
    connection::ConnectionTarget,
    fingerprint,
    password::PasswordAuthenticator,
    show_fingerprint,
    trust::{self, Anchors},
};
use crate::{pki::CertificateFields, types::Label};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

impl Client {
    pub(super) async fn trusted(&self) -> Result<&Trusted, Error> {
        self.trusted
            .get_or_try_init(|| async {
                match (&self.config.trust, self.configured()?) {
                    (Trust::Fingerprint(wanted), _) => self.bootstrap(wanted).await,
                    (_, Some(anchors)) => self.trusting(anchors, None),
                    (_, None) => Err(trust::no_anchors()),
                }
            })
            .await
    }

    /// Fetches `/cacerts` from an untrusted server, without credentials, and selects the certificate
    /// with the fingerprint as the only anchor (RFC 7030 §4.1.1). Then the chain of that same
    /// handshake must lead to the anchor. rustls verified the handshake's signature, so the whole
    /// answer is from the server that the anchor vouches for.
    ///
    /// The CA of a label need not be the CA of the server's certificate. So the certificate is also
    /// searched in the server's chain, and in `/cacerts` without a label. Its source does not matter:
    /// the fingerprint authenticates it.
    async fn bootstrap(&self, wanted: &[u8; 32]) -> Result<Trusted, Error> {
        let stranger = self.connector(None, None)?;
        let label = self.config.label.clone();
        let (bag, server) = self.unverified_cacerts(&stranger, label.clone()).await?;
        let mut candidates = bag.clone();
        add_candidates(&mut candidates, &[], &server);
        let found = |candidates: &[Vec<u8>]| {
            candidates.iter().find(|each| fingerprint(each) == *wanted).cloned()
        };
        let mut pinned = found(&candidates);
        if pinned.is_none()
            && label.is_some()
            && let Ok((bag, server)) = self.unverified_cacerts(&stranger, None).await
        {
            add_candidates(&mut candidates, &bag, &server);
            pinned = found(&candidates);
        }
        let Some(pinned) = pinned else {
            return Err(Error::Fingerprint {
                seen: candidates.iter().map(|each| describe(each)).collect(),
            });
        };
        let helpers = candidates.iter().filter(|each| **each != pinned);
        let anchors = Anchors::new([&pinned], helpers, self.config.accept_cmc_ra)?;
        server.verify(&anchors).map_err(|error| Error::Tls((&error).into()))?;
        self.trusting(anchors, Some(CaCertsResponse { bag, server, pinned: Some(pinned) }))
    }

    /// Fetches `/cacerts` of a label from a server that is not verified.
    async fn unverified_cacerts(
        &self,
        stranger: &TlsConnector,
        label: Option<Label>,
    ) -> Result<(Vec<Vec<u8>>, ServerChain), Error> {
        let peer = Arc::new(ConnectionTarget {
            server: self.config.server.clone(),
            label,
            password: PasswordAuthenticator::new(None, PasswordScheme::Offered)?,
            timeouts: self.config.timeouts,
            clock: Arc::clone(&self.config.clock),
            criteria: Arc::clone(&self.peer.criteria),
        });
        let mut connection = Connection::open(peer, stranger).await?;
        Ok((connection.cacerts().await?, connection.server_chain()))
    }

    fn trusting(
        &self,
        anchors: Anchors,
        bootstrapped: Option<CaCertsResponse>,
    ) -> Result<Trusted, Error> {
        let anonymous = self.connector(Some(anchors.clone()), None)?;
        let connector = self.connector(Some(anchors), self.identity.clone())?;
        Ok(Trusted { connector, anonymous, bootstrapped })
    }
}

/// Adds the certificates of a bag, and the CA certificates of the chain shown, once each.
fn add_candidates(candidates: &mut Vec<Vec<u8>>, bag: &[Vec<u8>], server: &ServerChain) {
    let shown = server.certificates.iter().skip(1).map(|each| each.to_vec());
    for certificate in bag.iter().cloned().chain(shown) {
        if !candidates.contains(&certificate) {
            candidates.push(certificate);
        }
    }
}

/// Fingerprint and subject, for a person to compare.
fn describe(certificate: &[u8]) -> String {
    let subject = CertificateFields::parse(certificate)
        .map_or_else(|_| "(unreadable)".to_owned(), |fields| fields.subject_text());
    format!("{} {subject}", show_fingerprint(&fingerprint(certificate)))
}
