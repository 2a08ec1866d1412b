//! The index of issuances in memory: by device, key and predecessor, by `notAfter` and time of revocation.
//!
//! It holds some 80 bytes and up to three references for each issuance, and begins of digests in place of values. So
//! it finds candidates: the caller looks at the record. A tree of random keys would cost an
//! insert for each (docs/performance.md). It is built at the start from the tree `index`, whose pages are
//! written with each batch.

use super::{
    super::{Error, Filter, Issuance, State, format},
    disk::{COMPLETE, Disk, Trees, store_error},
    pages::Pages,
};
use crate::{
    failpoint::failpoint,
    types::{DeviceId, Serial, Time},
};
use aws_lc_rs::digest::{SHA256, digest};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::collections::BinaryHeap;

/// The begin of a digest; 0 stands for none.
type DigestBegin = u64;

/// The end of a chain.
const NONE: u32 = u32::MAX;

fn begin_of(digest: &[u8]) -> DigestBegin {
    let begin = digest.first_chunk().map_or(1, |begin| u64::from_le_bytes(*begin));
    begin.max(1)
}

fn hashed(bytes: &[u8]) -> DigestBegin {
    begin_of(digest(&SHA256, bytes).as_ref())
}

/// Minutes since 1970, so that all times of X.509 fit.
fn minutes(time: Time) -> u32 {
    u32::try_from(time.unix() / 60).unwrap_or(u32::MAX)
}

/// The time of its revocation in minutes, and one more; 0 unless revoked.
fn revoked_at(record: &Issuance) -> u32 {
    record.revocation.map_or(0, |revocation| minutes(revocation.at).saturating_add(1))
}

/// The stored item of an ended issuance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexItem {
    serial: Serial,
    device: [u8; 8],
    key: [u8; 8],
    predecessor: [u8; 8],
    not_after: u32,
    /// The number of the state.
    state: u8,
    /// In minutes and one more; 0 unless revoked.
    revoked: u32,
    /// Whether an earlier item has the same serial number.
    again: bool,
}

const fn number(state: State) -> u8 {
    match state {
        State::Open => 1,
        State::Issued => 2,
        State::Void => 3,
        State::Revoked => 4,
    }
}

impl IndexItem {
    /// Describes an issuance. `again`: it was described before.
    pub(super) fn new(record: &Issuance, again: bool) -> Self {
        let intent = &record.intent;
        Self {
            serial: intent.serial.clone(),
            device: intent.device.as_ref().map_or(0, device_begin).to_le_bytes(),
            key: begin_of(&intent.spki_sha256).to_le_bytes(),
            predecessor: intent.predecessor.as_ref().map_or(0, serial_begin).to_le_bytes(),
            not_after: minutes(intent.not_after),
            state: number(record.state),
            revoked: revoked_at(record),
            again,
        }
    }
}

fn device_begin(device: &DeviceId) -> DigestBegin {
    hashed(device.as_str().as_bytes())
}

fn serial_begin(serial: &Serial) -> DigestBegin {
    hashed(serial.as_bytes())
}

/// One issuance. Small: a store may have millions.
struct IndexEntry {
    device: DigestBegin,
    key: DigestBegin,
    predecessor: DigestBegin,
    /// The next ones of the same device, key and predecessor.
    next: [u32; 3],
    serial: [u8; 20],
    length: u8,
}

/// The part of an issuance that a search by time reads: apart, so that it reads little.
#[derive(Clone, Copy)]
struct Dates {
    not_after: u32,
    revoked: u32,
    state: u8,
}

/// A number of issuances after each other, and the bounds of their values: most of a search skips them.
struct Stretch {
    first: Vec<u8>,
    last: Vec<u8>,
    not_after: (u32, u32),
    /// The latest revocation; 0 without one.
    revoked: u32,
}

/// Issuances of a stretch.
const STRETCH: usize = 512;

impl IndexEntry {
    fn serial(&self) -> &[u8] {
        self.serial.get(..usize::from(self.length)).unwrap_or(&self.serial)
    }
}

/// The value that a chain has in common.
#[derive(Clone, Copy)]
enum By {
    Device,
    Key,
    Predecessor,
}

impl By {
    const ALL: [Self; 3] = [Self::Device, Self::Key, Self::Predecessor];

    const fn of(self, entry: &IndexEntry) -> DigestBegin {
        match self {
            Self::Device => entry.device,
            Self::Key => entry.key,
            Self::Predecessor => entry.predecessor,
        }
    }

    fn next(self, entry: &IndexEntry) -> u32 {
        let [device, key, predecessor] = entry.next;
        match self {
            Self::Device => device,
            Self::Key => key,
            Self::Predecessor => predecessor,
        }
    }

    fn set_next(self, entry: &mut IndexEntry, next: u32) {
        let [device, key, predecessor] = &mut entry.next;
        *match self {
            Self::Device => device,
            Self::Key => key,
            Self::Predecessor => predecessor,
        } = next;
    }
}

/// The index.
#[derive(Default)]
pub(super) struct Index {
    entries: Vec<IndexEntry>,
    dates: Vec<Dates>,
    stretches: Vec<Stretch>,
    /// The first of each chain: an issuance that came later stands before the others.
    devices: HashTable<u32>,
    keys: HashTable<u32>,
    predecessors: HashTable<u32>,
}

/// An issuance as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) serial: Vec<u8>,
    device: DigestBegin,
    not_after: u32,
    state: u8,
}

impl Candidate {
    /// Whether it may count for a quota at this time.
    pub(super) fn may_count(&self, at: Time) -> bool {
        (self.state == number(State::Open) || self.state == number(State::Issued))
            && self.not_after >= minutes(at)
    }

    /// Whether it has no certificate and never will.
    pub(super) const fn is_void(&self) -> bool {
        self.state == number(State::Void)
    }

    /// Whether it is of this device, or of none.
    pub(super) fn is_of(&self, device: Option<&DeviceId>) -> bool {
        self.device == device.map_or(0, device_begin)
    }
}

fn place(index: u32) -> usize {
    index as usize
}

impl Index {
    /// Adds a stored item.
    pub(super) fn add(&mut self, item: &IndexItem) {
        let key = DigestBegin::from_le_bytes(item.key);
        if item.again && self.update(key, item.serial.as_bytes(), item.state, item.revoked) {
            return;
        }
        let mut serial = [0; 20];
        let bytes = item.serial.as_bytes();
        for (to, from) in serial.iter_mut().zip(bytes) {
            *to = *from;
        }
        let entry = IndexEntry {
            device: DigestBegin::from_le_bytes(item.device),
            key,
            predecessor: DigestBegin::from_le_bytes(item.predecessor),
            next: [NONE; 3],
            serial,
            length: u8::try_from(bytes.len()).unwrap_or(20),
        };
        let (not_after, revoked, state) = (item.not_after, item.revoked, item.state);
        self.insert(entry, Dates { not_after, revoked, state });
    }

    /// Notes the state that an issuance has now.
    pub(super) fn set_state(&mut self, record: &Issuance) {
        let key = begin_of(&record.intent.spki_sha256);
        let revoked = revoked_at(record);
        self.update(key, record.intent.serial.as_bytes(), number(record.state), revoked);
    }

    fn update(&mut self, key: DigestBegin, serial: &[u8], state: u8, revoked: u32) -> bool {
        let found = self.chain(By::Key, key).find(|(_, entry)| entry.serial() == serial);
        let Some(index) = found.map(|(index, _)| index) else { return false };
        if let Some(dates) = self.dates.get_mut(place(index)) {
            dates.state = state;
            dates.revoked = revoked;
        }
        if let Some(stretch) = self.stretches.get_mut(place(index) / STRETCH) {
            stretch.revoked = stretch.revoked.max(revoked);
        }
        true
    }

    fn insert(&mut self, mut entry: IndexEntry, dates: Dates) {
        // Four thousand million issuances are more than a folder holds.
        let Ok(index) = u32::try_from(self.entries.len()) else { return };
        let Self { entries, devices, keys, predecessors, .. } = self;
        for (by, table) in By::ALL.into_iter().zip([devices, keys, predecessors]) {
            let value = by.of(&entry);
            if value == 0 {
                continue;
            }
            let of = |index: &u32| entries.get(place(*index)).map_or(0, |entry| by.of(entry));
            let found = table.entry(value, |index| of(index) == value, of);
            match found {
                hashbrown::hash_table::Entry::Occupied(mut head) => {
                    by.set_next(&mut entry, *head.get());
                    *head.get_mut() = index;
                }
                hashbrown::hash_table::Entry::Vacant(head) => drop(head.insert(index)),
            }
        }
        self.widen(entry.serial(), dates);
        self.entries.push(entry);
        self.dates.push(dates);
    }

    /// Counts the next issuance in the bounds of its stretch.
    fn widen(&mut self, serial: &[u8], dates: Dates) {
        let Dates { not_after, revoked, .. } = dates;
        if self.entries.len().is_multiple_of(STRETCH) {
            let (first, last) = (serial.to_vec(), serial.to_vec());
            self.stretches.push(Stretch {
                first,
                last,
                not_after: (not_after, not_after),
                revoked,
            });
        } else if let Some(stretch) = self.stretches.last_mut() {
            if serial < &*stretch.first {
                stretch.first = serial.to_vec();
            }
            if serial > &*stretch.last {
                stretch.last = serial.to_vec();
            }
            let (earliest, latest) = stretch.not_after;
            stretch.not_after = (earliest.min(not_after), latest.max(not_after));
            stretch.revoked = stretch.revoked.max(revoked);
        }
    }

    /// Walks the issuances that have this in common, the latest first.
    fn chain(&self, by: By, value: DigestBegin) -> impl Iterator<Item = (u32, &IndexEntry)> {
        let table = match by {
            By::Device => &self.devices,
            By::Key => &self.keys,
            By::Predecessor => &self.predecessors,
        };
        let of = |index: &u32| self.entries.get(place(*index)).map_or(0, |entry| by.of(entry));
        let mut next = table.find(value, |index| of(index) == value).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let (index, entry) = (next, self.entries.get(place(next))?);
            next = by.next(entry);
            Some((index, entry))
        })
    }

    fn candidates(&self, by: By, value: DigestBegin) -> impl Iterator<Item = Candidate> {
        self.chain(by, value).filter_map(|(index, entry)| {
            let dates = self.dates.get(place(index))?;
            Some(Candidate {
                serial: entry.serial().to_vec(),
                device: entry.device,
                not_after: dates.not_after,
                state: dates.state,
            })
        })
    }

    /// The issuances of a device.
    pub(super) fn of_device(&self, device: &DeviceId) -> impl Iterator<Item = Candidate> {
        self.candidates(By::Device, device_begin(device))
    }

    /// The issuances of a key.
    pub(super) fn of_key(&self, spki_sha256: &[u8; 32]) -> impl Iterator<Item = Candidate> {
        self.candidates(By::Key, begin_of(spki_sha256))
    }

    /// Whether the issuance has a successor that is not void.
    pub(super) fn has_successor(&self, serial: &[u8]) -> bool {
        self.candidates(By::Predecessor, hashed(serial)).any(|found| !found.is_void())
    }

    /// Returns the first `limit` serial numbers after `after` of issuances that may match the filter. None if
    /// the filter asks for nothing that the index knows: each issuance may match.
    pub(super) fn page(&self, filter: &Filter, after: &[u8], limit: usize) -> Option<Vec<Vec<u8>>> {
        let (device, key, predecessor) = (&filter.device, &filter.key, &filter.predecessor);
        let revoked = filter.state == Some(State::Revoked) || filter.revoked_from.is_some();
        let expires = filter.expires_before.is_some() || filter.expires_from.is_some();
        if device.is_none() && key.is_none() && predecessor.is_none() && !revoked && !expires {
            return None;
        }
        let (from, before) = (filter.expires_from.map(minutes), filter.expires_before.map(minutes));
        let since = filter.revoked_from.map_or(0, minutes);
        let may_match = |dates: &Dates| {
            filter.state.is_none_or(|state| dates.state == number(state))
                && (!revoked || (dates.state == number(State::Revoked) && dates.revoked > since))
                && before.is_none_or(|end| dates.not_after <= end)
                && from.is_none_or(|from| dates.not_after >= from)
        };
        let may_hold = |stretch: &Stretch| {
            let (earliest, latest) = stretch.not_after;
            &*stretch.last > after
                && (!revoked || stretch.revoked > since)
                && before.is_none_or(|end| earliest <= end)
                && from.is_none_or(|from| latest >= from)
        };
        let mut first = Smallest { kept: BinaryHeap::with_capacity(limit), limit };
        let chain = match (device, key, predecessor) {
            (Some(device), _, _) => Some((By::Device, device_begin(device))),
            (_, Some(key), _) => Some((By::Key, begin_of(key))),
            (_, _, Some(serial)) => Some((By::Predecessor, serial_begin(serial))),
            (None, None, None) => None,
        };
        if let Some((by, value)) = chain {
            for (index, entry) in self.chain(by, value) {
                if entry.serial() > after && self.dates.get(place(index)).is_some_and(may_match) {
                    first.take(entry.serial());
                }
            }
            return Some(first.sorted());
        }
        let parts = self.entries.chunks(STRETCH).zip(self.dates.chunks(STRETCH));
        for (stretch, (entries, dates)) in self.stretches.iter().zip(parts) {
            if !may_hold(stretch) || !first.would_take(&stretch.first) {
                continue;
            }
            for (entry, dates) in entries.iter().zip(dates) {
                if may_match(dates) && entry.serial() > after {
                    first.take(entry.serial());
                }
            }
        }
        Some(first.sorted())
    }
}

/// The smallest serial numbers of those that were taken.
struct Smallest<'a> {
    /// The largest of them is on top.
    kept: BinaryHeap<&'a [u8]>,
    limit: usize,
}

impl<'a> Smallest<'a> {
    fn would_take(&self, serial: &[u8]) -> bool {
        self.kept.len() < self.limit || self.kept.peek().is_some_and(|last| serial < *last)
    }

    fn take(&mut self, serial: &'a [u8]) {
        if self.kept.len() < self.limit {
            self.kept.push(serial);
        } else if let Some(mut last) = self.kept.peek_mut()
            && serial < *last
        {
            *last = serial;
        }
    }

    fn sorted(self) -> Vec<Vec<u8>> {
        self.kept.into_sorted_vec().into_iter().map(<[u8]>::to_vec).collect()
    }
}

/// Pages of one sync, while the index of an earlier layout's store is written.
const PAGES: usize = 8;

/// Writes the index of a store that has none. If it is cut, the next start begins again.
pub(super) fn complete(trees: &Trees, disk: &mut Disk) -> Result<(), Error> {
    if trees.meta.contains_key(COMPLETE).map_err(store_error)? {
        return Ok(());
    }
    trees.index.clear().map_err(store_error)?;
    let mut pages = Pages::new(1);
    for value in trees.certificates.iter().values() {
        let record = format::read_issuance(&value.map_err(store_error)?)?;
        pages.push(&format::record_item(&IndexItem::new(&record, false))?)?;
        if pages.full.len() >= PAGES {
            write(trees, disk, &mut pages)?;
        }
    }
    pages.finish()?;
    write(trees, disk, &mut pages)?;
    failpoint!("index: written");
    trees.meta.insert(COMPLETE, &[1]).map_err(store_error)?;
    disk.sync(&trees.db).map_err(Error::Unavailable)?;
    failpoint!("index: complete");
    Ok(())
}

fn write(trees: &Trees, disk: &mut Disk, pages: &mut Pages) -> Result<(), Error> {
    for (key, page) in pages.full.drain(..) {
        trees.index.insert(key, page).map_err(store_error)?;
    }
    failpoint!("index: some");
    disk.sync(&trees.db).map_err(Error::Unavailable)
}
