//! The lane that writes all that comes with an event, and numbers the events.
//!
//! Each start of a node is a writer of its own, and this task the only one that writes its events:
//! so it knows the next number without asking. After a statement whose outcome is not known it
//! reads which of its events are there before it goes on.

use super::{
    super::{Account, Error, Issuance, Revocation, format},
    database::{Database, Rejection, attempt},
    lane::BATCH,
    sql,
};
use crate::{
    failpoint::failpoint,
    telemetry::audit::{Event, EventId, Trail},
    types::Serial,
};
use deadpool_postgres::Object;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// A change that comes with an event.
pub(super) enum Change {
    /// An open issuance gets its certificate.
    Complete { serial: Serial, certificate: Vec<u8> },
    /// An open issuance ends without one.
    Void { serial: Serial },
    /// An issued certificate is revoked.
    Revoke { serial: Serial, revocation: Revocation },
    /// A new account.
    AddAccount(Account),
    /// An account goes.
    RemoveAccount(String),
    /// Nothing but the event.
    Append,
}

/// What became of it.
#[derive(Clone)]
pub(super) enum Outcome {
    /// The issuance as it ended.
    Ended(Arc<Issuance>),
    /// It is done.
    Done,
    /// Not done, and no event written: the issuance is not open, the account is there or is not.
    Not,
}

/// A change, its event, and who waits for it.
pub(super) struct Told {
    pub(super) change: Change,
    pub(super) event: Event,
    /// The event as it is stored.
    pub(super) item: Vec<u8>,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

impl Told {
    pub(super) fn new(
        change: Change,
        event: Event,
        reply: oneshot::Sender<Result<Outcome, Error>>,
    ) -> Result<Self, Error> {
        Ok(Self { change, item: format::event(&event)?, event, reply })
    }

    fn answer(self, answer: Result<Outcome, Error>) {
        // The caller may have gone: its request was cut.
        let _ = self.reply.send(answer);
    }
}

/// Writes until nobody can ask any more.
pub(super) async fn run(
    database: Arc<Database>,
    trail: Arc<dyn Trail>,
    mut changes: mpsc::Receiver<Told>,
) {
    let mut writer = Writer { trail, id: None, last: 0, unsure: false };
    let mut batch = Vec::with_capacity(BATCH);
    while changes.recv_many(&mut batch, BATCH).await > 0 {
        // One statement ends all issuances of the batch; a serial number that is there twice
        // waits for the outcome of the first.
        let mut serials = HashSet::new();
        let (together, alone): (Vec<_>, Vec<_>) = batch.drain(..).partition(|each: &Told| {
            matches!(&each.change, Change::Complete { serial, .. } if serials.insert(serial.clone()))
        });
        if !together.is_empty() {
            writer.write(&database, together).await;
        }
        for each in alone {
            writer.write(&database, vec![each]).await;
        }
    }
}

struct Writer {
    trail: Arc<dyn Trail>,
    /// Known once an event was written.
    id: Option<i64>,
    /// The number of the last event that is known to be there.
    last: i64,
    /// Whether there may be more.
    unsure: bool,
}

impl Writer {
    async fn write(&mut self, database: &Database, group: Vec<Told>) {
        match attempt!(*database, client => self.attempt(client, &group).await) {
            Ok(done) => {
                failpoint!("postgres: told");
                for (each, done) in group.into_iter().zip(done) {
                    each.answer(Ok(done));
                }
            }
            Err(error) => {
                for each in group {
                    each.answer(Err(error.clone()));
                }
            }
        }
    }

    /// Writes a group: completions, or one change of another kind. What an earlier attempt did
    /// is found and not done again.
    async fn attempt(
        &mut self,
        client: &Object,
        group: &[Told],
    ) -> Result<Vec<Outcome>, Rejection> {
        let id = match self.id {
            Some(id) => id,
            None => *self.id.insert(sql::new_writer(client).await?),
        };
        if self.unsure {
            let found = sql::own_events(client, id, self.last).await?;
            for (number, event) in &found {
                self.tell(*number, event);
            }
            self.unsure = false;
            if let [only] = group
                && !matches!(
                    only.change,
                    Change::Complete { .. } | Change::Void { .. } | Change::Revoke { .. }
                )
                && found.iter().any(|(_, event)| *event == only.event)
            {
                return Ok(vec![Outcome::Done]);
            }
        }
        self.unsure = true;
        let place = sql::Place { writer: id, after: self.last };
        failpoint!("postgres: before a write");
        let done = match group {
            [Told { change: Change::Void { serial }, event, item, .. }] => {
                vec![sql::void(client, place, serial, event.at, item).await?]
            }
            [Told { change: Change::Revoke { serial, revocation }, item, .. }] => {
                vec![sql::revoke(client, place, serial, *revocation, item).await?]
            }
            [Told { change: Change::AddAccount(account), item, .. }] => {
                vec![sql::add_account(client, place, account, item).await?]
            }
            [Told { change: Change::RemoveAccount(name), item, .. }] => {
                vec![sql::remove_account(client, place, name, item).await?]
            }
            [Told { change: Change::Append, item, .. }] => {
                vec![sql::append(client, place, item).await?]
            }
            completions => sql::complete(client, place, completions).await?,
        };
        self.unsure = false;
        failpoint!("postgres: written");
        // Told before it is answered: who has an answer finds its event in the trail.
        for (each, done) in group.iter().zip(&done) {
            if !matches!(done, Outcome::Not) {
                self.tell(self.last + 1, &each.event);
            }
        }
        Ok(done)
    }

    fn tell(&mut self, number: i64, event: &Event) {
        self.last = number;
        let id = EventId {
            writer: sql::unsigned(self.id.unwrap_or_default()),
            number: sql::unsigned(number),
        };
        self.trail.tell(Some(id), event);
    }
}
