//! The lanes that begin and find issuances: what came while the database was busy goes together.

use super::{
    super::{Begun, Error, Intent, Issuance, State},
    database::{Database, attempt},
    sql,
};
use crate::{
    failpoint::failpoint,
    types::{Serial, Time},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How many commands go in one statement at most.
pub(super) const BATCH: usize = 512;

/// How often a request is begun again because its slot was freed meanwhile.
const ROUNDS: u8 = 5;

/// How often the slots of requests that are over are removed.
const PURGE: Duration = Duration::from_secs(600);

/// How long such a slot is kept beyond its end: more than the clocks of nodes may differ.
const SPARE: Duration = Duration::from_secs(86_400);

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// An issuance to begin, encoded by the caller.
pub(super) struct Asked {
    pub(super) intent: Intent,
    pub(super) row: sql::IntentRow,
    rounds: u8,
    reply: Reply<Begun>,
}

impl Asked {
    pub(super) fn new(intent: Intent, reply: Reply<Begun>) -> Result<Self, Error> {
        Ok(Self { row: sql::IntentRow::new(&intent)?, intent, rounds: 0, reply })
    }

    /// Whether this is what it has begun itself, by an attempt that seemed to fail.
    pub(super) fn is_own(&self, found: &Issuance) -> bool {
        found.state == State::Open && found.intent == self.intent
    }

    fn answer(self, answer: Result<Begun, Error>) {
        // The caller may have gone: its request was cut.
        let _ = self.reply.send(answer);
    }
}

/// An issuance to find.
pub(super) struct Found {
    pub(super) serial: Serial,
    pub(super) reply: Reply<Option<Arc<Issuance>>>,
}

/// Begins issuances until nobody can ask any more.
pub(super) async fn begin(database: Arc<Database>, mut asked: mpsc::Receiver<Asked>) {
    let mut batch: Vec<Asked> = Vec::with_capacity(BATCH);
    let mut purged = None;
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        let now = batch.iter().map(|each| each.intent.begun).max();
        let mut waiting = std::mem::take(&mut batch);
        while !waiting.is_empty() {
            waiting = round(&database, waiting).await;
        }
        if purged.is_none_or(|last: Time| now.is_some_and(|now| now.since(last) > PURGE)) {
            purged = now;
            let database = Arc::clone(&database);
            let before = now.unwrap_or(Time::from_unix(0)).minus(SPARE);
            // Nobody waits for it; what it leaves, the next one removes.
            tokio::spawn(async move {
                let _ = attempt!(*database, client => sql::purge(client, before).await);
            });
        }
    }
}

/// Begins what can go together, and returns what has to wait for the outcome.
async fn round(database: &Database, waiting: Vec<Asked>) -> Vec<Asked> {
    // One statement cannot take a key twice.
    let (mut keys, mut serials) = (HashSet::new(), HashSet::new());
    let (mut now, mut later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|each| {
        keys.insert(each.intent.idempotency_key) && serials.insert(each.intent.serial.clone())
    });
    failpoint!("postgres: before begin");
    let taken = match attempt!(*database, client => sql::begin(client, &now).await) {
        Ok(taken) => taken,
        Err(Error::SerialTaken(_)) if now.len() > 1 => {
            // Which one cannot be told: each goes alone.
            let mut again = Vec::new();
            for each in now {
                again.extend(Box::pin(round(database, vec![each])).await);
            }
            again.extend(later);
            return again;
        }
        Err(error) => {
            now.append(&mut later);
            for each in now {
                each.answer(Err(error.clone()));
            }
            return Vec::new();
        }
    };
    let (new, repeats): (Vec<_>, Vec<_>) =
        now.into_iter().partition(|each| taken.contains(each.intent.serial.as_bytes()));
    failpoint!("postgres: begun");
    for each in new {
        each.answer(Ok(Begun::New));
    }
    if repeats.is_empty() {
        return later;
    }
    let found = attempt!(*database, client => sql::requests(client, &repeats).await);
    let mut found: HashMap<_, _> = match found {
        Ok(found) => found,
        Err(error) => {
            for each in repeats {
                each.answer(Err(error.clone()));
            }
            return later;
        }
    };
    for mut each in repeats {
        match found.remove(&each.intent.idempotency_key) {
            Some(found) if each.is_own(&found) => {
                each.answer(Ok(Begun::New));
            }
            Some(first) if first.state == State::Open => each.answer(Ok(Begun::Open(first))),
            Some(first) if first.state == State::Issued => each.answer(Ok(Begun::Complete(first))),
            // Voided or revoked since.
            _ if each.rounds < ROUNDS => {
                each.rounds += 1;
                later.push(each);
            }
            _ => {
                let why = "issuances of this request are begun and voided all the time";
                each.answer(Err(Error::Unavailable(why.to_owned())));
            }
        }
    }
    later
}

/// Finds issuances until nobody can ask any more.
pub(super) async fn find(database: Arc<Database>, mut asked: mpsc::Receiver<Found>) {
    let mut batch: Vec<Found> = Vec::with_capacity(BATCH);
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        let serials: Vec<&[u8]> = batch.iter().map(|each| each.serial.as_bytes()).collect();
        let found = attempt!(*database, client => sql::find(client, &serials).await);
        for Found { serial, reply } in batch.drain(..) {
            let answer = match &found {
                Ok(found) => found.get(serial.as_bytes()).cloned().transpose(),
                Err(error) => Err(error.clone()),
            };
            let _ = reply.send(answer);
        }
    }
}
