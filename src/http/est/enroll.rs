//! `/simpleenroll` and `/simplereenroll` (RFC 7030 §4.2).

use super::{Posted, internal, layout_of_post};
use crate::{
    http::{
        Answer, Error,
        response::{self, Kind},
    },
    pki::cms,
};

pub(super) async fn answer(posted: Posted<'_>) -> Result<Answer, Error> {
    let Posted { context, endpoint, id, identity, .. } = &posted;
    let csr = posted.csr()?;
    let enrolled = context.service.enroll(endpoint, identity, posted.enrollment(&csr)).await?;
    if enrolled.repeated {
        let first = &enrolled.issuance.intent;
        let event = posted.repeated(&first.serial, &first.request_id).with_all(enrolled.facts);
        context.trail.tell(None, &event);
    }
    let certificates = endpoint.answered(&enrolled.issuance.certificate);
    let message = cms::certs_only(certificates).map_err(internal)?;
    Ok(response::der(Kind::Enrolled, &message, layout_of_post(endpoint, csr.layout), id))
}
