//! `/serverkeygen` (RFC 7030 §4.4).

use super::{Posted, adapted, internal};
use crate::{
    http::{Answer, Error, response},
    pki::cms,
};

pub(super) async fn answer(posted: Posted<'_>) -> Result<Answer, Error> {
    let Posted { service, endpoint, client, .. } = &posted;
    let csr = posted.csr()?;
    let generated = service.generate(endpoint, client, &csr.der, adapted(&csr)).await?;
    let certificate = generated.issuance.certificate.as_slice();
    let message = cms::certs_only([certificate]).map_err(internal)?;
    response::key_and_certificate(&generated.key, &message, client.call().id()).map_err(internal)
}
