//! `/fullcmc` (RFC 7030 §4.3): Full PKI Requests of CMC (RFC 5272, RFC 6402).
//!
//! Requests in it go the way of an enrollment: [`crate::ra::decide()`] decides, [`crate::ca::Ca::issue`]
//! issues. Every answer to a message that was read is a CMC message; a rejection is a Full PKI
//! Response with a CMCStatusInfoV2.
//!
//! Each file names only those below it; a batch alone leads back to the top, once:
//!
//! | File | What is in it |
//! |---|---|
//! | `process` | a message from its bytes to its answer, step by step |
//! | `batch` | messages within a message |
//! | `issue` | what is granted, issued |
//! | `requests` | what is asked for, changed as an RA wants it, and decided on |
//! | `pending` | what is told to be pending, and asked after |
//! | `revoke` | who may revoke what |
//! | `confirm` | certificates that a client has accepted |
//! | `proof` | proofs by a shared secret: of identity, of its link to a request |
//! | `records` | the issuances that a message names, and whose they are |
//! | `identity` | who has signed, and how that fits who is authenticated |
//! | `controls` | the controls, sorted and checked |
//! | `stop` | why a message is not taken |

mod batch;
mod confirm;
mod controls;
mod identity;
mod issue;
mod pending;
mod process;
mod proof;
mod records;
mod requests;
mod revoke;
mod stop;

use super::{Endpoint, Error, Service};
use crate::{
    pki::{
        cmc::{BodyPartId, CmcStatus, FailInfo, PkiResponse, StatusInfo},
        cms, oid,
    },
    ra::{Authenticated, Peer, Rejected},
    telemetry::audit::Facts,
    types::{RequestId, Serial},
};
use const_oid::ObjectIdentifier;
use der::Encode;

/// Seconds after which a client is to ask again for what is pending.
pub const RETRY: u32 = 60;

/// A Full PKI Request with a body that was decoded.
#[derive(Clone, Copy, Debug)]
struct FullRequest<'a> {
    /// The message, DER.
    message: &'a [u8],
    /// The request's id.
    request_id: &'a RequestId,
    /// The connection that it came over.
    peer: &'a Peer,
}

/// A PKI Response.
#[derive(Clone, Debug)]
pub struct FullAnswer {
    /// It, DER.
    pub der: Vec<u8>,
    /// Whether it is a Full PKI Response; else a Simple one, certificates only.
    pub full: bool,
    /// How the request ended.
    pub outcome: CmcOutcome,
    /// The error of the server; the client does not receive it.
    cause: Option<String>,
    /// The requester and its requests, for the event.
    facts: Facts,
    /// Certificates that were issued before, for an equal request: their serial numbers, and the
    /// requests that asked first.
    repeated: Vec<(Serial, RequestId)>,
}

/// How a Full PKI Request ended. `http` gives each a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CmcOutcome {
    /// All of it was done.
    Done,
    /// Something is to be asked for later.
    Pending,
    /// It was rejected, with this code; none if it is of a kind that is not supported.
    Rejected(Option<FailInfo>, String),
}

/// What an answer is made of.
#[derive(Debug, Default)]
struct CmcReply {
    statuses: Vec<StatusInfo>,
    /// Sent back as they came, or by our own making.
    controls: Vec<(ObjectIdentifier, Vec<u8>)>,
    certificates: Vec<Vec<u8>>,
    /// Answers to the messages of a batch.
    cms: Vec<Vec<u8>>,
    /// Whether something was done whose answer is a Full PKI Response always.
    always_full: bool,
    cause: Option<String>,
    facts: Facts,
    repeated: Vec<(Serial, RequestId)>,
}

impl CmcReply {
    fn outcome(&self) -> CmcOutcome {
        let worst = self
            .statuses
            .iter()
            .find(|info| matches!(info.status, CmcStatus::Failed | CmcStatus::NoSupport));
        if let Some(info) = worst {
            let reason = info.text.clone().unwrap_or_default();
            return CmcOutcome::Rejected(info.fail, reason);
        }
        if self.statuses.iter().any(|info| info.status == CmcStatus::Pending) {
            CmcOutcome::Pending
        } else {
            CmcOutcome::Done
        }
    }

    fn is_full(&self) -> bool {
        self.always_full
            || self.certificates.is_empty()
            || !self.controls.is_empty()
            || !self.cms.is_empty()
            || self.statuses.iter().any(|info| info.status != CmcStatus::Success)
    }
}

impl Service {
    /// `/fullcmc` (RFC 7030 §4.3). `client` is authenticated by TLS or HTTP; the signatures of the
    /// message come on top.
    ///
    /// # Errors
    /// [`Rejected`] for [`Error::Internal`] only: the answer reports every other error.
    pub async fn full_cmc(
        &self,
        endpoint: &Endpoint,
        client: &Authenticated<'_>,
        message: &[u8],
    ) -> Result<FullAnswer, Rejected> {
        let call = client.call();
        let request = FullRequest { message, request_id: call.id(), peer: call.peer() };
        let reply = self.process(endpoint, client.identity(), request, 0).await;
        let answered = match self.finished(endpoint, reply).await {
            Ok(answered) => answered,
            Err(error) => return Err(call.reject(error).await),
        };
        for (serial, first) in &answered.repeated {
            let mut facts = Facts::default();
            facts.add("address", call.peer().address);
            facts.extend(answered.facts.clone());
            client.report_retry(serial, first, facts.into_vec());
        }
        if let CmcOutcome::Rejected(fail, reason) = &answered.outcome {
            let facts = answered.facts.clone();
            client.report_cmc_failure(*fail, reason, answered.cause.as_ref(), facts);
        }
        Ok(answered)
    }

    async fn finished(&self, endpoint: &Endpoint, reply: CmcReply) -> Result<FullAnswer, Error> {
        let outcome = reply.outcome();
        let encoding = |rejection: der::Error| Error::Internal(rejection.to_string());
        let bag: Vec<&[u8]> = reply.certificates.iter().map(Vec::as_slice).collect();
        if !reply.is_full() {
            let der = cms::certs_only(bag).map_err(encoding)?;
            return Ok(FullAnswer {
                der,
                full: false,
                outcome,
                cause: None,
                facts: reply.facts,
                repeated: reply.repeated,
            });
        }
        let statuses = reply
            .statuses
            .iter()
            .map(|info| Ok((oid::CMC_STATUS_INFO_V2, info.to_der()?)))
            .collect::<der::Result<Vec<_>>>()
            .map_err(encoding)?;
        let mut controls: Vec<_> = statuses.into_iter().chain(reply.controls).collect();
        if !reply.cms.is_empty() {
            // The parts are numbered from 1, controls first, this one last of them.
            let first = BodyPartId::try_from(controls.len()).unwrap_or(BodyPartId::MAX);
            let parts: Vec<BodyPartId> =
                (first.saturating_add(2)..).take(reply.cms.len()).collect();
            controls.push((oid::CMC_BATCH_RESPONSES, parts.to_der().map_err(encoding)?));
        }
        let content = PkiResponse::encode(&controls, &reply.cms).map_err(encoding)?;
        let der = endpoint.policy.ca.answer(&content, &bag, self.now()).await?;
        let CmcReply { cause, facts, repeated, .. } = reply;
        Ok(FullAnswer { der, full: true, outcome, cause, facts, repeated })
    }
}
