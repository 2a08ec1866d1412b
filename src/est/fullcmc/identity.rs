//! Who has signed a message, and how that fits who is authenticated.

use super::{FullRequest, stop::Stop};
use crate::{
    est::{Endpoint, Service},
    pki::{
        Certificate, PublicKey,
        cmc::{CmcError, FailInfo, PkiData, request},
        signed_data::{SignedMessage, Signer, SignerId},
    },
    ra::{self, Identity, Presented, RecordLookup, Standing},
    store::{ProofKeys, State},
    types::{Actor, AuthMethod, TrustClass},
};
use std::sync::Arc;

/// Whose signature one is.
pub(super) enum CmcSigner {
    /// Of a key that a certificate is asked for: it says nothing of who asks.
    ByRequestedKey,
    /// Of this certificate's key.
    By(Box<Presented>),
}

/// Who asks in a message, and what is known of its secret.
pub(super) struct Asker<'a> {
    pub(super) identity: Identity,
    /// Whether this is a registration authority, in its own words.
    pub(super) is_ra: bool,
    /// Whether the message is signed, and says what `identity` asks for itself.
    pub(super) signed: bool,
    /// The account that is named, and its keys.
    pub(super) keys: Option<(String, ProofKeys)>,
    pub(super) request: FullRequest<'a>,
}

impl Service {
    /// Verifies every signature of a message (RFC 5272 §3.2.1.3.4) and finds out whose they are.
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
        // Only when every signature holds does it matter who they are.
        for certificate in known {
            out.push(self.standing(endpoint, identity, certificate).await?);
        }
        Ok(out)
    }

    /// A signer's certificate that the message does not bring along.
    async fn recorded(&self, signer: &Signer) -> Result<Option<Certificate>, Stop> {
        let SignerId::IssuerAndSerial(_, serial) = &signer.id else {
            return Ok(None);
        };
        let Some(record) = self.store.find(serial).await? else { return Ok(None) };
        let certificate = Certificate::parse(&record.certificate).ok();
        Ok(certificate.filter(|certificate| signer.id.names(certificate)))
    }

    /// Whether a signer's certificate is one to be believed: of our CA, on record, valid, not
    /// revoked; or the very one that TLS has authenticated.
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
        let (class, standing) = (TrustClass::Explicit, Standing::Ours(record));
        let certificate = Arc::new(certificate);
        Ok(CmcSigner::By(Box::new(Presented { certificate, class, standing })))
    }

    /// Who asks, by the signatures.
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
        // What an RA brings and has not signed are a device's words: it vouches for the names.
        let from_ra = ra::is_ra(&endpoint.policy, &identity);
        let is_ra = from_ra && by_certificate;
        let signed = by_certificate || (by_requested_key && !from_ra);
        Ok(Asker { identity, is_ra, signed, keys: None, request })
    }

    /// In whose name a message asks: the signer's, if a certificate signs; it then gets no names
    /// but its own, also where a password was given (RFC 6402 §2.3). Of several signers one may be
    /// no registration authority.
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
                CmcSigner::By(signer) => Some(Identity {
                    actor: Actor {
                        name: by(identity, &signer.certificate),
                        method: AuthMethod::Certificate(signer.class),
                    },
                    expired: identity.expired.filter(|_| is_shown(identity, &signer.certificate)),
                    presented: Some(*signer),
                    ..identity.clone()
                }),
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

/// Whether TLS shows this certificate.
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
    signer: &Signer,
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
