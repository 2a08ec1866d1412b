//! The CAs of this server.

use super::{
    error::Error,
    service::{Admin, Handle},
};
use crate::{api, ca::CaCertificates, pki::Certificate, types::Actor};

impl Handle for api::ShowCas {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let certificate = |one: &Certificate| api::CaCertificate {
            subject: one.subject().to_string(),
            sha256: one.fingerprint().to_string(),
            serial: one.serial().to_string(),
            not_after: one.not_after().to_string(),
            pem: one.to_pem(),
        };
        let entry = |ca: &CaCertificates| api::CaEntry {
            name: ca.name.to_string(),
            root: certificate(&ca.root),
            issuing: certificate(&ca.issuing),
        };
        Ok(api::Cas { cas: admin.cas.iter().map(entry).collect() })
    }
}
