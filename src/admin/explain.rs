//! Explanations of requests, by the code that answers them.

use super::{
    error::{Error, invalid},
    service::{Admin, Explainer, Handle},
    values::{label, parse_time},
};
use crate::{
    api::{self, ExplainedVerdict},
    est::Endpoint,
    pki::{Certificate, Csr, CsrAttrsResponse, PublicKey, extension_lines},
    ra::{
        self, Claim, Explained, Finding, Inquiry, JudgedChain, Outcome, Peer, ProofFinding, RULES,
        RecordedOutcome, RecordedRequest, claimed_binding, has_binding,
    },
    types::{Actor, Binding, Label, Operation, Time, Unbound},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{net::Ipv4Addr, sync::Arc};

/// The operations that can be described.
const DESCRIBED: [Operation; 3] =
    [Operation::SimpleEnroll, Operation::SimpleReenroll, Operation::ServerKeyGen];

/// Certificates of a chain at most, as in a handshake.
const MAX_CERTIFICATES: usize = 8;

/// Bits of the session's cipher that a description claims.
const CIPHER_BITS: u16 = 256;

/// A request to be explained, and what is only claimed of it.
struct Described {
    endpoint: Arc<Endpoint>,
    operation: Operation,
    peer: Peer,
    claim: Option<Claim>,
    csr: Option<Result<Arc<Csr>, ra::Error>>,
    at: Time,
    claimed: Vec<String>,
    recorded: Option<Arc<RecordedRequest>>,
}

impl Handle for api::Explain {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let explainer = admin.explainer()?;
        let at = self.at.as_deref().map(parse_time).transpose()?;
        let at = at.unwrap_or_else(|| admin.clock.now());
        let described = match &self.request {
            Some(id) => recorded(explainer, id, &self, at).await?,
            None => described(explainer, self, at).await?,
        };
        let explained = explainer.authenticator().explain_request(described.inquiry()).await;
        if let Err(ra::Error::Store(error)) = explained.authn.outcome {
            return Err(error.into());
        }
        Ok(explanation(&described, &explained))
    }
}

impl Described {
    fn inquiry(&self) -> Inquiry<'_> {
        Inquiry {
            policy: self.endpoint.policy(),
            operation: self.operation,
            peer: &self.peer,
            claim: self.claim.as_ref(),
            csr: self.csr.as_ref().map(|csr| csr.as_deref()),
            now: self.at,
        }
    }
}

/// Reads a request that the caller describes.
async fn described(
    explainer: &dyn Explainer,
    call: api::Explain,
    at: Time,
) -> Result<Described, Error> {
    let label = call.label.as_deref().map(label).transpose()?;
    let endpoint = endpoint(explainer, label.as_ref())?;
    let operation = match &call.operation {
        None => Operation::SimpleEnroll,
        Some(text) => {
            let known = DESCRIBED.into_iter().find(|one| one.as_str() == text);
            known.filter(|one| endpoint.offers(*one)).ok_or_else(|| {
                let offered = DESCRIBED.into_iter().filter(|one| endpoint.offers(*one));
                let offered: Vec<_> = offered.map(Operation::as_str).collect();
                let got: String = text.chars().take(100).collect();
                invalid(
                    "operation",
                    got,
                    format!("one that the label offers: {}", offered.join(", ")),
                )
            })?
        }
    };
    let Some(csr) = &call.csr else {
        return Err(invalid("CSR", "", "a CSR, or the id of a request"));
    };
    let csr = decoded("CSR", csr)?;
    let csr = match operation {
        Operation::ServerKeyGen => {
            Csr::for_key_to_be_made(&csr, endpoint.policy().profile.key_kinds())
        }
        _ => Csr::verify(&csr),
    };
    if call.certificates.len() > MAX_CERTIFICATES {
        let most = format!("at most {MAX_CERTIFICATES}");
        return Err(invalid("certificates", call.certificates.len(), most));
    }
    let certificates = call.certificates.iter().map(|one| decoded("certificate", one));
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    let binding = match &csr {
        Ok(csr) => claimed_binding(csr),
        Err(_) => Binding::None(Unbound::NotWanted),
    };
    let mut claimed = Vec::new();
    if !certificates.is_empty() {
        claimed.push("possession of the key of the client's certificate".to_owned());
    }
    if let Some(account) = &call.account {
        claimed.push(format!("the password of account \"{account}\""));
    }
    if csr.as_ref().is_ok_and(has_binding) {
        claimed.push("the channel binding in the CSR, as that of its connection".to_owned());
    }
    if operation == Operation::ServerKeyGen {
        claimed.push(format!("a TLS session of {CIPHER_BITS} bits"));
    }
    Ok(Described {
        peer: Peer {
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
            cipher_bits: CIPHER_BITS,
            chain: judged(explainer, certificates, at).await,
            binding,
            spent: Arc::default(),
        },
        endpoint,
        operation,
        claim: call.account.map(|user| Claim { user, scheme: None, is_wrong: false, token: None }),
        csr: Some(csr.map(Arc::new).map_err(ra::Error::from)),
        at,
        claimed,
        recorded: None,
    })
}

/// Finds a request that was answered.
async fn recorded(
    explainer: &dyn Explainer,
    id: &str,
    call: &api::Explain,
    at: Time,
) -> Result<Described, Error> {
    let alone = api::Explain {
        request: call.request.clone(),
        at: call.at.clone(),
        ..api::Explain::default()
    };
    if *call != alone {
        return Err(invalid("request", id, "no other field beside it but the time"));
    }
    let id = id.to_ascii_lowercase();
    let found = explainer.recent().and_then(|recent| recent.find(&id));
    let Some(found) = found else {
        return Err(Error::Forgotten(id.chars().take(100).collect()));
    };
    let endpoint = endpoint(explainer, found.label.as_ref())?;
    let (csr, binding) = match &found.csr {
        Some((csr, binding)) => (Some(Ok(Arc::clone(csr))), binding.clone()),
        None => (None, Binding::None(Unbound::NotWanted)),
    };
    let certificates = found.chain.as_ref().map(|chain| chain.certificates()).unwrap_or_default();
    Ok(Described {
        peer: Peer {
            address: found.address,
            cipher_bits: found.cipher_bits,
            chain: judged(explainer, certificates, at).await,
            binding,
            spent: Arc::default(),
        },
        endpoint,
        operation: found.operation,
        claim: found.claim.clone(),
        csr,
        at,
        claimed: Vec::new(),
        recorded: Some(found),
    })
}

async fn judged(
    explainer: &dyn Explainer,
    certificates: Vec<Vec<u8>>,
    at: Time,
) -> Option<Arc<dyn ra::ClientChain>> {
    let outcome = explainer.judge(&certificates, at).await?;
    Some(Arc::new(JudgedChain { certificates, outcome }))
}

fn endpoint(explainer: &dyn Explainer, label: Option<&Label>) -> Result<Arc<Endpoint>, Error> {
    let name = label.map_or("", Label::as_str);
    explainer.endpoint(label).ok_or_else(|| invalid("label", name, "one of the configuration"))
}

fn decoded(what: &str, text: &str) -> Result<Vec<u8>, Error> {
    let got = || text.chars().take(40).collect::<String>();
    STANDARD.decode(text).map_err(|_| invalid(what, got(), "DER in base64"))
}

fn explanation(described: &Described, explained: &Explained<'_>) -> api::Explanation {
    let authn = &explained.authn;
    let rejection =
        explained.rejection().map(|error| rejection_entry(error, authn.cause.as_deref()));
    let verdict = match (&rejection, explained.findings.is_empty()) {
        (Some(_), _) => ExplainedVerdict::Rejected,
        (None, true) => ExplainedVerdict::Undecided,
        (None, false) => ExplainedVerdict::Issued,
    };
    let mut left_out = Vec::new();
    match described.operation {
        Operation::FullCmc => {
            left_out.push("the requests in the CMC message, and the proofs in it".to_owned());
        }
        Operation::ServerKeyGen => {
            left_out.push(
                "the certificate and the encryption of its key, which the server generates"
                    .to_owned(),
            );
        }
        _ if verdict == ExplainedVerdict::Undecided => {
            left_out.push("the rules about the CSR: it was not read, or is no CSR".to_owned());
        }
        _ => {}
    }
    let reached = explained.findings.iter().map(rule_entry);
    let rules = match explained.findings.is_empty() {
        true => RULES.iter().map(unreached).collect(),
        false => reached.collect(),
    };
    let certificate = explained.certificate.as_ref().and_then(|outcome| outcome.as_ref().ok());
    api::Explanation {
        verdict,
        rejection,
        label: described.endpoint.policy().label.as_ref().map(ToString::to_string),
        operation: described.operation.to_string(),
        at: described.at.to_string(),
        client: authn.outcome.as_ref().ok().map(|identity| identity.actor.to_string()),
        claimed: described.claimed.clone(),
        left_out,
        proofs: authn.proofs.iter().map(proof_entry).collect(),
        rules,
        certificate: certificate.map(certificate_entry),
        csrattrs: demands(&described.endpoint),
        recorded: described.recorded.as_deref().map(record_entry),
    }
}

fn rejection_entry(error: &ra::Error, cause: Option<&str>) -> api::ExplainedRejection {
    api::ExplainedRejection {
        code: error.code().to_string(),
        text: error.to_string(),
        cause: cause.map(str::to_owned),
    }
}

fn proof_entry(finding: &ProofFinding) -> api::ExplainedProof {
    let list = if finding.renews { "renewal.accept" } else { "accept" };
    api::ExplainedProof {
        proof: finding.proof.to_string(),
        list: list.to_owned(),
        alternative: finding.alternative,
        got: finding.shown.got.clone(),
        accepts: finding.shown.accepts.clone(),
        holds: finding.holds,
    }
}

fn unreached(rule: &ra::Rule) -> api::ExplainedRule {
    api::ExplainedRule {
        rule: rule.name.to_owned(),
        reason: rule.reason.to_owned(),
        got: String::new(),
        accepts: String::new(),
        decision: "not-reached".to_owned(),
        detail: None,
    }
}

fn rule_entry(finding: &Finding) -> api::ExplainedRule {
    let (decision, detail) = match &finding.outcome {
        Ok(Outcome::Passed) => ("passed", None),
        Ok(Outcome::NotApplicable(why)) => ("not-applicable", Some((*why).to_owned())),
        Err(error) => ("rejected", Some(error.to_string())),
    };
    api::ExplainedRule {
        got: finding.shown.got.clone(),
        accepts: finding.shown.accepts.clone(),
        decision: decision.to_owned(),
        detail,
        ..unreached(finding.rule)
    }
}

fn certificate_entry(certificate: &Certificate) -> api::ExplainedCertificate {
    let key = PublicKey::parse(certificate.spki());
    api::ExplainedCertificate {
        subject: certificate.subject().to_string(),
        san: certificate.san().map(|san| san.texts()).unwrap_or_default(),
        issuer: certificate.issuer().to_string(),
        key: key.map_or_else(|_| "unknown".to_owned(), |key| key.kind().to_string()),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
        extensions: extension_lines(certificate.der()).unwrap_or_default(),
        tbs: STANDARD.encode(certificate.tbs()),
    }
}

/// Describes what `/csrattrs` answers; none if the label does not offer it.
fn demands(endpoint: &Endpoint) -> Option<Vec<String>> {
    endpoint.offers(Operation::CsrAttrs).then(|| {
        let asked = endpoint.csrattrs().map(CsrAttrsResponse::parse);
        // The server's own answer can be read.
        asked.and_then(Result::ok).map(|asked| asked.lines()).unwrap_or_default()
    })
}

fn record_entry(request: &RecordedRequest) -> api::ExplainedRecord {
    let (serial, rejection) = match &request.outcome {
        RecordedOutcome::Issued(serial) => (Some(serial.to_string()), None),
        RecordedOutcome::Rejected { rule, reason, cause } => {
            let (code, text, cause) = (rule.clone(), reason.clone(), cause.clone());
            (None, Some(api::ExplainedRejection { code, text, cause }))
        }
    };
    api::ExplainedRecord {
        request: request.id.to_string(),
        at: request.at.to_string(),
        address: request.address.to_string(),
        serial,
        rejection,
    }
}
