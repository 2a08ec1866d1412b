//! Issues certificates for keys that the server generates (RFC 7030 §4.4). The key is in the memory of
//! one request only, so a retry cannot return it: it gets a new key and a new certificate. The event
//! of the new one names the certificates of the earlier tries (docs/design/issuance.md).

use super::{Ca, Error, Order, Withdrawal, authority::conditions_for, revoke};
use crate::{
    failpoint::failpoint,
    pki::sha256,
    store::{self, Begun, IdempotencyKey, Intent, Issuance, State},
    telemetry::audit::Name,
    types::{Actor, RevocationReason, Serial, Time},
};
use std::sync::Arc;

/// Keys generated for one request within its window, at most.
const MOST: usize = 16;

impl Ca {
    /// Issues a certificate for a new key that only the caller has. `how` is recorded in the event.
    ///
    /// As with [`Ca::issue`], the TBSCertificate is durable before it is signed. Never finishes an
    /// earlier request: it had another key.
    ///
    /// # Errors
    /// Those of [`Ca::issue`]; [`Error::Repeats`] after 16 retries within their window.
    /// A sweep voids the open records.
    pub async fn issue_for_generated_key(
        &self,
        mut order: Order,
        how: &str,
        now: Time,
    ) -> Result<Arc<Issuance>, Error> {
        order.content.check_key().await?;
        let (facts, limits) = (order.facts.clone(), Arc::clone(&order.content.limits));
        let conditions = order.conditions.clone();
        let mut intent = self.intent(order, now)?;
        let mut conditions = conditions_for(&intent, conditions);
        let tbs = self.lint(&intent, &limits, now).await?;
        failpoint!("issue: before the record");
        // The certificate issued for the previous attempt within the window, and the open records of
        // later attempts, which may become certificates. If an answer was lost, so was its key.
        let mut repeats = Vec::new();
        for _ in 0..MOST {
            let earlier = match self.store.begin(intent.clone(), conditions.clone()).await? {
                Begun::New => None,
                Begun::Open(found) | Begun::Complete(found) => Some(found),
                Begun::Unmet(unmet) => return Err(Error::Unmet(unmet)),
            };
            // The store wrote twice and found its own record.
            let earlier = earlier.filter(|it| it.intent.spki_sha256 != intent.spki_sha256);
            let Some(earlier) = earlier else {
                self.supersede_lost(&intent, conditions.lost, now).await?;
                let named = repeats.iter().map(Serial::to_string).collect::<Vec<_>>().join(" ");
                let event = self
                    .event(Name::CertificateIssued, &intent, &intent.serial, now)
                    .with_all(facts)
                    .with("key", how)
                    .with_some("retry_of", (!named.is_empty()).then_some(named));
                return self.fulfill(&intent.serial, &tbs, event).await;
            };
            // Its request may still run, on another node: one token must not give two certificates.
            if intent.token.is_some() && earlier.state == State::Open {
                self.void_earlier(&earlier.intent, now).await?;
                continue;
            }
            // A certificate's event has named the earlier ones.
            if earlier.state != State::Open {
                repeats.clear();
            }
            repeats.push(earlier.intent.serial.clone());
            // The token of both requests gives one certificate: the one whose key arrived.
            conditions.lost = intent.token.map(|_| earlier.intent.serial.clone());
            intent.idempotency_key = next_retry(intent.idempotency_key, &earlier.intent.serial);
            // One window for all of them: none is out of reach before the first.
            intent.retry_until = earlier.intent.retry_until;
        }
        Err(Error::Repeats(MOST))
    }

    /// Voids an open record, which gives the use of its token back. Changes nothing if it has ended.
    async fn void_earlier(&self, open: &Intent, now: Time) -> Result<(), Error> {
        let event = self
            .event(Name::IssuanceVoided, open, &open.serial, now)
            .with("reason", "a retry of its request gets another key");
        match self.store.void(&open.serial, event).await {
            Ok(()) | Err(store::Error::WrongState { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Revokes the certificate whose key may be lost, once the token that it consumed gave another one.
    async fn supersede_lost(
        &self,
        successor: &Intent,
        lost: Option<Serial>,
        now: Time,
    ) -> Result<(), Error> {
        let Some(serial) = lost else { return Ok(()) };
        let withdrawal = Withdrawal {
            serial,
            reason: RevocationReason::Superseded,
            comment: Some("its key may be lost, and the retry got another one".to_owned()),
            successor: Some(successor.serial.clone()),
            actor: Actor::server(),
            request_id: Some(successor.request_id.clone()),
        };
        match revoke(&*self.store, withdrawal, now).await {
            Ok(_) | Err(store::Error::WrongState { state: State::Void, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the key of the retry after the request that got this certificate: each finds the one
/// before it.
fn next_retry(key: IdempotencyKey, serial: &Serial) -> IdempotencyKey {
    IdempotencyKey(sha256(&[&key.0, serial.as_bytes()].concat()))
}
