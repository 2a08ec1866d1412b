//! The end of a renewed certificate: it is revoked as superseded (RFC 5280 §5.3.1, D-35).

use super::{Withdrawal, revoke};
use crate::{
    store::{self, Intent, State, Store},
    types::{Actor, RequestId, RevocationReason, Time},
};

/// Revokes the certificate that `successor` renewed, if it is on record and was not revoked before.
/// Its event names the successor, and `cause`. Returns whether it is revoked now.
///
/// The caller must know that the retry window of `successor` is over: a retry shows the predecessor.
///
/// # Errors
/// [`store::Error::Unavailable`]; [`store::Error::WrongState`] if its issuance is still open.
pub async fn supersede(
    store: &dyn Store,
    successor: &Intent,
    cause: &'static str,
    request_id: Option<RequestId>,
    now: Time,
) -> Result<bool, store::Error> {
    let Some(predecessor) = &successor.predecessor else { return Ok(false) };
    let withdrawal = Withdrawal {
        serial: predecessor.clone(),
        reason: RevocationReason::Superseded,
        comment: Some(cause.to_owned()),
        successor: Some(successor.serial.clone()),
        actor: Actor::server(),
        request_id,
    };
    match revoke(store, withdrawal, now).await {
        Ok(withdrawn) => Ok(!withdrawn.before),
        // One that is not on record may renew its own names (D-36). It has no record to revoke.
        Err(
            store::Error::NoSuchIssuance(_) | store::Error::WrongState { state: State::Void, .. },
        ) => Ok(false),
        Err(error) => Err(error),
    }
}
