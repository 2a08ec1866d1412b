//! Remedies for errors of files.

use std::io::{Error, ErrorKind};

/// Returns the remedy for an error of a file or folder.
#[must_use]
pub fn file_remedy(cause: &Error) -> &'static str {
    match cause.kind() {
        ErrorKind::PermissionDenied => {
            "run this as the user that estd runs as, or make it readable and writable for this user"
        }
        ErrorKind::NotFound => "create it, restore it from your backup, or name another one",
        ErrorKind::NotADirectory => {
            "a part of this path is a file, not a folder: move that file away, or name another path"
        }
        ErrorKind::IsADirectory => {
            "a file is needed here: move the folder away, or name another path"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its file system",
        ErrorKind::ReadOnlyFilesystem => "mount its file system for writing, or name another path",
        _ => "make it readable and writable for this user, with space left on the disk",
    }
}
