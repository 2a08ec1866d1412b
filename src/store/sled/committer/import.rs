//! Imports records of another store.

use super::{
    super::{
        super::{Error, Issuance, Item, State, format},
        change::SledOutcome,
        disk::{USUAL, fitting, store_error},
        index::IndexItem,
        pages::{Pages, WRITER, events},
    },
    memory::Memory,
    plan::BatchPlan,
};
use crate::telemetry::audit::EventId;
use std::{collections::btree_map::Entry, sync::Arc};

impl Memory {
    /// Imports records of another store, up to the first that differs from an existing one.
    pub(super) fn import(
        &mut self,
        plan: &mut BatchPlan,
        items: Vec<Item>,
    ) -> Result<SledOutcome, Error> {
        for item in items {
            if self.is_there(plan, &item)? {
                continue;
            }
            match item {
                Item::Issuance(record) => self.import_issuance(plan, record)?,
                Item::Account(account) => {
                    let value = format::account(&account)?;
                    plan.large |= value.len() > USUAL;
                    plan.accounts.insert(account.name, Some(value.into()));
                }
                Item::Event(id, event) => {
                    let pages = match id.writer {
                        WRITER => &mut plan.events,
                        writer => match plan.others.entry(writer) {
                            Entry::Occupied(pages) => pages.into_mut(),
                            Entry::Vacant(place) => {
                                let number = self.next_event_of(writer)?;
                                place.insert(Pages::of_events(EventId { writer, number }))
                            }
                        },
                    };
                    if pages.next() != id.number {
                        let why = format!("event {} is missing before it", pages.next());
                        return Err(Error::Conflict(format!("{}: {why}", Item::Event(id, event))));
                    }
                    let item = format::event_item(&event)?;
                    plan.large |= item.len() > USUAL;
                    pages.push(&item)?;
                }
                Item::Register(name, value) => {
                    plan.large |= value.len() > USUAL;
                    plan.registers.insert(name, value.into());
                }
                Item::Device(device) => {
                    let item = Item::Device(device.clone());
                    self.expect_new(plan, &device)
                        .map_err(|error| Error::Conflict(format!("{item}: {error}")))?;
                    self.put_device(plan, *device, None)?;
                }
                Item::Token(token) => drop(plan.tokens.insert(token.id, *token)),
            }
        }
        Ok(SledOutcome::Done)
    }

    /// Whether an equal item exists.
    fn is_there(&self, plan: &BatchPlan, item: &Item) -> Result<bool, Error> {
        let conflict =
            |equal| if equal { Ok(true) } else { Err(Error::Conflict(item.to_string())) };
        match item {
            Item::Issuance(record) => {
                let serial = &record.intent.serial;
                if let Some(pending) = self.open.get(serial) {
                    return conflict(pending.record == *record);
                }
                let value = self.trees.certificates.get(serial.as_bytes()).map_err(store_error)?;
                let Some(value) = value else { return Ok(false) };
                conflict(format::read_issuance(&value)? == **record)
            }
            Item::Account(account) => {
                let value = self.trees.accounts.get(&account.name).map_err(store_error)?;
                let Some(value) = value else { return Ok(false) };
                conflict(format::read_account(&value)? == *account)
            }
            Item::Event(id, event) => {
                let found = events(&self.trees, *id, self.last_event(), 1)?;
                match found.first() {
                    Some((there, known)) if there == id => conflict(known == event),
                    _ => Ok(false),
                }
            }
            Item::Register(name, value) => match self.register(plan, name)? {
                Some(known) => conflict(known == value.as_slice()),
                None => Ok(false),
            },
            Item::Device(device) => match self.device(plan, &device.id)? {
                Some(known) => conflict(known == **device),
                None => Ok(false),
            },
            Item::Token(token) => match self.token(plan, &token.id)? {
                Some(known) => conflict(known == **token),
                None => Ok(false),
            },
        }
    }

    fn import_issuance(
        &mut self,
        plan: &mut BatchPlan,
        record: Arc<Issuance>,
    ) -> Result<(), Error> {
        let intent = &record.intent;
        let until = intent.retry_until;
        if record.state.answers_repeats() && until > self.now {
            self.requests.restore(intent.idempotency_key, intent.serial.clone(), until);
        }
        if record.state == State::Open {
            let item = fitting(format::intent_item(intent)?)?;
            return self.take_open(plan, record, &item);
        }
        let value = fitting(format::issuance(&record)?)?;
        // An expired window is of no use at the next start.
        let over = until <= self.now;
        let repeats =
            !over && record.state == State::Issued && record.ended.is_some_and(|end| end < until);
        let recent = if repeats { format::recent_item(intent)? } else { Vec::new() };
        self.shared.index_mut(|index| index.add(&IndexItem::new(&record, false)));
        plan.take_ended(&record, value, &recent)
    }
}
