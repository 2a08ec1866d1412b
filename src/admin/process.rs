//! Calls that only the process that serves can answer.

use super::{Admin, Error, Handle};
use crate::{api, types::Actor};
use async_trait::async_trait;

/// The process that serves, as an operator sees it.
#[async_trait]
pub trait Process: Send + Sync + 'static {
    /// Describes the state of the server.
    ///
    /// # Errors
    /// [`Error::Internal`]. A store that does not answer is part of the answer.
    async fn status(&self) -> Result<api::Status, Error>;

    /// Reads the configuration again and puts it in force unless it has errors, which are part of
    /// the answer.
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

impl Admin {
    fn process(&self) -> Result<&dyn Process, Error> {
        self.process.as_deref().ok_or_else(|| Error::Failed {
            error: "only a running estd answers this".to_owned(),
            remedy: "start estd serve".to_owned(),
        })
    }
}

#[async_trait]
impl Handle for api::ShowStatus {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        admin.process()?.status().await
    }
}

#[async_trait]
impl Handle for api::Reload {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        Ok(admin.process()?.reload(actor).await)
    }
}

#[async_trait]
impl Handle for api::RenewServerCertificate {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        admin.process()?.renew_server_certificate(actor).await
    }
}
