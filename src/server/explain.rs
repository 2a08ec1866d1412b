//! The rules in force, for explanations: those of the running server, or of an opened store.

use super::{
    Error,
    core::Core,
    crl_files::ManufacturerCrls,
    snapshot::{anchors, endpoints},
    trust::{Chain, Databases},
};
use crate::{
    admin::Explainer,
    ca::{Ca, CaCertificates, signer::AbsentSigner},
    config::Settings,
    entropy::Entropy,
    est::{Endpoint, Endpoints},
    pki::PublicKey,
    ra::{Authenticator, ClientCertificate, RecentRequests},
    store::Store,
    types::{Label, Time},
};
use async_trait::async_trait;
use rustls::pki_types::CertificateDer;
use std::{collections::BTreeMap, sync::Arc};

#[async_trait]
impl Explainer for Core {
    fn endpoint(&self, label: Option<&Label>) -> Option<Arc<Endpoint>> {
        self.shared.snapshot.load().service().endpoint(label).ok().cloned()
    }

    fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    async fn judge(&self, certificates: &[Vec<u8>], at: Time) -> Option<Arc<ClientCertificate>> {
        judge(self.shared.snapshot.load().databases(), certificates, at).await
    }

    fn recent(&self) -> Option<&RecentRequests> {
        Some(&self.recent)
    }
}

/// The rules of a configuration over an opened store, while no server runs. It reads no key of a CA.
pub struct OfflineRules {
    endpoints: Endpoints,
    authenticator: Authenticator,
    databases: Arc<Databases>,
}

impl OfflineRules {
    /// Loads the rules for these CAs.
    ///
    /// # Errors
    /// [`Error`] if they name a CA that does not exist, or an anchor cannot be read.
    pub fn new(
        settings: &Settings,
        store: &Arc<dyn Store>,
        cas: &[CaCertificates],
        entropy: &Arc<dyn Entropy>,
        now: Time,
    ) -> Result<Self, Error> {
        let ca = |one: &CaCertificates| {
            let key = PublicKey::parse(one.issuing.spki());
            let key = key.map_err(|error| Error::Internal(error.to_string()))?;
            let signer = Arc::new(AbsentSigner::new(key.kind()));
            let (root, issuing) = (one.root.clone(), one.issuing.clone());
            let (store, entropy) = (Arc::clone(store), Arc::clone(entropy));
            let ca = Ca::new(one.name.clone(), root, issuing, signer, store, entropy)?;
            Ok::<_, Error>((one.name.clone(), Arc::new(ca)))
        };
        let cas = cas.iter().map(ca).collect::<Result<BTreeMap<_, _>, _>>()?;
        let passwords = &settings.boot.passwords;
        let crls = ManufacturerCrls::open(&settings.live.policies.manufacturers, None)?;
        Ok(Self {
            endpoints: endpoints(settings, &cas)?,
            authenticator: Authenticator::new(
                Arc::clone(store),
                Arc::clone(entropy),
                passwords,
                now,
            ),
            databases: Arc::new(anchors(settings, &cas, &crls)?),
        })
    }
}

#[async_trait]
impl Explainer for OfflineRules {
    fn endpoint(&self, label: Option<&Label>) -> Option<Arc<Endpoint>> {
        self.endpoints.find(label).ok().cloned()
    }

    fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    async fn judge(&self, certificates: &[Vec<u8>], at: Time) -> Option<Arc<ClientCertificate>> {
        judge(Arc::clone(&self.databases), certificates, at).await
    }

    fn recent(&self) -> Option<&RecentRequests> {
        None
    }
}

/// Validates a chain on a thread of its own.
async fn judge(
    databases: Arc<Databases>,
    certificates: &[Vec<u8>],
    at: Time,
) -> Option<Arc<ClientCertificate>> {
    let certificates: Vec<_> =
        certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let chain = Chain::new(&certificates)?;
    let judging = tokio::task::spawn_blocking(move || databases.judge(&chain, at).certificate);
    judging.await.ok().map(Arc::new)
}
