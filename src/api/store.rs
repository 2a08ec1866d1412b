//! The store as a whole, a page at a time: for an export and a check while the server runs.

use serde::{Deserialize, Serialize};

/// Reads a page of what the store holds, as lines of an export. Among them are the secrets of
/// accounts, as in an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadStore {
    /// `issuances`, `accounts`, `registers` or `events`.
    pub part: String,
    /// The place to start from: the last item's serial number or name (exclusive); of events
    /// `WRITER.NUMBER` (inclusive). From the first without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// At most so many: 1 to 1000, 500 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The answer to [`ReadStore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreItems {
    /// Items in the order of an export. A page may be shorter than its limit; there are no more
    /// items only if it is empty.
    pub lines: Vec<String>,
}
