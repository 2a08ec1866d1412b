//! `/csrattrs` (RFC 7030 §4.5): the demands of a label on a CSR.

use crate::{
    ca::Profile,
    pki::oid,
    policy::{self, Linking},
    types::CsrAttribute,
};

/// The answer of a label.
#[derive(Debug)]
pub(super) enum Offer {
    /// The operation is not offered: 404.
    Nothing,
    /// The operation is offered, and the label demands nothing: 204 (D-13).
    Silence,
    /// CsrAttrs, DER.
    Answer(Vec<u8>),
}

impl Offer {
    /// Writes the answer once for all requests: it depends on nothing but the configuration.
    pub(super) fn new(profile: &Profile, rules: &policy::LabelRules) -> Result<Self, String> {
        if !rules.csrattrs.offer {
            return Ok(Self::Nothing);
        }
        let encoding =
            |rejection: der::Error| format!("/csrattrs of {}: {rejection}", rules.profile);
        let mut asked = profile.csrattrs().map_err(encoding)?;
        if rules.linking == Linking::Required {
            // The attributes of RFC 7030 §3.5 and RFC 7894 §4: a CSR may have either.
            let binding = [oid::CHALLENGE_PASSWORD, oid::EST_IDENTITY_LINKING];
            let binding = binding.map(|kind| CsrAttribute { kind, value: None });
            asked.attributes.splice(0..0, binding);
        }
        if asked.is_empty() {
            return Ok(Self::Silence);
        }
        asked.to_der(rules.csrattrs.form).map(Self::Answer).map_err(encoding)
    }

    pub(super) const fn is_offered(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    pub(super) fn answer(&self) -> Option<&[u8]> {
        match self {
            Self::Answer(der) => Some(der),
            Self::Nothing | Self::Silence => None,
        }
    }
}
