//! `/simpleenroll` and `/simplereenroll` (RFC 7030 §4.2).

use super::{Exchange, csr, layout_of_post};
use crate::{
    est::{self, Enrollment},
    http::{
        Answer, Error,
        response::{self, Kind},
    },
    pki::cms,
    telemetry::audit::{Event, Name},
};
use hyper::{
    Request,
    body::{Body, Bytes},
};

pub(super) async fn answer<B>(
    mut exchange: Exchange<'_>,
    request: &mut Option<Request<B>>,
) -> Result<Answer, Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (identity, octets) = exchange.posted(request).await?;
    let Exchange { context, operation, endpoint, id, .. } = exchange;
    let (body, adapted) = csr(&endpoint, &octets)?;
    let enrollment = Enrollment {
        operation,
        csr: &body.der,
        peer: &context.peer,
        request_id: id,
        adapted: &adapted,
    };
    let enrolled = context.service.enroll(&endpoint, &identity, enrollment).await?;
    if enrolled.repeated {
        let event = Event::new(context.clock.now(), Name::EnrollmentRepeated, identity.actor)
            .request(id.clone())
            .with("serial", &enrolled.issuance.intent.serial)
            .with("first_request", &enrolled.issuance.intent.request_id)
            .with_all(enrolled.facts);
        context.trail.tell(None, &event);
    }
    let certificates = endpoint.answered(&enrolled.issuance.certificate);
    let message = cms::certs_only(certificates)
        .map_err(|fault| Error::Est(est::Error::Internal(fault.to_string())))?;
    Ok(response::der(Kind::Enrolled, &message, layout_of_post(&endpoint, body.layout), id))
}
