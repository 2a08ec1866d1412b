//! The revocation status of a validated path, by the CRLs of a manufacturer (RFC 5280 §6.3.3).
//!
//! The signature of a long CRL takes tens of milliseconds. So each CRL keeps the outcome for the keys
//! that were tried. Only keys on a path that is valid get here, and few of them are kept: nobody can
//! make the server verify again and again by inventing chains.

use crate::{
    pki::{CertificateFields, CrlError, DistinguishedName, RevocationList},
    ra::RevocationStatus,
    types::Time,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Keys at most whose outcome a CRL keeps. A CA has one key, or two while it changes it.
const KEYS: usize = 8;

/// A CRL, and the keys by which its signature was verified or not.
#[derive(Debug)]
pub(in crate::server) struct LoadedCrl {
    list: RevocationList,
    outcomes: Mutex<VecDeque<KeyOutcome>>,
}

/// A key, as SubjectPublicKeyInfo (DER), and whether it signed the CRL.
type KeyOutcome = (Vec<u8>, Result<(), CrlError>);

impl LoadedCrl {
    pub(in crate::server) fn new(list: RevocationList) -> Self {
        Self { list, outcomes: Mutex::default() }
    }

    pub(in crate::server) const fn list(&self) -> &RevocationList {
        &self.list
    }

    /// Checks that this CA may sign CRLs and signed this one. Hashes the CRL the first time.
    ///
    /// # Errors
    /// [`CrlError`].
    pub(in crate::server) fn verify(&self, ca: &CertificateFields<'_>) -> Result<(), CrlError> {
        RevocationList::check_signer(ca)?;
        self.verify_by(ca.public_key_spki)
    }

    /// Verifies the signature by a SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// [`CrlError`].
    pub(in crate::server) fn verify_by(&self, spki: &[u8]) -> Result<(), CrlError> {
        let find = |outcomes: &VecDeque<KeyOutcome>| {
            outcomes.iter().find(|(key, _)| key == spki).map(|(_, outcome)| outcome.clone())
        };
        if let Some(outcome) = find(&self.outcomes()) {
            return outcome;
        }
        // Not under the lock: paths to other keys do not wait for it.
        let outcome = self.list.verify(spki);
        let mut outcomes = self.outcomes();
        if find(&outcomes).is_none() {
            if outcomes.len() == KEYS {
                outcomes.pop_front();
            }
            outcomes.push_back((spki.to_vec(), outcome.clone()));
        }
        outcome
    }

    /// Returns the keys by which the signature was verified.
    pub(in crate::server) fn signers(&self) -> Vec<Vec<u8>> {
        let outcomes = self.outcomes();
        let good = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
        good.map(|(key, _)| key.clone()).collect()
    }

    fn outcomes(&self) -> MutexGuard<'_, VecDeque<KeyOutcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The CRLs of one manufacturer.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct CrlSet {
    lists: Vec<Arc<LoadedCrl>>,
    grace: Duration,
}

impl CrlSet {
    /// `grace`: how long after its nextUpdate a CRL still counts.
    pub(in crate::server) const fn new(lists: Vec<Arc<LoadedCrl>>, grace: Duration) -> Self {
        Self { lists, grace }
    }

    /// Returns the status of a valid path: the end-entity certificate, its issuers in order, and the
    /// anchor. Without CRLs nothing is checked; with any, every CA needs its own.
    pub(in crate::server) fn check(&self, path: &[CertificateFields<'_>]) -> RevocationStatus {
        if self.lists.is_empty() {
            return RevocationStatus::Unchecked;
        }
        let mut until = Time::MAX;
        for (certificate, issuer) in path.iter().zip(path.iter().skip(1)) {
            match self.check_one(certificate, issuer) {
                RevocationStatus::Good { until: end, .. } => until = until.min(end),
                bad => return bad,
            }
        }
        RevocationStatus::Good { until, grace: self.grace }
    }

    fn check_one(
        &self,
        certificate: &CertificateFields<'_>,
        issuer: &CertificateFields<'_>,
    ) -> RevocationStatus {
        let name = || text(certificate.issuer);
        let mut status = RevocationStatus::NoCrl { issuer: name() };
        let mut until = None;
        for list in self.lists.iter().filter(|list| list.list.is_of(certificate.issuer)) {
            if let Err(error) = list.verify(issuer) {
                // A CA that changes its key has two CRLs for some time.
                status = RevocationStatus::Invalid { issuer: name(), cause: error.to_string() };
                continue;
            }
            if let Some(entry) = list.list.entry(certificate.serial) {
                return RevocationStatus::Revoked {
                    subject: text(certificate.subject),
                    since: entry.since,
                    reason: entry.reason,
                };
            }
            until = until.max(Some(list.list.next_update()));
        }
        until.map_or(status, |until| RevocationStatus::Good { until, grace: self.grace })
    }
}

fn text(name: &[u8]) -> String {
    DistinguishedName::parse(name)
        .map_or_else(|_| "(an unreadable name)".to_owned(), |name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pki::{
            crl::made::{Draft, extension},
            extension::{Extension, KeyUsage},
        },
        server::trust::made::{NOW, Party},
    };
    use rustls::pki_types::CertificateDer;
    const GRACE: Duration = Duration::from_secs(60);

    /// Certifies a key, whatever the use.
    fn certify(issuer: &Party, subject: &Party, serial: u8) -> CertificateDer<'static> {
        issuer.certify_with(subject, serial, Vec::new())
    }

    impl Party {
        fn crl(&self, days: u64, revoked: &[u8]) -> Arc<LoadedCrl> {
            let until = NOW.plus(Duration::from_secs(days * 86_400));
            let draft = Draft::new(&self.name, NOW, until);
            let draft = revoked.iter().fold(draft, |draft, serial| {
                draft.revoked(&[*serial], NOW, &[&extension(21, false, &[10, 1, 1])])
            });
            let list = RevocationList::parse(draft.sign(&self.key)).unwrap();
            Arc::new(LoadedCrl::new(list))
        }
    }

    /// Parses certificates.
    fn fields<'a>(path: &[&'a CertificateDer<'static>]) -> Vec<CertificateFields<'a>> {
        path.iter().map(|der| CertificateFields::parse(der).unwrap()).collect()
    }

    fn days(days: u64) -> Time {
        NOW.plus(Duration::from_secs(days * 86_400))
    }

    /// A root, a CA, and a device: serial numbers 1, 2 and 3.
    fn chain() -> ([Party; 3], [CertificateDer<'static>; 3]) {
        let [root, ca, device] = ["CN=Root", "CN=CA", "CN=device"].map(Party::new);
        let path = [certify(&ca, &device, 3), certify(&root, &ca, 2), certify(&root, &root, 1)];
        ([root, ca, device], path)
    }

    #[test]
    fn every_certificate_but_the_anchor_is_checked_by_the_crl_of_its_issuer() {
        let ([root, ca, _], path) = chain();
        let path = fields(&path.each_ref());
        let other = Party::new("CN=Other");
        let good = |end| RevocationStatus::Good { until: days(end), grace: GRACE };
        let revoked = |subject: &str| RevocationStatus::Revoked {
            subject: subject.to_owned(),
            since: NOW,
            reason: Some("keyCompromise"),
        };
        let no_crl = |issuer: &str| RevocationStatus::NoCrl { issuer: issuer.to_owned() };
        for (crls, expected) in [
            (vec![], RevocationStatus::Unchecked),
            (vec![root.crl(7, &[]), ca.crl(9, &[])], good(7)),
            (vec![ca.crl(3, &[]), root.crl(7, &[])], good(3)),
            (vec![root.crl(7, &[1, 3]), ca.crl(9, &[1, 2])], good(7)),
            (vec![root.crl(7, &[]), ca.crl(9, &[3])], revoked("CN=device")),
            (vec![root.crl(7, &[2]), ca.crl(9, &[])], revoked("CN=CA")),
            (vec![root.crl(7, &[])], no_crl("CN=CA")),
            (vec![ca.crl(7, &[])], no_crl("CN=Root")),
            (vec![other.crl(7, &[])], no_crl("CN=CA")),
            // Two of one CA: it is revoked if one of them names it.
            (vec![root.crl(7, &[]), ca.crl(5, &[3]), ca.crl(9, &[])], revoked("CN=device")),
            (vec![root.crl(7, &[]), ca.crl(9, &[]), ca.crl(5, &[3])], revoked("CN=device")),
            (vec![root.crl(7, &[]), ca.crl(5, &[]), ca.crl(6, &[])], good(6)),
        ] {
            assert_eq!(CrlSet::new(crls, GRACE).check(&path), expected);
        }
        let only = CrlSet::new(vec![ca.crl(9, &[3])], GRACE);
        let anchor = certify(&ca, &ca, 2);
        let under_the_ca = path.into_iter().take(1).chain(fields(&[&anchor]));
        let under_the_ca: Vec<_> = under_the_ca.collect();
        assert_eq!(only.check(&under_the_ca), revoked("CN=device"), "the CA is the anchor");
    }

    #[test]
    fn only_the_issuer_signs_a_crl() {
        let ([root, ca, _], path) = chain();
        let impostor = Party::new("CN=CA");
        let status = |crls: Vec<Arc<LoadedCrl>>, path: &[CertificateDer<'static>; 3]| {
            let crls = [vec![root.crl(7, &[])], crls].concat();
            CrlSet::new(crls, GRACE).check(&fields(&path.each_ref()))
        };
        let invalid = |error: CrlError| RevocationStatus::Invalid {
            issuer: "CN=CA".to_owned(),
            cause: error.to_string(),
        };
        assert_eq!(status(vec![impostor.crl(9, &[])], &path), invalid(CrlError::Signature));
        // Two keys of one name: each has its own.
        let good = RevocationStatus::Good { until: days(7), grace: GRACE };
        for crls in [
            vec![impostor.crl(9, &[3]), ca.crl(9, &[])],
            vec![ca.crl(9, &[]), impostor.crl(9, &[3])],
        ] {
            assert_eq!(status(crls, &path), good);
        }
        let may_sign = KeyUsage::KEY_CERT_SIGN.and(KeyUsage::CRL_SIGN);
        for (usage, expected) in
            [(may_sign, good), (KeyUsage::KEY_CERT_SIGN, invalid(CrlError::Usage))]
        {
            let mut path = path.clone();
            let extensions = vec![Extension::key_usage(usage).unwrap()];
            path[1] = root.certify_with(&ca, 2, extensions);
            assert_eq!(status(vec![ca.crl(9, &[])], &path), expected);
        }
    }

    #[test]
    fn a_signature_is_verified_once_for_a_key_and_few_keys_are_kept() {
        let ca = Party::new("CN=CA");
        let crl = ca.crl(9, &[]);
        let own = certify(&ca, &ca, 1);
        let own = CertificateFields::parse(&own).unwrap();
        for _ in 0..3 {
            crl.verify(&own).unwrap();
        }
        assert_eq!(crl.outcomes().len(), 1);
        assert_eq!(crl.signers(), [own.public_key_spki.to_vec()]);
        let others: Vec<_> = (0..KEYS + 3).map(|_| certify(&ca, &Party::new("CN=CA"), 1)).collect();
        let others: Vec<_> = fields(&others.iter().collect::<Vec<_>>());
        for other in others.iter().chain(&others[3..]) {
            assert_eq!(crl.verify(other), Err(CrlError::Signature));
            assert!(crl.outcomes().len() <= KEYS);
        }
        let kept: Vec<_> = crl.outcomes().iter().map(|(key, _)| key.clone()).collect();
        let last: Vec<_> = others[3..].iter().map(|one| one.public_key_spki.to_vec()).collect();
        assert_eq!(kept, last, "in order, each once");
        crl.verify(&own).unwrap();
    }
}
