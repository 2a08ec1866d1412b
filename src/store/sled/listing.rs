//! Lists issuances: by a walk of all, or by what the index finds.

use super::{
    super::{Error, Filter, Issuance, State, format},
    disk::{Trees, store_error},
};
use crate::types::Serial;
use std::{ops::Bound, sync::Arc};

/// Merges the open issuances with those that have ended, in the order of their serial numbers.
pub(super) fn walked(
    trees: &Trees,
    open: Vec<Arc<Issuance>>,
    filter: &Filter,
    after: Option<&Serial>,
    limit: usize,
) -> Result<Vec<Arc<Issuance>>, Error> {
    // Open ones are not in the tree: a search of it would find none.
    if filter.state == Some(State::Open) {
        let passing = open.into_iter().filter(|record| filter.matches(record));
        return Ok(passing.take(limit).collect());
    }
    let from = after.map_or(Bound::Unbounded, |serial| Bound::Excluded(serial.as_bytes()));
    let mut open = open.into_iter().peekable();
    let mut ended = trees.certificates.range::<&[u8], _>((from, Bound::Unbounded)).peekable();
    let mut found = Vec::new();
    while found.len() < limit {
        let next = match (open.peek(), ended.peek()) {
            (Some(first), Some(Ok((key, _)))) => first.intent.serial.as_bytes().cmp(key.as_ref()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(Ok(_))) => std::cmp::Ordering::Greater,
            (_, Some(Err(error))) => return Err(store_error(error.clone())),
            (None, None) => break,
        };
        // One that is in both is ending now, and is open until that is durable.
        let record = if next.is_le() {
            if next.is_eq() {
                ended.next();
            }
            open.next()
        } else {
            let entry = ended.next().transpose().map_err(store_error)?;
            entry.map(|(_, value)| format::read_issuance(&value).map(Arc::new)).transpose()?
        };
        found.extend(record.filter(|record| filter.matches(record)));
    }
    Ok(found)
}

/// Reads the records of the candidates, a page at a time, and keeps those that match.
pub(super) fn indexed(
    trees: &Trees,
    open: &[Arc<Issuance>],
    filter: &Filter,
    first: Vec<Vec<u8>>,
    next: impl Fn(&[u8]) -> Option<Vec<Vec<u8>>>,
    limit: usize,
) -> Result<Vec<Arc<Issuance>>, Error> {
    let mut found = Vec::new();
    let mut page = first;
    loop {
        for serial in &page {
            if found.len() >= limit {
                return Ok(found);
            }
            // In the order of their serial numbers. One that ends now is open until that is durable.
            let at = open.binary_search_by(|one| one.intent.serial.as_bytes().cmp(serial));
            let record = match at.ok().and_then(|at| open.get(at)) {
                Some(record) => Some(Arc::clone(record)),
                None => {
                    let value = trees.certificates.get(serial).map_err(store_error)?;
                    value.map(|value| format::read_issuance(&value).map(Arc::new)).transpose()?
                }
            };
            found.extend(record.filter(|record| filter.matches(record)));
        }
        let Some(last) = page.last() else { return Ok(found) };
        page = next(last).unwrap_or_default();
    }
}
