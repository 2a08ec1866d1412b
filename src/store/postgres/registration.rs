//! Devices and one-time tokens: the calls.

use super::{
    super::{
        Device, DeviceFilter, Devices, Error, Identifier, ImportNumber, Token, TokenFilter, Tokens,
    },
    PostgresStore,
    change::{PostgresChange, PostgresOutcome, RegistryWrite},
    database::{Database, attempt},
    devices, tokens,
};
use crate::{
    telemetry::audit::Event,
    types::{DeviceId, TokenId},
};
use async_trait::async_trait;

/// Devices of one statement.
const STAGE: usize = 500;

impl PostgresStore {
    pub(super) async fn write_registry(
        &self,
        change: RegistryWrite,
        event: Event,
    ) -> Result<(), Error> {
        match self.write(PostgresChange::Registry(change), event).await? {
            PostgresOutcome::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what an abandoned import staged, and then the import.
    async fn remove_import(&self, import: ImportNumber) -> Result<(), Error> {
        for identifiers in [false, true] {
            let mut after = Some(String::new());
            while let Some(last) = &after {
                after = attempt!(
                    self.database,
                    client => devices::remove(client, import, last, identifiers).await
                )?;
            }
        }
        attempt!(self.database, client => devices::removed(client, import).await)
    }
}

#[async_trait]
impl Devices for PostgresStore {
    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error> {
        self.queues()?;
        let ids = [id.as_str()];
        let mut found =
            attempt!(self.database, client => devices::find_devices(client, &ids).await)?;
        Ok(found.remove(id))
    }

    async fn is_barred(&self, id: &DeviceId) -> Result<bool, Error> {
        self.queues()?;
        attempt!(self.database, client => devices::is_barred(client, id).await)
    }

    async fn identified(&self, by: &[Identifier]) -> Result<Vec<Device>, Error> {
        self.queues()?;
        attempt!(self.database, client => devices::identified(client, by).await)
    }

    async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<Device>, Error> {
        self.queues()?;
        attempt!(self.database, client => devices::list_devices(client, filter, after, limit).await)
    }

    async fn add_device(&self, device: Device, event: Event) -> Result<(), Error> {
        self.write_registry(RegistryWrite::Add(device), event).await
    }

    async fn change_device(&self, seen: &Device, new: Device, event: Event) -> Result<(), Error> {
        let (seen, new) = (Box::new(seen.clone()), Box::new(new));
        self.write_registry(RegistryWrite::Change { seen, new }, event).await
    }

    async fn begin_import(&self) -> Result<ImportNumber, Error> {
        self.queues()?;
        loop {
            match attempt!(self.database, client => devices::begin_import(client).await)? {
                Ok(import) => return Ok(import),
                Err(earlier) => self.remove_import(earlier).await?,
            }
        }
    }

    async fn stage_devices(&self, import: ImportNumber, devices: Vec<Device>) -> Result<(), Error> {
        self.queues()?;
        for part in devices.chunks(STAGE) {
            attempt!(self.database, client => devices::stage(client, import, part).await)?;
        }
        Ok(())
    }

    async fn finish_import(&self, import: ImportNumber, event: Event) -> Result<(), Error> {
        self.write_registry(RegistryWrite::Finish(import), event).await
    }

    async fn abandon_import(&self, import: ImportNumber) -> Result<(), Error> {
        self.queues()?;
        if attempt!(self.database, client => devices::abandon(client, import).await)? {
            self.remove_import(import).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Tokens for PostgresStore {
    async fn add_tokens(&self, tokens: Vec<Token>, event: Event) -> Result<(), Error> {
        self.write_registry(RegistryWrite::AddTokens(tokens), event).await
    }

    async fn token(&self, id: &TokenId) -> Result<Option<Token>, Error> {
        self.queues()?;
        let ids = [*id];
        let mut found = attempt!(self.database, client => tokens::find_tokens(client, &ids).await)?;
        Ok(found.remove(id))
    }

    async fn tokens(
        &self,
        filter: &TokenFilter,
        after: Option<&TokenId>,
        limit: usize,
    ) -> Result<Vec<Token>, Error> {
        self.queues()?;
        attempt!(self.database, client => tokens::list_tokens(client, filter, after, limit).await)
    }

    async fn disable_token(&self, id: &TokenId, event: Event) -> Result<(), Error> {
        self.write_registry(RegistryWrite::DisableToken(*id), event).await
    }

    async fn disable_tokens(&self, event: Event) -> Result<u64, Error> {
        self.queues()?;
        let at = event.at;
        // After an attempt that seemed to fail the number is that of the last one.
        let count = attempt!(self.database, client => tokens::disable_all(client, at).await)?;
        self.write(PostgresChange::Append, event.with("count", count)).await?;
        Ok(count)
    }
}
