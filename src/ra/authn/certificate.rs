//! The certificate's part of an authentication: whether it is accepted, and how it stands to this
//! server.
//!
//! A certificate of ours is identified by the CA of ours that its validated path ends in, and its
//! serial number. It is the one on record if its TBSCertificate is the one that was signed. Its DER
//! is never compared: whoever holds a certificate can give it another signature that verifies
//! (ECDSA: r, n - s), and that one would have no record, and no revocation.

use crate::{
    pki::{Certificate, cert, sha256},
    ra::{ClientCertificate, Peer, Verdict},
    store::{self, Issuance, Store},
    telemetry::audit::Facts,
    types::{CaName, Code, Rejection, Serial, Time, TrustClass},
};
use std::{sync::Arc, time::Duration};

/// A client certificate that was accepted, and how it stands to this server.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// The database of trust anchors that vouches for it.
    pub class: TrustClass,
    /// How it stands to this server.
    pub standing: Standing,
}

/// How an accepted certificate stands to this server.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It is on record here, and was not revoked.
    Ours(Arc<Issuance>),
    /// This CA of ours vouches for it, and it is not on record (D-36). It may renew its own names,
    /// and nothing else.
    OursUnknown(CaName),
    /// Another anchor vouches for it.
    ThirdParty,
}

impl Presented {
    /// Whether this is the same certificate: its issuer signed the same TBSCertificate.
    #[must_use]
    pub fn is(&self, other: &Certificate) -> bool {
        self.certificate.tbs() == other.tbs()
    }

    /// The record of a certificate of ours.
    #[must_use]
    pub const fn record(&self) -> Option<&Arc<Issuance>> {
        match &self.standing {
            Standing::Ours(record) => Some(record),
            Standing::OursUnknown(_) | Standing::ThirdParty => None,
        }
    }

    /// What tells it from every other certificate, whatever its signature looks like: CA and serial
    /// number of one of ours, the digest of its TBSCertificate of another one.
    pub(crate) fn identity(&self) -> (&str, Vec<u8>) {
        match &self.standing {
            Standing::Ours(record) => {
                (record.intent.ca.as_str(), record.intent.serial.as_bytes().to_vec())
            }
            Standing::OursUnknown(ca) => {
                (ca.as_str(), self.certificate.serial().as_bytes().to_vec())
            }
            Standing::ThirdParty => ("", sha256(self.certificate.tbs()).to_vec()),
        }
    }
}

/// What the store has under a certificate's serial number.
#[derive(Debug)]
pub enum Recorded {
    /// This certificate.
    This(Arc<Issuance>),
    /// Another one: what was signed is not what this certificate says.
    Another,
    /// Nothing.
    Nothing,
}

impl Recorded {
    /// Looks a certificate up.
    ///
    /// # Errors
    /// [`store::Error`] if the store does not answer.
    pub async fn of(store: &dyn Store, certificate: &Certificate) -> Result<Self, store::Error> {
        let Some(record) = store.find(certificate.serial()).await? else {
            return Ok(Self::Nothing);
        };
        // While it is open, the record holds what will be signed; then the certificate does.
        let signed = cert::tbs(&record.certificate).unwrap_or(&record.intent.tbs);
        Ok(if signed == certificate.tbs() { Self::This(record) } else { Self::Another })
    }
}

/// What a client showed in TLS.
pub(super) enum Shown {
    Nothing,
    /// Trusted; the CA of ours that its path ends in.
    Trusted(Arc<Certificate>, TrustClass, Option<CaName>),
    /// Trusted until it expired.
    Expired(Arc<Certificate>, Option<CaName>),
    NotYet(Rejection),
    Bad(Rejection),
}

/// What becomes of it.
pub(super) enum Judged {
    Nothing,
    /// It counts; when it expired, if it is accepted all the same, to be renewed.
    Accepted(Box<Presented>, Option<Time>),
    NotYet(Rejection),
    Bad(Rejection),
}

impl Judged {
    /// The reason why it does not authenticate.
    pub(super) fn rejection(self) -> Rejection {
        match self {
            Self::Bad(rejection) | Self::NotYet(rejection) => rejection,
            Self::Nothing | Self::Accepted(..) => Rejection::new(
                Code::AuthNone,
                "a client shows who it is before it enrols (RFC 7030 section 4.2)",
                "neither a client certificate nor a password that is accepted here",
                "a TLS client certificate that this server trusts, or a password where it is accepted",
            ),
        }
    }
}

/// What a renewal may do that nothing else may.
#[derive(Clone, Copy)]
pub(super) struct Renewal<'a> {
    /// How long ago the certificate may have expired.
    pub(super) grace: Duration,
    /// The CA whose certificates need not be on record.
    pub(super) unknown_of: Option<&'a CaName>,
}

/// A certificate that a CA of ours vouches for and that is not on record: an alarm.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) ca: CaName,
    pub(super) serial: Serial,
    /// Whether another certificate is on record under its serial number.
    pub(super) taken: bool,
}

/// Finds the record of a certificate that may be one of this server's. One that was revoked proves
/// nothing (R-7030-3.3.2-c), whoever asks and for what.
///
/// One that has expired is accepted if it is on record, and that is not longer ago than the grace
/// period. One that should be on record and is not is reported in `alarm`, whatever becomes of it.
pub(super) async fn judge(
    store: &dyn Store,
    shown: Shown,
    renewal: Renewal<'_>,
    now: Time,
    alarm: &mut Option<Unknown>,
) -> Result<Judged, store::Error> {
    let (certificate, class, issuer, expired) = match shown {
        Shown::Nothing => return Ok(Judged::Nothing),
        Shown::NotYet(rejection) => return Ok(Judged::NotYet(rejection)),
        Shown::Bad(rejection) => return Ok(Judged::Bad(rejection)),
        Shown::Trusted(certificate, class, issuer) => (certificate, class, issuer, None),
        Shown::Expired(certificate, issuer) => {
            let end = certificate.not_after();
            if now > end.plus(renewal.grace) {
                return Ok(Judged::Bad(expired_at(end)));
            }
            (certificate, TrustClass::Explicit, issuer, Some(end))
        }
    };
    let standing = match Recorded::of(store, &certificate).await? {
        Recorded::This(record) => {
            if let Some(revocation) = record.revocation {
                let seen =
                    format!("one that was revoked at {}: {}", revocation.at, revocation.reason);
                return Ok(Judged::Bad(bad(&seen)));
            }
            match class {
                TrustClass::Explicit => Standing::Ours(record),
                // What only a third party's anchor vouches for has no rights as one of ours.
                TrustClass::Implicit => Standing::ThirdParty,
            }
        }
        found => {
            if let Some(end) = expired {
                return Ok(Judged::Bad(expired_at(end)));
            }
            match issuer {
                None => Standing::ThirdParty,
                Some(ca) => {
                    let taken = matches!(found, Recorded::Another);
                    let serial = certificate.serial().clone();
                    *alarm = Some(Unknown { ca: ca.clone(), serial, taken });
                    if taken || renewal.unknown_of != Some(&ca) {
                        return Ok(Judged::Bad(unknown(taken)));
                    }
                    Standing::OursUnknown(ca)
                }
            }
        }
    };
    let presented = Presented { certificate, class, standing };
    Ok(Judged::Accepted(Box::new(presented), expired))
}

pub(super) fn shown(certificate: Option<&ClientCertificate>, now: Time) -> Shown {
    let Some(shown) = certificate else { return Shown::Nothing };
    let (class, issuer) = match &shown.verdict {
        Verdict::Trusted { class, issuer } => (Some(*class), issuer.clone()),
        Verdict::Expired { issuer } => (None, issuer.clone()),
        Verdict::NotYet(moment) => return Shown::NotYet(not_yet(*moment, now)),
        Verdict::Untrusted(reason) => return Shown::Bad(bad(reason)),
    };
    let Some(certificate) = &shown.certificate else {
        return Shown::Bad(bad("one that cannot be read"));
    };
    // A connection may outlive the certificate that opened it.
    if now > certificate.not_after() {
        return match class {
            Some(TrustClass::Implicit) => Shown::Bad(expired_at(certificate.not_after())),
            Some(TrustClass::Explicit) | None => Shown::Expired(Arc::clone(certificate), issuer),
        };
    }
    // Nor does the clock go forward only.
    if now < certificate.not_before() {
        return Shown::NotYet(not_yet(certificate.not_before(), now));
    }
    match class {
        Some(class) => Shown::Trusted(Arc::clone(certificate), class, issuer),
        // What has expired is an intermediate certificate, or the clock was set back: then a
        // new connection finds it valid.
        None => Shown::Bad(bad("one whose chain has expired")),
    }
}

/// Adds what tells a certificate from others to the facts of a request.
pub(super) fn describe(certificate: &Certificate, facts: &mut Facts) {
    facts.add("certificate_serial", certificate.serial());
    facts.add("certificate_issuer", certificate.issuer());
    facts.add("certificate_subject", certificate.subject());
}

/// Describes the certificate that a client showed, whether or not it counts.
pub(super) fn describe_shown(peer: &Peer, facts: &mut Facts) {
    let shown = peer.chain.as_ref().and_then(|chain| chain.validated());
    if let Some(certificate) = shown.as_ref().and_then(|shown| shown.certificate.as_ref()) {
        describe(certificate, facts);
    }
}

fn not_yet(moment: Time, now: Time) -> Rejection {
    Rejection::new(
        Code::AuthNotYetValid,
        "the client certificate is valid now (RFC 5280 section 4.1.2.5)",
        format!("one that is valid from {moment} only, and it is {now} on this server's clock"),
        "the same certificate later, when the clock is right; or a password",
    )
}

fn bad(seen: &str) -> Rejection {
    Rejection::new(
        Code::AuthCertificate,
        "the client certificate leads to a trust anchor of this server and is valid now (RFC 7030 section 3.3.2)",
        seen,
        "a valid certificate of this server's CA or of another one that it trusts",
    )
}

/// D-36.
fn unknown(taken: bool) -> Rejection {
    Rejection::new(
        Code::AuthUnknownCertificate,
        "a certificate of this server's CA is on record here",
        if taken { "one that differs from what is on record" } else { "one that is not on record" },
        "a certificate that is on record; or a password, where it is accepted; or the operator lets such certificates renew (unknown_certificates)",
    )
}

fn expired_at(moment: Time) -> Rejection {
    bad(&format!("one that expired at {moment}"))
}
