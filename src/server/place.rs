//! Checks the files and folders that a start needs, without creating or changing any. `estd check-config`
//! reports all errors, a start those at which it stops.

use super::{Error, identity::OwnIdentity};
use crate::{
    ca::Hierarchy,
    config::{self, SettingError, SettingErrors, Settings},
};
use rustix::fs::Access;
use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Checks the data folder and the place of the audit file, which a start needs first.
///
/// # Errors
/// Everything that a start stops at.
pub fn check_place(settings: &Settings) -> Result<(), SettingErrors> {
    all(settings, data(settings).into_iter().chain(audit(settings)))
}

/// Checks everything on disk that a start needs: as [`check_place`], and the folders, keys and
/// certificates that an earlier start has created.
///
/// # Errors
/// Everything that a start stops at.
pub fn check_disk(settings: &Settings) -> Result<(), SettingErrors> {
    match data(settings) {
        // The content of an unusable folder cannot be checked.
        Some(error) => all(settings, [error].into_iter().chain(audit(settings))),
        None => all(settings, audit(settings).into_iter().chain(created(settings))),
    }
}

/// An error, and the section and key that it belongs to.
type Found = (String, Error);

fn all(settings: &Settings, found: impl Iterator<Item = Found>) -> Result<(), SettingErrors> {
    let error = |(key, error): Found| SettingError {
        code: "E-CONFIG-DISK",
        file: settings.file.clone(),
        key,
        value: String::new(),
        text: error.to_string(),
        remedy: error.remedy(),
    };
    let errors: Vec<_> = found.map(error).collect();
    if errors.is_empty() { Ok(()) } else { Err(SettingErrors(errors)) }
}

fn data(settings: &Settings) -> Option<Found> {
    check_private(&settings.boot.data).err().map(|error| ("data".to_owned(), error))
}

fn audit(settings: &Settings) -> Option<Found> {
    let file = &settings.boot.audit.file;
    check_appendable(file, &settings.boot.data)
        .err()
        .map(|error| ("[audit] file".to_owned(), error))
}

/// Checks the files of an earlier start. The next start creates missing ones.
fn created(settings: &Settings) -> Vec<Found> {
    let mut found = Vec::new();
    let mut note = |key: String, result: Result<(), Error>| {
        found.extend(result.err().map(|error| (key, error)));
    };
    let sled = matches!(settings.boot.store, config::StoreSettings::Sled { .. });
    for part in ["ca", "server", "store"].iter().filter(|part| sled || **part != "store") {
        note("data".to_owned(), check_private(&settings.boot.data.join(part)));
    }
    let passphrase = settings.boot.keys.passphrase.as_ref().map(|passphrase| passphrase.as_str());
    for name in settings.boot.cas.keys() {
        let home = settings.boot.data.join("ca").join(name.as_str());
        let opened = match home.try_exists() {
            Ok(true) => Hierarchy::open(&home, passphrase).map(|_| ()).map_err(Error::from),
            Ok(false) => Ok(()),
            Err(cause) => Err(Error::File { path: home, cause }),
        };
        note(format!("[ca.{name}]"), opened);
    }
    let own = OwnIdentity::read(&settings.boot.data.join("server"), &settings.boot.keys);
    note("[server.certificate]".to_owned(), own.map(|_| ()));
    found
}

/// Checks that a folder belongs to this user and is closed to all others. If it is missing, checks
/// that it can be created.
///
/// # Errors
/// [`Error::Unfit`], [`Error::File`].
pub(super) fn check_private(path: &Path) -> Result<(), Error> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return check_above(path),
        Err(cause) => return Err(Error::File { path: path.to_owned(), cause }),
    };
    let unfit =
        |error: String, remedy: String| Err(Error::Unfit { path: path.to_owned(), error, remedy });
    if !found.is_dir() {
        return unfit(
            "this is a file, and a folder is needed".to_owned(),
            "move the file away, or name another folder as data".to_owned(),
        );
    }
    check_owner(path, found.uid(), rustix::process::geteuid().as_raw())?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return unfit(
            format!("others than its owner may enter this folder (mode {mode:03o})"),
            format!("chmod 700 {}", path.display()),
        );
    }
    access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
}

/// A folder of another user: its owner could not read files that root creates in it.
fn check_owner(path: &Path, owner: u32, user: u32) -> Result<(), Error> {
    if owner == user {
        return Ok(());
    }
    Err(Error::Unfit {
        path: path.to_owned(),
        error: format!("this folder belongs to user {owner}, and this is run by user {user}"),
        remedy: format!(
            "run this as user {owner}, or, if estd is to run as user {user}: chown -R {user} {}",
            path.display()
        ),
    })
}

/// Checks that missing folders can be created in the nearest existing one.
fn check_above(path: &Path) -> Result<(), Error> {
    let failed = |cause| Error::File { path: path.to_owned(), cause };
    let whole = std::path::absolute(path).map_err(failed)?;
    let Some(above) = whole.ancestors().skip(1).find(|folder| folder.exists()) else {
        return Ok(());
    };
    if !above.is_dir() {
        return Err(Error::File {
            path: above.to_owned(),
            cause: io::Error::from(ErrorKind::NotADirectory),
        });
    }
    access(above, Access::WRITE_OK | Access::EXEC_OK)
}

/// Checks that lines can be appended to a file, or the file created. A start creates the data
/// folder.
fn check_appendable(file: &Path, data: &Path) -> Result<(), Error> {
    let failed = |cause| Error::File { path: file.to_owned(), cause };
    match fs::metadata(file) {
        Ok(found) if found.is_dir() => {
            return Err(failed(io::Error::from(ErrorKind::IsADirectory)));
        }
        Ok(_) => return access(file, Access::WRITE_OK),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(cause) => return Err(failed(cause)),
    }
    let absolute = |path: &Path| std::path::absolute(path).map_err(failed);
    let folder = absolute(file)?.parent().map_or_else(PathBuf::new, Path::to_owned);
    if folder.exists() {
        access(&folder, Access::WRITE_OK | Access::EXEC_OK)
    } else if folder == absolute(data)? {
        Ok(())
    } else {
        Err(Error::Unfit {
            path: file.to_owned(),
            error: "the folder of the audit file does not exist".to_owned(),
            remedy: format!(
                "mkdir {}, as the user that estd runs as, or name another file in [audit]",
                folder.display()
            ),
        })
    }
}

fn access(path: &Path, wanted: Access) -> Result<(), Error> {
    rustix::fs::access(path, wanted)
        .map_err(|cause| Error::File { path: path.to_owned(), cause: cause.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First-user finding 27: a start as the wrong user blamed the audit file.
    #[test]
    fn a_folder_of_another_user_names_both_users() {
        let path = Path::new("/var/lib/estd");
        assert!(check_owner(path, 990, 990).is_ok());
        let error = check_owner(path, 990, 1000).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.remedy().as_str()),
            (
                "/var/lib/estd: this folder belongs to user 990, and this is run by user 1000",
                "run this as user 990, or, if estd is to run as user 1000: chown -R 1000 /var/lib/estd"
            )
        );
    }

    #[test]
    fn a_check_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("est.toml");
        let settings = config::parse("version = 1", &file, &|_| None).unwrap();
        check_place(&settings).unwrap();
        check_disk(&settings).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
