//! Writes audit events: JSON lines to a file, readable text to the terminal.
//!
//! A thread of its own writes, so that no request waits for a disk. If it falls behind by more
//! than it may hold, events are counted instead of kept, and the log tells how many; those that
//! belong to a change of the store are in the store all the same. What a full disk does not take is
//! held, up to a limit, and written when there is room.

use super::audit::{Event, EventId, Trail};
use crate::types::{escaped, escaped_json};
use serde_json::{Map, Value, json};
use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Events that may wait for the disk.
const WAITING: usize = 1 << 16;

/// How long the writer pauses after it wrote: what comes meanwhile is written together, and who
/// tells it wakes nobody. An event that comes alone is written at once.
const GATHER: Duration = Duration::from_millis(5);

/// Octets of lines that are held for a file that does not take them.
const HELD: usize = 1 << 20;

/// How often such a file is tried again.
const AGAIN: Duration = Duration::from_secs(1);

enum Order {
    Write(Option<EventId>, Box<Event>),
    Reopen,
}

/// A [`Trail`] to a file and, if wanted, to the terminal.
pub struct FileTrail {
    orders: Mutex<Option<SyncSender<Order>>>,
    lost: std::sync::Arc<AtomicU64>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl FileTrail {
    /// Opens the file to append to it (mode 0600 if it is made now) and starts the writer.
    ///
    /// # Errors
    /// If the file cannot be opened, or no thread be started.
    pub fn open(path: &Path, terminal: bool) -> io::Result<Self> {
        let file = append(path)?;
        let (orders, received) = sync_channel(WAITING);
        let lost = std::sync::Arc::new(AtomicU64::new(0));
        let (path, counter) = (path.to_owned(), std::sync::Arc::clone(&lost));
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(&received, &path, file, terminal, &counter))?;
        Ok(Self { orders: Mutex::new(Some(orders)), lost, writer: Mutex::new(Some(writer)) })
    }

    /// Opens the file anew, after it was moved away by whoever rotates logs.
    pub fn reopen(&self) {
        self.send(Order::Reopen);
    }

    /// Writes what waits and ends the writer.
    pub fn close(&self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }

    fn send(&self, order: Order) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = &*orders
            && orders.try_send(order).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Trail for FileTrail {
    fn tell(&self, id: Option<EventId>, event: &Event) {
        self.send(Order::Write(id, Box::new(event.clone())));
    }
}

impl Drop for FileTrail {
    fn drop(&mut self) {
        self.close();
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The file, and the lines that it has not taken yet.
struct Lines<'a> {
    path: &'a Path,
    file: File,
    waiting: Vec<u8>,
    /// Whether `waiting` begins in the middle of a line.
    torn: bool,
    /// Whether the last write failed.
    failing: bool,
    /// Events that are not in the file and never will be, since that was told.
    lost: u64,
}

impl<'a> Lines<'a> {
    const fn new(path: &'a Path, file: File) -> Self {
        Self { path, file, waiting: Vec::new(), torn: false, failing: false, lost: 0 }
    }

    fn push(&mut self, line: &str) {
        if self.waiting.len() + line.len() >= HELD {
            self.flush();
        }
        if self.waiting.len() + line.len() >= HELD {
            self.lost += 1;
            return;
        }
        self.waiting.extend_from_slice(line.as_bytes());
        self.waiting.push(b'\n');
    }

    /// Writes what waits. What the disk does not take waits on.
    fn flush(&mut self) {
        let mut written = 0;
        let outcome = loop {
            let rest = self.waiting.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => break Err(fault),
            }
        };
        if let Some(last) = written.checked_sub(1) {
            self.torn = self.waiting.get(last) != Some(&b'\n');
        }
        self.waiting.drain(..written);
        match outcome {
            Ok(()) => self.taken(),
            Err(fault) if !self.failing => {
                self.failing = true;
                self.complain(&fault);
            }
            Err(_) => {}
        }
    }

    /// All that waited is in the file.
    fn taken(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::warn!("audit file {}: takes lines again", self.path.display());
        }
        self.tell_lost();
    }

    fn tell_lost(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            tracing::error!(
                "audit file {}: {lost} events are not in it; those that changed something are in \
                 the store",
                self.path.display()
            );
        }
    }

    fn complain(&self, fault: &io::Error) {
        tracing::error!(
            "audit file {}: {fault}; remedy: make room, or make it writable; {} octets of events \
             wait for that, and what is more is counted",
            self.path.display(),
            HELD
        );
    }

    /// Goes on in a new file of the same name.
    fn reopen(&mut self) {
        self.flush();
        match append(self.path) {
            Ok(new) => {
                self.file = new;
                if std::mem::take(&mut self.torn) {
                    // Its beginning is in the old file.
                    let end = self.waiting.iter().position(|octet| *octet == b'\n');
                    self.waiting.drain(..end.map_or(self.waiting.len(), |end| end + 1));
                    self.lost += 1;
                }
            }
            Err(fault) => self.complain(&fault),
        }
    }

    /// Nothing comes after this.
    fn end(&mut self) {
        self.flush();
        self.lost += self.waiting.iter().filter(|octet| **octet == b'\n').count() as u64;
        self.tell_lost();
    }
}

fn write(orders: &Receiver<Order>, path: &Path, file: File, terminal: bool, lost: &AtomicU64) {
    let mut lines = Lines::new(path, file);
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Empty) => {
                // Nothing waits: what was written becomes visible.
                let wrote = !lines.waiting.is_empty();
                lines.flush();
                if lines.waiting.is_empty() {
                    if wrote {
                        // Nobody unparks this thread: it is a pause.
                        std::thread::park_timeout(GATHER);
                        continue;
                    }
                    match orders.recv() {
                        Ok(order) => order,
                        Err(_) => break,
                    }
                } else {
                    match orders.recv_timeout(AGAIN) {
                        Ok(order) => order,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
            }
            Err(TryRecvError::Disconnected) => break,
        };
        match order {
            Order::Write(id, event) => {
                lines.push(&json_line(id, &event));
                if terminal {
                    tracing::info!("{}", text_line(&event));
                }
            }
            Order::Reopen => lines.reopen(),
        }
        lines.lost += lost.swap(0, Ordering::Relaxed);
    }
    lines.end();
}

/// One event as a line of JSON, in ASCII as far as characters are hidden. `writer` and `number` are null for an event that was not committed.
#[must_use]
pub fn json_line(id: Option<EventId>, event: &Event) -> String {
    let details: Map<String, Value> =
        event.details.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let line = json!({
        "writer": id.map(|id| id.writer),
        "number": id.map(|id| id.number),
        "at": event.at.to_string(),
        "event": event.name.as_str(),
        "actor": event.actor.name,
        "authenticated_by": event.actor.method.to_string(),
        "request": event.request_id,
        "details": details,
    });
    let line = line.to_string();
    match escaped_json(&line) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => line,
    }
}

/// One event as a line for people.
#[must_use]
pub fn text_line(event: &Event) -> String {
    use std::fmt::Write as _;
    let mut line = format!("{} by {}", event.name.as_str(), escaped(&event.actor));
    for (name, value) in &event.details {
        // A String takes all that is written to it.
        let _ = write!(line, " {name}=\"{}\"", escaped(value).quote());
    }
    if let Some(id) = &event.request_id {
        let _ = write!(line, " request={id}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        telemetry::audit::Name,
        types::{Actor, Time},
    };

    fn event(detail: &str) -> Event {
        Event::new(Time::from_unix(1_795_262_400), Name::CertificateIssued, Actor::server())
            .with("subject", detail)
    }

    #[test]
    fn writes_each_event_as_a_line_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = FileTrail::open(&path, false).unwrap();
        trail.tell(Some(EventId::first_of(1)), &event("CN=a\nb"));
        trail.tell(None, &event("CN=c"));
        trail.close();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["number"], 1);
        assert_eq!(lines[0]["event"], "certificate.issued");
        assert_eq!(lines[0]["at"], "2026-11-21T12:00:00Z");
        assert_eq!(lines[0]["details"]["subject"], "CN=a\nb");
        assert!(lines[1]["number"].is_null());
    }

    #[test]
    fn a_line_for_people_stays_one_line() {
        assert!(!text_line(&event("a\nb")).contains('\n'));
        let odd =
            Actor { name: "CN=a\n\u{1b}[31m".to_owned(), method: crate::types::Method::Password };
        let line = text_line(&Event::new(Time::from_unix(0), Name::EnrollmentRefused, odd));
        assert!(!line.contains(['\n', '\u{1b}']), "{line}");
    }

    #[test]
    fn goes_on_in_a_new_file_after_the_old_one_was_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = FileTrail::open(&path, false).unwrap();
        trail.tell(None, &event("one"));
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        trail.reopen();
        trail.tell(None, &event("two"));
        trail.close();
        assert!(std::fs::read_to_string(folder.path().join("old")).unwrap().contains("one"));
        assert!(std::fs::read_to_string(&path).unwrap().contains("two"));
    }

    /// A full disk: `/dev/full` fails each write with ENOSPC.
    #[test]
    fn holds_what_a_full_disk_does_not_take_and_counts_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut lines = Lines::new(&path, full);
        let long = "x".repeat(1000);
        for _ in 0..2000 {
            lines.push(&long);
            lines.flush();
        }
        let held = lines.waiting.len() / 1001;
        assert!(lines.failing && lines.waiting.len() <= HELD, "{}", lines.waiting.len());
        assert_eq!(held as u64 + lines.lost, 2000);
        // There is room again.
        lines.file = append(&path).unwrap();
        lines.flush();
        assert_eq!((lines.lost, lines.failing, lines.waiting.len()), (0, false, 0));
        lines.push("after");
        lines.end();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), held + 1);
        assert!(text.lines().take(held).all(|line| line == long));
    }

    #[test]
    fn a_line_that_was_cut_by_a_full_disk_is_completed_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut lines = Lines::new(&path, append(&path).unwrap());
        lines.push("one");
        lines.push("two");
        // As after a write that took five octets.
        lines.file.write_all(b"one\nt").unwrap();
        lines.waiting.drain(..5);
        (lines.torn, lines.failing) = (true, true);
        lines.flush();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert!(!lines.torn && !lines.failing);
        // The same, and the file is exchanged meanwhile.
        lines.push("wo");
        lines.push("three");
        lines.torn = true;
        lines.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        lines.reopen();
        assert_eq!(lines.lost, 1);
        lines.end();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }
}
