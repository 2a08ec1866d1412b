//! The store as a whole, a page at a time: for an export and a check while the server runs.

use serde::{Deserialize, Serialize};

/// Reads a page of the store's contents, as lines of an export, with the secrets of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadStore {
    /// `issuances`, `accounts`, `registers`, `devices`, `tokens` or `events`.
    pub part: String,
    /// Place to start from: the last item's serial number, name or id (exclusive); for events
    /// `WRITER.NUMBER` (inclusive). Default: the first item.
    pub from: Option<String>,
    /// Largest number of items: 1 to 1000. Default: 500.
    pub limit: Option<usize>,
}

/// The answer to [`ReadStore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreItems {
    /// Items in the order of an export. A page may be shorter than its limit; only an empty one is
    /// the end.
    pub lines: Vec<String>,
}
