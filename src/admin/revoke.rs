//! Revokes certificates by their serial numbers.

use super::{
    error::{Error, invalid},
    service::{Admin, Handle},
    values::serial,
};
use crate::{
    api,
    ca::{self, Withdrawal, Withdrawn},
    store::{self, Store},
    types::{Actor, RevocationReason, Time},
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Largest number of serial numbers in a call: its events fit in a batch or two of the store.
const LARGEST: usize = 1000;

/// Maximum number of revocations that wait for the store concurrently. They share its commits, and
/// leave the rest of its queue to enrollment.
const AT_ONCE: usize = 64;

impl Handle for api::Revoke {
    /// Revokes certificates permanently. Of a revoked certificate the first revocation stays.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no serial numbers or too many, and for an unknown reason. An error
    /// about one certificate is in the answer and does not stop the others.
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let Self { serials, reason, comment } = self;
        if !(1..=LARGEST).contains(&serials.len()) {
            let expected = format!("1 to {LARGEST} in a call");
            return Err(invalid("serial numbers", serials.len(), expected));
        }
        let reason = match reason {
            None => RevocationReason::Unspecified,
            Some(text) => text.parse().map_err(|error| invalid("reason", text, error))?,
        };
        let now = admin.clock.now();
        let mut left = serials.iter().cloned().enumerate();
        let mut running = JoinSet::new();
        let mut done = Vec::with_capacity(serials.len());
        loop {
            while running.len() < AT_ONCE
                && let Some((place, text)) = left.next()
            {
                let (store, actor) = (Arc::clone(&admin.store), actor.clone());
                let comment = comment.clone();
                running.spawn(async move {
                    (place, revoke(&*store, &text, reason, comment, actor, now).await)
                });
            }
            match running.join_next().await {
                None => break,
                Some(Ok(outcome)) => done.push(outcome),
                Some(Err(error)) => return Err(Error::Internal(error.to_string())),
            }
        }
        done.sort_by_key(|(place, _)| *place);
        let mut answer = api::Revocations::default();
        for ((_, outcome), serial) in done.into_iter().zip(serials) {
            match outcome {
                Ok(revoked) => answer.revoked.push(revoked),
                Err(error) => {
                    answer.failed.push(api::NotRevoked { serial, reason: error.response() });
                }
            }
        }
        Ok(answer)
    }
}

async fn revoke(
    store: &dyn Store,
    text: &str,
    reason: RevocationReason,
    comment: Option<String>,
    actor: Actor,
    now: Time,
) -> Result<api::Revoked, Error> {
    let serial = serial(text)?;
    let withdrawal =
        Withdrawal { serial, reason, comment, successor: None, actor, request_id: None };
    let done = ca::revoke(store, withdrawal, now).await;
    let Withdrawn { issuance, before } = done.map_err(|error| match error {
        store::Error::NoSuchIssuance(serial) => Error::NotFound(format!("certificate {serial}")),
        store::Error::WrongState { serial, state } => {
            let got = format!("one that is {state}");
            invalid(&format!("certificate {serial}"), got, "an issued one")
        }
        other => other.into(),
    })?;
    let revocation = issuance.revocation;
    let revocation = revocation.ok_or_else(|| Error::Internal("not revoked".to_owned()))?;
    Ok(api::Revoked {
        serial: issuance.intent.serial.to_string(),
        subject: issuance.intent.subject.clone(),
        revoked: revocation.at.to_string(),
        reason: revocation.reason.to_string(),
        before,
    })
}
