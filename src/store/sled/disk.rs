//! The folder: opening it, making it durable, and what sled says when it cannot.

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

/// The layout of the folder that this code writes.
const FOLDER_VERSION: u32 = 1;

/// The largest value that sled is given to keep beside others.
///
/// sled writes a leaf, which is up to 20 values, in one message, and a message beyond 128 KiB to
/// a file of its own under `blobs/`, which it never syncs. Values up to this size cannot make one.
pub(super) const USUAL: usize = 6 * 1024;

/// The largest value at all.
pub(super) const LARGEST: usize = 120 * 1024;

/// How many bytes must fit before a store whose disk was full is closed to be opened again. sled
/// writes when it opens: a segment of 512 KiB, and a snapshot of some 4 MB with a million records.
const ROOM: usize = 8 << 20;

/// What sled 0.34.7 writes into `conf`: the settings that this store always has, and their CRC-32.
pub(super) const CONF: &[u8] =
    b"segment_size: 524288\nuse_compression: false\nversion: 0.34\n\x76\x19\x51\xc1";

/// The open database and its trees.
pub(super) struct Trees {
    pub(super) db: Db,
    /// Serial number → ended issuance.
    pub(super) certificates: Tree,
    /// The journal: number of the first → open issuances.
    pub(super) open: Tree,
    /// Number of the first → requests that have their certificate.
    pub(super) recent: Tree,
    /// Writer and number of the first → events.
    pub(super) events: Tree,
    /// Name → account.
    pub(super) accounts: Tree,
    /// Name → value of a register; the tree is called `decisions`.
    pub(super) registers: Tree,
}

/// Refuses what sled would keep in a file of its own.
pub(super) fn fitting(value: Vec<u8>) -> Result<Vec<u8>, Error> {
    if value.len() > LARGEST {
        return Err(Error::Unavailable(format!(
            "a record of {} bytes is larger than the {LARGEST} it takes",
            value.len()
        )));
    }
    Ok(value)
}

/// Translates what sled says while the store runs.
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

/// Has the folder read from the disk. After a failed sync Linux keeps the pages that it could not
/// write, and shows them as if they were on the disk.
///
/// # Errors
/// [`Error::Unavailable`] if what the kernel still has to write cannot be written.
pub(super) fn forget_cached(folder: &Path) -> Result<(), Error> {
    // Only what is written can be forgotten.
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

/// A file that is written to see whether the folder can be written to.
const PROBE: &str = "probe";

/// Whether sled can be opened and written to again: as far from the start of a file as `db` ends,
/// since files have limits as well.
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

/// Opens the folder, or makes it. Blocks.
pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<Trees, Error> {
    // 0700: the folder holds password hashes.
    durable::create_folder(folder).map_err(|error| io_error(folder, "make the folder", &error))?;
    make_conf(folder)?;
    remove_leftovers(folder)?;
    // A killed process leaves writes that the kernel has and the disk has not. sled reads them
    // back, and at once syncs a snapshot that counts on them.
    sync_files(folder)?;

    let config = Config::new().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
    // sled asserts what it believes of its files, and damaged ones are not what it believes.
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
        db: db.clone(),
    };
    check_version(folder, &trees, &tree("meta")?)?;
    db.flush().map_err(|error| open_error(folder, &error))?;
    sync_files(folder)?;
    Ok(trees)
}

/// Makes `conf` where there is none, whole or not at all. sled would write it in place: cut off
/// there, it leaves a file of zeros, and never opens the folder again.
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

/// Removes what a failed or cut write has left: a probe, and the snapshots that sled was writing.
/// It takes them for whole ones, reads the latest, and would never open the folder again; the one
/// before, or the log, is there.
fn remove_leftovers(folder: &Path) -> Result<(), Error> {
    let failed = |error| io_error(folder, "remove what a failed write has left", &error);
    if leftovers(folder).map_err(failed)?.is_empty() {
        return Ok(());
    }
    let path = folder.join("db");
    let db = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let db = db.map_err(|error| io_error(&path, "open it", &error))?;
    // Another process may be writing one just now.
    match db.try_lock() {
        // sled will say so.
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(io_error(&path, "lock it", &error)),
        Ok(()) => {}
    }
    let removed = leftovers(folder).and_then(|found| found.iter().try_for_each(fs::remove_file));
    // Not left to the drop: a process that is just being forked may have the file for a while.
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

/// Refuses a folder of another version; makes a new one this version's.
fn check_version(folder: &Path, trees: &Trees, meta: &Tree) -> Result<(), Error> {
    const KEY: &str = "format";
    match meta.get(KEY).map_err(store_error)? {
        Some(value) => match format::read_folder_version(&value)? {
            FOLDER_VERSION => Ok(()),
            found => Err(Error::Corrupt(format!(
                "{} has layout {found}, and this estd reads layout {FOLDER_VERSION}: run the \
                 version of estd that wrote it, or a later one",
                folder.display()
            ))),
        },
        // New, or killed before its first write.
        None if trees.certificates.is_empty()
            && trees.open.is_empty()
            && trees.events.is_empty() =>
        {
            let version = format::folder_version(FOLDER_VERSION)?;
            meta.insert(KEY, version).map(|_| ()).map_err(store_error)
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
        // sled makes a text of what flock(2) said.
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

/// Whether another open could lock the folder. What cannot be asked is taken for yes.
pub(super) fn is_released(folder: &Path) -> bool {
    // Closing the file unlocks it again.
    File::open(folder.join("db"))
        .map_or(true, |db| !matches!(db.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Makes durable what the folder holds, and the folder itself.
fn sync_files(folder: &Path) -> Result<(), Error> {
    for name in ["conf", "db", "blobs", "."] {
        let path = folder.join(name);
        match durable::sync(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|error| io_error(&path, "sync", &error))?,
        }
    }
    // The folder's own name, if it is new.
    sync_parent(folder)
}

/// Makes durable the name of a folder.
pub(super) fn sync_parent(folder: &Path) -> Result<(), Error> {
    if let Ok(parent) = folder.join("..").canonicalize() {
        durable::sync(&parent).map_err(|error| io_error(&parent, "sync", &error))?;
    }
    Ok(())
}

/// Makes commits durable, which `Db::flush` of sled 0.34.7 does not: it writes, and then asks
/// Linux with `sync_file_range(2)`, which waits neither for the file's length nor for the disk's
/// cache (docs/adr/0001).
pub(super) struct Disk {
    db: File,
    blobs: PathBuf,
    /// The files under `blobs/` that are durable; none while there can be no files.
    synced: Option<HashSet<OsString>>,
    /// How many events were durable at some moment: see [`Disk::mark`].
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

    /// From now on there may be files under `blobs/`.
    pub(super) fn expect_blobs(&mut self) {
        self.synced.get_or_insert_default();
    }

    /// Notes that this many events are durable.
    ///
    /// Where sled's log is damaged, sled takes the place for the log's end: what came after is
    /// gone, and nothing says so. The mark tells. It is written and not synced: after a power
    /// failure it may be behind, which makes it weaker and never wrong.
    pub(super) fn mark(&self, events: u64) {
        // Twice, so that half of it is not taken for a number.
        let mark = format!("{events:020} {events:020}\n");
        let _ = self.mark.write_all_at(mark.as_bytes(), 0);
    }

    /// Checks that no event is missing of those that were durable: by the mark, and by what this
    /// process has acknowledged.
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

    /// Returns when all that was committed is on the disk.
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
                    // sled removes what it no longer needs.
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
