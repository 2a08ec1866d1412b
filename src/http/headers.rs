//! Header fields of a request.

use super::Error;
use crate::{
    digest::DigestResponse,
    ra::Credentials,
    types::{Code, Rejection},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Request, Uri, Version,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST},
};
use zeroize::Zeroizing;

/// Checks the one `Host` that HTTP/1.1 demands (RFC 9112 §3.2). In HTTP/2 `:authority` replaces it
/// (RFC 9113 §8.3.1).
pub(super) fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
    let count = headers.get_all(HOST).iter().count();
    let needless =
        version < Version::HTTP_11 || (version == Version::HTTP_2 && uri.authority().is_some());
    if count == 1 || (count == 0 && needless) {
        return Ok(());
    }
    Err(Error::Header(Rejection::of(Code::HttpHost, count, "one Host field")))
}

/// Checks that the operation accepts the body: its type and subtype, ignoring case and parameters,
/// and no content coding (R-9110-15.5.16-a). Content-Transfer-Encoding is no header field of HTTP
/// and is ignored, whatever its value (RFC 8951 §3).
pub(super) fn check_media_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Error> {
    if let Some(coding) = headers.get(CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Error::MediaType(Rejection::of(
            Code::HttpContentEncoding,
            String::from_utf8_lossy(coding.as_bytes()),
            "no Content-Encoding",
        )));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let seen = match (types.next(), types.next()) {
        (Some(one), None) => String::from_utf8_lossy(one.as_bytes()).into_owned(),
        (None, _) => "no Content-Type".to_owned(),
        (Some(_), Some(_)) => "several Content-Type fields".to_owned(),
    };
    let essence = seen.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Error::MediaType(Rejection::of(Code::HttpContentType, &seen, wanted)))
}

/// Checks that the body is a Full PKI Request: the parameter `smime-type` is `CMC-request`, quoted or
/// not (RFC 7030 §4.3.1). Case is ignored, since RFC 5273 spells it in two ways.
pub(super) fn check_cmc_request(headers: &HeaderMap) -> Result<(), Error> {
    let seen = headers
        .get(CONTENT_TYPE)
        .map_or_else(String::new, |value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let named: Vec<&str> = seen
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("smime-type"))
        .map(|(_, value)| value.trim().trim_matches('"'))
        .collect();
    match named.as_slice() {
        [one] if one.eq_ignore_ascii_case("CMC-request") => Ok(()),
        _ => Err(Error::MediaType(Rejection::of(
            Code::HttpSmimeType,
            &seen,
            "application/pkcs7-mime; smime-type=CMC-request",
        ))),
    }
}

/// Reads the credentials of a request: HTTP Basic or Digest. Another scheme, or none, is no
/// credentials.
pub(super) fn credentials<B>(request: &Request<B>) -> Result<Option<Credentials>, Error> {
    let mut fields = request.headers().get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(basic_rejection("several Authorization fields"));
    }
    let Some((scheme, token)) = field.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Ok(None);
    };
    if scheme.eq_ignore_ascii_case("basic") {
        basic(token).map(Some)
    } else if scheme.eq_ignore_ascii_case("digest") {
        digest(request, field.to_str().unwrap_or_default()).map(Some)
    } else {
        Ok(None)
    }
}

fn basic_rejection(seen: &str) -> Error {
    Error::Header(Rejection::of(
        Code::AuthBasicForm,
        seen,
        "one Authorization field such as curl --user sends",
    ))
}

/// HTTP Basic (RFC 7617 §2): split at the first colon, UTF-8, an empty user name allowed. No user
/// name has control characters (RFC 7617 §2), and no account (admin/mod.rs).
fn basic(token: &str) -> Result<Credentials, Error> {
    let bytes = STANDARD.decode(token.trim()).map_err(|_| basic_rejection("invalid base64"))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| basic_rejection("invalid UTF-8"))?;
    let (user, password) = text.split_once(':').ok_or_else(|| basic_rejection("no colon"))?;
    if user.chars().any(char::is_control) {
        return Err(basic_rejection("a control character in the user name"));
    }
    Ok(Credentials::Basic { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

/// HTTP Digest (RFC 7616 §3.4), for the target of this very request (§3.4.6).
fn digest<B>(request: &Request<B>, field: &str) -> Result<Credentials, Error> {
    const WANTED: &str = "one Authorization field such as curl --digest sends";
    let answer = DigestResponse::parse(field).map_err(|rejection| {
        Error::Header(Rejection::of(Code::AuthDigestForm, rejection, WANTED))
    })?;
    if !denotes(&answer.uri, request) {
        return Err(Error::Header(Rejection::of(
            Code::AuthDigestUri,
            &answer.uri,
            request.uri().to_string(),
        )));
    }
    Ok(Credentials::Digest {
        answer: Box::new(answer),
        method: request.method().as_str().to_owned(),
    })
}

/// Whether `uri` is the request's target, as a path or, with the host of the request, in full.
fn denotes<B>(uri: &str, request: &Request<B>) -> bool {
    let target = request.uri();
    let path = target.path_and_query().map_or("", |path| path.as_str());
    if uri == path {
        return true;
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = target.authority().map_or(host, |authority| Some(authority.as_str()));
    uri.parse::<Uri>().is_ok_and(|uri| {
        uri.path_and_query().map_or("", |path| path.as_str()) == path
            && uri
                .authority()
                .zip(host)
                .is_some_and(|(named, host)| named.as_str().eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn with(value: &'static str) -> Request<()> {
        Request::post("/.well-known/est/simpleenroll?a=b")
            .header(HOST, "localhost:8443")
            .header(AUTHORIZATION, HeaderValue::from_static(value))
            .body(())
            .unwrap()
    }

    fn basic(value: &str) -> (String, String) {
        let field = format!("Basic {}", STANDARD.encode(value));
        match credentials(&with(field.leak())).unwrap() {
            Some(Credentials::Basic { user, password }) => (user, password.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn r_7617_2_a_splits_at_the_first_colon_and_accepts_utf_8() {
        let (user, password) = basic("name:p:ss wörd");
        assert_eq!((&*user, &*password), ("name", "p:ss wörd"));
    }

    #[test]
    fn r_7030_3_2_3_e_accepts_an_empty_user_name() {
        let (user, password) = basic(":secret");
        assert_eq!((&*user, &*password), ("", "secret"));
        let read = credentials(&with("Basic OnNlY3JldA==")).unwrap().unwrap();
        assert!(!format!("{read:?}").contains("secret"));
    }

    #[test]
    fn other_schemes_are_no_credentials_and_broken_ones_an_error() {
        assert!(credentials(&Request::new(())).unwrap().is_none());
        assert!(credentials(&with("Bearer x")).unwrap().is_none());
        // "a", zero, ":b" at the end.
        for bad in ["Basic %%%", "Basic bm9jb2xvbg==", "Basic YQA6Yg==", "Digest x", "Digest a=b"] {
            assert!(credentials(&with(bad)).is_err(), "{bad}");
        }
        let mut two = with("Basic OnNlY3JldA==");
        two.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(credentials(&two).is_err());
    }

    #[test]
    fn r_7616_3_4_a_the_uri_denotes_the_request_target() {
        for good in [
            "/.well-known/est/simpleenroll?a=b",
            "https://localhost:8443/.well-known/est/simpleenroll?a=b",
            "https://LOCALHOST:8443/.well-known/est/simpleenroll?a=b",
        ] {
            assert!(denotes(good, &with("")), "{good}");
        }
        for bad in [
            "",
            "*",
            "/",
            "/.well-known/est/simpleenroll",
            "/.well-known/est/simplereenroll?a=b",
            "/.well-known/est/%73impleenroll?a=b",
            "https://elsewhere/.well-known/est/simpleenroll?a=b",
            "https://localhost:8443/",
            "//localhost:8443/.well-known/est/simpleenroll?a=b",
        ] {
            assert!(!denotes(bad, &with("")), "{bad}");
        }
    }
}
