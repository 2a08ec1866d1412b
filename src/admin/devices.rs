//! Registers, lists and shows devices.

use super::{
    certificates::certificate_entry,
    error::{Error, invalid},
    registration::{device_of, find_device, tag_name},
    service::{Admin, Handle},
    tokens::token_entry,
    values::{PAGE, any_id, cut, label, limit},
};
use crate::{
    api,
    store::{self, Device, DeviceFilter, DeviceStanding, Filter, State, Store, TokenFilter},
    telemetry::audit::{Event, Name},
    types::{Actor, DeviceId, Serial},
};
use std::{collections::VecDeque, sync::Arc};
use tokio::task::JoinSet;

/// Devices whose certificates a call looks for before it answers with the matches so far.
const LOOKED_AT: usize = 5_000;

/// Maximum number of devices whose certificates are looked for concurrently.
const AT_ONCE: usize = 64;

/// Certificates that are looked at at once.
const FIRST: usize = 4;

/// Certificates and tokens that are shown of a device.
const SHOWN: usize = 100;

/// Certificates of a device that are counted.
const COUNTED: u64 = 20_000;

impl Handle for api::NewDevice {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let now = admin.clock.now();
        let device = device_of(&self, now)?;
        let event = Event::new(now, Name::DeviceAdded, actor.clone())
            .with("device", &device.id)
            .with("identifiers", self.identifiers.join("; "))
            .with_some("labels", self.labels.map(|labels| labels.join(", ")))
            .with_some("quota", device.quota);
        admin.store.add_device(device.clone(), event).await?;
        Ok(entry(device, false))
    }
}

impl Handle for api::DeviceQuery {
    /// Lists devices, a page at a time. Whether a device is active depends on its certificates, so a
    /// call with such a condition looks at a limited number of devices.
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let (standing, active) = match self.state.as_deref() {
            None => (None, None),
            Some("registered") => (Some(DeviceStanding::Enabled), Some(false)),
            Some("active") => (Some(DeviceStanding::Enabled), Some(true)),
            Some("blocked") => (Some(DeviceStanding::Blocked), None),
            Some("retired") => (Some(DeviceStanding::Retired), None),
            Some(other) => {
                return Err(invalid("state", other, "registered, active, blocked or retired"));
            }
        };
        let filter = DeviceFilter {
            part: self.search,
            standing,
            label: self.label.as_deref().map(label).transpose()?,
            tag: self.tag.as_deref().map(tag_condition).transpose()?,
        };
        let limit = limit(self.limit, 100)?;
        let mut after = self.after.as_deref().map(any_id).transpose()?;
        let (mut found, mut left) = (Vec::new(), LOOKED_AT);
        loop {
            let size = if active.is_some() { PAGE } else { limit + 1 };
            let page = admin.store.devices(&filter, after.as_ref(), size).await?;
            left = left.saturating_sub(page.len());
            let is_last = page.len() < size;
            for (device, is_active) in with_activity(&admin.store, page).await? {
                if found.len() == limit {
                    return Ok(api::DeviceList { devices: found, next: text(after) });
                }
                after = Some(device.id.clone());
                if active.is_none_or(|wanted| wanted == is_active) {
                    found.push(entry(device, is_active));
                }
            }
            if is_last || left == 0 {
                let next = text(after).filter(|_| !is_last);
                return Ok(api::DeviceList { devices: found, next });
            }
        }
    }
}

impl Handle for api::ShowDevice {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let now = admin.clock.now();
        let device = find_device(&*admin.store, &self.id).await?;
        let filter = Filter { device: Some(device.id.clone()), ..Filter::default() };
        let (mut last, mut count) = (VecDeque::new(), 0_u64);
        let mut after: Option<Serial> = None;
        loop {
            let page = admin.store.list(&filter, after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            for issuance in page {
                count += 1;
                after = Some(issuance.intent.serial.clone());
                if last.len() == SHOWN {
                    last.pop_front();
                }
                last.push_back(issuance);
            }
            if is_last || count >= COUNTED {
                break;
            }
        }
        let of_device = TokenFilter { device: Some(device.id.clone()), ..TokenFilter::default() };
        let tokens = admin.store.tokens(&of_device, None, SHOWN + 1).await?;
        let is_active = is_active(&*admin.store, &device.id).await?;
        Ok(api::DeviceDetails {
            device: entry(device, is_active),
            certificates: last.iter().map(|one| certificate_entry(one, now, false)).collect(),
            certificate_count: count,
            more_tokens: tokens.len() > SHOWN,
            tokens: tokens.iter().take(SHOWN).map(|token| token_entry(token, now)).collect(),
        })
    }
}

/// Returns the entry of a device.
pub(super) fn entry(device: Device, is_active: bool) -> api::DeviceEntry {
    let state = match device.standing {
        DeviceStanding::Enabled if is_active => "active",
        DeviceStanding::Enabled => "registered",
        DeviceStanding::Blocked => "blocked",
        DeviceStanding::Retired => "retired",
    };
    let labels = device.labels.as_ref();
    api::DeviceEntry {
        id: device.id.to_string(),
        state: state.to_owned(),
        identifiers: device.identifiers.iter().map(ToString::to_string).collect(),
        labels: labels.map(|labels| labels.iter().map(ToString::to_string).collect()),
        quota: device.quota,
        from: device.from.map(|time| time.to_string()),
        until: device.until.map(|time| time.to_string()),
        tags: device.tags,
        registered: device.registered.to_string(),
    }
}

/// Returns whether the device had a certificate: issued, or revoked since.
pub(super) async fn is_active(store: &dyn Store, id: &DeviceId) -> Result<bool, store::Error> {
    let filter = Filter { device: Some(id.clone()), ..Filter::default() };
    let mut after: Option<Serial> = None;
    loop {
        // The first one is issued, but for crashes.
        let page = store.list(&filter, after.as_ref(), FIRST).await?;
        if page.iter().any(|one| matches!(one.state, State::Issued | State::Revoked)) {
            return Ok(true);
        }
        match page.last() {
            Some(last) if page.len() == FIRST => after = Some(last.intent.serial.clone()),
            _ => return Ok(false),
        }
    }
}

/// Returns each device with whether it had a certificate, where its state depends on that.
async fn with_activity(
    store: &Arc<dyn Store>,
    devices: Vec<Device>,
) -> Result<Vec<(Device, bool)>, Error> {
    let mut found: Vec<(Device, bool)> = devices.into_iter().map(|one| (one, false)).collect();
    let enabled =
        |(_, (device, _)): &(usize, &(Device, bool))| device.standing == DeviceStanding::Enabled;
    let ids: Vec<(usize, DeviceId)> = found
        .iter()
        .enumerate()
        .filter(enabled)
        .map(|(place, (device, _))| (place, device.id.clone()))
        .collect();
    let (mut left, mut running) = (ids.into_iter(), JoinSet::new());
    loop {
        while running.len() < AT_ONCE
            && let Some((place, id)) = left.next()
        {
            let store = Arc::clone(store);
            running.spawn(async move { (place, is_active(&*store, &id).await) });
        }
        match running.join_next().await {
            None => return Ok(found),
            Some(Ok((place, is_active))) => {
                let is_active = is_active?;
                if let Some((_, known)) = found.get_mut(place) {
                    *known = is_active;
                }
            }
            Some(Err(error)) => return Err(Error::Internal(error.to_string())),
        }
    }
}

fn tag_condition(text: &str) -> Result<(String, Option<String>), Error> {
    let (name, value) =
        text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
    match tag_name(name) {
        Ok(name) => Ok((name, value)),
        Err(_) => Err(invalid("tag", cut(text), "NAME or NAME=VALUE")),
    }
}

fn text(id: Option<DeviceId>) -> Option<String> {
    id.map(|id| id.to_string())
}
