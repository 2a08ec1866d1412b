//! `/fullcmc` (RFC 7030 §4.3).

use super::{Posted, layout_of_post};
use crate::{
    est,
    http::{
        Answer, Error, error,
        response::{self, ContentType},
    },
    pki::base64,
};
use hyper::header::{HeaderValue, RETRY_AFTER};

pub(super) async fn answer(posted: Posted<'_>) -> Result<Answer, Error> {
    let Posted { service, endpoint, client, bytes } = &posted;
    let body = base64::decode(bytes, false).map_err(est::Error::from)?;
    let answered = service.full_cmc(endpoint, client, &body.der).await?;

    let (status, retry) = error::of_outcome(&answered.outcome);
    let kind = if answered.full { ContentType::Cmc } else { ContentType::Enrolled };
    let layout = layout_of_post(endpoint, body.layout);
    let mut answer = response::der(kind, &answered.der, layout, client.call().id());
    *answer.status_mut() = status;
    if let Some(seconds) = retry {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(answer)
}
