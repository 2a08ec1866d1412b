//! The keys by which devices decrypt keys that the server generates.

use crate::types::DecryptKey;

/// `[serverkeygen]`: the keys by which devices decrypt keys that the server generates (RFC 7030
/// §4.4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecryptKeys {
    /// Symmetric keys, each identifier once.
    pub symmetric: Vec<DecryptKey>,
    /// Certificates of asymmetric keys, DER.
    pub recipients: Vec<Vec<u8>>,
}
