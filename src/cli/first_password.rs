//! The password of the first account: shown on a terminal, or stored in a file for its owner.
//!
//! Standard output that is no terminal is often a journal, which is stored and has other readers.

use super::failure::Failure;
use crate::{
    durable,
    server::{self, FirstAccount, Running},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The file's name in the data folder.
const NAME: &str = "first-password";

/// The first account's password, as known at a start.
pub(super) enum FirstPassword {
    /// This start generated it and shows it on a terminal.
    Shown(Zeroizing<String>),
    /// This file has it.
    InFile(PathBuf),
    /// The account exists; its password was shown or chosen when it was added.
    ShownBefore,
    /// The account was removed, or never added.
    NoAccount,
}

impl FirstPassword {
    /// Stores the password of an account that this start generated, unless a terminal shows it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn keep(
        data: &Path,
        account: &FirstAccount,
        terminal: bool,
    ) -> Result<Self, Failure> {
        let path = data.join(NAME);
        let failed = |error: io::Error| {
            let remedy = "make the data folder writable, with room on its disk: the first account's password \
                          is stored there if standard output is no terminal";
            Failure::new(format!("{}: {error}", path.display()), remedy)
        };
        if terminal {
            // A killed start may have left the password of an account that it did not add.
            durable::remove_if_exists(&path).map_err(failed)?;
            return Ok(Self::Shown(account.password().clone()));
        }
        let line = Zeroizing::new(format!("{}\n", account.password().as_str()));
        durable::replace(&path, line.as_bytes(), 0o600).map_err(failed)?;
        Ok(Self::InFile(path))
    }

    /// Finds the password of an account that an earlier start generated. Removes a file whose password
    /// the account no longer has.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) async fn find(data: &Path, running: &Running) -> Result<Self, server::Error> {
        let path = data.join(NAME);
        let stored = fs::read_to_string(&path).ok().map(Zeroizing::new);
        if let Some(text) = stored {
            let password = Zeroizing::new(text.trim_end().to_owned());
            let (shown, found) = (path.display().to_string(), Self::InFile(path));
            if running.is_first_password(password).await? {
                return Ok(found);
            }
            found.discard();
            tracing::warn!(
                "removed {shown}: the account {} has another password",
                FirstAccount::NAME
            );
        }
        let exists = running.has_first_account().await?;
        Ok(if exists { Self::ShownBefore } else { Self::NoAccount })
    }

    /// Removes the file, if any: its password belongs to no account.
    pub(super) fn discard(&self) {
        if let Self::InFile(path) = self
            && let Err(error) = durable::remove_if_exists(path)
        {
            tracing::warn!(
                "{}: {error}; remedy: remove it: its password belongs to no account",
                path.display()
            );
        }
    }
}
