//! A CSV file of devices (RFC 4180).

use crate::{api, cli::failure::Failure, types::TagName};
use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

/// Separates several identifiers or labels in a column.
const SEPARATOR: char = ';';

const COLUMNS: &str =
    "id, identifiers, labels, quota, from, until and tag.NAME, with commas between";

/// A column of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DeviceColumn {
    Id,
    Identifiers,
    Labels,
    Quota,
    From,
    Until,
    Tag(String),
}

impl DeviceColumn {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "identifiers" => Self::Identifiers,
            "labels" => Self::Labels,
            "quota" => Self::Quota,
            "from" => Self::From,
            "until" => Self::Until,
            other => {
                Self::Tag(other.strip_prefix("tag.")?.parse::<TagName>().ok()?.as_str().to_owned())
            }
        })
    }
}

/// Counts the lines of a file. csv counts one too few after "\r\n" and after empty lines.
struct LineCounter {
    reader: BufReader<File>,
    byte: u64,
    line: u64,
}

impl LineCounter {
    /// Returns the line in which the record behind this byte begins: 1 is the first.
    fn line_at(&mut self, byte: u64) -> io::Result<u64> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let left = usize::try_from(byte.saturating_sub(self.byte)).unwrap_or(usize::MAX);
            // Line ends before a record belong to empty lines, and to the record before.
            let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let ends = buffer.iter().skip(left).take_while(is_end).count();
            let read = if left < buffer.len() { left + ends } else { buffer.len() };
            self.line += buffer.iter().take(read).filter(|byte| **byte == b'\n').count() as u64;
            self.byte += read as u64;
            let is_last = read < buffer.len() || buffer.is_empty();
            self.reader.consume(read);
            if is_last {
                return Ok(self.line);
            }
        }
    }
}

/// The devices of a CSV file, line by line.
pub(in crate::cli) struct DeviceLines {
    reader: Reader<File>,
    counter: LineCounter,
    columns: Vec<DeviceColumn>,
    record: ByteRecord,
    name: String,
}

/// A device of a line, and the errors because of which it is incomplete.
pub(in crate::cli) struct DeviceLine {
    pub(in crate::cli) line: u64,
    pub(in crate::cli) device: api::NewDevice,
    pub(in crate::cli) errors: Vec<String>,
}

impl DeviceLines {
    /// Opens a file and reads its first line.
    pub(in crate::cli) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let failed = |cause: &dyn std::fmt::Display| unreadable(&name, cause);
        let open = || File::open(path).map_err(|cause| failed(&cause));
        let file = open()?;
        let counter = LineCounter { reader: BufReader::new(open()?), byte: 0, line: 1 };
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            // A line with another number of fields is an error of that line only.
            .flexible(true)
            .trim(Trim::All)
            .from_reader(file);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(|cause| failed(&cause))? {
            return Err(failed(&format!("got no line; expected: the names of columns: {COLUMNS}")));
        }
        let mut columns = Vec::new();
        for field in &record {
            let text = String::from_utf8_lossy(field);
            let column = DeviceColumn::of(&text).filter(|column| !columns.contains(column));
            let column = column.ok_or_else(|| {
                let got: String = text.chars().take(100).collect();
                failed(&format!("line 1: got the column {got}; expected: once each of {COLUMNS}"))
            })?;
            columns.push(column);
        }
        if !columns.contains(&DeviceColumn::Id) {
            return Err(failed(&format!("line 1: got no column id; expected: {COLUMNS}")));
        }
        Ok(Self { reader, counter, columns, record, name })
    }

    /// Reads the next line with a device; none at the end of the file.
    pub(in crate::cli) fn next_line(&mut self) -> Result<Option<DeviceLine>, Failure> {
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|cause| unreadable(&self.name, &cause))? {
            return Ok(None);
        }
        let byte = self.record.position().map_or(0, csv::Position::byte);
        let line = self.counter.line_at(byte);
        let line = line.map_err(|cause| unreadable(&self.name, &cause))?;
        let (mut device, mut errors) = (api::NewDevice::default(), Vec::new());
        if self.record.len() != self.columns.len() {
            let (got, expected) = (self.record.len(), self.columns.len());
            errors.push(format!("got {got} fields; expected: {expected}, as in the first line"));
            return Ok(Some(DeviceLine { line, device, errors }));
        }
        for (column, field) in self.columns.iter().zip(&self.record) {
            match std::str::from_utf8(field) {
                Ok("") if *column != DeviceColumn::Id => {}
                Ok(text) => set(&mut device, column, text, &mut errors),
                Err(_) => errors.push("got bytes that are no UTF-8; expected: UTF-8".to_owned()),
            }
        }
        Ok(Some(DeviceLine { line, device, errors }))
    }
}

fn set(device: &mut api::NewDevice, column: &DeviceColumn, text: &str, errors: &mut Vec<String>) {
    let several = || {
        let parts = text.split(SEPARATOR).map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    match column {
        DeviceColumn::Id => text.clone_into(&mut device.id),
        DeviceColumn::Identifiers => device.identifiers = several(),
        DeviceColumn::Labels => device.labels = Some(several()),
        DeviceColumn::Quota => match text.parse() {
            Ok(quota) => device.quota = Some(quota),
            Err(_) => {
                let got: String = text.chars().take(100).collect();
                errors.push(format!("quota: got {got}; expected: a number from 1 to 10000"));
            }
        },
        DeviceColumn::From => device.from = Some(text.to_owned()),
        DeviceColumn::Until => device.until = Some(text.to_owned()),
        DeviceColumn::Tag(name) => _ = device.tags.insert(name.clone(), text.to_owned()),
    }
}

fn unreadable(name: &str, cause: &dyn std::fmt::Display) -> Failure {
    Failure::arguments(
        format!("{name}: {cause}"),
        "name a CSV file whose first line has the names of its columns",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Result<Vec<DeviceLine>, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let (mut lines, mut all) = (DeviceLines::open(file.path())?, Vec::new());
        while let Some(line) = lines.next_line()? {
            all.push(line);
        }
        Ok(all)
    }

    #[test]
    fn a_file_is_read_as_spreadsheets_write_it() {
        // Two empty lines, quotes with a line end inside, blanks.
        let text = "id,identifiers,quota,tag.site\ngw-1,serial:acme:1; spki:00,2,plant 7\n\n\n\
                    \"gw-2\",,,\"a\nb\"\n gw-3 ,;,,\ngw-4,,,";
        for mark in ["", "\u{feff}"] {
            for end in ["\n", "\r\n"] {
                let text = mark.to_owned() + &text.replace('\n', end);
                let all = lines(text.as_bytes()).unwrap();
                let numbers: Vec<u64> = all.iter().map(|one| one.line).collect();
                assert_eq!(numbers, [2, 5, 7, 8], "{text:?}");
                assert!(all.iter().all(|one| one.errors.is_empty()));
                let first = &all[0].device;
                assert_eq!(first.identifiers, ["serial:acme:1", "spki:00"]);
                assert_eq!((first.quota, first.tags["site"].as_str()), (Some(2), "plant 7"));
                assert_eq!(all[1].device.tags["site"], format!("a{end}b"));
                let third = api::NewDevice { id: "gw-3".to_owned(), ..Default::default() };
                assert_eq!(all[2].device, third);
            }
        }
    }

    #[test]
    fn lines_are_counted_in_a_file_longer_than_a_buffer() {
        let rows: String = (0..5000).map(|number| format!("gw-{number},\r\n")).collect();
        let all = lines(format!("id,quota\r\n{rows}").as_bytes()).unwrap();
        assert!(all.iter().map(|one| one.line).eq(2..5002));
    }

    #[test]
    fn errors_of_lines_name_what_is_accepted() {
        let all = lines(b"id,quota\ngw-1\ngw-2,x\ngw-3,1,2\ngw-\xff,1\n").unwrap();
        let errors: Vec<String> = all.iter().map(|one| one.errors.join("|")).collect();
        for (error, text) in errors.iter().zip([
            "got 1 fields; expected: 2",
            "quota: got x; expected: a number",
            "got 3 fields; expected: 2",
            "no UTF-8",
        ]) {
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_first_line_without_known_columns_is_rejected() {
        for (text, error) in [
            ("", "got no line"),
            ("identifiers,quota\n", "got no column id"),
            ("id,serial\n", "got the column serial"),
            ("id;identifiers\n", "got the column id;identifiers"),
            ("id,id\n", "got the column id"),
            ("id,tag.Site\n", "got the column tag.Site"),
        ] {
            match lines(text.as_bytes()).map(|_| ()).unwrap_err() {
                Failure::Failed { what, .. } => assert!(what.contains(error), "{text}: {what}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
