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

/// Runs `work` with the store of the running server, as it is now, or with the one on the disk.
pub(super) async fn with_source<T>(
    context: &Context,
    now: Time,
    work: impl AsyncFnOnce(&dyn Source) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let settings = &context.settings;
    // A database has room for several readers, and is read directly.
    let has_one_user = !matches!(settings.boot.store, config::Store::Postgres(_));
    if has_one_user && let Some(served) = Served::find(&settings.boot.data).await {
        let cut = Cut::new(served, now).await.map_err(transfer::Error::from)?;
        return work(&cut).await;
    }
    let store = setup::open_existing(Backend::of(settings)?, now).await?;
    with_store(store, async |store| work(&store).await).await
}
