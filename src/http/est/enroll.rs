//! `/simpleenroll` and `/simplereenroll` (RFC 7030 §4.2).

use super::{Posted, adapted, internal, layout_of_post};
use crate::{
    http::{
        Answer, Error,
        response::{self, ContentType},
    },
    pki::cms,
};

pub(super) async fn answer(posted: Posted<'_>) -> Result<Answer, Error> {
    let Posted { endpoint, client, .. } = &posted;
    let csr = posted.csr()?;
    let issued = client.enroll(&csr.der, adapted(&csr)).await?;
    let certificates = endpoint.answered(&issued.issuance.certificate);
    let message = cms::certs_only(certificates).map_err(internal)?;
    let layout = layout_of_post(endpoint, csr.layout);
    Ok(response::der(ContentType::Enrolled, &message, layout, client.call().id()))
}
