//! Authentication by TLS client certificate: whether it is accepted, and its relation to this server.
//!
//! A certificate of this server is identified by the CA that its validated path ends in, and its serial
//! number. It is the one on record if its TBSCertificate equals the one that was signed. Its DER is
//! never compared: its holder can create another signature that verifies (ECDSA: r, n - s). That
//! encoding would have no record, and no revocation.

use super::{Authenticator, AuthnContext, Presented, Standing, alarm::Unknown};
use crate::{
    pki::{Certificate, cert},
    policy::Proof,
    ra::{Peer, RevocationStatus, Verdict, rules},
    store::{self, Issuance, Store},
    telemetry::audit::Facts,
    types::{Code, ManufacturerName, Rejection, Time},
};
use std::sync::Arc;

/// The record that the store has under a certificate's serial number.
#[derive(Debug)]
pub enum RecordLookup {
    /// This certificate's.
    This(Arc<Issuance>),
    /// Another certificate's: the TBSCertificate that was signed differs.
    Another,
    /// None.
    Nothing,
}

impl RecordLookup {
    /// Looks a certificate up.
    ///
    /// # Errors
    /// [`store::Error`] if the store does not answer.
    pub async fn of(store: &dyn Store, certificate: &Certificate) -> Result<Self, store::Error> {
        let Some(record) = store.find(certificate.serial()).await? else {
            return Ok(Self::Nothing);
        };
        // The record of an open issuance has the TBSCertificate alone.
        let signed = cert::tbs(&record.certificate).unwrap_or(&record.intent.tbs);
        Ok(if signed == certificate.tbs() { Self::This(record) } else { Self::Another })
    }
}

/// The outcome of authentication by certificate.
pub(super) enum CertificateOutcome {
    /// The client presented none.
    Absent,
    /// The certificate is accepted; with its end if it has expired and may be renewed.
    Accepted(Box<Presented>, Option<Time>),
    /// The certificate expired at this time, and its grace period is over since less than the retry window:
    /// it proves nothing but the sender of a retry.
    Late(Box<Presented>, Time),
    /// The certificate becomes valid later.
    NotYetValid(Rejection),
    /// The certificate is not accepted.
    Rejected(Rejection),
}

impl CertificateOutcome {
    /// Returns the reason why a certificate that the client presented does not authenticate.
    pub(super) fn reason(&self) -> Option<Rejection> {
        match self {
            Self::Absent | Self::Accepted(..) => None,
            Self::Late(..) | Self::NotYetValid(_) | Self::Rejected(_) => Some(self.rejection()),
        }
    }

    /// Returns the reason why the certificate does not authenticate.
    pub(super) fn rejection(&self) -> Rejection {
        match self {
            Self::Rejected(rejection) | Self::NotYetValid(rejection) => rejection.clone(),
            Self::Late(_, end) => expired_at(*end),
            Self::Absent | Self::Accepted(..) => Rejection::new(
                Code::AuthNone,
                "clients must authenticate before enrolling (RFC 7030 section 4.2)",
                "neither a client certificate nor a password that is accepted here",
                "a TLS client certificate that this server trusts, or a password where it is accepted",
            ),
        }
    }
}

impl Authenticator {
    /// Checks the certificate that the client presented. A revoked one never authenticates
    /// (R-7030-3.3.2-c).
    ///
    /// An expired certificate is accepted if it is on record and within the grace period. A
    /// certificate of a CA of this server that is not on record raises an alarm, whatever the
    /// outcome (D-36); not if `explains`.
    pub(super) async fn check_certificate(
        &self,
        context: AuthnContext<'_>,
        explains: bool,
    ) -> Result<CertificateOutcome, store::Error> {
        let now = context.now;
        let rejected = |rejection| Ok(CertificateOutcome::Rejected(rejection));
        let Some(shown) = context.peer.certificate().await else {
            return Ok(CertificateOutcome::Absent);
        };
        let issuer = match &shown.verdict {
            Verdict::Ours(ca) | Verdict::Expired(ca) => Some(ca),
            Verdict::Manufacturers(_) => None,
            Verdict::NotYet(start) => {
                return Ok(CertificateOutcome::NotYetValid(not_yet(*start, now)));
            }
            Verdict::Untrusted(reason) => return rejected(bad(reason)),
        };
        let Some(certificate) = &shown.certificate else {
            return rejected(bad("one that cannot be read"));
        };
        // Compared again: a connection may outlive the certificate, and a clock may be set back.
        if now < certificate.not_before() {
            return Ok(CertificateOutcome::NotYetValid(not_yet(certificate.not_before(), now)));
        }
        let end = certificate.not_after();
        let expired = (now > end).then_some(end);
        if expired.is_none() && matches!(shown.verdict, Verdict::Expired(_)) {
            // An intermediate certificate, or the clock was set back: a new connection is accepted.
            return rejected(bad("one whose chain has expired"));
        }
        let too_late = expired.is_some() && now > end.plus(context.grace());
        let accepted = |standing| {
            let presented = Presented { certificate: Arc::clone(certificate), standing };
            Ok(CertificateOutcome::Accepted(Box::new(presented), expired))
        };
        let Some(ca) = issuer else {
            return match &shown.verdict {
                Verdict::Manufacturers(all) if expired.is_none() => {
                    match not_revoked(all, context) {
                        Ok(names) => accepted(Standing::Manufacturers(names)),
                        Err(rejection) => rejected(rejection),
                    }
                }
                _ => rejected(expired_at(end)),
            };
        };
        let recorded = RecordLookup::of(&*self.store, certificate).await?;
        if !explains && matches!(recorded, RecordLookup::Another | RecordLookup::Nothing) {
            let (ca, serial) = (ca.clone(), certificate.serial().clone());
            let unknown = Unknown { ca, serial, taken: matches!(recorded, RecordLookup::Another) };
            let mut facts = Facts::default();
            describe(certificate, &mut facts);
            self.alarms.raise(&*self.store, unknown, facts, context).await;
        }
        if let RecordLookup::This(record) = &recorded
            && let Some(rejection) = self.barred(record).await?
        {
            return rejected(rejection);
        }
        if too_late {
            return match recorded {
                RecordLookup::This(record)
                    if now <= end.plus(context.grace()).plus(context.retries())
                        && record.revocation.is_none() =>
                {
                    let certificate = Arc::clone(certificate);
                    let presented = Presented { certificate, standing: Standing::Ours(record) };
                    Ok(CertificateOutcome::Late(Box::new(presented), end))
                }
                _ => rejected(expired_at(end)),
            };
        }
        match recorded {
            RecordLookup::This(record) => match record.revocation {
                Some(revocation) => rejected(bad(&format!(
                    "one that was revoked at {}: {}",
                    revocation.at, revocation.reason
                ))),
                None => accepted(Standing::Ours(record)),
            },
            _ if expired.is_some() => rejected(expired_at(end)),
            RecordLookup::Nothing if context.accepts_unknown_of() == Some(ca) => {
                accepted(Standing::OursUnknown(ca.clone()))
            }
            recorded => rejected(unknown(&recorded)),
        }
    }

    /// Why a certificate on record does not authenticate although it is valid: its device is blocked or
    /// retired. Nothing of that is in a CRL.
    ///
    /// # Errors
    /// [`store::Error`] if the store does not answer.
    pub async fn barred(&self, record: &Issuance) -> Result<Option<Rejection>, store::Error> {
        let Some(device) = &record.intent.device else { return Ok(None) };
        Ok(self.store.is_barred(device).await?.then(|| rules::device::barred(device)))
    }
}

/// Returns the manufacturers whose CRLs do not reject the path now. If there are none, returns the
/// rejection of one that the label accepts, or else of the first.
fn not_revoked(
    all: &[(ManufacturerName, RevocationStatus)],
    context: AuthnContext<'_>,
) -> Result<Vec<ManufacturerName>, Rejection> {
    let accepts = |name: &ManufacturerName| {
        let vouches = |proof: &Proof| matches!(proof, Proof::Manufacturer(one) if one == name);
        context.rules.accept.proofs().any(vouches)
    };
    let (mut names, mut reason) = (Vec::new(), None);
    for (name, status) in all {
        match status.check(context.now) {
            Ok(()) => names.push(name.clone()),
            Err(rejection) if accepts(name) => reason = Some(rejection),
            Err(rejection) => reason = reason.or(Some(rejection)),
        }
    }
    match reason {
        Some(rejection) if names.is_empty() => Err(rejection),
        _ => Ok(names),
    }
}

/// Adds serial number, issuer and subject of a certificate to the facts of a request.
pub(super) fn describe(certificate: &Certificate, facts: &mut Facts) {
    facts.add("certificate_serial", certificate.serial());
    facts.add("certificate_issuer", certificate.issuer());
    facts.add("certificate_subject", certificate.subject());
}

/// Describes the certificate that a client presented, accepted or not.
pub(super) fn describe_shown(peer: &Peer, facts: &mut Facts) {
    let shown = peer.chain.as_ref().and_then(|chain| chain.validated());
    if let Some(certificate) = shown.as_ref().and_then(|shown| shown.certificate.as_ref()) {
        describe(certificate, facts);
    }
}

fn not_yet(start: Time, now: Time) -> Rejection {
    Rejection::new(
        Code::AuthNotYetValid,
        "the client certificate is valid now (RFC 5280 section 4.1.2.5)",
        format!("one that is valid from {start}, while this server's clock has {now}"),
        "the same certificate later, when the clock is right; or a password",
    )
}

fn bad(got: &str) -> Rejection {
    Rejection::new(
        Code::AuthCertificate,
        "the client certificate leads to a trust anchor of this server and is valid now (RFC 7030 section 3.3.2)",
        got,
        "a valid certificate of this server's CA or of another CA that it trusts",
    )
}

/// D-36.
pub(super) fn unknown(recorded: &RecordLookup) -> Rejection {
    Rejection::new(
        Code::AuthUnknownCertificate,
        "a certificate of this server's CA is on record here",
        match recorded {
            RecordLookup::Another => "one that differs from what is on record",
            _ => "one that is not on record",
        },
        "a certificate that is on record; or a password, where it is accepted; or the operator lets such certificates renew (unknown_certificates)",
    )
}

/// R-7030-4.2.2-c.
pub(in crate::ra) fn needed_to_renew(got: String) -> Rejection {
    Rejection::new(
        Code::ReenrollCertificate,
        "re-enrollment renews the certificate of this server's CA that is shown in TLS (RFC 7030 section 4.2.2)",
        got,
        "the certificate to be renewed as TLS client certificate; or simpleenroll",
    )
}

pub(super) fn expired_at(end: Time) -> Rejection {
    bad(&format!("one that expired at {end}"))
}
