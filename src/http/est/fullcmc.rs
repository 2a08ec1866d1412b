//! `/fullcmc` (RFC 7030 §4.3).

use super::{Posted, layout_of_post};
use crate::{
    est::{self, FullRequest, Outcome, RETRY},
    http::{
        Answer, Error,
        response::{self, Kind},
    },
    pki::{base64, cmc::FailInfo},
    telemetry::audit::{Event, Name},
};
use hyper::{
    StatusCode,
    header::{HeaderValue, RETRY_AFTER},
};

pub(super) async fn answer(posted: Posted<'_>) -> Result<Answer, Error> {
    let Posted { context, known, endpoint, id, identity, octets, .. } = &posted;
    let body = base64::decode(octets, false).map_err(est::Error::from)?;
    let request = FullRequest { message: &body.der, request_id: id, peer: &context.peer };
    let answered = context.service.full_cmc(endpoint, identity, request).await?;

    for (serial, first) in &answered.repeated {
        context.trail.tell(None, &posted.repeated(serial, first));
    }
    let (status, retry) = status(&answered.outcome);
    if let Outcome::Refused(fail, reason) = &answered.outcome {
        let event =
            Event::new(context.clock.now(), Name::EnrollmentRefused, identity.actor.clone())
                .request(posted.id.clone())
                .with("status", status.as_u16())
                .with("rule", format!("cmc.{}", fail.map_or("noSupport", FailInfo::as_str)))
                .with("reason", reason)
                .with_some("cause", answered.cause.as_ref())
                .with_some("operation", known.route.as_ref().map(|route| route.operation))
                .with_some("label", known.route.as_ref().and_then(|route| route.label.as_ref()))
                .with("address", context.peer.address);
        context.trail.tell(None, &event);
    }
    let kind = if answered.full { Kind::Cmc } else { Kind::Enrolled };
    let layout = layout_of_post(endpoint, body.layout);
    let mut answer = response::der(kind, &answered.der, layout, id);
    *answer.status_mut() = status;
    if let Some(seconds) = retry {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(answer)
}

/// The status of an outcome, and after how many seconds to come again. A refusal is never 200
/// (RFC 7030 §4.3.2), and what is pending is 202 (D-11).
#[deny(clippy::wildcard_enum_match_arm)]
const fn status(outcome: &Outcome) -> (StatusCode, Option<u32>) {
    let fail = match outcome {
        Outcome::Done => return (StatusCode::OK, None),
        Outcome::Pending => return (StatusCode::ACCEPTED, Some(RETRY)),
        Outcome::Refused(None, _) => return (StatusCode::BAD_REQUEST, None),
        Outcome::Refused(Some(fail), _) => *fail,
    };
    match fail {
        FailInfo::BadIdentity => (StatusCode::FORBIDDEN, None),
        FailInfo::TryLater => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY)),
        FailInfo::InternalCaError => (StatusCode::INTERNAL_SERVER_ERROR, None),
        FailInfo::BadAlg
        | FailInfo::BadMessageCheck
        | FailInfo::BadRequest
        | FailInfo::BadTime
        | FailInfo::BadCertId
        | FailInfo::UnsupportedExt
        | FailInfo::PopRequired
        | FailInfo::PopFailed
        | FailInfo::NoKeyReuse => (StatusCode::BAD_REQUEST, None),
    }
}
