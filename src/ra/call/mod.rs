//! The stages of a request, independent of transport. It is authenticated and decided on, and ends with
//! a certificate or a rejection, which the audit trail records.
//!
//! A protocol is a thin adapter: it decodes, calls, encodes. Five values carry a request:
//!
//! | Value | Stage |
//! |---|---|
//! | [`Call`] | a request as a protocol received it |
//! | [`Authenticated`] | its client is known; only now is its body read (R-7030-4.2-a) |
//! | [`crate::ca::Order`] | what to issue for it, by [`super::decide()`] |
//! | [`crate::store::Issuance`] | its record: first what will be signed, then the certificate |
//! | [`Issued`] | the record that it is answered with, and whether it is a retry |
//!
//! Every step that can fail returns [`Rejected`], which exists only after the rejection is on the trail.

mod order;

use super::{
    Authenticator, AuthnContext, Claim, Credentials, Error, FoundDevice, Identity, Peer, Policy,
    RecentRequests, RecordedOutcome, RecordedRequest, decide, decide::retried, recent::ClientKind,
    rules::linking::spend,
};
use crate::{
    ca::Issued,
    clock::Clock,
    pki::{self, Csr, DistinguishedName, cmc::FailInfo},
    policy::{Scheme, Superseding},
    store::Issuance,
    telemetry::audit::{Event, Facts, Name, Stranger, Trail},
    types::{Actor, Code, Operation, Origin, RequestId, Serial, Time},
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// The registration authority: authenticates clients, decides on their requests and reports both.
pub struct Authority {
    authenticator: Arc<Authenticator>,
    trail: Arc<dyn Trail>,
    clock: Arc<dyn Clock>,
    superseding: Superseding,
    recent: Arc<RecentRequests>,
}

/// A protocol's own end of a request, for the audit trail.
pub trait Door: Send + Sync {
    /// Describes the request in the protocol's terms, and how the protocol answers this rejection.
    fn facts(&self, cause: Cause<'_>) -> Vec<(&'static str, String)>;
}

/// Why a request ends without an answer of its operation.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// An error of the registration authority.
    Error(&'a Error),
    /// A failure that a CMC message reports; none if the request is of a kind that is not supported.
    Cmc(Option<FailInfo>),
}

/// A rejection that is on the audit trail.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Rejected {
    /// Why.
    pub error: Error,
    /// The challenges of HTTP authentication that a password could answer, in their order.
    pub challenges: Vec<String>,
}

/// A request as a protocol received it: its connection, its id, its purpose and its client.
pub struct Call<'a> {
    authority: &'a Authority,
    peer: &'a Peer,
    id: &'a RequestId,
    door: &'a dyn Door,
    has_credentials: bool,
    purpose: Option<(Operation, &'a Policy)>,
    identity: Option<Identity>,
    /// The scheme of the credentials.
    scheme: Option<Scheme>,
    /// The CSR, once it is read.
    csr: OnceLock<Arc<Csr>>,
    facts: Facts,
    /// The schemes of a password that could help the client.
    schemes: Vec<Scheme>,
}

/// A request whose client is authenticated.
pub struct Authenticated<'a> {
    call: &'a Call<'a>,
    operation: Operation,
    policy: &'a Policy,
    identity: &'a Identity,
}

impl Authority {
    /// Reports the outcome of requests to `trail`. `authenticator` identifies their clients.
    #[must_use]
    pub fn new(
        authenticator: Arc<Authenticator>,
        trail: Arc<dyn Trail>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (superseding, recent) = (Superseding::default(), Arc::default());
        Self { authenticator, trail, clock, superseding, recent }
    }

    /// Sets the labels whose certificates supersede their predecessors (D-35).
    #[must_use]
    pub fn with_superseding(self, superseding: Superseding) -> Self {
        Self { superseding, ..self }
    }

    /// Returns those labels.
    #[must_use]
    pub const fn superseding(&self) -> &Superseding {
        &self.superseding
    }

    /// Records requests in `recent`, which outlasts this authority.
    #[must_use]
    pub fn recording(self, recent: Arc<RecentRequests>) -> Self {
        Self { recent, ..self }
    }

    /// Returns the authenticator.
    #[must_use]
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Records that a client has proved the key of this certificate: its predecessor is revoked, if its
    /// label is configured so. An error of the store is logged.
    pub async fn record_use(&self, used: &Issuance, request_id: Option<&RequestId>) {
        if !self.superseding.is_empty() {
            let now = self.now();
            self.authenticator.record_use(&self.superseding, used, request_id, now).await;
        }
    }

    /// Begins a request. `has_credentials`: it has an Authorization field, right or wrong.
    #[must_use]
    pub fn call<'a>(
        &'a self,
        peer: &'a Peer,
        id: &'a RequestId,
        door: &'a dyn Door,
        has_credentials: bool,
    ) -> Call<'a> {
        Call {
            authority: self,
            peer,
            id,
            door,
            has_credentials,
            purpose: None,
            identity: None,
            scheme: None,
            csr: OnceLock::new(),
            facts: Facts::default(),
            schemes: Vec::new(),
        }
    }
}

impl<'a> Call<'a> {
    /// Sets the purpose of the request, once that is known.
    pub fn is_for(&mut self, operation: Operation, policy: &'a Policy) {
        self.purpose = Some((operation, policy));
    }

    /// Adds a fact to the event of a rejection. The client does not receive it.
    pub fn note(&mut self, name: &'static str, value: impl fmt::Display) {
        self.facts.add(name, value);
    }

    /// Returns the connection of the request.
    #[must_use]
    pub const fn peer(&self) -> &'a Peer {
        self.peer
    }

    /// Returns the operation that the request is for, once that is known.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.purpose.map(|(operation, _)| operation)
    }

    /// Returns the request's id.
    #[must_use]
    pub const fn id(&self) -> &'a RequestId {
        self.id
    }

    /// Authenticates the client (RFC 7030 §3.2.3, §3.3.2). A request without a purpose has
    /// an unknown path.
    ///
    /// # Errors
    /// [`Rejected`], with challenges if a password could help.
    pub async fn authenticate(
        &mut self,
        credentials: Option<&Credentials>,
    ) -> Result<Authenticated<'_>, Rejected> {
        let Some((operation, policy)) = self.purpose else {
            return Err(self.reject(Error::UnknownPath).await);
        };
        self.scheme = credentials.map(Credentials::scheme);
        let context = AuthnContext {
            rules: &policy.rules,
            label: policy.label.as_ref(),
            peer: self.peer,
            operation,
            now: self.authority.now(),
        };
        let authenticator = &self.authority.authenticator;
        let (facts, schemes) = (&mut self.facts, &mut self.schemes);
        let identity = match authenticator.authenticate(context, credentials, facts, schemes).await
        {
            Ok(identity) => identity,
            Err(error) => return Err(self.reject(error).await),
        };
        self.authority.trail.authenticated(self.origin());
        if let Some(record) = identity.record() {
            self.authority.record_use(record, Some(self.id)).await;
        }
        self.identity = Some(identity);
        let call: &Self = self;
        match &call.identity {
            Some(identity) => Ok(Authenticated { call, operation, policy, identity }),
            None => Err(call.reject(Error::Internal("no identity".to_owned())).await),
        }
    }

    /// Rejects the request with an error of the registration authority, and records that.
    pub async fn reject(&self, error: Error) -> Rejected {
        self.reject_with(error, Facts::default()).await
    }

    /// Rejects the request for an error of its CSR, and records the subject of that.
    pub async fn reject_csr(&self, error: Error, csr: &[u8]) -> Rejected {
        let mut facts = Facts::default();
        let subject = pki::csr::subject(csr).and_then(|der| DistinguishedName::parse(der).ok());
        if let Some(subject) = subject {
            facts.add("csr_subject", subject);
        }
        self.reject_with(error, facts).await
    }

    async fn reject_with(&self, error: Error, more: Facts) -> Rejected {
        let rejected = match self.challenges(&error).await {
            Ok(challenges) => Rejected { error, challenges },
            Err(instead) => Rejected { error: instead, challenges: Vec::new() },
        };
        let error = &rejected.error;
        let asked = matches!(error, Error::Unauthenticated(_));
        let mut facts = self.door.facts(Cause::Error(error));
        facts.extend(more.into_vec());
        self.report(error.code(), error, None, asked, facts);
        rejected
    }

    /// Records that the protocol rejects the request by a rule of its own.
    pub fn reject_at_door(
        &self,
        rule: Code,
        reason: impl fmt::Display,
        facts: Vec<(&'static str, String)>,
    ) {
        self.report(rule, reason, None, false, facts);
    }

    fn report(
        &self,
        rule: impl fmt::Display,
        reason: impl fmt::Display,
        cause: Option<&String>,
        asked_to_authenticate: bool,
        facts: Vec<(&'static str, String)>,
    ) {
        let enrolling = self.purpose.is_some_and(|(operation, _)| operation.enrolls());
        let name = if enrolling { Name::EnrollmentRejected } else { Name::RequestRejected };
        let identity = self.identity.as_ref();
        let actor = identity.map_or_else(Actor::anonymous, |identity| identity.actor.clone());
        let label = self.purpose.and_then(|(_, policy)| policy.label.as_ref());
        let mut known = self.facts.clone();
        if let Some(identity) = identity {
            identity.describe(&mut known);
        }
        facts.into_iter().for_each(|(name, value)| known.add(name, value));
        let (rule, reason) = (rule.to_string(), reason.to_string());
        // A client without credentials only received a challenge.
        let sent = self.has_credentials || self.peer.chain.is_some();
        let challenge = asked_to_authenticate && !sent;
        let why = cause.map(String::as_str).or_else(|| known.value("cause"));
        let outcome = RecordedOutcome::rejected(rule.clone(), reason.clone(), why);
        self.remember(ClientKind::of(identity, challenge), outcome);
        let mut event = Event::new(self.authority.now(), name, actor)
            .request(self.id.clone())
            .with("rule", rule)
            .with("reason", reason)
            .with_some("cause", cause)
            .with_some("operation", self.purpose.map(|(operation, _)| operation))
            .with_some("label", label)
            .with("address", self.peer.address)
            .with_all(known.into_vec());
        event.stranger = identity.is_none().then(|| Stranger { origin: self.origin(), challenge });
        self.authority.trail.publish(None, &event);
    }

    /// Keeps the request for an explanation, if its rules are known.
    fn remember(&self, kind: ClientKind, outcome: RecordedOutcome) {
        let Some((operation, policy)) = self.purpose.filter(|(one, _)| one.enrolls()) else {
            return;
        };
        let identity = self.identity.as_ref();
        let claim = self.scheme.map(|scheme| Claim::recorded(identity, scheme, &self.facts));
        let request = RecordedRequest {
            id: self.id.clone(),
            at: self.authority.now(),
            operation,
            label: policy.label.clone(),
            address: self.peer.address,
            cipher_bits: self.peer.cipher_bits,
            chain: self.peer.chain.clone(),
            claim,
            csr: RecordedRequest::csr_of(self.csr.get(), self.peer),
            outcome,
        };
        self.authority.recent.push(kind, request);
    }

    /// The challenges that go with an error; `stale` if the password was right, and only the nonce too
    /// old. Without them it is another error.
    async fn challenges(&self, error: &Error) -> Result<Vec<String>, Error> {
        let stale = match error {
            Error::Unauthenticated(_) => false,
            Error::Stale(_) => true,
            _ => return Ok(Vec::new()),
        };
        let now = self.authority.now();
        self.authority.authenticator.challenges(&self.schemes, stale, now).await
    }

    fn origin(&self) -> Origin {
        Origin::of(self.peer.address.ip())
    }
}

impl Authenticated<'_> {
    /// Returns the call.
    #[must_use]
    pub const fn call(&self) -> &Call<'_> {
        self.call
    }

    /// Returns the client.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        self.identity
    }

    /// Decides on a CSR and issues a certificate for it (RFC 7030 §4.2). A retry gets the certificate of
    /// the first request. `adapted`: the protocol's adaptations to the client.
    ///
    /// # Errors
    /// [`Rejected`].
    pub async fn enroll(&self, csr: &[u8], adapted: &[&'static str]) -> Result<Issued, Rejected> {
        match self.issue(csr, adapted).await {
            Ok(issued) => Ok(issued),
            Err(error) => Err(self.call.reject_csr(error, csr).await),
        }
    }

    async fn issue(&self, csr: &[u8], adapted: &[&'static str]) -> Result<Issued, Error> {
        let csr = Arc::new(Csr::verify(csr)?);
        self.has_csr(&csr);
        let device = self.find_device(&csr).await?;
        let order = match decide(self.policy, self.requester(&device, adapted), &csr) {
            Ok(order) => order,
            Err(error @ (Error::TooEarly(..) | Error::TooLate(_))) => {
                // Blocked counts, for a retry too.
                device.barred().map_or(Ok(()), |rejection| Err(Error::Forbidden(rejection)))?;
                return self.answer_again(&csr, &device, adapted, error).await;
            }
            Err(error) => return Err(error),
        };
        let facts = order.facts.clone();
        // On a task of its own: a client that hangs up must not stop an issuance half-way.
        let (ca, now) = (Arc::clone(&self.policy.ca), self.call.authority.now());
        let issuing = tokio::spawn(async move { ca.issue(order, now).await });
        let issued =
            issuing.await.map_err(|rejection| Error::Internal(rejection.to_string()))??;
        if issued.repeated {
            let first = &issued.issuance.intent;
            let subject = ("subject", first.subject.clone());
            let facts = std::iter::once(subject).chain(facts).collect();
            self.report_retry(&first.serial, &first.request_id, facts);
        }
        self.has_certificate(&issued.issuance.intent.serial);
        Ok(issued)
    }

    /// Keeps the CSR of the request for an explanation, without its secrets.
    pub fn has_csr(&self, csr: &Arc<Csr>) {
        // A request has one.
        let _ = self.call.csr.set(Arc::clone(csr));
    }

    /// Keeps the request for an explanation, with the certificate that answers it.
    pub fn has_certificate(&self, serial: &Serial) {
        self.call.remember(ClientKind::Known, RecordedOutcome::Issued(serial.clone()));
    }

    /// Answers the retry of a request that was in time, although its time is over now (D-10). Otherwise
    /// returns `error`.
    async fn answer_again(
        &self,
        csr: &Csr,
        device: &FoundDevice,
        adapted: &[&'static str],
        error: Error,
    ) -> Result<Issued, Error> {
        let requester = self.requester(device, adapted);
        let (key, linked) = retried(self.policy, requester, csr);
        let (ca, now) = (Arc::clone(&self.policy.ca), requester.now);
        let asked = tokio::spawn(async move { ca.answer_again(&key, now).await });
        let found = asked.await.map_err(|ended| Error::Internal(ended.to_string()))??;
        let Some(issued) = found else {
            return Err(match error {
                // The client may enroll (D-41).
                Error::TooLate(reason) if self.identity.rights.password_helps => {
                    Error::Unauthenticated(reason)
                }
                error => error,
            });
        };
        spend(linked, self.call.peer)?;
        let first = &issued.issuance.intent;
        let mut facts = Facts::default();
        facts.add("subject", &first.subject);
        facts.add("address", self.call.peer.address);
        self.identity.describe(&mut facts);
        self.report_retry(&first.serial, &first.request_id, facts.into_vec());
        self.has_certificate(&first.serial);
        Ok(issued)
    }

    /// Records that the answer of a retry is the certificate of the first request.
    pub fn report_retry(
        &self,
        serial: &Serial,
        first_request: &RequestId,
        facts: Vec<(&'static str, String)>,
    ) {
        let (now, actor) = (self.call.authority.now(), self.identity.actor.clone());
        let event = Event::new(now, Name::EnrollmentRetried, actor)
            .request(self.call.id.clone())
            .with("serial", serial)
            .with("first_request", first_request)
            .with_all(facts);
        self.call.authority.trail.publish(None, &event);
    }

    /// Records that a CMC message reports a failure: `reason` is its text, `cause`
    /// the part that the client does not receive.
    pub fn report_cmc_failure(
        &self,
        fail: Option<FailInfo>,
        reason: &str,
        cause: Option<&String>,
        more: Facts,
    ) {
        let rule = format!("cmc.{}", fail.map_or("noSupport", FailInfo::as_str));
        let mut facts = self.call.door.facts(Cause::Cmc(fail));
        facts.extend(more.into_vec());
        self.call.report(rule, reason, cause, false, facts);
    }
}
