//! The conditions of an order, read without recording it: for an explanation. The store decides on them in
//! the step that records.

use super::{Authenticator, Error, Identity};
use crate::{
    ca::{Order, OrderedDevice},
    store::{Filter, Issuance, State, Unmet},
    types::{DeviceId, Operation, Time},
};
use std::sync::Arc;

/// Certificates that are looked at: more than any quota.
const MOST: usize = 10_001;

impl Authenticator {
    /// Checks the conditions under which an order would be recorded now. A retry has none.
    ///
    /// # Errors
    /// The rejection; [`Error::Store`].
    pub(super) async fn foresee(
        &self,
        order: &Order,
        identity: &Identity,
        now: Time,
    ) -> Result<(), Error> {
        if self.store.first_answer(&order.idempotency_key, now).await?.is_some() {
            return Ok(());
        }
        let used = identity.token.as_ref().and_then(|token| token.consumed_by.clone());
        if let Some(serial) = used {
            return Err(Unmet::ConsumedToken(serial).into());
        }
        let device = match &order.device {
            OrderedDevice::Known(id) => Some(id),
            OrderedDevice::Nothing | OrderedDevice::New => None,
        };
        // A key that the server makes is new.
        if order.conditions.own_key && order.operation != Some(Operation::ServerKeyGen) {
            self.foresee_key(order, device).await?;
        }
        match device {
            Some(device) => self.foresee_quota(order, device, now).await,
            None => Ok(()),
        }
    }

    async fn foresee_key(&self, order: &Order, device: Option<&DeviceId>) -> Result<(), Error> {
        let key = order.content.key_sha256();
        let same = self.list(Filter { key: Some(key), ..Filter::default() }).await?;
        let of_line =
            same.iter().find(|one| Some(&one.intent.serial) == order.predecessor.as_ref());
        let is_kept_line = of_line.is_some_and(|one| one.intent.device.is_none());
        let other = same.iter().map(|one| &one.intent).find(|one| match &one.device {
            None => !is_kept_line,
            other => other.as_ref() != device,
        });
        other.map_or(Ok(()), |one| {
            Err(Unmet::Key { device: one.device.clone(), serial: one.serial.clone() }.into())
        })
    }

    async fn foresee_quota(
        &self,
        order: &Order,
        device: &DeviceId,
        now: Time,
    ) -> Result<(), Error> {
        let record = self.store.device(device).await?;
        let quota = record.and_then(|record| record.quota).or(order.conditions.quota);
        let Some(quota) = quota else { return Ok(()) };
        let filter =
            Filter { device: Some(device.clone()), expires_from: Some(now), ..Filter::default() };
        let all = self.list(filter).await?;
        let is_renewed = |one: &Issuance| {
            let serial = Some(&one.intent.serial);
            order.predecessor.as_ref() == serial
                || all.iter().any(|other| other.intent.predecessor.as_ref() == serial)
        };
        let counts = |one: &&Arc<Issuance>| {
            matches!(one.state, State::Open | State::Issued) && !is_renewed(one)
        };
        let valid = u32::try_from(all.iter().filter(counts).count()).unwrap_or(u32::MAX);
        if valid < quota { Ok(()) } else { Err(Unmet::Quota { quota, valid }.into()) }
    }

    /// Lists records that are not void.
    async fn list(&self, filter: Filter) -> Result<Vec<Arc<Issuance>>, Error> {
        let mut all = self.store.list(&filter, None, MOST).await?;
        all.retain(|one| one.state != State::Void);
        Ok(all)
    }
}
