//! Devices and one-time tokens.
//!
//! A staged device carries the number of its import, and nobody sees it while the tree `staging` names that
//! import. So an import is finished by removing one key. The next
//! import removes the leftovers of one that was cut.

use super::{
    super::{
        Device, DeviceFilter, Devices, Error, Identifier, ImportNumber, Token, TokenFilter, Tokens,
        format,
        registry::{StoredDevice, StoredOwner, read_import},
    },
    SledStore,
    change::{NewEvent, RegistryChange, SledChange, SledOutcome},
    disk::{Trees, store_error},
};
use crate::{
    telemetry::audit::Event,
    types::{DeviceId, TokenId},
};
use ::sled::{IVec, Tree};
use async_trait::async_trait;
use std::{ops::Bound, sync::Arc};

/// Devices of one commit: good requests wait for no more.
const STAGE: usize = 32;

/// Keys that one read looks at.
const SCAN: usize = 20_000;

impl SledStore {
    async fn change_registry(&self, change: RegistryChange) -> Result<SledOutcome, Error> {
        self.change(SledChange::Registry(change)).await
    }

    /// Removes what an import has staged, and then the import.
    async fn discard(&self, import: ImportNumber) -> Result<(), Error> {
        if let SledOutcome::Not = self.change_registry(RegistryChange::Abandon(import)).await? {
            return Ok(());
        }
        let trees: [fn(&Trees) -> &Tree; 2] = [|trees| &trees.devices, |trees| &trees.identifiers];
        for (number, tree) in trees.into_iter().enumerate() {
            let mut after: Option<IVec> = None;
            loop {
                let from = after.take();
                let (keys, last) =
                    self.read(move |trees| staged(tree(trees), from, import)).await?;
                for keys in keys.chunks(STAGE) {
                    let (mut devices, mut identifiers) = (Vec::new(), Vec::new());
                    match number {
                        0 => devices = keys.to_vec(),
                        _ => identifiers = keys.to_vec(),
                    }
                    let change = RegistryChange::Remove { import, devices, identifiers };
                    self.change_registry(change).await?;
                }
                match last {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
        }
        self.change_registry(RegistryChange::Removed(import)).await.map(|_| ())
    }

    /// Reads devices that can be seen.
    async fn read_devices<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Trees, &dyn Fn(&[u8]) -> Result<Option<Device>, Error>) -> Result<T, Error>
        + Send
        + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        self.read(move |trees| {
            let visible = |value: &[u8]| {
                let stored: StoredDevice = format::read_record("a device", value)?;
                // In this order: see `SharedState::staged`.
                let staged = stored.import.is_some() && stored.import == shared.staged();
                Ok((!staged).then_some(stored.device))
            };
            read(trees, &visible)
        })
        .await
    }
}

/// Returns the keys of what the import staged, of some of the keys after `after`, and the last key of these
/// if there are more.
fn staged(
    tree: &Tree,
    after: Option<IVec>,
    import: ImportNumber,
) -> Result<(Vec<IVec>, Option<IVec>), Error> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut found = Vec::new();
    for (count, entry) in tree.range::<IVec, _>((from, Bound::Unbounded)).enumerate() {
        let (key, value) = entry.map_err(store_error)?;
        if read_import(&value) == Some(import) {
            found.push(key.clone());
        }
        if count >= SCAN {
            return Ok((found, Some(key)));
        }
    }
    Ok((found, None))
}

#[async_trait]
impl Devices for SledStore {
    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error> {
        let id = id.clone();
        self.read_devices(move |trees, visible| {
            let value = trees.devices.get(id.as_str()).map_err(store_error)?;
            value.map_or(Ok(None), |value| visible(&value))
        })
        .await
    }

    async fn is_barred(&self, id: &DeviceId) -> Result<bool, Error> {
        self.shared.trees()?;
        Ok(self.shared.is_barred(id))
    }

    async fn identified(&self, by: &[Identifier]) -> Result<Vec<Device>, Error> {
        let by = by.to_vec();
        self.read_devices(move |trees, visible| {
            let mut ids = Vec::new();
            for identifier in &by {
                let value = trees.identifiers.get(identifier.to_string()).map_err(store_error)?;
                if let Some(value) = value {
                    ids.push(format::read_record::<StoredOwner>("an identifier", &value)?.device);
                }
            }
            ids.sort();
            ids.dedup();
            let mut found = Vec::new();
            for id in ids {
                let value = trees.devices.get(id.as_str()).map_err(store_error)?;
                let device = value.map_or(Ok(None), |value| visible(&value))?;
                // An import may have staged an identifier for a device that was registered without it.
                let has = |device: &Device| device.identifiers.iter().any(|one| by.contains(one));
                found.extend(device.filter(has));
            }
            Ok(found)
        })
        .await
    }

    async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<Device>, Error> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.read_devices(move |trees, visible| {
            let from = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str()));
            let mut found = Vec::new();
            for value in trees.devices.range::<&str, _>((from, Bound::Unbounded)).values() {
                if found.len() >= limit {
                    break;
                }
                let device = visible(&value.map_err(store_error)?)?;
                found.extend(device.filter(|device| filter.matches(device)));
            }
            Ok(found)
        })
        .await
    }

    async fn add_device(&self, device: Device, event: Event) -> Result<(), Error> {
        let event = NewEvent::new(event)?;
        self.change_registry(RegistryChange::Add { device, event }).await.map(|_| ())
    }

    async fn change_device(&self, seen: &Device, new: Device, event: Event) -> Result<(), Error> {
        let (seen, new, event) = (Box::new(seen.clone()), Box::new(new), NewEvent::new(event)?);
        self.change_registry(RegistryChange::Change { seen, new, event }).await.map(|_| ())
    }

    async fn begin_import(&self) -> Result<ImportNumber, Error> {
        loop {
            match self.change_registry(RegistryChange::Begin).await? {
                SledOutcome::Number(number) => return Ok(ImportNumber(number)),
                // Leftovers of an earlier one.
                _ => {
                    if let Some(earlier) = self.shared.staged() {
                        self.discard(earlier).await?;
                    }
                }
            }
        }
    }

    async fn stage_devices(&self, import: ImportNumber, devices: Vec<Device>) -> Result<(), Error> {
        let mut parts = devices.into_iter().peekable();
        while parts.peek().is_some() {
            let part: Vec<Device> = parts.by_ref().take(STAGE).collect();
            self.change_registry(RegistryChange::Stage(import, part)).await?;
        }
        Ok(())
    }

    async fn finish_import(&self, import: ImportNumber, event: Event) -> Result<(), Error> {
        let event = NewEvent::new(event)?;
        self.change_registry(RegistryChange::Finish(import, event)).await.map(|_| ())
    }

    async fn abandon_import(&self, import: ImportNumber) -> Result<(), Error> {
        self.discard(import).await
    }
}

#[async_trait]
impl Tokens for SledStore {
    async fn add_tokens(&self, tokens: Vec<Token>, event: Event) -> Result<(), Error> {
        let event = NewEvent::new(event)?;
        let mut parts = tokens.into_iter().peekable();
        while parts.peek().is_some() {
            let part: Vec<Token> = parts.by_ref().take(STAGE).collect();
            self.change_registry(RegistryChange::AddTokens(part)).await?;
        }
        self.change(SledChange::Append { event }).await.map(|_| ())
    }

    async fn token(&self, id: &TokenId) -> Result<Option<Token>, Error> {
        let id = *id;
        self.read(move |trees| {
            let value = trees.tokens.get(id.0).map_err(store_error)?;
            value.map(|value| format::read_record::<Token>("a token", &value)).transpose()
        })
        .await
    }

    async fn tokens(
        &self,
        filter: &TokenFilter,
        after: Option<&TokenId>,
        limit: usize,
    ) -> Result<Vec<Token>, Error> {
        let (filter, after) = (filter.clone(), after.copied());
        self.read(move |trees| {
            let from = after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.0));
            let mut found = Vec::new();
            for value in trees.tokens.range::<[u8; 32], _>((from, Bound::Unbounded)).values() {
                if found.len() >= limit {
                    break;
                }
                let token = format::read_record::<Token>("a token", &value.map_err(store_error)?)?;
                found.extend(filter.matches(&token).then_some(token));
            }
            Ok(found)
        })
        .await
    }

    async fn disable_token(&self, id: &TokenId, event: Event) -> Result<(), Error> {
        let event = NewEvent::new(event)?;
        self.change_registry(RegistryChange::DisableToken(*id, event)).await.map(|_| ())
    }

    async fn disable_tokens(&self, event: Event) -> Result<u64, Error> {
        let (filter, mut count, mut after) = (TokenFilter::default(), 0, None);
        loop {
            let page = self.tokens(&filter, after.as_ref(), STAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let live = page.iter().filter(|token| token.is_live(event.at));
            let ids: Vec<TokenId> = live.map(|token| token.id).collect();
            if ids.is_empty() {
                continue;
            }
            let change = RegistryChange::DisableTokens(ids, event.at);
            if let SledOutcome::Number(disabled) = self.change_registry(change).await? {
                count += disabled;
            }
        }
        let event = NewEvent::new(event.with("count", count))?;
        self.change(SledChange::Append { event }).await?;
        Ok(count)
    }
}
