//! The audit file: appends, rotates, and keeps space on the disk free.
//!
//! Lines that a full disk does not accept are held, up to a limit, and written once space is free.
//! The disk counts as full while less than the reserve is free on the file system of the data
//! folder: the store needs it more.

use super::{
    audit::{Event, Name},
    show::json_line,
};
use crate::{clock::Clock, types::Actor};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Bytes of lines that are held for a file that does not accept them.
const HELD: usize = 1 << 20;

/// The free space is read again after this many bytes, and after this time.
const LOOK_BYTES: u64 = 1 << 18;
const LOOK_TIME: Duration = Duration::from_secs(1);

/// The path of the audit file, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// The file. Older ones are beside it, with `.1`, `.2` and so on at the end.
    pub path: PathBuf,
    /// Bytes of one file; with more it is rotated. 0: it is never rotated by estd.
    pub max: u64,
    /// Older files that are kept.
    pub keep: u32,
    /// The data folder, whose file system must keep space for the store.
    pub data: PathBuf,
    /// Bytes that stay free there, but never more than a quarter of the file system.
    pub reserve: u64,
}

/// The file, and the lines that it has not accepted yet.
pub(super) struct Lines {
    options: FileOptions,
    clock: Arc<dyn Clock>,
    file: File,
    /// Bytes in the file.
    size: u64,
    waiting: Vec<u8>,
    /// Whether `waiting` begins in the middle of a line.
    torn: bool,
    /// Whether the last write failed.
    failing: bool,
    /// Events that are not in the file and never will be, since that was reported.
    lost: u64,
    /// The same since the start.
    lost_ever: Arc<AtomicU64>,
    /// When the free space was read, the bytes written since, and whether it was too little.
    looked: Option<Instant>,
    since_looked: u64,
    is_full: bool,
}

/// Opens a file to append to it; mode 0600 if it is created.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Lines {
    /// Opens the file.
    pub(super) fn open(
        options: FileOptions,
        clock: Arc<dyn Clock>,
        lost_ever: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let file = append(&options.path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            options,
            clock,
            file,
            size,
            waiting: Vec::new(),
            torn: false,
            failing: false,
            lost: 0,
            lost_ever,
            looked: None,
            since_looked: 0,
            is_full: false,
        })
    }

    /// Whether lines wait that the file has not accepted.
    pub(super) const fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Counts events that are not in the file and never will be.
    pub(super) fn lose(&mut self, events: u64) {
        self.lost += events;
        self.lost_ever.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn push(&mut self, line: &str) {
        if self.waiting.len() + line.len() >= HELD {
            self.flush();
        }
        if self.waiting.len() + line.len() >= HELD {
            self.lose(1);
            return;
        }
        self.waiting.extend_from_slice(line.as_bytes());
        self.waiting.push(b'\n');
    }

    /// Writes the waiting lines. Those that the disk does not accept stay.
    pub(super) fn flush(&mut self) {
        match self.write() {
            Ok(()) => self.taken(),
            Err(error) if !self.failing => {
                self.failing = true;
                self.complain(&error);
            }
            Err(_) => {}
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.look_for_room()?;
        self.rotate_if_large()?;
        let mut written = 0;
        let outcome = loop {
            let rest = self.waiting.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if let Some(last) = written.checked_sub(1) {
            self.torn = self.waiting.get(last) != Some(&b'\n');
        }
        self.size += written as u64;
        self.since_looked += written as u64;
        self.waiting.drain(..written);
        if outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            // The disk filled up since the last reading. Freed space is the store's from now on.
            self.looked = None;
            self.look_for_room()?;
        }
        outcome
    }

    /// Fails while the store's file system has less than the reserve.
    fn look_for_room(&mut self) -> io::Result<()> {
        let fresh = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_TIME)
            && self.since_looked < LOOK_BYTES;
        if !fresh {
            self.is_full = self.options.reserve > 0 && self.leaves_too_little();
            self.looked = Some(Instant::now());
            self.since_looked = 0;
        }
        if self.is_full {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "less than {} MiB are free at {}, which are kept for the store",
                    self.options.reserve >> 20,
                    self.options.data.display()
                ),
            ));
        }
        Ok(())
    }

    /// Whether another line would use the reserve of the store; false if that cannot be read.
    fn leaves_too_little(&self) -> bool {
        let data = &self.options.data;
        let (Ok(of_data), Ok(own)) = (fs::metadata(data), self.file.metadata()) else {
            return false;
        };
        if of_data.dev() != own.dev() {
            return false;
        }
        rustix::fs::statvfs(data).is_ok_and(|system| {
            let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
            let reserve = self.options.reserve.min(bytes(system.f_blocks) / 4);
            bytes(system.f_bavail) < reserve
        })
    }

    /// Renames a file that would grow too large, and continues in a new one.
    fn rotate_if_large(&mut self) -> io::Result<()> {
        let grown = self.size + self.waiting.len() as u64;
        if self.options.max == 0 || self.size == 0 || grown <= self.options.max || self.torn {
            return Ok(());
        }
        // The first number that is free, or the oldest file. A rotation that was cut short leaves
        // such a gap, and nothing is lost by it.
        let mut last = 1;
        while last < self.options.keep && self.numbered(last).try_exists()? {
            last += 1;
        }
        for number in (1..last).rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1))?;
        }
        fs::rename(&self.options.path, self.numbered(1))?;
        self.file = append(&self.options.path)?;
        self.size = self.file.metadata()?.len();
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.options.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    /// All that waited is in the file.
    fn taken(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::warn!("audit file {}: takes lines again", self.options.path.display());
        }
        self.report_lost();
    }

    /// Reports in the log and in the file how many events are not in it.
    fn report_lost(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost == 0 {
            return;
        }
        tracing::error!(
            "audit file {}: {lost} events are not in it; those that changed something are in the \
             store: estd audit export",
            self.options.path.display()
        );
        let event = Event::new(self.clock.now(), Name::AuditIncomplete, Actor::server())
            .with("lost", lost)
            .with("lost_since_start", self.lost_ever.load(Ordering::Relaxed));
        self.waiting.extend_from_slice(json_line(None, &event).as_bytes());
        self.waiting.push(b'\n');
        if self.write().is_err() {
            // The next write reports the reason.
            self.looked = None;
        }
    }

    fn complain(&self, error: &io::Error) {
        tracing::error!(
            "audit file {}: {error}; remedy: make room, or make it writable; {HELD} bytes of \
             events wait for that, and further ones are counted",
            self.options.path.display(),
        );
    }

    /// Continues in a new file of the same name, after the old one was moved away.
    pub(super) fn reopen(&mut self) {
        self.flush();
        let opened = append(&self.options.path)
            .and_then(|file| file.metadata().map(|found| (file, found.len())));
        match opened {
            Ok((new, size)) => {
                (self.file, self.size, self.looked) = (new, size, None);
                if std::mem::take(&mut self.torn) {
                    // Its beginning is in the old file.
                    let end = self.waiting.iter().position(|byte| *byte == b'\n');
                    self.waiting.drain(..end.map_or(self.waiting.len(), |end| end + 1));
                    self.lose(1);
                }
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Nothing is written after this.
    pub(super) fn end(&mut self) {
        self.looked = None;
        self.flush();
        self.lose(self.waiting.iter().filter(|byte| **byte == b'\n').count() as u64);
        self.waiting.clear();
        self.report_lost();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SetClock, types::Time};

    /// A file in a folder of its own, without a reserve.
    fn options(folder: &Path, max: u64, keep: u32) -> FileOptions {
        let path = folder.join("audit.jsonl");
        FileOptions { path, max, keep, data: folder.to_owned(), reserve: 0 }
    }

    fn lines(options: FileOptions) -> Lines {
        let clock = Arc::new(SetClock::new(Time::from_unix(1_795_262_400)));
        Lines::open(options, clock, Arc::default()).unwrap()
    }

    fn full() -> File {
        OpenOptions::new().write(true).open("/dev/full").unwrap()
    }

    fn read(lines: &Lines) -> String {
        fs::read_to_string(&lines.options.path).unwrap()
    }

    /// The number of missing events that the file reports.
    fn reported(text: &str) -> u64 {
        let line = text.lines().find(|line| line.contains("audit.incomplete")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["details"]["lost"].as_str().unwrap().parse().unwrap()
    }

    /// A full disk: `/dev/full` fails each write with ENOSPC.
    #[test]
    fn holds_what_a_full_disk_does_not_take_and_counts_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(options(folder.path(), 0, 1));
        lines.file = full();
        let long = "x".repeat(1000);
        for _ in 0..2000 {
            lines.push(&long);
            lines.flush();
        }
        let held = lines.waiting.len() / 1001;
        assert!(lines.failing && lines.waiting.len() <= HELD, "{}", lines.waiting.len());
        assert_eq!(held as u64 + lines.lost, 2000);
        // Space is free again.
        lines.file = append(&lines.options.path).unwrap();
        lines.flush();
        assert_eq!((lines.lost, lines.failing, lines.waiting.len()), (0, false, 0));
        lines.push("after");
        lines.end();
        let text = read(&lines);
        assert_eq!(text.lines().count(), held + 2);
        assert!(text.lines().take(held).all(|line| line == long));
        assert_eq!(reported(&text), 2000 - held as u64);
        assert_eq!(lines.lost_ever.load(Ordering::Relaxed), 2000 - held as u64);
    }

    #[test]
    fn a_line_that_was_cut_by_a_full_disk_is_completed_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(options(folder.path(), 0, 1));
        lines.push("one");
        lines.push("two");
        // As after a write of five bytes.
        lines.file.write_all(b"one\nt").unwrap();
        lines.waiting.drain(..5);
        (lines.torn, lines.failing) = (true, true);
        lines.flush();
        assert_eq!(read(&lines), "one\ntwo\n");
        assert!(!lines.torn && !lines.failing);
        // The same, and the file is exchanged meanwhile.
        lines.push("wo");
        lines.push("three");
        lines.torn = true;
        lines.file = full();
        fs::rename(&lines.options.path, folder.path().join("old")).unwrap();
        lines.reopen();
        assert_eq!(lines.lost, 1);
        lines.end();
        let text = read(&lines);
        assert!(text.starts_with("three\n"), "{text}");
        assert_eq!(reported(&text), 1);
    }

    #[test]
    fn the_file_is_rotated_and_all_files_together_have_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(options(folder.path(), 1000, 3));
        for number in 0..1000 {
            lines.push(&format!("{number:0>99}"));
            lines.flush();
        }
        let names = ["audit.jsonl.3", "audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"];
        let mut all = Vec::new();
        for name in names {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(text.len() <= 1000, "{name}: {}", text.len());
            all.extend(text.lines().map(|line| line.parse::<u32>().unwrap()));
        }
        assert_eq!(all, (960..1000).collect::<Vec<_>>(), "the last ones, in order, none missing");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        assert_eq!(lines.lost_ever.load(Ordering::Relaxed), 0);
        let mode = fs::metadata(&lines.options.path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// As after a crash between two renames.
    #[test]
    fn a_rotation_that_was_cut_short_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(options(folder.path(), 10, 3));
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        write("audit.jsonl.1");
        write("audit.jsonl.3");
        lines.push("aaaaaaa");
        lines.flush();
        lines.push("bbbbbbb");
        lines.flush();
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text("audit.jsonl.3"), "audit.jsonl.3");
        assert_eq!(text("audit.jsonl.2"), "audit.jsonl.1");
        assert_eq!(text("audit.jsonl.1"), "aaaaaaa\n");
        assert_eq!(text("audit.jsonl"), "bbbbbbb\n");
    }

    #[test]
    fn the_reserve_of_the_store_is_left_alone_and_the_loss_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(options(folder.path(), 0, 1));
        // More than a quarter of any file system is never demanded: pretend that this is full.
        (lines.looked, lines.is_full) = (Some(Instant::now()), true);
        let long = "x".repeat(1000);
        for _ in 0..2000 {
            lines.push(&long);
        }
        assert_eq!(read(&lines), "");
        assert!(lines.failing);
        let lost = lines.lost;
        assert!(lost > 900, "{lost}");
        lines.looked = None;
        lines.flush();
        assert_eq!(reported(&read(&lines)), lost);
    }
}
