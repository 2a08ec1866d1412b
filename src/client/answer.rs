//! Decodes the answers of an EST server (RFC 7030 §4.1.3 and §4.2.3, RFC 8951 §3).

use crate::client::error::ServerRejection;
use crate::client::{Error, Response, body};
use crate::pki::{CertificateFields, cms};
use crate::types::{Operation, Time, escaped_line};
use std::time::{Duration, SystemTime};

/// Decodes the certificates of an answer with status 200; any other becomes its error.
pub(super) fn parse_certificates(
    operation: Operation,
    response: &Response,
    now: Time,
) -> Result<Vec<Vec<u8>>, Error> {
    let der = bytes(operation, response, "application/pkcs7-mime", now)?;
    cms::parse_certs_only(&der).map_err(|error| malformed(operation, error.to_string()))
}

/// Decodes the CSR attributes of an answer (RFC 7030 §4.5.2); none if it has none.
pub(super) fn parse_csrattrs(response: &Response, now: Time) -> Result<Option<Vec<u8>>, Error> {
    if response.status == 204 {
        return Ok(None);
    }
    bytes(Operation::CsrAttrs, response, "application/csrattrs", now).map(Some)
}

fn malformed(operation: Operation, why: String) -> Error {
    Error::Malformed { operation: operation.as_str(), why }
}

/// The DER of an answer of status 200 and this type; anything else becomes its error.
fn bytes(
    operation: Operation,
    response: &Response,
    wanted: &str,
    now: Time,
) -> Result<Vec<u8>, Error> {
    check_status(response, now)?;
    let media_type = response.header("content-type").unwrap_or_default();
    if !is_type(media_type, wanted) {
        let seen = printable(media_type);
        return Err(malformed(operation, format!("its content type is \"{seen}\", not {wanted}")));
    }
    body::decode(&response.body)
        .map(|bytes| bytes.to_vec())
        .map_err(|why| malformed(operation, why))
}

/// Whether a media type is the one that EST prescribes, or one that servers send in its place. The
/// body is decoded either way; a page of text or HTML is recognized by its type.
fn is_type(media_type: &str, wanted: &str) -> bool {
    const PKCS7: [&str; 3] =
        ["application/x-pkcs7-mime", "application/pkcs7", "application/x-pkcs7-certificates"];
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == wanted
        || essence.is_empty()
        || essence == "application/octet-stream"
        || (wanted == "application/pkcs7-mime" && PKCS7.contains(&essence.as_str()))
}

/// Passes an answer of status 200; anything else becomes its error.
pub(super) fn check_status(response: &Response, now: Time) -> Result<(), Error> {
    let request_id = response.header("x-request-id").map(printable);
    let retry_after = response.header("retry-after").and_then(|text| retry_after(text, now));
    match response.status {
        200 => Ok(()),
        202 => Err(Error::Pending { retry_after, request_id }),
        status => {
            let body = String::from_utf8_lossy(&response.body);
            let text = match response.header("location") {
                Some(location) => format!("redirected to {}; not followed", printable(location)),
                // An error page of some other server is no explanation.
                None if body.trim_start().starts_with('<') => String::new(),
                // A 401 of estd has no body, and its line there (docs/operator/rejections.md).
                None if body.trim().is_empty() => {
                    response.header("x-reason").map(printable).unwrap_or_default()
                }
                None => printable(body.trim().lines().next().unwrap_or_default()),
            };
            Err(Error::Rejected(Box::new(ServerRejection {
                status,
                text,
                request_id,
                retry_after,
                retry_at: retry_after.map(|pause| now.plus(pause)),
            })))
        }
    }
}

/// Returns the certificate for the requested key from an answer to an enrollment.
pub(super) fn issued(
    operation: Operation,
    response: &Response,
    now: Time,
    spki: &[u8],
) -> Result<Vec<u8>, Error> {
    let malformed = |why: &str| malformed(operation, why.to_owned());
    let certificates = parse_certificates(operation, response, now)?;
    if certificates.is_empty() {
        return Err(malformed("it holds no certificate"));
    }
    for_key(certificates, spki)
        .ok_or_else(|| malformed("it holds no certificate that is for the key of the request"))
}

/// The certificate for a key, of those in an answer. RFC 7030 §4.2.3 allows one only; many servers
/// add its chain. Of two for the key the later one counts: a renewal may show its predecessor.
pub(super) fn for_key(certificates: Vec<Vec<u8>>, spki: &[u8]) -> Option<Vec<u8>> {
    let own = certificates.into_iter().filter_map(|certificate| {
        let fields = CertificateFields::parse(&certificate).ok()?;
        (fields.public_key_spki == spki).then_some((fields.not_before, certificate))
    });
    own.max_by_key(|(begin, _)| *begin).map(|(_, certificate)| certificate)
}

/// Reads seconds or a date (RFC 9110 §10.2.3).
fn retry_after(text: &str, now: Time) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    Some(Time::from(date).since(now))
}

/// Makes remote text safe for a terminal: hidden characters escaped, at most 500 characters.
pub(super) fn printable(text: &str) -> String {
    escaped_line(text).at_most(500).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    fn response(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Response { status, headers: map, body: body.to_owned().into() }
    }

    const NOW: Time = Time::from_unix(1_795_262_400);

    fn read(response: &Response) -> Result<Vec<Vec<u8>>, Error> {
        parse_certificates(Operation::SimpleEnroll, response, NOW)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 30 ", NOW), Some(Duration::from_secs(30)));
        assert_eq!(
            retry_after("Sat, 21 Nov 2026 12:01:00 GMT", NOW),
            Some(Duration::from_secs(60))
        );
        assert_eq!(retry_after("Sat, 21 Nov 2020 12:01:00 GMT", NOW), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", NOW), None);
    }

    #[test]
    fn a_rejection_keeps_text_and_request_id() {
        let error = read(&response(
            403,
            &[("x-request-id", "00ff")],
            "subject: CN=a is not CN=b\x1b[2J\nmore",
        ))
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server answered 403: subject: CN=a is not CN=b\\u{1b}[2J (request 00ff)"
        );
        assert!(error.later().is_none());
        let busy = read(&response(503, &[("retry-after", "7")], "")).unwrap_err();
        assert_eq!(busy.later(), Some(Some(Duration::from_secs(7))));
        let reason =
            &[("x-request-id", "00ff"), ("x-reason", "auth.password: others (request 00ff)")];
        let empty = read(&response(401, reason, "")).unwrap_err();
        assert_eq!(
            empty.to_string(),
            "the server answered 401: auth.password: others (request 00ff)"
        );
        let page = read(&response(404, &[], "<html>...")).unwrap_err();
        assert_eq!(page.to_string(), "the server answered 404");
    }

    #[test]
    fn r_7030_4_2_3_202_is_pending() {
        let error = read(&response(202, &[("retry-after", "60")], "")).unwrap_err();
        assert_eq!(error.later(), Some(Some(Duration::from_secs(60))));
    }

    #[test]
    fn malformed_answers_are_described() {
        for (content_type, body, why) in [
            ("text/html", "", "content type"),
            ("application/pkcs7-mime", "%%%", "not base64"),
            ("Application/PKCS7-mime; smime-type=certs-only", "AAAA", "certs-only"),
        ] {
            let error = read(&response(200, &[("content-type", content_type)], body)).unwrap_err();
            assert!(
                matches!(&error, Error::Malformed { why: seen, .. } if seen.contains(why)),
                "{error}"
            );
        }
    }
}
