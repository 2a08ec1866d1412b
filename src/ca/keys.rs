//! Private keys on disk: mode 0600, PKCS#8, encrypted if there is a passphrase.

use super::Error;
use crate::{durable, pki::PrivateKey, types::file_remedy};
use std::{fs::File, io::ErrorKind, os::unix::fs::MetadataExt, path::Path};
use zeroize::Zeroizing;

/// A file that holds a private key.
#[derive(Debug, Clone, Copy)]
pub struct KeyFile<'a> {
    /// Where.
    pub path: &'a Path,
    /// The passphrase that encrypts it; none: it is clear.
    pub passphrase: Option<&'a str>,
}

impl KeyFile<'_> {
    /// Reads the key.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, is open to others, or is no key that this
    /// passphrase opens.
    pub fn read(&self) -> Result<PrivateKey, Error> {
        let error = |error: String, remedy: &str| Error::File {
            path: self.path.to_owned(),
            error,
            remedy: remedy.to_owned(),
        };
        let open = || -> std::io::Result<(u32, Zeroizing<Vec<u8>>)> {
            let mut file = File::open(self.path)?;
            let mode = file.metadata()?.mode();
            let mut bytes = Zeroizing::new(Vec::new());
            std::io::Read::read_to_end(&mut file, &mut bytes)?;
            Ok((mode, bytes))
        };
        let (mode, bytes) =
            open().map_err(|cause| error(cause.to_string(), read_remedy(&cause)))?;
        if mode & 0o077 != 0 {
            return Err(error(
                format!(
                    "others than its owner may read this private key (mode {:03o})",
                    mode & 0o777
                ),
                "chmod 600 it, and ask who has read it",
            ));
        }
        PrivateKey::from_pem(&bytes, self.passphrase).map_err(|cause| {
            let is_encrypted = bytes.windows(9).any(|word| word == b"ENCRYPTED");
            let remedy = if is_encrypted {
                "give the passphrase that it was encrypted with in [keys], or restore it from your backup"
            } else {
                "restore it from your backup"
            };
            error(cause.to_string(), remedy)
        })
    }

    /// Writes the key to a file that does not exist yet, durably.
    ///
    /// # Errors
    /// [`Error::File`] if it exists or cannot be written.
    pub fn create(&self, key: &PrivateKey) -> Result<(), Error> {
        let pem = key.to_pem(self.passphrase).map_err(|cause| Error::File {
            path: self.path.to_owned(),
            error: cause.to_string(),
            remedy: "this is an error of the program: report it".to_owned(),
        })?;
        write_private(self.path, pem.as_bytes())
    }
}

/// Writes a file that does not exist yet, mode 0600, durably.
///
/// # Errors
/// [`Error::File`] if it exists or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    durable::create(path, bytes, 0o600).map_err(|cause| Error::File {
        path: path.to_owned(),
        error: cause.to_string(),
        remedy: match cause.kind() {
            ErrorKind::AlreadyExists => "move it away: a private key is never overwritten",
            _ => file_remedy(&cause),
        }
        .to_owned(),
    })
}

/// Returns the remedy for a key file that cannot be read. A missing one is not recreated.
fn read_remedy(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::NotFound => "restore it from your backup",
        _ => file_remedy(cause),
    }
}
