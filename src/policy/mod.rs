//! The rules that an operator writes for labels, profiles, CAs and passwords. `config` reads them from TOML; `ca`, `ra`, `est` and `http` act on them.
//!
//! Plain values: a rule is checked in the module that applies it.

mod ca;
mod decrypt_keys;
mod device;
mod label;
mod manufacturer;
mod passwords;
mod profile;
mod proof;
mod renewal;

pub use ca::{CaRules, ServerCertificateRules};
pub use decrypt_keys::DecryptKeys;
pub use device::{DeviceMode, DeviceRules};
pub use label::{Base64Form, CsrAttrs, KeyGeneration, LabelRules, Linking, UnknownCertificates};
pub use manufacturer::ManufacturerRules;
pub use passwords::Passwords;
pub use profile::ProfileRules;
pub use proof::{Accept, InvalidProof, Proof, Scheme};
pub use renewal::{Predecessor, RenewalKey, RenewalRules, RenewalWindow, Superseding};

use crate::types::{Label, ManufacturerName, ProfileName};
use std::collections::BTreeMap;

/// The policies of all labels, and the profiles and manufacturers that they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// The manufacturers, by name.
    pub manufacturers: BTreeMap<ManufacturerName, ManufacturerRules>,
    /// The profiles, by name.
    pub profiles: BTreeMap<ProfileName, ProfileRules>,
    /// The policy without a label.
    pub unlabeled: LabelRules,
    /// The policies by label.
    pub labels: BTreeMap<Label, LabelRules>,
}

impl Policies {
    /// The policies of all labels, and the one without.
    pub fn all(&self) -> impl Iterator<Item = &LabelRules> {
        self.by_label().map(|(_, rules)| rules)
    }

    /// The policies of all labels, and the one without, each with its label.
    pub fn by_label(&self) -> impl Iterator<Item = (Option<&Label>, &LabelRules)> {
        let labels = self.labels.iter().map(|(label, rules)| (Some(label), rules));
        std::iter::once((None, &self.unlabeled)).chain(labels)
    }

    /// The labels whose certificates supersede their predecessors, with the delay of each (D-35).
    #[must_use]
    pub fn superseding(&self) -> Superseding {
        self.by_label()
            .filter_map(|(label, rules)| match rules.renewal.predecessor {
                Predecessor::Supersede(delay) => Some((label.cloned(), delay)),
                Predecessor::Keep => None,
            })
            .collect()
    }
}
