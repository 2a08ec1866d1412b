//! Imports of devices: staged in pieces, which nobody sees, and registered in one step.

use super::{
    error::{Error, invalid},
    registration::device_of,
    service::{Admin, Handle},
};
use crate::{
    api,
    store::{self, Device, ImportNumber, Store},
    telemetry::audit::{Event, Name},
    types::Actor,
};

/// Largest number of devices in a call.
const LARGEST: usize = 1000;

impl Handle for api::BeginImport {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        Ok(api::ImportBegun { import: admin.store.begin_import().await?.0 })
    }
}

impl Handle for api::StageDevices {
    /// Stages devices.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first device that is not acceptable; [`Error::Exists`] for one that is
    /// registered with other contents, or whose identifier another device has. The import can then only
    /// be abandoned.
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let devices = devices_of(&self.devices, admin)?;
        Ok(admin.store.stage_devices(ImportNumber(self.import), devices).await?)
    }
}

impl Handle for api::CheckDevices {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let mut answer = api::DeviceConflicts::default();
        for device in devices_of(&self.devices, admin)? {
            if let Some(error) = conflict(&*admin.store, &device).await? {
                let reason = Error::from(error).response();
                answer.failed.push(api::FailedDevice { device: device.id.to_string(), reason });
            }
        }
        Ok(answer)
    }
}

impl Handle for api::FinishImport {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let event = Event::new(admin.clock.now(), Name::DevicesImported, actor.clone())
            .with("count", self.count)
            .with_some("file", self.file);
        Ok(admin.store.finish_import(ImportNumber(self.import), event).await?)
    }
}

impl Handle for api::AbandonImport {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        Ok(admin.store.abandon_import(ImportNumber(self.import)).await?)
    }
}

fn devices_of(new: &[api::NewDevice], admin: &Admin) -> Result<Vec<Device>, Error> {
    if !(1..=LARGEST).contains(&new.len()) {
        return Err(invalid("devices", new.len(), format!("1 to {LARGEST} in a call")));
    }
    let now = admin.clock.now();
    new.iter().map(|device| device_of(device, now)).collect()
}

/// Returns the error with which the store would not register the device beside those on record.
async fn conflict(store: &dyn Store, device: &Device) -> Result<Option<store::Error>, Error> {
    match store.device(&device.id).await? {
        Some(same) if same.says_as(device) => return Ok(None),
        Some(_) => return Ok(Some(store::Error::DeviceExists(device.id.clone()))),
        None => {}
    }
    let owners = store.identified(&device.identifiers).await?;
    let taken = owners.iter().find_map(|owner| {
        let both = owner.identifiers.iter().find(|one| device.identifiers.contains(one))?;
        let (identifier, device) = (Box::new(both.clone()), owner.id.clone());
        Some(store::Error::IdentifierTaken { identifier, device })
    });
    Ok(taken)
}
