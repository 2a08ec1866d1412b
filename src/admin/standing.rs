//! Blocks, unblocks and retires devices, and changes their tags.

use super::{
    devices::{entry, is_active},
    error::{Error, invalid},
    registration::{check_tags, find_device, tag, tag_name},
    service::{Admin, Handle},
};
use crate::{
    api,
    store::{self, Device, DeviceStanding, Store},
    telemetry::audit::{Event, Name},
    types::Actor,
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Largest number of devices in a call.
const LARGEST: usize = 1000;

/// Maximum number of changes that wait for the store concurrently, which share its commits.
const AT_ONCE: usize = 64;

/// How often a change is tried again, if another one of the same device was quicker.
const ATTEMPTS: usize = 8;

impl Handle for api::ChangeStanding {
    /// Changes the standing of devices. Those that are as requested before stay unchanged.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no devices or too many, and for an unknown standing. An error about one
    /// device is in the answer and does not stop the others.
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let Self { devices, standing, comment } = self;
        if !(1..=LARGEST).contains(&devices.len()) {
            return Err(invalid("devices", devices.len(), format!("1 to {LARGEST} in a call")));
        }
        let wanted = match standing.as_str() {
            "enabled" => DeviceStanding::Enabled,
            "blocked" => DeviceStanding::Blocked,
            "retired" => DeviceStanding::Retired,
            other => return Err(invalid("standing", other, "enabled, blocked or retired")),
        };
        let name = match wanted {
            DeviceStanding::Enabled => Name::DeviceUnblocked,
            DeviceStanding::Blocked => Name::DeviceBlocked,
            DeviceStanding::Retired => Name::DeviceRetired,
        };
        let event = Event::new(admin.clock.now(), name, actor.clone());
        let mut left = devices.into_iter().enumerate();
        let (mut running, mut done) = (JoinSet::new(), Vec::new());
        loop {
            while running.len() < AT_ONCE
                && let Some((place, id)) = left.next()
            {
                let (store, event) = (Arc::clone(&admin.store), event.clone());
                let comment = comment.clone();
                running.spawn(async move {
                    let outcome = change_one(&*store, &id, wanted, event, comment).await;
                    (place, id, outcome)
                });
            }
            match running.join_next().await {
                None => break,
                Some(Ok(outcome)) => done.push(outcome),
                Some(Err(error)) => return Err(Error::Internal(error.to_string())),
            }
        }
        done.sort_by_key(|(place, ..)| *place);
        let mut answer = api::StandingChanges::default();
        for (_, device, outcome) in done {
            match outcome {
                Ok(before) => {
                    let standing = standing.clone();
                    answer.changed.push(api::StandingChange { device, standing, before });
                }
                Err(error) => {
                    answer.failed.push(api::FailedDevice { device, reason: error.response() });
                }
            }
        }
        Ok(answer)
    }
}

/// Returns whether the device was so before.
async fn change_one(
    store: &dyn Store,
    id: &str,
    wanted: DeviceStanding,
    event: Event,
    comment: Option<String>,
) -> Result<bool, Error> {
    let event = event.with("device", id).with_some("comment", comment);
    let change = |device: &Device| {
        (device.standing != wanted).then(|| Device { standing: wanted, ..device.clone() })
    };
    Ok(changed(store, id, event, |device| Ok(change(device))).await?.1)
}

impl Handle for api::ChangeTags {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let Self { device, set, remove } = self;
        if set.is_empty() && remove.is_empty() {
            return Err(invalid("tags", "", "at least one to set or to remove"));
        }
        let set: Vec<(String, String)> =
            set.iter().map(|(name, value)| tag(name, value)).collect::<Result<_, _>>()?;
        let remove: Vec<String> =
            remove.iter().map(|name| tag_name(name)).collect::<Result<_, _>>()?;
        let shown: Vec<String> =
            set.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let event = Event::new(admin.clock.now(), Name::DeviceTagged, actor.clone())
            .with("device", &device)
            .with_some("set", Some(shown.join(" ")).filter(|text| !text.is_empty()))
            .with_some("removed", Some(remove.join(" ")).filter(|text| !text.is_empty()));
        let change = |device: &Device| {
            let mut new = device.clone();
            new.tags.extend(set.iter().cloned());
            remove.iter().for_each(|name| _ = new.tags.remove(name));
            check_tags(&new.tags)?;
            Ok(Some(new).filter(|new| new != device))
        };
        let (device, _) = changed(&*admin.store, &device, event, change).await?;
        let is_active = is_active(&*admin.store, &device.id).await?;
        Ok(entry(device, is_active))
    }
}

/// Changes a device's record. Returns it, and whether it was so before.
async fn changed(
    store: &dyn Store,
    id: &str,
    event: Event,
    change: impl Fn(&Device) -> Result<Option<Device>, Error>,
) -> Result<(Device, bool), Error> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let seen = find_device(store, id).await?;
        let Some(new) = change(&seen)? else { return Ok((seen, true)) };
        match store.change_device(&seen, new.clone(), event.clone()).await {
            Ok(()) => return Ok((new, false)),
            Err(error @ store::Error::Changed(_)) => last = Some(error),
            Err(other) => return Err(other.into()),
        }
    }
    Err(last.map_or_else(|| Error::Internal("no attempt".to_owned()), Error::from))
}
