//! The operations of RFC 7030, free of transport.
//!
//! A request goes one way: find the label's [`Endpoint`], [`Service::authenticate`], then the
//! operation, such as [`Service::enroll`], which needs the [`Identity`] that authentication made.
//! The body of a request that is not authenticated is never looked at (R-7030-4.2-a). Each
//! operation has a file.

mod csrattrs;
mod enroll;
mod error;
mod fullcmc;
mod keygen;

pub use enroll::{Enrolled, Enrollment};
pub use error::Error;
pub use fullcmc::{FullAnswer, FullRequest, Outcome, RETRY};
pub use keygen::{Generated, KeyMaker, KeyPart};

use crate::{
    ca::{Ca, Profile},
    clock::Clock,
    policy::{self, Policies},
    ra::{self, Authenticator, Credentials, Identity},
    store::Store,
    telemetry::audit::Facts,
    types::{CaName, Fault, Label, Operation, Peer},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// All that the server's labels offer.
pub struct Service {
    unlabelled: Arc<Endpoint>,
    labelled: HashMap<Label, Arc<Endpoint>>,
    key_maker: KeyMaker,
    authenticator: Arc<Authenticator>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// What one label offers: its CA and its rules.
#[derive(Debug)]
pub struct Endpoint {
    label: Option<Label>,
    ca: Arc<Ca>,
    cacerts: Vec<u8>,
    policy: ra::Policy,
    csrattrs: csrattrs::Offer,
}

impl Service {
    /// Puts the labels of `policies` together with the CAs that they name. `server_ca` issued the
    /// server's own certificate.
    ///
    /// # Errors
    /// The name of a CA or profile that a label uses and that does not exist.
    pub fn new(
        policies: &Policies,
        server_ca: &CaName,
        cas: &BTreeMap<CaName, Arc<Ca>>,
        key_maker: KeyMaker,
        authenticator: Arc<Authenticator>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let server_root = cas.get(server_ca).ok_or_else(|| format!("CA {server_ca}"))?.root();
        let endpoint = |label: Option<&Label>, rules: &policy::Policy| {
            let ca = cas.get(&rules.ca).ok_or_else(|| format!("CA {}", rules.ca))?;
            let profile = policies.profiles.get(&rules.profile);
            let profile = profile.ok_or_else(|| format!("profile {}", rules.profile))?;
            let attributes = &rules.csrattrs.attributes;
            let profile = Profile::new(rules.profile.clone(), profile.clone(), attributes);
            Ok::<_, String>(Arc::new(Endpoint {
                label: label.cloned(),
                ca: Arc::clone(ca),
                cacerts: ca
                    .cacerts(rules.server_root.then_some(server_root))
                    .map_err(|fault| format!("CA {}: {fault}", rules.ca))?,
                csrattrs: csrattrs::Offer::new(&profile, rules)?,
                policy: ra::Policy { rules: rules.clone(), profile: Arc::new(profile) },
            }))
        };
        let labelled = policies
            .labels
            .iter()
            .map(|(label, rules)| Ok((label.clone(), endpoint(Some(label), rules)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self {
            unlabelled: endpoint(None, &policies.unlabelled)?,
            labelled,
            key_maker,
            authenticator,
            store,
            clock,
        })
    }

    /// Where all that was issued is on record.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
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

    /// Finds out who asks (RFC 7030 §3.2.3, §3.3.2). What is known of a client that is rejected is
    /// added to `facts`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], [`Error::Stale`], [`Error::TooManyFailures`],
    /// [`Error::CertificateNeeded`], [`Error::Busy`], [`Error::Store`].
    pub async fn authenticate(
        &self,
        endpoint: &Endpoint,
        operation: Operation,
        peer: &Peer,
        credentials: Option<&Credentials>,
        facts: &mut Facts,
    ) -> Result<Identity, Error> {
        let (rules, label, now) = (endpoint.rules(), endpoint.label.as_ref(), self.clock.now());
        let grace = match operation {
            Operation::SimpleReenroll => rules.expired_grace,
            _ => Duration::ZERO,
        };
        let authenticator = &self.authenticator;
        Ok(authenticator.authenticate(rules, label, peer, credentials, grace, now, facts).await?)
    }

    /// The challenges of a 401: `stale` if the password was right, and only the nonce too old.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Internal`].
    pub async fn challenges(&self, endpoint: &Endpoint, stale: bool) -> Result<Vec<String>, Error> {
        Ok(self.authenticator.challenges(endpoint.rules(), stale, self.clock.now()).await?)
    }
}

impl Endpoint {
    /// Whether the label offers this operation (RFC 7030 §3.2.2: three have to be there).
    #[must_use]
    pub const fn offers(&self, operation: Operation) -> bool {
        match operation {
            Operation::CaCerts | Operation::SimpleEnroll | Operation::SimpleReenroll => true,
            Operation::ServerKeyGen => {
                !matches!(self.policy.rules.serverkeygen, policy::ServerKeyGen::Off)
            }
            Operation::CsrAttrs => self.csrattrs.is_offered(),
            Operation::FullCmc => self.policy.rules.fullcmc,
        }
    }

    /// The certificates of an enrolment's answer (RFC 7030 §4.2.3): the issued one, and only by
    /// the label's choice the one of the CA that issued it (D-28).
    #[must_use]
    pub fn answered<'a>(&'a self, certificate: &'a [u8]) -> Vec<&'a [u8]> {
        if self.policy.rules.include_chain {
            vec![certificate, self.ca.issuing().der()]
        } else {
            vec![certificate]
        }
    }

    /// The answer of `/cacerts`: certs-only CMS, DER (RFC 7030 §4.1.3). It holds the label's CA and,
    /// with `server_root`, the root by which its clients verify this server (D-38).
    #[must_use]
    pub fn cacerts(&self) -> &[u8] {
        &self.cacerts
    }

    /// The answer of `/csrattrs`, DER; none if nothing is asked for (RFC 7030 §4.5.2).
    #[must_use]
    pub fn csrattrs(&self) -> Option<&[u8]> {
        self.csrattrs.answer()
    }

    /// The label's rules.
    #[must_use]
    pub const fn rules(&self) -> &policy::Policy {
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
