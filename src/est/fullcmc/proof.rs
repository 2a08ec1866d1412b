//! Proofs by a shared secret: of identity (RFC 5272 §6.2), and of its link to a request (§6.3).

use super::{
    FullRequest,
    controls::{Controls, IdentityProof},
    identity::Asker,
    stop::Stop,
};
use crate::{
    est::{Endpoint, Error, Service},
    pki::{
        cmc::{BodyPartId, CmcError, FailInfo, PkiData, Wanted, control::Witness},
        oid, same_mac,
    },
    ra::{AuthnContext, Identity},
    store::ProofKeys,
    types::{Actor, AuthMethod, Operation},
};
use der::Decode;

impl Service {
    /// Verifies the proof of identity by a shared secret, and sets the requester to its account (RFC
    /// 5272 §6.2). A certificate, of a signer or in TLS, takes precedence over the account.
    pub(super) fn prove<'a>(
        &self,
        endpoint: &Endpoint,
        asker: Asker<'a>,
        authenticated: &Identity,
        data: &PkiData<'_>,
        controls: &Controls<'_>,
    ) -> Result<Asker<'a>, Stop> {
        let Some((part, proof)) = &controls.proof else { return Ok(asker) };
        let bad = |fail, reason: &str| Stop::Rejected(CmcError::part(fail, *part, reason));
        let IdentityProof::V2(witness) = proof else {
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
            if authenticated.token.is_some() {
                return Err(bad(
                    FailInfo::BadIdentity,
                    "the token keeps no secret for proofs (operator: estd token create --cmc)",
                ));
            }
            return Err(bad(
                FailInfo::BadIdentity,
                "no account is named that keeps a secret for proofs (operator: estd user add --identity-proof)",
            ));
        };
        let key = if controls.identification.is_some() { &keys.named } else { &keys.alone };
        let mac = witness.witness.as_bytes();
        if !self
            .holds(endpoint, name, asker.request, || same_mac(&**key, &data.requests_der, mac))?
        {
            return Err(bad(
                FailInfo::BadIdentity,
                "the identity proof was not computed with the account's secret over the requests",
            ));
        }
        let by_password = authenticated.actor.method == AuthMethod::Password;
        if by_password && *name != authenticated.actor.name {
            return Err(bad(
                FailInfo::BadIdentity,
                "the identity proof is of another account than the password",
            ));
        }
        if asker.identity.presented.is_some() || asker.identity.token.is_some() {
            return Ok(asker);
        }
        let actor = Actor { name: name.clone(), method: AuthMethod::Password };
        Ok(Asker { identity: Identity { actor, ..asker.identity }, ..asker })
    }

    /// The account that a message names, and the keys of its secret, if something is proved by it.
    pub(super) async fn named_keys(
        &self,
        endpoint: &Endpoint,
        authenticated: &Identity,
        controls: &Controls<'_>,
        request: FullRequest<'_>,
    ) -> Result<Option<(String, ProofKeys)>, Stop> {
        if controls.proof.is_none() && controls.link_random.is_none() {
            return Ok(None);
        }
        // The secret of a token is the one that the client has proved already.
        if let Some(token) = &authenticated.token {
            let name = authenticated.actor.name.clone();
            return Ok(token.proof_keys.clone().map(|keys| (name, keys)));
        }
        let name = match controls.identification {
            Some((_, name)) => name,
            None if authenticated.actor.method == AuthMethod::Password => &authenticated.actor.name,
            None => return Ok(None),
        };
        let keys = self.secret(endpoint, name, request).await?;
        Ok(keys.map(|keys| (name.to_owned(), keys)))
    }

    /// The keys of an account's secret.
    pub(super) async fn secret(
        &self,
        endpoint: &Endpoint,
        name: &str,
        request: FullRequest<'_>,
    ) -> Result<Option<ProofKeys>, Stop> {
        let context = self.context(endpoint, request);
        self.authority.authenticator().identity_proof_keys(context, name).await.map_err(later)
    }

    /// Checks a proof by the secret of an account.
    pub(super) fn holds(
        &self,
        endpoint: &Endpoint,
        name: &str,
        request: FullRequest<'_>,
        proof: impl FnOnce() -> bool,
    ) -> Result<bool, Stop> {
        let context = self.context(endpoint, request);
        self.authority.authenticator().check_proof(context, name, proof).map_err(later)
    }

    fn context<'a>(&self, endpoint: &'a Endpoint, request: FullRequest<'a>) -> AuthnContext<'a> {
        AuthnContext {
            rules: endpoint.rules(),
            label: endpoint.policy.label.as_ref(),
            peer: request.peer,
            operation: Operation::FullCmc,
            now: self.now(),
        }
    }

    /// Verifies popLinkWitnessV2, which links a request to the secret (RFC 5272 §6.3.1.1).
    pub(super) fn check_link(
        &self,
        endpoint: &Endpoint,
        wanted: &Wanted,
        controls: &Controls<'_>,
        asker: &Asker<'_>,
    ) -> Result<(), Stop> {
        let failed = |fail, reason: &str| Err(CmcError::part(fail, wanted.part, reason).into());
        let csr = &wanted.csr;
        if csr.has_attribute(oid::CMC_POP_LINK_WITNESS) {
            return failed(FailInfo::BadAlg, "popLinkWitness is SHA-1: use popLinkWitnessV2");
        }
        let malformed =
            |rejection: String| CmcError::part(FailInfo::BadRequest, wanted.part, rejection);
        let value = csr
            .attribute(oid::CMC_POP_LINK_WITNESS_V2)
            .map_err(|rejection| malformed(rejection.to_string()))?;
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
                let witness = Witness::from_der(value)
                    .map_err(|rejection| malformed(rejection.to_string()))?;
                check_algorithms(&witness, wanted.part)?;
                let Some((name, keys)) = &asker.keys else {
                    let reason =
                        "no account is named (identification) that keeps a secret for this";
                    return Err(CmcError::part(FailInfo::BadIdentity, part, reason).into());
                };
                let mac = witness.witness.as_bytes();
                if self
                    .holds(endpoint, name, asker.request, || same_mac(&*keys.alone, random, mac))?
                {
                    return Ok(());
                }
                failed(
                    FailInfo::PopFailed,
                    "popLinkWitnessV2 was not computed with the account's secret",
                )
            }
        }
    }
}

/// Reports too many failed logins in the message; other errors are the server's.
fn later(error: Error) -> Stop {
    match error {
        Error::TooManyFailures(rejection, _) => {
            CmcError::whole(FailInfo::TryLater, rejection).into()
        }
        error => error.into(),
    }
}

fn check_algorithms(witness: &Witness<'_>, part: BodyPartId) -> Result<(), CmcError> {
    if witness.hash.oid == oid::SHA256 && witness.mac.oid == oid::HMAC_SHA256 {
        return Ok(());
    }
    Err(CmcError::part(
        FailInfo::BadAlg,
        part,
        format!(
            "proofs by a shared secret use SHA-256 and HMAC-SHA256, not {} and {}",
            witness.hash.oid, witness.mac.oid
        ),
    ))
}
