//! `/simpleenroll` and `/simplereenroll` (RFC 7030 §4.2).

use super::{Endpoint, Error, Service};
use crate::{
    ca::{Issued, Order},
    pki::Csr,
    ra::{self, Identity},
    store::Issuance,
    types::{Operation, Peer, RequestId},
};
use std::sync::Arc;

/// An enrolment request with a body that was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Enrollment<'a> {
    /// Which operation.
    pub operation: Operation,
    /// The CSR, DER.
    pub csr: &'a [u8],
    /// The connection that it came over.
    pub peer: &'a Peer,
    /// The request's id.
    pub request_id: &'a RequestId,
}

/// A certificate for a client.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its record; the certificate is in it.
    pub issuance: Arc<Issuance>,
    /// Whether an equal request got it before.
    pub repeated: bool,
}

impl Service {
    /// `/simpleenroll` and `/simplereenroll` (RFC 7030 §4.2).
    ///
    /// # Errors
    /// Any but the two of authentication.
    pub async fn enroll(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        enrollment: Enrollment<'_>,
    ) -> Result<Enrolled, Error> {
        let csr = Csr::verify(enrollment.csr)?;
        let request = ra::Request {
            identity,
            peer: enrollment.peer,
            label: endpoint.label.as_ref(),
            operation: enrollment.operation,
            csr: &csr,
        };
        let decision = ra::decide(&endpoint.policy, request)?;
        let order = Order {
            content: decision.content,
            request_key: decision.request_key,
            repeat_window: endpoint.policy.rules.repeat_window,
            label: endpoint.label.clone(),
            operation: Some(enrollment.operation),
            actor: identity.actor.clone(),
            predecessor: decision.predecessor,
            linked: decision.linked,
            request_id: enrollment.request_id.clone(),
        };
        // On a task of its own: a client that hangs up must not stop an issuance half-way.
        let (ca, now) = (Arc::clone(&endpoint.ca), self.clock.now());
        let issuing = tokio::spawn(async move { ca.issue(order, now).await });
        let Issued { issuance, repeated } =
            issuing.await.map_err(|fault| Error::Internal(fault.to_string()))??;
        Ok(Enrolled { issuance, repeated })
    }
}
