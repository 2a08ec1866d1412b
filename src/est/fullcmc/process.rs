//! A message on its way from its octets to its answer.

use super::{
    FullRequest, RETRY, Reply,
    controls::{Controls, Proof},
    identity::Stop,
};
use crate::{
    ca::{self, Issued, Order, Withdrawal},
    est::{Endpoint, Error, Service},
    pki::{
        cmc::{
            BodyPartId, CmcStatus, FailInfo, PendInfo, PkiData, Refused, SignedMessage, StatusInfo,
            TaggedRequest, Wanted, ber,
            control::{CrlReason, IssuerAndSerial, RevokeRequest, Witness},
            message::TaggedContentInfo,
        },
        oid, same_mac, same_secret,
    },
    ra::{self, Decision, Denial, Identity},
    store::{self, Issuance, ProofKeys, State},
    types::{Actor, Method, Operation, Peer, RevocationReason, Serial, Time},
};
use der::{
    Decode, Encode,
    asn1::{GeneralizedTime, OctetString},
};
use std::{
    borrow::Cow, collections::BTreeSet, future::Future, pin::Pin, sync::Arc, time::Duration,
};

/// Messages within messages: an RA's batch, and none inside that.
const MAX_DEPTH: u8 = 1;

/// Octets of a secret that is sent in the clear, and of a comment that goes into the log.
const MAX_SECRET: usize = 1024;
const MAX_COMMENT: usize = 200;

/// Who asks in a message, and what is known of its secret.
struct Asker<'a> {
    identity: Identity,
    is_ra: bool,
    /// Whether somebody has signed the message.
    signed: bool,
    /// The account that is named, and its keys.
    keys: Option<(String, ProofKeys)>,
    request: FullRequest<'a>,
}

/// A batchRequests control, and the messages that it names.
type Batch = (BodyPartId, Vec<Vec<u8>>);

/// One request that may be granted.
struct Granted {
    part: BodyPartId,
    decision: Decision,
}

impl Service {
    /// Processes a message; what cannot be done is told in the reply.
    pub(super) fn process<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        identity: &'a Identity,
        request: FullRequest<'a>,
        depth: u8,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(async move {
            let mut reply = Reply::default();
            if let Err(stop) = self.run(endpoint, identity, request, depth, &mut reply).await {
                let refused = match stop {
                    Stop::Refused(refused) => refused,
                    Stop::Fault(fault) => {
                        reply.cause = Some(fault.to_string());
                        of_ours(&fault)
                    }
                };
                reply.certificates.clear();
                reply.cms.clear();
                reply.statuses =
                    vec![StatusInfo::failed(refused.fail, refused.parts, refused.reason)];
            }
            reply
        })
    }

    async fn run(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        request: FullRequest<'_>,
        depth: u8,
        reply: &mut Reply,
    ) -> Result<(), Stop> {
        let der = match ber::is_indefinite(request.message) {
            true => ber::to_der(request.message).map(Cow::Owned),
            false => Some(Cow::Borrowed(request.message)),
        };
        let der = der.ok_or_else(|| Refused::whole(FailInfo::BadRequest, "no BER"))?;
        let message = SignedMessage::parse(&der)?;
        let data = PkiData::parse(message.content)?;
        let (echo, nonce) = Controls::echoes(&data);
        reply.controls.extend(echo);
        if nonce {
            reply.controls.push((oid::CMC_SENDER_NONCE, fresh_nonce(endpoint)?));
        }
        let signed = self.signers(endpoint, identity, &message, &data).await?;
        let controls = Controls::read(&data)?;
        let is_signed = !signed.is_empty();
        if !is_signed {
            only_revocations_by_secret(&data, &controls)?;
        }
        let identity_signed = self.asks(endpoint, identity, signed)?;
        let asker = Asker {
            is_ra: ra::is_ra(&endpoint.policy, &identity_signed),
            identity: identity_signed,
            signed: is_signed,
            keys: None,
            request,
        };
        let asker = self.prove(endpoint, asker, identity, &data, &controls).await?;
        controls.check(asker.is_ra)?;

        let others: Vec<BodyPartId> = data
            .requests
            .iter()
            .filter(|request| matches!(request, TaggedRequest::Orm(_)))
            .map(TaggedRequest::body_part_id)
            .collect();
        if !others.is_empty() {
            // RFC 5272 §3.2.1: no other request is processed.
            reply.statuses.push(StatusInfo {
                status: CmcStatus::NoSupport,
                parts: others,
                text: Some("requests are PKCS#10 or CRMF".to_owned()),
                fail: None,
                pending: None,
            });
            return Ok(());
        }
        if data.requests.is_empty() && data.controls.is_empty() {
            return Err(
                Refused::whole(FailInfo::BadRequest, "a PKIData that asks for nothing").into()
            );
        }
        let mut granted = Vec::new();
        for wanted in wanted(&data, &controls, &asker)? {
            self.check_link(&wanted, &controls, &asker)?;
            granted.push(decide(endpoint, &asker.identity, request.peer, wanted)?);
        }
        // What may be refused is looked at before anything is done.
        let confirmed = self.confirmed(&asker, &controls.confirm).await?;
        let revocations = self.revocations(endpoint, &asker, &controls).await?;
        let queried = self.queried(&asker, &controls.query).await?;
        let batch = batch(&data, &controls, depth)?;

        reply.always_full = controls.has_actions();
        let mut done = confirmed;
        for grant in granted {
            let part = grant.part;
            match self.issue(endpoint, &asker.identity, request, grant).await {
                Ok(Issued { issuance, repeated }) => {
                    let intent = &issuance.intent;
                    if repeated {
                        reply.repeated.push((intent.serial.clone(), intent.request_id.clone()));
                    }
                    reply.certificates.push(issuance.certificate.clone());
                    done.push(part);
                }
                Err(ca::Error::Signer { open: Some(serial), .. }) => {
                    let open = self.store.find(&serial).await?;
                    let begun = open.map_or_else(|| self.clock.now(), |open| open.intent.begun);
                    reply.statuses.push(pending(part, &serial, begun)?);
                }
                Err(fault) => {
                    let fault = Error::from(fault);
                    reply.cause = Some(fault.to_string());
                    let refused = of_ours(&fault);
                    reply.statuses.push(StatusInfo::failed(
                        refused.fail,
                        vec![part],
                        refused.reason,
                    ));
                }
            }
        }
        for (part, withdrawal) in revocations {
            let withdrawal =
                Withdrawal { request_id: Some(request.request_id.clone()), ..withdrawal };
            ca::revoke(&*self.store, withdrawal, self.clock.now()).await?;
            done.push(part);
        }
        for (part, issuance) in queried {
            self.answer_query(endpoint, part, issuance, reply, &mut done).await?;
        }
        for (part, messages) in batch {
            self.answer_batch(endpoint, &asker.identity, request, messages, depth, reply).await?;
            done.push(part);
        }
        if reply.statuses.is_empty() && done.is_empty() {
            done = controls.parts;
        }
        if !done.is_empty() {
            reply.statuses.push(StatusInfo::success(done));
        }
        Ok(())
    }

    /// Verifies the proof of identity by a shared secret, and finds out who asks by it (RFC 5272
    /// §6.2). A certificate that signs, or that TLS shows, says more than a secret and stays.
    async fn prove<'a>(
        &self,
        endpoint: &Endpoint,
        asker: Asker<'a>,
        authenticated: &Identity,
        data: &PkiData<'_>,
        controls: &Controls<'_>,
    ) -> Result<Asker<'a>, Stop> {
        let by_password = matches!(authenticated.actor.method, Method::Password);
        let name = match controls.identification {
            Some((_, name)) => Some(name.to_owned()),
            None if by_password => Some(authenticated.actor.name.clone()),
            None => None,
        };
        let needed = controls.proof.is_some() || controls.link_random.is_some();
        let keys = match name.filter(|_| needed) {
            Some(name) => {
                let keys = self.secret(endpoint, &name, asker.request).await?;
                keys.map(|keys| (name, keys))
            }
            None => None,
        };
        let asker = Asker { keys, ..asker };
        let Some((part, proof)) = &controls.proof else { return Ok(asker) };
        let bad = |fail, reason: &str| Stop::Refused(Refused::part(fail, *part, reason));
        let Proof::V2(witness) = proof else {
            return Err(bad(
                FailInfo::BadAlg,
                "identityProof is SHA-1: use identityProofV2 with SHA-256 and HMAC-SHA256",
            ));
        };
        check_algorithms(witness, *part)?;
        let seen_by_ra = asker.is_ra
            && controls.identity_witness.iter().any(|(_, path)| path.as_slice() == [*part]);
        if seen_by_ra {
            return Ok(asker);
        }
        let Some((name, keys)) = &asker.keys else {
            return Err(bad(
                FailInfo::BadIdentity,
                "no account is named that keeps a secret for proofs (operator: estd user add --identity-proof)",
            ));
        };
        let key = if controls.identification.is_some() { &keys.named } else { &keys.alone };
        if !same_mac(&**key, &data.requests_der, witness.witness.as_bytes()) {
            self.authenticator.proof_failed(name, asker.request.origin(), self.clock.now());
            return Err(bad(
                FailInfo::BadIdentity,
                "the identity proof is not made with the account's secret over the requests",
            ));
        }
        if by_password && *name != authenticated.actor.name {
            return Err(bad(
                FailInfo::BadIdentity,
                "the identity proof is of another account than the password",
            ));
        }
        if asker.identity.certificate.is_some() {
            return Ok(asker);
        }
        let actor = Actor { name: name.clone(), method: Method::Password };
        Ok(Asker { identity: Identity { actor, ..asker.identity }, ..asker })
    }

    /// The keys of an account's secret.
    async fn secret(
        &self,
        endpoint: &Endpoint,
        name: &str,
        request: FullRequest<'_>,
    ) -> Result<Option<ProofKeys>, Stop> {
        let (label, now) = (endpoint.label.as_ref(), self.clock.now());
        let keys = self.authenticator.identity_proof_keys(label, name, request.origin(), now).await;
        match keys {
            Ok(keys) => Ok(keys),
            Err(ra::Unauthenticated::TooManyFailures { fault, .. }) => {
                Err(Refused::whole(FailInfo::TryLater, fault).into())
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Verifies that each request holds the witness that links it to the secret (RFC 5272 §6.3.1.1).
    fn check_link(
        &self,
        wanted: &Wanted,
        controls: &Controls<'_>,
        asker: &Asker<'_>,
    ) -> Result<(), Refused> {
        let failed = |fail, reason: &str| Err(Refused::part(fail, wanted.part, reason));
        let csr = &wanted.csr;
        if csr.has_attribute(oid::CMC_POP_LINK_WITNESS) {
            return failed(FailInfo::BadAlg, "popLinkWitness is SHA-1: use popLinkWitnessV2");
        }
        let malformed = |fault: String| Refused::part(FailInfo::BadRequest, wanted.part, fault);
        let value = csr
            .attribute(oid::CMC_POP_LINK_WITNESS_V2)
            .map_err(|fault| malformed(fault.to_string()))?;
        match (value, controls.link_random) {
            (None, None) => Ok(()),
            (Some(_), None) => {
                failed(FailInfo::PopFailed, "popLinkWitnessV2 without popLinkRandom")
            }
            (None, Some(_)) => failed(
                FailInfo::PopFailed,
                "with popLinkRandom, each request holds popLinkWitnessV2 (RFC 5272 section 6.3.1.1)",
            ),
            (Some(value), Some((part, random))) => {
                let witness =
                    Witness::from_der(value).map_err(|fault| malformed(fault.to_string()))?;
                check_algorithms(&witness, wanted.part)?;
                let Some((name, keys)) = &asker.keys else {
                    let reason =
                        "no account is named (identification) that keeps a secret for this";
                    return Err(Refused::part(FailInfo::BadIdentity, part, reason));
                };
                if same_mac(&*keys.alone, random, witness.witness.as_bytes()) {
                    return Ok(());
                }
                self.authenticator.proof_failed(name, asker.request.origin(), self.clock.now());
                failed(
                    FailInfo::PopFailed,
                    "popLinkWitnessV2 is not made with the account's secret",
                )
            }
        }
    }

    async fn issue(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        request: FullRequest<'_>,
        grant: Granted,
    ) -> Result<Issued, ca::Error> {
        let facts = facts(identity, &grant.decision);
        let order = Order {
            content: grant.decision.content,
            request_key: grant.decision.request_key,
            repeat_window: endpoint.policy.rules.repeat_window,
            label: endpoint.label.clone(),
            operation: Some(Operation::FullCmc),
            actor: identity.actor.clone(),
            predecessor: grant.decision.predecessor,
            request_id: request.request_id.clone(),
            facts,
        };
        let (ca, now) = (Arc::clone(&endpoint.ca), self.clock.now());
        // On a task of its own: a client that hangs up must not stop an issuance half-way.
        match tokio::spawn(async move { ca.issue(order, now).await }).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ca::Error::Store(store::Error::Unavailable("the task ended".to_owned()))),
        }
    }

    /// Certificates that a client confirms are its own (RFC 5272 §6.14).
    async fn confirmed(
        &self,
        asker: &Asker<'_>,
        confirms: &[(BodyPartId, IssuerAndSerial<'_>)],
    ) -> Result<Vec<BodyPartId>, Stop> {
        let mut out = Vec::new();
        for (part, id) in confirms {
            let unknown =
                || Refused::part(FailInfo::BadCertId, *part, "no such certificate of yours");
            let record = self.found(id.serial_number.as_bytes()).await?.ok_or_else(unknown)?;
            let certificate = crate::pki::Certificate::parse(&record.certificate);
            let certificate = certificate.map_err(|_| unknown())?;
            let issuer = id.issuer.to_der().unwrap_or_default();
            let theirs = record.state == State::Issued
                && certificate.issuer().der() == issuer
                && (asker.is_ra || asked_by(&record, &asker.identity));
            if !theirs {
                return Err(unknown().into());
            }
            out.push(*part);
        }
        Ok(out)
    }

    async fn found(&self, serial: &[u8]) -> Result<Option<Arc<Issuance>>, Stop> {
        let Ok(serial) = Serial::parse(serial) else { return Ok(None) };
        Ok(self.store.find(&serial).await?)
    }

    /// The revocations that are asked for, each by one who may (RFC 5272 §6.11): the certificate's
    /// own key or another certificate with its names, an RA of this CA, or whoever knows the
    /// secret of the account that asked for it.
    async fn revocations(
        &self,
        endpoint: &Endpoint,
        asker: &Asker<'_>,
        controls: &Controls<'_>,
    ) -> Result<Vec<(BodyPartId, Withdrawal)>, Stop> {
        let mut out = Vec::new();
        for (part, asked) in &controls.revoke {
            let refuse = |fail, reason: &str| Refused::part(fail, *part, reason);
            let unknown = || refuse(FailInfo::BadCertId, "no such certificate of this CA");
            let reason = reason(asked.reason).ok_or_else(|| {
                refuse(
                    FailInfo::BadRequest,
                    "certificateHold and removeFromCRL: revocation is for good here",
                )
            })?;
            let issuer = asked.issuer_name.to_der().unwrap_or_default();
            let issuer = crate::pki::DistinguishedName::parse(&issuer).map_err(|_| unknown())?;
            if !issuer.same_as(endpoint.ca.issuing().subject()) {
                return Err(unknown().into());
            }
            let record = self.found(asked.serial_number.as_bytes()).await?.ok_or_else(unknown)?;
            let has_certificate = matches!(record.state, State::Issued | State::Revoked);
            if record.intent.ca != endpoint.policy.rules.ca || !has_certificate {
                return Err(unknown().into());
            }
            let by_identity = asker.is_ra || same_subject(&record, &asker.identity);
            let actor = if asker.signed && by_identity {
                asker.identity.actor.clone()
            } else if self.knows_secret(endpoint, &record, asked, asker.request).await? {
                Actor { name: record.intent.actor.name.clone(), method: Method::Password }
            } else {
                let reason = "a certificate is revoked by its holder (a signature with its key or with that of another certificate with its names), a registration authority of this CA, or the secret of the account that asked for it";
                return Err(refuse(FailInfo::BadIdentity, reason).into());
            };
            let comment = asked.comment.map(|comment| {
                comment.as_str().chars().filter(|c| !c.is_control()).take(MAX_COMMENT).collect()
            });
            let serial = record.intent.serial.clone();
            let withdrawal = Withdrawal { serial, reason, comment, actor, request_id: None };
            out.push((*part, withdrawal));
        }
        Ok(out)
    }

    /// Whether a revocation brings the secret of the account that asked for the certificate.
    async fn knows_secret(
        &self,
        endpoint: &Endpoint,
        record: &Issuance,
        asked: &RevokeRequest<'_>,
        request: FullRequest<'_>,
    ) -> Result<bool, Stop> {
        let Some(secret) = asked.shared_secret else { return Ok(false) };
        if record.intent.actor.method != Method::Password || secret.as_bytes().len() > MAX_SECRET {
            return Ok(false);
        }
        let name = &record.intent.actor.name;
        let keys = self.secret(endpoint, name, request).await?;
        let right = keys.is_some_and(|keys| same_secret(&*keys.alone, secret.as_bytes()));
        if !right {
            self.authenticator.proof_failed(name, request.origin(), self.clock.now());
        }
        Ok(right)
    }

    /// The issuances that a client asks after (RFC 5272 §6.13). A token is the serial number: it
    /// says something only to whoever asked for the certificate.
    async fn queried(
        &self,
        asker: &Asker<'_>,
        queries: &[(BodyPartId, &[u8])],
    ) -> Result<Vec<(BodyPartId, Arc<Issuance>)>, Stop> {
        let mut out = Vec::new();
        for (part, token) in queries {
            let record = self.found(token).await?;
            let record = record.filter(|record| {
                matches!(record.state, State::Open | State::Issued)
                    && record.intent.operation == Some(Operation::FullCmc)
                    && record.intent.actor == asker.identity.actor
            });
            let Some(record) = record else {
                let reason = "nothing of yours is pending under this token";
                return Err(Refused::part(FailInfo::BadRequest, *part, reason).into());
            };
            out.push((*part, record));
        }
        Ok(out)
    }

    async fn answer_query(
        &self,
        endpoint: &Endpoint,
        part: BodyPartId,
        issuance: Arc<Issuance>,
        reply: &mut Reply,
        done: &mut Vec<BodyPartId>,
    ) -> Result<(), Stop> {
        let intent = &issuance.intent;
        if issuance.state == State::Open {
            // The sweep would finish it, too; nobody loses if this comes first.
            let finished = endpoint.ca.finish(intent, self.clock.now()).await;
            if let Err(ca::Error::Store(fault)) = finished {
                return Err(fault.into());
            }
        }
        match self.store.find(&intent.serial).await? {
            Some(now) if now.state == State::Issued => {
                reply.certificates.push(now.certificate.clone());
                done.push(part);
            }
            _ => reply.statuses.push(pending(part, &intent.serial, intent.begun)?),
        }
        Ok(())
    }

    /// Each message of an RA's batch, with an answer of its own (RFC 5272 §6.17). What fails in it
    /// fails there only.
    async fn answer_batch(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        request: FullRequest<'_>,
        messages: Vec<Vec<u8>>,
        depth: u8,
        reply: &mut Reply,
    ) -> Result<(), Stop> {
        for message in messages {
            let inner = FullRequest { message: &message, ..request };
            let answered = self.process(endpoint, identity, inner, depth + 1).await;
            let answer = self.finished(endpoint, answered).await?;
            reply.cms.push(answer.der);
        }
        Ok(())
    }
}

/// A senderNonce of ours, DER.
fn fresh_nonce(endpoint: &Endpoint) -> Result<Vec<u8>, Error> {
    let mut octets = [0; 16];
    endpoint.ca.fill(&mut octets)?;
    let nonce = OctetString::new(octets).and_then(|nonce| nonce.to_der());
    nonce.map_err(|fault| Error::Internal(fault.to_string()))
}

/// A message that nobody signed may only revoke, by a secret (RFC 5272 §6.11).
fn only_revocations_by_secret(data: &PkiData<'_>, controls: &Controls<'_>) -> Result<(), Refused> {
    let by_secret = !controls.revoke.is_empty()
        && controls.revoke.iter().all(|(_, asked)| asked.shared_secret.is_some());
    let nothing_else = data.requests.is_empty()
        && controls.query.is_empty()
        && controls.confirm.is_empty()
        && controls.batch.is_empty();
    if by_secret && nothing_else {
        return Ok(());
    }
    Err(Refused::whole(
        FailInfo::BadMessageCheck,
        "nobody has signed the message: only revocations by a shared secret come without a signature",
    ))
}

fn check_algorithms(witness: &Witness<'_>, part: BodyPartId) -> Result<(), Refused> {
    if witness.hash.oid == oid::SHA256 && witness.mac.oid == oid::HMAC_SHA256 {
        return Ok(());
    }
    Err(Refused::part(
        FailInfo::BadAlg,
        part,
        format!(
            "proofs by a shared secret are made with SHA-256 and HMAC-SHA256, not {} and {}",
            witness.hash.oid, witness.mac.oid
        ),
    ))
}

/// The requests of a message with their proofs of possession verified, changed as an RA wants them.
fn wanted(
    data: &PkiData<'_>,
    controls: &Controls<'_>,
    asker: &Asker<'_>,
) -> Result<Vec<Wanted>, Refused> {
    let exists =
        |part: BodyPartId| data.requests.iter().any(|request| request.body_part_id() == part);
    for (part, witness) in &controls.pop_witness {
        let here = witness.pki_data_body_id == 0;
        let named = !witness.body_ids.is_empty() && all_different(&witness.body_ids);
        if !here || !named || !witness.body_ids.iter().all(|id| exists(*id)) {
            let reason = "lraPOPWitness names requests of this PKIData";
            return Err(Refused::part(FailInfo::BadRequest, *part, reason));
        }
    }
    for (part, path) in &controls.identity_witness {
        let known = matches!(path.as_slice(), [one] if exists(*one) || controls.parts.contains(one)
            || data.cms.iter().any(|object| object.body_part_id == *one));
        if !known {
            let reason = "raIdentityWitness names an identity proof or a request";
            return Err(Refused::part(FailInfo::BadRequest, *part, reason));
        }
    }
    let mut all = Vec::new();
    for request in &data.requests {
        let id = request.body_part_id();
        let witnessed = asker.is_ra
            && controls.pop_witness.iter().any(|(_, witness)| witness.body_ids.contains(&id));
        let wanted = Wanted::read(request, witnessed)?;
        all.push(wanted);
    }
    for (part, change) in &controls.modify {
        let named = !change.cert_references.is_empty() && all_different(&change.cert_references);
        if change.pki_data_reference != [0] || !named {
            let reason =
                "modCertTemplate names requests of this PKIData, each once: pkiDataReference 0";
            return Err(Refused::part(FailInfo::BadRequest, *part, reason));
        }
        for id in &change.cert_references {
            let Some(at) = all.iter().position(|wanted: &Wanted| wanted.part == *id) else {
                let reason = "modCertTemplate names a request that is not there";
                return Err(Refused::part(FailInfo::BadRequest, *part, reason));
            };
            let wanted = all.swap_remove(at);
            let changed = wanted
                .changed(&change.cert_template, change.replace)
                .map_err(|refused| Refused { parts: vec![*part], ..refused })?;
            all.push(changed);
        }
    }
    all.sort_by_key(|wanted| {
        data.requests.iter().position(|request| request.body_part_id() == wanted.part)
    });
    Ok(all)
}

/// The messages of each batch.
fn batch(data: &PkiData<'_>, controls: &Controls<'_>, depth: u8) -> Result<Vec<Batch>, Refused> {
    let one = |part: BodyPartId, id: &BodyPartId| {
        let object: Option<&TaggedContentInfo<'_>> =
            data.cms.iter().find(|object| object.body_part_id == *id);
        let object = object.and_then(|object| object.content_info.to_der().ok());
        object.ok_or_else(|| {
            let reason =
                format!("batchRequests names {id}, which is no message in the cmsSequence");
            Refused::part(FailInfo::BadRequest, part, reason)
        })
    };
    let mut out = Vec::new();
    for (part, ids) in &controls.batch {
        if depth >= MAX_DEPTH || !out.is_empty() {
            let reason = "one batch in a message, and none inside a batch";
            return Err(Refused::part(FailInfo::BadRequest, *part, reason));
        }
        // Else a small message could ask for the same work thousands of times.
        if ids.is_empty() || !all_different(ids) {
            let reason = "batchRequests names at least one message, and none twice";
            return Err(Refused::part(FailInfo::BadRequest, *part, reason));
        }
        let messages = ids.iter().map(|id| one(*part, id)).collect::<Result<_, _>>()?;
        out.push((*part, messages));
    }
    Ok(out)
}

/// For the event: by what scheme a password was proved, by what the CSR was bound to its connection,
/// and what the decision says.
fn facts(identity: &Identity, decision: &Decision) -> Vec<(&'static str, String)> {
    let scheme = identity.scheme.map(|scheme| ("scheme", scheme.to_string()));
    let linked = decision.linked.map(|kind| ("linked", kind.to_string()));
    scheme.into_iter().chain(linked).chain(decision.facts.iter().cloned()).collect()
}

fn all_different(ids: &[BodyPartId]) -> bool {
    let mut seen = BTreeSet::new();
    ids.iter().all(|id| seen.insert(*id))
}

fn decide(
    endpoint: &Endpoint,
    identity: &Identity,
    peer: &Peer,
    wanted: Wanted,
) -> Result<Granted, Refused> {
    let request = ra::Request {
        identity,
        peer,
        label: endpoint.label.as_ref(),
        operation: Operation::FullCmc,
        csr: &wanted.csr,
    };
    match ra::decide(&endpoint.policy, request) {
        Ok(decision) => Ok(Granted { part: wanted.part, decision }),
        Err(denial) => Err(Refused::part(code_of(&denial), wanted.part, denial)),
    }
}

/// The CMC code of a refusal by the rules of enrolment.
fn code_of(denial: &Denial) -> FailInfo {
    match denial {
        Denial::Unacceptable(fault) | Denial::Denied(fault) => match fault.code {
            "csr.unsupported-extension" | "csr.key-usage" | "csr.extended-key-usage" | "csr.ca" => {
                FailInfo::UnsupportedExt
            }
            "csr.key-kind" => FailInfo::BadAlg,
            "reenroll.key-reuse" => FailInfo::NoKeyReuse,
            "enroll.names" | "label.ca" => FailInfo::BadIdentity,
            _ => FailInfo::BadRequest,
        },
        Denial::IdentityChanged(_) => FailInfo::BadIdentity,
        Denial::Linking(_) => FailInfo::PopFailed,
    }
}

/// The CMC code of a fault of ours; what it was goes into the log.
fn of_ours(fault: &Error) -> Refused {
    match fault {
        Error::Store(_) | Error::Signer(_) | Error::Busy(_) => Refused::whole(
            FailInfo::TryLater,
            "the server cannot record or sign at present; nothing was handed out",
        ),
        _ => Refused::whole(
            FailInfo::InternalCaError,
            "internal error; tell the operator the request id",
        ),
    }
}

/// What is recorded and not signed yet: the token is its serial number; the time is the same
/// whenever it is told.
fn pending(part: BodyPartId, serial: &Serial, begun: Time) -> Result<StatusInfo, Error> {
    let encoding = |fault: der::Error| Error::Internal(fault.to_string());
    let when = begun.plus(Duration::from_secs(u64::from(RETRY)));
    let when = GeneralizedTime::from_unix_duration(Duration::from_secs(when.unix()));
    Ok(StatusInfo {
        status: CmcStatus::Pending,
        parts: vec![part],
        text: None,
        fail: None,
        pending: Some(PendInfo {
            pend_token: OctetString::new(serial.as_bytes()).map_err(encoding)?,
            pend_time: when.map_err(encoding)?,
        }),
    })
}

const fn reason(asked: CrlReason) -> Option<RevocationReason> {
    match asked {
        CrlReason::Unspecified => Some(RevocationReason::Unspecified),
        CrlReason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        CrlReason::CaCompromise => Some(RevocationReason::CaCompromise),
        CrlReason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
        CrlReason::Superseded => Some(RevocationReason::Superseded),
        CrlReason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        CrlReason::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
        CrlReason::AaCompromise => Some(RevocationReason::AaCompromise),
        CrlReason::CertificateHold | CrlReason::RemoveFromCrl => None,
    }
}

/// Whether this client asked for the certificate, or has its names by a certificate of ours.
fn asked_by(record: &Issuance, identity: &Identity) -> bool {
    record.intent.actor == identity.actor || same_subject(record, identity)
}

/// Whether the client's certificate, one of this CA, is this one or has its names.
fn same_subject(record: &Issuance, identity: &Identity) -> bool {
    identity.record.as_ref().is_some_and(|own| {
        let (own, other) = (&own.intent, &record.intent);
        own.ca == other.ca
            && (own.serial == other.serial
                || (own.subject == other.subject && own.san == other.san))
    })
}
