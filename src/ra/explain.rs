//! Explains a request without answering it: every proof and every rule, by the code that decides, and the
//! certificate that would be issued. Spends, counts, records and signs nothing.

use super::{
    Authenticator, AuthnContext, AuthnFinding, Claim, Error, Finding, Peer, Policy, Requester,
    decide,
};
use crate::{
    pki::{Certificate, Csr},
    types::{Operation, RequestId, Time},
};

/// A request to explain.
pub struct Inquiry<'a> {
    /// The label's policy.
    pub policy: &'a Policy,
    /// The operation.
    pub operation: Operation,
    /// The connection, or a description of one.
    pub peer: &'a Peer,
    /// The account that the client claims.
    pub claim: Option<&'a Claim>,
    /// The CSR, or why it is none; `None` if it is not known.
    pub csr: Option<Result<&'a Csr, &'a Error>>,
    /// The time of the request.
    pub now: Time,
}

/// An explained request.
#[derive(Debug)]
pub struct Explained<'a> {
    /// The findings of authentication.
    pub authn: AuthnFinding,
    /// Why the CSR is none.
    pub csr: Option<&'a Error>,
    /// The finding of each rule; empty if the client is not authenticated, or the CSR not known.
    pub findings: Vec<Finding>,
    /// The certificate that would be issued, with the serial number 1 and without a signature, or why none
    /// would be. `None` if a rule rejects the request, or the key of one that is accepted would be generated.
    pub certificate: Option<Result<Certificate, Error>>,
}

impl Explained<'_> {
    /// Returns the first rejection, at which the server stops.
    #[must_use]
    pub fn rejection(&self) -> Option<&Error> {
        let authn = self.authn.outcome.as_ref().err();
        let rules = self.findings.iter().find_map(|finding| finding.outcome.as_ref().err());
        let issued = self.certificate.as_ref().and_then(|outcome| outcome.as_ref().err());
        authn.or(self.csr).or(rules).or(issued)
    }
}

impl Authenticator {
    /// Explains a request.
    pub async fn explain_request<'a>(&self, inquiry: Inquiry<'a>) -> Explained<'a> {
        let Inquiry { policy, operation, peer, claim, csr, now } = inquiry;
        let (rules, label) = (&policy.rules, policy.label.as_ref());
        let authn = self.explain(AuthnContext { rules, label, peer, operation, now }, claim).await;
        let (csr, no_csr) = match csr {
            Some(Ok(csr)) => (Some(csr), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let mut explained =
            Explained { authn, csr: no_csr, findings: Vec::new(), certificate: None };
        let (Ok(identity), Some(csr)) = (&explained.authn.outcome, csr) else { return explained };
        let device = match self.find_device(policy, identity, operation, csr).await {
            Ok(device) => device,
            Err(error) => {
                explained.authn.outcome = Err(error);
                return explained;
            }
        };
        let request_id = &RequestId::new([0; 8]);
        let requester =
            Requester { identity, operation, peer, device: &device, request_id, now, adapted: &[] };
        let (findings, order) = decide::explain(policy, requester, csr);
        explained.findings = findings;
        if let Some(order) = &order
            && let Err(error) = self.foresee(order, identity, now).await
        {
            explained.certificate = Some(Err(error));
            return explained;
        }
        if let Some(order) = order.filter(|_| operation != Operation::ServerKeyGen) {
            let preview = policy.ca.preview(order, now).await.map_err(Error::from);
            explained.certificate =
                Some(preview.and_then(|der| Certificate::parse(&der).map_err(Error::from)));
        }
        explained
    }
}
