//! STEP A: the registry answers that it is unavailable.

use super::{
    super::{
        Device, DeviceFilter, Devices, Error, Identifier, ImportNumber, Token, TokenFilter, Tokens,
    },
    PostgresStore,
};
use crate::{
    telemetry::audit::Event,
    types::{DeviceId, TokenId},
};
use async_trait::async_trait;

fn not_yet<T>() -> Result<T, Error> {
    Err(Error::Unavailable("STEP A: there is no registry yet".to_owned()))
}

#[async_trait]
impl Devices for PostgresStore {
    async fn device(&self, _id: &DeviceId) -> Result<Option<Device>, Error> {
        not_yet()
    }

    async fn is_barred(&self, _id: &DeviceId) -> Result<bool, Error> {
        not_yet()
    }

    async fn identified(&self, _by: &[Identifier]) -> Result<Vec<Device>, Error> {
        not_yet()
    }

    async fn devices(
        &self,
        _filter: &DeviceFilter,
        _after: Option<&DeviceId>,
        _limit: usize,
    ) -> Result<Vec<Device>, Error> {
        not_yet()
    }

    async fn add_device(&self, _device: Device, _event: Event) -> Result<(), Error> {
        not_yet()
    }

    async fn change_device(
        &self,
        _seen: &Device,
        _new: Device,
        _event: Event,
    ) -> Result<(), Error> {
        not_yet()
    }

    async fn begin_import(&self) -> Result<ImportNumber, Error> {
        not_yet()
    }

    async fn stage_devices(
        &self,
        _import: ImportNumber,
        _devices: Vec<Device>,
    ) -> Result<(), Error> {
        not_yet()
    }

    async fn finish_import(&self, _import: ImportNumber, _event: Event) -> Result<(), Error> {
        not_yet()
    }

    async fn abandon_import(&self, _import: ImportNumber) -> Result<(), Error> {
        not_yet()
    }
}

#[async_trait]
impl Tokens for PostgresStore {
    async fn add_tokens(&self, _tokens: Vec<Token>, _event: Event) -> Result<(), Error> {
        not_yet()
    }

    async fn token(&self, _id: &TokenId) -> Result<Option<Token>, Error> {
        not_yet()
    }

    async fn tokens(
        &self,
        _filter: &TokenFilter,
        _after: Option<&TokenId>,
        _limit: usize,
    ) -> Result<Vec<Token>, Error> {
        not_yet()
    }

    async fn disable_token(&self, _id: &TokenId, _event: Event) -> Result<(), Error> {
        not_yet()
    }

    async fn disable_tokens(&self, _event: Event) -> Result<u64, Error> {
        not_yet()
    }
}
