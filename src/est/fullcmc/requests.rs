//! The requests of a message: parsed, modified by an RA, and decided on.

use super::{
    controls::{Controls, all_different},
    identity::Asker,
};
use crate::{
    ca::Order,
    est::Endpoint,
    pki::cmc::{BodyPartId, CmcError, FailInfo, PkiData, Wanted, control::ModCertTemplate},
    ra::{self, Error, FoundDevice, Requester},
    types::{Code, Operation, Time},
};

/// One request that may be granted.
pub(super) struct Granted {
    pub(super) part: BodyPartId,
    pub(super) order: Order,
}

/// Parses the requests of a message, verifies their proofs of possession, and applies an RA's
/// modifications.
pub(super) fn wanted(
    data: &PkiData<'_>,
    controls: &Controls<'_>,
    asker: &Asker<'_>,
) -> Result<Vec<Wanted>, CmcError> {
    check_witnesses(data, controls)?;
    let read = data.requests.iter().map(|request| {
        let id = request.body_part_id();
        let witnessed = asker.is_ra
            && controls.pop_witness.iter().any(|(_, witness)| witness.body_ids.contains(&id));
        Wanted::read(request, witnessed)
    });
    let mut all = read.collect::<Result<Vec<_>, _>>()?;
    for (part, change) in &controls.modify {
        modify(&mut all, *part, change)?;
    }
    all.sort_by_key(|wanted| {
        data.requests.iter().position(|request| request.body_part_id() == wanted.part)
    });
    Ok(all)
}

/// Checks that the parts named by lraPOPWitness and raIdentityWitness exist (RFC 5272 §6.8, RFC
/// 6402 §2).
fn check_witnesses(data: &PkiData<'_>, controls: &Controls<'_>) -> Result<(), CmcError> {
    let exists =
        |part: BodyPartId| data.requests.iter().any(|request| request.body_part_id() == part);
    for (part, witness) in &controls.pop_witness {
        let here = witness.pki_data_body_id == 0;
        let named = !witness.body_ids.is_empty() && all_different(&witness.body_ids);
        if !here || !named || !witness.body_ids.iter().all(|id| exists(*id)) {
            let reason = "lraPOPWitness names requests of this PKIData";
            return Err(CmcError::part(FailInfo::BadRequest, *part, reason));
        }
    }
    for (part, path) in &controls.identity_witness {
        let known = matches!(path.as_slice(), [one] if exists(*one) || controls.parts.contains(one)
            || data.cms.iter().any(|object| object.body_part_id == *one));
        if !known {
            let reason = "raIdentityWitness names an identity proof or a request";
            return Err(CmcError::part(FailInfo::BadRequest, *part, reason));
        }
    }
    Ok(())
}

/// Applies an RA's modification to the requests it names (modCertTemplate, RFC 5272 §6.5.1).
fn modify(
    all: &mut Vec<Wanted>,
    part: BodyPartId,
    change: &ModCertTemplate<'_>,
) -> Result<(), CmcError> {
    let named = !change.cert_references.is_empty() && all_different(&change.cert_references);
    if change.pki_data_reference != [0] || !named {
        let reason =
            "modCertTemplate names requests of this PKIData, each once: pkiDataReference 0";
        return Err(CmcError::part(FailInfo::BadRequest, part, reason));
    }
    for id in &change.cert_references {
        let Some(at) = all.iter().position(|wanted| wanted.part == *id) else {
            let reason = "modCertTemplate names a request that is not there";
            return Err(CmcError::part(FailInfo::BadRequest, part, reason));
        };
        let wanted = all.swap_remove(at);
        let changed = wanted
            .changed(&change.cert_template, change.replace)
            .map_err(|error| CmcError { parts: vec![part], ..error })?;
        all.push(changed);
    }
    Ok(())
}

/// Decides on one request by the rules of enrollment.
pub(super) fn decide(
    endpoint: &Endpoint,
    asker: &Asker<'_>,
    wanted: Wanted,
    device: &FoundDevice,
    now: Time,
) -> Result<Granted, CmcError> {
    let requester = Requester {
        identity: &asker.identity,
        operation: Operation::FullCmc,
        peer: asker.request.peer,
        device,
        request_id: asker.request.request_id,
        now,
        adapted: &[],
    };
    match ra::decide(&endpoint.policy, requester, &wanted.csr) {
        Ok(order) => Ok(Granted { part: wanted.part, order }),
        Err(error) => Err(CmcError::part(code_of(&error), wanted.part, error)),
    }
}

/// The CMC code of a rejection by the rules of enrollment.
fn code_of(error: &Error) -> FailInfo {
    match error {
        Error::IdentityChanged(_) => FailInfo::BadIdentity,
        Error::Linking(_) => FailInfo::PopFailed,
        other => match other.code() {
            Code::CsrUnsupportedExtension
            | Code::CsrKeyUsage
            | Code::CsrExtendedKeyUsage
            | Code::CsrCa => FailInfo::UnsupportedExt,
            Code::CsrKeyKind => FailInfo::BadAlg,
            Code::ReenrollKeyReuse => FailInfo::NoKeyReuse,
            Code::EnrollNames
            | Code::EnrollIdevidKey
            | Code::LabelCa
            | Code::LabelCertificate
            | Code::LabelManufacturer
            | Code::AuthToken
            | Code::DeviceAmbiguous
            | Code::DeviceOwnKey
            | Code::DeviceLabel
            | Code::DeviceQuota
            | Code::DeviceStanding
            | Code::DeviceUnregistered
            | Code::DeviceWindow => FailInfo::BadIdentity,
            _ => FailInfo::BadRequest,
        },
    }
}
