//! The writing thread: commits queued changes together, then replies to their callers.
//!
//! Only this thread changes the trees. So its view of them (serial numbers in use, requests that
//! are retries) cannot change under it, and one sync of the disk serves all callers of a batch.
//!
//! Each file names only those below it:
//!
//! | File | Content |
//! |---|---|
//! | here | the loop: a batch of changes, its commit, its replies |
//! | `group_commit` | the delay that gathers a batch |
//! | `consider` | evaluates a change |
//! | `import` | evaluates an import |
//! | `registration` | evaluates changes of devices and tokens, and conditions |
//! | `memory` | state in memory, and its recovery from the disk |
//! | `commit` | the transaction and the sync |
//! | `plan` | everything that a batch writes |

mod commit;
mod consider;
mod group_commit;
mod import;
mod memory;
mod plan;
mod registration;

use super::{
    super::Error,
    change::{COMMIT, OutcomeSender, QueuedChange, SledChange, SledOutcome},
    disk::{Disk, Trees, store_error},
    pages::WRITER,
    shared::{SharedState, Slot},
};
use crate::{
    failpoint::failpoint,
    telemetry::audit::{EventId, Trail},
    types::Time,
};
use group_commit::{GroupCommit, TICK};
use memory::Memory;
use plan::BatchPlan;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The most commands of one commit: measured, docs/adr/0001.
const BATCH: usize = 512;

/// The outcome of a change, and where to send it.
type PendingReply = (OutcomeSender, Result<SledOutcome, Error>);

/// The state of the writing thread. After a failed commit it is discarded, and
/// [`super::supervisor`] recovers another.
pub(super) struct Committer {
    memory: Memory,
    disk: Disk,
    shared: Arc<SharedState>,
    trail: Arc<dyn Trail>,
    /// Whether it has written anything.
    pub(super) has_written: bool,
}

impl Committer {
    /// Recovers the state from the disk. `acknowledged` is the number of events that this process
    /// knows to be durable.
    pub(super) fn recover(
        trees: Arc<Trees>,
        disk: Disk,
        shared: Arc<SharedState>,
        trail: Arc<dyn Trail>,
        acknowledged: u64,
        now: Time,
    ) -> Result<Self, Error> {
        let memory = Memory::recover(trees, Arc::clone(&shared), now)?;
        disk.check_mark(memory.last_event(), acknowledged)?;
        let open = memory.open.iter();
        let open = open.map(|(serial, open)| (serial.clone(), Arc::clone(&open.record)));
        shared.restore(open.collect(), memory.last_event());
        Ok(Self { memory, disk, shared, trail, has_written: false })
    }

    /// The trees that it writes.
    pub(super) const fn trees(&self) -> &Arc<Trees> {
        &self.memory.trees
    }

    /// The latest time that it knows of.
    pub(super) const fn now(&self) -> Time {
        self.memory.now
    }

    /// Commits until the store is closed or dropped.
    ///
    /// # Errors
    /// The reason why a commit failed. Its callers have their replies; queued ones have not.
    pub(super) fn serve(
        &mut self,
        commands: &mut mpsc::Receiver<QueuedChange>,
    ) -> Result<(), String> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut group = GroupCommit::default();
        while commands.blocking_recv_many(&mut batch, BATCH) > 0 {
            self.answer_reads(&mut batch);
            let mut ticks = 0;
            while group.should_wait(batch.len(), ticks)
                && batch.iter().map(|command| command.change.bytes()).sum::<usize>() < COMMIT
            {
                // No other thread unparks this one: it sleeps.
                std::thread::park_timeout(TICK);
                ticks += 1;
                while batch.len() < BATCH
                    && let Ok(command) = commands.try_recv()
                {
                    batch.push(command);
                }
                self.answer_reads(&mut batch);
            }
            group.record(batch.len());
            let mut batch = batch.drain(..);
            while batch.len() > 0 {
                let settled = self.commit_some(&mut batch, commands);
                if let Err(why) = settled {
                    for QueuedChange { reply, .. } in batch {
                        let _ = reply.send(Err(Error::Unavailable(why.clone())));
                    }
                    return Err(why);
                }
            }
        }
        // No acknowledged change depends on this: it only shortens the next start of sled.
        let _ = self.disk.sync(&self.memory.trees.db);
        Ok(())
    }

    /// Replies to reads at once: they need no commit.
    fn answer_reads(&self, batch: &mut Vec<QueuedChange>) {
        let reads = |command: &mut QueuedChange| {
            matches!(command.change, SledChange::Find(_) | SledChange::FindRequest(..))
        };
        for QueuedChange { change, reply } in batch.extract_if(.., reads) {
            if let SledChange::Find(serial) = change {
                let found =
                    self.memory.trees.certificates.get(serial.as_bytes()).map_err(store_error);
                let _ = reply.send(found.map(SledOutcome::Found));
            } else if let SledChange::FindRequest(key, at) = change {
                let first = self.memory.requests.find(&key, at).cloned();
                let _ = reply.send(Ok(first.map_or(SledOutcome::Not, SledOutcome::Complete)));
            }
        }
    }

    /// Commits as many of these commands as one commit may hold.
    fn commit_some(
        &mut self,
        batch: &mut std::vec::Drain<'_, QueuedChange>,
        commands: &mut mpsc::Receiver<QueuedChange>,
    ) -> Result<(), String> {
        let mut plan = BatchPlan::new(self.memory.next);
        let mut answers = Vec::with_capacity(BATCH);
        let mut bytes = 0;
        while bytes < COMMIT {
            let Some(QueuedChange { change, reply }) = batch.next() else { break };
            bytes += change.bytes();
            if matches!(change, SledChange::Close) {
                // Commands already queued are still committed; no new ones are accepted.
                commands.close();
            }
            let outcome = self.memory.consider(&mut plan, change);
            answers.push((reply, outcome));
        }
        self.settle(plan, answers)
    }

    /// Commits the plan, and replies to its callers.
    fn settle(&mut self, mut plan: BatchPlan, answers: Vec<PendingReply>) -> Result<(), String> {
        self.memory.drop_recent(&mut plan);
        if let Err(why) = self.write(&mut plan) {
            // After a failed write or sync the content of the disk is unknown: Linux drops the
            // pages that it could not write, and reports success the next time. So this state is
            // discarded, and the folder is read again.
            let why = format!(
                "writing failed ({why}); what was not acknowledged may or may not be on the disk"
            );
            // Before the replies: a caller that retries at once must fail.
            self.shared.set(Slot::Reading(Arc::clone(&self.memory.trees), why.clone()));
            for (reply, _) in answers {
                // The caller may be gone: its request was canceled.
                let _ = reply.send(Err(Error::Unavailable(why.clone())));
            }
            return Err(why);
        }

        let first = self.memory.next.event;
        self.memory.advance(&plan);
        self.shared.replace(&plan.ended, plan.begun);
        self.shared.update_registry(plan.staging.as_ref(), &plan.barred);
        failpoint!("sled: synced");
        // Before the replies: a caller that has one must find its event in the trail.
        self.shared.set_events(self.memory.last_event());
        if self.memory.next.event != first {
            self.disk.mark(self.memory.last_event());
        }
        for (number, event) in (first..).zip(&plan.published) {
            self.trail.publish(Some(EventId { writer: WRITER, number }), event);
        }
        failpoint!("sled: published");
        for (reply, outcome) in answers {
            let _ = reply.send(outcome);
        }
        Ok(())
    }

    /// Writes the plan, if there is anything in it.
    fn write(&mut self, plan: &mut BatchPlan) -> Result<(), String> {
        plan.finish().map_err(|error| error.to_string())?;
        if plan.is_idle() {
            return Ok(());
        }
        commit::commit(plan, &self.memory.trees, &mut self.disk)?;
        self.has_written = true;
        Ok(())
    }
}
