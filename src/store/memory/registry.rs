//! Devices and tokens in memory, and the facts on which an issuance depends.

use super::{
    super::{
        Conditions, Device, DeviceFilter, Devices, Error, Identifier, ImportNumber, Intent,
        Issuance, State, Token, TokenFilter, Tokens, Unmet,
        registry::{Effects, KnownFacts},
    },
    Kept, MemoryStore,
};
use crate::{
    store::DeviceStanding,
    telemetry::audit::Event,
    types::{DeviceId, Serial, TokenId},
};
use async_trait::async_trait;
use std::{collections::BTreeMap, ops::Bound};

/// Devices and tokens.
#[derive(Default)]
pub(super) struct Registry {
    pub(super) devices: BTreeMap<DeviceId, Device>,
    identifiers: BTreeMap<Identifier, DeviceId>,
    pub(super) tokens: BTreeMap<TokenId, Token>,
    staged: Option<Staged>,
    /// The number of the last import.
    imports: u64,
}

struct Staged {
    number: ImportNumber,
    devices: Vec<Device>,
}

impl Registry {
    /// Checks that no other device has any of the identifiers.
    fn expect_free(&self, device: &Device) -> Result<(), Error> {
        for identifier in &device.identifiers {
            match self.identifiers.get(identifier) {
                Some(owner) if *owner != device.id => {
                    return Err(Error::IdentifierTaken {
                        identifier: Box::new(identifier.clone()),
                        device: owner.clone(),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that a device can be added.
    pub(super) fn expect_new(&self, device: &Device) -> Result<(), Error> {
        if self.devices.contains_key(&device.id) {
            return Err(Error::DeviceExists(device.id.clone()));
        }
        self.expect_free(device)
    }

    /// Adds or replaces a device.
    pub(super) fn put(&mut self, device: Device) {
        if let Some(old) = self.devices.get(&device.id) {
            for identifier in &old.identifiers {
                self.identifiers.remove(identifier);
            }
        }
        for identifier in &device.identifiers {
            self.identifiers.insert(identifier.clone(), device.id.clone());
        }
        self.devices.insert(device.id.clone(), device);
    }

    /// Gives the use of a voided issuance back.
    pub(super) fn give_back(&mut self, intent: &Intent) {
        if let Some(token) = intent.token.and_then(|id| self.tokens.get_mut(&id))
            && token.consumed_by.as_ref() == Some(&intent.serial)
        {
            token.consumed_by = None;
        }
    }

    /// Records what an issuance changes.
    pub(super) fn apply(&mut self, effects: Effects) {
        if let Some(token) = effects.token {
            self.tokens.insert(token.id, token);
        }
        if let Some(device) = effects.device {
            self.put(device);
        }
    }

    fn staged(&mut self, number: ImportNumber) -> Result<&mut Staged, Error> {
        let found = self.staged.as_mut().filter(|staged| staged.number == number);
        found.ok_or(Error::ImportEnded(number))
    }
}

impl Kept {
    /// Evaluates the conditions of an intent.
    pub(super) fn evaluate(
        &self,
        intent: &Intent,
        conditions: &Conditions,
    ) -> Result<Result<Effects, Unmet>, Error> {
        if conditions.is_free(intent) {
            return Ok(Ok(Effects::default()));
        }
        let device = intent.device.as_ref().and_then(|id| self.registry.devices.get(id));
        let valid =
            match (&intent.device, conditions.quota(device.or(conditions.register.as_ref()))) {
                (Some(id), Some(_)) => self.valid(id, intent, conditions.lost.as_ref()),
                _ => 0,
            };
        let facts = KnownFacts {
            token: intent.token.and_then(|id| self.registry.tokens.get(&id)).cloned(),
            device: device.cloned(),
            valid,
            other: if conditions.own_key { self.other(intent) } else { None },
        };
        let effects = match conditions.evaluate(intent, facts) {
            Ok(effects) => effects,
            Err(unmet) => return Ok(Err(unmet)),
        };
        if let Some(device) = &effects.device {
            self.registry.expect_new(device)?;
        }
        Ok(Ok(effects))
    }

    /// Counts the device's certificates that a quota counts.
    fn valid(&self, id: &DeviceId, intent: &Intent, lost: Option<&Serial>) -> u32 {
        let all = || self.issuances.values().map(|record| &**record);
        let has_successor = |serial: &Serial| {
            all().any(|one| {
                one.state != State::Void && one.intent.predecessor.as_ref() == Some(serial)
            })
        };
        let counts = |one: &&Issuance| {
            let serial = &one.intent.serial;
            one.intent.device.as_ref() == Some(id)
                && matches!(one.state, State::Open | State::Issued)
                && one.intent.not_after >= intent.begun
                && intent.predecessor.as_ref() != Some(serial)
                && lost != Some(serial)
                && !has_successor(serial)
        };
        u32::try_from(all().filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// Finds a certificate of the key that belongs to another device.
    fn other(&self, intent: &Intent) -> Option<(Option<DeviceId>, Serial)> {
        let of_line = intent.predecessor.as_ref().and_then(|serial| self.issuances.get(serial));
        let is_kept_line = of_line.is_some_and(|record| {
            record.intent.spki_sha256 == intent.spki_sha256 && record.intent.device.is_none()
        });
        let is_other = |one: &&Issuance| {
            one.intent.spki_sha256 == intent.spki_sha256
                && one.state != State::Void
                && one.intent.device != intent.device
                && !(is_kept_line && one.intent.device.is_none())
        };
        let found = self.issuances.values().map(|record| &**record).find(is_other)?;
        Some((found.intent.device.clone(), found.intent.serial.clone()))
    }
}

#[async_trait]
impl Devices for MemoryStore {
    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error> {
        Ok(self.kept()?.registry.devices.get(id).cloned())
    }

    async fn is_barred(&self, id: &DeviceId) -> Result<bool, Error> {
        let kept = self.kept()?;
        let found = kept.registry.devices.get(id);
        Ok(found.is_some_and(|device| device.standing != DeviceStanding::Enabled))
    }

    async fn identified(&self, by: &[Identifier]) -> Result<Vec<Device>, Error> {
        let registry = &self.kept()?.registry;
        let mut ids: Vec<_> = by.iter().filter_map(|each| registry.identifiers.get(each)).collect();
        ids.sort();
        ids.dedup();
        Ok(ids.into_iter().filter_map(|id| registry.devices.get(id)).cloned().collect())
    }

    async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<Device>, Error> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = self.kept()?;
        let later = kept.registry.devices.range::<DeviceId, _>((from, Bound::Unbounded));
        let passing = later.map(|(_, device)| device).filter(|each| filter.matches(each));
        Ok(passing.take(limit).cloned().collect())
    }

    async fn add_device(&self, device: Device, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        kept.registry.expect_new(&device)?;
        kept.registry.put(device);
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn change_device(&self, seen: &Device, new: Device, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        if seen.id != new.id || kept.registry.devices.get(&seen.id) != Some(seen) {
            return Err(Error::Changed(format!("device {}", seen.id)));
        }
        kept.registry.expect_free(&new)?;
        kept.registry.put(new);
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn begin_import(&self) -> Result<ImportNumber, Error> {
        let mut kept = self.kept()?;
        kept.registry.imports += 1;
        let number = ImportNumber(kept.registry.imports);
        kept.registry.staged = Some(Staged { number, devices: Vec::new() });
        Ok(number)
    }

    async fn stage_devices(&self, import: ImportNumber, devices: Vec<Device>) -> Result<(), Error> {
        let mut kept = self.kept()?;
        for device in devices {
            let recorded = kept.registry.devices.get(&device.id);
            let recorded = recorded.is_some_and(|same| same.says_as(&device));
            let staged = &kept.registry.staged(import)?.devices;
            match staged.iter().find(|other| other.id == device.id) {
                Some(same) if same.says_as(&device) => continue,
                Some(_) => return Err(Error::DeviceExists(device.id)),
                None if recorded => continue,
                None => {}
            }
            kept.registry.expect_new(&device)?;
            let staged = kept.registry.staged(import)?;
            for other in &staged.devices {
                let both = other.identifiers.iter().find(|one| device.identifiers.contains(one));
                if let Some(both) = both {
                    let (identifier, device) = (Box::new(both.clone()), other.id.clone());
                    return Err(Error::IdentifierTaken { identifier, device });
                }
            }
            staged.devices.push(device);
        }
        Ok(())
    }

    async fn finish_import(&self, import: ImportNumber, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        let devices = std::mem::take(&mut kept.registry.staged(import)?.devices);
        if let Some(error) = devices.iter().find_map(|one| kept.registry.expect_new(one).err()) {
            kept.registry.staged(import)?.devices = devices;
            return Err(error);
        }
        kept.registry.staged = None;
        devices.into_iter().for_each(|device| kept.registry.put(device));
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn abandon_import(&self, import: ImportNumber) -> Result<(), Error> {
        let mut kept = self.kept()?;
        if kept.registry.staged(import).is_ok() {
            kept.registry.staged = None;
        }
        Ok(())
    }
}

#[async_trait]
impl Tokens for MemoryStore {
    async fn add_tokens(&self, tokens: Vec<Token>, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        for token in tokens {
            if kept.registry.tokens.contains_key(&token.id) {
                return Err(Error::Conflict(format!("token {}", token.id)));
            }
            kept.registry.tokens.insert(token.id, token);
        }
        self.commit(&mut kept, event);
        Ok(())
    }

    async fn token(&self, id: &TokenId) -> Result<Option<Token>, Error> {
        Ok(self.kept()?.registry.tokens.get(id).cloned())
    }

    async fn tokens(
        &self,
        filter: &TokenFilter,
        after: Option<&TokenId>,
        limit: usize,
    ) -> Result<Vec<Token>, Error> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = self.kept()?;
        let later = kept.registry.tokens.range::<TokenId, _>((from, Bound::Unbounded));
        let passing = later.map(|(_, token)| token).filter(|each| filter.matches(each));
        Ok(passing.take(limit).cloned().collect())
    }

    async fn disable_token(&self, id: &TokenId, event: Event) -> Result<(), Error> {
        let mut kept = self.kept()?;
        let token = kept.registry.tokens.get_mut(id).ok_or(Error::NoSuchToken(*id))?;
        let was_disabled = std::mem::replace(&mut token.disabled, true);
        if !was_disabled {
            self.commit(&mut kept, event);
        }
        Ok(())
    }

    async fn disable_tokens(&self, event: Event) -> Result<u64, Error> {
        let mut kept = self.kept()?;
        let live = kept.registry.tokens.values_mut().filter(|token| token.is_live(event.at));
        let count = live.map(|token| token.disabled = true).count() as u64;
        self.commit(&mut kept, event.with("count", count));
        Ok(count)
    }
}
