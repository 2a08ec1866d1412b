//! The queues that begin and find issuances: commands that arrived while the database was busy go
//! into one statement.

use super::{
    super::{Begun, Error, State},
    admission::{self, Admission},
    change::{BATCH, Begin, Find},
    database::{Database, attempt},
    issuances,
};
use crate::{failpoint::failpoint, types::Time};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// How often a request is begun again because its slot was freed concurrently.
const RETRIES: u8 = 5;

/// How often expired slots are removed.
const PURGE: Duration = Duration::from_secs(600);

/// How long a slot is kept after its end: more than the clocks of nodes may differ.
const SPARE: Duration = Duration::from_secs(86_400);

/// Begins issuances until all senders are dropped.
pub(super) async fn begin_queued(database: Arc<Database>, mut asked: mpsc::Receiver<Begin>) {
    let mut batch: Vec<Begin> = Vec::with_capacity(BATCH);
    let mut purged = None;
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        let now = batch.iter().map(|each| each.intent.begun).max();
        let (free, bound) = std::mem::take(&mut batch)
            .into_iter()
            .partition::<Vec<_>, _>(|each| each.conditions.is_free(&each.intent));
        tokio::join!(
            async {
                let mut waiting = free;
                while !waiting.is_empty() {
                    waiting = round(&database, waiting).await;
                }
            },
            async {
                let mut waiting = bound;
                while !waiting.is_empty() {
                    waiting = admit(&database, waiting).await;
                }
            }
        );
        if purged.is_none_or(|last: Time| now.is_some_and(|now| now.since(last) > PURGE)) {
            purged = now;
            let database = Arc::clone(&database);
            let before = now.unwrap_or(Time::from_unix(0)).minus(SPARE);
            // No caller waits for it; the next purge removes the rest.
            tokio::spawn(async move {
                let _ = attempt!(*database, client => issuances::purge(client, before).await);
            });
        }
    }
}

/// Begins issuances in one statement. Returns those that must wait for its outcome.
async fn round(database: &Database, waiting: Vec<Begin>) -> Vec<Begin> {
    // One statement cannot insert a key twice.
    let (mut keys, mut serials) = (HashSet::new(), HashSet::new());
    let (mut now, mut later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|each| {
        keys.insert(each.intent.idempotency_key) && serials.insert(each.intent.serial.clone())
    });
    failpoint!("postgres: before begin");
    let taken = match attempt!(*database, client => issuances::begin(client, &references(&now)).await)
    {
        Ok(taken) => taken,
        Err(Error::SerialTaken(_)) if now.len() > 1 => {
            // Which one is unknown: each is begun alone.
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
                let _ = each.reply.send(Err(error.clone()));
            }
            return Vec::new();
        }
    };
    let (new, retries): (Vec<_>, Vec<_>) =
        now.into_iter().partition(|each| taken.contains(each.intent.serial.as_bytes()));
    failpoint!("postgres: begun");
    for each in new {
        let _ = each.reply.send(Ok(Begun::New));
    }
    answer_retries(database, retries, later).await
}

fn references(all: &[Begin]) -> Vec<&Begin> {
    all.iter().collect()
}

/// Begins issuances that have conditions in one transaction. Returns those that must wait for its
/// outcome.
async fn admit(database: &Database, waiting: Vec<Begin>) -> Vec<Begin> {
    let (mut keys, mut serials, mut locked) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (mut now, mut later) = (Vec::new(), Vec::new());
    for each in waiting {
        let locks = admission::locks(&each);
        let alone = keys.insert(each.intent.idempotency_key)
            & serials.insert(each.intent.serial.clone())
            & locked.is_disjoint(&locks);
        if alone {
            now.push(each)
        } else {
            later.push(each)
        }
        // One that waits keeps its place before those that came after it.
        locked.extend(locks);
    }
    failpoint!("postgres: before begin");
    let answers = match attempt!(*database, client => admission::begin_bound(client, &references(&now)).await)
    {
        Ok(answers) => answers,
        Err(error) => {
            now.append(&mut later);
            for each in now {
                let _ = each.reply.send(Err(error.clone()));
            }
            return Vec::new();
        }
    };
    failpoint!("postgres: begun");
    let mut retries = Vec::new();
    for (each, answer) in now.into_iter().zip(answers) {
        let answer = match answer {
            Admission::New => Ok(Begun::New),
            Admission::Unmet(unmet) => Ok(Begun::Unmet(unmet)),
            Admission::Failed(error) => Err(error),
            Admission::Retry => {
                retries.push(each);
                continue;
            }
        };
        let _ = each.reply.send(answer);
    }
    answer_retries(database, retries, later).await
}

/// Replies to retries. Returns those whose slot was freed meanwhile, after `later`.
async fn answer_retries(
    database: &Database,
    retries: Vec<Begin>,
    mut later: Vec<Begin>,
) -> Vec<Begin> {
    if retries.is_empty() {
        return later;
    }
    let found =
        attempt!(*database, client => issuances::requests(client, &references(&retries)).await);
    let mut found: HashMap<_, _> = match found {
        Ok(found) => found,
        Err(error) => {
            for each in retries {
                let _ = each.reply.send(Err(error.clone()));
            }
            return later;
        }
    };
    for mut each in retries {
        match found.remove(&each.intent.idempotency_key) {
            Some(found) if each.is_own(&found) => {
                let _ = each.reply.send(Ok(Begun::New));
            }
            Some(first) if first.state == State::Open => {
                drop(each.reply.send(Ok(Begun::Open(first))))
            }
            Some(first) if first.state == State::Issued => {
                drop(each.reply.send(Ok(Begun::Complete(first))))
            }
            // Voided or revoked since.
            _ if each.retries < RETRIES => {
                each.retries += 1;
                later.push(each);
            }
            _ => {
                let why = "gave up after 5 attempts: each was voided concurrently";
                let _ = each.reply.send(Err(Error::Unavailable(why.to_owned())));
            }
        }
    }
    later
}

/// Finds issuances until all senders are dropped.
pub(super) async fn find_queued(database: Arc<Database>, mut asked: mpsc::Receiver<Find>) {
    let mut batch: Vec<Find> = Vec::with_capacity(BATCH);
    while asked.recv_many(&mut batch, BATCH).await > 0 {
        let serials: Vec<&[u8]> = batch.iter().map(|each| each.serial.as_bytes()).collect();
        let found = attempt!(*database, client => issuances::find(client, &serials).await);
        for Find { serial, reply } in batch.drain(..) {
            let answer = match &found {
                Ok(found) => found.get(serial.as_bytes()).cloned().transpose(),
                Err(error) => Err(error.clone()),
            };
            let _ = reply.send(answer);
        }
    }
}
