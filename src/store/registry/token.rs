//! One-time tokens.

use crate::{
    store::ProofKeys,
    types::{DeviceId, Label, Serial, Time, TokenId},
};
use serde::{Deserialize, Serialize};

/// A one-time token: it proves its holder's right to one certificate (RFC 7030 §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// A SHA-256 over its text: the record's key. The text itself is not kept.
    pub id: TokenId,
    /// The label under which it is accepted; none: requests without a label.
    pub label: Option<Label>,
    /// The right that it gives.
    pub grant: Grant,
    /// When it was created.
    pub created: Time,
    /// When it ends (exclusive).
    pub expires: Time,
    /// Whether the operator, a restore or an import disabled it.
    pub disabled: bool,
    /// The issuance that consumed it; none: it was not used, or that issuance was voided.
    pub consumed_by: Option<Serial>,
    /// Whether a retry got a second certificate for a key that may be lost on its way (RFC 7030 §4.4).
    pub reissued: bool,
    /// The keys of CMC's proofs by a shared secret, if requested.
    #[serde(with = "proof_keys")]
    pub proof_keys: Option<ProofKeys>,
}

impl Token {
    /// The device that it is for, if it is for one.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceId> {
        match &self.grant {
            Grant::Device(id) => Some(id),
            Grant::Names { .. } | Grant::AnyName => None,
        }
    }

    /// Whether it can be used at this time.
    #[must_use]
    pub fn is_usable(&self, at: Time) -> bool {
        self.is_live(at) && self.consumed_by.is_none()
    }

    /// Whether it can be used at this time, or once its use is given back.
    #[must_use]
    pub fn is_live(&self, at: Time) -> bool {
        !self.disabled && at < self.expires
    }
}

/// The right that a token gives. A new one goes last: the stored form has its position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Grant {
    /// A certificate of this registered device, with the names that the label's rules give it.
    Device(DeviceId),
    /// A certificate with exactly these names: a subject as RFC 4514 text, entries of the subjectAltName as
    /// `dns:…`.
    Names {
        /// The subject.
        subject: String,
        /// The entries.
        san: Vec<String>,
    },
    /// A certificate with any name that the label's rules allow.
    AnyName,
}

/// The stored form of the keys of proofs: base64 of both.
mod proof_keys {
    use super::ProofKeys;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        keys: &Option<ProofKeys>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match keys {
            None => to.serialize_none(),
            Some(keys) => {
                let both = Zeroizing::new([&keys.alone[..], &keys.named[..]].concat());
                to.serialize_some(&*Zeroizing::new(STANDARD.encode(&*both)))
            }
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<ProofKeys>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let unreadable = || D::Error::custom("keys of a proof that cannot be read");
        let both = Zeroizing::new(STANDARD.decode(&*text).map_err(|_| unreadable())?);
        let (alone, named) = both.split_at_checked(32).ok_or_else(unreadable)?;
        let key = |bytes: &[u8]| bytes.try_into().map(Zeroizing::new).map_err(|_| unreadable());
        Ok(Some(ProofKeys { alone: key(alone)?, named: key(named)? }))
    }
}
