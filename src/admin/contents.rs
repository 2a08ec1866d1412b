//! What the store holds, page by page, for an export and a check while the server runs.

use super::{Admin, Error, Handle, audit::place, invalid, serial};
use crate::{
    api,
    store::{Filter, Item, transfer::to_line},
    telemetry::audit::EventId,
    types::Actor,
};
use async_trait::async_trait;

/// Bytes of lines after which a page ends: far below what a client reads.
const FULL: usize = 4 << 20;

#[async_trait]
impl Handle for api::ReadStore {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        admin.read_store(&self).await
    }
}

impl Admin {
    /// Reads a page of one part of the store.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a parameter; [`Error::Store`].
    pub async fn read_store(&self, query: &api::ReadStore) -> Result<api::StoreItems, Error> {
        let limit = query.limit.unwrap_or(500);
        if !(1..=1000).contains(&limit) {
            return Err(invalid(limit, "the limit is 1 to 1000"));
        }
        let from = query.from.as_deref();
        let is_after = |key: &str| from.is_none_or(|from| key > from);
        let items: Vec<Item> = match query.part.as_str() {
            "issuances" => {
                let after = from.map(serial).transpose()?;
                let all = Filter::default();
                let found = self.store.list(&all, after.as_ref(), limit).await?;
                found.into_iter().map(Item::Issuance).collect()
            }
            "accounts" => {
                let mut found = self.store.accounts().await?;
                // A database may have an order of its own.
                found.sort_by(|one, other| one.name.cmp(&other.name));
                found.retain(|account| is_after(&account.name));
                found.into_iter().take(limit).map(Item::Account).collect()
            }
            "registers" => {
                let mut found = self.store.registers().await?;
                found.sort();
                found.retain(|(name, _)| is_after(name));
                let item = |(name, value)| Item::Register(name, value);
                found.into_iter().take(limit).map(item).collect()
            }
            "events" => {
                let first = EventId { writer: 0, number: 0 };
                let from = from.map(place).transpose()?.unwrap_or(first);
                let found = self.store.events(from, limit).await?;
                found.into_iter().map(|(id, event)| Item::Event(id, event)).collect()
            }
            other => {
                let parts = "the parts are issuances, accounts, registers and events";
                return Err(invalid(other, parts));
            }
        };
        let (mut lines, mut size) = (Vec::with_capacity(items.len()), 0);
        for item in &items {
            let line = to_line(item).map_err(|error| Error::Internal(error.to_string()))?;
            size += line.len();
            lines.push(line);
            if size >= FULL {
                break;
            }
        }
        Ok(api::StoreItems { lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        entropy::SystemEntropy,
        store::{MemoryStore, Store, transfer::from_line},
        telemetry::audit::NoTrail,
    };
    use std::sync::Arc;

    fn query(part: &str, from: Option<&str>, limit: Option<usize>) -> api::ReadStore {
        api::ReadStore { part: part.to_owned(), from: from.map(str::to_owned), limit }
    }

    #[tokio::test]
    async fn parts_are_read_in_pages_and_other_values_are_rejected() {
        let store = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
        for name in ["c", "a", "b"] {
            store.compare_and_set(name, None, &[1]).await.unwrap();
        }
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::new()));
        let admin = Admin::new(store, Vec::new(), "estd".to_owned(), clock, entropy);
        let read = async |from, limit| {
            let page = admin.read_store(&query("registers", from, Some(limit))).await.unwrap();
            let items = page.lines.iter().map(|line| match from_line(line) {
                Ok(Item::Register(name, value)) if value == [1] => name,
                other => panic!("{other:?}"),
            });
            items.collect::<Vec<_>>()
        };
        assert_eq!(read(None, 2).await, ["a", "b"]);
        assert_eq!(read(Some("b"), 2).await, ["c"]);
        assert!(read(Some("c"), 2).await.is_empty());
        for (bad, seen) in [
            (query("keys", None, None), "keys"),
            (query("issuances", Some("x"), None), "x"),
            (query("events", Some("7"), None), "7"),
            (query("accounts", None, Some(0)), "0"),
            (query("accounts", None, Some(1001)), "1001"),
        ] {
            match admin.read_store(&bad).await {
                Err(Error::Invalid { seen: got, .. }) => assert_eq!(got, seen),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
    }
}
