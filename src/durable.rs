//! Files and folders that survive a power failure, whole or not at all.
//!
//! A file's contents and its name are durable separately: [`File::sync_all`] covers the first, a sync
//! of the folder the second. `tempfile` syncs neither, and `atomic-write-file` brings `nix` and `rand`.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Writes a file that does not exist yet. Its contents are durable on return; its name is once the
/// folder is synced, as [`rename`] does.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a file in one step: a crash leaves its previous contents or all of `bytes`.
///
/// # Errors
/// Those of the file system. The previous file is then unchanged.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{count}.tmp", process::id()));
    let temporary = folder(path).join(name);
    // A crashed process with the same id may have left one with another mode.
    let _ = fs::remove_file(&temporary);
    let replaced = create(&temporary, bytes, mode).and_then(|()| rename(&temporary, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

/// Renames a file or folder that is itself synced, within its folder.
///
/// # Errors
/// Those of the file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync(folder(to))
}

/// Removes a file that may be absent.
///
/// # Errors
/// Those of the file system.
pub fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync(folder(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Syncs the names in a folder, or the contents of a file.
///
/// # Errors
/// Those of the file system.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates a folder and those above it, for their owner only. Existing folders are left as they are.
///
/// # Errors
/// Those of the file system.
pub fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The folder of a file.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replaces_whole_files_with_their_mode_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path, b"three", 0o600).is_err());
        assert!(replace(&path.join("below-a-file"), b"", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove_if_exists(&path).unwrap();
        remove_if_exists(&path).unwrap();
        assert!(!path.exists());
    }
}
