//! `/csrattrs` (RFC 7030 §4.5): what a label says that a CSR has to hold.

use crate::{ca::Profile, config};

/// What a label answers.
#[derive(Debug)]
pub(super) enum Offer {
    /// The operation is not offered: 404.
    Nothing,
    /// It is, and there is nothing to ask for: 204 (D-13).
    Silence,
    /// CsrAttrs, DER.
    Answer(Vec<u8>),
}

impl Offer {
    /// Writes the answer once for all requests: it depends on nothing but the configuration.
    pub(super) fn new(profile: &Profile, rules: &config::Policy) -> Result<Self, String> {
        if !rules.csrattrs.offer {
            return Ok(Self::Nothing);
        }
        let asked = profile.csrattrs().and_then(|asked| {
            Ok((!asked.is_empty()).then(|| asked.to_der(rules.csrattrs.form)).transpose()?)
        });
        let asked: Option<Vec<u8>> = asked
            .map_err(|fault: der::Error| format!("/csrattrs of {}: {fault}", rules.profile))?;
        Ok(asked.map_or(Self::Silence, Self::Answer))
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
