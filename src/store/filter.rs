//! The filter of a list of issuances.

use super::{Issuance, State};
use crate::types::{DeviceId, Label, Serial, Time};

/// Selects issuances to list. Every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the subject or of a SAN entry, without regard to ASCII case.
    pub subject: Option<String>,
    /// The state.
    pub state: Option<State>,
    /// The label; `Some(None)`: issuances without one.
    pub label: Option<Option<Label>>,
    /// Latest `notAfter`, exclusive.
    pub expires_before: Option<Time>,
    /// Earliest `notAfter`, inclusive.
    pub expires_from: Option<Time>,
    /// The device.
    pub device: Option<DeviceId>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub key: Option<[u8; 32]>,
    /// The certificate that it renews or rekeys: finds the successors of that one.
    pub predecessor: Option<Serial>,
    /// Earliest time of the revocation, inclusive: certificates that are not revoked do not match.
    pub revoked_from: Option<Time>,
}

impl Filter {
    /// Whether `issuance` matches.
    #[must_use]
    pub fn matches(&self, issuance: &Issuance) -> bool {
        let intent = &issuance.intent;
        let names_hold = |part: &String| {
            let part = part.to_ascii_lowercase();
            intent.subject.to_ascii_lowercase().contains(&part)
                || intent.san.iter().any(|entry| entry.to_ascii_lowercase().contains(&part))
        };
        self.subject.as_ref().is_none_or(names_hold)
            && self.state.is_none_or(|state| state == issuance.state)
            && self.label.as_ref().is_none_or(|label| *label == intent.label)
            && self.expires_before.is_none_or(|time| intent.not_after < time)
            && self.expires_from.is_none_or(|time| intent.not_after >= time)
            && self.device.as_ref().is_none_or(|id| intent.device.as_ref() == Some(id))
            && self
                .revoked_from
                .is_none_or(|from| issuance.revocation.is_some_and(|one| one.at >= from))
            && self.key.is_none_or(|key| key == intent.spki_sha256)
            && self
                .predecessor
                .as_ref()
                .is_none_or(|first| intent.predecessor.as_ref() == Some(first))
    }
}
