//! `/serverkeygen` (RFC 7030 §4.4).

use super::{Exchange, csr};
use crate::{
    est::{self, Enrollment},
    http::{Answer, Error, response},
    pki::cms,
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
    let generated = context.service.generate(&endpoint, &identity, enrollment).await?;
    let internal = |fault: String| Error::Est(est::Error::Internal(fault));
    let certificate = generated.issuance.certificate.as_slice();
    let message = cms::certs_only([certificate]).map_err(|fault| internal(fault.to_string()))?;
    response::key_and_certificate(&generated.key, &message, id)
        .map_err(|fault| internal(fault.to_string()))
}
