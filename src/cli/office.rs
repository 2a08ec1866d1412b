//! Where an operator's question goes: to the running server, or to the store itself.
//!
//! sled allows one process. While the server runs, it is asked through its socket; when it does
//! not, the store is opened here, and the same `admin` code answers.

use super::{Failure, load_for, serve::audit_file};
use crate::{
    admin::{Admin, Handle},
    client::operator::{self, ask},
    clock::{Clock, SystemClock},
    config::{Secrets, Settings, Store},
    entropy::SystemEntropy,
    server::Installation,
    store,
    telemetry::LateTrail,
    types::Actor,
};
use std::{os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

/// Who answers.
pub(super) enum Office {
    Server(PathBuf),
    Here { admin: Admin, store: Arc<dyn store::Store>, trail: Arc<LateTrail>, actor: Actor },
}

impl Office {
    /// Finds out who answers.
    pub(super) async fn find(settings: &Settings) -> Result<Self, Failure> {
        let socket = settings.data.join("estd.sock");
        // A socket that is left over from a server that was killed takes no connection.
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            return Ok(Self::Server(socket));
        }
        // The password of a database is read only now: the running server has it, and no command
        // needs it beside that.
        let with_password = match &settings.store {
            Store::Postgres(_) => Some(load_for(&settings.file, Secrets::Store)?),
            Store::Sled { .. } | Store::Memory => None,
        };
        let settings = with_password.as_ref().unwrap_or(settings);
        let owner = std::fs::metadata(&settings.data).map_err(|cause| {
            Failure::new(
                format!("{}: {cause}", settings.data.display()),
                "start estd serve once: it makes the data folder; or name the right configuration with --config",
            )
        })?;
        // A command that changes nothing needs no audit file.
        let trail = LateTrail::new(audit_file(settings), Arc::new(SystemClock));
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

    /// Makes a call.
    pub(super) async fn ask<C: Handle>(&self, call: C) -> Result<C::Answer, Failure> {
        match self {
            Self::Here { admin, actor, .. } => Ok(call.handle(admin, actor).await?),
            Self::Server(socket) => ask(socket, &call).await.map_err(failed),
        }
    }

    /// Lets go of the store.
    pub(super) async fn close(self) {
        if let Self::Here { store, trail, .. } = self {
            store.close().await;
            trail.close();
        }
    }
}

fn failed(error: operator::Error) -> Failure {
    match error {
        operator::Error::Refused(refusal) => refusal.into(),
        other => Failure::new(other, "see whether estd runs, and its log"),
    }
}
