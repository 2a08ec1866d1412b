//! Revocation: the record and its event, for every requester.

use crate::{
    store::{self, Issuance, Revocation, Store},
    telemetry::audit::{Event, Name},
    types::{Actor, RequestId, RevocationReason, Serial, Time},
};
use std::sync::Arc;

/// A revocation: the certificate, the requester and the reason.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    /// Which.
    pub serial: Serial,
    /// Why.
    pub reason: RevocationReason,
    /// A comment for the event.
    pub comment: Option<String>,
    /// The certificate that took its place, for the event.
    pub successor: Option<Serial>,
    /// The requester.
    pub actor: Actor,
    /// The request; none for an operator's command.
    pub request_id: Option<RequestId>,
}

/// A certificate that is on record as revoked.
#[derive(Clone, Debug)]
pub struct Withdrawn {
    /// The record.
    pub issuance: Arc<Issuance>,
    /// Whether it was revoked before: then the record says when and why.
    pub before: bool,
}

/// Revokes a certificate, for good (RFC 5280 §5.3). If it was revoked before, that stays.
///
/// The caller must have authorized `withdrawal.actor`.
///
/// # Errors
/// [`store::Error::NoSuchIssuance`]; [`store::Error::WrongState`] if no certificate was issued;
/// [`store::Error::Unavailable`].
pub async fn revoke(
    store: &dyn Store,
    withdrawal: Withdrawal,
    now: Time,
) -> Result<Withdrawn, store::Error> {
    let Withdrawal { serial, reason, comment, successor, actor, request_id } = withdrawal;
    let Some(found) = store.find(&serial).await? else {
        return Err(store::Error::NoSuchIssuance(serial));
    };
    if found.revocation.is_some() {
        return Ok(Withdrawn { issuance: found, before: true });
    }
    let intent = &found.intent;
    let mut event = Event::new(now, Name::CertificateRevoked, actor)
        .with("serial", &serial)
        .with("subject", &intent.subject)
        .with("ca", &intent.ca)
        .with("profile", &intent.profile)
        .with_some("label", intent.label.as_ref())
        .with("reason", reason)
        .with_some("successor", successor)
        .with_some("comment", comment);
    event.request_id = request_id;
    let issuance = store.revoke(&serial, Revocation { at: now, reason }, event).await?;
    Ok(Withdrawn { issuance, before: false })
}
