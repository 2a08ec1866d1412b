//! The queue that writes changes with their events, and numbers the events.
//!
//! Each start of a node is a writer of its own, and only this task writes its events. So it knows
//! the next number. After a statement whose outcome is unknown it first reads which of its events
//! are stored.

use super::{
    change::{BATCH, PostgresChange, PostgresOutcome, Write},
    database::{Database, DatabaseError, attempt},
    row::unsigned,
    writes,
};
use crate::{
    failpoint::failpoint,
    telemetry::audit::{Event, EventId, Trail},
};
use deadpool_postgres::Object;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::mpsc;

/// Writes until all senders are dropped.
pub(super) async fn run(
    database: Arc<Database>,
    trail: Arc<dyn Trail>,
    mut changes: mpsc::Receiver<Write>,
) {
    let mut writer = EventWriter { trail, id: None, last: 0, unsure: false };
    let mut batch = Vec::with_capacity(BATCH);
    while changes.recv_many(&mut batch, BATCH).await > 0 {
        // One statement completes all issuances of the batch. A second change of one serial number
        // waits for the outcome of the first.
        let mut serials = HashSet::new();
        let (together, alone): (Vec<_>, Vec<_>) = batch.drain(..).partition(|each: &Write| {
            matches!(&each.change, PostgresChange::Complete { serial, .. } if serials.insert(serial.clone()))
        });
        if !together.is_empty() {
            writer.write(&database, together).await;
        }
        for each in alone {
            writer.write(&database, vec![each]).await;
        }
    }
}

struct EventWriter {
    trail: Arc<dyn Trail>,
    /// None until the first event is written.
    id: Option<i64>,
    /// The number of the last event known to be stored.
    last: i64,
    /// Whether later events may be stored.
    unsure: bool,
}

impl EventWriter {
    async fn write(&mut self, database: &Database, group: Vec<Write>) {
        match attempt!(*database, client => self.attempt(client, &group).await) {
            Ok(done) => {
                failpoint!("postgres: published");
                for (each, done) in group.into_iter().zip(done) {
                    let _ = each.reply.send(Ok(done));
                }
            }
            Err(error) => {
                for each in group {
                    let _ = each.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Writes a group: completions, or one change of another kind. Finds the changes of an earlier
    /// attempt instead of repeating them.
    async fn attempt(
        &mut self,
        client: &Object,
        group: &[Write],
    ) -> Result<Vec<PostgresOutcome>, DatabaseError> {
        let id = match self.id {
            Some(id) => id,
            None => *self.id.insert(writes::new_writer(client).await?),
        };
        if self.unsure {
            let found = writes::own_events(client, id, self.last).await?;
            for (number, event) in &found {
                self.publish(*number, event);
            }
            self.unsure = false;
            if let [only] = group
                && !matches!(
                    only.change,
                    PostgresChange::Complete { .. }
                        | PostgresChange::Void { .. }
                        | PostgresChange::Revoke { .. }
                )
                && found.iter().any(|(_, event)| *event == only.event)
            {
                return Ok(vec![PostgresOutcome::Done]);
            }
        }
        self.unsure = true;
        let place = writes::WriterPosition { writer: id, after: self.last };
        failpoint!("postgres: before a write");
        let done = writes::write_changes(client, place, group).await?;
        self.unsure = false;
        failpoint!("postgres: written");
        // Before the replies: a caller that has one must find its event in the trail.
        for (each, done) in group.iter().zip(&done) {
            if !matches!(done, PostgresOutcome::Not | PostgresOutcome::Failed(_)) {
                self.publish(self.last + 1, &each.event);
            }
        }
        Ok(done)
    }

    fn publish(&mut self, number: i64, event: &Event) {
        self.last = number;
        let id =
            EventId { writer: unsigned(self.id.unwrap_or_default()), number: unsigned(number) };
        self.trail.publish(Some(id), event);
    }
}
