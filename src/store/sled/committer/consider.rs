//! Evaluates changes against memory, plan and disk, and adds their writes to the plan.

use super::{
    super::{
        super::{Error, Issuance, State},
        change::{Change, NewEvent, Outcome},
        disk::{USUAL, store_error},
    },
    memory::Memory,
    plan::Plan,
};
use std::sync::Arc;

impl Memory {
    /// Evaluates one change and adds its writes to the plan.
    pub(super) fn consider(&mut self, plan: &mut Plan, change: Change) -> Result<Outcome, Error> {
        match change {
            Change::Begin { record, item, revoked } => {
                // A revocation is final: the record cannot have changed since it was read.
                if let Some(serial) = revoked {
                    self.requests.forget(&record.intent.idempotency_key, &serial);
                }
                self.begin(plan, record, &item)
            }
            Change::End { record, value, recent, event } => {
                self.end(plan, &record, value, &recent, event)
            }
            Change::Revoke { serial, seen, value, event } => {
                let now = self.trees.certificates.get(serial.as_bytes()).map_err(store_error)?;
                if plan.ended.contains(&serial) || now.is_none_or(|now| now != seen) {
                    // Another caller was first: this one reads the outcome.
                    return Ok(Outcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.certificates.push((serial.as_bytes().into(), value.into()));
                plan.ended.insert(serial);
                plan.push_event(event)
            }
            Change::AddAccount { name, value, event } => {
                if self.has_account(plan, &name)? {
                    return Ok(Outcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.accounts.insert(name, Some(value.into()));
                plan.push_event(event)
            }
            Change::RemoveAccount { name, event } => {
                if !self.has_account(plan, &name)? {
                    return Ok(Outcome::Not);
                }
                plan.accounts.insert(name, None);
                plan.push_event(event)
            }
            Change::Append { event } => plan.push_event(event),
            Change::CompareAndSet { name, expected, value } => {
                let now = self.register(plan, &name)?;
                if now.as_deref() != expected.as_deref() {
                    return Ok(Outcome::Otherwise(now.map(|now| now.to_vec())));
                }
                plan.large |= value.len() > USUAL;
                plan.registers.insert(name, value.into());
                Ok(Outcome::Done)
            }
            Change::Import(items) => self.import(plan, items),
            Change::Find(_) | Change::Close => Ok(Outcome::Done),
        }
    }

    fn begin(
        &mut self,
        plan: &mut Plan,
        record: Arc<Issuance>,
        item: &[u8],
    ) -> Result<Outcome, Error> {
        let intent = &record.intent;
        let serial = &intent.serial;
        self.requests.purge(intent.begun);
        plan.now = plan.now.max(Some(intent.begun));
        if let Some(first) = self.requests.find(&intent.idempotency_key, intent.begun) {
            return Ok(match self.open.get(first) {
                Some(pending) => Outcome::Open(Arc::clone(&pending.record)),
                None => Outcome::Complete(first.clone()),
            });
        }
        let taken = self.open.contains_key(serial)
            || plan.ended.contains(serial)
            || self.trees.certificates.contains_key(serial.as_bytes()).map_err(store_error)?;
        if taken {
            return Err(Error::SerialTaken(serial.clone()));
        }
        self.requests.remember(intent.idempotency_key, serial.clone(), intent.retry_until);
        self.take_open(plan, record, item)?;
        Ok(Outcome::Done)
    }

    fn end(
        &mut self,
        plan: &mut Plan,
        record: &Issuance,
        value: Vec<u8>,
        recent: &[u8],
        event: NewEvent,
    ) -> Result<Outcome, Error> {
        let intent = &record.intent;
        if !self.leave_open(plan, &intent.serial) {
            // Another caller was first: this one reads the outcome.
            return Ok(Outcome::Not);
        }
        if record.state == State::Void {
            self.requests.forget(&intent.idempotency_key, &intent.serial);
        }
        plan.take_ended(intent, value, recent)?;
        plan.push_event(event)
    }

    fn has_account(&self, plan: &Plan, name: &str) -> Result<bool, Error> {
        match plan.accounts.get(name) {
            Some(change) => Ok(change.is_some()),
            None => self.trees.accounts.contains_key(name).map_err(store_error),
        }
    }
}
