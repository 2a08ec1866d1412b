//! Issuing for a key that the server made (RFC 7030 §4.4). The key is in one request's memory and
//! nowhere else, so a repeat cannot get the first answer: it gets a new key and a new certificate,
//! and the event of the new one says which certificates it repeats (docs/design/issuance.md).

use super::{Ca, Error, Order};
use crate::{
    failpoint::failpoint,
    pki::sha256,
    store::{Begun, IdempotencyKey, Issuance, State},
    telemetry::audit::Name,
    types::{Serial, Time},
};
use std::sync::Arc;

/// How many keys are made for one request within its window.
const MOST: usize = 16;

/// A certificate for a key that the server made.
#[derive(Clone, Debug)]
pub struct IssuedForGeneratedKey {
    /// The record.
    pub issuance: Arc<Issuance>,
    /// The certificate that the last equal request got within the window, and what later ones have
    /// left open, which may become certificates. If an answer was lost, so was its key.
    pub repeats: Vec<Serial>,
}

impl Ca {
    /// Issues a certificate for a key that was just made and that only the caller has. `how` goes
    /// into the event.
    ///
    /// As with [`Ca::issue`], what will be signed is durable before it is signed. Never finishes what
    /// an earlier request began: its key is not this one.
    ///
    /// # Errors
    /// Those of [`Ca::issue`]; [`Error::Repeats`] if the same was asked for 16 times within its
    /// window. What is left open is voided by a sweep.
    pub async fn issue_for_generated_key(
        &self,
        mut order: Order,
        how: &str,
        now: Time,
    ) -> Result<IssuedForGeneratedKey, Error> {
        order.content.check_key().await?;
        let facts = order.facts.clone();
        let mut intent = self.intent(order, now)?;
        failpoint!("issue: before the record");
        let mut repeats = Vec::new();
        for _ in 0..MOST {
            let earlier = match self.store.begin(intent.clone()).await? {
                Begun::New => None,
                Begun::Open(found) | Begun::Complete(found) => Some(found),
            };
            // The store tried twice: what it found is what it recorded.
            let earlier = earlier.filter(|it| it.intent.spki_sha256 != intent.spki_sha256);
            let Some(earlier) = earlier else {
                let named = repeats.iter().map(Serial::to_string).collect::<Vec<_>>().join(" ");
                let event = self
                    .event(Name::CertificateIssued, &intent, &intent.serial, now)
                    .with_all(facts)
                    .with("key", how)
                    .with_some("retry_of", (!named.is_empty()).then_some(named));
                let issuance = self.fulfil(&intent.serial, &intent.tbs, event).await?;
                return Ok(IssuedForGeneratedKey { issuance, repeats });
            };
            // What a certificate has named is not named again.
            if earlier.state != State::Open {
                repeats.clear();
            }
            repeats.push(earlier.intent.serial.clone());
            intent.idempotency_key = repeat_of(intent.idempotency_key, &earlier.intent.serial);
            // One window for all of them: none is out of reach before the first.
            intent.retry_until = earlier.intent.retry_until;
        }
        Err(Error::Repeats(MOST))
    }
}

/// What makes a further request a repeat of the one that got this certificate: each repeat finds the
/// one before it.
fn repeat_of(key: IdempotencyKey, serial: &Serial) -> IdempotencyKey {
    IdempotencyKey(sha256(&[&key.0, serial.as_bytes()].concat()))
}
