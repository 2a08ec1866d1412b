//! Writes audit events: JSON lines to a file, readable text to the terminal.
//!
//! A thread of its own writes, so that no request waits for a disk. Its queue is bounded. Events
//! beyond it are counted instead of kept, and file and log report how many. Events of a change of
//! the store are in the store in any case.

use super::{
    audit::{Event, EventId, LeftOut, Trail},
    lines::{FileOptions, Lines},
    show::{json_line, text_line},
};
use crate::clock::Clock;
use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Events that may wait for the disk.
const WAITING: usize = 1 << 16;

/// The pause of the writer after a write: events that arrive meanwhile are written together, and
/// their senders wake no thread. A single event is written at once.
const GATHER: Duration = Duration::from_millis(5);

/// The interval of retries while the file accepts no lines.
const AGAIN: Duration = Duration::from_secs(1);

enum TrailCommand {
    Write(Option<EventId>, Box<Event>),
    Reopen,
}

/// A [`Trail`] to a file and, if wanted, to the terminal.
pub struct FileTrail {
    orders: Mutex<Option<SyncSender<TrailCommand>>>,
    /// Events that found the queue full, since the writer last read this.
    overflow: Arc<AtomicU64>,
    /// Events that are not in the file, since the start.
    lost: Arc<AtomicU64>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl FileTrail {
    /// Opens the file to append to it (mode 0600 if it is created) and starts the writer.
    ///
    /// # Errors
    /// If the file cannot be opened, or the thread not be started.
    pub fn open(options: FileOptions, terminal: bool, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (overflow, lost) = (Arc::default(), Arc::default());
        let lines = Lines::open(options, clock, Arc::clone(&lost))?;
        let (orders, received) = sync_channel(WAITING);
        let counter = Arc::clone(&overflow);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(&received, lines, terminal, &counter))?;
        let (orders, writer) = (Mutex::new(Some(orders)), Mutex::new(Some(writer)));
        Ok(Self { orders, overflow, lost, writer })
    }

    /// Opens the file anew, after a log rotation has moved it away.
    pub fn reopen(&self) {
        self.send(TrailCommand::Reopen);
    }

    /// Writes the waiting events and ends the writer.
    pub fn close(&self) {
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }

    fn send(&self, order: TrailCommand) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = &*orders
            && orders.try_send(order).is_err()
        {
            self.overflow.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Trail for FileTrail {
    fn publish(&self, id: Option<EventId>, event: &Event) {
        self.send(TrailCommand::Write(id, Box::new(event.clone())));
    }

    fn left_out(&self) -> LeftOut {
        let waits = self.overflow.load(Ordering::Relaxed);
        LeftOut { lost: waits + self.lost.load(Ordering::Relaxed), ..LeftOut::default() }
    }
}

impl Drop for FileTrail {
    fn drop(&mut self) {
        self.close();
    }
}

fn write(orders: &Receiver<TrailCommand>, mut lines: Lines, terminal: bool, overflow: &AtomicU64) {
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Empty) => {
                // Nothing waits: written lines become visible.
                let wrote = lines.is_waiting();
                lines.flush();
                if lines.is_waiting() {
                    match orders.recv_timeout(AGAIN) {
                        Ok(order) => order,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                } else {
                    if wrote {
                        // No other thread unparks this one: it sleeps.
                        std::thread::park_timeout(GATHER);
                        continue;
                    }
                    match orders.recv() {
                        Ok(order) => order,
                        Err(_) => break,
                    }
                }
            }
            Err(TryRecvError::Disconnected) => break,
        };
        match order {
            TrailCommand::Write(id, event) => {
                lines.push(&json_line(id, &event));
                if terminal {
                    tracing::info!(target: super::AUDIT, "{}", text_line(&event));
                }
            }
            TrailCommand::Reopen => lines.reopen(),
        }
        lines.lose(overflow.swap(0, Ordering::Relaxed));
    }
    lines.end();
}

/// A trail to a file that the first event opens: a command that only reads needs no writable audit
/// file.
pub struct LateTrail {
    options: FileOptions,
    clock: Arc<dyn Clock>,
    opened: OnceLock<io::Result<FileTrail>>,
}

impl LateTrail {
    /// Opens nothing yet.
    #[must_use]
    pub const fn new(options: FileOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, opened: OnceLock::new() }
    }

    /// Writes the waiting events.
    ///
    /// # Errors
    /// If events could not be written because the file cannot be opened.
    pub fn close(&self) -> io::Result<()> {
        match self.opened.get() {
            None => Ok(()),
            Some(Ok(trail)) => {
                trail.close();
                Ok(())
            }
            Some(Err(error)) => {
                let text = format!("audit file {}: {error}", self.options.path.display());
                Err(io::Error::new(error.kind(), text))
            }
        }
    }
}

impl Trail for LateTrail {
    fn publish(&self, id: Option<EventId>, event: &Event) {
        let opened = self
            .opened
            .get_or_init(|| FileTrail::open(self.options.clone(), false, Arc::clone(&self.clock)));
        if let Ok(trail) = opened {
            trail.publish(id, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SetClock,
        telemetry::audit::Name,
        types::{Actor, Time},
    };
    use serde_json::Value;
    use std::path::Path;

    fn event(detail: &str) -> Event {
        Event::new(Time::from_unix(1_795_262_400), Name::CertificateIssued, Actor::server())
            .with("subject", detail)
    }

    fn options(folder: &Path) -> FileOptions {
        let path = folder.join("audit.jsonl");
        FileOptions { path, max: 0, keep: 1, data: folder.to_owned(), reserve: 0 }
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SetClock::new(Time::from_unix(1_795_262_400)))
    }

    #[test]
    fn writes_each_event_as_a_line_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = FileTrail::open(options(folder.path()), false, clock()).unwrap();
        trail.publish(Some(EventId::first_of(1)), &event("CN=a\nb\u{202e}"));
        trail.publish(None, &event("CN=c"));
        trail.close();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.is_ascii(), "{text}");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["number"], 1);
        assert_eq!(lines[0]["event"], "certificate.issued");
        assert_eq!(lines[0]["at"], "2026-11-21T12:00:00Z");
        assert_eq!(lines[0]["details"]["subject"], "CN=a\nb\u{202e}");
        assert!(lines[1]["number"].is_null());
    }

    #[test]
    fn continues_in_a_new_file_after_the_old_one_was_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let trail = FileTrail::open(options(folder.path()), false, clock()).unwrap();
        trail.publish(None, &event("one"));
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        trail.reopen();
        trail.publish(None, &event("two"));
        trail.close();
        assert!(std::fs::read_to_string(folder.path().join("old")).unwrap().contains("one"));
        assert!(std::fs::read_to_string(&path).unwrap().contains("two"));
    }

    /// First-user finding 39.
    #[test]
    fn a_file_is_needed_only_by_an_event() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = FileOptions { path: folder.path().join("no/such"), ..options(folder.path()) };
        LateTrail::new(nowhere.clone(), clock()).close().unwrap();
        let trail = LateTrail::new(nowhere, clock());
        trail.publish(None, &event("one"));
        let error = trail.close().unwrap_err().to_string();
        assert!(error.starts_with("audit file ") && error.contains("no/such"), "{error}");
        let trail = LateTrail::new(options(folder.path()), clock());
        assert!(!folder.path().join("audit.jsonl").exists());
        trail.publish(None, &event("one"));
        trail.close().unwrap();
        let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 1);
    }
}
