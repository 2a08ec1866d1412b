//! The issuances that a message names, and whose they are.

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
    /// The issuance with this serial number, if there is one.
    pub(super) async fn found(&self, serial: &[u8]) -> Result<Option<Arc<Issuance>>, Stop> {
        let Ok(serial) = Serial::parse(serial) else { return Ok(None) };
        Ok(self.store.find(&serial).await?)
    }
}

/// Whether this client asked for the certificate, or has its names by a certificate of ours.
///
/// A client with a certificate of ours is compared by that certificate, never by the actor's name:
/// that is text to be shown, and two certificates can share it. Of a third party's certificate the
/// record holds nothing but that text.
pub(super) fn asked_by(record: &Issuance, identity: &Identity) -> bool {
    let by_certificate_alone = matches!(identity.actor.method, AuthMethod::Certificate(_));
    if by_certificate_alone && identity.record().is_some() {
        return same_subject(record, identity);
    }
    record.intent.actor == identity.actor || same_subject(record, identity)
}

/// Whether the client's certificate, one of this CA, is this one or has its names.
pub(super) fn same_subject(record: &Issuance, identity: &Identity) -> bool {
    let (Some(own), Some(shown)) = (identity.record(), identity.certificate()) else {
        return false;
    };
    own.intent.ca == record.intent.ca
        && (own.intent.serial == record.intent.serial
            || Certificate::parse(&record.certificate)
                .is_ok_and(|other| shown.has_names_of(&other)))
}
