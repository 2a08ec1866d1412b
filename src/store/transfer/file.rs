//! The export: a first line that names format and version, a line for each item, and a last line
//! with their counts and the SHA-256 of all lines before it.
//!
//! A truncated export has no last line, and an altered one has another digest. [`verify`] reads the
//! whole file before anything is imported. The digest detects accidents. It is no signature: anyone
//! who can write the file can write its last line.

use super::{Error, ItemPosition, Items, ProgressCallback, Step, Summary, line, report};
use crate::store::Item;
use async_trait::async_trait;
use std::io::{self, BufRead, Read as _, Write};

/// The longest line that is read: many times the largest record.
const LONGEST: u64 = 4 << 20;

/// Writes an export, item by item.
pub(super) struct ExportWriter<'a> {
    to: &'a mut (dyn Write + Send),
    sum: line::Sum,
}

impl<'a> ExportWriter<'a> {
    pub(super) fn new(to: &'a mut (dyn Write + Send)) -> io::Result<Self> {
        to.write_all(&line::head(line::VERSION))?;
        Ok(Self { to, sum: line::Sum::new(line::VERSION) })
    }

    pub(super) fn write(&mut self, item: &Item) -> io::Result<()> {
        let line = line::item(item)?;
        self.sum.add_line(item, &line);
        self.to.write_all(&line)
    }

    pub(super) fn finish(self) -> io::Result<Summary> {
        let summary = self.sum.finish();
        self.to.write_all(&line::end(&summary)?)?;
        self.to.flush()?;
        Ok(summary)
    }
}

/// Reads the items of an export. They are valid only if the end is reached without an error: see
/// [`verify`].
pub struct Export<R> {
    from: R,
    /// The line that was read last, from 1.
    number: u64,
    /// None once the end was reached.
    sum: Option<line::Sum>,
    last: Option<ItemPosition>,
    summary: Option<Summary>,
}

impl<R: BufRead + Send> Export<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`Error::Damaged`] if this is no export, or one of another version; [`Error::File`].
    pub fn new(from: R) -> Result<Self, Error> {
        let mut export = Self { from, number: 0, sum: None, last: None, summary: None };
        let head = export.line()?;
        let version = line::read_head(&head).map_err(|why| export.damaged(why))?;
        if head != line::head(version) {
            return Err(export.damaged("the first line was altered"));
        }
        export.sum = Some(line::Sum::new(version));
        Ok(export)
    }

    fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged { line: self.number, why: why.into() }
    }

    /// Reads a line with its end.
    fn line(&mut self) -> Result<Vec<u8>, Error> {
        let mut line = Vec::new();
        self.number += 1;
        (&mut self.from).take(LONGEST).read_until(b'\n', &mut line)?;
        match line.last() {
            Some(b'\n') => Ok(line),
            Some(_) if line.len() as u64 == LONGEST => Err(self.damaged("the line is too long")),
            _ => Err(self.damaged("it was cut short: the last line is missing")),
        }
    }

    fn read(&mut self) -> Result<Option<Item>, Error> {
        let Some(mut sum) = self.sum.take() else { return Ok(None) };
        let line = self.line()?;
        match line::read(&line).map_err(|why| self.damaged(why))? {
            line::Read::Item(item) => {
                let place = Some(ItemPosition::from(&item));
                if place <= self.last {
                    return Err(self.damaged(format!("{item} is out of order")));
                }
                self.last = place;
                sum.add_line(&item, &line);
                self.sum = Some(sum);
                Ok(Some(item))
            }
            line::Read::End(counts, sha256) => {
                let summary = sum.finish();
                if counts != summary.counts {
                    let found = summary.counts;
                    return Err(self.damaged(format!("got {found}; expected: {counts}")));
                }
                if sha256 != summary.digest.to_string() {
                    return Err(self.damaged("a line above was altered: the digest differs"));
                }
                if !self.from.fill_buf()?.is_empty() {
                    return Err(self.damaged("something follows the last line"));
                }
                self.summary = Some(summary);
                Ok(None)
            }
        }
    }
}

#[async_trait]
impl<R: BufRead + Send> Items for Export<R> {
    /// Reads on the caller's thread: commands have one to themselves.
    async fn next(&mut self) -> Result<Option<Item>, Error> {
        self.read()
    }
}

/// Reads a whole export and checks it: its form, its order, its counts, its digest.
///
/// # Errors
/// [`Error::Damaged`] with the line; [`Error::File`].
pub fn verify(from: impl BufRead + Send, progress: ProgressCallback<'_>) -> Result<Summary, Error> {
    let mut export = Export::new(from)?;
    let mut count = 0;
    while export.read()?.is_some() {
        count += 1;
        report(progress, Step::Reading, count);
    }
    export.summary.ok_or_else(|| Error::Damaged { line: export.number, why: "no end".to_owned() })
}
