//! Evaluates changes of devices and tokens, and the conditions of issuances.

use super::{
    super::{
        super::{
            Conditions, Device, DeviceStanding, Error, Identifier, ImportNumber, Intent, Issuance,
            Token, Unmet, format,
            registry::{Effects, KnownFacts, Staging, StoredDevice, StoredOwner, read_import},
        },
        change::{RegistryChange, SledOutcome},
        disk::store_error,
    },
    memory::Memory,
    plan::BatchPlan,
};
use crate::types::{DeviceId, Serial, TokenId};

impl Memory {
    /// Evaluates one change of devices or tokens.
    pub(super) fn change_registry(
        &mut self,
        plan: &mut BatchPlan,
        change: RegistryChange,
    ) -> Result<SledOutcome, Error> {
        match change {
            RegistryChange::Add { device, event } => {
                self.expect_new(plan, &device)?;
                self.put_device(plan, device, None)?;
                plan.push_event(event)
            }
            RegistryChange::Change { seen, new, event } => {
                if seen.id != new.id || self.device(plan, &seen.id)?.as_ref() != Some(&*seen) {
                    return Err(Error::Changed(format!("device {}", seen.id)));
                }
                self.expect_free(plan, &new, None)?;
                for identifier in &seen.identifiers {
                    plan.identifiers.insert(identifier.clone(), None);
                }
                self.put_device(plan, *new, None)?;
                plan.push_event(event)
            }
            RegistryChange::Begin => {
                if self.staging.is_some() {
                    return Ok(SledOutcome::Not);
                }
                self.imports += 1;
                plan.imports = Some(self.imports);
                let number = ImportNumber(self.imports);
                self.set_staging(plan, Some(Staging { number, abandoned: false, conflict: None }));
                Ok(SledOutcome::Number(self.imports))
            }
            RegistryChange::Stage(import, devices) => self.stage(plan, import, devices),
            RegistryChange::Finish(import, event) => {
                self.staged(import)?.expect_finished()?;
                self.set_staging(plan, None);
                plan.push_event(event)
            }
            RegistryChange::Abandon(import) => {
                let Ok(mut staging) = self.staged(import).cloned() else {
                    return Ok(SledOutcome::Not);
                };
                staging.abandoned = true;
                self.set_staging(plan, Some(staging));
                Ok(SledOutcome::Done)
            }
            RegistryChange::Remove { import, devices, identifiers } => {
                self.remove(plan, import, &devices, &identifiers)
            }
            RegistryChange::Removed(import) => {
                if self.staged(import).is_ok() {
                    self.set_staging(plan, None);
                }
                Ok(SledOutcome::Done)
            }
            RegistryChange::AddTokens(tokens) => {
                for token in tokens {
                    if self.token(plan, &token.id)?.is_some() {
                        return Err(Error::Conflict(format!("token {}", token.id)));
                    }
                    plan.tokens.insert(token.id, token);
                }
                Ok(SledOutcome::Done)
            }
            RegistryChange::DisableToken(id, event) => {
                let mut token = self.token(plan, &id)?.ok_or(Error::NoSuchToken(id))?;
                if token.disabled {
                    return Ok(SledOutcome::Done);
                }
                token.disabled = true;
                plan.tokens.insert(id, token);
                plan.push_event(event)
            }
            RegistryChange::DisableTokens(ids, at) => {
                let mut count = 0;
                for id in ids {
                    if let Some(mut token) = self.token(plan, &id)?
                        && token.is_live(at)
                    {
                        token.disabled = true;
                        plan.tokens.insert(id, token);
                        count += 1;
                    }
                }
                Ok(SledOutcome::Number(count))
            }
        }
    }

    /// The staged import, if it has this number.
    fn staged(&self, import: ImportNumber) -> Result<&Staging, Error> {
        let found = self.staging.as_ref().filter(|staging| staging.number == import);
        found.ok_or(Error::ImportEnded(import))
    }

    fn set_staging(&mut self, plan: &mut BatchPlan, staging: Option<Staging>) {
        self.staging.clone_from(&staging);
        plan.staging = Some(staging);
    }

    /// Whether what this import wrote can be seen.
    fn is_visible(&self, import: Option<ImportNumber>) -> bool {
        let staging = self.staging.as_ref().map(|staging| staging.number);
        import.is_none() || import != staging
    }

    fn stored_device(
        &self,
        plan: &BatchPlan,
        id: &DeviceId,
    ) -> Result<Option<StoredDevice>, Error> {
        if let Some(known) = plan.devices.get(id) {
            return Ok(known.clone());
        }
        let value = self.trees.devices.get(id.as_str()).map_err(store_error)?;
        value.map(|value| format::read_record("a device", &value)).transpose()
    }

    fn stored_owner(
        &self,
        plan: &BatchPlan,
        identifier: &Identifier,
    ) -> Result<Option<StoredOwner>, Error> {
        if let Some(known) = plan.identifiers.get(identifier) {
            return Ok(known.clone());
        }
        let value = self.trees.identifiers.get(identifier.to_string()).map_err(store_error)?;
        value.map(|value| format::read_record("an identifier", &value)).transpose()
    }

    /// Finds a registered device.
    pub(super) fn device(&self, plan: &BatchPlan, id: &DeviceId) -> Result<Option<Device>, Error> {
        let found = self.stored_device(plan, id)?;
        let found = found.filter(|stored| self.is_visible(stored.import));
        Ok(found.map(|stored| stored.device))
    }

    /// Finds a token.
    pub(super) fn token(&self, plan: &BatchPlan, id: &TokenId) -> Result<Option<Token>, Error> {
        if let Some(token) = plan.tokens.get(id) {
            return Ok(Some(token.clone()));
        }
        let value = self.trees.tokens.get(id.0).map_err(store_error)?;
        value.map(|value| format::read_record::<Token>("a token", &value)).transpose()
    }

    /// Checks that a device can be registered, beside those that the import staged.
    pub(super) fn expect_new(&self, plan: &BatchPlan, device: &Device) -> Result<(), Error> {
        if self.device(plan, &device.id)?.is_some() {
            return Err(Error::DeviceExists(device.id.clone()));
        }
        self.expect_free(plan, device, None)
    }

    /// Checks that no other device has any of the identifiers. `import`: its staged ones count too.
    fn expect_free(
        &self,
        plan: &BatchPlan,
        device: &Device,
        import: Option<ImportNumber>,
    ) -> Result<(), Error> {
        for identifier in &device.identifiers {
            let Some(owner) = self.stored_owner(plan, identifier)? else { continue };
            let counts = self.is_visible(owner.import) || owner.import == import;
            if counts && owner.device != device.id {
                return Err(Error::IdentifierTaken {
                    identifier: Box::new(identifier.clone()),
                    device: owner.device,
                });
            }
        }
        Ok(())
    }

    /// Writes a device. One that is registered takes the place of a staged one, whose import cannot be finished
    /// then: it does not wait for an import.
    pub(super) fn put_device(
        &mut self,
        plan: &mut BatchPlan,
        device: Device,
        import: Option<ImportNumber>,
    ) -> Result<(), Error> {
        let mut conflict = None;
        let old = self.stored_device(plan, &device.id)?;
        if old.is_some_and(|old| !self.is_visible(old.import)) {
            conflict = Some((device.id.clone(), None));
        }
        for identifier in &device.identifiers {
            let old = self.stored_owner(plan, identifier)?;
            if old.is_some_and(|old| !self.is_visible(old.import) && old.device != device.id) {
                conflict.get_or_insert_with(|| (device.id.clone(), Some(identifier.clone())));
            }
            let owner = StoredOwner { import, device: device.id.clone() };
            plan.identifiers.insert(identifier.clone(), Some(owner));
        }
        if import.is_none()
            && conflict.is_some()
            && let Some(mut staging) = self.staging.clone()
        {
            staging.conflict = staging.conflict.or(conflict);
            self.set_staging(plan, Some(staging));
        }
        let is_barred = device.standing != DeviceStanding::Enabled;
        if is_barred || self.barred.contains(&device.id) {
            plan.barred.insert(device.id.clone(), is_barred);
            match is_barred {
                true => self.barred.insert(device.id.clone()),
                false => self.barred.remove(&device.id),
            };
        }
        plan.devices.insert(device.id.clone(), Some(StoredDevice { import, device }));
        Ok(())
    }

    fn stage(
        &mut self,
        plan: &mut BatchPlan,
        import: ImportNumber,
        devices: Vec<Device>,
    ) -> Result<SledOutcome, Error> {
        self.staged(import)?.expect_finished()?;
        for mut device in devices {
            if let Some(known) = self.stored_device(plan, &device.id)? {
                if known.device.says_as(&device) {
                    continue;
                }
                return Err(Error::DeviceExists(device.id));
            }
            self.expect_free(plan, &device, Some(import))?;
            // The list of those that are barred does not know of imports.
            device.standing = DeviceStanding::Enabled;
            self.put_device(plan, device, Some(import))?;
        }
        Ok(SledOutcome::Done)
    }

    fn remove(
        &mut self,
        plan: &mut BatchPlan,
        import: ImportNumber,
        devices: &[::sled::IVec],
        identifiers: &[::sled::IVec],
    ) -> Result<SledOutcome, Error> {
        fn parsed<T: std::str::FromStr>(key: &[u8]) -> Option<T> {
            std::str::from_utf8(key).ok()?.parse().ok()
        }
        if self.staged(import).is_err() {
            return Ok(SledOutcome::Not);
        }
        // A device that was registered meanwhile may have taken the place.
        for key in devices {
            let now = self.trees.devices.get(key).map_err(store_error)?;
            if let Some(id) = parsed(key)
                && !plan.devices.contains_key(&id)
                && now.is_some_and(|now| read_import(&now) == Some(import))
            {
                plan.devices.insert(id, None);
            }
        }
        for key in identifiers {
            let now = self.trees.identifiers.get(key).map_err(store_error)?;
            if let Some(identifier) = parsed(key)
                && !plan.identifiers.contains_key(&identifier)
                && now.is_some_and(|now| read_import(&now) == Some(import))
            {
                plan.identifiers.insert(identifier, None);
            }
        }
        Ok(SledOutcome::Done)
    }

    /// Evaluates the conditions of an issuance, and writes what it changes.
    pub(super) fn admit(
        &mut self,
        plan: &mut BatchPlan,
        intent: &Intent,
        conditions: &Conditions,
    ) -> Result<Result<(), Unmet>, Error> {
        if conditions.is_free(intent) {
            return Ok(Ok(()));
        }
        let device = match &intent.device {
            Some(id) => self.device(plan, id)?,
            None => None,
        };
        let quota = conditions.quota(device.as_ref().or(conditions.register.as_ref()));
        let valid = match (&intent.device, quota) {
            (Some(id), Some(_)) => self.valid(id, intent, conditions.lost.as_ref())?,
            _ => 0,
        };
        let token = intent.token.map(|id| self.token(plan, &id)).transpose()?.flatten();
        let other = if conditions.own_key { self.other(intent)? } else { None };
        let Effects { token, device } =
            match conditions.evaluate(intent, KnownFacts { token, device, valid, other }) {
                Ok(effects) => effects,
                Err(unmet) => return Ok(Err(unmet)),
            };
        if let Some(device) = device {
            self.expect_new(plan, &device)?;
            self.put_device(plan, device, None)?;
        }
        if let Some(token) = token {
            plan.tokens.insert(token.id, token);
        }
        Ok(Ok(()))
    }

    /// Gives the use of a voided issuance back.
    pub(super) fn give_back(&self, plan: &mut BatchPlan, intent: &Intent) -> Result<(), Error> {
        let Some(id) = intent.token else { return Ok(()) };
        if let Some(mut token) = self.token(plan, &id)?
            && token.consumed_by.as_ref() == Some(&intent.serial)
        {
            token.consumed_by = None;
            plan.tokens.insert(id, token);
        }
        Ok(())
    }

    /// Reads the record of a candidate of the index. None if it ended in this very batch.
    fn record(&self, serial: &[u8]) -> Result<Option<Issuance>, Error> {
        if let Ok(serial) = Serial::parse(serial)
            && let Some(open) = self.open.get(&serial)
        {
            return Ok(Some((*open.record).clone()));
        }
        let value = self.trees.certificates.get(serial).map_err(store_error)?;
        value.map(|value| format::read_issuance(&value)).transpose()
    }

    /// Counts the device's certificates that a quota counts.
    fn valid(&self, id: &DeviceId, intent: &Intent, lost: Option<&Serial>) -> Result<u32, Error> {
        let is_replaced = |serial: &[u8]| {
            let of = |other: &Serial| other.as_bytes() == serial;
            intent.predecessor.as_ref().is_some_and(of) || lost.is_some_and(of)
        };
        let candidates: Vec<_> = self.shared.index(|index| {
            let all = index.of_device(id).filter(|found| {
                found.may_count(intent.begun)
                    && !is_replaced(&found.serial)
                    && !index.has_successor(&found.serial)
            });
            all.collect()
        });
        let mut count: u32 = 0;
        for candidate in candidates {
            let counts = self.record(&candidate.serial)?.is_none_or(|record| {
                record.intent.device.as_ref() == Some(id) && record.intent.not_after >= intent.begun
            });
            count += u32::from(counts);
        }
        Ok(count)
    }

    /// Finds a certificate of the key that belongs to another device.
    fn other(&self, intent: &Intent) -> Result<Option<(Option<DeviceId>, Serial)>, Error> {
        let key = &intent.spki_sha256;
        let line = match &intent.predecessor {
            Some(serial) => self.record(serial.as_bytes())?,
            None => None,
        };
        let is_kept_line = line
            .is_some_and(|line| line.intent.spki_sha256 == *key && line.intent.device.is_none());
        let candidates: Vec<_> = self.shared.index(|index| {
            let of_others = index.of_key(key).filter(|found| {
                !found.is_void()
                    && !found.is_of(intent.device.as_ref())
                    && (!is_kept_line || !found.is_of(None))
            });
            of_others.collect()
        });
        for candidate in candidates {
            let Some(record) = self.record(&candidate.serial)? else {
                // It ended in this batch. Its device is not this one, as far as the index knows.
                let serial = Serial::parse(&candidate.serial);
                let serial = serial.map_err(|error| Error::Corrupt(error.to_string()))?;
                return Ok(Some((None, serial)));
            };
            if record.intent.spki_sha256 == *key && record.intent.device != intent.device {
                return Ok(Some((record.intent.device, record.intent.serial)));
            }
        }
        Ok(None)
    }
}
