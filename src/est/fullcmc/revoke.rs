//! revokeRequest (RFC 5272 §6.11), and its authorization.

use super::{FullRequest, controls::Controls, identity::Asker, records::same_subject, stop::Stop};
use crate::{
    ca::Withdrawal,
    est::{Endpoint, Service},
    pki::{
        DistinguishedName,
        cmc::{BodyPartId, CmcError, FailInfo, PkiData, control::RevokeRequest},
        same_secret,
    },
    store::{Issuance, State},
    types::{Actor, AuthMethod, RevocationReason},
};
use der::Encode;

/// Longest secret sent in the clear, in bytes.
const MAX_SECRET: usize = 1024;
/// Longest comment written to the log, in characters.
const MAX_COMMENT: usize = 200;

impl Service {
    /// Returns the requested revocations after checking that the requester may revoke (RFC 5272
    /// §6.11).
    ///
    /// The requester proves one of: the certificate's own key, another certificate with its names,
    /// an RA certificate of this CA, the requesting account's secret.
    pub(super) async fn revocations(
        &self,
        endpoint: &Endpoint,
        asker: &Asker<'_>,
        controls: &Controls<'_>,
    ) -> Result<Vec<(BodyPartId, Withdrawal)>, Stop> {
        let mut out = Vec::new();
        for (part, asked) in &controls.revoke {
            out.push((*part, self.revocation(endpoint, asker, *part, asked).await?));
        }
        Ok(out)
    }

    async fn revocation(
        &self,
        endpoint: &Endpoint,
        asker: &Asker<'_>,
        part: BodyPartId,
        asked: &RevokeRequest<'_>,
    ) -> Result<Withdrawal, Stop> {
        let reject = |fail, reason: &str| CmcError::part(fail, part, reason);
        let unknown = || reject(FailInfo::BadCertId, "no such certificate of this CA");
        let reason = RevocationReason::try_from(asked.reason as u8).map_err(|_| {
            reject(
                FailInfo::BadRequest,
                "certificateHold and removeFromCRL: revocation is for good here",
            )
        })?;
        let issuer = asked.issuer_name.to_der().unwrap_or_default();
        let issuer = DistinguishedName::parse(&issuer).map_err(|_| unknown())?;
        if !issuer.same_as(endpoint.policy.ca.issuing().subject()) {
            return Err(unknown().into());
        }
        let record = self.found(asked.serial_number.as_bytes()).await?.ok_or_else(unknown)?;
        let has_certificate = matches!(record.state, State::Issued | State::Revoked);
        if record.intent.ca != endpoint.policy.rules.ca || !has_certificate {
            return Err(unknown().into());
        }
        let Some(actor) = self.revoker(endpoint, asker, &record, asked).await? else {
            let reason = "a certificate is revoked by its holder (a signature with its key or with that of another certificate with its names), a registration authority of this CA, or the secret of the account that asked for it";
            return Err(reject(FailInfo::BadIdentity, reason).into());
        };
        let comment = asked.comment.map(|comment| {
            comment.as_str().chars().filter(|c| !c.is_control()).take(MAX_COMMENT).collect()
        });
        Ok(Withdrawal {
            serial: record.intent.serial.clone(),
            reason,
            comment,
            successor: None,
            actor,
            request_id: Some(asker.request.request_id.clone()),
        })
    }

    /// Returns the actor that revokes the certificate; none if the requester may not.
    async fn revoker(
        &self,
        endpoint: &Endpoint,
        asker: &Asker<'_>,
        record: &Issuance,
        asked: &RevokeRequest<'_>,
    ) -> Result<Option<Actor>, Stop> {
        let by_identity = asker.is_ra || same_subject(record, &asker.identity);
        if asker.signed && by_identity {
            return Ok(Some(asker.identity.actor.clone()));
        }
        let knows = self.knows_secret(endpoint, record, asked, asker.request).await?;
        let name = record.intent.actor.name.clone();
        Ok(knows.then_some(Actor { name, method: AuthMethod::Password }))
    }

    /// Whether the request contains the secret of the account that requested the certificate.
    async fn knows_secret(
        &self,
        endpoint: &Endpoint,
        record: &Issuance,
        asked: &RevokeRequest<'_>,
        request: FullRequest<'_>,
    ) -> Result<bool, Stop> {
        let Some(secret) = asked.shared_secret else { return Ok(false) };
        if record.intent.actor.method != AuthMethod::Password
            || secret.as_bytes().len() > MAX_SECRET
        {
            return Ok(false);
        }
        let name = &record.intent.actor.name;
        let keys = self.secret(endpoint, name, request).await?;
        let right = || keys.is_some_and(|keys| same_secret(&*keys.alone, secret.as_bytes()));
        self.holds(endpoint, name, request, right)
    }
}

/// Checks that an unsigned message only revokes, with a secret (RFC 5272 §6.11).
pub(super) fn only_revocations_by_secret(
    data: &PkiData<'_>,
    controls: &Controls<'_>,
) -> Result<(), CmcError> {
    let by_secret = !controls.revoke.is_empty()
        && controls.revoke.iter().all(|(_, asked)| asked.shared_secret.is_some());
    let nothing_else = data.requests.is_empty()
        && controls.query.is_empty()
        && controls.confirm.is_empty()
        && controls.batch.is_empty();
    if by_secret && nothing_else {
        return Ok(());
    }
    Err(CmcError::whole(
        FailInfo::BadMessageCheck,
        "the message has no signature: only revocations by a shared secret may be unsigned",
    ))
}
