//! The decision on a CSR: what to issue to this client, and which certificate that renews.

use super::{
    Error, FoundDevice, Identity, Peer, Presented,
    rules::{self, Case, EntityNames, Finding},
};
use crate::{
    ca::{Ca, Order, OrderedDevice, Profile},
    pki::Csr,
    policy,
    store::IdempotencyKey,
    telemetry::audit::Facts,
    types::{BindingKind, Label, Operation, RequestId, Serial, Time},
};
use aws_lc_rs::digest;
use std::sync::Arc;

/// The rules of a label, with its CA and profile.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The label; none for requests without one.
    pub label: Option<Label>,
    /// The CA that issues.
    pub ca: Arc<Ca>,
    /// The rules that the operator wrote.
    pub rules: policy::LabelRules,
    /// The profile that they name.
    pub profile: Arc<Profile>,
}

/// The client of a CSR and its request.
#[derive(Clone, Copy)]
pub struct Requester<'a> {
    /// The client.
    pub identity: &'a Identity,
    /// The operation.
    pub operation: Operation,
    /// The connection.
    pub peer: &'a Peer,
    /// The proven identity of the device.
    pub device: &'a FoundDevice,
    /// The request.
    pub request_id: &'a RequestId,
    /// The time of the request.
    pub now: Time,
    /// Adaptations of the protocol to the client, for the event.
    pub adapted: &'a [&'static str],
}

/// Decides on a CSR, for enrollment or re-enrollment: checks every rule, then spends what is spent.
/// Returns the order to issue for it.
///
/// # Errors
/// [`Error::Unacceptable`], [`Error::Linking`], [`Error::Forbidden`], [`Error::TooEarly`] or
/// [`Error::IdentityChanged`] for the first broken rule. [`Error::Unauthenticated`] if that rule does
/// not apply to a client with a password, and the label accepts one (D-41).
pub fn decide(policy: &Policy, requester: Requester<'_>, csr: &Csr) -> Result<Order, Error> {
    let case = Case::new(policy, requester, csr);
    rules::check_all(&case)?;
    rules::linking::spend(case.linked(), requester.peer)?;
    order(case, policy, requester, csr)
}

/// Returns the order for a case that broke no rule.
fn order(
    case: Case<'_>,
    policy: &Policy,
    requester: Requester<'_>,
    csr: &Csr,
) -> Result<Order, Error> {
    let predecessor = case.predecessor();
    let mut facts = facts(requester, predecessor.is_some(), case.linked());
    if let Some(predecessor) = predecessor {
        let same_key = case.has_key_of(predecessor);
        facts.push(("renewal", if same_key { "renew" } else { "rekey" }.to_owned()));
    }
    if case.sets_names() {
        facts.push(("requested_names", EntityNames::of_csr(csr).to_string()));
    }
    if case.changes_names() {
        facts.push(("former_names", EntityNames::of_csr(csr).to_string()));
    }
    let predecessor = predecessor.map(|certificate| certificate.serial().clone());
    let Some(content) = case.into_content() else {
        return Err(Error::Internal("no rule made the content".to_owned()));
    };
    facts.extend(content.dropped_extensions().map(|names| ("dropped_extensions", names)));
    facts.extend(requester.identity.expired.map(|end| ("expired", end.to_string())));
    let (device, conditions) = requester.device.conditions(policy, requester.now);
    Ok(Order {
        device: device.map_or(OrderedDevice::New, OrderedDevice::Known),
        token: requester.identity.token.as_ref().map(|token| token.id),
        conditions,
        facts,
        content,
        idempotency_key: idempotency_key(policy, requester, csr, predecessor.as_ref()),
        retry_window: policy.rules.retry_window,
        due: policy.rules.renewal.due,
        label: policy.label.clone(),
        operation: Some(requester.operation),
        actor: requester.identity.actor.clone(),
        predecessor,
        request_id: requester.request_id.clone(),
        proofs: requester.identity.rights.proofs.iter().map(ToString::to_string).collect(),
        address: Some(requester.peer.address.ip()),
    })
}

/// Returns the idempotency key of a CSR that is rejected for its time alone, and the kind of its channel
/// binding. The retry of an accepted request gets the first answer, whatever its time.
pub(super) fn retried(
    policy: &Policy,
    requester: Requester<'_>,
    csr: &Csr,
) -> (IdempotencyKey, Option<BindingKind>) {
    let case = Case::new(policy, requester, csr);
    // Its error is known. The rule of the binding has passed, and sets the kind.
    let _ = rules::check_all(&case);
    let predecessor = case.predecessor().map(|certificate| certificate.serial().clone());
    (idempotency_key(policy, requester, csr, predecessor.as_ref()), case.linked())
}

/// Shows what every rule finds about a CSR, and the order if none rejects it. Spends nothing, and issues
/// nothing.
pub(super) fn explain(
    policy: &Policy,
    requester: Requester<'_>,
    csr: &Csr,
) -> (Vec<Finding>, Option<Order>) {
    let case = Case::new(policy, requester, csr);
    let findings: Vec<Finding> = rules::RULES.iter().map(|rule| rule.explain(&case)).collect();
    let passed = findings.iter().all(|finding| finding.outcome.is_ok());
    let order = passed.then(|| order(case, policy, requester, csr).ok()).flatten();
    (findings, order)
}

/// Whether the client is a registration authority (RFC 7030 §3.7) that the label accepts.
#[must_use]
pub fn is_ra(policy: &Policy, identity: &Identity) -> bool {
    identity.presented.as_ref().is_some_and(|presented| presented.is_ra(&policy.rules))
}

/// Returns the facts of the client for the event: address, certificate, password scheme, kind of channel
/// binding (R-7030-3.5-e), and adaptations. None of them relaxes a check.
fn facts(
    requester: Requester<'_>,
    renews: bool,
    linked: Option<BindingKind>,
) -> Vec<(&'static str, String)> {
    let Requester { identity, operation, peer, .. } = requester;
    let mut client = Facts::default();
    client.add("address", peer.address);
    identity.describe(&mut client);
    let mut adapted = requester.adapted.to_vec();
    if operation == Operation::SimpleEnroll && renews {
        adapted.push("simpleenroll accepted as renewal of the certificate shown");
    }
    let mut facts = client.into_vec();
    facts.extend(identity.account.as_ref().map(|(_, scheme)| ("scheme", scheme.to_string())));
    facts.extend(linked.map(|kind| ("linked", kind.to_string())));
    facts.extend((!adapted.is_empty()).then(|| ("adapted", adapted.join(", "))));
    facts
}

/// Hashes everything that identifies a request: equal keys mean a retry.
fn idempotency_key(
    policy: &Policy,
    requester: Requester<'_>,
    csr: &Csr,
    predecessor: Option<&Serial>,
) -> IdempotencyKey {
    let mut key = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        // Prefixed with its length, so that the boundary between two parts is unambiguous.
        key.update(&(bytes.len() as u64).to_be_bytes());
        key.update(bytes);
    };
    let identity = requester.identity;
    part(identity.actor.method.to_string().as_bytes());
    part(identity.actor.name.as_bytes());
    let (ca, certificate) =
        identity.presented.as_ref().map_or_else(Default::default, Presented::identity);
    part(ca.as_bytes());
    part(&certificate);
    part(policy.label.as_ref().map_or("", Label::as_str).as_bytes());
    part(requester.operation.as_str().as_bytes());
    part(predecessor.map_or(&[][..], Serial::as_bytes));
    part(&csr.content_sha256());
    if let Some(token) = &identity.token {
        part(&token.id.0);
    }
    IdempotencyKey(key.finish().as_ref().try_into().unwrap_or_default())
}
