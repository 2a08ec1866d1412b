//! Reads a store page by page, whether this process or a server has it open.

use super::super::{
    Account, Device, DeviceFilter, Error, Filter, Issuance, Store, Token, TokenFilter,
};
use crate::{
    telemetry::audit::{Event, EventId},
    types::{DeviceId, Serial, TokenId},
};
use async_trait::async_trait;
use std::sync::Arc;

/// Reads a store. A page is empty only at the end; it may be shorter than the limit before it.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads issuances in the order of their serial numbers, those after `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn issuances(
        &self,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error>;

    /// Reads the accounts.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn accounts(&self) -> Result<Vec<Account>, Error>;

    /// Reads the registers: names and values.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// Reads registered devices in the order of their ids, those after `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Device>, Error>;

    /// Reads one-time tokens in the order of their ids, those after `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>, Error>;

    /// Reads committed events in the order of their ids, from `from` (inclusive).
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error>;
}

#[async_trait]
impl Source for &dyn Store {
    async fn issuances(
        &self,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<Arc<Issuance>>, Error> {
        self.list(&Filter::default(), after, limit).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, Error> {
        (**self).accounts().await
    }

    async fn registers(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        (**self).registers().await
    }

    async fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Device>, Error> {
        (**self).devices(&DeviceFilter::default(), after, limit).await
    }

    async fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Token>, Error> {
        (**self).tokens(&TokenFilter::default(), after, limit).await
    }

    async fn events(&self, from: EventId, limit: usize) -> Result<Vec<(EventId, Event)>, Error> {
        (**self).events(from, limit).await
    }
}
