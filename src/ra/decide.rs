//! The decision on a CSR: what to issue to this client, and which certificate that renews.

use super::{Error, Identity, Peer, Presented, Standing, linking};
use crate::{
    ca::{Ca, Order, Profile, ProfileError},
    pki::{self, Certificate, ChangeSubjectName, Csr, DistinguishedName, SubjectAltName, oid},
    policy::{self, Authentication, CertificateNames},
    store::IdempotencyKey,
    telemetry::audit::Facts,
    types::{
        AuthMethod, BindingKind, CaName, Code, Label, Operation, Rejection, RequestId, Serial,
    },
};
use aws_lc_rs::digest;
use std::sync::Arc;

/// The rules of a label, with its CA and profile.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The label; none for requests without one.
    pub label: Option<Label>,
    /// The CA that issues.
    pub ca: Arc<Ca>,
    /// The rules that the operator wrote.
    pub rules: policy::LabelRules,
    /// The profile that they name.
    pub profile: Arc<Profile>,
}

/// The client of a CSR and its request.
#[derive(Clone, Copy)]
pub struct Requester<'a> {
    /// The client.
    pub identity: &'a Identity,
    /// The operation.
    pub operation: Operation,
    /// The connection.
    pub peer: &'a Peer,
    /// The request.
    pub request_id: &'a RequestId,
    /// Adaptations of the protocol to the client, for the event.
    pub adapted: &'a [&'static str],
}

/// Errors of the CSR's attributes: another CSR would be accepted.
fn unacceptable(error: &pki::Error) -> Error {
    Error::Unacceptable(error.rejection().clone())
}

impl From<ProfileError> for Error {
    fn from(rejection: ProfileError) -> Self {
        match rejection {
            ProfileError::Unacceptable(rejection) => Self::Unacceptable(rejection),
            ProfileError::Forbidden(rejection) => Self::Forbidden(rejection),
        }
    }
}

/// Subject and subjectAltName of a CSR or certificate.
#[derive(Clone, Copy)]
struct EntityNames<'a> {
    subject: &'a DistinguishedName,
    san: Option<&'a SubjectAltName>,
}

impl<'a> EntityNames<'a> {
    const fn of_csr(csr: &'a Csr) -> Self {
        Self { subject: csr.subject(), san: csr.san() }
    }

    const fn of_certificate(certificate: &'a Certificate) -> Self {
        Self { subject: certificate.subject(), san: certificate.san() }
    }

    /// Compares subjects by value in order, subjectAltNames as sets; an absent one equals only an
    /// absent one (D-08).
    fn same_as(self, other: EntityNames<'_>) -> bool {
        let san = match (self.san, other.san) {
            (Some(one), Some(other)) => one.same_as(other),
            (None, None) => true,
            _ => false,
        };
        san && self.subject.same_as(other.subject)
    }

    /// Whether these names are among those of the certificate.
    fn are_of(self, certificate: &Certificate) -> bool {
        let own = |san: &SubjectAltName| certificate.san().is_some_and(|own| san.is_part_of(own));
        self.subject.same_as(certificate.subject()) && self.san.is_none_or(own)
    }
}

impl std::fmt::Display for EntityNames<'_> {
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

/// Decides on a CSR, for enrollment or re-enrollment. Returns the order to issue for it.
///
/// # Errors
/// [`Error::Unacceptable`], [`Error::Linking`], [`Error::Forbidden`] or [`Error::IdentityChanged`] for
/// the first broken rule. [`Error::Unauthenticated`] if that rule does not apply to a client with a
/// password, and the label accepts one (D-41).
pub fn decide(policy: &Policy, requester: Requester<'_>, csr: &Csr) -> Result<Order, Error> {
    let case = Case { policy, identity: requester.identity, csr };
    let linked = match linking::check(policy.rules.linking, csr, requester.peer) {
        // An RA forwards CSRs that a device signed for another connection (R-7030-3.7-c).
        Err(Error::Linking(_)) if is_ra(policy, requester.identity) => None,
        outcome => outcome?,
    };
    let change = case.change_of_names()?;
    let names = change.as_ref().map_or_else(
        || EntityNames::of_csr(csr),
        |new| EntityNames { subject: new.subject(), san: new.san() },
    );
    let predecessor = match requester.operation {
        Operation::SimpleReenroll => Some(case.reenrollment(names)?),
        Operation::SimpleEnroll
        | Operation::CaCerts
        | Operation::FullCmc
        | Operation::ServerKeyGen
        | Operation::CsrAttrs => case.enrollment(names, change.is_some())?,
    };
    let content = policy.profile.content_with_names(csr, names.subject, names.san)?;
    let mut facts = facts(requester, predecessor.is_some(), linked);
    if let Some(predecessor) = predecessor {
        let same_key = case.has_key_of(predecessor);
        facts.push(("renewal", if same_key { "renew" } else { "rekey" }.to_owned()));
    }
    if change.is_some() {
        facts.push(("former_names", EntityNames::of_csr(csr).to_string()));
    }
    facts.extend(content.dropped_extensions().map(|names| ("dropped_extensions", names)));
    facts.extend(requester.identity.expired.map(|end| ("expired", end.to_string())));
    let predecessor = predecessor.map(|certificate| certificate.serial().clone());
    linking::spend(linked, requester.peer)?;
    Ok(Order {
        facts,
        content,
        idempotency_key: idempotency_key(policy, requester, csr, predecessor.as_ref()),
        retry_window: policy.rules.retry_window,
        label: policy.label.clone(),
        operation: Some(requester.operation),
        actor: requester.identity.actor.clone(),
        predecessor,
        request_id: requester.request_id.clone(),
    })
}

/// A CSR of a client under the rules of a label.
#[derive(Clone, Copy)]
struct Case<'a> {
    policy: &'a Policy,
    identity: &'a Identity,
    csr: &'a Csr,
}

impl<'a> Case<'a> {
    /// Returns the names that replace those of the CSR (changeSubjectName, RFC 6402 §2.8), if it
    /// requests any and the label changes names. Whether the client may have them is checked later.
    fn change_of_names(self) -> Result<Option<ChangeSubjectName>, Error> {
        let values = self.csr.attribute(oid::CHANGE_SUBJECT_NAME);
        let Some(values) = values.map_err(|error| unacceptable(&error))? else { return Ok(None) };
        let rejected = |rule: &'static str, got: &'static str, expected: &'static str| {
            Err(Error::Forbidden(Rejection::new(Code::NamesChange, rule, got, expected)))
        };
        if !self.policy.rules.change_names {
            return rejected(
                "this label changes no names",
                "changeSubjectName (RFC 6402)",
                "a CSR without this attribute; or the operator sets change_names = true",
            );
        }
        if self.identity.presented.is_none() {
            return rejected(
                "changeSubjectName changes the names of the certificate that is shown in TLS",
                "none that is trusted",
                "the certificate with the present names; or a CSR with the new names and without this attribute",
            );
        }
        ChangeSubjectName::parse(values).map(Some).map_err(|error| unacceptable(&error))
    }

    /// Checks a first enrollment or a further certificate. A client may request the names of the
    /// certificate that it presents, as aziot-certd does. If this server issued that certificate, the
    /// request is a renewal, and the certificate is returned.
    fn enrollment(
        self,
        names: EntityNames<'_>,
        changes: bool,
    ) -> Result<Option<&'a Certificate>, Error> {
        let Some(certificate) = self.identity.certificate() else { return Ok(None) };
        let provenance = provenance(self.policy, self.identity);
        if self.by_certificate_alone() {
            self.reject_other_ca(certificate).map_err(|error| self.or_password(error))?;
        }
        let present = EntityNames::of_certificate(certificate);
        if provenance == Provenance::OurUnknown {
            return self.renewal_of_unknown(names, certificate).map(Some);
        }
        self.allow_names(names, certificate)?;
        let same = EntityNames::of_csr(self.csr).same_as(present);
        // An RA passes on the CSRs of others, which have other names.
        if changes && !same && !is_ra(self.policy, self.identity) {
            return Err(self.identity_changed(present));
        }
        if provenance == Provenance::OurCa && same {
            self.allow_key(certificate)?;
            return Ok(Some(certificate));
        }
        Ok(None)
    }

    /// Checks a re-enrollment. Returns the certificate to renew: the client certificate of the TLS
    /// connection (RFC 7030 §4.2.2).
    fn reenrollment(self, names: EntityNames<'_>) -> Result<&'a Certificate, Error> {
        let needed = |got: String| {
            Error::Forbidden(Rejection::new(
                Code::ReenrollCertificate,
                "re-enrollment renews the certificate of this server's CA that is shown in TLS (RFC 7030 section 4.2.2)",
                got,
                "the certificate to be renewed as TLS client certificate; or simpleenroll",
            ))
        };
        let Some(certificate) = self.identity.certificate() else {
            return Err(needed("none that is trusted".to_owned()));
        };
        self.reject_other_ca(certificate)?;
        match provenance(self.policy, self.identity) {
            Provenance::OurUnknown => return self.renewal_of_unknown(names, certificate),
            Provenance::ThirdParty => {
                let got = format!("one issued by {}, not on record here", certificate.issuer());
                return Err(needed(got));
            }
            Provenance::OurCa | Provenance::OtherCa => {}
        }
        let present = EntityNames::of_certificate(certificate);
        if !EntityNames::of_csr(self.csr).same_as(present) {
            return Err(self.identity_changed(present));
        }
        self.allow_names(names, certificate)?;
        self.allow_key(certificate)?;
        Ok(certificate)
    }

    /// Checks the renewal of a certificate of this server that is not on record. It gets its own names
    /// only: no setting of the label and no password adds others (D-36).
    fn renewal_of_unknown(
        self,
        names: EntityNames<'_>,
        certificate: &'a Certificate,
    ) -> Result<&'a Certificate, Error> {
        let present = EntityNames::of_certificate(certificate);
        if !names.same_as(present) || !EntityNames::of_csr(self.csr).same_as(present) {
            return Err(self.identity_changed(present));
        }
        self.allow_key(certificate)?;
        Ok(certificate)
    }

    /// Turns a rejection of a certificate alone into a challenge if a password would help (D-41). Only
    /// for rules that do not apply to a client with a password.
    fn or_password(self, error: Error) -> Error {
        match error {
            Error::Forbidden(rejection)
                if self.by_certificate_alone()
                    && self.policy.rules.authentication == Authentication::Either =>
            {
                Error::Unauthenticated(rejection)
            }
            other => other,
        }
    }

    fn identity_changed(self, present: EntityNames<'_>) -> Error {
        Error::IdentityChanged(Rejection::new(
            Code::ReenrollIdentity,
            "subject and subjectAltName are those of the certificate to be renewed (RFC 7030 section 4.2.2)",
            EntityNames::of_csr(self.csr),
            present.to_string(),
        ))
    }

    const fn by_certificate_alone(self) -> bool {
        matches!(self.identity.actor.method, AuthMethod::Certificate(_))
    }

    /// Rejects a certificate of another CA of this server: the rules by which it was issued were not
    /// those of this CA.
    ///
    /// The rejection names the label under which the certificate was issued: the client may have
    /// mistyped it.
    fn reject_other_ca(self, certificate: &Certificate) -> Result<(), Error> {
        if provenance(self.policy, self.identity) != Provenance::OtherCa {
            return Ok(());
        }
        let label = match self.identity.record().map(|record| &record.intent.label) {
            Some(Some(label)) => format!(", under label {label}"),
            Some(None) => ", without a label".to_owned(),
            None => String::new(),
        };
        Err(Error::Forbidden(Rejection::new(
            Code::LabelCa,
            "a certificate of this server authenticates under labels of the CA that issued it",
            format!("one issued by {}{label}", certificate.issuer()),
            format!(
                "one issued by CA {}; or the label under which this one was issued; or a password, where the label accepts it",
                self.policy.rules.ca
            ),
        )))
    }

    fn has_key_of(self, certificate: &Certificate) -> bool {
        self.csr.key().spki() == certificate.spki()
    }

    fn allow_key(self, certificate: &Certificate) -> Result<(), Error> {
        const OLD: &str = "the key of the certificate to be renewed";
        const NEW: &str = "a new key";
        let rules = &self.policy.rules;
        let (allowed, code, rule, got, expected) = if self.has_key_of(certificate) {
            let rule = "this label certifies a key once (noKeyReuse, RFC 5272 section 6.1.4)";
            (rules.renew, Code::ReenrollKeyReuse, rule, OLD, NEW)
        } else {
            let rule = "this label certifies no other key at re-enrollment";
            (rules.rekey, Code::ReenrollKeyChange, rule, NEW, OLD)
        };
        if allowed {
            return Ok(());
        }
        Err(Error::Forbidden(Rejection::new(code, rule, got, expected)))
    }

    /// Checks that a client with a certificate and no password requests only the names of that
    /// certificate, those of changeSubjectName included (RFC 6402 §2.4, R-7030-4.2.2-f). An RA may
    /// request any names; the label may allow that to all clients.
    fn allow_names(self, names: EntityNames<'_>, certificate: &Certificate) -> Result<(), Error> {
        let any = self.policy.rules.certificate_names == CertificateNames::Any
            || is_ra(self.policy, self.identity);
        if any || !self.by_certificate_alone() || names.are_of(certificate) {
            return Ok(());
        }
        let own = EntityNames::of_certificate(certificate);
        Err(self.or_password(Error::Forbidden(Rejection::new(
            Code::EnrollNames,
            "a client that shows a certificate and no password may have the names of that certificate only",
            names,
            format!("{own}; or a password; or certificate_names = \"any\""),
        ))))
    }
}

/// Whether the client is a registration authority: the label's CA issued its certificate, which has
/// id-kp-cmcRA (RFC 7030 §3.7). The same usage under a third party's CA means nothing.
#[must_use]
pub fn is_ra(policy: &Policy, identity: &Identity) -> bool {
    provenance(policy, identity) == Provenance::OurCa
        && identity.certificate().is_some_and(|one| one.extended_key_usage().contains(&oid::CMC_RA))
}

/// The source of a trusted certificate, relative to a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provenance {
    /// On record as issued by the label's CA.
    OurCa,
    /// On record as issued by another CA of this server.
    OtherCa,
    /// Signed by the label's CA, and not on record.
    OurUnknown,
    /// Another anchor vouches for it.
    ThirdParty,
}

fn provenance(policy: &Policy, identity: &Identity) -> Provenance {
    let ours = |ca: &CaName| *ca == policy.rules.ca;
    match identity.presented.as_ref().map(|presented| &presented.standing) {
        None | Some(Standing::ThirdParty) => Provenance::ThirdParty,
        Some(Standing::Ours(record)) if ours(&record.intent.ca) => Provenance::OurCa,
        Some(Standing::OursUnknown(ca)) if ours(ca) => Provenance::OurUnknown,
        Some(Standing::Ours(_) | Standing::OursUnknown(_)) => Provenance::OtherCa,
    }
}

/// Returns the facts of the client for the event: address, certificate, password scheme, kind of channel
/// binding (R-7030-3.5-e), and adaptations. None of them relaxes a check.
fn facts(
    requester: Requester<'_>,
    renews: bool,
    linked: Option<BindingKind>,
) -> Vec<(&'static str, String)> {
    let Requester { identity, operation, peer, .. } = requester;
    let mut client = Facts::default();
    client.add("address", peer.address);
    identity.describe(&mut client);
    let mut adapted = requester.adapted.to_vec();
    if operation == Operation::SimpleEnroll && renews {
        adapted.push("simpleenroll accepted as renewal of the certificate shown");
    }
    let mut facts = client.into_vec();
    facts.extend(identity.scheme.map(|scheme| ("scheme", scheme.to_string())));
    facts.extend(linked.map(|kind| ("linked", kind.to_string())));
    facts.extend((!adapted.is_empty()).then(|| ("adapted", adapted.join(", "))));
    facts
}

/// Hashes everything that identifies a request: equal keys mean a retry.
fn idempotency_key(
    policy: &Policy,
    requester: Requester<'_>,
    csr: &Csr,
    predecessor: Option<&Serial>,
) -> IdempotencyKey {
    let mut key = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        // Prefixed with its length, so that the boundary between two parts is unambiguous.
        key.update(&(bytes.len() as u64).to_be_bytes());
        key.update(bytes);
    };
    let identity = requester.identity;
    part(identity.actor.method.to_string().as_bytes());
    part(identity.actor.name.as_bytes());
    let (ca, certificate) =
        identity.presented.as_ref().map_or_else(Default::default, Presented::identity);
    part(ca.as_bytes());
    part(&certificate);
    part(policy.label.as_ref().map_or("", Label::as_str).as_bytes());
    part(requester.operation.as_str().as_bytes());
    part(predecessor.map_or(&[][..], Serial::as_bytes));
    part(&csr.content_sha256());
    IdempotencyKey(key.finish().as_ref().try_into().unwrap_or_default())
}
