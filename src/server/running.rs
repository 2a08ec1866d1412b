//! The server from start to stop.

use super::{
    Environment, Error, FirstAccount, Installation,
    connections::Connections,
    core::{Core, own_identity},
    crl_files::ManufacturerCrls,
    descriptors,
    health::Warning,
    https::{self, Https},
    listener::{self, ListenerContext},
    snapshot::Snapshot,
    socket::Socket,
    succession,
    sweep::{self, Swept},
    validation::{Judges, Validations},
};
use crate::{
    admin::{Admin, Process},
    api,
    ca::Ca,
    config::{self, Settings},
    pki::Certificate,
    ra::Authenticator,
    store::Store,
    telemetry::{
        audit::{Event, Name},
        host_name,
    },
    types::{Actor, CaName, Time},
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroize::Zeroizing;

/// A running server.
pub struct Running {
    core: Arc<Core>,
    socket: Option<PathBuf>,
}

/// Starts a server: opens its files, creates missing ones, then listens.
///
/// # Errors
/// [`Error`]; nothing is left running.
pub async fn start(settings: Settings, environment: Environment) -> Result<Running, Error> {
    let kind = match settings.boot.store {
        config::StoreSettings::Postgres(_) => Error::Database,
        config::StoreSettings::Sled { .. } | config::StoreSettings::Memory => Error::Folder,
    };
    open_and_serve(settings, environment).await.map_err(|error| error.in_store(kind))
}

async fn open_and_serve(settings: Settings, environment: Environment) -> Result<Running, Error> {
    let now = environment.clock.now();
    let (entropy, trail) = (Arc::clone(&environment.entropy), Arc::clone(&environment.trail));
    let installation = Installation::open(&settings, entropy, trail, now).await?;
    let store = Arc::clone(&installation.store);
    let started = serve(settings, environment, installation, now).await;
    if started.is_err() {
        store.close().await;
    }
    started
}

async fn serve(
    settings: Settings,
    environment: Environment,
    installation: Installation,
    now: Time,
) -> Result<Running, Error> {
    // Their process has ended, or, on a shared store, gets the certificate when it completes its own.
    let swept = sweep::sweep(&*installation.store, &installation.cas, Duration::ZERO, now).await?;
    if swept != Swept::default() {
        tracing::warn!("finished {} open issuances, voided {}", swept.finished, swept.voided);
    }
    succession::start_cursors(&*installation.store, &settings.live.policies.superseding(), now)
        .await?;
    let own = own_identity(&settings, &environment, &installation, None, now).await?;
    let authenticator = Arc::new(Authenticator::new(
        Arc::clone(&installation.store),
        Arc::clone(&environment.entropy),
        &settings.boot.passwords,
        now,
    ));
    let crls = ManufacturerCrls::open(&settings.live.policies.manufacturers, None)?;
    let recent = Arc::default();
    let snapshot = Snapshot::new(
        &settings,
        &environment,
        &installation,
        &authenticator,
        &recent,
        &own.identity,
        &crls,
    )?;
    let (data, realm) = (settings.boot.data.clone(), settings.boot.passwords.realm.clone());
    let node = settings.boot.audit.node.clone().unwrap_or_else(host_name);
    let room = descriptors::room(settings.boot.max_connections, descriptors::raise_limit());
    let shared = ListenerContext {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        connections: Arc::new(Connections::new(room, Instant::now())),
        handshakes: Arc::default(),
        judges: Arc::new(Judges::new()),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let mut listeners = Vec::new();
    for address in &settings.boot.listen {
        let failed = |cause| Error::Listen { address: *address, cause };
        let listener = https::bind(*address).map_err(failed)?;
        listeners.push((listener.local_addr().map_err(failed)?, listener));
    }
    let addresses = listeners.iter().map(|(address, _)| *address).collect();
    let core = Arc::new(Core {
        environment,
        installation,
        authenticator,
        recent,
        settings: Mutex::new(settings),
        own: Mutex::new(own.identity),
        crls: Mutex::new(crls),
        shared,
        addresses,
        started: now,
        reloaded: Mutex::default(),
        renewal_failed: Mutex::new(own.failed),
        reminders: Mutex::default(),
    });
    let (environment, installation) = (&core.environment, &core.installation);
    let admin = Admin::new(
        Arc::clone(&installation.store),
        installation.cas.values().map(|ca| ca.certificates()).collect(),
        realm,
        Arc::clone(&environment.clock),
        Arc::clone(&environment.entropy),
    )
    .of_process(Arc::clone(&core) as _)
    .explaining(Ok(Arc::clone(&core) as _));
    let (socket, operators) = Socket::open(&data, admin, core.shared.clone())?.unzip();

    let event = Event::new(now, Name::ServerStarted, Actor::server())
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("node", node)
        .with(
            "listen",
            listeners.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>().join(" "),
        );
    installation.store.append(event).await?;

    // Not tracked: they end with the stop, the tracker waits for connections.
    for (_, listener) in listeners {
        tokio::spawn(listener::run(Https::new(listener, core.shared.clone())));
    }
    if let Some(operators) = operators {
        tokio::spawn(listener::run(operators));
    }
    tokio::spawn(https::watch(core.shared.clone(), Arc::clone(&core.authenticator)));
    Ok(Running { core, socket })
}

impl Running {
    /// Returns the addresses that it listens on, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.core.addresses
    }

    /// Returns the CAs.
    #[must_use]
    pub fn cas(&self) -> &BTreeMap<CaName, Arc<Ca>> {
        &self.core.installation.cas
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.installation.store
    }

    /// Returns the number of validations of client certificates since the start.
    #[must_use]
    pub fn validations(&self) -> Validations {
        self.core.shared.judges.validations()
    }

    /// Returns the server's certificate in use.
    pub async fn certificate(&self) -> Certificate {
        self.core.own.lock().await.leaf.clone()
    }

    /// Generates the first account if this is a first start. Show its password, then call
    /// [`Running::record_first_account`].
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Internal`] without randomness.
    pub async fn first_account(&self) -> Result<Option<FirstAccount>, Error> {
        FirstAccount::if_needed(&*self.core.installation.store, &*self.core.environment.entropy)
            .await
    }

    /// Returns whether the account of the first start exists.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn has_first_account(&self) -> Result<bool, Error> {
        Ok(FirstAccount::recorded(&*self.core.installation.store).await?.is_some())
    }

    /// Returns whether the account of the first start has this password. Hashes it: tens of milliseconds.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn is_first_password(&self, password: Zeroizing<String>) -> Result<bool, Error> {
        FirstAccount::has_password(&*self.core.installation.store, password).await
    }

    /// Records an account whose password was shown or stored. Returns false if another node was
    /// first: then the password belongs to no account.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn record_first_account(&self, account: FirstAccount) -> Result<bool, Error> {
        account.record(&*self.core.installation.store, self.core.environment.clock.now()).await
    }

    /// Returns the path of the operator's socket.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Applies new settings; open connections use them from their next request on. Keeps those that
    /// need a restart, and returns their sections that differ.
    ///
    /// # Errors
    /// [`Error`]; the old settings stay in force then.
    pub async fn reload(&self, new: Settings) -> Result<Vec<&'static str>, Error> {
        Ok(self.core.put_in_force(new, Actor::server()).await?.needs_restart)
    }

    /// Reads the configuration again and applies it unless it has errors. Logs, records and returns
    /// the outcome.
    pub async fn reload_file(&self) -> api::Reloaded {
        Process::reload(&*self.core, &Actor::server()).await
    }

    /// Returns the warnings that were not logged recently. Call it each hour.
    pub async fn reminders(&self) -> Vec<Warning> {
        let all = self.core.warnings().await;
        self.core.reminders.lock().await.due(all, self.core.environment.clock.now())
    }

    /// Finishes issuances that a request left open for a minute: their CA signs the recorded content. Voids
    /// those that it cannot sign. Call it each minute.
    ///
    /// # Errors
    /// [`Error::Ca`]; the next call retries the open ones.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let now = self.core.environment.clock.now();
        let (store, cas) = (&*self.core.installation.store, &self.core.installation.cas);
        Ok(sweep::sweep(store, cas, sweep::GRACE, now).await?)
    }

    /// Revokes predecessors of certificates that were renewed long enough ago, where labels are configured
    /// so (D-35). Returns their number. Call it each minute.
    ///
    /// # Errors
    /// [`Error::Store`]; the next call continues.
    pub async fn supersede(&self) -> Result<usize, Error> {
        let now = self.core.environment.clock.now();
        let snapshot = self.core.shared.snapshot.load_full();
        let delays = snapshot.service().authority().superseding();
        Ok(succession::supersede_delayed(&self.core.installation.store, delays, now).await?)
    }

    /// Renews the server's certificate if it is due or was revoked. New connections use it. Call it each
    /// hour.
    ///
    /// # Errors
    /// [`Error`]; the old certificate stays in use then.
    pub async fn renew_if_due(&self) -> Result<bool, Error> {
        self.core.renew(None).await
    }

    /// Renews the server's certificate if it was revoked. Call it each minute.
    ///
    /// # Errors
    /// As [`Running::renew_if_due`].
    pub async fn renew_if_revoked(&self) -> Result<bool, Error> {
        let revoked = self.core.own.lock().await.is_revoked(&*self.core.installation.store).await?;
        if revoked { self.core.renew(None).await } else { Ok(false) }
    }

    /// Looks at the CRL files of manufacturers, and uses those that changed. Call it three times a second:
    /// a certificate that was revoked is then rejected within a second.
    pub async fn look_at_crls(&self) {
        // A task of its own: it locks the CRLs, and its caller may wait for the same lock elsewhere while
        // it does not poll this.
        let core = Arc::clone(&self.core);
        if let Err(ended) = tokio::spawn(async move { core.look_at_crls().await }).await {
            tracing::error!("the look at the CRL files of manufacturers failed: {ended}");
        }
    }

    /// Stops accepting connections, lets running requests finish within `shutdown_grace`, and closes the
    /// store.
    pub async fn stop(self) {
        let grace = self.core.settings.lock().await.live.server.shutdown_grace;
        self.core.shared.stop.cancel();
        self.core.shared.tasks.close();
        if tokio::time::timeout(grace, self.core.shared.tasks.wait()).await.is_err() {
            tracing::warn!("requests were still running after {} s", grace.as_secs());
        }
        if let Some(socket) = &self.socket {
            // The next start removes a file that is left.
            let _ = std::fs::remove_file(socket);
        }
        let now = self.core.environment.clock.now();
        let event = Event::new(now, Name::ServerStopped, Actor::server());
        if let Err(error) = self.core.installation.store.append(event).await {
            tracing::warn!("cannot record the stop: {error}");
        }
        self.core.installation.store.close().await;
    }
}
