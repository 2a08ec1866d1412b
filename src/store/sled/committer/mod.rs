//! The one thread that writes: takes what is queued, commits it together, answers.
//!
//! Only this thread changes the trees, so what it decides on (which serial numbers are taken,
//! which requests are repeats) cannot change under it, and a sync of the disk serves as many
//! callers as have come meanwhile.
//!
//! Each file names only those below it:
//!
//! | File | What is in it |
//! |---|---|
//! | here | the loop: a batch of changes, its commit, its answers |
//! | `crowd` | how long a batch waits for company |
//! | `consider` | what becomes of a change |
//! | `import` | the same for what another store kept |
//! | `memory` | what is known without the disk, and read back from it at the start |
//! | `commit` | the transaction and the sync |
//! | `plan` | what a batch writes |

mod commit;
mod consider;
mod crowd;
mod import;
mod memory;
mod plan;

use super::{
    super::Error,
    change::{COMMIT, Change, Command, Outcome, Reply},
    disk::{Disk, Trees, store_error},
    pages::WRITER,
    shared::{Shared, Slot},
};
use crate::{
    failpoint::failpoint,
    telemetry::audit::{EventId, Trail},
    types::Time,
};
use crowd::{Crowd, GLANCE};
use memory::Memory;
use plan::Plan;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many commands are committed together at most: measured, docs/adr/0001.
const BATCH: usize = 512;

/// What became of a change, and who waits for it.
type Answer = (Reply, Result<Outcome, Error>);

/// What the thread works with. If a commit fails, it is never used again: [`super::keeper`] makes
/// another.
pub(super) struct Committer {
    memory: Memory,
    disk: Disk,
    shared: Arc<Shared>,
    trail: Arc<dyn Trail>,
    /// Whether it has written anything.
    pub(super) has_written: bool,
}

impl Committer {
    /// Reads back what is needed in memory. `acknowledged` is how many events this process has
    /// seen durable.
    pub(super) fn recover(
        trees: Arc<Trees>,
        disk: Disk,
        shared: Arc<Shared>,
        trail: Arc<dyn Trail>,
        acknowledged: u64,
        now: Time,
    ) -> Result<Self, Error> {
        let memory = Memory::recover(trees, now)?;
        disk.check_mark(memory.last_event(), acknowledged)?;
        let open = memory.open.iter();
        let open = open.map(|(serial, open)| (serial.clone(), Arc::clone(&open.record)));
        shared.restore(open.collect(), memory.last_event());
        Ok(Self { memory, disk, shared, trail, has_written: false })
    }

    /// What is open.
    pub(super) const fn trees(&self) -> &Arc<Trees> {
        &self.memory.trees
    }

    /// The latest moment that it knows of.
    pub(super) const fn now(&self) -> Time {
        self.memory.now
    }

    /// Commits until the store is closed or forgotten.
    ///
    /// # Errors
    /// Why a commit failed. Whoever waited for it has been told; what is queued has not.
    pub(super) fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), String> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut crowd = Crowd::default();
        while commands.blocking_recv_many(&mut batch, BATCH) > 0 {
            self.answer_reads(&mut batch);
            let mut glances = 0;
            while crowd.is_worth_waiting_for(batch.len(), glances)
                && batch.iter().map(|command| command.change.bytes()).sum::<usize>() < COMMIT
            {
                // Nobody unparks this thread: it is a pause.
                std::thread::park_timeout(GLANCE);
                glances += 1;
                while batch.len() < BATCH
                    && let Ok(command) = commands.try_recv()
                {
                    batch.push(command);
                }
                self.answer_reads(&mut batch);
            }
            crowd.note(batch.len());
            let mut batch = batch.drain(..);
            while batch.len() > 0 {
                let settled = self.commit_some(&mut batch, commands);
                if let Err(why) = settled {
                    for Command { reply, .. } in batch {
                        let _ = reply.send(Err(Error::Unavailable(why.clone())));
                    }
                    return Err(why);
                }
            }
        }
        // Nothing acknowledged depends on this: it only leaves sled less to do when it is opened.
        let _ = self.disk.sync(&self.memory.trees.db);
        Ok(())
    }

    /// Answers those who only read: none of them waits for a commit.
    fn answer_reads(&self, batch: &mut Vec<Command>) {
        let reads = |command: &mut Command| matches!(command.change, Change::Find(_));
        for Command { change, reply } in batch.extract_if(.., reads) {
            if let Change::Find(serial) = change {
                let found =
                    self.memory.trees.certificates.get(serial.as_bytes()).map_err(store_error);
                let _ = reply.send(found.map(Outcome::Found));
            }
        }
    }

    /// Commits the first of these commands, as many as one commit may hold.
    fn commit_some(
        &mut self,
        batch: &mut std::vec::Drain<'_, Command>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), String> {
        let mut plan = Plan::new(self.memory.next);
        let mut answers = Vec::with_capacity(BATCH);
        let mut bytes = 0;
        while bytes < COMMIT {
            let Some(Command { change, reply }) = batch.next() else { break };
            bytes += change.bytes();
            if matches!(change, Change::Close) {
                // What is queued behind is still taken; nothing new is.
                commands.close();
            }
            let outcome = self.memory.consider(&mut plan, change);
            answers.push((reply, outcome));
        }
        self.settle(plan, answers)
    }

    /// Commits the plan, and tells everybody how it went.
    fn settle(&mut self, mut plan: Plan, answers: Vec<Answer>) -> Result<(), String> {
        self.memory.drop_recent(&mut plan);
        if let Err(why) = self.write(&mut plan) {
            // After a failed write or sync nobody knows what the disk holds: Linux drops the
            // pages it could not write and reports success the next time. So this is never used
            // again; what is really there is read back.
            let why = format!(
                "writing failed ({why}); what was not acknowledged may or may not be on the disk"
            );
            // Before the answers: who has one and asks again is refused at once.
            self.shared.set(Slot::Reading(Arc::clone(&self.memory.trees), why.clone()));
            for (reply, _) in answers {
                // The caller may have gone: its request was cut.
                let _ = reply.send(Err(Error::Unavailable(why.clone())));
            }
            return Err(why);
        }

        let first = self.memory.next.event;
        self.memory.advance(&plan);
        self.shared.replace(&plan.ended, plan.begun);
        failpoint!("sled: synced");
        // Told before it is answered: who has an answer finds its event in the trail.
        self.shared.set_events(self.memory.last_event());
        if self.memory.next.event != first {
            self.disk.mark(self.memory.last_event());
        }
        for (number, event) in (first..).zip(&plan.told) {
            self.trail.tell(Some(EventId { writer: WRITER, number }), event);
        }
        failpoint!("sled: told");
        for (reply, outcome) in answers {
            let _ = reply.send(outcome);
        }
        Ok(())
    }

    /// Writes the plan, if there is anything in it.
    fn write(&mut self, plan: &mut Plan) -> Result<(), String> {
        plan.finish().map_err(|error| error.to_string())?;
        if plan.is_idle() {
            return Ok(());
        }
        commit::commit(plan, &self.memory.trees, &mut self.disk)?;
        self.has_written = true;
        Ok(())
    }
}
