//! The running server's state, its reload, and the renewal of its certificate.

use super::{
    Environment, Error, Installation,
    crl_files::ManufacturerCrls,
    health::{self, Ends, Reminders, Warning},
    identity::{Current, Needed, OwnIdentity},
    listener::ListenerContext,
    setup::private_folder,
    snapshot::Snapshot,
    succession,
};
use crate::{
    api,
    config::Settings,
    ra::{Authenticator, RecentRequests},
    telemetry::audit::{Event, Name},
    types::{Actor, RequestId, Time},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::Mutex;

/// The state of a running server. Its owner and the operator's socket share it.
pub(super) struct Core {
    pub(super) environment: Environment,
    pub(super) installation: Installation,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) recent: Arc<RecentRequests>,
    pub(super) settings: Mutex<Settings>,
    pub(super) own: Mutex<OwnIdentity>,
    /// Locked last, after `settings` and `own`.
    pub(super) crls: Mutex<ManufacturerCrls>,
    pub(super) shared: ListenerContext,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) started: Time,
    /// The outcome of the last reload.
    pub(super) reloaded: Mutex<Option<api::Reloaded>>,
    /// The error of the last renewal of the server's certificate.
    pub(super) renewal_failed: Mutex<Option<String>>,
    pub(super) reminders: Mutex<Reminders>,
}

/// The sections that a reload changed.
pub(super) struct Changes {
    pub(super) in_force: Vec<String>,
    pub(super) needs_restart: Vec<&'static str>,
}

/// Returns the server's certificate: the current one, or a new one if it is due or revoked, or if
/// an operator requests it.
///
/// # Errors
/// [`Error`]; the old certificate stays in use.
pub(super) async fn own_identity(
    settings: &Settings,
    environment: &Environment,
    installation: &Installation,
    operator: Option<&Actor>,
    now: Time,
) -> Result<Current, Error> {
    let boot = &settings.boot;
    let folder = boot.data.join("server");
    private_folder(&folder)?;
    let name = &boot.server_certificate.ca;
    let ca = installation.cas.get(name).ok_or_else(|| Error::Missing(format!("CA {name}")))?;
    let mut random = [0u8; 8];
    environment.entropy.fill(&mut random).map_err(|error| Error::Internal(error.to_string()))?;
    let needed = Needed {
        folder: &folder,
        wanted: &boot.server_certificate,
        keys: &boot.keys,
        ca,
        request_id: RequestId::new(random),
    };
    match operator {
        None => OwnIdentity::current(needed, &*installation.store, now).await,
        Some(operator) => {
            let reason = "an operator asked for it";
            let identity = OwnIdentity::renew(&needed, operator, reason, now).await?;
            Ok(Current { identity, failed: None })
        }
    }
}

impl Core {
    fn snapshot(
        &self,
        settings: &Settings,
        own: &OwnIdentity,
        crls: &ManufacturerCrls,
    ) -> Result<Snapshot, Error> {
        let (environment, installation) = (&self.environment, &self.installation);
        let (authenticator, recent) = (&self.authenticator, &self.recent);
        Snapshot::new(settings, environment, installation, authenticator, recent, own, crls)
    }

    /// Looks at the CRL files of manufacturers, and uses those that changed. Logs that, and each error
    /// once.
    pub(super) async fn look_at_crls(&self) {
        let mut crls = self.crls.lock().await;
        if crls.is_empty() {
            return;
        }
        let mut looking = crls.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let replaced = looking.look();
            (looking, replaced)
        });
        match looked.await {
            Ok((looked, replaced)) => {
                *crls = looked;
                if replaced {
                    self.shared.snapshot.load().use_crls(&crls);
                }
            }
            Err(ended) => tracing::error!("the CRL files of manufacturers were not read: {ended}"),
        }
    }

    /// Applies new settings; open connections use them from their next request on. Keeps those that
    /// need a restart. Returns the sections that changed.
    ///
    /// # Errors
    /// [`Error`]; the old settings stay in force then.
    pub(super) async fn put_in_force(&self, new: Settings, actor: Actor) -> Result<Changes, Error> {
        let now = self.environment.clock.now();
        let mut settings = self.settings.lock().await;
        let needs_restart = settings.boot.differences(&new.boot);
        let new = Settings { boot: settings.boot.clone(), ..new };
        let cas = &self.installation.cas;
        if let Some(policy) = new.live.policies.all().find(|policy| !cas.contains_key(&policy.ca)) {
            return Err(Error::NewCa(policy.ca.clone()));
        }
        let in_force = settings.live.differences(&new.live);
        let own = self.own.lock().await;
        let mut crls = self.crls.lock().await;
        let new_crls = ManufacturerCrls::open(&new.live.policies.manufacturers, Some(&crls))?;
        let snapshot = self.snapshot(&new, &own, &new_crls)?;
        let event = Event::new(now, Name::ServerReloaded, actor)
            .with("file", new.file.display())
            .with("changed", in_force.join(" "))
            .with("needs_restart", needs_restart.join(" "));
        let store = &*self.installation.store;
        // Before a certificate is issued by a new rule.
        succession::start_cursors(store, &new.live.policies.superseding(), now).await?;
        store.append(event).await?;
        self.shared.snapshot.store(Arc::new(snapshot));
        *crls = new_crls;
        *settings = new;
        Ok(Changes { in_force, needs_restart })
    }

    /// Renews the server's certificate if it is due or revoked, or at once for an `operator`. New
    /// connections use it. Returns whether it is a new one.
    ///
    /// # Errors
    /// [`Error`]; the old certificate stays in use then.
    pub(super) async fn renew(&self, operator: Option<&Actor>) -> Result<bool, Error> {
        let renewed = self.try_renew(operator).await;
        *self.renewal_failed.lock().await = match &renewed {
            Ok((_, failed)) => failed.clone(),
            Err(error) => Some(error.to_string()),
        };
        renewed.map(|(new, _)| new)
    }

    async fn try_renew(&self, operator: Option<&Actor>) -> Result<(bool, Option<String>), Error> {
        let now = self.environment.clock.now();
        let settings = self.settings.lock().await;
        let mut own = self.own.lock().await;
        let (environment, installation) = (&self.environment, &self.installation);
        let current = own_identity(&settings, environment, installation, operator, now).await?;
        if current.identity.leaf.der() == own.leaf.der() {
            return Ok((false, current.failed));
        }
        let crls = self.crls.lock().await;
        let snapshot = self.snapshot(&settings, &current.identity, &crls)?;
        self.shared.snapshot.store(Arc::new(snapshot));
        *own = current.identity;
        Ok((true, None))
    }

    /// Returns the warnings in force, the most pressing first.
    pub(super) async fn warnings(&self) -> Vec<Warning> {
        let now = self.environment.clock.now();
        let (settings, own) = (self.settings.lock().await, self.own.lock().await);
        let cas = self.installation.cas.iter().map(|(name, ca)| {
            let ends = Ends { root: ca.root().not_after(), issuing: ca.issuing().not_after() };
            (name.clone(), ends)
        });
        let failed = self.renewal_failed.lock().await;
        // A store that does not answer logs that itself.
        let revoked = own.is_revoked(&*self.installation.store).await.unwrap_or(false);
        let own = health::Own { leaf: &own.leaf, revoked, failed: failed.as_deref() };
        let crls = self.crls.lock().await;
        health::warnings(&settings, &cas.collect(), Some(&own), &crls, now)
    }
}
