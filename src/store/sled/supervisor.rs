//! Supervises the writing thread: opens the folder, and opens it again after an error.
//!
//! After a failed write or sync no copy in memory can be trusted: neither sled's, this server's nor
//! the kernel's. All of them are dropped, and the folder is opened as at a start. Until then each
//! call fails at once with [`Error::Unavailable`].

use super::{
    super::{Error, closed},
    change::{QueuedChange, SledChange, SledOutcome},
    committer::Committer,
    disk::{self, Disk, Trees},
    index,
    pages::{self, WRITER},
    shared::{SharedState, Slot},
};
use crate::{
    telemetry::audit::{EventId, Trail},
    types::Time,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{self, error::TryRecvError};

/// The pause between an error and the first attempt. It doubles with each attempt, until a write
/// succeeds.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause; `Retry-After` asks clients to wait as long.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// How often queued calls are replied to during a pause.
const TICK: Duration = Duration::from_millis(10);

/// How long sled's threads may take to release the folder.
const RELEASE: Duration = Duration::from_secs(5);

/// Number of events after which a clean end leaves a snapshot: some 150 MB of log. Without it the
/// next start takes a quarter of a second more, and many seconds after a reboot.
const WORTH_A_SNAPSHOT: u64 = 50_000;

/// The remedy for operators.
const REMEDY: &str =
    "make room, make the folder writable, or repair the disk; the store tries again by itself";

/// The reason that callers receive.
fn with_retry(why: &str) -> String {
    format!("{why}; it tries again by itself")
}

/// The reason alone: [`Error::Unavailable`] puts its own text in front of it.
fn reason(error: Error) -> String {
    match error {
        Error::Unavailable(why) => why,
        other => other.to_string(),
    }
}

/// The store was closed.
struct Closed;

/// Keeps the folder open until the store is closed.
pub(super) struct Supervisor {
    pub(super) folder: PathBuf,
    pub(super) cache_bytes: u64,
    pub(super) shared: Arc<SharedState>,
    pub(super) trail: Arc<dyn Trail>,
}

impl Supervisor {
    /// Opens the folder, at the start and after each error.
    pub(super) fn open(&self, now: Time) -> Result<Committer, Error> {
        let trees = Arc::new(disk::open(&self.folder, self.cache_bytes)?);
        let mut disk = Disk::new(&self.folder)?;
        index::complete(&trees, &mut disk)?;
        let (shared, trail) = (Arc::clone(&self.shared), Arc::clone(&self.trail));
        Committer::recover(trees, disk, shared, trail, self.shared.events(), now)
    }

    /// Runs the writing thread.
    pub(super) fn run(self, mut committer: Committer, mut commands: mpsc::Receiver<QueuedChange>) {
        let mut pause = FIRST_PAUSE;
        let first = self.shared.events();
        loop {
            let trees = Arc::clone(committer.trees());
            self.shared.set(Slot::Serving(Arc::clone(&trees)));
            // sled asserts its invariants, and a failed write may break them.
            let served = catch_unwind(AssertUnwindSafe(|| committer.serve(&mut commands)));
            let error = match served {
                Ok(Ok(())) => {
                    self.release(committer, trees, Slot::Closed, &mut commands);
                    if self.shared.events() - first >= WORTH_A_SNAPSHOT {
                        self.leave_snapshot();
                    }
                    return;
                }
                Ok(Err(why)) => why,
                Err(_) => "sled gave up; what was not acknowledged may or may not be on the disk"
                    .to_owned(),
            };
            tracing::error!(error, "the store accepts no changes; remedy: {REMEDY}");
            if committer.has_written {
                pause = FIRST_PAUSE;
            }
            match self.resume(committer, trees, error, &mut pause, &mut commands) {
                Ok(next) => committer = next,
                Err(Closed) => return self.shared.set(Slot::Closed),
            }
            tracing::warn!("the store was opened again and accepts changes");
        }
    }

    /// Opens the folder again when it can be written to.
    fn resume(
        &self,
        committer: Committer,
        trees: Arc<Trees>,
        error: String,
        pause: &mut Duration,
        commands: &mut mpsc::Receiver<QueuedChange>,
    ) -> Result<Committer, Closed> {
        let now = committer.now();
        let acknowledged = self.shared.events();
        // While the disk is full, sled cannot be opened again, but the open trees can be read.
        let mut why = error;
        let closing = loop {
            self.shared.set(Slot::Reading(Arc::clone(&trees), with_retry(&why)));
            if let Err(Closed) = self.pause(pause, commands) {
                break true;
            }
            match disk::try_to_write(&self.folder) {
                Ok(()) => break false,
                Err(still) => why = reason(still),
            }
        };
        self.release(committer, trees, Slot::Away(with_retry(&why)), commands);
        if closing {
            return Err(Closed);
        }
        loop {
            match disk::forget_cached(&self.folder).and_then(|()| self.open(now)) {
                Ok(committer) => {
                    self.publish_from(&committer, acknowledged + 1);
                    // Calls queued for the old one.
                    self.answer_queued(commands)?;
                    return Ok(committer);
                }
                Err(error) => {
                    tracing::error!("the store cannot be opened again: {error}; remedy: {REMEDY}");
                    why = reason(error);
                    self.shared.set(Slot::Away(with_retry(&why)));
                }
            }
            self.pause(pause, commands)?;
        }
    }

    /// Publishes events found durable after a failed commit.
    fn publish_from(&self, committer: &Committer, first: u64) {
        let last = self.shared.events();
        let missing = usize::try_from((last + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        if missing == 0 {
            return;
        }
        match pages::events(
            committer.trees(),
            EventId { writer: WRITER, number: first },
            last,
            missing,
        ) {
            Ok(events) => {
                for (id, event) in events.iter().filter(|(id, _)| id.writer == WRITER) {
                    self.trail.publish(Some(*id), event);
                }
            }
            // They are in the store in any case.
            Err(error) => tracing::error!(
                "events {first} to {last} are in the store and not in the audit file: {error}"
            ),
        }
    }

    /// Closes the files; `slot` is the state that callers see from now on.
    fn release(
        &self,
        committer: Committer,
        trees: Arc<Trees>,
        slot: Slot,
        commands: &mut mpsc::Receiver<QueuedChange>,
    ) {
        self.shared.set(slot);
        drop(committer);
        // Running reads hold handles: wait until this one is the last.
        while Arc::strong_count(&trees) > 1 {
            let _ = self.answer_queued(commands);
            thread::park_timeout(Duration::from_millis(1));
        }
        // sled writes its remaining pages, and may panic on a broken invariant.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(trees)));
        self.await_release(|| self.answer_queued(commands));
    }

    /// Opens the folder once more: sled writes a snapshot of its page table only then. The files
    /// are in the kernel's memory now; at the next start they may not be.
    fn leave_snapshot(&self) {
        match disk::open(&self.folder, self.cache_bytes) {
            Ok(trees) => {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(trees)));
                self.await_release(|| Ok(()));
            }
            // All records are written; the next start takes longer, or finds the same error.
            Err(error) => tracing::warn!("the store was closed without a snapshot: {error}"),
        }
    }

    /// Waits until sled's own threads have closed the files.
    fn await_release(&self, mut meanwhile: impl FnMut() -> Result<(), Closed>) {
        let end = Instant::now() + RELEASE;
        while !disk::is_released(&self.folder) {
            if Instant::now() > end {
                tracing::warn!(folder = %self.folder.display(), "the store was closed and is still locked");
                return;
            }
            let _ = meanwhile();
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Waits, and replies to queued calls meanwhile.
    fn pause(
        &self,
        pause: &mut Duration,
        commands: &mut mpsc::Receiver<QueuedChange>,
    ) -> Result<(), Closed> {
        let end = Instant::now() + *pause;
        *pause = LAST_PAUSE.min(*pause * 2);
        while Instant::now() < end {
            self.answer_queued(commands)?;
            thread::park_timeout(TICK);
        }
        Ok(())
    }

    /// Replies to all queued calls that the store is unavailable.
    fn answer_queued(&self, commands: &mut mpsc::Receiver<QueuedChange>) -> Result<(), Closed> {
        loop {
            match commands.try_recv() {
                Ok(QueuedChange { change: SledChange::Close, reply }) => {
                    commands.close();
                    let _ = reply.send(Ok(SledOutcome::Done));
                }
                Ok(QueuedChange { reply, .. }) => {
                    let _ = reply.send(Err(self.shared.write_error().unwrap_or_else(closed)));
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Closed),
            }
        }
    }
}
