//! The store of a running server, read through its socket.

use crate::{
    api::ReadStore,
    client::operator::ask,
    store::{
        Account, Device, Error, Issuance, Item, Token,
        transfer::{Source, from_line},
    },
    telemetry::audit::{Event, EventId},
    types::{DeviceId, Serial, TokenId},
};
use async_trait::async_trait;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::UnixStream;

/// The store of the server behind this socket.
pub(super) struct Served(PathBuf);

impl Served {
    /// Finds the server that uses the data folder; none if none answers.
    pub(super) async fn find(data: &Path) -> Option<Self> {
        let socket = data.join("estd.sock");
        // The socket of a server that was killed is left over and accepts no connection.
        UnixStream::connect(&socket).await.is_ok().then_some(Self(socket))
    }

    /// Reads a page of a part; empty at its end.
    async fn page<T>(
        &self,
        part: &str,
        from: Option<String>,
        limit: Option<usize>,
        kind: impl Fn(Item) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let call = ReadStore { part: part.to_owned(), from, limit };
        let page =
            ask(&self.0, &call).await.map_err(|error| Error::Unavailable(error.to_string()))?;
        let item = |line: String| {
            let item = from_line(&line).map_err(|why| {
                Error::Unavailable(format!("the server's answer cannot be read: {why}"))
            })?;
            kind(item).ok_or_else(|| {
                Error::Unavailable(format!("the server's answer has other items than {part}"))
            })
        };
        page.lines.into_iter().map(item).collect()
    }

    /// Reads all pages of a part whose items have names.
    async fn all<T>(
        &self,
        part: &str,
        kind: impl Fn(Item) -> Option<T>,
        name: impl Fn(&T) -> &String,
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        loop {
            let from = found.last().map(|last| name(last).clone());
            let mut page = self.page(part, from, None, &kind).await?;
            if page.is_empty() {
                return Ok(found);
            }
            found.append(&mut page);
        }
    }
}

#[async_trait]
impl Source for Served {
    async fn issuances(
        &self,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        let kind = |item| if let Item::Issuance(issuance) = item { Some(issuance) } else { None };
        self.page("issuances", after.map(ToString::to_string), Some(limit), kind).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        let kind = |item| if let Item::Account(account) = item { Some(account) } else { None };
        self.all("accounts", kind, |account| &account.name).await
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let kind =
            |item| if let Item::Register(name, value) = item { Some((name, value)) } else { None };
        self.all("registers", kind, |(name, _)| name).await
    }

    async fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Device>, Error> {
        let kind = |item| if let Item::Device(device) = item { Some(*device) } else { None };
        self.page("devices", after.map(ToString::to_string), Some(limit), kind).await
    }

    async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>, Error> {
        let kind = |item| if let Item::Token(token) = item { Some(*token) } else { None };
        self.page("tokens", after.map(ToString::to_string), Some(limit), kind).await
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        let kind = |item| if let Item::Event(id, event) = item { Some((id, event)) } else { None };
        let from = format!("{}.{}", from.writer, from.number);
        self.page("events", Some(from), Some(limit), kind).await
    }
}
