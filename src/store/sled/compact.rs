//! Compaction: sled 0.34 reuses freed space but never shrinks its file.
//!
//! All records are copied to a new folder beside the store, compared and made durable. Then the two
//! folders are exchanged in one step. Whenever the process dies, the store's own path holds a whole
//! store; the next compaction removes the other folder.

use super::{super::transfer, SledStore, disk};
use crate::{
    durable,
    store::{Error, Store, transfer::ProgressCallback},
    telemetry::audit::NoTrail,
    types::Time,
};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::{
    ffi::OsString,
    fs::{self, File, Metadata, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// The result of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes on the disk before.
    pub before: u64,
    /// Bytes on the disk after.
    pub after: u64,
    /// The records of the store.
    pub summary: transfer::Summary,
}

impl SledStore {
    /// Compacts the store in `folder`, which no other process may have open. It needs the folder
    /// [`Self::spare`], and as much free space as the compacted store.
    ///
    /// # Errors
    /// [`Error::InUse`]; [`Error::Unavailable`] if the file system cannot exchange two folders in
    /// one step; as [`transfer::import`]. The store is unchanged then.
    pub async fn compact(
        folder: &Path,
        cache_bytes: u64,
        now: Time,
        progress: ProgressCallback<'_>,
    ) -> Result<Compacted, transfer::Error> {
        let spare = Self::spare(folder);
        let source = Self::open(folder, cache_bytes, now, Arc::new(NoTrail))?;
        let copied = Self::copy_beside(&source, &spare, cache_bytes, now, progress).await;
        source.close().await;
        let closed = stamp(folder)?;
        let result = match copied {
            Ok(summary) => replace(folder, &spare, closed).map(|bytes| (bytes, summary)),
            Err(error) => Err(error),
        };
        // Either the old store, or an incomplete copy.
        let removed = fs::remove_dir_all(&spare);
        let ((before, after), summary) = result?;
        removed.map_err(|error| failed(&spare, "remove it", &error))?;
        Ok(Compacted { before, after, summary })
    }

    /// The folder beside the store in which a compaction works. A killed compaction leaves it
    /// there; it is never the store.
    #[must_use]
    pub fn spare(folder: &Path) -> PathBuf {
        let mut name: OsString = folder.as_os_str().to_owned();
        name.push(".compact");
        name.into()
    }

    async fn copy_beside(
        source: &Self,
        spare: &Path,
        cache_bytes: u64,
        now: Time,
        progress: ProgressCallback<'_>,
    ) -> Result<transfer::Summary, transfer::Error> {
        match fs::remove_dir_all(spare) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(spare, "remove what an earlier compaction left", &error).into());
            }
            _ => {}
        }
        try_exchange(spare)?;
        let target = Self::open(spare, cache_bytes, now, Arc::new(NoTrail))?;
        let copied = transfer::copy(&(source as &dyn Store), &target, progress).await;
        target.close().await;
        let summary = copied?;
        // Opened once more, to check that it opens, and because sled takes a snapshot then: it has
        // less to read at the server's start.
        Self::open(spare, cache_bytes, now, Arc::new(NoTrail))?.close().await;
        Ok(summary)
    }
}

fn failed(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::Unavailable(format!("{}: cannot {what}: {error}", path.display()))
}

/// Shows whether a file was written to.
type Stamp = (u64, Option<SystemTime>);

fn stamp(folder: &Path) -> Result<Stamp, Error> {
    let db = folder.join("db");
    let data = fs::metadata(&db).map_err(|error| failed(&db, "look at it", &error))?;
    Ok((data.len(), data.modified().ok()))
}

/// Exchanges the copy and the store. Returns the bytes of both.
fn replace(folder: &Path, spare: &Path, closed: Stamp) -> Result<(u64, u64), transfer::Error> {
    // Locked as sled does it: another process must wait to open the store until it is the new one.
    let path = folder.join("db");
    let db = File::open(&path).map_err(|error| failed(&path, "open it", &error))?;
    match db.try_lock() {
        Err(TryLockError::WouldBlock) => {
            return Err(Error::InUse(folder.display().to_string()).into());
        }
        other => other.map_err(|error| failed(&path, "lock it", &error.into()))?,
    }
    if stamp(folder)? != closed {
        return Err(transfer::Error::Differs(
            "the store was used while it was compacted".to_owned(),
        ));
    }
    let before = size(folder).map_err(|error| failed(folder, "read it", &error))?;
    let after = size(spare).map_err(|error| failed(spare, "read it", &error))?;
    sync_all(spare).map_err(|error| failed(spare, "sync it", &error))?;
    exchange(folder, spare)?;
    Ok((before, after))
}

/// Exchanges two folders in one step, durably.
fn exchange(one: &Path, other: &Path) -> Result<(), Error> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|errno| match errno {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => Error::Unavailable(format!(
            "{}: this file system cannot exchange two folders in one step ({errno}): move the data \
             folder to another one, such as ext4, XFS or Btrfs, to compact it",
            one.display()
        )),
        errno => failed(one, "exchange it", &errno.into()),
    })?;
    disk::sync_parent(one)
}

/// Tests, before anything is copied, whether the file system can exchange folders.
fn try_exchange(spare: &Path) -> Result<(), Error> {
    let (one, other) = (spare.join("1"), spare.join("2"));
    for folder in [&one, &other] {
        fs::create_dir_all(folder).map_err(|error| failed(folder, "make it", &error))?;
    }
    exchange(&one, &other)?;
    fs::remove_dir_all(spare).map_err(|error| failed(spare, "remove it", &error))
}

/// Lists the files of a folder and of its subfolders, and the folders themselves, innermost first.
fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, data) = (entry.path(), entry.metadata()?);
        if data.is_dir() {
            found.extend(entries(&path)?);
        }
        found.push((path, data));
    }
    Ok(found)
}

/// Returns the bytes of all files.
fn size(folder: &Path) -> io::Result<u64> {
    let files = entries(folder)?.into_iter().filter(|(_, data)| data.is_file());
    Ok(files.map(|(_, data)| data.len()).sum())
}

/// Syncs everything in a folder.
fn sync_all(folder: &Path) -> io::Result<()> {
    for (path, _) in entries(folder)? {
        durable::sync(&path)?;
    }
    durable::sync(folder)
}
