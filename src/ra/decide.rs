//! Whether a client may have what it asks for, and what its request continues.

use super::{Identity, Peer, Presented, Standing, linking};
use crate::{
    ca::{Ca, Content, Profile, Refusal},
    pki::{self, Certificate, ChangeSubjectName, Csr, DistinguishedName, SubjectAltName, oid},
    policy::{self, Authentication, CertificateNames},
    store::IdempotencyKey,
    types::{BindingKind, CaName, Code, Label, Method, Operation, Rejection, Serial},
};
use aws_lc_rs::digest;
use std::sync::Arc;

/// The rules of a label.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The label; none for requests without one.
    pub label: Option<Label>,
    /// The CA that issues.
    pub ca: Arc<Ca>,
    /// What the operator wrote.
    pub rules: policy::Policy,
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
    pub idempotency_key: IdempotencyKey,
    /// By what the CSR was bound to its connection (RFC 7030 §3.5).
    pub linked: Option<BindingKind>,
    /// Further facts for its event.
    pub facts: Vec<(&'static str, String)>,
}

/// Why the request is not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// The CSR has to be another one.
    #[error("{0}")]
    Unacceptable(Rejection),
    /// The CSR is not bound to the connection that it came over, and should be (RFC 7030 §3.5).
    #[error("{0}")]
    Linking(Rejection),
    /// The client may not have this.
    #[error("{0}")]
    Denied(Rejection),
    /// The client may not have this by its certificate alone. It sent no password, and the label
    /// accepts one, to which the rule does not apply (D-41).
    #[error("{0}")]
    PasswordHelps(Rejection),
    /// The names are not those of the certificate that is to be renewed (RFC 7030 §4.2.2).
    #[error("{0}")]
    IdentityChanged(Rejection),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unacceptable(rejection) => Self::Unacceptable(rejection),
            Refusal::Denied(rejection) => Self::Denied(rejection),
        }
    }
}

impl From<pki::Error> for Denial {
    fn from(rejection: pki::Error) -> Self {
        Self::Unacceptable(rejection.rejection().clone())
    }
}

/// The names that a certificate is to have.
#[derive(Clone, Copy)]
struct Names<'a> {
    subject: &'a DistinguishedName,
    san: Option<&'a SubjectAltName>,
}

impl<'a> Names<'a> {
    const fn of_csr(csr: &'a Csr) -> Self {
        Self { subject: csr.subject(), san: csr.san() }
    }

    const fn of_certificate(certificate: &'a Certificate) -> Self {
        Self { subject: certificate.subject(), san: certificate.san() }
    }

    /// D-08: subject by value in order, subjectAltName as a set; both absent is equal, one absent
    /// is not.
    fn same_as(self, other: Names<'_>) -> bool {
        let san = match (self.san, other.san) {
            (Some(one), Some(other)) => one.same_as(other),
            (None, None) => true,
            _ => false,
        };
        san && self.subject.same_as(other.subject)
    }
}

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.subject.is_empty() {
            f.write_str("an empty subject")?;
        } else {
            write!(f, "{}", self.subject)?;
        }
        match self.san {
            Some(san) => write!(f, " with {}", san.texts().join(", ")),
            None => f.write_str(" without subjectAltName"),
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
    let Request { identity, csr, .. } = request;
    let change = change(policy, request)?;
    let asked = change
        .as_ref()
        .map_or_else(|| Names::of_csr(csr), |new| Names { subject: new.subject(), san: new.san() });
    let predecessor = match request.operation {
        Operation::SimpleReenroll => Some(re_enrolment(policy, request, asked)?),
        Operation::SimpleEnroll
        | Operation::CaCerts
        | Operation::FullCmc
        | Operation::ServerKeyGen
        | Operation::CsrAttrs => enrolment(policy, request, asked, change.is_some())?,
    };
    let content = policy.profile.content_with_names(csr, asked.subject, asked.san)?;
    let mut facts = Vec::new();
    if let Some(predecessor) = predecessor {
        let kept = has_same_key(csr, predecessor);
        facts.push(("renewal", if kept { "renew" } else { "rekey" }.to_owned()));
    }
    if change.is_some() {
        facts.push(("former_names", Names::of_csr(csr).to_string()));
    }
    facts.extend(content.dropped_extensions().map(|names| ("dropped_extensions", names)));
    facts.extend(identity.expired.map(|moment| ("expired", moment.to_string())));
    let predecessor = predecessor.map(|certificate| certificate.serial().clone());
    let idempotency_key = idempotency_key(request, predecessor.as_ref());
    linking::spend(linked, request.peer)?;
    Ok(Decision { content, idempotency_key, predecessor, linked, facts })
}

/// The names in the place of the CSR's own (RFC 6402 §2.8), if it asks for some and the label
/// changes names at all. Who may have them is another question.
fn change(policy: &Policy, request: Request<'_>) -> Result<Option<ChangeSubjectName>, Denial> {
    let Some(values) = request.csr.attribute(oid::CHANGE_SUBJECT_NAME)? else { return Ok(None) };
    let refused = |rule: &'static str, seen: &'static str, wanted: &'static str| {
        Err(Denial::Denied(Rejection::new(Code::NamesChange, rule, seen, wanted)))
    };
    if !policy.rules.change_names {
        return refused(
            "this label changes no names",
            "changeSubjectName (RFC 6402)",
            "a CSR without this attribute; or the operator sets change_names = true",
        );
    }
    if request.identity.presented.is_none() {
        return refused(
            "changeSubjectName changes the names of the certificate that is shown in TLS",
            "none that is trusted",
            "the certificate with the present names; or a CSR with the new names and without this attribute",
        );
    }
    Ok(Some(ChangeSubjectName::parse(values)?))
}

/// First enrolment, or a further certificate; a renewal all the same if a client asks for the
/// names of the certificate of ours that it shows, as aziot-certd does.
fn enrolment<'a>(
    policy: &Policy,
    request: Request<'a>,
    asked: Names<'_>,
    changes: bool,
) -> Result<Option<&'a Certificate>, Denial> {
    let Some(certificate) = request.identity.certificate() else { return Ok(None) };
    let place = place(policy, request.identity);
    if by_certificate_alone(request.identity) {
        refuse_other_ca(policy, request.identity, certificate)
            .map_err(|denial| or_password(policy, request.identity, denial))?;
    }
    let present = Names::of_certificate(certificate);
    if place == Place::OurUnknown {
        return renewal_of_unknown(policy, request, asked, certificate).map(Some);
    }
    allow_names(policy, request.identity, certificate, asked)?;
    let same = Names::of_csr(request.csr).same_as(present);
    // An RA passes on the CSRs of others, who have other names than it.
    if changes && !same && !is_ra(policy, request.identity) {
        return Err(identity_changed(request.csr, present));
    }
    if place == Place::OurCa && same {
        allow_key(policy, request.csr, certificate)?;
        return Ok(Some(certificate));
    }
    Ok(None)
}

/// Re-enrolment: the certificate to be renewed is the one shown in TLS (RFC 7030 §4.2.2).
fn re_enrolment<'a>(
    policy: &Policy,
    request: Request<'a>,
    asked: Names<'_>,
) -> Result<&'a Certificate, Denial> {
    let needed = |seen: String| {
        Denial::Denied(Rejection::new(
            Code::ReenrollCertificate,
            "re-enrolment renews the certificate of this server's CA that is shown in TLS (RFC 7030 section 4.2.2)",
            seen,
            "the certificate to be renewed as TLS client certificate; or simpleenroll",
        ))
    };
    let Some(certificate) = request.identity.certificate() else {
        return Err(needed("none that is trusted".to_owned()));
    };
    let place = place(policy, request.identity);
    refuse_other_ca(policy, request.identity, certificate)?;
    if place == Place::OurUnknown {
        return renewal_of_unknown(policy, request, asked, certificate);
    }
    if place == Place::ThirdParty {
        return Err(needed(format!("one issued by {}, not on record here", certificate.issuer())));
    }
    let present = Names::of_certificate(certificate);
    if !Names::of_csr(request.csr).same_as(present) {
        return Err(identity_changed(request.csr, present));
    }
    allow_names(policy, request.identity, certificate, asked)?;
    allow_key(policy, request.csr, certificate)?;
    Ok(certificate)
}

/// A certificate of ours that is not on record renews itself with its own names, and that is all: no
/// setting of the label and no password gives it others (D-36).
fn renewal_of_unknown<'a>(
    policy: &Policy,
    request: Request<'_>,
    asked: Names<'_>,
    certificate: &'a Certificate,
) -> Result<&'a Certificate, Denial> {
    let present = Names::of_certificate(certificate);
    if !asked.same_as(present) || !Names::of_csr(request.csr).same_as(present) {
        return Err(identity_changed(request.csr, present));
    }
    allow_key(policy, request.csr, certificate)?;
    Ok(certificate)
}

/// Says of a denial to a certificate alone whether a password would help (D-41). Only for rules that
/// do not apply to a client with a password.
fn or_password(policy: &Policy, identity: &Identity, denial: Denial) -> Denial {
    match denial {
        Denial::Denied(rejection)
            if by_certificate_alone(identity)
                && policy.rules.authentication == Authentication::Either =>
        {
            Denial::PasswordHelps(rejection)
        }
        other => other,
    }
}

fn identity_changed(csr: &Csr, present: Names<'_>) -> Denial {
    Denial::IdentityChanged(Rejection::new(
        Code::ReenrollIdentity,
        "subject and subjectAltName are those of the certificate to be renewed (RFC 7030 section 4.2.2)",
        Names::of_csr(csr),
        present.to_string(),
    ))
}

const fn by_certificate_alone(identity: &Identity) -> bool {
    matches!(identity.actor.method, Method::Certificate(_))
}

/// Whether it is a registration authority: the label's CA issued its certificate, which has
/// id-kp-cmcRA (RFC 7030 §3.7). The same usage under a third party's CA means nothing.
#[must_use]
pub fn is_ra(policy: &Policy, identity: &Identity) -> bool {
    place(policy, identity) == Place::OurCa
        && identity.certificate().is_some_and(|one| one.extended_key_usage().contains(&oid::CMC_RA))
}

/// Where a trusted certificate comes from, as seen from a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// This certificate is on record as issued by the label's CA.
    OurCa,
    /// It is on record as issued by another CA of this server.
    OtherCa,
    /// The label's CA vouches for it, and it is not on record.
    OurUnknown,
    /// Another anchor vouches for it.
    ThirdParty,
}

fn place(policy: &Policy, identity: &Identity) -> Place {
    let ours = |ca: &CaName| *ca == policy.rules.ca;
    match identity.presented.as_ref().map(|presented| &presented.standing) {
        None | Some(Standing::ThirdParty) => Place::ThirdParty,
        Some(Standing::Ours(record)) if ours(&record.intent.ca) => Place::OurCa,
        Some(Standing::OursUnknown(ca)) if ours(ca) => Place::OurUnknown,
        Some(Standing::Ours(_) | Standing::OursUnknown(_)) => Place::OtherCa,
    }
}

/// What a client got under one label opens no other one: the rules by which it got it were not
/// those of this CA.
///
/// The client is told the label under which it got its certificate: it may be a typing error.
fn refuse_other_ca(
    policy: &Policy,
    identity: &Identity,
    certificate: &Certificate,
) -> Result<(), Denial> {
    if place(policy, identity) != Place::OtherCa {
        return Ok(());
    }
    let label = match identity.record().map(|record| &record.intent.label) {
        Some(Some(label)) => format!(", under label {label}"),
        Some(None) => ", without a label".to_owned(),
        None => String::new(),
    };
    Err(Denial::Denied(Rejection::new(
        Code::LabelCa,
        "a certificate of this server authenticates under labels of the CA that issued it",
        format!("one issued by {}{label}", certificate.issuer()),
        format!(
            "one issued by CA {}; or the label under which this one was issued; or a password, where the label accepts it",
            policy.rules.ca
        ),
    )))
}

fn has_same_key(csr: &Csr, certificate: &Certificate) -> bool {
    csr.key().spki() == certificate.spki()
}

fn allow_key(policy: &Policy, csr: &Csr, certificate: &Certificate) -> Result<(), Denial> {
    let (allowed, code, rule, seen, wanted) = if has_same_key(csr, certificate) {
        (
            policy.rules.renew,
            Code::ReenrollKeyReuse,
            "this label certifies a key once (noKeyReuse, RFC 5272 section 6.1.4)",
            "the key of the certificate to be renewed",
            "a new key",
        )
    } else {
        (
            policy.rules.rekey,
            Code::ReenrollKeyChange,
            "this label certifies no other key at re-enrolment",
            "a new key",
            "the key of the certificate to be renewed",
        )
    };
    if allowed {
        return Ok(());
    }
    Err(Denial::Denied(Rejection::new(code, rule, seen, wanted)))
}

/// RFC 6402 §2.4: a client that is known by its certificate alone gets its own names only, unless
/// it is an RA, or the label trusts every such client with any name. The same holds for names that
/// changeSubjectName asks for (R-7030-4.2.2-f).
fn allow_names(
    policy: &Policy,
    identity: &Identity,
    certificate: &Certificate,
    asked: Names<'_>,
) -> Result<(), Denial> {
    let any = policy.rules.certificate_names == CertificateNames::Any || is_ra(policy, identity);
    if any || !by_certificate_alone(identity) {
        return Ok(());
    }
    let subject = asked.subject.same_as(certificate.subject());
    let own = |san: &SubjectAltName| certificate.san().is_some_and(|own| san.is_part_of(own));
    if subject && asked.san.is_none_or(own) {
        return Ok(());
    }
    let denial = Denial::Denied(Rejection::new(
        Code::EnrollNames,
        "a client that shows a certificate and no password may have the names of that certificate only",
        asked,
        format!(
            "{}; or a password; or certificate_names = \"any\"",
            Names::of_certificate(certificate)
        ),
    ));
    Err(or_password(policy, identity, denial))
}

fn idempotency_key(request: Request<'_>, predecessor: Option<&Serial>) -> IdempotencyKey {
    let mut key = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        // With its length in front, so that two parts cannot run into each other.
        key.update(&(bytes.len() as u64).to_be_bytes());
        key.update(bytes);
    };
    let actor = &request.identity.actor;
    part(actor.method.to_string().as_bytes());
    part(actor.name.as_bytes());
    let (ca, certificate) =
        request.identity.presented.as_ref().map_or_else(Default::default, Presented::identity);
    part(ca.as_bytes());
    part(&certificate);
    part(request.label.map_or("", Label::as_str).as_bytes());
    part(request.operation.as_str().as_bytes());
    part(predecessor.map_or(&[][..], Serial::as_bytes));
    part(&request.csr.content_sha256());
    IdempotencyKey(key.finish().as_ref().try_into().unwrap_or_default())
}
