//! The rights that a client's proofs give it: each proof of `accept` is checked in one table.

use super::{
    CertificateOutcome, Identity, Presented, Rights, Standing, account::no_password, certificate,
};
use crate::{
    pki::{oid, sha256},
    policy::{Accept, LabelRules, Proof, Scheme},
    types::{Code, Operation, Rejection, Time},
};

/// The proofs that a client has given for an operation under a label.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) rules: &'a LabelRules,
    pub(super) operation: Operation,
    pub(super) certificate: &'a CertificateOutcome,
    /// The scheme that proved a password.
    pub(super) password: Option<Scheme>,
}

impl<'a> Given<'a> {
    /// Whether the operation may request more than a renewal.
    pub(super) fn enrolls(self) -> bool {
        self.operation != Operation::SimpleReenroll
    }

    /// The alternatives of the label, and whether each gives the right to enroll. The others only
    /// renew the certificate that is shown (D-32).
    fn alternatives(self) -> impl Iterator<Item = (&'a [Proof], bool)> {
        let LabelRules { accept, renewal, .. } = self.rules;
        let enrollment =
            Some(accept).filter(|_| self.enrolls()).into_iter().flat_map(Accept::alternatives);
        enrollment
            .map(|all| (all, true))
            .chain(renewal.accept.alternatives().map(|all| (all, false)))
    }

    /// Whether the client's certificate matters. It does not for a client that enrolls with a password
    /// where nothing but a password is accepted.
    pub(super) fn takes_certificates(self, has_credentials: bool) -> bool {
        self.alternatives().any(|(all, enrolls)| {
            has_certificate(all) && (enrolls || !has_credentials || !self.takes_passwords())
        })
    }

    fn takes_passwords(self) -> bool {
        self.enrolls() && self.rules.accept.schemes().next().is_some()
    }

    /// Returns the alternatives whose certificate is shown.
    fn open(self) -> impl Iterator<Item = (&'a [Proof], bool)> {
        self.alternatives().filter(move |(all, enrolls)| {
            let mut certificates = all.iter().filter(|proof| proof.is_certificate());
            certificates.all(|proof| self.is_shown(proof, *enrolls))
        })
    }

    /// Returns the schemes of the passwords that could complete the client's proofs, in the order of the
    /// configuration. `None` if its certificate ends every alternative.
    pub(super) fn schemes(self) -> Option<Vec<Scheme>> {
        let mut open = self.open().peekable();
        open.peek()?;
        let mut schemes = Vec::new();
        for scheme in open.flat_map(|(all, _)| all).filter_map(Proof::scheme) {
            if !schemes.contains(&scheme) {
                schemes.push(scheme);
            }
        }
        Some(schemes)
    }

    /// Returns the rights that the proofs give.
    ///
    /// # Errors
    /// The reason if no alternative is complete.
    pub(super) fn rights(self) -> Result<Rights, Rejection> {
        let complete = |all: &[Proof]| {
            all.iter()
                .all(|proof| proof.scheme().is_none_or(|scheme| self.password == Some(scheme)))
        };
        let requested = self.enrolls();
        let mut rights = Rights::none();
        let (mut enrolls, mut renews) = (false, false);
        for (all, enrollment) in self.open() {
            if !complete(all) {
                rights.password_helps |= enrollment == requested && self.password.is_none();
                continue;
            }
            enrolls |= enrollment;
            renews = true;
            for proof in all.iter().filter(|_| enrollment == requested) {
                if !rights.proofs.contains(proof) {
                    rights.proofs.push(proof.clone());
                }
            }
        }
        if !renews {
            return Err(self.rejection());
        }
        rights.renewal_only = !enrolls;
        if rights.renewal_only {
            rights.not_accepted = self.certificate.reason();
        }
        Ok(rights)
    }

    /// Why the proofs do not give the right to enroll (or to renew, for `/simplereenroll`).
    pub(super) fn rejection(self) -> Rejection {
        let enrolls = self.enrolls();
        // A certificate that is accepted together with a password.
        let half =
            self.open().any(|(all, enrollment)| enrollment == enrolls && has_certificate(all));
        let certificates =
            self.alternatives().any(|(all, one)| one == enrolls && has_certificate(all));
        match self.certificate {
            _ if half => no_password(),
            CertificateOutcome::Accepted(_, Some(end)) => certificate::expired_at(*end),
            CertificateOutcome::Accepted(presented, None) => self.unaccepted(presented),
            _ if !certificates => no_password(),
            CertificateOutcome::Absent if !enrolls => {
                certificate::needed_to_renew("none that is trusted".to_owned())
            }
            other => other.rejection(),
        }
    }

    /// Whether the certificate is a proof. One that has expired, or that is ours and not on record,
    /// proves enough to be renewed.
    pub(super) fn is_shown(self, proof: &Proof, enrolls: bool) -> bool {
        let CertificateOutcome::Accepted(presented, expired) = self.certificate else {
            return false;
        };
        if enrolls && expired.is_some() {
            return false;
        }
        match (proof, &presented.standing) {
            (Proof::Certificate, Standing::Ours(record)) => record.intent.ca == self.rules.ca,
            (Proof::Certificate, Standing::OursUnknown(ca)) => !enrolls && *ca == self.rules.ca,
            (Proof::CertificateOf(label), Standing::Ours(record)) => {
                record.intent.label.as_ref() == Some(label)
            }
            (Proof::Manufacturer(name), Standing::Manufacturers(names)) => names.contains(name),
            (Proof::Ra, _) => presented.is_ra(self.rules),
            (Proof::Certificate | Proof::CertificateOf(_) | Proof::Manufacturer(_), _)
            | (Proof::Password(_) | Proof::Token, _) => false,
        }
    }

    /// A certificate that is trusted, and that no alternative accepts.
    fn unaccepted(self, presented: &Presented) -> Rejection {
        let issuer = presented.certificate.issuer();
        let renews = self.operation == Operation::SimpleReenroll;
        let (code, rule, got) = match &presented.standing {
            Standing::Ours(record) if record.intent.ca != self.rules.ca => {
                let label = match &record.intent.label {
                    Some(label) => format!("under label {label}"),
                    None => "without a label".to_owned(),
                };
                return Rejection::new(
                    Code::LabelCa,
                    "a certificate of this server authenticates under labels of the CA that issued it",
                    format!("one issued by {issuer}, {label}"),
                    format!(
                        "one issued by CA {}; or the label under which this one was issued; or another proof: {}",
                        self.rules.ca, self.rules.accept
                    ),
                );
            }
            Standing::Manufacturers(_) if renews => {
                return certificate::needed_to_renew(format!(
                    "one issued by {issuer}, not on record here"
                ));
            }
            Standing::OursUnknown(_) => {
                return certificate::unknown(&super::RecordLookup::Nothing);
            }
            Standing::Ours(_) => (
                Code::LabelCertificate,
                "this label accepts certificates of this server only for their renewal",
                format!("the certificate {} for another request", presented.certificate.subject()),
            ),
            Standing::Manufacturers(names) => (
                Code::LabelManufacturer,
                "a manufacturer's certificate authenticates under labels that accept the manufacturer",
                format!(
                    "one of {}, issued by {issuer}",
                    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
            ),
        };
        Rejection::new(code, rule, got, self.rules.accept.to_string())
    }
}

impl Presented {
    /// Whether this is the certificate of a registration authority: the label's CA issued it with
    /// id-kp-cmcRA (RFC 7030 §3.7), and the label accepts it (D-34). The same usage under another
    /// CA means nothing.
    #[must_use]
    pub fn is_ra(&self, rules: &LabelRules) -> bool {
        let key = || sha256(self.certificate.spki());
        matches!(&self.standing, Standing::Ours(record) if record.intent.ca == rules.ca)
            && rules.accept.has(&Proof::Ra)
            && self.certificate.extended_key_usage().contains(&oid::CMC_RA)
            && (rules.ra_keys.is_empty() || rules.ra_keys.contains(&key()))
    }
}

impl Rights {
    /// The rights of a certificate without a password, as of the signer of a CMC message. One that the
    /// label accepts for nothing has none to enroll.
    #[must_use]
    pub fn of(
        rules: &LabelRules,
        operation: Operation,
        presented: &Presented,
        expired: Option<Time>,
    ) -> Self {
        let certificate = &CertificateOutcome::Accepted(Box::new(presented.clone()), expired);
        let given = Given { rules, operation, certificate, password: None };
        given.rights().unwrap_or_else(|_| Self::none())
    }

    const fn none() -> Self {
        Self {
            proofs: Vec::new(),
            renewal_only: true,
            not_accepted: None,
            retry_only: None,
            password_helps: false,
        }
    }
}

impl Identity {
    /// Why the client may do nothing but renew its certificate with this operation under this label.
    pub(in crate::ra) fn why_renewal_only(
        &self,
        rules: &LabelRules,
        operation: Operation,
    ) -> Rejection {
        let certificate = &match (&self.presented, &self.rights.not_accepted) {
            (Some(presented), _) => {
                CertificateOutcome::Accepted(Box::new(presented.clone()), self.expired)
            }
            (None, Some(reason)) => CertificateOutcome::Rejected(reason.clone()),
            (None, None) => CertificateOutcome::Absent,
        };
        Given { rules, operation, certificate, password: None }.rejection()
    }
}

fn has_certificate(all: &[Proof]) -> bool {
    all.iter().any(Proof::is_certificate)
}
