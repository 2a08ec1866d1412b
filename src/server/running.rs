//! The server from start to stop.

use super::{
    Error, FirstAccount, Installation,
    connections::{Connections, Limits},
    descriptors,
    health::{self, Ends, Reminders, Warning},
    identity::{Current, Needed, OwnIdentity},
    listener::{self, Shared},
    setup::{Backend, private_folder},
    socket,
    sweep::{self, Swept},
    tls,
    trust::Databases,
    validation::{InForce, Judges, Validations},
};
use crate::{
    admin::{Admin, Process},
    api,
    ca::Ca,
    clock::Clock,
    config::Settings,
    entropy::Entropy,
    est::{KeyMaker, Service},
    http::est::Context,
    pki::Certificate,
    policy::Linking,
    ra::{Authenticator, Authority, Peer},
    store::Store,
    telemetry::{
        audit::{Event, Name, Trail},
        host_name,
    },
    types::{Actor, Binding, CaName, RequestId, Time, Unbound},
};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the server takes from its surroundings.
#[derive(Clone)]
pub struct Environment {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Takes audit events.
    pub trail: Arc<dyn Trail>,
}

/// What a reload or a renewal of the server's certificate exchanges, all at once.
pub(super) struct Live {
    pub(super) tls: Arc<ServerConfig>,
    /// Whether channel bindings of new connections are wanted: a label may judge them.
    pub(super) binds: bool,
    pub(super) databases: Arc<Databases>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) max_connections_per_address: usize,
    context: Context,
}

impl Live {
    /// What a request of this peer is handled with.
    pub(super) fn context(&self, peer: Arc<Peer>) -> Context {
        Context { peer, ..self.context.clone() }
    }
}

impl InForce for ArcSwap<Live> {
    fn databases(&self) -> Arc<Databases> {
        Arc::clone(&self.load().databases)
    }

    fn now(&self) -> Time {
        self.load().clock.now()
    }
}

/// A server that serves.
pub struct Running {
    core: Arc<Core>,
    socket: Option<PathBuf>,
}

/// What a running server consists of. Its owner and the operator's socket share it.
pub(super) struct Core {
    pub(super) environment: Environment,
    pub(super) installation: Installation,
    authenticator: Arc<Authenticator>,
    pub(super) settings: Mutex<Settings>,
    pub(super) own: Mutex<OwnIdentity>,
    pub(super) shared: Shared,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) started: Time,
    /// The verdict on the last reload.
    pub(super) reloaded: Mutex<Option<api::Reloaded>>,
    /// Why the server's certificate could not be renewed.
    pub(super) renewal_failed: Mutex<Option<String>>,
    reminders: Mutex<Reminders>,
}

/// Starts a server: opens or makes what is on disk, then listens.
///
/// # Errors
/// [`Error`]; nothing is left running.
pub async fn start(settings: Settings, environment: Environment) -> Result<Running, Error> {
    let kind = Backend::kind(&settings.boot.store);
    let started = open_and_serve(settings, environment).await;
    started.map_err(|error| match kind {
        Some(kind) => error.in_store(kind),
        None => error,
    })
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
    // Whoever had them is gone, or, on a shared store, hears of it when it completes its own.
    let swept =
        sweep::sweep(&*installation.store, &installation.cas, std::time::Duration::ZERO, now)
            .await?;
    if swept != Swept::default() {
        tracing::warn!(
            "{} issuances that were open are finished, {} voided",
            swept.finished,
            swept.voided
        );
    }
    let own = own_identity(&settings, &environment, &installation, now).await?;
    let authenticator = Arc::new(Authenticator::new(
        Arc::clone(&installation.store),
        Arc::clone(&environment.entropy),
        &settings.boot.passwords,
        now,
    ));
    let live = live(&settings, &environment, &installation, &authenticator, &own.identity)?;
    let (data, realm) = (settings.boot.data.clone(), settings.boot.passwords.realm.clone());
    let node = settings.boot.audit.node.clone().unwrap_or_else(host_name);
    let room = descriptors::room(settings.boot.max_connections, descriptors::raise_limit());
    let shared = Shared {
        live: Arc::new(ArcSwap::from_pointee(live)),
        connections: Arc::new(Connections::new(room, Instant::now())),
        handshakes: Arc::default(),
        judges: Arc::new(Judges::new()),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let mut listeners = Vec::new();
    for address in &settings.boot.listen {
        let failed = |cause| Error::Listen { address: *address, cause };
        let listener = listener::bind(*address).map_err(failed)?;
        listeners.push((listener.local_addr().map_err(failed)?, listener));
    }
    let addresses = listeners.iter().map(|(address, _)| *address).collect();
    let core = Arc::new(Core {
        environment,
        installation,
        authenticator,
        settings: Mutex::new(settings),
        own: Mutex::new(own.identity),
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
    .of_process(Arc::clone(&core) as _);
    let socket = socket::open(&data, Arc::new(admin), &core.shared)?;

    let event = Event::new(now, Name::ServerStarted, Actor::server())
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("node", node)
        .with(
            "listen",
            listeners.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>().join(" "),
        );
    installation.store.append(event).await?;

    for (_, listener) in listeners {
        // Not tracked: it ends with the token, while the tracker waits for connections.
        tokio::spawn(listener::run(listener, core.shared.clone()));
    }
    tokio::spawn(listener::watch(core.shared.clone(), Arc::clone(&core.authenticator)));
    Ok(Running { core, socket })
}

fn live(
    settings: &Settings,
    environment: &Environment,
    installation: &Installation,
    authenticator: &Arc<Authenticator>,
    own: &OwnIdentity,
) -> Result<Live, Error> {
    let (chain, key) = own.for_tls()?;
    // Our issuing CAs are anchors themselves: one signature less to verify for each client.
    // All of them go before the roots, which two CAs may share.
    let cas = || installation.cas.values();
    let ours = cas()
        .map(|ca| (ca.name(), ca.issuing().der()))
        .chain(cas().map(|ca| (ca.name(), ca.root().der())));
    let listed = settings.live.client_trust.explicit.iter().map(Vec::as_slice);
    let implicit = settings.live.client_trust.implicit.iter().map(Vec::as_slice);
    let key_maker = KeyMaker::new(
        Arc::clone(&own.key),
        own.leaf.clone(),
        vec![own.issuing.clone()],
        &settings.live.decrypt_keys,
    )
    .map_err(Error::Missing)?;
    let service = Service::new(
        &settings.live.policies,
        &settings.boot.server_certificate.ca,
        &installation.cas,
        key_maker,
        Authority::new(
            Arc::clone(authenticator),
            Arc::clone(&environment.trail),
            Arc::clone(&environment.clock),
        ),
        Arc::clone(&installation.store),
    )
    .map_err(Error::Missing)?;
    Ok(Live {
        tls: tls::config(
            chain,
            key,
            settings.live.server.session_tickets,
            settings.live.server.http2,
        )?,
        binds: settings.live.policies.all().any(|policy| policy.linking != Linking::Off),
        databases: Arc::new(Databases::new(ours, listed, implicit)?),
        clock: Arc::clone(&environment.clock),
        limits: Limits {
            handshake: settings.live.server.handshake_timeout,
            idle: settings.live.server.idle_timeout,
            header: settings.live.server.header_timeout,
        },
        max_connections_per_address: settings.live.server.max_connections_per_address,
        context: Context {
            service: Arc::new(service),
            // Exchanged for each connection's own.
            peer: Arc::new(Peer {
                address: SocketAddr::from(([0, 0, 0, 0], 0)),
                cipher_bits: 0,
                chain: None,
                binding: Binding::None(Unbound::NotWanted),
                spent: Arc::default(),
            }),
            entropy: Arc::clone(&environment.entropy),
            max_body: settings.live.server.max_body,
            body_timeout: settings.live.server.body_timeout,
        },
    })
}

async fn own_identity(
    settings: &Settings,
    environment: &Environment,
    installation: &Installation,
    now: Time,
) -> Result<Current, Error> {
    let folder = settings.boot.data.join("server");
    private_folder(&folder)?;
    let ca = own_ca(settings, installation)?;
    let mut random = [0u8; 8];
    environment.entropy.fill(&mut random).map_err(|error| Error::Internal(error.to_string()))?;
    let needed = Needed {
        folder: &folder,
        wanted: &settings.boot.server_certificate,
        keys: &settings.boot.keys,
        ca,
        request_id: RequestId::new(random),
    };
    OwnIdentity::current(needed, &*installation.store, now).await
}

/// The CA that issues the server's certificate.
fn own_ca<'a>(settings: &Settings, installation: &'a Installation) -> Result<&'a Arc<Ca>, Error> {
    let name = &settings.boot.server_certificate.ca;
    installation.cas.get(name).ok_or_else(|| Error::Missing(format!("CA {name}")))
}

impl Core {
    /// Puts new settings in force. Connections that are open see them with their next request.
    /// Returns the sections that changed and need a restart: they stay as they were.
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
        let live = live(&new, &self.environment, &self.installation, &self.authenticator, &own)?;
        let event = Event::new(now, Name::ServerReloaded, actor)
            .with("file", new.file.display())
            .with("changed", in_force.join(" "))
            .with("needs_restart", needs_restart.join(" "));
        self.installation.store.append(event).await?;
        self.shared.live.store(Arc::new(live));
        *settings = new;
        Ok(Changes { in_force, needs_restart })
    }

    /// Renews the server's certificate if it is due or revoked, or at once if `actor` asks for it, and
    /// shows it from the next connection on. Returns whether it is a new one.
    ///
    /// # Errors
    /// [`Error`]; the old certificate stays in use then.
    pub(super) async fn renew(&self, actor: Option<&Actor>) -> Result<bool, Error> {
        let renewed = self.try_renew(actor).await;
        *self.renewal_failed.lock().await = match &renewed {
            Ok((_, failed)) => failed.clone(),
            Err(error) => Some(error.to_string()),
        };
        renewed.map(|(new, _)| new)
    }

    async fn try_renew(&self, actor: Option<&Actor>) -> Result<(bool, Option<String>), Error> {
        let now = self.environment.clock.now();
        let settings = self.settings.lock().await;
        let mut own = self.own.lock().await;
        let (environment, installation) = (&self.environment, &self.installation);
        let current = match actor {
            None => own_identity(&settings, environment, installation, now).await?,
            Some(actor) => renewed(&settings, environment, installation, actor, now).await?,
        };
        if current.identity.leaf.der() == own.leaf.der() {
            return Ok((false, current.failed));
        }
        let live =
            live(&settings, environment, installation, &self.authenticator, &current.identity)?;
        self.shared.live.store(Arc::new(live));
        *own = current.identity;
        Ok((true, None))
    }

    /// What needs attention, the most pressing first.
    pub(super) async fn warnings(&self) -> Vec<Warning> {
        let now = self.environment.clock.now();
        let (settings, own) = (self.settings.lock().await, self.own.lock().await);
        let cas = self.installation.cas.iter().map(|(name, ca)| {
            let ends = Ends { root: ca.root().not_after(), issuing: ca.issuing().not_after() };
            (name.clone(), ends)
        });
        let failed = self.renewal_failed.lock().await;
        // A store that does not answer says so itself.
        let revoked = own.is_revoked(&*self.installation.store).await.unwrap_or(false);
        let own = health::Own { leaf: &own.leaf, revoked, failed: failed.as_deref() };
        health::warnings(&settings, &cas.collect(), Some(&own), now)
    }
}

/// Issues a new certificate for the server, due or not.
async fn renewed(
    settings: &Settings,
    environment: &Environment,
    installation: &Installation,
    actor: &Actor,
    now: Time,
) -> Result<Current, Error> {
    let folder = settings.boot.data.join("server");
    let mut random = [0u8; 8];
    environment.entropy.fill(&mut random).map_err(|error| Error::Internal(error.to_string()))?;
    let needed = Needed {
        folder: &folder,
        wanted: &settings.boot.server_certificate,
        keys: &settings.boot.keys,
        ca: own_ca(settings, installation)?,
        request_id: RequestId::new(random),
    };
    let identity = OwnIdentity::renew(&needed, actor, "an operator asked for it", now).await?;
    Ok(Current { identity, failed: None })
}

/// What a reload changed.
pub(super) struct Changes {
    pub(super) in_force: Vec<String>,
    pub(super) needs_restart: Vec<&'static str>,
}

impl Running {
    /// The addresses that it listens on, with the ports that it got.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.core.addresses
    }

    /// The CAs.
    #[must_use]
    pub fn cas(&self) -> &BTreeMap<CaName, Arc<Ca>> {
        &self.core.installation.cas
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.installation.store
    }

    /// Returns how many chains of clients were validated since the start, and at what cost.
    #[must_use]
    pub fn validations(&self) -> Validations {
        self.core.shared.judges.validations()
    }

    /// The certificate that it shows now.
    pub async fn certificate(&self) -> Certificate {
        self.core.own.lock().await.leaf.clone()
    }

    /// The account of a first start, if this is one: show it, then
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
        FirstAccount::exists(&*self.core.installation.store).await
    }

    /// Records an account whose password was shown or stored. Returns false if another node was
    /// first: then the password is worth nothing.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn record_first_account(&self, account: FirstAccount) -> Result<bool, Error> {
        account.record(&*self.core.installation.store, self.core.environment.clock.now()).await
    }

    /// The operator's socket.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Puts new settings in force. Connections that are open see them with their next request.
    /// Returns the sections that changed and need a restart: they stay as they were.
    ///
    /// # Errors
    /// [`Error`]; the old settings stay in force then.
    pub async fn reload(&self, new: Settings) -> Result<Vec<&'static str>, Error> {
        Ok(self.core.put_in_force(new, Actor::server()).await?.needs_restart)
    }

    /// Reads the configuration again and puts it in force unless it has errors. Logs and records the
    /// verdict, and returns it.
    pub async fn reload_file(&self) -> api::Reloaded {
        Process::reload(&*self.core, &Actor::server()).await
    }

    /// What needs attention and was not logged recently. Call it each hour.
    pub async fn reminders(&self) -> Vec<Warning> {
        let all = self.core.warnings().await;
        self.core.reminders.lock().await.due(all, self.core.environment.clock.now())
    }

    /// Ends issuances that a request has left open for a minute: their CA signs what is recorded,
    /// or they are voided if it cannot. Call it each minute.
    ///
    /// # Errors
    /// [`Error::Ca`]; what is still open is for the next call.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let now = self.core.environment.clock.now();
        let (store, cas) = (&*self.core.installation.store, &self.core.installation.cas);
        Ok(sweep::sweep(store, cas, sweep::GRACE, now).await?)
    }

    /// Renews the server's certificate if it is due or was revoked, and shows it from the next connection
    /// on. Call it now and then: once an hour is often enough.
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

    /// Accepts no more connections, lets running requests finish within the grace of the
    /// configuration, and closes the store.
    pub async fn stop(self) {
        let grace = self.core.settings.lock().await.live.server.shutdown_grace;
        self.core.shared.stop.cancel();
        self.core.shared.tasks.close();
        if tokio::time::timeout(grace, self.core.shared.tasks.wait()).await.is_err() {
            tracing::warn!("requests were still running after {} s", grace.as_secs());
        }
        if let Some(socket) = &self.socket {
            // A file that is left is removed by the next start.
            let _ = std::fs::remove_file(socket);
        }
        let now = self.core.environment.clock.now();
        let event = Event::new(now, Name::ServerStopped, Actor::server());
        if let Err(error) = self.core.installation.store.append(event).await {
            tracing::warn!("recording the stop: {error}");
        }
        self.core.installation.store.close().await;
    }
}
