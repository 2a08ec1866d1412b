//! `/csrattrs` (RFC 7030 §4.5). Needs no authentication (R-7030-4.5-a).

use super::{Exchange, layout_of_get};
use crate::http::{
    Answer,
    response::{self, ContentType},
};
use hyper::HeaderMap;

pub(super) fn answer(exchange: &Exchange<'_, '_>, headers: &HeaderMap) -> Answer {
    let endpoint = exchange.endpoint;
    match endpoint.csrattrs() {
        None => response::nothing(exchange.call.id()),
        Some(der) => response::der(
            ContentType::CsrAttrs,
            der,
            layout_of_get(endpoint, headers),
            exchange.call.id(),
        ),
    }
}
