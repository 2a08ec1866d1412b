//! The folder: opening it, making it durable, and the errors of sled.

use super::super::{Error, format};
use crate::{durable, failpoint::failpoint};
use ::sled::{Config, Db, Tree};
use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// The layout of the folder that this code writes. Layout 1 has the same trees; its records have an
/// earlier form, which is read and not rewritten ([`mod@format`]).
const FOLDER_VERSION: u32 = 2;

/// The first layout: a folder that has it gets [`FOLDER_VERSION`] when it is opened.
const FIRST_FOLDER_VERSION: u32 = 1;

/// The usual limit of a value.
///
/// sled writes a leaf, which has up to 20 values, as one message. It writes a message beyond 128
/// KiB to a file of its own under `blobs/`, and never syncs that. Values of this size stay below
/// the limit.
pub(super) const USUAL: usize = 6 * 1024;

/// The largest value that is accepted.
pub(super) const LARGEST: usize = 120 * 1024;

/// Free bytes required before a store whose disk was full is opened again. sled writes when it
/// opens: a segment of 512 KiB, and a snapshot of some 4 MB for a million records.
const ROOM: usize = 8 << 20;

/// The content of `conf` as sled 0.34.7 writes it: the settings of this store, and their CRC-32.
pub(super) const CONF: &[u8] =
    b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n\x76\x19\x51\xc1";

/// The open database and its trees.
pub(super) struct Trees {
    pub(super) db: Db,
    /// Serial number → ended issuance.
    pub(super) certificates: Tree,
    /// The journal: number of the first issuance → a page of open issuances.
    pub(super) open: Tree,
    /// Number of the first request → a page of requests that have their certificate.
    pub(super) recent: Tree,
    /// Writer and number of the first event → a page of events.
    pub(super) events: Tree,
    /// Name → account.
    pub(super) accounts: Tree,
    /// Name → value of a register; the tree is called `decisions`.
    pub(super) registers: Tree,
    /// Id → device.
    pub(super) devices: Tree,
    /// Text of an identifier → id of its device.
    pub(super) identifiers: Tree,
    /// Id of a device that may neither enroll nor authenticate → nothing.
    pub(super) barred: Tree,
    /// [`STAGING`] → the staged import; [`IMPORTS`] → the number of the last one.
    pub(super) staging: Tree,
    /// Id → one-time token.
    pub(super) tokens: Tree,
    /// Number of the first item → a page of the index; [`COMPLETE`] is a key of `meta`.
    pub(super) index: Tree,
    /// The layout's version, and whether the index is complete.
    pub(super) meta: Tree,
}

/// The key of the staged import.
pub(super) const STAGING: &str = "staging";

/// The key of the last import's number.
pub(super) const IMPORTS: &str = "imports";

/// The key that says that `index` describes all issuances that have ended.
pub(super) const COMPLETE: &str = "index";

/// Rejects a value that sled would write to a file of its own.
pub(super) fn fitting(value: Vec<u8>) -> Result<Vec<u8>, Error> {
    if value.len() > LARGEST {
        return Err(Error::Unavailable(format!(
            "a record of {} bytes is larger than the {LARGEST} it takes",
            value.len()
        )));
    }
    Ok(value)
}

/// Converts errors of sled at run time.
pub(super) fn store_error(error: ::sled::Error) -> Error {
    match error {
        ::sled::Error::Corruption { .. } => {
            Error::Corrupt(format!("{error}; restore the store's folder from a backup"))
        }
        _ => Error::Unavailable(error.to_string()),
    }
}

fn io_error(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::Unavailable(format!("{}: cannot {what}: {error}", path.display()))
}

/// Drops the kernel's copies of the files, so that they are read from the disk. After a failed sync
/// Linux keeps pages that it could not write, and shows them as if they were on the disk.
///
/// # Errors
/// [`Error::Unavailable`] if the kernel cannot write its remaining pages.
pub(super) fn forget_cached(folder: &Path) -> Result<(), Error> {
    // Linux drops only pages that are written.
    let synced = sync_files(folder);
    for folder in [folder, &folder.join("blobs")] {
        let failed = |error| io_error(folder, "read it afresh", &error);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                let file = File::open(&path).map_err(failed)?;
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
                    .map_err(|error| failed(error.into()))?;
            }
        }
    }
    synced
}

/// Written to find out whether the folder is writable.
const PROBE: &str = "probe";

/// Checks that sled can be opened and written to again. Writes as far into a file as `db` ends:
/// file sizes have limits, too.
pub(super) fn try_to_write(folder: &Path) -> Result<(), Error> {
    let path = folder.join(PROBE);
    let write = || {
        let end = fs::metadata(folder.join("db"))?.len();
        let probe = File::options().write(true).create(true).truncate(true).open(&path)?;
        probe.write_all_at(&vec![0; ROOM], end)?;
        probe.sync_all()
    };
    let written = write();
    let removed = fs::remove_file(&path);
    written.and(removed).map_err(|error| io_error(folder, "write there", &error))
}

/// Opens or creates the folder. Blocks.
pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Trees, Error> {
    // 0700: the folder holds password hashes.
    durable::create_folder(folder).map_err(|error| io_error(folder, "make the folder", &error))?;
    make_conf(folder)?;
    remove_leftovers(folder)?;
    // A killed process leaves writes that only the kernel has. sled reads them, and at once syncs a
    // snapshot that relies on them.
    sync_files(folder)?;

    let config = Config::new().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
    // sled asserts its invariants; damaged files break them.
    let db = match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => db,
        Ok(Err(error)) => return Err(open_error(folder, &error)),
        Err(_) => return Err(damaged(folder, "sled gave up reading it")),
    };
    let tree = |name: &str| db.open_tree(name).map_err(|error| open_error(folder, &error));
    let trees = Trees {
        certificates: tree("certificates")?,
        open: tree("open")?,
        recent: tree("recent")?,
        events: tree("events")?,
        accounts: tree("accounts")?,
        registers: tree("decisions")?,
        devices: tree("devices")?,
        identifiers: tree("identifiers")?,
        barred: tree("barred")?,
        staging: tree("staging")?,
        tokens: tree("tokens")?,
        index: tree("index")?,
        meta: tree("meta")?,
        db: db.clone(),
    };
    // Durable before the first record is written, and so before an earlier estd could find one that
    // it cannot read.
    check_version(folder, &trees, &trees.meta)?;
    failpoint!("migrate: marked");
    db.flush().map_err(|error| open_error(folder, &error))?;
    failpoint!("migrate: written");
    sync_files(folder)?;
    failpoint!("migrate: durable");
    Ok(trees)
}

/// Creates `conf` atomically if it does not exist. sled would write it in place: cut off there, it
/// leaves a file of zeros, and never opens the folder again.
fn make_conf(folder: &Path) -> Result<(), Error> {
    let path = folder.join("conf");
    if path.try_exists().map_err(|error| io_error(&path, "read it", &error))? {
        return Ok(());
    }
    let unfinished = folder.join("conf.unfinished");
    File::create(&unfinished)
        .and_then(|mut file| file.write_all(CONF).and_then(|()| file.sync_all()))
        .and_then(|()| durable::rename(&unfinished, &path))
        .map_err(|error| io_error(&path, "make it", &error))
}

/// Removes leftovers of a failed or cut write: a probe, and unfinished snapshots of sled. sled
/// takes these for whole ones, reads the latest, and would never open the folder again. The
/// previous snapshot, or the log, still exists.
fn remove_leftovers(folder: &Path) -> Result<(), Error> {
    let failed = |error| io_error(folder, "remove what a failed write has left", &error);
    if leftovers(folder).map_err(failed)?.is_empty() {
        return Ok(());
    }
    let path = folder.join("db");
    let db = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let db = db.map_err(|error| io_error(&path, "open it", &error))?;
    // Another process may be writing one now.
    match db.try_lock() {
        // sled reports this.
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(io_error(&path, "lock it", &error)),
        Ok(()) => {}
    }
    let removed = leftovers(folder).and_then(|found| found.iter().try_for_each(fs::remove_file));
    // Explicitly: a forked process may hold the file longer than this one.
    db.unlock().map_err(|error| io_error(&path, "unlock it", &error))?;
    removed.map_err(failed)
}

fn leftovers(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == PROBE || (name.starts_with("snap.") && name.ends_with(".generating")) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Rejects a folder of a later layout; marks a new one, and one of an earlier layout, with this layout.
fn check_version(folder: &Path, trees: &Trees, meta: &Tree) -> Result<(), Error> {
    const KEY: &str = "format";
    let mark = || {
        failpoint!("migrate: before the mark");
        let version = format::folder_version(FOLDER_VERSION)?;
        meta.insert(KEY, version).map(|_| ()).map_err(store_error)
    };
    match meta.get(KEY).map_err(store_error)? {
        Some(value) => match format::read_folder_version(&value)? {
            FOLDER_VERSION => Ok(()),
            FIRST_FOLDER_VERSION => {
                tracing::info!(
                    folder = %folder.display(),
                    "the store is brought up to date: earlier versions of estd can no longer open it"
                );
                mark()
            }
            found => Err(Error::Corrupt(format!(
                "{} has layout {found}, and this estd reads layouts up to {FOLDER_VERSION}: run the \
                 version of estd that wrote it, or a later one",
                folder.display()
            ))),
        },
        // New, or killed before its first write.
        None if trees.certificates.is_empty()
            && trees.open.is_empty()
            && trees.events.is_empty() =>
        {
            mark()
        }
        None => Err(damaged(folder, "it holds records and does not say of which layout")),
    }
}

fn damaged(folder: &Path, why: &str) -> Error {
    Error::Corrupt(format!("{}: {why}; restore the folder from a backup", folder.display()))
}

fn open_error(folder: &Path, error: &::sled::Error) -> Error {
    use ::sled::Error as Sled;
    match error {
        // sled reports the error of flock(2) as text only.
        Sled::Io(error) if error.to_string().contains("could not acquire lock") => {
            if error.to_string().contains("WouldBlock") {
                Error::InUse(folder.display().to_string())
            } else {
                io_error(folder, "lock it", error)
            }
        }
        Sled::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            io_error(folder, "open it", error)
        }
        Sled::Io(error) => damaged(folder, &error.to_string()),
        other => damaged(folder, &other.to_string()),
    }
}

/// Whether another process could lock the folder; also true if that cannot be tested.
pub(super) fn is_released(folder: &Path) -> bool {
    // Closing the file unlocks it.
    File::open(folder.join("db"))
        .map_or(true, |db| !matches!(db.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Syncs the files of the folder, and the folder itself.
fn sync_files(folder: &Path) -> Result<(), Error> {
    for name in ["conf", "db", "blobs", "."] {
        let path = folder.join(name);
        match durable::sync(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|error| io_error(&path, "sync", &error))?,
        }
    }
    // The name of the folder, if it is new.
    sync_parent(folder)
}

/// Syncs the name of a folder.
pub(super) fn sync_parent(folder: &Path) -> Result<(), Error> {
    if let Ok(parent) = folder.join("..").canonicalize() {
        durable::sync(&parent).map_err(|error| io_error(&parent, "sync", &error))?;
    }
    Ok(())
}

/// Makes commits durable. `Db::flush` of sled 0.34.7 does not: it writes, then calls
/// `sync_file_range(2)`, which waits neither for the file's length nor for the disk's cache
/// (docs/adr/0001).
pub(super) struct Disk {
    db: File,
    blobs: PathBuf,
    /// The durable files under `blobs/`; none while no file can exist there.
    synced: Option<HashSet<OsString>>,
    /// The number of events that were durable: see [`Disk::mark`].
    mark: File,
}

impl Disk {
    pub(super) fn new(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("db");
        let db = File::open(&path).map_err(|error| io_error(&path, "open it", &error))?;
        let path = folder.join("mark");
        let mark = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mark = mark.map_err(|error| io_error(&path, "open it", &error))?;
        let mut disk = Self { db, blobs: folder.join("blobs"), synced: None, mark };
        let mut entries = fs::read_dir(&disk.blobs)
            .map_err(|error| io_error(&disk.blobs, "read the folder", &error))?;
        if entries.next().is_some() {
            disk.expect_blobs();
        }
        Ok(disk)
    }

    /// Notes that files may exist under `blobs/`.
    pub(super) fn expect_blobs(&mut self) {
        self.synced.get_or_insert_default();
    }

    /// Records that this many events are durable.
    ///
    /// sled takes a damaged place in its log for the log's end: later records are lost without an
    /// error. The mark reveals that. It is written and not synced: after a power failure it may be
    /// too low, which weakens the check but causes no false alarm.
    pub(super) fn mark(&self, events: u64) {
        // Twice, so that a half-written mark is not read as a number.
        let mark = format!("{events:020} {events:020}\n");
        let _ = self.mark.write_all_at(mark.as_bytes(), 0);
    }

    /// Checks that no durable event is missing, by the mark and by the number that this process
    /// acknowledged.
    pub(super) fn check_mark(&self, events: u64, acknowledged: u64) -> Result<(), Error> {
        let committed = self.marked().unwrap_or(0).max(acknowledged);
        if committed > events {
            return Err(Error::Corrupt(format!(
                "{committed} events were committed and {events} can be read: the log is damaged \
                 and records are lost; restore the store's folder from a backup"
            )));
        }
        Ok(())
    }

    fn marked(&self) -> Option<u64> {
        let mut mark = [0; 41];
        self.mark.read_exact_at(&mut mark, 0).ok()?;
        let (one, other) = std::str::from_utf8(&mark).ok()?.split_once(' ')?;
        if one == other { one.parse().ok() } else { None }
    }

    /// Returns when everything committed is on the disk.
    pub(super) fn sync(&mut self, db: &Db) -> Result<(), String> {
        db.flush().map_err(|error| error.to_string())?;
        failpoint!("sled: written");
        self.db.sync_data().map_err(|error| error.to_string())?;
        self.sync_blobs().map_err(|error| format!("{}: {error}", self.blobs.display()))
    }

    fn sync_blobs(&mut self) -> io::Result<()> {
        let Some(synced) = &mut self.synced else { return Ok(()) };
        let mut present = HashSet::new();
        let mut new = false;
        for entry in fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let name = entry.file_name();
            if !synced.contains(&name) {
                match durable::sync(&entry.path()) {
                    // sled removes files that it no longer needs.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    result => result?,
                }
                new = true;
            }
            present.insert(name);
        }
        if new {
            durable::sync(&self.blobs)?;
        }
        *synced = present;
        Ok(())
    }
}
