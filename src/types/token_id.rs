//! The ids of one-time tokens.

use super::form;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The id of a one-time token: its SHA-256, so that a record of it does not give the token away. Its
/// text form is lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(#[serde(with = "form::digest")] pub [u8; 32]);

impl TokenId {
    /// Returns the beginning of its text, which distinguishes it for a reader.
    #[must_use]
    pub fn short(&self) -> String {
        base16ct::lower::encode_string(self.0.split_at(8).0)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_that_of_a_sha_256() {
        let id = TokenId([0x0a; 32]);
        assert_eq!(id.to_string(), "0a".repeat(32));
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(text, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<TokenId>(&text).unwrap(), id);
        assert!(serde_json::from_str::<TokenId>("\"0a\"").is_err());
    }
}
