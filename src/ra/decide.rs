//! Whether a client may have what it asks for, and what its request continues.

use super::{Identity, linking};
use crate::{
    ca::{Content, Profile, Refusal},
    config::{self, CertificateNames},
    pki::{Certificate, Csr, oid},
    store::RequestKey,
    types::{BindingKind, Fault, Label, Method, Operation, Peer, Serial},
};
use aws_lc_rs::digest;
use std::sync::Arc;

/// The rules of a label.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What the operator wrote.
    pub rules: config::Policy,
    /// The profile that it names.
    pub profile: Arc<Profile>,
}

/// An enrolment request of an authenticated client.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// Over which connection.
    pub peer: &'a Peer,
    /// Under which label.
    pub label: Option<&'a Label>,
    /// By which operation.
    pub operation: Operation,
    /// For what.
    pub csr: &'a Csr,
}

/// The request may be granted.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What the certificate says.
    pub content: Content,
    /// The certificate that it renews or rekeys.
    pub predecessor: Option<Serial>,
    /// What makes a later request a repeat of this one.
    pub request_key: RequestKey,
    /// By what the CSR was bound to its connection (RFC 7030 §3.5).
    pub linked: Option<BindingKind>,
}

/// Why the request is not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// The CSR has to be another one.
    #[error("{0}")]
    Unacceptable(Fault),
    /// The CSR is not bound to the connection that it came over, and should be (RFC 7030 §3.5).
    #[error("{0}")]
    Linking(Fault),
    /// The client may not have this.
    #[error("{0}")]
    Denied(Fault),
    /// The names are not those of the certificate that is to be renewed (RFC 7030 §4.2.2).
    #[error("{0}")]
    IdentityChanged(Fault),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unacceptable(fault) => Self::Unacceptable(fault),
            Refusal::Denied(fault) => Self::Denied(fault),
        }
    }
}

/// Decides on an enrolment or re-enrolment.
///
/// # Errors
/// [`Denial`] naming the first rule that is broken.
pub fn decide(policy: &Policy, request: Request<'_>) -> Result<Decision, Denial> {
    let linked = match linking::judge(policy.rules.linking, request.csr, request.peer) {
        // An RA passes on what a device has signed for another connection (R-7030-3.7-c).
        Err(Denial::Linking(_)) if is_ra(policy, request.identity) => None,
        outcome => outcome?,
    };
    refuse_unsupported(request.csr)?;
    let predecessor = match request.operation {
        Operation::SimpleReenroll => Some(re_enrolment(policy, request)?),
        Operation::SimpleEnroll
        | Operation::ServerKeyGen
        | Operation::FullCmc
        | Operation::CaCerts
        | Operation::CsrAttrs => enrolment(policy, request)?,
    };
    let content = policy.profile.content(request.csr)?;
    let request_key = request_key(request, predecessor.as_ref());
    linking::spend(linked, request.peer)?;
    Ok(Decision { content, request_key, predecessor, linked })
}

/// Attributes with a meaning that this server does not act on yet. To leave them unread would
/// issue what the client did not ask for.
fn refuse_unsupported(csr: &Csr) -> Result<(), Denial> {
    let unsupported = [(oid::CHANGE_SUBJECT_NAME, "changeSubjectName (RFC 6402)")];
    unsupported.iter().find(|(oid, _)| csr.has_attribute(*oid)).map_or(Ok(()), |(_, name)| {
        Err(Denial::Unacceptable(Fault::new(
            "csr.unsupported-attribute",
            "the CSR asks for nothing that this server does not do",
            name,
            "a CSR without this attribute",
        )))
    })
}

/// First enrolment, or a further certificate; a renewal all the same if a client asks for the
/// names of the certificate of ours that it shows, as aziot-certd does.
fn enrolment(policy: &Policy, request: Request<'_>) -> Result<Option<Serial>, Denial> {
    let Some((certificate, _)) = &request.identity.certificate else { return Ok(None) };
    let standing = standing(policy, request.identity);
    let by_certificate_alone = matches!(request.identity.actor.method, Method::Certificate(_));
    if by_certificate_alone {
        refuse_other_ca(policy, standing, certificate)?;
        if policy.rules.certificate_names == CertificateNames::Own
            && !is_ra(policy, request.identity)
        {
            own_names(request.csr, certificate)?;
        }
    }
    if standing == Standing::Ours && same_names(request.csr, certificate) {
        allow_key(policy, request.csr, certificate)?;
        return Ok(Some(certificate.serial().clone()));
    }
    Ok(None)
}

/// Re-enrolment: the certificate to be renewed is the one shown in TLS (RFC 7030 §4.2.2).
fn re_enrolment(policy: &Policy, request: Request<'_>) -> Result<Serial, Denial> {
    let needed = |seen: String| {
        Denial::Denied(Fault::new(
            "reenroll.certificate",
            "re-enrolment renews the certificate of this server's CA that is shown in TLS (RFC 7030 section 4.2.2)",
            seen,
            "the certificate to be renewed as TLS client certificate; or simpleenroll",
        ))
    };
    let Some((certificate, _)) = &request.identity.certificate else {
        return Err(needed("none that is trusted".to_owned()));
    };
    let standing = standing(policy, request.identity);
    refuse_other_ca(policy, standing, certificate)?;
    if standing == Standing::ThirdParty {
        return Err(needed(format!("one issued by {}, not on record here", certificate.issuer())));
    }
    if !same_names(request.csr, certificate) {
        return Err(Denial::IdentityChanged(Fault::new(
            "reenroll.identity",
            "subject and subjectAltName are those of the certificate to be renewed (RFC 7030 section 4.2.2)",
            names(request.csr.subject(), request.csr.san()),
            names(certificate.subject(), certificate.san()),
        )));
    }
    allow_key(policy, request.csr, certificate)?;
    Ok(certificate.serial().clone())
}

/// Whether it is a registration authority: the label's CA issued its certificate, which has
/// id-kp-cmcRA (RFC 7030 §3.7). The same usage under a third party's CA means nothing.
#[must_use]
pub fn is_ra(policy: &Policy, identity: &Identity) -> bool {
    standing(policy, identity) == Standing::Ours
        && identity
            .certificate
            .as_ref()
            .is_some_and(|(one, _)| one.extended_key_usage().contains(&oid::CMC_RA))
}

/// Where a trusted certificate comes from, as seen from a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// This very certificate is on record as issued by the label's CA.
    Ours,
    /// It is on record as issued by another CA of this server.
    OtherCa,
    /// Another anchor vouches for it.
    ThirdParty,
}

fn standing(policy: &Policy, identity: &Identity) -> Standing {
    match &identity.record {
        None => Standing::ThirdParty,
        Some(record) if record.intent.ca == policy.rules.ca => Standing::Ours,
        Some(_) => Standing::OtherCa,
    }
}

/// What a client got under one label opens no other one: the rules by which it got it were not
/// those of this CA.
fn refuse_other_ca(
    policy: &Policy,
    standing: Standing,
    certificate: &Certificate,
) -> Result<(), Denial> {
    if standing != Standing::OtherCa {
        return Ok(());
    }
    Err(Denial::Denied(Fault::new(
        "label.ca",
        "a certificate of this server authenticates under labels of the CA that issued it",
        format!("one issued by {}", certificate.issuer()),
        format!("one issued by CA {}; or a password, where the label accepts it", policy.rules.ca),
    )))
}

fn allow_key(policy: &Policy, csr: &Csr, certificate: &Certificate) -> Result<(), Denial> {
    let same = csr.key().spki() == certificate.spki();
    let (allowed, seen, wanted) = if same {
        (policy.rules.renew, "the key of the certificate to be renewed", "a new key")
    } else {
        (policy.rules.rekey, "a new key", "the key of the certificate to be renewed")
    };
    if allowed {
        return Ok(());
    }
    Err(Denial::Denied(Fault::new(
        "reenroll.key",
        "this label allows this choice of key at re-enrolment",
        seen,
        wanted,
    )))
}

/// RFC 6402 §2.4: a client that is known by its certificate alone gets its own names only.
fn own_names(csr: &Csr, certificate: &Certificate) -> Result<(), Denial> {
    let subject = csr.subject().same_as(certificate.subject());
    let own = certificate.san().map(crate::pki::SubjectAltName::texts).unwrap_or_default();
    let san = csr.san().map(crate::pki::SubjectAltName::texts).unwrap_or_default();
    if subject && san.iter().all(|name| own.contains(name)) {
        return Ok(());
    }
    Err(Denial::Denied(Fault::new(
        "enroll.names",
        "a client that shows a certificate and no password may have the names of that certificate only",
        names(csr.subject(), csr.san()),
        format!(
            "{}; or a password; or certificate_names = \"any\"",
            names(certificate.subject(), certificate.san())
        ),
    )))
}

fn same_names(csr: &Csr, certificate: &Certificate) -> bool {
    let san = match (csr.san(), certificate.san()) {
        (Some(asked), Some(held)) => asked.same_as(held),
        (None, None) => true,
        _ => false,
    };
    san && csr.subject().same_as(certificate.subject())
}

fn names(
    subject: &crate::pki::DistinguishedName,
    san: Option<&crate::pki::SubjectAltName>,
) -> String {
    let subject =
        if subject.is_empty() { "an empty subject".to_owned() } else { subject.to_string() };
    match san {
        Some(san) => format!("{subject} with {}", san.texts().join(", ")),
        None => format!("{subject} without subjectAltName"),
    }
}

fn request_key(request: Request<'_>, predecessor: Option<&Serial>) -> RequestKey {
    let mut key = digest::Context::new(&digest::SHA256);
    let mut part = |octets: &[u8]| {
        // With its length in front, so that two parts cannot run into each other.
        key.update(&(octets.len() as u64).to_be_bytes());
        key.update(octets);
    };
    let actor = &request.identity.actor;
    part(actor.method.to_string().as_bytes());
    part(actor.name.as_bytes());
    part(
        request.identity.certificate.as_ref().map_or(&[][..], |(certificate, _)| certificate.der()),
    );
    part(request.label.map_or("", Label::as_str).as_bytes());
    part(request.operation.as_str().as_bytes());
    part(predecessor.map_or(&[][..], Serial::as_bytes));
    part(&request.csr.content_sha256());
    RequestKey(key.finish().as_ref().try_into().unwrap_or_default())
}
