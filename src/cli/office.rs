//! Where an operator's question goes: to the running server, or to the store itself.
//!
//! sled allows one process. While the server runs, it is asked through its socket; when it does
//! not, the store is opened here, and the same `admin` code answers.

use super::Failure;
use crate::{
    admin::Admin,
    api,
    client::operator::{self, ask},
    clock::{Clock, SystemClock},
    config::Settings,
    entropy::SystemEntropy,
    server::Installation,
    store::Store,
    telemetry::FileTrail,
    types::Actor,
};
use hyper::Method;
use std::{os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

/// Who answers.
pub(super) enum Office {
    Server(PathBuf),
    Here { admin: Admin, store: Arc<dyn Store>, trail: Arc<FileTrail>, actor: Actor },
}

impl Office {
    /// Finds out who answers.
    pub(super) async fn find(settings: &Settings) -> Result<Self, Failure> {
        let socket = settings.data.join("estd.sock");
        // A socket that is left over from a server that was killed takes no connection.
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            return Ok(Self::Server(socket));
        }
        let owner = std::fs::metadata(&settings.data).map_err(|cause| {
            Failure::new(
                format!("{}: {cause}", settings.data.display()),
                "start estd serve once: it makes the data folder; or name the right configuration with --config",
            )
        })?;
        let trail = FileTrail::open(&settings.audit.file, false).map_err(|cause| {
            Failure::new(
                format!("{}: {cause}", settings.audit.file.display()),
                "run this as the user that estd runs as",
            )
        })?;
        let trail = Arc::new(trail);
        let clock = SystemClock;
        let (store, cas) =
            Installation::open_for_operator(settings, Arc::clone(&trail) as _, clock.now()).await?;
        let admin = Admin::new(
            Arc::clone(&store),
            cas,
            settings.passwords.realm.clone(),
            Arc::new(clock),
            Arc::new(SystemEntropy::new()),
        );
        Ok(Self::Here { admin, store, trail, actor: Actor::operator(owner.uid()) })
    }

    pub(super) async fn certificates(
        &self,
        query: &api::CertificateQuery,
    ) -> Result<api::Certificates, Failure> {
        match self {
            Self::Here { admin, .. } => Ok(admin.certificates(query).await?),
            Self::Server(_) => {
                let query = serde_urlencoded::to_string(query)
                    .map_err(|fault| Failure::new(fault, "report it"))?;
                self.get(&format!("/v1/certificates?{query}")).await
            }
        }
    }

    pub(super) async fn certificate(&self, serial: &str) -> Result<api::CertificateEntry, Failure> {
        match self {
            Self::Here { admin, .. } => Ok(admin.certificate(serial).await?),
            Self::Server(_) => self.get(&format!("/v1/certificates/{}", encoded(serial))).await,
        }
    }

    pub(super) async fn revoke(
        &self,
        serial: &str,
        new: api::NewRevocation,
    ) -> Result<api::Revoked, Failure> {
        match self {
            Self::Here { admin, actor, .. } => {
                Ok(admin.revoke(serial, &new, actor.clone()).await?)
            }
            Self::Server(socket) => {
                let path = format!("/v1/certificates/{}/revocation", encoded(serial));
                ask(socket, Method::POST, &path, Some(&new)).await.map_err(failed)
            }
        }
    }

    pub(super) async fn cas(&self) -> Result<api::Cas, Failure> {
        match self {
            Self::Here { admin, .. } => Ok(admin.cas()),
            Self::Server(_) => self.get("/v1/cas").await,
        }
    }

    pub(super) async fn users(&self) -> Result<api::Users, Failure> {
        match self {
            Self::Here { admin, .. } => Ok(admin.users().await?),
            Self::Server(_) => self.get("/v1/users").await,
        }
    }

    pub(super) async fn add_user(&self, new: api::NewUser) -> Result<api::AddedUser, Failure> {
        match self {
            Self::Here { admin, actor, .. } => Ok(admin.add_user(new, actor.clone()).await?),
            Self::Server(socket) => {
                ask(socket, Method::POST, "/v1/users", Some(&new)).await.map_err(failed)
            }
        }
    }

    pub(super) async fn remove_user(&self, name: &str) -> Result<(), Failure> {
        match self {
            Self::Here { admin, actor, .. } => Ok(admin.remove_user(name, actor.clone()).await?),
            Self::Server(socket) => {
                let path = format!("/v1/users/{}", encoded(name));
                ask::<(), ()>(socket, Method::DELETE, &path, None).await.map_err(failed)
            }
        }
    }

    /// Lets go of the store.
    pub(super) async fn close(self) {
        if let Self::Here { store, trail, .. } = self {
            store.close().await;
            trail.close();
        }
    }

    async fn get<A: serde::de::DeserializeOwned>(&self, path: &str) -> Result<A, Failure> {
        match self {
            Self::Server(socket) => {
                ask::<(), A>(socket, Method::GET, path, None).await.map_err(failed)
            }
            Self::Here { .. } => Err(Failure::new("no server is asked here", "report it")),
        }
    }
}

fn encoded(segment: &str) -> String {
    percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn failed(fault: operator::Error) -> Failure {
    match fault {
        operator::Error::Refused(refusal) => refusal.into(),
        other => Failure::new(other, "see whether estd runs, and its log"),
    }
}
