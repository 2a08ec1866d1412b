//! The operations of RFC 7030, free of transport.
//!
//! A request goes one way: find the label's [`Endpoint`], [`Service::authenticate`], then
//! [`Service::enroll`], which needs the [`Identity`] that authentication made. The body of a
//! request that is not authenticated is never looked at (R-7030-4.2-a).

mod error;

pub use error::Error;

use crate::{
    ca::{Ca, Issued, Order, Profile},
    clock::Clock,
    config::{self, Settings},
    pki::Csr,
    ra::{self, Authenticator, Credentials, Identity},
    store::{Issuance, Store},
    types::{CaName, Fault, Label, Operation, Peer, RequestId},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// All that the server's labels offer.
pub struct Service {
    unlabelled: Arc<Endpoint>,
    labelled: HashMap<Label, Arc<Endpoint>>,
    authenticator: Arc<Authenticator>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// What one label offers: its CA and its rules.
#[derive(Debug)]
pub struct Endpoint {
    label: Option<Label>,
    ca: Arc<Ca>,
    policy: ra::Policy,
}

/// An enrolment request with a body that was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Enrollment<'a> {
    /// Which operation.
    pub operation: Operation,
    /// The CSR, DER.
    pub csr: &'a [u8],
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
    /// Puts the labels of `settings` together with the CAs that they name.
    ///
    /// # Errors
    /// The name of a CA or profile that a label uses and that does not exist.
    pub fn new(
        settings: &Settings,
        cas: &BTreeMap<CaName, Arc<Ca>>,
        authenticator: Arc<Authenticator>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let endpoint = |label: Option<&Label>, rules: &config::Policy| {
            let ca = cas.get(&rules.ca).ok_or_else(|| format!("CA {}", rules.ca))?;
            let profile = settings.profiles.get(&rules.profile);
            let profile = profile.ok_or_else(|| format!("profile {}", rules.profile))?;
            Ok::<_, String>(Arc::new(Endpoint {
                label: label.cloned(),
                ca: Arc::clone(ca),
                policy: ra::Policy {
                    rules: rules.clone(),
                    profile: Arc::new(Profile::new(rules.profile.clone(), profile.clone())),
                },
            }))
        };
        let labelled = settings
            .labels
            .iter()
            .map(|(label, rules)| Ok((label.clone(), endpoint(Some(label), rules)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self {
            unlabelled: endpoint(None, &settings.unlabelled)?,
            labelled,
            authenticator,
            store,
            clock,
        })
    }

    /// Finds what a label offers.
    ///
    /// # Errors
    /// [`Error::UnknownPath`] if there is no such label.
    pub fn endpoint(&self, label: Option<&Label>) -> Result<&Arc<Endpoint>, Error> {
        match label {
            None => Ok(&self.unlabelled),
            Some(label) => self.labelled.get(label).ok_or(Error::UnknownPath),
        }
    }

    /// Finds out who asks (RFC 7030 §3.2.3, §3.3.2).
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::CertificateNeeded`], [`Error::Busy`],
    /// [`Error::Store`].
    pub async fn authenticate(
        &self,
        endpoint: &Endpoint,
        peer: &Peer,
        credentials: Option<&Credentials>,
    ) -> Result<Identity, Error> {
        let demand = endpoint.policy.rules.authentication;
        let now = self.clock.now();
        Ok(self
            .authenticator
            .authenticate(demand, endpoint.label.as_ref(), peer, credentials, now)
            .await?)
    }

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
            label: endpoint.label.as_ref(),
            operation: enrollment.operation,
            csr: &csr,
        };
        let decision = ra::decide(&endpoint.policy, request, &*self.store).await?;
        let order = Order {
            content: decision.content,
            request_key: decision.request_key,
            repeat_window: endpoint.policy.rules.repeat_window,
            label: endpoint.label.clone(),
            operation: Some(enrollment.operation),
            actor: identity.actor.clone(),
            predecessor: decision.predecessor,
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

impl Endpoint {
    /// The answer of `/cacerts`: certs-only CMS, DER (RFC 7030 §4.1.3).
    #[must_use]
    pub fn cacerts(&self) -> &[u8] {
        self.ca.cacerts()
    }

    /// The label's rules.
    #[must_use]
    pub const fn rules(&self) -> &config::Policy {
        &self.policy.rules
    }
}

impl From<crate::pki::Error> for Error {
    fn from(fault: crate::pki::Error) -> Self {
        use crate::pki::Error as Pki;
        match fault {
            Pki::Malformed(fault) => Self::Malformed(fault),
            Pki::ProofOfPossession(fault) => Self::ProofOfPossession(fault),
            Pki::Unacceptable(fault) => Self::Unacceptable(fault),
        }
    }
}

/// A fault of the request that only the transport can see.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}
