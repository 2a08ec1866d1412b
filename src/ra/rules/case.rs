//! The case that rules decide on: the sender of a CSR and its proofs, the connection, the operation, and
//! the record of its certificate.

use crate::{
    ca::Content,
    naming::Proven,
    pki::{Certificate, ChangeSubjectName, Csr, DistinguishedName, SubjectAltName},
    policy::{LabelRules, Proof},
    ra::{
        Error, FoundDevice, Identity, Peer, Policy, Requester, Standing, device::OneDevice, is_ra,
    },
    store::Grant,
    types::{AuthMethod, BindingKind, Operation, Rejection, Time},
};
use std::{cell::OnceCell, fmt};

/// A CSR of a client under the rules of a label.
pub(in crate::ra) struct Case<'a> {
    pub(super) policy: &'a Policy,
    pub(super) identity: &'a Identity,
    pub(super) operation: Operation,
    pub(super) peer: &'a Peer,
    pub(super) csr: &'a Csr,
    pub(super) now: Time,
    /// The proven identity of the device.
    pub(super) device: &'a FoundDevice,
    /// The certificate to be renewed.
    predecessor: Option<&'a Certificate>,
    /// The kind of channel binding that holds, set by its rule.
    pub(super) linked: OnceCell<BindingKind>,
    /// The names that replace those of the CSR (RFC 6402 §2.8), set by their rule.
    pub(super) change: OnceCell<ChangeSubjectName>,
    /// The names that the label sets, set by their rule.
    pub(super) set: OnceCell<(DistinguishedName, Option<SubjectAltName>)>,
    /// The content of the certificate, set by the rule of the profile.
    pub(super) content: OnceCell<Content>,
}

impl<'a> Case<'a> {
    pub(in crate::ra) fn new(policy: &'a Policy, requester: Requester<'a>, csr: &'a Csr) -> Self {
        let Requester { identity, operation, peer, device, now, .. } = requester;
        let predecessor = predecessor(policy, identity, operation, csr);
        let (linked, change, set, content) = Default::default();
        Self {
            policy,
            identity,
            operation,
            peer,
            csr,
            now,
            device,
            predecessor,
            linked,
            change,
            set,
            content,
        }
    }

    pub(super) fn rules(&self) -> &'a LabelRules {
        &self.policy.rules
    }

    /// Returns the kind of channel binding that holds.
    pub(in crate::ra) fn linked(&self) -> Option<BindingKind> {
        self.linked.get().copied()
    }

    /// Returns the content of the certificate, once its rule has passed.
    pub(in crate::ra) fn into_content(self) -> Option<Content> {
        self.content.into_inner()
    }

    /// Returns the requested names: those of the CSR, or those that replace them.
    pub(super) fn names(&self) -> EntityNames<'_> {
        self.change.get().map_or_else(
            || EntityNames::of_csr(self.csr),
            |new| EntityNames { subject: new.subject(), san: new.san() },
        )
    }

    /// Returns the names of the certificate: those that the label sets, or the requested ones.
    pub(super) fn final_names(&self) -> EntityNames<'_> {
        match self.set.get() {
            Some((subject, san)) => EntityNames { subject, san: san.as_ref() },
            None => self.names(),
        }
    }

    /// Whether the label sets the names.
    pub(in crate::ra) fn sets_names(&self) -> bool {
        self.set.get().is_some()
    }

    /// Returns the values that the client's proofs give to the variables of names.
    pub(super) fn proven(&self) -> Proven {
        let (identity, proofs) = (self.identity, &self.identity.rights.proofs);
        let mut proven = Proven::new();
        if let Some(presented) = &identity.presented {
            for proof in proofs {
                if let Proof::Manufacturer(name) = proof {
                    proven = proven.with_idevid(name.as_str(), &presented.certificate);
                }
            }
            if proofs.iter().any(Proof::is_own_certificate) || self.predecessor().is_some() {
                proven = proven.with_certificate(&presented.certificate);
            }
        }
        if let Ok(Some(OneDevice { id, record: Some(record), .. })) = self.device.one() {
            let tags = record.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            proven = proven.with_device(id.as_str(), tags);
        }
        match &identity.account {
            Some((name, _)) if proofs.iter().any(Proof::is_of_account) => proven.with_account(name),
            _ => proven,
        }
    }

    /// Returns the right that the client's token gives.
    pub(super) fn grant(&self) -> Option<&'a Grant> {
        self.identity.token.as_ref().map(|token| &token.grant)
    }

    /// Whether other names than those of the CSR are requested.
    pub(in crate::ra) fn changes_names(&self) -> bool {
        self.change.get().is_some()
    }

    /// Returns the certificate to be renewed.
    pub(in crate::ra) const fn predecessor(&self) -> Option<&'a Certificate> {
        self.predecessor
    }

    /// Whether the client's certificate is ours and not on record (D-36).
    pub(super) fn is_unknown(&self) -> bool {
        let standing = self.identity.presented.as_ref().map(|presented| &presented.standing);
        matches!(standing, Some(Standing::OursUnknown(_)))
    }

    pub(super) fn is_ra(&self) -> bool {
        is_ra(self.policy, self.identity)
    }

    pub(super) const fn by_certificate_alone(&self) -> bool {
        matches!(self.identity.actor.method, AuthMethod::Certificate(_))
    }

    pub(in crate::ra) fn has_key_of(&self, certificate: &Certificate) -> bool {
        self.csr.key().spki() == certificate.spki()
    }

    /// A rejection of a client for what it may not have: a challenge if it would have more rights with a
    /// password (D-41).
    pub(super) fn forbidden(&self, rejection: Rejection) -> Error {
        if self.identity.rights.password_helps {
            Error::Unauthenticated(rejection)
        } else {
            Error::Forbidden(rejection)
        }
    }
}

/// Returns the certificate to be renewed: the one that the client presents, if the label's CA issued
/// it and the label does not renew its own only. `/simplereenroll` always renews it (RFC 7030
/// §4.2.2); any other operation does so if the CSR has its names, as aziot-certd sends it (D-32). One
/// of another label that `accept` names is the proof for a further certificate instead.
pub(in crate::ra) fn predecessor<'a>(
    policy: &Policy,
    identity: &'a Identity,
    operation: Operation,
    csr: &Csr,
) -> Option<&'a Certificate> {
    let presented = identity.presented.as_ref()?;
    let (rules, certificate) = (&policy.rules, &*presented.certificate);
    let renews = match &presented.standing {
        Standing::Ours(record) if record.intent.ca == rules.ca => {
            let own = record.intent.label == policy.label;
            let renewable = own || !rules.renews_own_only;
            let of_label = |proof: &Proof| matches!(proof, Proof::CertificateOf(_));
            let proof = || !own && identity.rights.proofs.iter().any(of_label);
            let named =
                || EntityNames::of_csr(csr).same_as(EntityNames::of_certificate(certificate));
            renewable && (operation == Operation::SimpleReenroll || !proof() && named())
        }
        // It may do nothing else (D-36). Its label is not known.
        Standing::OursUnknown(ca) => *ca == rules.ca && !rules.renews_own_only,
        Standing::Ours(_) | Standing::Manufacturers(_) => false,
    };
    renews.then_some(certificate)
}

/// Subject and subjectAltName of a CSR or certificate.
#[derive(Clone, Copy)]
pub(in crate::ra) struct EntityNames<'a> {
    pub(super) subject: &'a DistinguishedName,
    pub(super) san: Option<&'a SubjectAltName>,
}

impl<'a> EntityNames<'a> {
    pub(in crate::ra) const fn of_csr(csr: &'a Csr) -> Self {
        Self { subject: csr.subject(), san: csr.san() }
    }

    pub(super) const fn of_certificate(certificate: &'a Certificate) -> Self {
        Self { subject: certificate.subject(), san: certificate.san() }
    }

    /// Compares subjects by value in order, subjectAltNames as sets; an absent one equals only an
    /// absent one (D-08).
    pub(super) fn same_as(self, other: EntityNames<'_>) -> bool {
        let san = match (self.san, other.san) {
            (Some(one), Some(other)) => one.same_as(other),
            (None, None) => true,
            _ => false,
        };
        san && self.subject.same_as(other.subject)
    }

    /// Whether these names are among those of the certificate.
    pub(super) fn are_of(self, certificate: &Certificate) -> bool {
        let own = |san: &SubjectAltName| certificate.san().is_some_and(|own| san.is_part_of(own));
        self.subject.same_as(certificate.subject()) && self.san.is_none_or(own)
    }
}

impl fmt::Display for EntityNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
