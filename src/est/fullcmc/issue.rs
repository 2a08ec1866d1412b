//! Issues the granted requests.

use super::{
    CmcReply,
    pending::pending,
    requests::Granted,
    stop::{Stop, server_error},
};
use crate::{
    ca::{self, Issued, Order},
    est::{Endpoint, Error, Service},
    pki::cmc::StatusInfo,
    store,
};
use std::sync::Arc;

impl Service {
    /// Issues a granted request and adds the result to the reply: the certificate, the pending
    /// status, or the error. Returns whether the certificate was issued.
    pub(super) async fn answer_request(
        &self,
        endpoint: &Endpoint,
        grant: Granted,
        reply: &mut CmcReply,
    ) -> Result<bool, Stop> {
        let part = grant.part;
        match self.issue(endpoint, grant.order).await {
            Ok(Issued { issuance, repeated }) => {
                let intent = &issuance.intent;
                if repeated {
                    reply.repeated.push((intent.serial.clone(), intent.request_id.clone()));
                }
                reply.certificates.push(issuance.certificate.clone());
                return Ok(true);
            }
            Err(ca::Error::Signer { open: Some(serial), .. }) => {
                let open = self.store.find(&serial).await?;
                let begun = open.map_or_else(|| self.now(), |open| open.intent.begun);
                reply.statuses.push(pending(part, &serial, begun)?);
            }
            Err(rejection) => {
                let rejection = Error::from(rejection);
                reply.cause = Some(rejection.to_string());
                let error = server_error(&rejection);
                reply.statuses.push(StatusInfo::failed(error.fail, vec![part], error.reason));
            }
        }
        Ok(false)
    }

    async fn issue(&self, endpoint: &Endpoint, order: Order) -> Result<Issued, ca::Error> {
        let (ca, now) = (Arc::clone(&endpoint.policy.ca), self.now());
        // On a task of its own: a client that hangs up must not stop an issuance half-way.
        match tokio::spawn(async move { ca.issue(order, now).await }).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ca::Error::Store(store::Error::Unavailable("the task ended".to_owned()))),
        }
    }
}
