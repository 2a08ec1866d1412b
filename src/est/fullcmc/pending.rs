//! Pending certificates: reported with a token, and queried with it (queryPending, RFC 5272 §6.13).

use super::{CmcReply, RETRY, identity::Asker, stop::Stop};
use crate::{
    ca,
    est::{Endpoint, Error, Service},
    pki::cmc::{BodyPartId, CmcError, CmcStatus, FailInfo, PendInfo, StatusInfo},
    store::{Issuance, State},
    types::{Operation, Serial, Time},
};
use der::asn1::{GeneralizedTime, OctetString};
use std::{sync::Arc, time::Duration};

impl Service {
    /// Returns the issuances that a client queries (RFC 5272 §6.13). The token is the serial
    /// number; only the requester of the certificate can query it.
    pub(super) async fn queried(
        &self,
        asker: &Asker<'_>,
        queries: &[(BodyPartId, &[u8])],
    ) -> Result<Vec<(BodyPartId, Arc<Issuance>)>, Stop> {
        let mut out = Vec::new();
        for (part, token) in queries {
            let record = self.found(token).await?;
            let record = record.filter(|record| {
                matches!(record.state, State::Open | State::Issued)
                    && record.intent.operation == Some(Operation::FullCmc)
                    && record.intent.actor == asker.identity.actor
            });
            let Some(record) = record else {
                let reason = "nothing of yours is pending under this token";
                return Err(CmcError::part(FailInfo::BadRequest, *part, reason).into());
            };
            out.push((*part, record));
        }
        Ok(out)
    }

    /// Adds the result of a query to the reply: the certificate, or the pending status. Returns
    /// whether the certificate was issued.
    pub(super) async fn answer_query(
        &self,
        endpoint: &Endpoint,
        part: BodyPartId,
        issuance: &Issuance,
        reply: &mut CmcReply,
    ) -> Result<bool, Stop> {
        let intent = &issuance.intent;
        if issuance.state == State::Open {
            // The sweep would finish it, too; either may be first.
            let finished = endpoint.policy.ca.finish(intent, self.now()).await;
            if let Err(ca::Error::Store(rejection)) = finished {
                return Err(rejection.into());
            }
        }
        match self.store.find(&intent.serial).await? {
            Some(now) if now.state == State::Issued => {
                reply.certificates.push(now.certificate.clone());
                Ok(true)
            }
            _ => {
                reply.statuses.push(pending(part, &intent.serial, intent.begun)?);
                Ok(false)
            }
        }
    }
}

/// The status of an issuance that is recorded and not signed yet. The token is its serial number;
/// every query reports the same time.
pub(super) fn pending(part: BodyPartId, serial: &Serial, begun: Time) -> Result<StatusInfo, Error> {
    let encoding = |rejection: der::Error| Error::Internal(rejection.to_string());
    let when = begun.plus(Duration::from_secs(u64::from(RETRY)));
    let when = GeneralizedTime::from_unix_duration(Duration::from_secs(when.unix()));
    Ok(StatusInfo {
        status: CmcStatus::Pending,
        parts: vec![part],
        text: None,
        fail: None,
        pending: Some(PendInfo {
            pend_token: OctetString::new(serial.as_bytes()).map_err(encoding)?,
            pend_time: when.map_err(encoding)?,
        }),
    })
}
