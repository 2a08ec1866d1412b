//! The rules of renewal.

use super::Accept;
use crate::types::{Label, RenewalPoint, Time};
use std::{collections::BTreeMap, time::Duration};

/// `[label.NAME.renewal]`: the rules of renewal, for `/simplereenroll` and for every other operation
/// that renews a certificate (D-32).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalRules {
    /// The proofs that clients must give. The certificate to be renewed is always needed.
    pub accept: Accept,
    /// When it can be renewed at the earliest.
    pub window: RenewalWindow,
    /// When its renewal is due (D-39).
    pub due: RenewalPoint,
    /// Grace period after expiry in which it can still be renewed.
    pub grace: Duration,
    /// The key of the new certificate.
    pub key: RenewalKey,
    /// The fate of the certificate that was renewed.
    pub predecessor: Predecessor,
}

/// When a certificate can be renewed at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalWindow {
    /// When this part of its lifetime has passed.
    Passed(RenewalPoint),
    /// When this time of its lifetime is left.
    Left(Duration),
}

impl RenewalWindow {
    /// Returns the first second in which a certificate with this validity can be renewed.
    #[must_use]
    pub fn opens(self, not_before: Time, not_after: Time) -> Time {
        match self {
            Self::Passed(point) => point.due(not_before, not_after),
            Self::Left(left) => not_after.minus(left).max(not_before),
        }
    }
}

/// The key of a renewed certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalKey {
    /// Another than before.
    New,
    /// The same as before.
    Same,
    /// Either.
    Either,
}

/// The fate of a certificate that was renewed (D-35).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// It stays valid until it expires.
    Keep,
    /// It is revoked as superseded: when its successor is first used after the retry window, and
    /// after this time at the latest.
    Supersede(Duration),
}

/// The labels whose certificates supersede their predecessors, with the delay of each (D-35).
pub type Superseding = BTreeMap<Option<Label>, Duration>;
