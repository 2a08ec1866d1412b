//! Finds the signers of a message and compares them with the authenticated client.

use super::{FullRequest, stop::Stop};
use crate::{
    est::{Endpoint, Service},
    pki::{
        Certificate, PublicKey,
        cmc::{CmcError, FailInfo, PkiData, request},
        signed_data::{MessageSigner, SignedMessage, SignerId},
    },
    ra::{self, Identity, Presented, RecordLookup, Rights, Standing},
    store::{ProofKeys, State},
    types::{Actor, AuthMethod, Operation},
};
use std::sync::Arc;

/// The key that verifies a signature.
pub(super) enum CmcSigner {
    /// The key of a request in the message: it does not authenticate the requester.
    ByRequestedKey,
    /// The key of this certificate.
    By(Box<Presented>),
}

/// The requester of a message, and the keys of its secret.
pub(super) struct Asker<'a> {
    pub(super) identity: Identity,
    /// Whether this is a registration authority that signed the message itself.
    pub(super) is_ra: bool,
    /// Whether the message is signed, and its requests are `identity`'s own.
    pub(super) signed: bool,
    /// The account that the message names, and its keys.
    pub(super) keys: Option<(String, ProofKeys)>,
    pub(super) request: FullRequest<'a>,
}

impl Service {
    /// Verifies every signature of a message (RFC 5272 §3.2.1.3.4) and identifies the signers.
    pub(super) async fn signers(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        message: &SignedMessage<'_>,
        data: &PkiData<'_>,
    ) -> Result<Vec<CmcSigner>, Stop> {
        let mut out = Vec::new();
        let mut known = Vec::new();
        for signer in &message.signers {
            let certificate = match certificate_of(signer, identity, message) {
                Some(certificate) => Some(certificate),
                None => self.recorded(signer).await?,
            };
            if let Some(certificate) = certificate {
                let key = PublicKey::parse(certificate.spki())
                    .map_err(|rejection| CmcError::whole(FailInfo::BadAlg, rejection))?;
                signer.verify(&key).map_err(CmcError::from)?;
                known.push(certificate);
                continue;
            }
            let SignerId::KeyIdentifier(identifier) = &signer.id else {
                return Err(unknown_signer().into());
            };
            let key = data
                .requests
                .iter()
                .find_map(|request| request::key_with_identifier(request, identifier))
                .ok_or_else(unknown_signer)?;
            if message.signers.len() > 1 {
                let reason =
                    "a message that a requested key signs has one signature (RFC 5272 section 3.2)";
                return Err(CmcError::whole(FailInfo::BadRequest, reason).into());
            }
            signer.verify(&key).map_err(CmcError::from)?;
            out.push(CmcSigner::ByRequestedKey);
        }
        // The signers are identified only after every signature was verified.
        for certificate in known {
            out.push(self.standing(endpoint, identity, certificate).await?);
        }
        Ok(out)
    }

    /// Reads a signer's certificate from the store; the message does not contain it.
    async fn recorded(&self, signer: &MessageSigner) -> Result<Option<Certificate>, Stop> {
        let SignerId::IssuerAndSerial(_, serial) = &signer.id else {
            return Ok(None);
        };
        let Some(record) = self.store.find(serial).await? else { return Ok(None) };
        let certificate = Certificate::parse(&record.certificate).ok();
        Ok(certificate.filter(|certificate| signer.id.names(certificate)))
    }

    /// Checks that a signer's certificate is trusted. It must be recorded by this CA, valid and
    /// not revoked; or it must be the certificate that TLS authenticated.
    async fn standing(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        certificate: Certificate,
    ) -> Result<CmcSigner, Stop> {
        let shown = identity.presented.as_ref();
        if let Some(own) = shown.filter(|own| own.is(&certificate)) {
            return Ok(CmcSigner::By(Box::new(own.clone())));
        }
        let reject =
            |reason: String| Stop::Rejected(CmcError::whole(FailInfo::BadIdentity, reason));
        let record = match RecordLookup::of(&*self.store, &certificate).await? {
            RecordLookup::This(record) => Some(record),
            RecordLookup::Another | RecordLookup::Nothing => None,
        };
        let ours = record.filter(|record| record.intent.ca == endpoint.policy.rules.ca);
        let Some(record) = ours else {
            return Err(reject(format!(
                "the signer's certificate, of {}, is neither of this CA nor the one that TLS shows",
                certificate.subject()
            )));
        };
        if let Some(rejection) = self.authority.authenticator().barred(&record).await? {
            return Err(reject(rejection.to_string()));
        }
        let now = self.now();
        if record.state != State::Issued {
            return Err(reject(format!("the signer's certificate is {}", record.state)));
        }
        if now < certificate.not_before() || now > certificate.not_after() {
            return Err(reject("the signer's certificate is not valid now".to_owned()));
        }
        let by_another = shown.is_some() && !ra::is_ra(&endpoint.policy, identity);
        if by_another {
            return Err(reject(
                "TLS shows another certificate than the signer's, and not that of a registration authority of this CA".to_owned(),
            ));
        }
        self.authority.record_use(&record, None).await;
        let (certificate, standing) = (Arc::new(certificate), Standing::Ours(record));
        Ok(CmcSigner::By(Box::new(Presented { certificate, standing })))
    }

    /// Derives the requester from the signatures.
    pub(super) fn asker<'a>(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        signed: Vec<CmcSigner>,
        request: FullRequest<'a>,
    ) -> Result<Asker<'a>, CmcError> {
        let by_certificate = signed.iter().any(|one| matches!(one, CmcSigner::By(..)));
        let by_requested_key = signed.iter().any(|one| matches!(one, CmcSigner::ByRequestedKey));
        let identity = self.asks(endpoint, identity, signed)?;
        // A message that an RA forwards without its signature is the device's: the RA vouches only
        // for the names.
        let from_ra = ra::is_ra(&endpoint.policy, &identity);
        let is_ra = from_ra && by_certificate;
        let signed = by_certificate || (by_requested_key && !from_ra);
        Ok(Asker { identity, is_ra, signed, keys: None, request })
    }

    /// The identity that the message acts for: the signer's, if a certificate signs. The signer
    /// then gets no names but its own, even with a password (RFC 6402 §2.3). Of several signers, at
    /// most one may be something else than a registration authority.
    fn asks(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        signed: Vec<CmcSigner>,
    ) -> Result<Identity, CmcError> {
        let mut all: Vec<Identity> = signed
            .into_iter()
            .filter_map(|signed| match signed {
                CmcSigner::ByRequestedKey => None,
                CmcSigner::By(signer) => {
                    let shown = is_shown(identity, &signer.certificate);
                    let expired = identity.expired.filter(|_| shown);
                    let rules = &endpoint.policy.rules;
                    Some(Identity {
                        actor: Actor {
                            name: by(identity, &signer.certificate),
                            method: AuthMethod::Certificate(signer.class()),
                        },
                        // A password of the carrier is none of the signer's proofs.
                        rights: Rights::of(rules, Operation::FullCmc, &signer, expired),
                        account: None,
                        token: None,
                        expired,
                        presented: Some(*signer),
                    })
                }
            })
            .collect();
        if all.is_empty() {
            return Ok(identity.clone());
        }
        let is_ra = |one: &Identity| ra::is_ra(&endpoint.policy, one);
        let mut others = all.iter().filter(|one| !is_ra(one));
        let chosen = others.next().cloned();
        if others.next().is_some() {
            let reason = "several signers, of which more than one is no registration authority";
            return Err(CmcError::whole(FailInfo::BadIdentity, reason));
        }
        Ok(chosen.unwrap_or_else(|| all.swap_remove(0)))
    }
}

/// Whether the client presented this certificate in TLS.
fn is_shown(identity: &Identity, certificate: &Certificate) -> bool {
    identity.presented.as_ref().is_some_and(|shown| shown.is(certificate))
}

/// The signer as the audit log names it, with the carrier of the message.
fn by(identity: &Identity, signer: &Certificate) -> String {
    let subject = signer.subject().to_string();
    match identity.actor.method {
        _ if is_shown(identity, signer) => identity.actor.name.clone(),
        AuthMethod::Anonymous => subject,
        _ => format!("{subject} [{}]", identity.actor.name),
    }
}

fn certificate_of(
    signer: &MessageSigner,
    identity: &Identity,
    message: &SignedMessage<'_>,
) -> Option<Certificate> {
    let shown = identity.certificate();
    shown.into_iter().chain(&message.certificates).find(|one| signer.id.names(one)).cloned()
}

fn unknown_signer() -> CmcError {
    CmcError::whole(
        FailInfo::BadMessageCheck,
        "no key is known for a signature: the signer is a certificate, or the key of a request, named by the subjectKeyIdentifier that the request asks for (RFC 5272 section 3.2)",
    )
}
