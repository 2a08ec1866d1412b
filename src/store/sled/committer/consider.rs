//! What becomes of a change: decides on it by what is in memory, in the plan and on the disk, and
//! puts what it writes into the plan.

use super::{
    super::{
        super::{Error, Issuance, State},
        change::{Change, Outcome, Told},
        disk::{USUAL, store_error},
    },
    memory::Memory,
    plan::Plan,
};
use std::sync::Arc;

impl Memory {
    /// Decides on one change and puts what it writes into the plan.
    pub(super) fn consider(&mut self, plan: &mut Plan, change: Change) -> Result<Outcome, Error> {
        match change {
            Change::Begin { record, item, revoked } => {
                // What is revoked stays so: nothing can have changed since it was seen.
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
                    // Somebody else was first: the caller reads what became of it.
                    return Ok(Outcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.certificates.push((serial.as_bytes().into(), value.into()));
                plan.ended.insert(serial);
                plan.tell(event)
            }
            Change::AddAccount { name, value, event } => {
                if self.has_account(plan, &name)? {
                    return Ok(Outcome::Not);
                }
                plan.large |= value.len() > USUAL;
                plan.accounts.insert(name, Some(value.into()));
                plan.tell(event)
            }
            Change::RemoveAccount { name, event } => {
                if !self.has_account(plan, &name)? {
                    return Ok(Outcome::Not);
                }
                plan.accounts.insert(name, None);
                plan.tell(event)
            }
            Change::Append { event } => plan.tell(event),
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
        event: Told,
    ) -> Result<Outcome, Error> {
        let intent = &record.intent;
        if !self.leave_open(plan, &intent.serial) {
            // Somebody else was first: the caller reads what became of it.
            return Ok(Outcome::Not);
        }
        if record.state == State::Void {
            self.requests.forget(&intent.idempotency_key, &intent.serial);
        }
        plan.take_ended(intent, value, recent)?;
        plan.tell(event)
    }

    fn has_account(&self, plan: &Plan, name: &str) -> Result<bool, Error> {
        match plan.accounts.get(name) {
            Some(change) => Ok(change.is_some()),
            None => self.trees.accounts.contains_key(name).map_err(store_error),
        }
    }
}
