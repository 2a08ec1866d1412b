//! Reads, exports, imports and compares whole stores.
//!
//! Works on any [`Store`], a page at a time: a million certificates need no more memory than a
//! thousand. The order is fixed: issuances by serial number, accounts, registers, devices, tokens, events. So is the
//! text of each item (`line.rs`). Equal contents therefore have equal digests in every backend.

mod cut;
mod file;
mod hashed;
mod line;
mod source;
#[cfg(test)]
mod tests;

pub use cut::Cut;
pub use file::{Export, verify};
pub use hashed::Hashed;
pub use line::{from_line, to_line};
pub use source::Source;

use super::{Account, Item, Store};
use crate::types::counted;
use crate::{
    telemetry::audit::EventId,
    types::{DeviceId, Serial, TokenId},
};
use async_trait::async_trait;
use std::{collections::VecDeque, fmt, io};

/// How many items are read and imported at once.
const PAGE: usize = 500;

/// The reason why an export, import or copy failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] super::Error),
    /// The export cannot be read or written.
    #[error("the export: {0}")]
    File(#[from] io::Error),
    /// The export is not what was written.
    #[error("the export is damaged at line {line}: {why}")]
    Damaged {
        /// The number of the line, from 1.
        line: u64,
        /// The error in it.
        why: String,
    },
    /// The target has an item that the source lacks or has with different contents. Reported before
    /// anything is imported.
    #[error("the target is not empty, and its {0} is missing or different in the source")]
    Foreign(String),
    /// After the import, the target differs from the source.
    #[error("the target was written and differs from the source: {0}")]
    Differs(String),
}

/// The number of items of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Issuances in any state.
    pub issuances: u64,
    /// Accounts.
    pub accounts: u64,
    /// Registers.
    #[serde(alias = "decisions")]
    pub registers: u64,
    /// Registered devices.
    #[serde(default, skip_serializing_if = "is_none")]
    pub devices: u64,
    /// One-time tokens.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tokens: u64,
    /// Audit events.
    pub events: u64,
}

/// Left out if there are none, as in the exports of versions that had none.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    const fn add(&mut self, item: &Item) {
        match item {
            Item::Issuance(_) => self.issuances += 1,
            Item::Account(_) => self.accounts += 1,
            Item::Register(..) => self.registers += 1,
            Item::Device(_) => self.devices += 1,
            Item::Token(_) => self.tokens += 1,
            Item::Event(..) => self.events += 1,
        }
    }

    /// The number of all items.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.issuances + self.accounts + self.registers + self.devices + self.tokens + self.events
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuances, accounts, registers, devices, tokens, events } = self;
        write!(
            f,
            "{}, {}, {}, ",
            counted(*issuances, "issuance"),
            counted(*accounts, "account"),
            counted(*registers, "register"),
        )?;
        for (count, noun) in [(*devices, "device"), (*tokens, "token")] {
            if count > 0 {
                write!(f, "{}, ", counted(count, noun))?;
            }
        }
        write!(f, "{}", counted(*events, "event"))
    }
}

/// Everything that a store holds, counted and summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The number of items.
    pub counts: Counts,
    /// SHA-256 of the export: of its first line and the lines of all items.
    pub digest: Checksum,
}

/// SHA-256, shown as lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(pub [u8; 32]);

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The current step of an export, import or comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They are read.
    Reading,
    /// They are imported into the target.
    Importing,
    /// The target is compared with the source.
    Comparing,
}

/// Receives the step and the number of items processed, after each page.
pub type ProgressCallback<'a> = &'a mut (dyn FnMut(Step, u64) + Send);

/// The place of an item in the order in which items are read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ItemPosition {
    Issuance(Serial),
    Account(String),
    Register(String),
    Device(DeviceId),
    Token(TokenId),
    Event(EventId),
}

impl From<&Item> for ItemPosition {
    fn from(item: &Item) -> Self {
        match item {
            Item::Issuance(issuance) => Self::Issuance(issuance.intent.serial.clone()),
            Item::Account(account) => Self::Account(account.name.clone()),
            Item::Register(name, _) => Self::Register(name.clone()),
            Item::Device(device) => Self::Device(device.id.clone()),
            Item::Token(token) => Self::Token(token.id),
            Item::Event(id, _) => Self::Event(*id),
        }
    }
}

/// Items in their order, each once.
#[async_trait]
pub trait Items: Send {
    /// The next one; none after the last.
    ///
    /// # Errors
    /// [`Error`] of what they are read from.
    async fn next(&mut self) -> Result<Option<Item>, Error>;
}

/// The position of a walk.
enum Stand {
    /// The last issuance that was read.
    Issuances(Option<Serial>),
    Accounts,
    Registers,
    /// The last device, or token, that was read.
    Devices(Option<DeviceId>),
    Tokens(Option<TokenId>),
    /// The next event.
    Events(EventId),
    End,
}

/// Reads a store from its first item to its last. Nobody may change it meanwhile, unless it is
/// read as a [`Cut`].
pub struct Walk<'a> {
    source: &'a dyn Source,
    stand: Stand,
    page: VecDeque<Item>,
}

impl<'a> Walk<'a> {
    /// Begins at the first item.
    #[must_use]
    pub const fn new(source: &'a dyn Source) -> Self {
        Self { source, stand: Stand::Issuances(None), page: VecDeque::new() }
    }

    /// Reads the next page, if any items are left.
    async fn read(&mut self) -> Result<(), Error> {
        while self.page.is_empty() {
            match &self.stand {
                Stand::Issuances(after) => {
                    let found = self.source.issuances(after.as_ref(), PAGE).await?;
                    self.stand = match found.last() {
                        Some(last) => Stand::Issuances(Some(last.intent.serial.clone())),
                        None => Stand::Accounts,
                    };
                    self.page.extend(found.into_iter().map(Item::Issuance));
                }
                Stand::Accounts => {
                    let mut found: Vec<Account> = self.source.accounts().await?;
                    // A database may have an order of its own.
                    found.sort_by(|one, other| one.name.cmp(&other.name));
                    self.page.extend(found.into_iter().map(Item::Account));
                    self.stand = Stand::Registers;
                }
                Stand::Registers => {
                    let mut found = self.source.registers().await?;
                    found.sort();
                    let item = |(name, value)| Item::Register(name, value);
                    self.page.extend(found.into_iter().map(item));
                    self.stand = Stand::Devices(None);
                }
                Stand::Devices(after) => {
                    let found = self.source.devices(after.as_ref(), PAGE).await?;
                    self.stand = match found.last() {
                        Some(last) => Stand::Devices(Some(last.id.clone())),
                        None => Stand::Tokens(None),
                    };
                    self.page.extend(found.into_iter().map(|one| Item::Device(Box::new(one))));
                }
                Stand::Tokens(after) => {
                    let found = self.source.tokens(after.as_ref(), PAGE).await?;
                    self.stand = match found.last() {
                        Some(last) => Stand::Tokens(Some(last.id)),
                        None => Stand::Events(EventId { writer: 0, number: 0 }),
                    };
                    self.page.extend(found.into_iter().map(|one| Item::Token(Box::new(one))));
                }
                Stand::Events(from) => {
                    let found = self.source.events(*from, PAGE).await?;
                    self.stand = match found.last() {
                        Some((last, _)) => {
                            Stand::Events(EventId { number: last.number + 1, ..*last })
                        }
                        None => Stand::End,
                    };
                    self.page.extend(found.into_iter().map(|(id, event)| Item::Event(id, event)));
                }
                Stand::End => return Ok(()),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Items for Walk<'_> {
    async fn next(&mut self) -> Result<Option<Item>, Error> {
        if self.page.is_empty() {
            self.read().await?;
        }
        Ok(self.page.pop_front())
    }
}

/// Counts the items and sums them up.
///
/// # Errors
/// [`Error`] of what they are read from.
pub async fn summarize(
    items: &mut dyn Items,
    progress: ProgressCallback<'_>,
) -> Result<Summary, Error> {
    let mut sum = line::Sum::new(line::VERSION);
    while let Some(item) = items.next().await? {
        sum.add(&item)?;
        report(progress, Step::Reading, sum.counts().total());
    }
    Ok(sum.finish())
}

/// Writes a whole store as an export. The file that it goes to holds password hashes.
///
/// # Errors
/// [`Error::Store`], [`Error::File`].
pub async fn export(
    source: &dyn Source,
    to: &mut (dyn io::Write + Send),
    progress: ProgressCallback<'_>,
) -> Result<Summary, Error> {
    let mut export = file::ExportWriter::new(to)?;
    let mut walk = Walk::new(source);
    let mut count = 0;
    while let Some(item) = walk.next().await? {
        export.write(&item)?;
        count += 1;
        report(progress, Step::Reading, count);
    }
    Ok(export.finish()?)
}

/// Imports items into a store, then compares the store with them. `again` restarts the items: they
/// are read three times, or twice if the target is empty.
///
/// Continues an interrupted import: equal items that the target holds already are left unchanged.
/// The target may hold nothing else.
///
/// # Errors
/// [`Error::Foreign`] before anything is written; [`Error::Differs`]; [`Error::Store`];
/// [`Error::File`] and [`Error::Damaged`] of an export.
pub async fn import<'a>(
    again: &mut (dyn FnMut() -> Result<Box<dyn Items + 'a>, Error> + Send),
    to: &dyn Store,
    progress: ProgressCallback<'_>,
) -> Result<Summary, Error> {
    if Walk::new(&to).next().await?.is_some() {
        expect_part(&mut *again()?, to).await?;
    }

    let (mut items, mut page, mut done) = (again()?, Vec::with_capacity(PAGE), 0);
    loop {
        let next = items.next().await?;
        let last = next.is_none();
        page.extend(next);
        if page.len() == PAGE || last {
            done += page.len() as u64;
            to.import(std::mem::take(&mut page)).await?;
            progress(Step::Importing, done);
        }
        if last {
            break;
        }
    }
    drop(items);
    compare(&mut *again()?, to, progress).await
}

/// Copies a whole store into another one and compares both. See [`import`].
///
/// # Errors
/// As [`import`].
pub async fn copy(
    from: &dyn Source,
    to: &dyn Store,
    progress: ProgressCallback<'_>,
) -> Result<Summary, Error> {
    import(&mut || Ok(Box::new(Walk::new(from))), to, progress).await
}

/// Checks that everything in `target` is among the items, with equal contents.
async fn expect_part(items: &mut dyn Items, target: &dyn Store) -> Result<(), Error> {
    let mut held = Walk::new(&target);
    while let Some(found) = held.next().await? {
        loop {
            let Some(item) = items.next().await? else {
                return Err(Error::Foreign(found.to_string()));
            };
            match ItemPosition::from(&item).cmp(&ItemPosition::from(&found)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal if item == found => break,
                _ => return Err(Error::Foreign(found.to_string())),
            }
        }
    }
    Ok(())
}

/// Checks that `target` holds the items and nothing else.
async fn compare(
    items: &mut dyn Items,
    target: &dyn Store,
    progress: ProgressCallback<'_>,
) -> Result<Summary, Error> {
    let mut held = Walk::new(&target);
    let mut sum = line::Sum::new(line::VERSION);
    loop {
        match (items.next().await?, held.next().await?) {
            (None, None) => return Ok(sum.finish()),
            (Some(item), Some(found)) if item == found => sum.add(&item)?,
            (Some(item), Some(found)) => {
                let (one, other) = (ItemPosition::from(&item), ItemPosition::from(&found));
                return Err(Error::Differs(match one.cmp(&other) {
                    std::cmp::Ordering::Less => format!("{item} is missing"),
                    std::cmp::Ordering::Equal => format!("{item} has different contents"),
                    std::cmp::Ordering::Greater => format!("{found} is not in the source"),
                }));
            }
            (Some(item), None) => return Err(Error::Differs(format!("{item} is missing"))),
            (None, Some(found)) => {
                return Err(Error::Differs(format!("{found} is not in the source")));
            }
        }
        report(progress, Step::Comparing, sum.counts().total());
    }
}

/// Reports each page, not each item.
fn report(progress: ProgressCallback<'_>, step: Step, count: u64) {
    if count.is_multiple_of(PAGE as u64) {
        progress(step, count);
    }
}
