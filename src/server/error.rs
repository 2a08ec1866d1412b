//! The server's errors, and the operator's remedy for each.

use crate::{
    store,
    types::{CaName, file_remedy},
};
use std::path::PathBuf;

/// An error of the server: it does not start, or a step of its work fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A CA, a key or the data folder.
    #[error(transparent)]
    Ca(#[from] crate::ca::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// PostgreSQL, at a start or for a command.
    #[error(transparent)]
    Database(store::Error),
    /// The store in the data folder, at a start or for a command.
    #[error(transparent)]
    Folder(store::Error),
    /// A file or folder.
    #[error("{}: {cause}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// A file or folder that is not as a start needs it.
    #[error("{}: {error}", path.display())]
    Unfit {
        /// Its path.
        path: PathBuf,
        /// The error.
        error: String,
        /// The remedy.
        remedy: String,
    },
    /// An address to listen on cannot be used.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's error.
        cause: std::io::Error,
    },
    /// TLS cannot be set up with these keys and certificates.
    #[error("TLS: {0}")]
    Tls(String),
    /// The configuration names something that does not exist.
    #[error("the configuration names {0}, which does not exist")]
    Missing(String),
    /// A label of a reloaded configuration names a CA that the start did not read.
    #[error("CA {0} is new: a start creates or reads it, a reload does not")]
    NewCa(CaName),
    /// The configuration describes another kind of store than a command needs.
    #[error("{0}")]
    OtherStore(String),
    /// A defect of this program.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Returns whether the store is unavailable. The store has logged that; the caller tries again.
    #[must_use]
    pub const fn is_store_unavailable(&self) -> bool {
        use crate::{ca::Error as Ca, store::Error as Store};
        matches!(
            self,
            Self::Store(Store::Unavailable(_))
                | Self::Database(Store::Unavailable(_))
                | Self::Folder(Store::Unavailable(_))
                | Self::Ca(Ca::Store(Store::Unavailable(_)))
        )
    }

    /// Wraps an error of an unavailable store by `kind`, [`Error::Folder`] or [`Error::Database`], so that
    /// its remedy fits that kind of store.
    pub(super) fn in_store(self, kind: fn(store::Error) -> Self) -> Self {
        use crate::{ca::Error as Ca, store::Error as Store};
        match self {
            Self::Store(error @ Store::Unavailable(_))
            | Self::Ca(Ca::Store(error @ Store::Unavailable(_))) => kind(error),
            other => other,
        }
    }

    /// Returns the remedy for the operator.
    #[must_use]
    pub fn remedy(&self) -> String {
        use crate::{ca::Error as Ca, store::Error as Store};
        match self {
            Self::Store(Store::Unavailable(_)) | Self::Ca(Ca::Store(Store::Unavailable(_))) => {
                "correct the error of the store that is shown above and in the log, then try again"
                    .to_owned()
            }
            Self::Database(_) => {
                "check that PostgreSQL runs and is reachable from this machine; check connection, \
                 password and tls_ca in [store]; then try again"
                    .to_owned()
            }
            Self::Ca(Ca::File { remedy, .. }) | Self::Unfit { remedy, .. } => remedy.clone(),
            Self::File { cause, .. } => file_remedy(cause).to_owned(),
            Self::Store(Store::InUse(_)) => {
                "stop the other estd that uses this data folder, or give this one its own"
                    .to_owned()
            }
            Self::Store(Store::Corrupt(_)) => {
                "start the version of estd that wrote it, or restore the store from your backup"
                    .to_owned()
            }
            Self::Ca(Ca::NotValid { .. }) => {
                "check the machine's clock; if it is right, this CA has expired: add a [ca.NAME] with \
                 other subjects, and name it in [server.certificate] ca and in the labels; see \
                 docs/operator/ca.md"
                    .to_owned()
            }
            Self::Folder(_) => {
                "make data/store readable and writable for this user, with space left on the disk"
                    .to_owned()
            }
            Self::Store(_) => {
                "make it readable and writable for this user, with space left on the disk"
                    .to_owned()
            }
            Self::Listen { .. } => {
                "choose another address in [server] listen, or stop what listens there".to_owned()
            }
            Self::Missing(_) => "add it, or name another".to_owned(),
            Self::NewCa(_) => "restart the server".to_owned(),
            Self::OtherStore(_) => "describe that store in [store]".to_owned(),
            Self::Tls(_) | Self::Ca(_) | Self::Internal(_) => {
                "report this error with the text above".to_owned()
            }
        }
    }
}
