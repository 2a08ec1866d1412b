//! Finishes issuances that a request left open: the request was cut, or its process ended.
//!
//! The recorded content may have been signed. So the CA signs it now: it becomes a certificate like any
//! other, which can be found, fetched by a retry, and revoked. An issuance that no CA of this server can
//! sign is voided.
//!
//! An issuance for a key that the server generated is voided: the key existed only in the request. That
//! waits until the end of its retry window, because a retry finds the later issuance by it.
//!
//! Another node may be finishing the same record: the store decides which was first
//! (docs/design/issuance.md).

use crate::{
    ca::{Ca, Error},
    store::{self, Filter, Intent, Issuance, State, Store},
    telemetry::audit::{Event, Name},
    types::{Actor, CaName, Operation, Time},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// Age at which a running server considers an open issuance abandoned. Much longer than a request takes:
/// an earlier sweep would be no error, but duplicate work.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// Issuances that are read together.
const PAGE: usize = 500;

/// Issuances that are finished together: the store commits concurrent writes as one. After a crash under
/// load, the start waits for all of them.
const TOGETHER: usize = 64;

/// The result of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Issuances that were finished.
    pub finished: usize,
    /// Issuances that were voided.
    pub voided: usize,
}

/// Finishes or voids the open issuances that started at least `grace` ago.
///
/// Waits at least [`GRACE`] before it voids one: a node with another configuration may be about to finish
/// it. One for a generated key is voided [`GRACE`] after its retry window.
///
/// # Errors
/// Those of the store, immediately; those of a CA, after the issuances of the others. Finished ones
/// stay finished.
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
                    Ok(Ok(State::Void)) => swept.voided += 1,
                    Ok(Ok(_)) => swept.finished += 1,
                    Ok(Err(error @ Error::Store(_))) => return Err(error),
                    Ok(Err(error)) => failed = Some(error),
                    Err(ended) => return Err(store::Error::Unavailable(ended.to_string()).into()),
                }
            }
        }
    }
}

/// Returns until when an issuance that cannot be finished is needed.
fn needed_until(open: &Intent) -> Time {
    if open.operation == Some(Operation::ServerKeyGen) { open.retry_until } else { open.begun }
}

/// Returns the CA that can finish it, or the reason why none can.
fn finisher<'a>(
    open: &Issuance,
    cas: &'a BTreeMap<CaName, Arc<Ca>>,
    now: Time,
) -> Result<&'a Arc<Ca>, &'static str> {
    if open.intent.operation == Some(Operation::ServerKeyGen) {
        return Err("its generated key is lost: the request ended before its answer");
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
