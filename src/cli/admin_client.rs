//! The client of operator's calls: sends them to the running server, or answers them here.
//!
//! sled allows one process. While the server runs, calls go through its socket. Otherwise the store
//! is opened here, and the same `admin` code answers.

use super::{
    context::{Context, block_on, read_settings},
    failure::Failure,
    serve::audit_file,
};
use crate::{
    admin::{Admin, Explainer, Handle},
    client::operator::{self, ask},
    clock::{Clock, SystemClock},
    config::{Secrets, Settings, StoreSettings},
    entropy::{Entropy, SystemEntropy},
    server::{Installation, OfflineRules},
    store,
    telemetry::LateTrail,
    types::Actor,
};
use std::{io, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

/// A client of the operator's calls.
pub(super) enum AdminClient {
    /// Calls the running server behind this socket.
    Running(PathBuf),
    /// Answers from the opened store.
    Local { admin: Admin, store: Arc<dyn store::Store>, trail: Arc<LateTrail>, actor: Actor },
}

impl AdminClient {
    /// Runs `work` with the client of a command's configuration, and closes the client whatever the
    /// outcome.
    pub(super) fn with<T>(
        context: &Context,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        block_on(async {
            let client = Self::open(&context.settings).await?;
            let outcome = work(&client).await;
            if let Err(error) = client.close().await {
                context.warn(
                    format!("{error}; the event is in the store only"),
                    "run this command as the user that estd runs as",
                );
            }
            outcome
        })
    }

    /// Connects to the running server, or opens the store if none runs.
    async fn open(settings: &Settings) -> Result<Self, Failure> {
        let socket = settings.boot.data.join("estd.sock");
        // The socket of a server that was killed is left over and accepts no connection.
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            return Ok(Self::Running(socket));
        }
        // Reads the password of a database only now: while a server runs, no command needs it.
        let with_password = match &settings.boot.store {
            StoreSettings::Postgres(_) => Some(read_settings(&settings.file, Secrets::Store)?),
            StoreSettings::Sled { .. } | StoreSettings::Memory => None,
        };
        let settings = with_password.as_ref().unwrap_or(settings);
        let owner = std::fs::metadata(&settings.boot.data).map_err(|cause| {
            Failure::new(
                format!("{}: {cause}", settings.boot.data.display()),
                "start estd serve once, which creates the data folder, or name the right configuration \
                 with --config",
            )
        })?;
        // A command that changes nothing needs no audit file.
        let trail = LateTrail::new(audit_file(settings), Arc::new(SystemClock));
        let trail = Arc::new(trail);
        let clock = SystemClock;
        let (store, cas) =
            Installation::open_for_operator(settings, Arc::clone(&trail) as _, clock.now()).await?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        let rules = OfflineRules::new(settings, &store, &cas, &entropy, clock.now());
        let explainer = rules.map(|rules| Arc::new(rules) as Arc<dyn Explainer>);
        let realm = settings.boot.passwords.realm.clone();
        let admin = Admin::new(Arc::clone(&store), cas, realm, Arc::new(clock), entropy)
            .explaining(explainer.map_err(|error| error.to_string()));
        Ok(Self::Local { admin, store, trail, actor: Actor::operator(owner.uid()) })
    }

    /// Makes a call.
    pub(super) async fn call<C: Handle>(&self, call: C) -> Result<C::Answer, Failure> {
        match self {
            Self::Local { admin, actor, .. } => Ok(call.handle(admin, actor).await?),
            Self::Running(socket) => ask(socket, &call).await.map_err(failed),
        }
    }

    /// Closes the store and the audit file.
    ///
    /// # Errors
    /// The reason why the audit file does not have the command's events.
    async fn close(self) -> io::Result<()> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Local { store, trail, .. } => {
                store.close().await;
                trail.close()
            }
        }
    }
}

fn failed(error: operator::CallError) -> Failure {
    match error {
        operator::CallError::Response(response) => response.into(),
        other => Failure::new(other, "see whether estd runs, and read its log"),
    }
}
