//! sled 0.34.7, made durable (docs/adr/0001).
//!
//! One thread, the committer, makes every change: it takes what waits, at most 512 changes, puts
//! them into one transaction over the trees, flushes, and then calls fdatasync on sled's file,
//! which sled's own flush does not do. Only then are the callers answered.
//!
//! The trees are few and written to as seldom as can be, because each insert costs:
//!
//! | tree | key | value |
//! |---|---|---|
//! | `certificates` | serial number | an issuance that has ended: one insert each |
//! | `open` | number of the batch | the intents begun in a batch: one insert a batch, removed with the last of them |
//! | `recent` | number of the batch | the requests completed in a batch, whose repeats get the same answer; removed when their windows have ended |
//! | `events` | number of the first | the audit events of a batch |
//! | `accounts` | name | an account |
//! | `meta` | `format` | the version of the format |
//!
//! Serial numbers begin with the time, so that inserts into `certificates` lie side by side; that
//! is a matter of speed only.

mod committer;
mod format;

use super::{
    Account, Begun, Error, Filter, Intent, Issuance, Store,
    ledger::{Open, Requests},
};
use crate::{
    telemetry::audit::{Event, Trail},
    types::{Serial, Time},
};
use async_trait::async_trait;
use committer::{Command, Committer, Recent};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Changes that may wait for the committer; more callers wait for a place.
const QUEUE: usize = 4096;

/// A store in a folder of this machine, used by one process at a time.
pub struct SledStore {
    folder: PathBuf,
    shared: Mutex<Option<Arc<Shared>>>,
    commands: mpsc::Sender<Command>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What readers and the committer share.
struct Shared {
    db: ::sled::Db,
    certificates: ::sled::Tree,
    open: ::sled::Tree,
    recent: ::sled::Tree,
    events: ::sled::Tree,
    accounts: ::sled::Tree,
    /// Open issuances that are durable.
    open_now: RwLock<Open>,
}

impl SledStore {
    /// Opens or makes the database in `folder` with `cache` octets of page cache. Committed
    /// events are told to `trail`.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it; [`Error::Corrupt`] if it cannot be read;
    /// [`Error::Unavailable`] if the files cannot be opened or written.
    pub fn open(
        folder: &Path,
        cache: u64,
        now: Time,
        trail: Arc<dyn Trail>,
    ) -> Result<Self, Error> {
        let db = ::sled::Config::new()
            .path(folder)
            .cache_capacity(cache)
            .flush_every_ms(None)
            .open()
            .map_err(|fault| opening(folder, fault))?;
        let file = sync_once(folder)
            .map_err(|fault| Error::Unavailable(format!("{}: {fault}", folder.display())))?;
        let tree = |name: &str| db.open_tree(name).map_err(|fault| opening(folder, fault));
        let meta = tree("meta")?;
        check_format(&meta)?;
        let shared = Arc::new(Shared {
            certificates: tree("certificates")?,
            open: tree("open")?,
            recent: tree("recent")?,
            events: tree("events")?,
            accounts: tree("accounts")?,
            db: db.clone(),
            open_now: RwLock::default(),
        });
        let committer = load(Arc::clone(&shared), file, trail, now)?;
        let (commands, received) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || committer.run(received))
            .map_err(|fault| Error::Unavailable(fault.to_string()))?;
        Ok(Self {
            folder: folder.to_owned(),
            shared: Mutex::new(Some(shared)),
            commands,
            committer: Mutex::new(Some(thread)),
        })
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Reads on a thread where blocking is allowed: a page may have to come from the disk.
    async fn read<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    {
        let shared = self
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(closed)?;
        tokio::task::spawn_blocking(move || read(&shared))
            .await
            .map_err(|fault| Error::Unavailable(fault.to_string()))?
    }
}

impl Shared {
    fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        let open =
            self.open_now.read().unwrap_or_else(PoisonError::into_inner).get(serial).cloned();
        if open.is_some() {
            return Ok(open);
        }
        let found = self.certificates.get(serial.as_bytes()).map_err(unavailable)?;
        found.map(|octets| format::decode(&octets).map(Arc::new)).transpose()
    }

    fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let from = after.map_or(Bound::Unbounded, |serial| Bound::Excluded(serial.clone()));
        let mut open: BTreeMap<Serial, Arc<Issuance>> = {
            let open = self.open_now.read().unwrap_or_else(PoisonError::into_inner);
            let range = open.range((from.clone(), Bound::Unbounded));
            range
                .filter(|(_, one)| filter.matches(one))
                .map(|(serial, one)| (serial.clone(), Arc::clone(one)))
                .collect()
        };
        let from = from.map(|serial| serial.as_bytes().to_vec());
        let mut out = Vec::new();
        for pair in self.certificates.range::<Vec<u8>, _>((from, Bound::Unbounded)) {
            if out.len() >= limit {
                break;
            }
            let (_, octets) = pair.map_err(unavailable)?;
            let ended: Issuance = format::decode(&octets)?;
            // Ended between the look at the open ones and this one.
            open.remove(&ended.intent.serial);
            while let Some(first) =
                open.first_entry().filter(|first| *first.key() < ended.intent.serial)
            {
                out.push(first.remove());
            }
            if filter.matches(&ended) {
                out.push(Arc::new(ended));
            }
        }
        out.extend(open.into_values());
        out.truncate(limit);
        Ok(out)
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, Event)>, Error> {
        // The batch that holds `from` may have begun before it.
        let start = self
            .events
            .range(..=from.to_be_bytes())
            .next_back()
            .transpose()
            .map_err(unavailable)?;
        let start = start.map_or_else(|| from.to_be_bytes().to_vec(), |(key, _)| key.to_vec());
        let mut out = Vec::new();
        for pair in self.events.range(start..) {
            let (key, octets) = pair.map_err(unavailable)?;
            let batch: Vec<Event> = format::decode(&octets)?;
            let numbered = (number(&key)?..).zip(batch).filter(|(number, _)| *number >= from);
            out.extend(numbered.take(limit.saturating_sub(out.len())));
            if out.len() >= limit {
                break;
            }
        }
        Ok(out)
    }
}

#[async_trait]
impl Store for SledStore {
    async fn begin(&self, intent: Intent) -> Result<Begun, Error> {
        self.ask(|reply| Command::Begin(Box::new(intent), reply)).await
    }

    async fn complete(
        &self,
        serial: &Serial,
        certificate: Vec<u8>,
        event: Event,
    ) -> Result<Arc<Issuance>, Error> {
        let serial = serial.clone();
        self.ask(|reply| Command::Complete { serial, certificate, event, reply }).await
    }

    async fn void(&self, serial: &Serial, event: Event) -> Result<(), Error> {
        let serial = serial.clone();
        self.ask(|reply| Command::Void { serial, event, reply }).await
    }

    async fn find(&self, serial: &Serial) -> Result<Option<Arc<Issuance>>, Error> {
        let serial = serial.clone();
        self.read(move |shared| shared.find(&serial)).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.read(move |shared| shared.list(&filter, after.as_ref(), limit)).await
    }

    async fn add_account(&self, account: Account, event: Event) -> Result<(), Error> {
        self.ask(|reply| Command::AddAccount { account, event, reply }).await
    }

    async fn remove_account(&self, name: &str, event: Event) -> Result<(), Error> {
        let name = name.to_owned();
        self.ask(|reply| Command::RemoveAccount { name, event, reply }).await
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, Error> {
        let name = name.to_owned();
        self.read(move |shared| {
            let found = shared.accounts.get(name.as_bytes()).map_err(unavailable)?;
            found.map(|octets| format::decode(&octets)).transpose()
        })
        .await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(|shared| {
            shared
                .accounts
                .iter()
                .values()
                .map(|octets| format::decode(&octets.map_err(unavailable)?))
                .collect()
        })
        .await
    }

    async fn append(&self, event: Event) -> Result<(), Error> {
        self.ask(|reply| Command::Append { event, reply }).await
    }

    async fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, Event)>, Error> {
        self.read(move |shared| shared.events(from, limit)).await
    }

    async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() {
            // Without an answer the committer is gone, which is what is wanted.
            let _ = answer.await;
        }
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let file = self.folder.join("db");
        let ending = tokio::task::spawn_blocking(move || {
            drop(shared);
            // A committer that panicked has answered nobody: there is nothing to save.
            let joined = thread.map(JoinHandle::join);
            wait_for_release(&file);
            joined
        });
        let _ = ending.await;
    }
}

/// Makes the folder and sled's files durable as names: after the first open a power cut must not
/// take them away. Returns the file that each commit is synced by.
fn sync_once(folder: &Path) -> io::Result<File> {
    for name in ["conf", "blobs"] {
        match File::open(folder.join(name)) {
            Ok(file) => file.sync_all()?,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    let file = File::open(folder.join("db"))?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(fs::canonicalize(parent)?)?.sync_all()?;
    }
    Ok(file)
}

/// Waits until sled's own threads have let go of the file, so that whoever opens it next finds it
/// free; not longer than two seconds.
fn wait_for_release(file: &Path) {
    let Ok(file) = File::open(file) else { return };
    for _ in 0..200 {
        if file.try_lock().is_ok() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn check_format(meta: &::sled::Tree) -> Result<(), Error> {
    const KEY: &str = "format";
    match meta.get(KEY).map_err(unavailable)?.as_deref() {
        None => meta.insert(KEY, &[format::VERSION]).map(|_| ()).map_err(unavailable),
        Some([version]) if *version == format::VERSION => Ok(()),
        Some(other) => {
            Err(Error::Corrupt(format!("format {other:?}; this estd reads {}", format::VERSION)))
        }
    }
}

/// Reads what the committer keeps in memory.
fn load(
    shared: Arc<Shared>,
    file: File,
    trail: Arc<dyn Trail>,
    now: Time,
) -> Result<Committer, Error> {
    let (mut requests, mut open) = (Requests::default(), Open::new());
    let (mut batches, mut batch_of) = (BTreeMap::new(), HashMap::new());
    let mut recent = Recent::default();
    let mut last_batch = 0;
    for pair in &shared.open {
        let (key, octets) = pair.map_err(unavailable)?;
        let number = number(&key)?;
        last_batch = last_batch.max(number);
        let mut left = BTreeSet::new();
        for intent in format::decode::<Vec<Intent>>(&octets)? {
            if shared.certificates.contains_key(intent.serial.as_bytes()).map_err(unavailable)? {
                continue;
            }
            requests.insert(intent.request_key, intent.serial.clone(), intent.repeat_until);
            left.insert(intent.serial.clone());
            batch_of.insert(intent.serial.clone(), number);
            open.insert(intent.serial.clone(), Arc::new(intent.into()));
        }
        batches.insert(number, left);
    }
    for pair in &shared.recent {
        let (key, octets) = pair.map_err(unavailable)?;
        let number = number(&key)?;
        last_batch = last_batch.max(number);
        let completed: Vec<committer::Completed> = format::decode(&octets)?;
        for one in completed.iter().filter(|one| one.until > now) {
            requests.insert(one.key, one.serial.clone(), one.until);
        }
        recent.remember(number, &completed);
    }
    let last_event = shared.events.iter().next_back().transpose().map_err(unavailable)?;
    let next_event = match last_event {
        None => 1,
        Some((key, octets)) => {
            number(&key)?.saturating_add(format::decode::<Vec<Event>>(&octets)?.len() as u64)
        }
    };
    *shared.open_now.write().unwrap_or_else(PoisonError::into_inner) = open;
    Ok(Committer {
        shared,
        file,
        trail,
        requests,
        batches,
        batch_of,
        recent,
        next_batch: last_batch + 1,
        next_event,
        broken: None,
    })
}

fn number(key: &[u8]) -> Result<u64, Error> {
    let octets =
        key.try_into().map_err(|_| Error::Corrupt(format!("a number of {} octets", key.len())))?;
    Ok(u64::from_be_bytes(octets))
}

fn opening(folder: &Path, fault: ::sled::Error) -> Error {
    match fault {
        // sled has no kind of its own for this.
        ::sled::Error::Io(fault) if fault.to_string().contains("could not acquire lock") => {
            Error::InUse(folder.display().to_string())
        }
        ::sled::Error::Corruption { .. } | ::sled::Error::Unsupported(_) => {
            Error::Corrupt(format!("{}: {fault}", folder.display()))
        }
        other => Error::Unavailable(format!("{}: {other}", folder.display())),
    }
}

fn unavailable(fault: ::sled::Error) -> Error {
    match fault {
        ::sled::Error::Corruption { .. } => Error::Corrupt(fault.to_string()),
        other => Error::Unavailable(other.to_string()),
    }
}

fn closed() -> Error {
    Error::Unavailable("it is closed".to_owned())
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").finish_non_exhaustive()
    }
}
