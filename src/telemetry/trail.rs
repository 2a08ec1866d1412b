//! Writes audit events: JSON lines to a file, readable text to the terminal.
//!
//! A thread of its own writes, so that no request waits for a disk. If it falls behind by more
//! than it may hold, events are counted instead of kept, and the count is written; those that
//! belong to a change of the store are in the store all the same.

use super::audit::{Event, EventId, Trail};
use serde_json::{Map, Value, json};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
};

/// Events that may wait for the disk.
const WAITING: usize = 1 << 16;

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

fn write(orders: &Receiver<Order>, path: &Path, file: File, terminal: bool, lost: &AtomicU64) {
    let mut out = BufWriter::new(file);
    let mut complain = |fault: io::Error| {
        tracing::error!(
            "audit file {}: {fault}; remedy: make room, or make it writable",
            path.display()
        );
    };
    loop {
        let order = match orders.try_recv() {
            Ok(order) => Ok(order),
            Err(TryRecvError::Empty) => {
                // Nothing waits: what was written becomes visible.
                out.flush().unwrap_or_else(&mut complain);
                orders.recv()
            }
            Err(TryRecvError::Disconnected) => break,
        };
        match order {
            Ok(Order::Write(id, event)) => {
                writeln!(out, "{}", json_line(id, &event)).unwrap_or_else(&mut complain);
                if terminal {
                    tracing::info!("{}", text_line(&event));
                }
            }
            Ok(Order::Reopen) => match append(path) {
                Ok(new) => {
                    out.flush().unwrap_or_else(&mut complain);
                    out = BufWriter::new(new);
                }
                Err(fault) => complain(fault),
            },
            Err(_) => break,
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            tracing::error!("{missing} audit events did not reach the file: the disk is too slow");
        }
    }
    out.flush().unwrap_or_else(&mut complain);
}

/// One event as a line of JSON. `writer` and `number` are null for an event that was not committed.
#[must_use]
pub fn json_line(id: Option<EventId>, event: &Event) -> String {
    let details: Map<String, Value> =
        event.details.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "writer": id.map(|id| id.writer),
        "number": id.map(|id| id.number),
        "at": event.at.to_string(),
        "event": event.name.as_str(),
        "actor": event.actor.name,
        "authenticated_by": event.actor.method.to_string(),
        "request": event.request_id,
        "details": details,
    })
    .to_string()
}

/// One event as a line for people.
#[must_use]
pub fn text_line(event: &Event) -> String {
    use std::fmt::Write as _;
    let mut line = format!("{} by {}", event.name.as_str(), event.actor.to_string().escape_debug());
    for (name, value) in &event.details {
        // A String takes all that is written to it.
        let _ = write!(line, " {name}={value:?}");
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
}
