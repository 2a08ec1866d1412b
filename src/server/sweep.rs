//! Ends what a request has left open: it was cut, or the process that had it died.
//!
//! What was begun for a key that the server made is voided: the key was nowhere but in the request.
//! But not while repeats are answered, which find by it what was issued after it.
//!
//! What the record says may have been signed, so it is signed now and becomes a certificate like any
//! other, that can be found, fetched by a repeat and, later, revoked. Only what no CA of this server
//! can vouch for any more is voided. Another node may be in the middle of the same record: the store
//! decides who was first (docs/design/issuance.md).

use crate::{
    ca::{Ca, Error},
    store::{self, Filter, Intent, Issuance, State, Store},
    telemetry::audit::{Event, Name},
    types::{Actor, CaName, Operation, Time},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How old an open issuance is before a running server takes it for left behind. Much longer than
/// a request takes: earlier would be no error, but work done twice.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// How many are looked at together.
const PAGE: usize = 500;

/// How many are finished together: the store commits at once what comes at once, and after a crash
/// under load nobody is served before all are done.
const TOGETHER: usize = 64;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Issuances that got their certificate.
    pub finished: usize,
    /// Issuances that were given up.
    pub voided: usize,
}

/// Ends the open issuances that were begun at least `grace` ago; those that have to be voided get
/// [`GRACE`] in any case, since a node with another configuration may be about to finish them, and
/// those of a made key get it after their window, since a repeat may be late.
///
/// # Errors
/// Those of the store, at once; those of a CA when the others' issuances are ended. What was ended
/// by then stays ended.
pub(super) async fn sweep(
    store: &dyn Store,
    cas: &BTreeMap<CaName, Arc<Ca>>,
    grace: Duration,
    now: Time,
) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    let mut failed = None;
    let filter = Filter { state: Some(State::Open), ..Filter::default() };
    let mut after = None;
    loop {
        let page = store.list(&filter, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return failed.map_or(Ok(swept), Err) };
        after = Some(last.intent.serial.clone());
        for together in page.chunks(TOGETHER) {
            let mut finishing = JoinSet::new();
            for open in together {
                let age = now.since(open.intent.begun);
                if age < grace {
                    continue;
                }
                match finisher(open, cas, now) {
                    // The clock was set back: a start must not fail for that.
                    Ok(ca) if now < ca.issuing().not_before() => {}
                    Ok(ca) => {
                        let (ca, open) = (Arc::clone(ca), Arc::clone(open));
                        finishing.spawn(async move { ca.finish(&open.intent, now).await });
                    }
                    Err(reason) if now >= needed_until(&open.intent).plus(GRACE) => {
                        void(store, open, reason, now).await?;
                        swept.voided += 1;
                    }
                    Err(_) => {}
                }
            }
            while let Some(finished) = finishing.join_next().await {
                match finished {
                    Ok(Ok(())) => swept.finished += 1,
                    Ok(Err(error @ Error::Store(_))) => return Err(error),
                    Ok(Err(error)) => failed = Some(error),
                    Err(ended) => return Err(store::Error::Unavailable(ended.to_string()).into()),
                }
            }
        }
    }
}

/// Until when what cannot be finished is of use to anybody.
fn needed_until(open: &Intent) -> Time {
    if open.operation == Some(Operation::ServerKeyGen) { open.retry_until } else { open.begun }
}

/// The CA that can finish it, or why none can.
fn finisher<'a>(
    open: &Issuance,
    cas: &'a BTreeMap<CaName, Arc<Ca>>,
    now: Time,
) -> Result<&'a Arc<Ca>, &'static str> {
    if open.intent.operation == Some(Operation::ServerKeyGen) {
        return Err("the key that was made for it is lost: the request ended before its answer");
    }
    let ca = cas.get(&open.intent.ca).ok_or("its CA is not in the configuration any more")?;
    if now >= ca.issuing().not_after() {
        return Err("its CA has expired");
    }
    if now > open.intent.not_after {
        return Err("its validity is over");
    }
    Ok(ca)
}

async fn void(
    store: &dyn Store,
    open: &Issuance,
    reason: &str,
    now: Time,
) -> Result<(), store::Error> {
    let intent = &open.intent;
    let event = Event::new(now, Name::IssuanceVoided, Actor::server())
        .request(intent.request_id.clone())
        .with("serial", &intent.serial)
        .with("subject", &intent.subject)
        .with("ca", &intent.ca)
        .with("reason", reason);
    match store.void(&intent.serial, event).await {
        // Another node was first.
        Ok(()) | Err(store::Error::WrongState { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
