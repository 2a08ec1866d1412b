//! The controls of a message, sorted, and the check of those reserved for registration authorities.

use crate::pki::{
    cmc::{
        BodyPartId, CmcError, Control, FailInfo, PkiData,
        control::{BodyPartReference, LraPopWitness, ModCertTemplate, RevokeRequest, Witness},
    },
    oid,
    signed_data::IssuerAndSerial,
};
use const_oid::ObjectIdentifier;
use der::{Encode, asn1::AnyRef};
use std::collections::BTreeSet;

/// The controls of one PKIData.
#[derive(Debug, Default)]
pub(super) struct Controls<'a> {
    /// All of them.
    pub(super) parts: Vec<BodyPartId>,
    pub(super) identification: Option<(BodyPartId, &'a str)>,
    pub(super) proof: Option<(BodyPartId, IdentityProof<'a>)>,
    pub(super) link_random: Option<(BodyPartId, &'a [u8])>,
    pub(super) revoke: Vec<(BodyPartId, Box<RevokeRequest<'a>>)>,
    pub(super) query: Vec<(BodyPartId, &'a [u8])>,
    pub(super) confirm: Vec<(BodyPartId, IssuerAndSerial<'a>)>,
    pub(super) decrypted_pop: Vec<BodyPartId>,
    pub(super) pop_witness: Vec<(BodyPartId, LraPopWitness)>,
    pub(super) modify: Vec<(BodyPartId, Box<ModCertTemplate<'a>>)>,
    pub(super) batch: Vec<(BodyPartId, Vec<BodyPartId>)>,
    pub(super) identity_witness: Vec<(BodyPartId, Vec<BodyPartId>)>,
    processed: Vec<(BodyPartId, Vec<BodyPartReference>)>,
    unknown: Vec<(BodyPartId, ObjectIdentifier)>,
}

/// A proof of identity by a shared secret.
#[derive(Debug)]
pub(super) enum IdentityProof<'a> {
    /// With SHA-1: not accepted.
    V1,
    V2(Witness<'a>),
}

impl<'a> Controls<'a> {
    /// Returns the values that every answer copies from the request: transaction identifier,
    /// nonce, data (RFC 5272 §6.4, §6.6); and whether the client sent a nonce.
    pub(super) fn echoes(data: &PkiData<'a>) -> (Vec<(ObjectIdentifier, Vec<u8>)>, bool) {
        let mut nonce = false;
        let echo = data
            .controls
            .iter()
            .filter_map(|attribute| {
                let bytes = |value: AnyRef<'a>| value.to_der().ok();
                match Control::parse(attribute).ok()? {
                    Control::DataReturn(value) => Some((oid::CMC_DATA_RETURN, bytes(value)?)),
                    Control::TransactionId(value) => Some((oid::CMC_TRANSACTION_ID, bytes(value)?)),
                    Control::SenderNonce(value) => {
                        nonce = true;
                        Some((oid::CMC_RECIPIENT_NONCE, bytes(value)?))
                    }
                    _ => None,
                }
            })
            .collect();
        (echo, nonce)
    }

    /// Reads all controls.
    pub(super) fn read(data: &PkiData<'a>) -> Result<Self, CmcError> {
        let mut all = Self::default();
        let (mut transaction, mut nonce) = (false, false);
        for attribute in &data.controls {
            let part = attribute.body_part_id;
            all.parts.push(part);
            let twice = |earlier: bool| {
                if earlier {
                    let reason = format!("control {} occurs twice", attribute.attr_type);
                    return Err(CmcError::part(FailInfo::BadRequest, part, reason));
                }
                Ok(())
            };
            match Control::parse(attribute)? {
                Control::Status(_) | Control::RecipientNonce | Control::DataReturn(_) => {}
                Control::TransactionId(_) => twice(std::mem::replace(&mut transaction, true))?,
                Control::SenderNonce(_) => twice(std::mem::replace(&mut nonce, true))?,
                Control::Identification(name) => {
                    twice(all.identification.replace((part, name)).is_some())?;
                }
                Control::IdentityProofV1 => {
                    twice(all.proof.replace((part, IdentityProof::V1)).is_some())?;
                }
                Control::IdentityProofV2(witness) => {
                    twice(all.proof.replace((part, IdentityProof::V2(witness))).is_some())?;
                }
                Control::PopLinkRandom(random) => {
                    twice(all.link_random.replace((part, random)).is_some())?;
                }
                Control::RevokeRequest(request) => all.revoke.push((part, request)),
                Control::QueryPending(token) => all.query.push((part, token)),
                Control::ConfirmCertAcceptance(id) => all.confirm.push((part, id)),
                Control::DecryptedPop(_) => all.decrypted_pop.push(part),
                Control::LraPopWitness(witness) => all.pop_witness.push((part, witness)),
                Control::ModCertTemplate(change) => all.modify.push((part, change)),
                Control::BatchRequests(parts) => all.batch.push((part, parts)),
                Control::RaIdentityWitness(path) => all.identity_witness.push((part, path)),
                Control::ControlProcessed(parts) => all.processed.push((part, parts)),
                Control::Unknown(kind) | Control::Misplaced(kind) => {
                    all.unknown.push((part, kind));
                }
            }
        }
        Ok(all)
    }

    /// Rejects unknown controls that no RA has processed (RFC 5272 §3.2.1.1), and controls reserved
    /// for an RA.
    pub(super) fn check(&self, is_ra: bool) -> Result<(), CmcError> {
        let processed = |part: BodyPartId| {
            is_ra
                && self.processed.iter().flat_map(|(_, parts)| parts).any(|reference| {
                    match reference {
                        BodyPartReference::Id(id) => *id == part,
                        BodyPartReference::Path(path) => path.as_slice() == [part],
                    }
                })
        };
        let unknown: Vec<_> = self.unknown.iter().filter(|(part, _)| !processed(*part)).collect();
        if !unknown.is_empty() {
            let kinds: Vec<String> = unknown.iter().map(|(_, kind)| kind.to_string()).collect();
            return Err(CmcError {
                fail: FailInfo::BadRequest,
                parts: unknown.iter().map(|(part, _)| *part).collect(),
                reason: format!("controls that are not supported: {}", kinds.join(", ")),
            });
        }
        if let Some(part) = self.decrypted_pop.first() {
            let reason = "this server sends no challenge that a decryptedPOP could answer";
            return Err(CmcError::part(FailInfo::PopFailed, *part, reason));
        }
        if is_ra {
            return Ok(());
        }
        if let Some((part, _)) = self.pop_witness.first() {
            let reason = "only a registration authority of this CA says that it has seen a proof of possession";
            return Err(CmcError::part(FailInfo::PopFailed, *part, reason));
        }
        let of_ra = (self.modify.iter().map(|(part, _)| part))
            .chain(self.batch.iter().map(|(part, _)| part))
            .chain(self.identity_witness.iter().map(|(part, _)| part))
            .chain(self.processed.iter().map(|(part, _)| part))
            .next();
        match of_ra {
            None => Ok(()),
            Some(part) => {
                let reason =
                    "only a registration authority of this CA (id-kp-cmcRA) may send this control";
                Err(CmcError::part(FailInfo::BadRequest, *part, reason))
            }
        }
    }

    /// Whether the controls request other actions than issuing certificates.
    pub(super) fn has_actions(&self) -> bool {
        !(self.revoke.is_empty()
            && self.query.is_empty()
            && self.confirm.is_empty()
            && self.batch.is_empty())
    }
}

/// Whether the list names each part once.
pub(super) fn all_different(ids: &[BodyPartId]) -> bool {
    let mut seen = BTreeSet::new();
    ids.iter().all(|id| seen.insert(*id))
}
