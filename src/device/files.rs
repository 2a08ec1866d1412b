//! Files that are whole or absent: a device may lose power at any time.
//!
//! # How key and certificate change together
//!
//! Two files cannot be renamed in one step, so their replacement goes through `NAME.new` files
//! beside them, and every command begins with [`KeyFiles::recover`]:
//!
//! 1. `key.pem.new` is durable before the request is sent. If the answer is lost, the next run
//!    finds it and asks again for the same key, so that the server returns its first answer.
//! 2. `cert.pem.new` is durable when the answer has arrived. From here on the new pair is complete,
//!    and the change will happen.
//! 3. `key.pem.new` becomes `key.pem`, then `cert.pem.new` becomes `cert.pem`.
//!
//! A crash before step 3 leaves the old pair in use. A crash between the two renames leaves the new
//! key beside the old certificate, with the matching certificate in `cert.pem.new`. In each case the
//! next run of `est` finishes the change without a request to the server.

use crate::{
    durable,
    pki::{CertificateFields, PrivateKey, pem},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The most that is read from a file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", path.display())]
pub(super) struct FileError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(super) fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// The remedy for the person at the device.
    pub(super) fn remedy(&self) -> &'static str {
        use io::ErrorKind::{
            IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
            StorageFull,
        };
        match self.source.kind() {
            NotFound => "name a file that exists",
            PermissionDenied => {
                "run est as the owner of the file and its folder, or correct their permissions"
            }
            StorageFull => "make room on the disk, then run the command again",
            ReadOnlyFilesystem => {
                "choose a folder on a file system that can be written, with --out"
            }
            IsADirectory | NotADirectory => "name a file; a folder is in its place, or on its way",
            _ => "check the file, its folder and the disk",
        }
    }
}

fn file_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError { verb, path: path.to_owned(), source }
}

/// Reads a file of at most 1 MiB.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(file_error("read", path))?;
    Ok(bytes)
}

/// Reads a file that may be absent.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file in one step, durably. Creates its folder if need be.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    create_folder_of(path)?;
    durable::replace(path, bytes, mode).map_err(file_error("write", path))
}

/// Opens the lock file of a folder, which is created if need be.
pub(super) fn open_lock(path: &Path) -> Result<File, FileError> {
    create_folder_of(path)?;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(file_error("open", path))
}

/// Removes a file that may be absent, durably.
pub(super) fn remove_file(path: &Path) -> Result<(), FileError> {
    durable::remove_if_exists(path).map_err(file_error("remove", path))
}

fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    durable::rename(from, to).map_err(file_error("replace", to))
}

/// Creates the folder of a file, such as that of `--out`, for its owner only: it will hold a
/// private key.
fn create_folder_of(path: &Path) -> Result<(), FileError> {
    durable::create_folder(durable::folder(path)).map_err(file_error("create the folder of", path))
}

/// `path` with `.new` after it.
fn new_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The result of [`KeyFiles::recover`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovered {
    /// No change was in progress, or none with its certificate.
    Nothing,
    /// A change that was interrupted is now finished: the pair is the new one.
    Finished,
}

/// The files of a key and its certificate.
#[derive(Debug, Clone)]
pub(super) struct KeyFiles {
    pub(super) key: PathBuf,
    pub(super) certificate: PathBuf,
}

impl KeyFiles {
    /// Where the key waits for its certificate.
    pub(super) fn new_key(&self) -> PathBuf {
        new_name(&self.key)
    }

    fn new_certificate(&self) -> PathBuf {
        new_name(&self.certificate)
    }

    /// Finishes a change that was interrupted after its certificate had arrived.
    pub(super) fn recover(&self, passphrase: Option<&str>) -> Result<Recovered, FileError> {
        let Some(certificate) = read_if_there(&self.new_certificate())? else {
            return Ok(Recovered::Nothing);
        };
        let fits = |key: Option<Vec<u8>>| {
            key.is_some_and(|key| certificate_fits(&certificate, &key, passphrase))
        };
        if fits(read_if_there(&self.new_key())?) {
            rename(&self.new_key(), &self.key)?;
        } else if !fits(read_if_there(&self.key)?) {
            // Useless without its key. Kept aside rather than deleted.
            let mut aside = self.new_certificate().into_os_string();
            aside.push(".stray");
            rename(&self.new_certificate(), Path::new(&aside))?;
            return Ok(Recovered::Nothing);
        }
        rename(&self.new_certificate(), &self.certificate)?;
        Ok(Recovered::Finished)
    }

    /// Installs a certificate with its key, which is stored in [`KeyFiles::new_key`].
    pub(super) fn replace_both(
        &self,
        certificate_pem: &[u8],
        passphrase: Option<&str>,
    ) -> Result<(), FileError> {
        write(&self.new_certificate(), certificate_pem, 0o644)?;
        self.recover(passphrase).map(|_| ())
    }

    /// Installs a certificate for the existing key.
    pub(super) fn replace_certificate(&self, certificate_pem: &[u8]) -> Result<(), FileError> {
        write(&self.certificate, certificate_pem, 0o644)
    }
}

/// Whether a certificate (PEM) is for a key (PEM).
fn certificate_fits(certificate: &[u8], key: &[u8], passphrase: Option<&str>) -> bool {
    let Ok(certificates) = pem::decode_certificates(certificate) else { return false };
    let Some(fields) = certificates.first().and_then(|first| CertificateFields::parse(first).ok())
    else {
        return false;
    };
    PrivateKey::from_pem(key, passphrase)
        .and_then(|key| key.public_key_spki_der())
        .is_ok_and(|spki| spki == fields.public_key_spki)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::KeyKind;
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    /// A key and a self-signed certificate for it, as PEM.
    fn pair_of_pem(folder: &Path) -> (Vec<u8>, Vec<u8>) {
        let key = PrivateKey::generate(KeyKind::P256).unwrap().to_pem(None).unwrap();
        let path = folder.join("any.key");
        fs::write(&path, key.as_bytes()).unwrap();
        let output = Command::new("openssl")
            .args(["req", "-x509", "-subj", "/CN=x", "-key"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success());
        fs::remove_file(path).unwrap();
        (key.as_bytes().to_vec(), output.stdout)
    }

    fn pair(folder: &Path) -> KeyFiles {
        KeyFiles { key: folder.join("key.pem"), certificate: folder.join("cert.pem") }
    }

    #[test]
    fn creates_a_missing_folder_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        let key = new.join("key.pem");
        write(&key, b"x", 0o600).unwrap();
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(write(&key.join("below-a-file"), b"", 0o600).is_err());
        assert_eq!(fs::read(&key).unwrap(), b"x");
    }

    /// Stops the change after each of its steps; the next start must leave a pair that fits.
    #[test]
    fn a_crash_at_any_step_leaves_a_usable_pair() {
        for steps in 0..=4 {
            let folder = tempfile::tempdir().unwrap();
            let (old_key, old_certificate) = pair_of_pem(folder.path());
            let (new_key, new_certificate) = pair_of_pem(folder.path());
            let pair = pair(folder.path());
            write(&pair.key, &old_key, 0o600).unwrap();
            write(&pair.certificate, &old_certificate, 0o644).unwrap();
            let change: [&dyn Fn(); 4] = [
                &|| write(&pair.new_key(), &new_key, 0o600).unwrap(),
                &|| write(&pair.new_certificate(), &new_certificate, 0o644).unwrap(),
                &|| rename(&pair.new_key(), &pair.key).unwrap(),
                &|| rename(&pair.new_certificate(), &pair.certificate).unwrap(),
            ];
            change.iter().take(steps).for_each(|step| step());
            let recovered = pair.recover(None).unwrap();
            assert_eq!(recovered == Recovered::Finished, matches!(steps, 2 | 3), "{steps}");
            let (key, certificate) = (read(&pair.key).unwrap(), read(&pair.certificate).unwrap());
            assert!(certificate_fits(&certificate, &key, None), "{steps}");
            assert_eq!(key == new_key, steps >= 2, "{steps}");
            assert_eq!(read_if_there(&pair.new_key()).unwrap().is_some(), steps == 1, "{steps}");
            assert_eq!(pair.recover(None).unwrap(), Recovered::Nothing, "once is enough");
        }
    }

    #[test]
    fn a_stray_certificate_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = pair_of_pem(folder.path());
        let (_, stray) = pair_of_pem(folder.path());
        let pair = pair(folder.path());
        write(&pair.key, &key, 0o600).unwrap();
        write(&pair.certificate, &certificate, 0o644).unwrap();
        write(&pair.new_certificate(), &stray, 0o644).unwrap();
        assert_eq!(pair.recover(None).unwrap(), Recovered::Nothing);
        assert_eq!(read(&pair.certificate).unwrap(), certificate);
    }
}
