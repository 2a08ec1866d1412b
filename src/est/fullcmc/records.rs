//! The issuances that a message names, and their owners.

use super::stop::Stop;
use crate::{
    est::Service,
    pki::Certificate,
    ra::Identity,
    store::Issuance,
    types::{AuthMethod, Serial},
};
use std::sync::Arc;

impl Service {
    /// Returns the issuance with this serial number.
    pub(super) async fn found(&self, serial: &[u8]) -> Result<Option<Arc<Issuance>>, Stop> {
        let Ok(serial) = Serial::parse(serial) else { return Ok(None) };
        Ok(self.store.find(&serial).await?)
    }
}

/// Whether this client requested the certificate, or presents a certificate of this CA with the
/// same names.
///
/// A client with a certificate of this CA is compared by that certificate, never by the actor's
/// name: two certificates can share that text. For a third party's certificate, the record contains
/// only the actor's name.
pub(super) fn asked_by(record: &Issuance, identity: &Identity) -> bool {
    let by_certificate_alone = matches!(identity.actor.method, AuthMethod::Certificate(_));
    if by_certificate_alone && identity.record().is_some() {
        return same_subject(record, identity);
    }
    record.intent.actor == identity.actor || same_subject(record, identity)
}

/// Whether the client presents this certificate, or another one of this CA with the same names.
pub(super) fn same_subject(record: &Issuance, identity: &Identity) -> bool {
    let (Some(own), Some(shown)) = (identity.record(), identity.certificate()) else {
        return false;
    };
    own.intent.ca == record.intent.ca
        && (own.intent.serial == record.intent.serial
            || Certificate::parse(&record.certificate)
                .is_ok_and(|other| shown.has_names_of(&other)))
}
