//! A certification request of either form, and how possession of its key is proved (RFC 5272
//! §3.2.1.2, §6.7, §6.8).

use super::{
    CmcError, FailInfo,
    crmf::{self, CertReqMsg, CertTemplate, ProofOfPossession},
    message::TaggedRequest,
};
use crate::{
    pki::{
        Csr, DistinguishedName, Error, PublicKey, algorithm, extension, extension::Requested, oid,
    },
    types::Code,
};
use der::{
    Decode, Encode,
    asn1::{AnyRef, OctetStringRef},
};

/// Maximum size of a subject, and of all extensions, in bytes. A larger certificate is useless and
/// is not recorded.
const MAX_SUBJECT: usize = 4096;
const MAX_EXTENSIONS: usize = 32_768;

/// A certification request of a PKIData: its bodyPartID and its contents.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its bodyPartID.
    pub part: u32,
    /// The request.
    pub csr: Csr,
}

impl Wanted {
    /// Reads a request and verifies its proof-of-possession. `witnessed`: an authorized RA states
    /// that it verified the proof. Only then is a request without its own proof accepted.
    ///
    /// # Errors
    /// [`CmcError`] about this request: popRequired, popFailed, badAlg, badRequest.
    pub fn read(request: &TaggedRequest<'_>, witnessed: bool) -> Result<Self, CmcError> {
        let part = request.body_part_id();
        let cmc_error = |fail, reason: &str| CmcError::part(fail, part, reason);
        let csr = match request {
            TaggedRequest::Tcr(tagged) => pkcs10(&tagged.certification_request, witnessed),
            TaggedRequest::Crm(message) => crmf_request(message, witnessed),
            TaggedRequest::Orm(_) => {
                Err(cmc_error(FailInfo::BadRequest, "a request of a format that is not known"))
            }
        };
        csr.and_then(bounded)
            .map(|csr| Self { part, csr })
            .map_err(|error| CmcError { parts: vec![part], ..error })
    }

    /// This request as an RA changes it (RFC 5272 §6.5.1).
    ///
    /// # Errors
    /// [`CmcError`] with badRequest: a field that only a CA decides, or that cannot be removed.
    pub fn changed(self, template: &CertTemplate<'_>, replace: bool) -> Result<Self, CmcError> {
        let cmc_error = |reason: String| CmcError::whole(FailInfo::BadRequest, reason);
        if template.version.is_some_and(|version| version != 2)
            || template.serial_number.is_some()
            || template.signing_alg.is_some()
            || template.issuer.is_some()
            || template.validity.is_some()
            || template.public_key.is_some()
            || template.issuer_uid.is_some()
            || template.subject_uid.is_some()
        {
            return Err(cmc_error(
                "of a request, subject and extensions can be changed, nothing else".to_owned(),
            ));
        }
        let subject = match (template.subject, replace) {
            (None, _) => None,
            (Some(name), true) => {
                Some(name.to_der().map_err(|rejection| cmc_error(rejection.to_string()))?)
            }
            (Some(_), false) => Some(EMPTY_NAME.to_vec()),
        };
        let subject = subject.map(|der| DistinguishedName::parse(&der)).transpose();
        let subject = subject.map_err(|rejection| cmc_error(rejection.to_string()))?;
        let named = extensions(template)?;
        let mut all: Vec<Requested> = self.csr.extensions().to_vec();
        all.retain(|held| !named.iter().any(|named| named.oid == held.oid));
        if replace {
            all.extend(named);
        }
        let csr =
            self.csr.changed(subject, all).map_err(|rejection| cmc_error(rejection.to_string()))?;
        Ok(Self { part: self.part, csr: bounded(csr)? })
    }
}

fn bounded(csr: Csr) -> Result<Csr, CmcError> {
    let extensions: usize = csr.extensions().iter().map(|one| one.value.len()).sum();
    if csr.subject().der().len() <= MAX_SUBJECT && extensions <= MAX_EXTENSIONS {
        return Ok(csr);
    }
    let reason = format!(
        "a subject has at most {MAX_SUBJECT} bytes, and all extensions together {MAX_EXTENSIONS}"
    );
    Err(CmcError::whole(FailInfo::BadRequest, reason))
}

/// Returns the key of a request if it requests this key identifier. Such a key may sign the message
/// (RFC 5272 §3.2). A request without an identifier is matched by the identifier that its
/// certificate will have. Nothing is proved by this.
#[must_use]
pub fn key_with_identifier(request: &TaggedRequest<'_>, identifier: &[u8]) -> Option<PublicKey> {
    let (key, extensions) = match request {
        TaggedRequest::Tcr(tagged) => {
            Csr::asked(&tagged.certification_request.to_der().ok()?).ok()?
        }
        TaggedRequest::Crm(message) => {
            let template = &message.cert_req.cert_template;
            let key = PublicKey::parse(&template.public_key?.to_sequence().ok()?).ok()?;
            (key, extensions(template).ok()?)
        }
        TaggedRequest::Orm(_) => return None,
    };
    let asked = extensions.iter().find(|asked| asked.oid == oid::SUBJECT_KEY_IDENTIFIER);
    let named = match asked {
        Some(asked) => <&OctetStringRef>::from_der(&asked.value)
            .is_ok_and(|asked| asked.as_bytes() == identifier),
        None => key.identifier() == identifier,
    };
    named.then_some(key)
}

const EMPTY_NAME: [u8; 2] = [0x30, 0];

fn pkcs10(request: &AnyRef<'_>, witnessed: bool) -> Result<Csr, CmcError> {
    let der = request.to_der().map_err(|rejection| {
        CmcError::whole(FailInfo::BadRequest, format!("no PKCS#10: {rejection}"))
    })?;
    let unsigned = Csr::signature_algorithm(&der).map_err(rejected)? == oid::NO_SIGNATURE;
    if !unsigned {
        return Csr::verify(&der).map_err(rejected);
    }
    if !witnessed {
        return Err(not_proved());
    }
    Csr::witnessed(&der).map_err(rejected)
}

fn crmf_request(message: &CertReqMsg<'_>, witnessed: bool) -> Result<Csr, CmcError> {
    let bad = |reason: &str| CmcError::whole(FailInfo::BadRequest, reason);
    let template = &message.cert_req.cert_template;
    if message.reg_info {
        return Err(bad("regInfo is not used in CMC (RFC 5272 section 3.2.1.2.2)"));
    }
    let (Some(subject), Some(key)) = (&template.subject, &template.public_key) else {
        return Err(bad("a CRMF request has subject and publicKey (RFC 5272 section 3.2.1.2.2)"));
    };
    if template.version.is_some_and(|version| version != 2)
        || template.serial_number.is_some()
        || template.signing_alg.is_some()
        || template.issuer_uid.is_some()
        || template.subject_uid.is_some()
    {
        return Err(bad(
            "version 3; serialNumber, signingAlg, issuerUID and subjectUID are not asked for (RFC 4211 section 5)",
        ));
    }
    let encoding = |rejection: der::Error| CmcError::whole(FailInfo::BadRequest, rejection);
    let key = PublicKey::parse(&key.to_sequence().map_err(encoding)?).map_err(rejected)?;
    let mut digest = None;
    match &message.popo {
        None if witnessed => key.check_point().map_err(rejected)?,
        None => return Err(not_proved()),
        Some(ProofOfPossession::RaVerified(_)) if witnessed => {
            key.check_point().map_err(rejected)?
        }
        Some(ProofOfPossession::RaVerified(_)) => {
            return Err(CmcError::whole(
                FailInfo::PopFailed,
                "only a registration authority of this CA says raVerified, with lraPOPWitness",
            ));
        }
        Some(ProofOfPossession::Signature(proof)) => {
            if proof.poposk_input.is_some() {
                return Err(bad(
                    "POPOSigningKeyInput is not used in CMC (RFC 5272 section 3.2.1.2.2)",
                ));
            }
            let signed = message.cert_req_der.to_der().map_err(encoding)?;
            key.verify(&proof.algorithm, &signed, &proof.signature).map_err(rejected)?;
            digest = algorithm::digest(&proof.algorithm);
        }
        Some(
            ProofOfPossession::KeyEncipherment(proof) | ProofOfPossession::KeyAgreement(proof),
        ) => {
            if crmf::is_indirect(proof) {
                return Err(bad(
                    "the indirect proof of possession is not used in CMC (RFC 5272 section 3.2.1.2.2)",
                ));
            }
            return Err(not_proved());
        }
    }
    let subject =
        DistinguishedName::parse(&subject.to_der().map_err(encoding)?).map_err(rejected)?;
    let attributes = message.cert_req.controls.as_deref().unwrap_or_default();
    let attributes = attributes
        .iter()
        .map(|control| Ok((control.oid, control.value.to_der()?)))
        .collect::<der::Result<Vec<_>>>()
        .map_err(encoding)?;
    Csr::of_parts(subject, key, extensions(template)?, attributes, digest).map_err(rejected)
}

fn extensions(template: &CertTemplate<'_>) -> Result<Vec<Requested>, CmcError> {
    let Some(extensions) = &template.extensions else { return Ok(Vec::new()) };
    let der = extensions
        .to_sequence()
        .map_err(|rejection| CmcError::whole(FailInfo::BadRequest, rejection))?;
    extension::requested(&der).map_err(rejected)
}

fn not_proved() -> CmcError {
    CmcError::whole(
        FailInfo::PopRequired,
        "possession of the key is proved by a signature with it, or seen by a registration authority of this CA (lraPOPWitness)",
    )
}

/// The CMC code of a request that was not accepted.
fn rejected(rejection: Error) -> CmcError {
    let fail = match &rejection {
        Error::ProofOfPossession(_) => FailInfo::PopFailed,
        Error::Malformed(what) if what.code == Code::CsrSignatureAlgorithm => FailInfo::BadAlg,
        Error::Unacceptable(what) if what.code.is_about_the_key() => FailInfo::BadAlg,
        Error::Malformed(_) | Error::Unacceptable(_) => FailInfo::BadRequest,
    };
    CmcError::whole(fail, rejection)
}
