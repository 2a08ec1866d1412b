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
    /// What was adapted to the client on the way here.
    pub adapted: &'a [&'static str],
}

/// A certificate for a client.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its record; the certificate is in it.
    pub issuance: Arc<Issuance>,
    /// Whether an equal request got it before.
    pub repeated: bool,
    /// What the event of the request says beside who, what and when.
    pub facts: Vec<(&'static str, String)>,
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
        let order = order(endpoint, identity, enrollment, &csr)?;
        let facts = order.facts.clone();
        // On a task of its own: a client that hangs up must not stop an issuance half-way.
        let (ca, now) = (Arc::clone(&endpoint.ca), self.clock.now());
        let issuing = tokio::spawn(async move { ca.issue(order, now).await });
        let Issued { issuance, repeated } =
            issuing.await.map_err(|fault| Error::Internal(fault.to_string()))??;
        Ok(Enrolled { issuance, repeated, facts })
    }
}

/// Decides on a CSR: what is to be issued for it.
pub(super) fn order(
    endpoint: &Endpoint,
    identity: &Identity,
    enrollment: Enrollment<'_>,
    csr: &Csr,
) -> Result<Order, Error> {
    let request = ra::Request {
        identity,
        peer: enrollment.peer,
        label: endpoint.label.as_ref(),
        operation: enrollment.operation,
        csr,
    };
    let decision = ra::decide(&endpoint.policy, request)?;
    let Enrollment { operation, request_id, adapted, .. } = enrollment;
    Ok(order_of(decision, endpoint, identity, operation, request_id, adapted))
}

/// What is to be issued by a decision; `adapted`: what was adapted to the client before it.
pub(super) fn order_of(
    decision: ra::Decision,
    endpoint: &Endpoint,
    identity: &Identity,
    operation: Operation,
    request_id: &RequestId,
    adapted: &[&'static str],
) -> Order {
    Order {
        facts: facts(identity, operation, adapted, &decision),
        content: decision.content,
        request_key: decision.request_key,
        repeat_window: endpoint.policy.rules.repeat_window,
        label: endpoint.label.clone(),
        operation: Some(operation),
        actor: identity.actor.clone(),
        predecessor: decision.predecessor,
        request_id: request_id.clone(),
    }
}

/// For the event: by what scheme a password was proved; by what the CSR was bound to its connection
/// (R-7030-3.5-e); and what the server made of a request that another client would have sent
/// otherwise; and what was decided. None of it relaxes a check.
fn facts(
    identity: &Identity,
    operation: Operation,
    adapted: &[&'static str],
    decision: &ra::Decision,
) -> Vec<(&'static str, String)> {
    let mut adapted = adapted.to_vec();
    if operation == Operation::SimpleEnroll && decision.predecessor.is_some() {
        adapted.push("simpleenroll taken as renewal of the certificate shown");
    }
    let scheme = identity.scheme.map(|scheme| ("scheme", scheme.to_string()));
    let adapted = (!adapted.is_empty()).then(|| ("adapted", adapted.join(", ")));
    let linked = decision.linked.map(|kind| ("linked", kind.to_string()));
    let mut facts: Vec<_> = scheme.into_iter().chain(linked).chain(adapted).collect();
    facts.extend(decision.facts.iter().cloned());
    facts
}
