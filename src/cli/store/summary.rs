//! How the outcome of a command on a whole store is printed.

use crate::{
    cli::context::Context,
    store::transfer::{Counts, Summary},
};

/// Describes the items that were read or written, and their digest; `done` names the action.
pub(super) fn describe_summary(context: &Context, done: &str, of: &Summary) -> String {
    let Summary { counts, digest } = of;
    if !context.json {
        return format!("{done}: {counts}\nSHA-256 of the contents: {digest}");
    }
    let mut value = count_fields(*counts);
    value.insert("done".to_owned(), done.into());
    value.insert("sha256".to_owned(), digest.to_string().into());
    serde_json::Value::from(value).to_string()
}

/// Returns the counts as fields of JSON.
pub(super) fn count_fields(counts: Counts) -> serde_json::Map<String, serde_json::Value> {
    let Counts { issuances, accounts, registers, events } = counts;
    let each = [
        ("issuances", issuances),
        ("accounts", accounts),
        ("registers", registers),
        ("events", events),
    ];
    each.map(|(name, count)| (name.to_owned(), count.into())).into_iter().collect()
}
