//! `/cacerts` (RFC 7030 §4.1).

use super::{Exchange, layout_of_get};
use crate::http::{
    Answer,
    response::{self, ContentType},
};
use hyper::HeaderMap;

pub(super) fn answer(exchange: &Exchange<'_, '_>, headers: &HeaderMap) -> Answer {
    let endpoint = exchange.endpoint;
    let layout = layout_of_get(endpoint, headers);
    response::der(ContentType::CaCerts, endpoint.cacerts(), layout, exchange.call.id())
}
