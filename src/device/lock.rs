//! One run of `est` at a time in a folder: a timer and a person may start it at once.

use super::{DeviceFailure, files};
use std::{
    fs::{File, TryLockError},
    path::Path,
};

/// Holds the folder until it is dropped. The system releases it if the process dies.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone leaves the lock to a child process that was forked meanwhile.
        let _ = self.0.unlock();
    }
}

impl Lock {
    /// Locks a folder, which is created if need be, by the file `.est.lock` in it.
    ///
    /// # Errors
    /// Exit code 75 if another run holds it.
    pub(super) fn acquire(folder: &Path) -> Result<Self, DeviceFailure> {
        let path = folder.join(".est.lock");
        let file = files::open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(DeviceFailure::later(
                "locked",
                format_args!("another run of est is at work in {}", folder.display()),
                "wait for its end, then run the command again",
            )),
            Err(TryLockError::Error(cause)) => Err(DeviceFailure::file(
                &path,
                format_args!("cannot be locked: {cause}"),
                "choose a folder on a file system with locks, with --out",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_turned_away_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        let first = Lock::acquire(&folder).unwrap();
        let second = Lock::acquire(&folder).unwrap_err();
        assert_eq!(second.exit, 75);
        assert!(second.what.contains("made"), "{}", second.what);
        drop(first);
        Lock::acquire(&folder).unwrap();
    }
}
