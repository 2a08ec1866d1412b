//! Answers, in the form that clients in the field can read.
//!
//! Bodies always have a length and are never chunked. Header names are sent in Title-Case (set
//! where the connection is served). Bodies of 401, and of 404 for `/csrattrs`, are empty, because
//! Bouncy Castle throws on others. The header stays far below the 1,024 bytes that strongSwan reads
//! at once.

use super::error::{ErrorReply, NOTHING};
use crate::{
    est::KeyPart,
    pki::base64::{self, Layout},
    types::RequestId,
};
use http_body_util::Full;
use hyper::{
    HeaderMap, Response,
    body::Bytes,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue,
        InvalidHeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    },
};

use zeroize::Zeroizing;

/// The body type of every answer.
pub type Answer = Response<Full<Bytes>>;

const CONTENT_TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The reason of a rejection whose body is empty.
const X_REASON: HeaderName = HeaderName::from_static("x-reason");

/// The media type of an operation's answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum ContentType {
    /// `/cacerts`: the bare type (D-01).
    CaCerts,
    /// Enrollment (RFC 7030 §4.2.3): exactly this parameter, one blank.
    Enrolled,
    /// `/csrattrs` (RFC 7030 §4.5.2).
    CsrAttrs,
    /// A Full PKI Response (RFC 7030 §4.3.2).
    Cmc,
}

/// Success: DER as base64. Content-Transfer-Encoding is no header of HTTP, and Bouncy Castle does
/// not decode without it (D-22).
pub(super) fn der(kind: ContentType, der: &[u8], layout: Layout, id: &RequestId) -> Answer {
    let media_type = match kind {
        ContentType::CaCerts => "application/pkcs7-mime",
        ContentType::Enrolled => "application/pkcs7-mime; smime-type=certs-only",
        ContentType::CsrAttrs => "application/csrattrs",
        ContentType::Cmc => "application/pkcs7-mime; smime-type=CMC-response",
    };
    let mut answer = Response::new(Full::new(Bytes::from(base64::encode(der, layout))));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_TRANSFER_ENCODING, HeaderValue::from_static("base64"));
    request_id(headers, id);
    answer
}

/// The answer of `/serverkeygen` (RFC 7030 §4.4.2): the key, then the certificate, in MIME's form
/// with base64 in lines whatever the client sent. No cache may keep it (RFC 9111 §5.2.2.5).
pub(super) fn key_and_certificate(
    key: &KeyPart,
    certs_only: &[u8],
    id: &RequestId,
) -> Result<Answer, InvalidHeaderValue> {
    let (key_type, key) = match key {
        KeyPart::Clear(pkcs8) => ("application/pkcs8", pkcs8.as_slice()),
        KeyPart::Sealed(message) => {
            ("application/pkcs7-mime; smime-type=server-generated-key", message.as_slice())
        }
    };
    // Letters and digits only: libest has its own parser of the boundary. No line of base64 begins
    // with "--".
    let boundary = format!("estd{id}");
    let key = Zeroizing::new(base64::encode_part(key));
    let certificate = base64::encode_part(certs_only);
    let parts = [
        (key_type, key.as_slice()),
        ("application/pkcs7-mime; smime-type=certs-only", certificate.as_slice()),
    ];
    // Allocated at full size: a buffer that grows leaves copies of the key behind.
    let mut body = Zeroizing::new(Vec::with_capacity(key.len() + certificate.len() + 1024));
    for (media_type, content) in parts {
        body.extend_from_slice(format!("--{boundary}\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let mut answer = Response::new(Full::new(Bytes::from_owner(body)));
    let headers = answer.headers_mut();
    let media_type = format!("multipart/mixed; boundary={boundary}");
    headers.insert(CONTENT_TYPE, HeaderValue::try_from(media_type)?);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    request_id(headers, id);
    Ok(answer)
}

/// 204: no attributes are configured (RFC 7030 §4.5.2).
pub(super) fn nothing(id: &RequestId) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = NOTHING;
    request_id(answer.headers_mut(), id);
    answer
}

/// A rejection: one line of plain text with the rule, the received and the accepted value, and the
/// request id (RFC 8951 §5). A 401 has a field for each of `challenges` (R-9110-15.5.2-a).
pub(super) fn rejection(response: &ErrorReply, challenges: &[String], id: &RequestId) -> Answer {
    let line = format!("{}: {} (request {id})\n", response.code, response.text);
    let unauthorized = response.is_unauthorized();
    let body = if unauthorized { Bytes::new() } else { Bytes::from(line.clone()) };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = response.status;
    let headers = answer.headers_mut();
    request_id(headers, id);
    if unauthorized {
        for challenge in challenges {
            if let Ok(challenge) = HeaderValue::from_str(challenge) {
                headers.append(WWW_AUTHENTICATE, challenge);
            }
        }
        reason(headers, &line);
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if let Some(seconds) = response.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Moves the line of a rejection from the body into the header, as in a 401.
pub(super) fn wordless(answer: &mut Answer, response: &ErrorReply, id: &RequestId) {
    *answer.body_mut() = Full::new(Bytes::new());
    let headers = answer.headers_mut();
    headers.remove(CONTENT_TYPE);
    reason(headers, &format!("{}: {} (request {id})", response.code, response.text));
}

fn reason(headers: &mut HeaderMap, line: &str) {
    if let Ok(reason) = HeaderValue::from_str(line.trim_end()) {
        headers.insert(X_REASON, reason);
    }
}

/// Lists the methods that a path takes (RFC 9110 §15.5.6).
pub(super) fn allow(answer: &mut Answer, methods: &'static str) {
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
}

/// Names the media type that an operation takes (RFC 9110 §15.5.16).
pub(super) fn accept(answer: &mut Answer, media_type: &'static str) {
    answer.headers_mut().insert(ACCEPT, HeaderValue::from_static(media_type));
}

/// Ends the connection after this answer.
pub(super) fn close(answer: &mut Answer) {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

fn request_id(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, id);
    }
}
