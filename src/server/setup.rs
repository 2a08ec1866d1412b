//! Opens the files of the data folder, and creates missing ones.
//!
//! Each part is created atomically and depends only on those before it. The order is: folder, store
//! (its lock excludes a second server), CAs, the server's own certificate, first account. So the
//! next start completes one that was killed, and a start with everything in place changes nothing.

use super::{Error, place::check_private};
use crate::{
    ca::{Ca, CaCertificates, Hierarchy, Made, signer::SoftSigner},
    config::{self, Settings},
    durable,
    entropy::Entropy,
    policy,
    store::{
        CompareAndSet, MemoryStore, PostgresOptions, PostgresSnapshot, PostgresStore, SledStore,
        Store,
    },
    telemetry::audit::{Event, Name, NoTrail, Trail},
    types::{Actor, CaName, Time},
};
use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The opened data folder.
pub struct Installation {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The CAs.
    pub cas: BTreeMap<CaName, Arc<Ca>>,
}

impl Installation {
    /// Opens the store and reads the CA certificates of an existing data folder, for an operator's
    /// command while no server runs. Creates nothing.
    ///
    /// # Errors
    /// [`Error::Store`] with [`crate::store::Error::InUse`] while a server runs.
    pub async fn open_for_operator(
        settings: &Settings,
        trail: Arc<dyn Trail>,
        now: Time,
    ) -> Result<(Arc<dyn Store>, Vec<CaCertificates>), Error> {
        let folder = settings.boot.data.join("store");
        if matches!(settings.boot.store, config::StoreSettings::Sled { .. }) {
            fs::metadata(&folder).map_err(|cause| Error::File { path: folder, cause })?;
        }
        let store = open_store(settings, trail, now).await?;
        let folder = settings.boot.data.join("ca");
        let cas = settings.boot.cas.keys().map(|name| CaCertificates::read(&folder, name));
        Ok((store, cas.collect::<Result<_, _>>()?))
    }

    /// Opens the data folder, and creates missing parts.
    ///
    /// # Errors
    /// [`Error`] naming the file; nothing that exists is overwritten.
    pub async fn open(
        settings: &Settings,
        entropy: Arc<dyn Entropy>,
        trail: Arc<dyn Trail>,
        now: Time,
    ) -> Result<Self, Error> {
        private_folder(&settings.boot.data)?;
        let store = open_store(settings, trail, now).await?;
        let opened = Self::complete(settings, Arc::clone(&store), entropy, now).await;
        if opened.is_err() {
            store.close().await;
        }
        opened
    }

    async fn complete(
        settings: &Settings,
        store: Arc<dyn Store>,
        entropy: Arc<dyn Entropy>,
        now: Time,
    ) -> Result<Self, Error> {
        let folder = settings.boot.data.join("ca");
        private_folder(&folder)?;
        let mut cas = BTreeMap::new();
        let sequence = Arc::default();
        for (name, rules) in &settings.boot.cas {
            // A client picks its label's anchor by the latest notAfter (RFC 7030 §4.1.3). CAs that
            // are created together with equal lifetimes must not expire together with the server's
            // certificate.
            let serves = *name == settings.boot.server_certificate.ca;
            let begins = if serves { now } else { now.plus(Duration::from_secs(1)) };
            let ca = open_ca(settings, &folder, name, rules, &store, &entropy, begins).await?;
            let ca = ca.with_sequence(Arc::clone(&sequence));
            cas.insert(name.clone(), Arc::new(ca));
        }
        Ok(Self { store, cas })
    }
}

/// A kind of store that outlasts the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// sled, in the data folder.
    Sled,
    /// PostgreSQL.
    Postgres,
}

/// A store that outlasts the process: where it is, and how it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// sled.
    Sled {
        /// Its folder.
        folder: PathBuf,
        /// Bytes of page cache.
        cache: u64,
    },
    /// PostgreSQL.
    Postgres(Box<config::Postgres>),
}

/// The page cache of a store in the data folder when `[store]` names another one.
const CACHE: u64 = 64 << 20;

impl Backend {
    /// The store that `[store]` names.
    ///
    /// # Errors
    /// [`Error::OtherStore`] if that is in memory.
    pub fn of(settings: &Settings) -> Result<Self, Error> {
        match &settings.boot.store {
            config::StoreSettings::Sled { .. } => Self::named(settings, BackendKind::Sled),
            config::StoreSettings::Postgres(_) => Self::named(settings, BackendKind::Postgres),
            config::StoreSettings::Memory => Err(Error::OtherStore(
                "the store is in memory, and gone with its server".to_owned(),
            )),
        }
    }

    /// Returns the store of this kind that the configuration describes. The one in the data folder
    /// exists whatever `[store]` names.
    ///
    /// # Errors
    /// [`Error::OtherStore`] if it does not describe this kind.
    pub fn named(settings: &Settings, kind: BackendKind) -> Result<Self, Error> {
        match kind {
            BackendKind::Sled => {
                let cache = match settings.boot.store {
                    config::StoreSettings::Sled { cache } => cache,
                    _ => CACHE,
                };
                Ok(Self::Sled { folder: settings.boot.data.join("store"), cache })
            }
            BackendKind::Postgres => match &settings.boot.store {
                config::StoreSettings::Postgres(postgres) => Ok(Self::Postgres(postgres.clone())),
                _ => Err(Error::OtherStore(format!(
                    "{} describes no store in PostgreSQL",
                    settings.file.display()
                ))),
            },
        }
    }
}

/// Checks that a store's folder exists, for commands that create none.
///
/// # Errors
/// [`Error::File`].
pub fn expect_folder(folder: &Path) -> Result<(), Error> {
    let found = fs::metadata(folder);
    found.map(|_| ()).map_err(|cause| Error::File { path: folder.to_owned(), cause })
}

/// Opens an existing store, for a command that writes no audit events.
///
/// # Errors
/// [`Error::File`] if it does not exist; [`Error::Store`], while a server runs with
/// [`crate::store::Error::InUse`] if it is sled's.
pub async fn open_existing(backend: Backend, now: Time) -> Result<Arc<dyn Store>, Error> {
    if let Backend::Sled { folder, .. } = &backend {
        expect_folder(folder)?;
    }
    open_or_make(backend, now).await
}

/// Opens a store, or creates an empty one, for a command that writes no audit events.
///
/// # Errors
/// As [`open_existing`], apart from a missing store.
pub async fn open_or_make(backend: Backend, now: Time) -> Result<Arc<dyn Store>, Error> {
    open_backend(backend, Arc::new(NoTrail), now).await
}

async fn open_backend(
    backend: Backend,
    trail: Arc<dyn Trail>,
    now: Time,
) -> Result<Arc<dyn Store>, Error> {
    Ok(match backend {
        Backend::Sled { folder, cache } => {
            private_folder(&folder)?;
            let opened = SledStore::open(&folder, cache, now, trail);
            Arc::new(opened.map_err(|error| Error::from(error).in_store(Error::Folder))?)
        }
        Backend::Postgres(postgres) => {
            let opened = PostgresStore::open(options_of(&postgres), trail).await;
            Arc::new(opened.map_err(|error| Error::from(error).in_store(Error::Database))?)
        }
    })
}

/// Takes a snapshot of a database, which other nodes may continue to use.
///
/// # Errors
/// [`Error::Store`].
pub async fn open_snapshot(postgres: &config::Postgres) -> Result<PostgresSnapshot, Error> {
    let taken = PostgresSnapshot::open(options_of(postgres)).await;
    taken.map_err(|error| Error::from(error).in_store(Error::Database))
}

fn options_of(postgres: &config::Postgres) -> PostgresOptions {
    PostgresOptions {
        connection: postgres.connection.clone(),
        anchors: postgres.anchors.clone(),
        connections: postgres.connections,
        patience: postgres.patience,
    }
}

async fn open_store(
    settings: &Settings,
    trail: Arc<dyn Trail>,
    now: Time,
) -> Result<Arc<dyn Store>, Error> {
    match &settings.boot.store {
        config::StoreSettings::Memory => Ok(Arc::new(MemoryStore::new(trail))),
        _ => open_backend(Backend::of(settings)?, trail, now).await,
    }
}

async fn open_ca(
    settings: &Settings,
    folder: &Path,
    name: &CaName,
    rules: &policy::CaRules,
    store: &Arc<dyn Store>,
    entropy: &Arc<dyn Entropy>,
    now: Time,
) -> Result<Ca, Error> {
    let passphrase = settings.boot.keys.passphrase.as_ref().map(|passphrase| passphrase.as_str());
    let register = format!("ca {name}");
    let known = store.register(&register).await?;
    let home = folder.join(name.as_str());
    if known.is_some() && !home.try_exists().unwrap_or(true) {
        return Err(other_ca(home, "the store knows this CA, and its keys are not here"));
    }
    let opened = Hierarchy::open_or_make(folder, name, rules, passphrase, &**entropy, now);
    if let Err(crate::ca::Error::Lint(findings)) = &opened {
        let event = Event::new(now, Name::IssuanceStopped, Actor::server())
            .with("ca", name)
            .with("lint_rules", findings.rules())
            .with("lint_fields", findings.fields());
        store.append(event).await?;
    }
    let (hierarchy, made) = opened?;
    // Several nodes over one store are one CA only if they have the same keys.
    let own = format!("{} {}", hierarchy.root.fingerprint(), hierarchy.issuing.fingerprint());
    let known = match known {
        Some(value) => Some(value),
        None => match store.compare_and_set(&register, None, own.as_bytes()).await? {
            CompareAndSet::Set => None,
            CompareAndSet::Differs(value) => value,
        },
    };
    if known.is_some_and(|known| known != own.as_bytes()) {
        return Err(other_ca(home, "this is not the CA that the store knows by this name"));
    }
    if made == Made::Now {
        let event = Event::new(now, Name::CaCreated, Actor::server())
            .with("ca", name)
            .with("root", hierarchy.root.fingerprint())
            .with("issuing", hierarchy.issuing.fingerprint());
        store.append(event).await?;
    }
    let ca = Ca::new(
        name.clone(),
        hierarchy.root,
        hierarchy.issuing,
        Arc::new(SoftSigner::new(hierarchy.key)),
        Arc::clone(store),
        Arc::clone(entropy),
    )?;
    Ok(ca)
}

fn other_ca(path: PathBuf, error: &str) -> Error {
    Error::Ca(crate::ca::Error::File {
        path,
        error: error.to_owned(),
        remedy:
            "copy this folder from the node that has made the CA (all nodes over one store have \
                 the same keys), or restore it from your backup; a CA that this node has made for \
                 itself is moved away first"
                .to_owned(),
    })
}

/// Creates the folder with mode 0700, or checks that no other user may enter an existing one. Syncs its
/// name, so that a power cut does not remove the folder with its synced contents.
///
/// # Errors
/// [`Error::File`] if it cannot be created; [`Error::Unfit`] if other users own it or may enter it.
pub fn private_folder(path: &Path) -> Result<(), Error> {
    let failed = |cause| Error::File { path: path.to_owned(), cause };
    check_private(path)?;
    let whole = std::path::absolute(path).map_err(failed)?;
    let missing: Vec<_> = whole.ancestors().take_while(|folder| !folder.exists()).collect();
    durable::create_folder(path).map_err(failed)?;
    // An existing folder, too: a start that was killed may have created it without syncing.
    for folder in missing.iter().copied().chain(missing.is_empty().then_some(&*whole)) {
        let Some(parent) = folder.parent() else { continue };
        match durable::sync(parent) {
            // The parent belongs to another user, who also created its entries.
            Err(cause) if missing.is_empty() && cause.kind() == ErrorKind::PermissionDenied => {}
            result => result.map_err(|cause| Error::File { path: parent.to_owned(), cause })?,
        }
    }
    check_private(path)
}
