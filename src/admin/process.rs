//! Calls that only the process that serves can answer.

use super::{
    error::Error,
    service::{Admin, Handle},
};
use crate::{api, types::Actor};

impl Handle for api::ShowStatus {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        admin.process()?.status().await
    }
}

impl Handle for api::Reload {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        Ok(admin.process()?.reload(actor).await)
    }
}

impl Handle for api::RenewServerCertificate {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        admin.process()?.renew_server_certificate(actor).await
    }
}
