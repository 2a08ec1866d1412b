//! Handlers of the operator's calls: the socket and the commands that work without a running server
//! answer through the same ones.

use super::{Admin, Error};
use crate::{
    api::{self, call::Call},
    types::Actor,
};
use async_trait::async_trait;

/// A call that this server answers.
#[async_trait]
pub trait Handle: Call {
    /// Does what the call asks for, on behalf of `actor`.
    ///
    /// # Errors
    /// [`Error`], for each call as the method of [`Admin`] says.
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error>;
}

#[async_trait]
impl Handle for api::CertificateQuery {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        admin.certificates(&self).await
    }
}

#[async_trait]
impl Handle for api::ShowCertificate {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        admin.certificate(&self.serial).await
    }
}

#[async_trait]
impl Handle for api::ListRenewed {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        admin.renewed(&self).await
    }
}

#[async_trait]
impl Handle for api::Revoke {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        admin.revoke(self, actor).await
    }
}

#[async_trait]
impl Handle for api::ShowCas {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        Ok(admin.cas())
    }
}

#[async_trait]
impl Handle for api::ListUsers {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        admin.users().await
    }
}

#[async_trait]
impl Handle for api::NewUser {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        admin.add_user(self, actor.clone()).await
    }
}

#[async_trait]
impl Handle for api::RemoveUser {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        admin.remove_user(&self.name, actor.clone()).await
    }
}
