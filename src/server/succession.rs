//! Revokes the predecessors of renewed certificates once the delay of their label is over (D-35). The
//! first use of a successor revokes its predecessor earlier (`ra::succession`); this finds the others.
//!
//! Serial numbers begin with the time of issue. So the successors that were issued about `delay` ago
//! follow a cursor in the order of the store. A register holds the cursor of each label: all nodes
//! share it. It moves on only when the revocations before it are durable, so that a crash skips none.
//! Two nodes that sweep at once find the same certificates, which is no error.
//!
//! A label's cursor begins at the time at which the label begins to supersede.

use crate::{
    ca,
    policy::Superseding,
    store::{self, CompareAndSet, Filter, Intent, Issuance, State, Store},
    types::{Label, Serial, Time},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// The register of the cursors.
const REGISTER: &str = "superseding";

/// Issuances that are read together. Few: an idle server reads a page each minute.
const PAGE: usize = 100;

/// Revocations that wait for the store together: it commits concurrent writes as one.
const TOGETHER: usize = 64;

/// How late the record of an issuance may arrive behind others, for a slow store or another node's
/// clock. The cursor stays this far behind.
const LATE: Duration = Duration::from_secs(300);

/// Tries to change the register while other nodes change it, too.
const TRIES: usize = 16;

/// For each label, the last serial number that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursors(BTreeMap<Option<Label>, Serial>);

impl Cursors {
    /// Adds the cursors that are missing.
    fn start(&mut self, delays: &Superseding, first: &Serial) {
        for label in delays.keys() {
            self.0.entry(label.clone()).or_insert_with(|| first.clone());
        }
    }

    /// A line for each label: the serial number, a space and the label, which is empty for requests
    /// without one.
    fn encode(&self) -> Vec<u8> {
        let line = |(label, serial): (&Option<Label>, &Serial)| {
            format!("{serial} {}\n", label.as_ref().map_or("", Label::as_str))
        };
        self.0.iter().map(line).collect::<String>().into_bytes()
    }

    fn parse(value: &[u8]) -> Result<Self, store::Error> {
        let corrupt = || store::Error::Corrupt(format!("register {REGISTER:?}"));
        let line = |line: &str| {
            let (serial, label) = line.split_once(' ')?;
            let label = (!label.is_empty()).then(|| label.parse().ok());
            Some((label.map_or(Some(None), |label| label.map(Some))?, serial.parse().ok()?))
        };
        let text = std::str::from_utf8(value).map_err(|_| corrupt())?;
        text.lines().map(|one| line(one).ok_or_else(corrupt)).collect::<Result<_, _>>().map(Self)
    }
}

/// Starts the cursors of labels that begin to supersede, before they issue by that rule. Removes those of
/// labels that do so no more. For the start of a configuration.
///
/// # Errors
/// [`store::Error::Unavailable`]; [`store::Error::Corrupt`] if the register cannot be read.
pub(super) async fn start_cursors(
    store: &dyn Store,
    delays: &Superseding,
    now: Time,
) -> Result<(), store::Error> {
    let first = first_at(now)?;
    let begun = change(store, |cursors| {
        cursors.0.retain(|label, _| delays.contains_key(label));
        cursors.start(delays, &first);
    });
    begun.await.map(drop)
}

/// Revokes the predecessors of certificates that were issued at least `delay` ago. Returns their number.
///
/// # Errors
/// Those of the store; the next call continues.
pub(super) async fn supersede_delayed(
    store: &Arc<dyn Store>,
    delays: &Superseding,
    now: Time,
) -> Result<usize, store::Error> {
    let mut revoked = 0;
    let first = first_at(now)?;
    // Removes none: a reload, or another node, may have started one that `delays` does not know yet.
    let cursors = change(&**store, |cursors| cursors.start(delays, &first)).await?;
    for (label, cursor) in cursors.0 {
        if let Some(delay) = delays.get(&label) {
            revoked += sweep_label(store, &label, cursor, *delay, now).await?;
        }
    }
    Ok(revoked)
}

async fn sweep_label(
    store: &Arc<dyn Store>,
    label: &Option<Label>,
    cursor: Serial,
    delay: Duration,
    now: Time,
) -> Result<usize, store::Error> {
    // All that were issued in this second are before it.
    let end = first_at(now.minus(delay).plus(Duration::from_secs(1)))?;
    let limit = first_at(now.minus(LATE))?;
    let mut known = cursor;
    if known > first_at(now)? {
        // The clock was ahead, and is right again.
        advance(&**store, label, &known, &limit).await?;
        known = limit.clone();
    }
    let mut after = known.clone();
    let (mut revoked, mut held) = (0, None::<Serial>);
    let mut ended = false;
    while !ended {
        let mut page = store.list(&Filter::default(), Some(&after), PAGE).await?;
        ended = page.len() < PAGE;
        if let Some(first) = page.iter().position(|record| record.intent.serial >= end) {
            page.truncate(first);
            ended = true;
        }
        let Some(last) = page.last() else { break };
        after = last.intent.serial.clone();
        for together in page.chunks(TOGETHER) {
            let done = supersede_all(store, label, together, now).await?;
            revoked += done.revoked;
            held = held.into_iter().chain(done.held).min();
        }
        // Behind all that wait: they are looked at again.
        let before = |serial: &&Serial| held.as_ref().is_none_or(|held| *serial < held);
        let done = page.iter().map(|record| &record.intent.serial).rfind(before);
        if let Some(done) = done.map(|done| done.min(&limit)).filter(|done| **done > known) {
            advance(&**store, label, &known, done).await?;
            known = done.clone();
        }
    }
    Ok(revoked)
}

/// The result of some successors.
struct Done {
    revoked: usize,
    /// The first one that must wait.
    held: Option<Serial>,
}

async fn supersede_all(
    store: &Arc<dyn Store>,
    label: &Option<Label>,
    records: &[Arc<Issuance>],
    now: Time,
) -> Result<Done, store::Error> {
    let mut done = Done { revoked: 0, held: None };
    let mut running = JoinSet::new();
    for record in records {
        let intent = &record.intent;
        if intent.predecessor.is_none() || intent.label != *label {
            continue;
        }
        match record.state {
            // Its certificate may still come; or a retry may, which shows the predecessor.
            State::Open | State::Issued if is_early(record, now) => {
                done.held = done.held.into_iter().chain([intent.serial.clone()]).min();
            }
            State::Issued => {
                let (store, record) = (Arc::clone(store), Arc::clone(record));
                running.spawn(async move {
                    let cause = "the delay after its renewal is over";
                    let outcome = ca::supersede(&*store, &record.intent, cause, None, now).await;
                    (record, outcome)
                });
            }
            State::Open | State::Void | State::Revoked => {}
        }
    }
    let mut failed = None;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((_, Ok(is_new))) => done.revoked += usize::from(is_new),
            Ok((record, Err(store::Error::WrongState { .. }))) => {
                let serial = record.intent.serial.clone();
                done.held = done.held.into_iter().chain([serial]).min();
            }
            Ok((_, Err(error))) => failed = Some(error),
            Err(ended) => failed = Some(store::Error::Unavailable(ended.to_string())),
        }
    }
    failed.map_or(Ok(done), Err)
}

fn is_early(record: &Issuance, now: Time) -> bool {
    let Intent { retry_until, .. } = record.intent;
    record.state == State::Open || now < retry_until
}

/// Moves a label's cursor, unless another node has moved it.
async fn advance(
    store: &dyn Store,
    label: &Option<Label>,
    from: &Serial,
    to: &Serial,
) -> Result<(), store::Error> {
    let moved = change(store, |cursors| {
        if let Some(cursor) = cursors.0.get_mut(label).filter(|cursor| *cursor == from) {
            *cursor = to.clone();
        }
    });
    moved.await.map(drop)
}

/// Changes the register, and returns its new content.
async fn change(store: &dyn Store, alter: impl Fn(&mut Cursors)) -> Result<Cursors, store::Error> {
    for _ in 0..TRIES {
        let value = store.register(REGISTER).await?;
        let known = Cursors::parse(value.as_deref().unwrap_or_default())?;
        let mut new = known.clone();
        alter(&mut new);
        if new == known {
            return Ok(new);
        }
        let set = store.compare_and_set(REGISTER, value.as_deref(), &new.encode()).await?;
        if set == CompareAndSet::Set {
            return Ok(new);
        }
    }
    Err(store::Error::Unavailable(format!("register {REGISTER:?} changes all the time")))
}

fn first_at(time: Time) -> Result<Serial, store::Error> {
    ca::first_serial(time).map_err(|error| store::Error::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::MemoryStore, telemetry::audit::NoTrail};

    /// The sweep of one node beside the reload of another, or of the same one.
    #[tokio::test]
    async fn a_sweep_by_older_settings_removes_no_cursor() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
        let delays = |labels: &[&str]| -> Superseding {
            let delay = |label: &&str| (Some(label.parse().unwrap()), Duration::ZERO);
            labels.iter().map(delay).collect()
        };
        let cursors = async || {
            let value = store.register(REGISTER).await.unwrap().unwrap_or_default();
            Cursors::parse(&value).unwrap()
        };
        let (older, newer) = (delays(&["plant"]), delays(&["plant", "factory"]));
        let now = Time::from_unix(1_795_262_400);
        start_cursors(&*store, &newer, now).await.unwrap();
        let started = cursors().await;
        assert_eq!(started.0.len(), 2);
        let later = now.plus(Duration::from_secs(60));
        supersede_delayed(&store, &older, later).await.unwrap();
        assert_eq!(cursors().await, started);
        // Only a configuration ends what it no longer asks for.
        start_cursors(&*store, &older, later).await.unwrap();
        assert_eq!(cursors().await.0.len(), 1);
    }
}
