//! What an operator may ask for. The Unix socket and the commands that work without a running
//! server come through here, so that both do the same.

mod audit;
mod calls;
mod certificates;
pub mod check;
mod contents;
mod pattern;
mod process;
mod revoke;
mod select;
mod users;

pub use calls::Handle;
pub use process::Process;
pub use users::new_password;

use crate::{
    api,
    ca::CaCertificates,
    clock::Clock,
    entropy::Entropy,
    pki::Certificate,
    store::{self, Store},
    types::{Label, Serial, escaped},
};
use std::sync::Arc;

/// Why an operator did not get what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The question makes no sense.
    #[error("{seen}: {error}")]
    Invalid {
        /// What was given.
        seen: String,
        /// What is wrong with it.
        error: String,
    },
    /// There is no such thing.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Several things begin so.
    #[error("several serial numbers begin with {prefix}: {candidates}")]
    Ambiguous {
        /// The beginning that was given.
        prefix: String,
        /// Serial numbers with their subjects.
        candidates: String,
    },
    /// There is one already.
    #[error("{0} exists already")]
    Exists(String),
    /// The store.
    #[error(transparent)]
    Store(store::Error),
    /// The server tried, and did not succeed.
    #[error("{error}")]
    Failed {
        /// What went wrong.
        error: String,
        /// What to do.
        remedy: String,
    },
    /// A error of this program or of the system's randomness.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Invalid { .. } => "correct the value and try again",
            Self::Ambiguous { .. } => "give more digits",
            Self::NotFound(_) => "list what exists, with estd cert list or estd user list",
            Self::Exists(_) => "choose another name, or remove that one first",
            Self::Store(_) => "see the server's log",
            Self::Failed { remedy, .. } => remedy,
            Self::Internal(_) => "report it",
        }
        .to_owned()
    }

    /// The answer to the call that failed so.
    #[must_use]
    pub fn refusal(&self) -> api::Refusal {
        use api::RefusalKind;
        let kind = match self {
            Self::Invalid { .. } => RefusalKind::Invalid,
            Self::NotFound(_) => RefusalKind::NotFound,
            Self::Ambiguous { .. } => RefusalKind::Ambiguous,
            Self::Exists(_) => RefusalKind::Exists,
            Self::Store(_) => RefusalKind::Unavailable,
            Self::Failed { .. } | Self::Internal(_) => RefusalKind::Failed,
        };
        api::Refusal { error: self.to_string(), remedy: self.remedy(), kind }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchAccount(name) => {
                Self::NotFound(format!("user \"{}\"", escaped(name).quote()))
            }
            store::Error::AccountExists(name) => {
                Self::Exists(format!("user \"{}\"", escaped(name).quote()))
            }
            other => Self::Store(other),
        }
    }
}

/// Answers operators.
pub struct Admin {
    store: Arc<dyn Store>,
    cas: Vec<CaCertificates>,
    realm: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    process: Option<Arc<dyn Process>>,
}

impl Admin {
    /// Answers from this store and about these CAs. Accounts of Digest are made for `realm`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        cas: Vec<CaCertificates>,
        realm: String,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, cas, realm, clock, entropy, process: None }
    }

    /// Answers about this process, too.
    #[must_use]
    pub fn of_process(self, process: Arc<dyn Process>) -> Self {
        Self { process: Some(process), ..self }
    }

    /// Shows the CAs.
    #[must_use]
    pub fn cas(&self) -> api::Cas {
        let certificate = |one: &Certificate| api::CaCertificate {
            subject: one.subject().to_string(),
            sha256: one.fingerprint().to_string(),
            serial: one.serial().to_string(),
            not_after: one.not_after().to_string(),
            pem: one.to_pem(),
        };
        let entry = |ca: &CaCertificates| api::CaEntry {
            name: ca.name.to_string(),
            root: certificate(&ca.root),
            issuing: certificate(&ca.issuing),
        };
        api::Cas { cas: self.cas.iter().map(entry).collect() }
    }
}

fn serial(text: &str) -> Result<Serial, Error> {
    text.parse().map_err(|error| invalid(text, error))
}

fn parse_label(text: &str) -> Result<Label, Error> {
    text.parse().map_err(|error| invalid(text, error))
}

fn invalid(seen: impl ToString, error: impl ToString) -> Error {
    Error::Invalid { seen: seen.to_string(), error: error.to_string() }
}
