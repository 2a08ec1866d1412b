//! The contents of the store, page by page, for an export and a check while the server runs.

use super::{
    error::{Error, invalid},
    service::{Admin, Handle},
    values::{limit, place, serial},
};
use crate::{
    api,
    store::{DeviceFilter, Filter, Item, TokenFilter, transfer::to_line},
    telemetry::audit::EventId,
    types::{Actor, InvalidDeviceId, TokenId, parse_sha256},
};

/// Bytes of lines after which a page ends: far below the limit of a client.
const FULL: usize = 4 << 20;

impl Handle for api::ReadStore {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let limit = limit(self.limit, 500)?;
        let from = self.from.as_deref();
        let is_after = |key: &str| from.is_none_or(|from| key > from);
        let items: Vec<Item> = match self.part.as_str() {
            "issuances" => {
                let after = from.map(serial).transpose()?;
                let all = Filter::default();
                let found = admin.store.list(&all, after.as_ref(), limit).await?;
                found.into_iter().map(Item::Issuance).collect()
            }
            "accounts" => {
                let mut found = admin.store.accounts().await?;
                // A database may have an order of its own.
                found.sort_by(|one, other| one.name.cmp(&other.name));
                found.retain(|account| is_after(&account.name));
                found.into_iter().take(limit).map(Item::Account).collect()
            }
            "registers" => {
                let mut found = admin.store.registers().await?;
                found.sort();
                found.retain(|(name, _)| is_after(name));
                let item = |(name, value)| Item::Register(name, value);
                found.into_iter().take(limit).map(item).collect()
            }
            "devices" => {
                let bad = |error: InvalidDeviceId| {
                    invalid("place", from.unwrap_or_default(), error.to_string())
                };
                let after = from.map(str::parse).transpose().map_err(bad)?;
                let all = DeviceFilter::default();
                let found = admin.store.devices(&all, after.as_ref(), limit).await?;
                found.into_iter().map(|device| Item::Device(Box::new(device))).collect()
            }
            "tokens" => {
                let bad = || invalid("place", from.unwrap_or_default(), "the id of a token");
                let read = |text| parse_sha256(text).map(TokenId).ok_or_else(bad);
                let after = from.map(read).transpose()?;
                let all = TokenFilter::default();
                let found = admin.store.tokens(&all, after.as_ref(), limit).await?;
                found.into_iter().map(|token| Item::Token(Box::new(token))).collect()
            }
            "events" => {
                let first = EventId { writer: 0, number: 0 };
                let from = from.map(place).transpose()?.unwrap_or(first);
                let found = admin.store.events(from, limit).await?;
                found.into_iter().map(|(id, event)| Item::Event(id, event)).collect()
            }
            other => {
                let parts = "issuances, accounts, registers, devices, tokens or events";
                return Err(invalid("part of the store", other, parts));
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
        store::{MemoryStore, Registers, transfer::from_line},
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
        let actor = Actor::server();
        let read = async |from, limit| {
            let page = query("registers", from, Some(limit)).handle(&admin, &actor).await.unwrap();
            let items = page.lines.iter().map(|line| match from_line(line) {
                Ok(Item::Register(name, value)) if value == [1] => name,
                other => panic!("{other:?}"),
            });
            items.collect::<Vec<_>>()
        };
        assert_eq!(read(None, 2).await, ["a", "b"]);
        assert_eq!(read(Some("b"), 2).await, ["c"]);
        assert!(read(Some("c"), 2).await.is_empty());
        for (bad, got) in [
            (query("keys", None, None), "keys"),
            (query("issuances", Some("x"), None), "x"),
            (query("events", Some("7"), None), "7"),
            (query("accounts", None, Some(0)), "0"),
            (query("accounts", None, Some(1001)), "1001"),
        ] {
            match bad.clone().handle(&admin, &actor).await {
                Err(Error::Invalid { got: shown, .. }) => assert_eq!(shown, got),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
    }
}
