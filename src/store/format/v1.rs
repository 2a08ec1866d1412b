//! The first form, versions 1 and 2, which is only read. It is frozen: nothing here may change.
//!
//! Version 2 is that of a revoked certificate's record; all others have version 1.
//! testdata/store/before-devices and sled-v1 prove that both stay readable.
//!
//! Fields that these versions did not keep get their defaults here.

use super::{FormatError, Recent, text};
use crate::{
    store::{Account, IdempotencyKey, Intent, Issuance, Password, Revocation, State},
    telemetry::audit::{Event, Name},
    types::{Actor, AuthMethod, Operation, RequestId, RevocationReason, Serial, Time},
};
use serde::{Deserialize, de::IntoDeserializer};

/// The version of all records that are not revoked.
pub(super) const VERSION: u8 = 1;

/// The version of a revoked certificate's record.
pub(super) const REVOKED: u8 = 2;

#[derive(Deserialize)]
pub(super) struct ActorV1<'a> {
    name: &'a str,
    method: u8,
}

#[derive(Deserialize)]
pub(super) struct IntentV1<'a> {
    serial: &'a [u8],
    idempotency_key: [u8; 32],
    retry_until: u64,
    tbs: &'a [u8],
    ca: &'a str,
    profile: &'a str,
    label: Option<&'a str>,
    operation: Option<u8>,
    subject: &'a str,
    #[serde(borrow)]
    san: Vec<&'a str>,
    spki_sha256: [u8; 32],
    not_before: u64,
    not_after: u64,
    actor: ActorV1<'a>,
    predecessor: Option<&'a [u8]>,
    request_id: &'a str,
    begun: u64,
}

#[derive(Deserialize)]
pub(super) struct IssuanceV1<'a> {
    #[serde(borrow)]
    intent: IntentV1<'a>,
    state: u8,
    certificate: &'a [u8],
    ended: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct IssuanceV2<'a> {
    #[serde(borrow)]
    issuance: IssuanceV1<'a>,
    revoked: u64,
    reason: u8,
}

#[derive(Deserialize)]
pub(super) struct AccountV1<'a> {
    name: &'a str,
    /// The text of a [`Password`]; the first versions wrote only hashes.
    password: &'a str,
    added: u64,
    #[serde(borrow)]
    labels: Option<Vec<&'a str>>,
}

#[derive(Deserialize)]
pub(super) struct EventV1<'a> {
    at: u64,
    name: u8,
    #[serde(borrow)]
    actor: ActorV1<'a>,
    request_id: Option<&'a str>,
    details: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
pub(super) struct RecentV1<'a> {
    idempotency_key: [u8; 32],
    serial: &'a [u8],
    retry_until: u64,
}

fn request_id(id: &str) -> Result<RequestId, FormatError> {
    RequestId::deserialize(id.into_deserializer())
        .map_err(|error: serde::de::value::Error| text(error))
}

impl ActorV1<'_> {
    fn read(self) -> Result<Actor, FormatError> {
        Ok(Actor { name: self.name.to_owned(), method: AuthMethod::of_number(self.method)? })
    }
}

impl IntentV1<'_> {
    pub(super) fn read(self) -> Result<Intent, FormatError> {
        Ok(Intent {
            serial: Serial::parse(self.serial).map_err(text)?,
            idempotency_key: IdempotencyKey(self.idempotency_key),
            retry_until: Time::from_unix(self.retry_until),
            tbs: self.tbs.into(),
            ca: self.ca.parse().map_err(text)?,
            profile: self.profile.parse().map_err(text)?,
            label: self.label.map(str::parse).transpose().map_err(text)?,
            operation: self.operation.map(Operation::of_number).transpose()?,
            subject: self.subject.to_owned(),
            san: self.san.into_iter().map(str::to_owned).collect(),
            spki_sha256: self.spki_sha256,
            not_before: Time::from_unix(self.not_before),
            not_after: Time::from_unix(self.not_after),
            actor: self.actor.read()?,
            predecessor: self.predecessor.map(Serial::parse).transpose().map_err(text)?,
            request_id: request_id(self.request_id)?,
            begun: Time::from_unix(self.begun),
            device: None,
            token: None,
            proofs: Vec::new(),
            address: None,
            ca_generation: None,
            crl_partition: None,
        })
    }
}

impl IssuanceV1<'_> {
    pub(super) fn read(self, revocation: Option<Revocation>) -> Result<Issuance, FormatError> {
        let issuance = Issuance {
            intent: self.intent.read()?,
            state: State::of_number(self.state)?,
            certificate: self.certificate.to_vec(),
            ended: self.ended.map(Time::from_unix),
            revocation,
        };
        issuance.checked()
    }
}

impl EventV1<'_> {
    pub(super) fn read(self) -> Result<Event, FormatError> {
        let details = self.details.into_iter();
        Ok(Event {
            at: Time::from_unix(self.at),
            name: Name::of_number(self.name)?,
            actor: self.actor.read()?,
            request_id: self.request_id.map(request_id).transpose()?,
            details: details.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            stranger: None,
        })
    }
}

impl IssuanceV2<'_> {
    pub(super) fn read(self) -> Result<Issuance, FormatError> {
        let reason = RevocationReason::try_from(self.reason).map_err(text)?;
        let at = Time::from_unix(self.revoked);
        self.issuance.read(Some(Revocation { at, reason }))
    }
}

impl AccountV1<'_> {
    pub(super) fn read(self) -> Result<Account, FormatError> {
        let labels = self.labels.map(|labels| labels.into_iter().map(str::parse).collect());
        Ok(Account {
            name: self.name.to_owned(),
            password: Password::parse(self.password)?,
            added: Time::from_unix(self.added),
            labels: labels.transpose().map_err(text)?,
            expires: None,
        })
    }
}

impl RecentV1<'_> {
    pub(super) fn read(self) -> Result<Recent, FormatError> {
        Ok(Recent {
            idempotency_key: IdempotencyKey(self.idempotency_key),
            serial: Serial::parse(self.serial).map_err(text)?,
            retry_until: Time::from_unix(self.retry_until),
        })
    }
}
