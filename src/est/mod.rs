//! The operations of RFC 7030, free of transport.
//!
//! Every request passes through the registration authority ([`ra::Call`]): find the label's
//! [`Endpoint`], authenticate, run the operation. The operation is [`ra::Authenticated::enroll`] or one
//! that has a file here. The body of an unauthenticated request is never read (R-7030-4.2-a).

mod csrattrs;
mod fullcmc;
mod keygen;

pub use crate::ra::Error;
pub use fullcmc::{CmcOutcome, FullAnswer, RETRY};
pub use keygen::{Generated, KeyMaker, KeyPart};

use crate::{
    ca::{Ca, Profile},
    policy::{self, Policies},
    ra::{self, Authority},
    store::Store,
    types::{CaName, Label, Operation, Time},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The operations of all labels, and what they need.
pub struct Service {
    endpoints: Endpoints,
    key_maker: KeyMaker,
    authority: Authority,
    store: Arc<dyn Store>,
}

/// The endpoints of all labels.
#[derive(Debug)]
pub struct Endpoints {
    unlabeled: Arc<Endpoint>,
    labeled: HashMap<Label, Arc<Endpoint>>,
}

/// The operations of one label, with its CA and its rules.
#[derive(Debug)]
pub struct Endpoint {
    cacerts: Vec<u8>,
    policy: ra::Policy,
    csrattrs: csrattrs::Offer,
}

impl Endpoints {
    /// Combines the labels of `policies` with the CAs that they name. `server_ca` issued the
    /// server's own certificate.
    ///
    /// # Errors
    /// The name of a CA or profile that a label uses and that does not exist.
    pub fn new(
        policies: &Policies,
        server_ca: &CaName,
        cas: &BTreeMap<CaName, Arc<Ca>>,
    ) -> Result<Self, String> {
        let server_root = cas.get(server_ca).ok_or_else(|| format!("CA {server_ca}"))?.root();
        let endpoint = |label: Option<&Label>, rules: &policy::LabelRules| {
            let ca = cas.get(&rules.ca).ok_or_else(|| format!("CA {}", rules.ca))?;
            let profile = policies.profiles.get(&rules.profile);
            let profile = profile.ok_or_else(|| format!("profile {}", rules.profile))?;
            let attributes = &rules.csrattrs.attributes;
            let profile = Profile::new(rules.profile.clone(), profile.clone(), attributes);
            Ok::<_, String>(Arc::new(Endpoint {
                cacerts: ca
                    .cacerts(rules.server_root.then_some(server_root))
                    .map_err(|rejection| format!("CA {}: {rejection}", rules.ca))?,
                csrattrs: csrattrs::Offer::new(&profile, rules)?,
                policy: ra::Policy {
                    label: label.cloned(),
                    ca: Arc::clone(ca),
                    rules: rules.clone(),
                    profile: Arc::new(profile),
                },
            }))
        };
        let labeled = policies
            .labels
            .iter()
            .map(|(label, rules)| Ok((label.clone(), endpoint(Some(label), rules)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self { unlabeled: endpoint(None, &policies.unlabeled)?, labeled })
    }

    /// Finds the endpoint of a label.
    ///
    /// # Errors
    /// [`Error::UnknownPath`] if the label does not exist.
    pub fn find(&self, label: Option<&Label>) -> Result<&Arc<Endpoint>, Error> {
        match label {
            None => Ok(&self.unlabeled),
            Some(label) => self.labeled.get(label).ok_or(Error::UnknownPath),
        }
    }
}

impl Service {
    /// Serves these endpoints.
    #[must_use]
    pub fn new(
        endpoints: Endpoints,
        key_maker: KeyMaker,
        authority: Authority,
        store: Arc<dyn Store>,
    ) -> Self {
        Self { endpoints, key_maker, authority, store }
    }

    /// The store of all records.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Finds the endpoint of a label.
    ///
    /// # Errors
    /// [`Error::UnknownPath`] if the label does not exist.
    pub fn endpoint(&self, label: Option<&Label>) -> Result<&Arc<Endpoint>, Error> {
        self.endpoints.find(label)
    }

    /// The registration authority: where a request begins.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    fn now(&self) -> Time {
        self.authority.now()
    }
}

impl Endpoint {
    /// Whether the label offers this operation (RFC 7030 §3.2.2: three are mandatory).
    #[must_use]
    pub const fn offers(&self, operation: Operation) -> bool {
        match operation {
            Operation::CaCerts | Operation::SimpleEnroll | Operation::SimpleReenroll => true,
            Operation::ServerKeyGen => {
                !matches!(self.policy.rules.serverkeygen, policy::KeyGeneration::Off)
            }
            Operation::CsrAttrs => self.csrattrs.is_offered(),
            Operation::FullCmc => self.policy.rules.fullcmc,
        }
    }

    /// Returns the certificates of an enrollment's answer (RFC 7030 §4.2.3): the issued one, and that
    /// of its CA if the label is configured so (D-28).
    #[must_use]
    pub fn answered<'a>(&'a self, certificate: &'a [u8]) -> Vec<&'a [u8]> {
        if self.policy.rules.include_chain {
            vec![certificate, self.policy.ca.issuing().der()]
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

    /// The answer of `/csrattrs`, DER; none if the label demands nothing (RFC 7030 §4.5.2).
    #[must_use]
    pub fn csrattrs(&self) -> Option<&[u8]> {
        self.csrattrs.answer()
    }

    /// The policy by which the registration authority decides under this label.
    #[must_use]
    pub const fn policy(&self) -> &ra::Policy {
        &self.policy
    }

    /// The label's rules.
    #[must_use]
    pub const fn rules(&self) -> &policy::LabelRules {
        &self.policy.rules
    }
}
