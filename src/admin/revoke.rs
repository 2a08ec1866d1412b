//! Revoking certificates that an operator names by their serial numbers.

use super::{Admin, Error, invalid, serial};
use crate::{
    api,
    ca::{self, Withdrawal, Withdrawn},
    store::{self, Store},
    types::{Actor, RevocationReason, Time},
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Serial numbers in one call: its events fit in a batch or two of the store.
const LARGEST: usize = 1000;

/// Revocations that wait for the store at once. They share its commits; the rest of its queue is
/// left to enrollment.
const AT_ONCE: usize = 64;

impl Admin {
    /// Revokes certificates, for good. For one that was revoked before, the first revocation stays.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are no serial numbers or too many, or the reason is none. What
    /// goes wrong with one certificate is in the answer, and does not keep the others.
    pub async fn revoke(
        &self,
        call: api::Revoke,
        actor: &Actor,
    ) -> Result<api::Revocations, Error> {
        let api::Revoke { serials, reason, comment } = call;
        if !(1..=LARGEST).contains(&serials.len()) {
            let error = format!("a call revokes 1 to {LARGEST} certificates");
            return Err(invalid(format!("{} serial numbers", serials.len()), error));
        }
        let reason = match reason {
            None => RevocationReason::Unspecified,
            Some(reason) => reason.parse().map_err(|error| invalid("the reason", error))?,
        };
        let now = self.clock.now();
        let mut left = serials.iter().cloned().enumerate();
        let mut running = JoinSet::new();
        let mut done = Vec::with_capacity(serials.len());
        loop {
            while running.len() < AT_ONCE
                && let Some((place, text)) = left.next()
            {
                let (store, actor) = (Arc::clone(&self.store), actor.clone());
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
                    answer.failed.push(api::NotRevoked { serial, reason: error.refusal() });
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
    let withdrawal = Withdrawal { serial, reason, comment, actor, request_id: None };
    let done = ca::revoke(store, withdrawal, now).await;
    let Withdrawn { issuance, before } = done.map_err(|error| match error {
        store::Error::NoSuchIssuance(serial) => Error::NotFound(format!("certificate {serial}")),
        store::Error::WrongState { serial, state } => {
            invalid(serial, format!("it is {state}: there is no certificate to revoke"))
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
