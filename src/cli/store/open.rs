//! Opens the store of a command.

use super::served::Served;
use crate::{
    cli::{context::Context, failure::Failure},
    config,
    server::{Backend, setup},
    store::{
        Store,
        transfer::{self, Cut, Source},
    },
    types::Time,
};
use std::sync::Arc;

/// Runs `work` with an opened store, and closes the store whatever the outcome.
pub(super) async fn with_store<T>(
    store: Arc<dyn Store>,
    work: impl AsyncFnOnce(&dyn Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let outcome = work(&*store).await;
    store.close().await;
    outcome
}

/// Runs `work` with the records of a store: a snapshot of a database, or the store on the disk.
pub(super) async fn with_backend<T>(
    backend: Backend,
    now: Time,
    work: impl AsyncFnOnce(&dyn Source) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Backend::Postgres(postgres) = &backend {
        return work(&setup::open_snapshot(postgres).await?).await;
    }
    let store = setup::open_existing(backend, now).await?;
    with_store(store, async |store| work(&store).await).await
}

/// Runs `work` with the records of the configured store as they are now. A running server reads
/// its folder for this command; a database is read directly.
pub(super) async fn with_source<T>(
    context: &Context,
    now: Time,
    work: impl AsyncFnOnce(&dyn Source) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let settings = &context.settings;
    let has_one_user = !matches!(settings.boot.store, config::StoreSettings::Postgres(_));
    if has_one_user && let Some(served) = Served::find(&settings.boot.data).await {
        let cut = Cut::new(served, now).await.map_err(transfer::Error::from)?;
        return work(&cut).await;
    }
    with_backend(Backend::of(settings)?, now, work).await
}
