//! The handler of a call, and the state that it works on.

use super::error::Error;
use crate::{
    api::{self, call::AdminCall},
    ca::CaCertificates,
    clock::Clock,
    entropy::Entropy,
    store::Store,
    types::Actor,
};
use async_trait::async_trait;
use std::sync::Arc;

/// State of the operator's calls: the store, the CAs, and the process if one serves.
pub struct Admin {
    pub(super) store: Arc<dyn Store>,
    pub(super) cas: Vec<CaCertificates>,
    pub(super) realm: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) process: Option<Arc<dyn Process>>,
}

impl Admin {
    /// Creates it for this store and these CAs. Secrets of HTTP Digest are computed for `realm`.
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

    /// Adds the serving process, so that calls about it are answered.
    #[must_use]
    pub fn of_process(self, process: Arc<dyn Process>) -> Self {
        Self { process: Some(process), ..self }
    }

    /// Returns the process that serves.
    ///
    /// # Errors
    /// [`Error::Failed`] if none does.
    pub(super) fn process(&self) -> Result<&dyn Process, Error> {
        self.process.as_deref().ok_or_else(|| Error::Failed {
            error: "got no running estd; expected: one, for this call".to_owned(),
            remedy: "start estd serve".to_owned(),
        })
    }
}

/// The serving process, for the operator's calls.
#[async_trait]
pub trait Process: Send + Sync + 'static {
    /// Describes the state of the server.
    ///
    /// # Errors
    /// [`Error::Internal`]. A store that does not answer is part of the answer.
    async fn status(&self) -> Result<api::Status, Error>;

    /// Reloads the configuration. Errors, with which it is not put in force, are part of the answer.
    async fn reload(&self, actor: &Actor) -> api::Reloaded;

    /// Renews the server's own certificate now.
    ///
    /// # Errors
    /// [`Error::Failed`]; the old certificate stays in use.
    async fn renew_server_certificate(
        &self,
        actor: &Actor,
    ) -> Result<api::ServerCertificate, Error>;
}

/// A call that this server answers.
pub trait Handle: AdminCall {
    /// Executes the call on behalf of `actor`.
    ///
    /// # Errors
    /// [`Error`]: each variant that the call's values and the store can cause.
    fn handle(
        self,
        admin: &Admin,
        actor: &Actor,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}
