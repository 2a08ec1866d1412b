//! The issuances that a message names, and whose they are.

use super::stop::Stop;
use crate::{est::Service, ra::Identity, store::Issuance, types::Serial};
use std::sync::Arc;

impl Service {
    /// The issuance with this serial number, if there is one.
    pub(super) async fn found(&self, serial: &[u8]) -> Result<Option<Arc<Issuance>>, Stop> {
        let Ok(serial) = Serial::parse(serial) else { return Ok(None) };
        Ok(self.store.find(&serial).await?)
    }
}

/// Whether this client asked for the certificate, or has its names by a certificate of ours.
pub(super) fn asked_by(record: &Issuance, identity: &Identity) -> bool {
    record.intent.actor == identity.actor || same_subject(record, identity)
}

/// Whether the client's certificate, one of this CA, is this one or has its names.
pub(super) fn same_subject(record: &Issuance, identity: &Identity) -> bool {
    identity.record.as_ref().is_some_and(|own| {
        let (own, other) = (&own.intent, &record.intent);
        own.ca == other.ca
            && (own.serial == other.serial
                || (own.subject == other.subject && own.san == other.san))
    })
}
