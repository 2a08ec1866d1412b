//! Pages: small items packed into values, and their keys.

use super::{
    super::{Error, format},
    disk::{Trees, USUAL, store_error},
};
use crate::telemetry::audit::{Event, EventId};
use ::sled::IVec;

/// The writer of this store's events: there is one.
pub(super) const WRITER: u64 = 1;

/// Packs items into pages of usual size: one value for each item would cost an insert each.
pub(super) struct Pages {
    /// The writer of the events; none for other items.
    writer: Option<u64>,
    /// The number of the page's first item: its key, after the writer.
    first: u64,
    count: u64,
    items: Vec<u8>,
    /// Finished pages.
    pub(super) full: Vec<(IVec, IVec)>,
}

impl Pages {
    pub(super) const fn new(first: u64) -> Self {
        Self { writer: None, first, count: 0, items: Vec::new(), full: Vec::new() }
    }

    pub(super) fn of_events(first: EventId) -> Self {
        Self { writer: Some(first.writer), ..Self::new(first.number) }
    }

    /// Adds an item. Returns the number of its page.
    pub(super) fn push(&mut self, item: &[u8]) -> Result<u64, Error> {
        if self.count > 0 && self.items.len() + item.len() > USUAL {
            self.finish()?;
        }
        self.items.extend_from_slice(item);
        self.count += 1;
        Ok(self.first)
    }

    /// The number of the next item.
    pub(super) const fn next(&self) -> u64 {
        self.first + self.count
    }

    /// Finishes the current page.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if self.count > 0 {
            let page = format::page(self.count, &self.items)?;
            let key = match self.writer {
                Some(writer) => event_key(EventId { writer, number: self.first }),
                None => key(self.first),
            };
            self.full.push((key, page.into()));
            self.first += self.count;
            self.count = 0;
            self.items.clear();
        }
        Ok(())
    }
}

/// The key of a page without events. Big-endian, so that the tree has the order of the numbers.
pub(super) fn key(number: u64) -> IVec {
    IVec::from(&number.to_be_bytes())
}

/// The key of a page of events.
pub(super) fn event_key(first: EventId) -> IVec {
    let mut key = [0; 16];
    let (writer, number) = key.split_at_mut(8);
    writer.copy_from_slice(&first.writer.to_be_bytes());
    number.copy_from_slice(&first.number.to_be_bytes());
    IVec::from(&key)
}

/// The first event of a page.
pub(super) fn event_id(key: &[u8]) -> Result<EventId, Error> {
    let (writer, first) = key.split_at_checked(8).unwrap_or_default();
    Ok(EventId { writer: number(writer)?, number: number(first)? })
}

/// The number of the first item of a page.
pub(super) fn number(key: &[u8]) -> Result<u64, Error> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| {
        Error::Corrupt("a page without a number; restore the store's folder from a backup".into())
    })
}

/// Reads at most `limit` events from `from` on; those of this store's own writer up to `last`.
pub(super) fn events(
    trees: &Trees,
    from: EventId,
    last: u64,
    limit: usize,
) -> Result<Vec<(EventId, Event)>, Error> {
    let mut found = Vec::new();
    // The page that holds `from` begins at it or before it.
    let before = trees.events.range(..=event_key(from)).next_back();
    let start = match before.transpose().map_err(store_error)? {
        Some((key, _)) => key,
        None => IVec::default(),
    };
    for entry in trees.events.range(start..) {
        let (key, page) = entry.map_err(store_error)?;
        let first = event_id(&key)?;
        for (number, event) in (first.number..).zip(format::read_events(&page)?) {
            let id = EventId { number, ..first };
            if found.len() >= limit {
                return Ok(found);
            }
            let durable = id.writer != WRITER || number <= last;
            if id >= from && durable {
                found.push((id, event));
            }
        }
    }
    Ok(found)
}
