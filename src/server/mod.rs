//! The running server: folders and keys at the start, listeners, TLS, reload, the end.

mod connections;
mod descriptors;
mod first_account;
mod handshakes;
mod health;
mod hello;
mod identity;
mod listener;
mod place;
mod process;
mod running;
pub mod setup;
mod socket;
mod sweep;
mod throttle;
mod tls;
mod trust;
mod validation;

pub use first_account::FirstAccount;
pub use health::{Repeat, Warning};
pub use place::{check_disk, check_place};
pub use running::{Environment, Running, start};
pub use setup::{Backend, BackendKind, Installation, private_folder};
pub use sweep::Swept;
pub use validation::Validations;

use crate::types::{CaName, file_remedy};
use std::path::PathBuf;

/// Why the server does not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A CA, a key or the data folder.
    #[error(transparent)]
    Ca(#[from] crate::ca::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// PostgreSQL, at a start or for a command.
    #[error(transparent)]
    Database(crate::store::Error),
    /// The store in the data folder, at a start or for a command.
    #[error(transparent)]
    Folder(crate::store::Error),
    /// A file or folder.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file or folder that is there, and not as it has to be.
    #[error("{}: {error}", path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
        /// What to do.
        remedy: String,
    },
    /// An address to listen on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// TLS cannot be set up with these keys and certificates.
    #[error("TLS: {0}")]
    Tls(String),
    /// The configuration names something that is not there.
    #[error("the configuration names {0}, which does not exist")]
    Missing(String),
    /// A label of a reloaded configuration names a CA that was not made or read at the start.
    #[error("CA {0} is new: it is made or read at a start, not at a reload")]
    NewCa(CaName),
    /// The configuration names another kind of store than a command asks for.
    #[error("{0}")]
    OtherStore(String),
    /// A error of this program.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// Whether the store is away: it has told that itself, and what failed is tried again.
    #[must_use]
    pub const fn is_store_away(&self) -> bool {
        use crate::{ca::Error as Ca, store::Error as Store};
        matches!(
            self,
            Self::Store(Store::Unavailable(_))
                | Self::Database(Store::Unavailable(_))
                | Self::Folder(Store::Unavailable(_))
                | Self::Ca(Ca::Store(Store::Unavailable(_)))
        )
    }

    /// Names the kind of store that is away, for a remedy that fits it.
    pub(crate) fn in_store(self, kind: BackendKind) -> Self {
        use crate::{ca::Error as Ca, store::Error as Store};
        match self {
            Self::Store(error @ Store::Unavailable(_))
            | Self::Ca(Ca::Store(error @ Store::Unavailable(_))) => match kind {
                BackendKind::Sled => Self::Folder(error),
                BackendKind::Postgres => Self::Database(error),
            },
            other => other,
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        use crate::{ca::Error as Ca, store::Error as Store};
        match self {
            Self::Store(Store::Unavailable(_)) | Self::Ca(Ca::Store(Store::Unavailable(_))) => {
                "see what the text above and the log say about the store, mend that, then try again"
                    .to_owned()
            }
            Self::Database(_) => {
                "see that PostgreSQL runs and can be reached from here, and that connection, \
                 password and tls_ca in [store] are right; then try again"
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
                "check the machine's clock; if it is right, this CA has come to its end: add a [ca.NAME] with \
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
            Self::OtherStore(_) => "set [store] to the store that is meant".to_owned(),
            Self::Tls(_) | Self::Ca(_) | Self::Internal(_) => {
                "report it with the text above".to_owned()
            }
        }
    }
}
