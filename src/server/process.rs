//! Operator's view of the running server: state, reload, renewal of its own certificate.

use super::{
    core::Core,
    health::{self, Warning},
};
use crate::{
    admin::{self, Process},
    api,
    config::{self, Secrets, SettingErrors, SettingsSource},
    pki::Certificate,
    store,
    telemetry::audit::{Event, Name},
    types::{Actor, escaped},
};
use async_trait::async_trait;

impl From<&Warning> for api::OperatorWarning {
    fn from(warning: &Warning) -> Self {
        Self {
            about: warning.about.clone(),
            warning: warning.text.clone(),
            remedy: warning.remedy.clone(),
        }
    }
}

#[async_trait]
impl Process for Core {
    async fn status(&self) -> Result<api::Status, admin::Error> {
        let now = self.environment.clock.now();
        let warnings = self.warnings().await;
        let store = &self.installation.store;
        let accounts = store.accounts().await;
        let error = match &accounts {
            Err(error) => Some(error.to_string()),
            Ok(_) => self.probe_write().await.err().map(|error| error.to_string()),
        };
        let settings = self.settings.lock().await;
        let cas = self.installation.cas.iter().map(|(name, ca)| api::CaStatus {
            name: name.to_string(),
            root_not_after: ca.root().not_after().to_string(),
            issuing_not_after: ca.issuing().not_after().to_string(),
        });
        let connections = &self.shared.connections;
        Ok(api::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.to_string(),
            uptime_seconds: now.since(self.started).as_secs(),
            configuration: match settings.source {
                SettingsSource::BuiltIn => None,
                _ => Some(settings.file.display().to_string()),
            },
            data: settings.boot.data.display().to_string(),
            listen: self.addresses.iter().map(ToString::to_string).collect(),
            connections: connections.open(),
            max_connections: connections.room(),
            cas: cas.collect(),
            server_certificate: described(&self.own.lock().await.leaf, &settings),
            store: api::StoreStatus { backend: backend(&settings.boot.store).to_owned(), error },
            accounts: accounts.ok().map(|all| all.len()),
            left_out: {
                let left_out = self.environment.trail.left_out();
                api::LeftOutEvents {
                    rejections: left_out.rejections,
                    challenges: left_out.challenges,
                    lost: left_out.lost,
                }
            },
            reload: self.reloaded.lock().await.clone(),
            warnings: warnings.iter().map(api::OperatorWarning::from).collect(),
        })
    }

    async fn reload(&self, actor: &Actor) -> api::Reloaded {
        let (source, file) = {
            let settings = self.settings.lock().await;
            (settings.source.clone(), settings.file.display().to_string())
        };
        let mut verdict = api::Reloaded {
            at: self.environment.clock.now().to_string(),
            in_force: false,
            changed: Vec::new(),
            needs_restart: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        match source.read(&|name| std::env::var(name).ok(), Secrets::All) {
            Err(SettingErrors(errors)) => {
                verdict.errors = errors.iter().map(api::ConfigError::from).collect()
            }
            Ok(new) => match self.put_in_force(new, actor.clone()).await {
                Ok(changes) => {
                    verdict.in_force = true;
                    verdict.changed = changes.in_force;
                    let later = changes.needs_restart.into_iter().map(str::to_owned);
                    verdict.needs_restart = later.collect();
                }
                Err(error) => verdict.errors.push(api::ConfigError {
                    code: "E-CONFIG-RELOAD".to_owned(),
                    file: file.clone(),
                    key: String::new(),
                    value: String::new(),
                    error: error.to_string(),
                    remedy: error.remedy(),
                }),
            },
        }
        verdict.warnings = self.warnings().await.iter().map(api::OperatorWarning::from).collect();
        if verdict.in_force {
            log_success(&file, &verdict);
        } else {
            let errors = verdict.errors.iter().map(|one| format!("{}: {}", one.key, one.error));
            let reason = errors.collect::<Vec<_>>().join("; ");
            let shown = escaped(&reason);
            tracing::error!("{file} was not put in force, the old settings stay: {shown}");
            let now = self.environment.clock.now();
            let event = Event::new(now, Name::ServerReloadRejected, actor.clone());
            let recorded = self.installation.store.append(event.with("reason", reason)).await;
            if let Err(error) = recorded {
                tracing::error!("the rejected reload is not on record: {error}");
            }
        }
        *self.reloaded.lock().await = Some(verdict.clone());
        verdict
    }

    async fn renew_server_certificate(
        &self,
        actor: &Actor,
    ) -> Result<api::ServerCertificate, admin::Error> {
        let renewed = self.renew(Some(actor)).await;
        renewed.map_err(|error| admin::Error::Failed {
            error: error.to_string(),
            remedy: error.remedy(),
        })?;
        let settings = self.settings.lock().await;
        Ok(described(&self.own.lock().await.leaf, &settings))
    }
}

impl Core {
    /// Requests a change that the store never applies, since the expected value does not exist. Returns the
    /// error of a full disk or a read-only database.
    async fn probe_write(&self) -> Result<(), store::Error> {
        let (register, never) = ("first account", b"\0 no value is this".as_slice());
        self.installation.store.compare_and_set(register, Some(never), never).await.map(|_| ())
    }
}

fn log_success(file: &str, verdict: &api::Reloaded) {
    let changed = match verdict.changed.join(", ") {
        none if none.is_empty() => "nothing changed".to_owned(),
        changed => format!("changed: {changed}"),
    };
    if verdict.needs_restart.is_empty() {
        tracing::info!("{file} was read again and is in force; {changed}");
    } else {
        tracing::warn!(
            "{file} was read again; {changed}; restart estd for: {}",
            verdict.needs_restart.join(", ")
        );
    }
}

impl From<&config::SettingError> for api::ConfigError {
    fn from(error: &config::SettingError) -> Self {
        Self {
            code: error.code.to_owned(),
            file: error.file.display().to_string(),
            key: error.key.clone(),
            value: error.value.clone(),
            error: error.text.clone(),
            remedy: error.remedy.clone(),
        }
    }
}

fn described(leaf: &Certificate, settings: &config::Settings) -> api::ServerCertificate {
    api::ServerCertificate {
        serial: leaf.serial().to_string(),
        ca: settings.boot.server_certificate.ca.to_string(),
        names: leaf.san().map(|names| names.texts()).unwrap_or_default(),
        not_before: leaf.not_before().to_string(),
        not_after: leaf.not_after().to_string(),
        renewal: health::renewal(leaf).to_string(),
    }
}

const fn backend(store: &config::StoreSettings) -> &'static str {
    match store {
        config::StoreSettings::Sled { .. } => "sled",
        config::StoreSettings::Postgres(_) => "postgres",
        config::StoreSettings::Memory => "memory",
    }
}
