//! The handler of a call, and the state that it works on.

use super::error::Error;
use crate::{
    api::{self, call::AdminCall},
    ca::CaCertificates,
    clock::Clock,
    entropy::Entropy,
    est::Endpoint,
    ra::{Authenticator, ClientCertificate, RecentRequests},
    store::Store,
    types::{Actor, Label, Time},
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
    explainer: Result<Arc<dyn Explainer>, String>,
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
        let explainer = Err("the rules are not loaded".to_owned());
        Self { store, cas, realm, clock, entropy, process: None, explainer }
    }

    /// Adds the serving process, so that calls about it are answered.
    #[must_use]
    pub fn of_process(self, process: Arc<dyn Process>) -> Self {
        Self { process: Some(process), ..self }
    }

    /// Adds the rules in force, so that requests are explained, or the reason why they cannot be loaded.
    #[must_use]
    pub fn explaining(self, explainer: Result<Arc<dyn Explainer>, String>) -> Self {
        Self { explainer, ..self }
    }

    /// Returns the rules in force.
    ///
    /// # Errors
    /// [`Error::Failed`] if they cannot be loaded.
    pub(super) fn explainer(&self) -> Result<&dyn Explainer, Error> {
        let failed = |error: &String| Error::Failed {
            error: error.clone(),
            remedy: "run estd check-config, and correct what it names".to_owned(),
        };
        self.explainer.as_deref().map_err(failed)
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

/// The rules in force, for explanations.
#[async_trait]
pub trait Explainer: Send + Sync + 'static {
    /// Returns the operations and the policy of a label; none if it does not exist.
    fn endpoint(&self, label: Option<&Label>) -> Option<Arc<Endpoint>>;

    /// Returns the authenticator of the clients.
    fn authenticator(&self) -> &Authenticator;

    /// Validates a chain, the client's own certificate first, by the anchors in force, as if it were
    /// presented at this time. None without certificates.
    async fn judge(&self, certificates: &[Vec<u8>], at: Time) -> Option<Arc<ClientCertificate>>;

    /// Returns the requests that were answered last; none if this process answers no requests.
    fn recent(&self) -> Option<&RecentRequests>;
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
