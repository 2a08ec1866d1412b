//! Evaluates changes against memory, plan and disk, and adds their writes to the plan.

use super::{
    super::{
        super::{Conditions, Error, Issuance, State, format},
        change::{NewEvent, SledChange, SledOutcome},
        disk::{USUAL, store_error},
        index::IndexItem,
    },
    memory::Memory,
    plan::BatchPlan,
};
use std::sync::Arc;

impl Memory {
    /// Evaluates one change and adds its writes to the plan.
    pub(super) fn consider(
        &mut self,
        plan: &mut BatchPlan,
        change: SledChange,
    ) -> Result<SledOutcome, Error> {
        match change {
            SledChange::Begin { record, item, revoked, conditions } => {
                // A revocation is final: the record cannot have changed since it was read.
                if let Some(serial) = revoked {
                    self.requests.forget(&record.intent.idempotency_key, &serial);
                }
                self.begin(plan, record, &item, &conditions)
            }
            SledChange::End { record, value, recent, event } => {
                self.end(plan, &record, value, &recent, event)
            }
            SledChange::Revoke { record, seen, value, event } => {
                let serial = record.intent.serial.clone();
                let now = self.trees.certificates.get(serial.as_bytes()).map_err(store_error)?;
                if plan.ended.contains(&serial) || now.is_none_or(|now| now != seen) {
                    // Another caller was first: this one reads the outcome.
                    return Ok(SledOutcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.certificates.push((serial.as_bytes().into(), value.into()));
                plan.ended.insert(serial);
                plan.index.push(&format::record_item(&IndexItem::new(&record, true))?)?;
                self.shared.index_mut(|index| index.set_state(&record));
                plan.push_event(event)
            }
            SledChange::AddAccount { name, value, event } => {
                if self.has_account(plan, &name)? {
                    return Ok(SledOutcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.accounts.insert(name, Some(value.into()));
                plan.push_event(event)
            }
            SledChange::ChangeAccount { name, seen, value, event } => {
                let now = match plan.accounts.get(&name) {
                    Some(change) => change.clone(),
                    None => self.trees.accounts.get(&name).map_err(store_error)?,
                };
                // Compared as records: an earlier version may have written the stored one.
                let seen = format::read_account(&seen)?;
                if now.map(|now| format::read_account(&now)).transpose()? != Some(seen) {
                    return Ok(SledOutcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.accounts.insert(name, Some(value.into()));
                plan.push_event(event)
            }
            SledChange::RemoveAccount { name, event } => {
                if !self.has_account(plan, &name)? {
                    return Ok(SledOutcome::Not);
                }
                plan.accounts.insert(name, None);
                plan.push_event(event)
            }
            SledChange::Append { event } => plan.push_event(event),
            SledChange::CompareAndSet { name, expected, value } => {
                let now = self.register(plan, &name)?;
                if now.as_deref() != expected.as_deref() {
                    return Ok(SledOutcome::Otherwise(now.map(|now| now.to_vec())));
                }
                plan.large |= value.len() > USUAL;
                plan.registers.insert(name, value.into());
                Ok(SledOutcome::Done)
            }
            SledChange::Registry(change) => self.change_registry(plan, change),
            SledChange::Import(items) => self.import(plan, items),
            SledChange::Find(_) | SledChange::FindRequest(..) | SledChange::Close => {
                Ok(SledOutcome::Done)
            }
        }
    }

    fn begin(
        &mut self,
        plan: &mut BatchPlan,
        record: Arc<Issuance>,
        item: &[u8],
        conditions: &Conditions,
    ) -> Result<SledOutcome, Error> {
        let intent = &record.intent;
        let serial = &intent.serial;
        self.requests.purge(intent.begun);
        plan.now = plan.now.max(Some(intent.begun));
        if let Some(first) = self.requests.find(&intent.idempotency_key, intent.begun) {
            return Ok(match self.open.get(first) {
                Some(pending) => SledOutcome::Open(Arc::clone(&pending.record)),
                None => SledOutcome::Complete(first.clone()),
            });
        }
        let taken = self.open.contains_key(serial)
            || plan.ended.contains(serial)
            || self.trees.certificates.contains_key(serial.as_bytes()).map_err(store_error)?;
        if taken {
            return Err(Error::SerialTaken(serial.clone()));
        }
        if let Err(unmet) = self.admit(plan, intent, conditions)? {
            return Ok(SledOutcome::Unmet(unmet));
        }
        self.requests.remember(intent.idempotency_key, serial.clone(), intent.retry_until);
        self.take_open(plan, record, item)?;
        Ok(SledOutcome::Done)
    }

    fn end(
        &mut self,
        plan: &mut BatchPlan,
        record: &Issuance,
        value: Vec<u8>,
        recent: &[u8],
        event: NewEvent,
    ) -> Result<SledOutcome, Error> {
        let intent = &record.intent;
        if !self.leave_open(plan, &intent.serial) {
            // Another caller was first: this one reads the outcome.
            return Ok(SledOutcome::Not);
        }
        if record.state == State::Void {
            self.requests.forget(&intent.idempotency_key, &intent.serial);
            self.give_back(plan, intent)?;
        }
        plan.take_ended(record, value, recent)?;
        self.shared.index_mut(|index| index.set_state(record));
        plan.push_event(event)
    }

    fn has_account(&self, plan: &BatchPlan, name: &str) -> Result<bool, Error> {
        match plan.accounts.get(name) {
            Some(change) => Ok(change.is_some()),
            None => self.trees.accounts.contains_key(name).map_err(store_error),
        }
    }
}
