//! The life of the store's thread: open, serve until a error, close, wait, open.
//!
//! After a failed write or sync nothing that is in memory can be relied upon, neither sled's nor
//! ours nor the kernel's. So all of it is let go, and the folder is opened as at a start. Until then
//! callers are told that the store is not available: at once, and never anything else.

use super::{
    super::{Error, closed},
    change::{Change, Command, Outcome},
    committer::Committer,
    disk::{self, Disk, Trees},
    pages::{self, WRITER},
    shared::{Shared, Slot},
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

/// The first pause between a error and the next attempt; each that follows is twice as long, until
/// something was written.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: what clients are told to wait.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// How often a pause looks for callers that wait.
const GLANCE: Duration = Duration::from_millis(10);

/// How long sled's threads get to let go of the folder.
const RELEASE: Duration = Duration::from_secs(5);

/// After how many events a clean end leaves a snapshot: some 150 MB of log, or a quarter of a second
/// of the next start, and many seconds of it when the machine was started anew.
const WORTH_A_SNAPSHOT: u64 = 50_000;

/// What an operator can do meanwhile.
const REMEDY: &str =
    "make room, make the folder writable, or repair the disk; the store tries again by itself";

/// What callers are told of a error.
fn told(why: &str) -> String {
    format!("{why}; it tries again by itself")
}

/// Why, without what the error for callers says in front of it anyway.
fn reason(error: Error) -> String {
    match error {
        Error::Unavailable(why) => why,
        other => other.to_string(),
    }
}

/// The store was closed: there is nothing more to do.
struct Closed;

/// Opens the folder, and keeps it open until the store is closed.
pub(super) struct Keeper {
    pub(super) folder: PathBuf,
    pub(super) cache_bytes: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) trail: Arc<dyn Trail>,
}

impl Keeper {
    /// Opens the folder: at the start, and after each error.
    pub(super) fn open(&self, now: Time) -> Result<Committer, Error> {
        let trees = Arc::new(disk::open(&self.folder, self.cache_bytes)?);
        let disk = Disk::new(&self.folder)?;
        let (shared, trail) = (Arc::clone(&self.shared), Arc::clone(&self.trail));
        Committer::recover(trees, disk, shared, trail, self.shared.events(), now)
    }

    /// The thread.
    pub(super) fn keep(self, mut committer: Committer, mut commands: mpsc::Receiver<Command>) {
        let mut pause = FIRST_PAUSE;
        let first = self.shared.events();
        loop {
            let trees = Arc::clone(committer.trees());
            self.shared.set(Slot::Serving(Arc::clone(&trees)));
            // sled asserts what it believes, and after a failed write that may not be so.
            let served = catch_unwind(AssertUnwindSafe(|| committer.serve(&mut commands)));
            let error = match served {
                Ok(Ok(())) => {
                    self.let_go(committer, trees, Slot::Closed, &mut commands);
                    if self.shared.events() - first >= WORTH_A_SNAPSHOT {
                        self.leave_snapshot();
                    }
                    return;
                }
                Ok(Err(why)) => why,
                Err(_) => "sled gave up; what was not acknowledged may or may not be on the disk"
                    .to_owned(),
            };
            tracing::error!(error, "the store takes no changes; remedy: {REMEDY}");
            if committer.has_written {
                pause = FIRST_PAUSE;
            }
            match self.resume(committer, trees, error, &mut pause, &mut commands) {
                Ok(next) => committer = next,
                Err(Closed) => return self.shared.set(Slot::Closed),
            }
            tracing::warn!("the store was opened again and takes changes");
        }
    }

    /// Opens the folder again when it can be written to.
    fn resume(
        &self,
        committer: Committer,
        trees: Arc<Trees>,
        error: String,
        pause: &mut Duration,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<Committer, Closed> {
        let now = committer.now();
        let acknowledged = self.shared.events();
        // While the disk is full, sled cannot be opened, and what is open can be read.
        let mut why = error;
        let closing = loop {
            self.shared.set(Slot::Reading(Arc::clone(&trees), told(&why)));
            if let Err(Closed) = self.pause(pause, commands) {
                break true;
            }
            match disk::try_to_write(&self.folder) {
                Ok(()) => break false,
                Err(still) => why = reason(still),
            }
        };
        self.let_go(committer, trees, Slot::Away(told(&why)), commands);
        if closing {
            return Err(Closed);
        }
        loop {
            match disk::forget_cached(&self.folder).and_then(|()| self.open(now)) {
                Ok(committer) => {
                    self.tell_from(&committer, acknowledged + 1);
                    // Those that waited for the old one.
                    self.answer_queued(commands)?;
                    return Ok(committer);
                }
                Err(error) => {
                    tracing::error!("the store cannot be opened again: {error}; remedy: {REMEDY}");
                    why = reason(error);
                    self.shared.set(Slot::Away(told(&why)));
                }
            }
            self.pause(pause, commands)?;
        }
    }

    /// Tells the events that nobody was told to be durable, and that are.
    fn tell_from(&self, committer: &Committer, first: u64) {
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
                    self.trail.tell(Some(*id), event);
                }
            }
            // They are in the store all the same.
            Err(error) => tracing::error!("events {first} to {last} are not told: {error}"),
        }
    }

    /// Closes the files. `slot` is what others see from now on.
    fn let_go(
        &self,
        committer: Committer,
        trees: Arc<Trees>,
        slot: Slot,
        commands: &mut mpsc::Receiver<Command>,
    ) {
        self.shared.set(slot);
        drop(committer);
        // Reads that run end first: the last handle is this one.
        while Arc::strong_count(&trees) > 1 {
            let _ = self.answer_queued(commands);
            thread::park_timeout(Duration::from_millis(1));
        }
        // sled writes what it has left, and may find that its beliefs do not hold.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(trees)));
        self.await_release(|| self.answer_queued(commands));
    }

    /// Opens the folder once more: sled notes where its pages are when it is opened, and only then.
    /// Now the kernel has the files in memory; at the next start it may not.
    fn leave_snapshot(&self) {
        match disk::open(&self.folder, self.cache_bytes) {
            Ok(trees) => {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(trees)));
                self.await_release(|| Ok(()));
            }
            // All is written; the next start takes longer, or finds the same error.
            Err(error) => tracing::warn!("the store was closed without a snapshot: {error}"),
        }
    }

    /// Waits for sled's own threads, which may hold the files for some moments more.
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

    /// Waits, and answers those who come.
    fn pause(
        &self,
        pause: &mut Duration,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), Closed> {
        let end = Instant::now() + *pause;
        *pause = LAST_PAUSE.min(*pause * 2);
        while Instant::now() < end {
            self.answer_queued(commands)?;
            thread::park_timeout(GLANCE);
        }
        Ok(())
    }

    /// Tells all that wait why the store is not available.
    fn answer_queued(&self, commands: &mut mpsc::Receiver<Command>) -> Result<(), Closed> {
        loop {
            match commands.try_recv() {
                Ok(Command { change: Change::Close, reply }) => {
                    commands.close();
                    let _ = reply.send(Ok(Outcome::Done));
                }
                Ok(Command { reply, .. }) => {
                    let _ = reply.send(Err(self.shared.refused().unwrap_or_else(closed)));
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Closed),
            }
        }
    }
}
