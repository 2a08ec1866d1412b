//! Processes a message from its bytes to its answer, step by step (RFC 5272 §3.2.1).

use super::{
    CmcReply, FullRequest,
    batch::{Batch, batch},
    controls::Controls,
    identity::Asker,
    requests::{Granted, decide, wanted},
    revoke::only_revocations_by_secret,
    stop::{Stop, server_error},
};
use crate::{
    ca::{self, Withdrawal},
    est::{Endpoint, Error, Service},
    pki::{
        cmc::{
            BodyPartId, CmcError, CmcStatus, FailInfo, PkiData, StatusInfo, TaggedRequest, ber,
            signed,
        },
        oid,
    },
    ra::Identity,
    store::Issuance,
    types::Operation,
};
use der::{Encode, asn1::OctetString};
use std::{borrow::Cow, future::Future, pin::Pin, sync::Arc};

/// The allowed actions of a message, each with the body part that requests it.
struct Allowed {
    granted: Vec<Granted>,
    confirmed: Vec<BodyPartId>,
    revocations: Vec<(BodyPartId, Withdrawal)>,
    queried: Vec<(BodyPartId, Arc<Issuance>)>,
    batches: Vec<Batch>,
}

impl Service {
    /// Processes a message. The reply reports errors.
    pub(super) fn process<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        identity: &'a Identity,
        request: FullRequest<'a>,
        depth: u8,
    ) -> Pin<Box<dyn Future<Output = CmcReply> + Send + 'a>> {
        Box::pin(async move {
            let mut reply = CmcReply::default();
            if let Err(stop) = self.run(endpoint, identity, request, depth, &mut reply).await {
                let failure = match stop {
                    Stop::Rejected(rejection) => rejection,
                    Stop::Error(rejection) => {
                        reply.cause = Some(rejection.to_string());
                        server_error(&rejection)
                    }
                };
                reply.certificates.clear();
                reply.cms.clear();
                reply.statuses =
                    vec![StatusInfo::failed(failure.fail, failure.parts, failure.reason)];
            }
            reply
        })
    }

    /// Runs the steps until one of them rejects the message.
    async fn run(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        request: FullRequest<'_>,
        depth: u8,
        reply: &mut CmcReply,
    ) -> Result<(), Stop> {
        // The requests, and the values that every answer returns.
        let der = to_der(request.message)?;
        let message = signed::parse(&der)?;
        let data = PkiData::parse(message.content)?;
        echo(endpoint, &data, reply)?;

        // The requester, by the signatures and by a secret.
        let signed = self.signers(endpoint, identity, &message, &data).await?;
        let controls = Controls::read(&data)?;
        if signed.is_empty() {
            only_revocations_by_secret(&data, &controls)?;
        }
        let asker = self.asker(endpoint, identity, signed, request)?;
        asker.identity.describe(&mut reply.facts);
        let keys = self.named_keys(endpoint, identity, &controls, request).await?;
        if let Some((account, _)) = &keys {
            reply.facts.add("account", account);
        }
        let asker = self.prove(endpoint, Asker { keys, ..asker }, identity, &data, &controls)?;

        // Authorization.
        controls.check(asker.is_ra)?;
        if let Some(rejection) = not_supported(&data) {
            // RFC 5272 §3.2.1: no other request is processed.
            reply.statuses.push(rejection);
            return Ok(());
        }
        asks_for_something(&data)?;
        let allowed = self.allow(endpoint, &asker, &data, &controls, depth, reply).await?;

        // The actions: everything above only reads.
        reply.always_full = controls.has_actions();
        let mut done = self.carry_out(endpoint, &asker, allowed, depth, reply).await?;
        if reply.statuses.is_empty() && done.is_empty() {
            done = controls.parts;
        }
        if !done.is_empty() {
            reply.statuses.push(StatusInfo::success(done));
        }
        Ok(())
    }

    /// Checks everything that can be rejected, before the first action.
    async fn allow(
        &self,
        endpoint: &Endpoint,
        asker: &Asker<'_>,
        data: &PkiData<'_>,
        controls: &Controls<'_>,
        depth: u8,
        reply: &mut CmcReply,
    ) -> Result<Allowed, Stop> {
        let mut granted = Vec::new();
        let all = wanted(data, controls, asker)?;
        if !all.is_empty() {
            let subjects: Vec<String> =
                all.iter().take(8).map(|wanted| wanted.csr.subject().to_string()).collect();
            reply.facts.add("csr_subject", subjects.join("; "));
        }
        for wanted in all {
            self.check_link(endpoint, &wanted, controls, asker)?;
            let device = self
                .authority
                .authenticator()
                .find_device(&endpoint.policy, &asker.identity, Operation::FullCmc, &wanted.csr)
                .await?;
            let mut grant = decide(endpoint, asker, wanted, &device, self.now())?;
            let checked = grant.order.content.check_key().await;
            checked.map_err(|weak| CmcError::part(FailInfo::BadAlg, grant.part, weak))?;
            granted.push(grant);
        }
        Ok(Allowed {
            granted,
            confirmed: self.confirmed(asker, &controls.confirm).await?,
            revocations: self.revocations(endpoint, asker, controls).await?,
            queried: self.queried(asker, &controls.query).await?,
            batches: batch(data, controls, depth)?,
        })
    }

    /// Carries out the allowed actions and adds the results to the reply. Returns the parts that
    /// are done.
    async fn carry_out(
        &self,
        endpoint: &Endpoint,
        asker: &Asker<'_>,
        allowed: Allowed,
        depth: u8,
        reply: &mut CmcReply,
    ) -> Result<Vec<BodyPartId>, Stop> {
        let mut done = allowed.confirmed;
        for grant in allowed.granted {
            let part = grant.part;
            if self.answer_request(endpoint, grant, reply).await? {
                done.push(part);
            }
        }
        for (part, withdrawal) in allowed.revocations {
            ca::revoke(&*self.store, withdrawal, self.now()).await?;
            done.push(part);
        }
        for (part, issuance) in allowed.queried {
            if self.answer_query(endpoint, part, &issuance, reply).await? {
                done.push(part);
            }
        }
        for (part, messages) in allowed.batches {
            self.answer_batch(endpoint, asker, messages, depth, reply).await?;
            done.push(part);
        }
        Ok(done)
    }
}

/// Returns the message in DER, converted if it is BER.
fn to_der(message: &[u8]) -> Result<Cow<'_, [u8]>, CmcError> {
    if !ber::is_indefinite(message) {
        return Ok(Cow::Borrowed(message));
    }
    let der = ber::to_der(message).map(Cow::Owned);
    der.ok_or_else(|| CmcError::whole(FailInfo::BadRequest, "no BER"))
}

/// Adds the values that every answer returns, and a nonce of this server if the client sent one
/// (RFC 5272 §6.6).
fn echo(endpoint: &Endpoint, data: &PkiData<'_>, reply: &mut CmcReply) -> Result<(), Error> {
    let (echo, nonce) = Controls::echoes(data);
    reply.controls.extend(echo);
    if nonce {
        reply.controls.push((oid::CMC_SENDER_NONCE, fresh_nonce(endpoint)?));
    }
    Ok(())
}

/// Generates a senderNonce, DER.
fn fresh_nonce(endpoint: &Endpoint) -> Result<Vec<u8>, Error> {
    let mut bytes = [0; 16];
    endpoint.policy.ca.fill(&mut bytes)?;
    let nonce = OctetString::new(bytes).and_then(|nonce| nonce.to_der());
    nonce.map_err(|rejection| Error::Internal(rejection.to_string()))
}

/// Returns the status of the requests that are neither PKCS#10 nor CRMF; none without such requests.
fn not_supported(data: &PkiData<'_>) -> Option<StatusInfo> {
    let others: Vec<BodyPartId> = data
        .requests
        .iter()
        .filter(|request| matches!(request, TaggedRequest::Orm(_)))
        .map(TaggedRequest::body_part_id)
        .collect();
    (!others.is_empty()).then(|| StatusInfo {
        status: CmcStatus::NoSupport,
        parts: others,
        text: Some("requests are PKCS#10 or CRMF".to_owned()),
        fail: None,
        pending: None,
    })
}

fn asks_for_something(data: &PkiData<'_>) -> Result<(), CmcError> {
    if data.requests.is_empty() && data.controls.is_empty() {
        return Err(CmcError::whole(FailInfo::BadRequest, "a PKIData that asks for nothing"));
    }
    Ok(())
}
