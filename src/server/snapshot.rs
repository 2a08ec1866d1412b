//! The state that a reload or a renewal of the server's certificate replaces atomically.

use super::{
    Error, connections::Limits, crl_files::ManufacturerCrls, identity::OwnIdentity,
    setup::Installation, tls, trust::Databases, validation::InForce,
};
use crate::{
    ca::Ca,
    clock::Clock,
    config::Settings,
    entropy::Entropy,
    est::{Endpoints, KeyMaker, Service},
    http::est::RequestContext,
    policy::Linking,
    ra::{Authenticator, Authority, Peer, RecentRequests},
    telemetry::audit::Trail,
    types::{CaName, Time},
};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The server's sources of time and randomness, and its audit trail.
#[derive(Clone)]
pub struct Environment {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The trail that receives audit events.
    pub trail: Arc<dyn Trail>,
}

/// The settings in force, built for the connections and requests that use them.
pub(super) struct Snapshot {
    pub(super) tls: Arc<ServerConfig>,
    /// Whether a label verifies channel bindings: new connections compute theirs only then.
    pub(super) binds: bool,
    pub(super) limits: Limits,
    pub(super) max_connections_per_address: usize,
    databases: ArcSwap<Databases>,
    clock: Arc<dyn Clock>,
    service: Arc<Service>,
    entropy: Arc<dyn Entropy>,
    max_body: usize,
    body_timeout: Duration,
}

impl Snapshot {
    /// Builds the state from settings, the server's certificate and the CRLs of manufacturers.
    ///
    /// # Errors
    /// [`Error::Missing`] if the settings name a CA that does not exist; [`Error::Tls`].
    pub(super) fn new(
        settings: &Settings,
        environment: &Environment,
        installation: &Installation,
        authenticator: &Arc<Authenticator>,
        recent: &Arc<RecentRequests>,
        own: &OwnIdentity,
        crls: &ManufacturerCrls,
    ) -> Result<Self, Error> {
        let live = &settings.live;
        let (chain, key) = own.for_tls()?;
        let key_maker = KeyMaker::new(
            Arc::clone(&own.key),
            own.leaf.clone(),
            vec![own.issuing.clone()],
            &live.decrypt_keys,
        )
        .map_err(Error::Missing)?;
        let service = Service::new(
            endpoints(settings, &installation.cas)?,
            key_maker,
            Authority::new(
                Arc::clone(authenticator),
                Arc::clone(&environment.trail),
                Arc::clone(&environment.clock),
            )
            .with_superseding(live.policies.superseding())
            .recording(Arc::clone(recent)),
            Arc::clone(&installation.store),
        );
        Ok(Self {
            tls: tls::config(chain, key, live.server.session_tickets, live.server.http2)?,
            binds: live.policies.all().any(|policy| policy.linking != Linking::Off),
            limits: Limits {
                handshake: live.server.handshake_timeout,
                idle: live.server.idle_timeout,
                header: live.server.header_timeout,
            },
            max_connections_per_address: live.server.max_connections_per_address,
            databases: ArcSwap::from_pointee(anchors(settings, &installation.cas, crls)?),
            clock: Arc::clone(&environment.clock),
            service: Arc::new(service),
            entropy: Arc::clone(&environment.entropy),
            max_body: live.server.max_body,
            body_timeout: live.server.body_timeout,
        })
    }

    /// Replaces the CRLs of the manufacturers. Chains of open connections are validated again at their next
    /// request.
    pub(super) fn use_crls(&self, crls: &ManufacturerCrls) {
        let databases = Databases::clone(&self.databases.load());
        self.databases.store(Arc::new(databases.with_crls(crls.sets())));
    }

    /// Returns the endpoints, with the authenticator of their clients.
    pub(super) const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Returns the anchors of client certificates.
    pub(super) fn databases(&self) -> Arc<Databases> {
        self.databases.load_full()
    }

    /// Returns the context for a request of this peer.
    pub(super) fn context(&self, peer: Arc<Peer>) -> RequestContext {
        RequestContext {
            service: Arc::clone(&self.service),
            peer,
            entropy: Arc::clone(&self.entropy),
            max_body: self.max_body,
            body_timeout: self.body_timeout,
        }
    }
}

/// Returns the endpoints of all labels.
///
/// # Errors
/// [`Error::Missing`].
pub(super) fn endpoints(
    settings: &Settings,
    cas: &BTreeMap<CaName, Arc<Ca>>,
) -> Result<Endpoints, Error> {
    let server_ca = &settings.boot.server_certificate.ca;
    Endpoints::new(&settings.live.policies, server_ca, cas).map_err(Error::Missing)
}

/// Returns the anchors of client certificates: those of the CAs, and those of manufacturers.
///
/// # Errors
/// [`Error::Tls`].
pub(super) fn anchors(
    settings: &Settings,
    cas: &BTreeMap<CaName, Arc<Ca>>,
    crls: &ManufacturerCrls,
) -> Result<Databases, Error> {
    // Each issuing CA is an anchor itself: one signature less to verify for each client.
    // All of them precede the roots, which two CAs may share.
    let cas = || cas.values();
    let ours = cas()
        .map(|ca| (ca.name(), ca.issuing().der()))
        .chain(cas().map(|ca| (ca.name(), ca.root().der())));
    let manufacturers = settings.live.policies.manufacturers.iter().flat_map(|(name, rules)| {
        rules.anchors.iter().map(move |anchor| (name, anchor.as_slice()))
    });
    Ok(Databases::new(ours, manufacturers)?.with_crls(crls.sets()))
}

impl InForce for ArcSwap<Snapshot> {
    fn databases(&self) -> Arc<Databases> {
        self.load().databases()
    }

    fn now(&self) -> Time {
        self.load().clock.now()
    }
}
