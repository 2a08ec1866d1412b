//! The revocation status of a path to a manufacturer's anchor.

use crate::types::{Code, Rejection, Time};
use std::time::Duration;

/// The revocation status of a path (RFC 5280 §6.3): of every certificate but the anchor.
///
/// It does not depend on the clock: a rule compares `until` with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationStatus {
    /// The configuration names no CRL files of the manufacturer.
    Unchecked,
    /// No certificate is revoked. The first of the CRLs that show it is to be replaced by this time.
    Good {
        /// The earliest nextUpdate.
        until: Time,
        /// How long after it the CRLs still count.
        grace: Duration,
    },
    /// A certificate is revoked, or on hold.
    Revoked {
        /// The certificate's subject.
        subject: String,
        /// Since when.
        since: Time,
        /// The name of the CRLReason, if the CRL has one.
        reason: Option<&'static str>,
    },
    /// The CRL of a CA is missing.
    NoCrl {
        /// The CA's name.
        issuer: String,
    },
    /// The CRL of a CA is not signed by it.
    Invalid {
        /// The CA's name.
        issuer: String,
        /// The error.
        cause: String,
    },
}

impl RevocationStatus {
    /// Returns the better status of two paths of one certificate: one valid path is enough. Of two good
    /// statuses, returns the one that counts longer.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let until = |status: &Self| match status {
            Self::Unchecked => Some(Time::MAX),
            Self::Good { until, grace } => Some(until.plus(*grace)),
            Self::Revoked { .. } | Self::NoCrl { .. } | Self::Invalid { .. } => None,
        };
        if until(&other) > until(&self) { other } else { self }
    }

    /// Checks that the path counts at this time. CRLs count up to the last second of their grace period.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self, now: Time) -> Result<(), Rejection> {
        let got = match self {
            Self::Unchecked => return Ok(()),
            Self::Good { until, grace } if now <= until.plus(*grace) => return Ok(()),
            Self::Good { until, .. } => {
                format!("a CRL that was to be replaced by {until}")
            }
            Self::NoCrl { issuer } => format!("no CRL of {issuer}"),
            Self::Invalid { issuer, cause } => format!("no valid CRL of {issuer}: {cause}"),
            Self::Revoked { subject, since, reason } => {
                let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                return Err(Rejection::of(
                    Code::AuthRevoked,
                    format!("{subject}, revoked at {since}{reason}"),
                    "a certificate that its manufacturer has not revoked",
                ));
            }
        };
        Err(Rejection::of(
            Code::AuthCrl,
            got,
            "the same certificate once the operator has given the manufacturer's CRLs; or another proof",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_paths_counts() {
        let good =
            |until| RevocationStatus::Good { until: Time::from_unix(until), grace: Duration::ZERO };
        let none = |issuer: &str| RevocationStatus::NoCrl { issuer: issuer.to_owned() };
        assert_eq!(good(1).or(good(2)), good(2));
        assert_eq!(good(2).or(good(1)), good(2));
        assert_eq!(none("a").or(good(0)), good(0));
        assert_eq!(good(0).or(none("a")), good(0));
        assert_eq!(none("a").or(none("b")), none("a"));
        assert_eq!(RevocationStatus::Unchecked.or(none("a")), RevocationStatus::Unchecked);
    }

    #[test]
    fn a_crl_counts_to_the_last_second_of_its_grace_period() {
        let until = Time::from_unix(1_790_000_000);
        let status = |grace| RevocationStatus::Good { until, grace: Duration::from_secs(grace) };
        for grace in [0, 3600] {
            let at =
                |second| status(grace).check(Time::from_unix(until.unix() + grace + second - 1));
            assert_eq!((at(0), at(1)), (Ok(()), Ok(())), "{grace}");
            let rejection = at(2).unwrap_err();
            assert_eq!(rejection.code, Code::AuthCrl);
            assert_eq!(rejection.got, "a CRL that was to be replaced by 2026-09-21T14:13:20Z");
        }
        assert_eq!(RevocationStatus::Unchecked.check(Time::MAX), Ok(()));
        assert_eq!(status(u64::MAX).check(Time::MAX), Ok(()));
    }
}
