//! Client certificates: requested, never required, never a reason to end a handshake
//! (docs/adr/0002).
//!
//! The handshake checks one signature only: that the client holds the key of its certificate. RFC
//! 5280 path validation against the anchors of CAs and manufacturers (RFC 7030 §3.3.2) follows when a
//! request needs it (validation.rs). Its cost is bounded, because anybody can send any chain:
//!
//! | Bound | Value | Where |
//! |---|---|---|
//! | certificates, bytes of a chain | 8, 48 KiB | chain.rs |
//! | paths by name, steps to find them | 8, 64 | path.rs |
//! | signatures | 8 | budget.rs |

mod budget;
mod chain;
mod crl;
mod path;

use self::{
    budget::{Budget, MAX_SIGNATURES},
    path::Path,
};
pub(super) use self::{
    chain::Chain,
    crl::{CrlSet, LoadedCrl},
};
use super::Error;
use crate::{
    pki::{Certificate, CertificateFields, PublicKey, extension::KeyUsage},
    ra::{ClientCertificate, RevocationStatus, Verdict},
    types::{CaName, ManufacturerName, Time},
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{
    cell::Cell, collections::BTreeMap, iter, ops::ControlFlow, slice, sync::Arc, time::Duration,
};
use webpki::{EndEntityCert, KeyUsage as WebpkiUsage, VerifiedPath, anchor_from_trusted_cert};

/// Accepts every client certificate if the client proves possession of its key.
#[derive(Debug)]
pub(super) struct AskOnly(Arc<CryptoProvider>);

impl AskOnly {
    pub(super) const fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty: if the list named this server's CAs, devices would withhold the certificate of their
    /// maker (R-7030-3.3.2-f).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a chain does not validate.
#[derive(Debug)]
enum PathError {
    /// An error of webpki.
    Path(webpki::Error),
    /// A keyUsage that forbids the use, which webpki does not check (RFC 5280 §6.1.4 n; RFC 8446 §4.4.2.3).
    Usage(&'static str),
    /// A key for which anybody can sign, which webpki does not check.
    Key(&'static str),
}

impl PathError {
    /// Returns how specific it is to the certificate: if several paths fail, the highest is reported.
    const fn rank(&self) -> u8 {
        match self {
            Self::Path(webpki::Error::UnknownIssuer) => 0,
            Self::Path(webpki::Error::InvalidSignatureForPublicKey) => 1,
            _ => 2,
        }
    }
}

/// The trust anchors of client certificates: this server's CAs are the explicit ones of RFC 7030
/// §1.1, those of manufacturers the implicit ones.
#[derive(Clone, Debug)]
pub(super) struct Databases {
    ours: AnchorSet<CaName>,
    manufacturers: AnchorSet<ManufacturerName>,
    /// The CRLs of the manufacturers that have any.
    crls: BTreeMap<ManufacturerName, CrlSet>,
}

/// Anchors, and in the same order the owner of each and its certificate, DER.
#[derive(Clone, Debug)]
struct AnchorSet<N> {
    anchors: Vec<TrustAnchor<'static>>,
    owners: Vec<(N, Vec<u8>)>,
}

impl<N: Clone + PartialEq> AnchorSet<N> {
    fn new<'a>(all: impl IntoIterator<Item = (&'a N, &'a [u8])>) -> Result<Self, Error>
    where
        N: 'a,
    {
        let (mut anchors, mut owners) = (Vec::new(), Vec::new());
        for (owner, certificate) in all {
            let der = CertificateDer::from(certificate);
            let anchor = anchor_from_trusted_cert(&der)
                .map_err(|error| Error::Tls(format!("cannot read a trust anchor: {error}")))?;
            anchors.push(anchor.to_owned());
            owners.push((owner.clone(), certificate.to_vec()));
        }
        Ok(Self { anchors, owners })
    }

    /// Returns the owners of an anchor, found by subject and key, in order, and its certificate.
    fn owners(&self, anchor: &TrustAnchor<'_>) -> impl Iterator<Item = (&N, &[u8])> {
        self.anchors
            .iter()
            .zip(&self.owners)
            .filter(|(one, _)| {
                one.subject == anchor.subject
                    && one.subject_public_key_info == anchor.subject_public_key_info
            })
            .map(|(_, (owner, certificate))| (owner, certificate.as_slice()))
    }
}

/// The outcome of one validation, and its cost.
#[derive(Debug)]
pub(super) struct Judgment {
    pub(super) certificate: ClientCertificate,
    /// Signatures that were verified, at most [`budget::MAX_SIGNATURES`].
    pub(super) signatures: usize,
}

/// One validation: the anchors, the chain, and the signatures that may still be verified.
struct Judge<'a> {
    databases: &'a Databases,
    chain: &'a Chain,
    algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
    budget: &'a Budget,
}

impl Databases {
    /// Reads the anchors, DER: the certificates of this server's CAs, and those of manufacturers.
    ///
    /// # Errors
    /// [`Error::Tls`] if one is not a certificate.
    pub(super) fn new<'a>(
        ours: impl IntoIterator<Item = (&'a CaName, &'a [u8])>,
        manufacturers: impl IntoIterator<Item = (&'a ManufacturerName, &'a [u8])>,
    ) -> Result<Self, Error> {
        Ok(Self {
            ours: AnchorSet::new(ours)?,
            manufacturers: AnchorSet::new(manufacturers)?,
            crls: BTreeMap::new(),
        })
    }

    /// Replaces the CRLs of the manufacturers.
    pub(super) fn with_crls(self, crls: BTreeMap<ManufacturerName, CrlSet>) -> Self {
        Self { crls, ..self }
    }

    /// Validates a chain. Verifies [`budget::MAX_SIGNATURES`] signatures at most, over both databases
    /// together: takes up to some milliseconds, so call it where blocking is allowed.
    pub(super) fn judge(&self, chain: &Chain, now: Time) -> Judgment {
        let budget = Budget::default();
        let mut verdict = match chain.excess() {
            Some(excess) => Verdict::Untrusted(excess.to_owned()),
            None => budget.counting(|algorithms| {
                Judge { databases: self, chain, algorithms, budget: &budget }.verdict(now)
            }),
        };
        let certificate = match Certificate::parse(chain.end_entity()) {
            Ok(certificate) => Some(Arc::new(certificate)),
            Err(error) => {
                if !matches!(verdict, Verdict::Untrusted(_)) {
                    verdict = Verdict::Untrusted(error.rejection().got.clone());
                }
                None
            }
        };
        let certificate = ClientCertificate { certificate, verdict };
        Judgment { certificate, signatures: budget.spent() }
    }
}

impl Judge<'_> {
    fn verdict(&self, now: Time) -> Verdict {
        let Databases { ours, manufacturers, .. } = self.databases;
        let verdict = match self.first_owner(ours, now) {
            Ok(ca) => return Verdict::Ours(ca),
            Err(by_ours) => match self.statuses(manufacturers, now) {
                Ok(statuses) => return Verdict::Manufacturers(statuses),
                // The more specific error is reported: "unknown issuer" is no help if the other
                // database has the issuer.
                Err(PathError::Path(webpki::Error::UnknownIssuer)) => self.untrusted(&by_ours),
                Err(by_manufacturers) => self.untrusted(&by_manufacturers),
            },
        };
        if self.budget.is_overdrawn() && matches!(verdict, Verdict::Untrusted(_)) {
            return Verdict::Untrusted(format!(
                "one whose chain takes more than {MAX_SIGNATURES} signatures to verify"
            ));
        }
        verdict
    }

    /// Separates errors of the validity period from all others.
    fn untrusted(&self, error: &PathError) -> Verdict {
        let Databases { ours, manufacturers, .. } = self.databases;
        if let PathError::Path(webpki::Error::CertNotValidYet { not_before, .. }) = error {
            // webpki checks the time before the issuer, which may be unknown.
            let then = Time::from_unix(not_before.as_secs());
            if self.first_owner(ours, then).is_ok() || self.first_owner(manufacturers, then).is_ok()
            {
                return Verdict::NotYet(then);
            }
        }
        if let PathError::Path(webpki::Error::CertExpired { not_after, .. }) = error {
            // A label may renew it within its grace period if it has no other error. webpki checks the
            // time first.
            let then = Time::from_unix(not_after.as_secs());
            if let Ok(ca) = self.first_owner(ours, then) {
                return Verdict::Expired(ca);
            }
        }
        Verdict::Untrusted(match error {
            PathError::Path(error) => reason(error),
            PathError::Usage(what) => (*what).to_owned(),
            PathError::Key(weakness) => format!("one whose key is {weakness}"),
        })
    }

    /// Validates the chain (RFC 5280 §6). Returns the first owner of an anchor that a path leads to.
    fn first_owner<N: Clone + PartialEq>(
        &self,
        to: &AnchorSet<N>,
        now: Time,
    ) -> Result<N, PathError> {
        let mut owner = None;
        self.validate(&to.anchors, now, |path| {
            owner = to.owners(path.anchor).next().map(|(owner, _)| owner.clone());
            ControlFlow::Break(())
        })?;
        owner.ok_or(PathError::Path(webpki::Error::UnknownIssuer))
    }

    /// Validates the chain (RFC 5280 §6). Returns all manufacturers to whose anchors a path leads, each with
    /// the revocation status of its best path.
    fn statuses(
        &self,
        to: &AnchorSet<ManufacturerName>,
        now: Time,
    ) -> Result<Vec<(ManufacturerName, RevocationStatus)>, PathError> {
        let mut all: Vec<(ManufacturerName, RevocationStatus)> = Vec::new();
        self.validate(&to.anchors, now, |path| {
            for (name, anchor) in to.owners(path.anchor) {
                let status = self.revocation(name, path, anchor);
                match all.iter_mut().find(|(known, _)| known == name) {
                    Some((_, best)) => *best = best.clone().or(status),
                    None => all.push((name.clone(), status)),
                }
            }
            ControlFlow::Continue(())
        })?;
        if all.is_empty() {
            return Err(PathError::Path(webpki::Error::UnknownIssuer));
        }
        Ok(all)
    }

    /// Returns the revocation status of a valid path to a manufacturer's anchor (a certificate, DER).
    fn revocation(
        &self,
        name: &ManufacturerName,
        path: &Path<'_>,
        anchor: &[u8],
    ) -> RevocationStatus {
        let Some(crls) = self.databases.crls.get(name) else { return RevocationStatus::Unchecked };
        let intermediates = path.intermediates.iter().map(AsRef::as_ref);
        let certificates = iter::once(self.chain.end_entity().as_ref()).chain(intermediates);
        let parsed: Result<Vec<CertificateFields<'_>>, _> =
            certificates.chain([anchor]).map(CertificateFields::parse).collect();
        match parsed {
            Ok(path) => crls.check(&path),
            Err(error) => RevocationStatus::Invalid {
                issuer: "an unknown CA".to_owned(),
                cause: error.to_string(),
            },
        }
    }

    /// Validates the chain against one database (RFC 5280 §6). Calls `reached` for each valid path until
    /// it breaks.
    ///
    /// webpki receives one path at a time. Its own search tries every order of certificates that share
    /// a name, which takes hundreds of milliseconds for ten of them.
    fn validate(
        &self,
        anchors: &[TrustAnchor<'static>],
        now: Time,
        mut reached: impl FnMut(&Path<'_>) -> ControlFlow<()>,
    ) -> Result<(), PathError> {
        if anchors.is_empty() {
            return Err(PathError::Path(webpki::Error::UnknownIssuer));
        }
        let leaf = EndEntityCert::try_from(self.chain.end_entity()).map_err(PathError::Path)?;
        let paths = path::by_name(leaf.issuer(), self.chain.intermediates(), anchors);
        if paths.found.is_empty() {
            // No path, so no signature: finds any other error.
            let error = self.validate_path(&leaf, &[], anchors, now);
            return match (error, paths.unreadable) {
                (Err(PathError::Path(webpki::Error::UnknownIssuer)), Some(error)) => {
                    Err(PathError::Path(error))
                }
                (error, _) => error,
            };
        }
        let (mut valid, mut worst) = (Vec::<&TrustAnchor<'_>>::new(), None::<PathError>);
        for path in &paths.found {
            let Path { intermediates, anchor } = path;
            // A second path to the same key vouches for nothing more.
            let key = &anchor.subject_public_key_info;
            if valid
                .iter()
                .any(|one| one.subject == anchor.subject && one.subject_public_key_info == *key)
            {
                continue;
            }
            match self.validate_path(&leaf, intermediates, slice::from_ref(*anchor), now) {
                Ok(()) => {
                    valid.push(anchor);
                    if reached(path).is_break() {
                        break;
                    }
                }
                Err(error) => {
                    if worst.as_ref().is_none_or(|worst| worst.rank() < error.rank()) {
                        worst = Some(error);
                    }
                }
            }
            if self.budget.is_overdrawn() {
                break;
            }
        }
        if !valid.is_empty() {
            return Ok(());
        }
        Err(worst.unwrap_or(PathError::Path(webpki::Error::UnknownIssuer)))
    }

    fn validate_path(
        &self,
        leaf: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
        now: Time,
    ) -> Result<(), PathError> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unix()));
        // A CA whose key usage excludes signing certificates is no issuer; another path may exist.
        let no_issuer = Cell::new(false);
        let issuers = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().all(|ca| allows(&ca.der(), KeyUsage::KEY_CERT_SIGN))
            {
                return Ok(());
            }
            no_issuer.set(true);
            Err(webpki::Error::UnknownIssuer)
        };
        let path = leaf.verify_for_usage(
            self.algorithms,
            anchors,
            intermediates,
            now,
            // clientAuth if the certificate names usages at all: an IDevID usually has none
            // (R-8021AR-8-d).
            WebpkiUsage::client_auth(),
            None,
            Some(&issuers),
        );
        match path {
            Ok(_) if allows(self.chain.end_entity(), KeyUsage::DIGITAL_SIGNATURE) => {
                let key = leaf.subject_public_key_info();
                PublicKey::signed_by_anybody(&key)
                    .map_or(Ok(()), |weakness| Err(PathError::Key(weakness)))
            }
            Ok(_) => Err(PathError::Usage("one whose keyUsage lacks digitalSignature")),
            Err(_) if no_issuer.get() => {
                Err(PathError::Usage("one of an issuer whose keyUsage lacks keyCertSign"))
            }
            Err(error) => Err(PathError::Path(error)),
        }
    }
}

/// Returns whether a certificate's key may be used for this. Without a keyUsage it may.
fn allows(certificate: &[u8], usage: KeyUsage) -> bool {
    Certificate::parse(certificate)
        .and_then(|certificate| certificate.key_usage())
        .is_ok_and(|found| found.is_none_or(|found| found.contains(usage)))
}

fn reason(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { not_after, .. } => {
            format!("one that expired at {}", Time::from_unix(not_after.as_secs()))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            format!("one that is valid from {} only", Time::from_unix(not_before.as_secs()))
        }
        webpki::Error::UnknownIssuer => "one of an unknown issuer".to_owned(),
        webpki::Error::RequiredEkuNotFoundContext(_) => {
            "one whose extKeyUsage lacks clientAuth".to_owned()
        }
        webpki::Error::CaUsedAsEndEntity => "the certificate of a CA".to_owned(),
        other => format!("one that does not validate ({other})"),
    }
}

#[cfg(test)]
pub(super) mod made;

#[cfg(test)]
mod tests;
