//! Header fields of a request.

use super::Error;
use crate::{ra::Credentials, types::Fault};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Version,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST},
};
use zeroize::Zeroizing;

/// Checks the one `Host` that HTTP/1.1 demands (RFC 9112 §3.2).
pub(super) fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Error> {
    let count = headers.get_all(HOST).iter().count();
    if count == 1 || (count == 0 && version < Version::HTTP_11) {
        return Ok(());
    }
    Err(Error::Header(Fault::new(
        "http.host",
        "an HTTP/1.1 request has one Host field (RFC 9112 section 3.2)",
        count,
        "one Host field",
    )))
}

/// Checks that the body is what the operation takes: type and subtype without regard to case or
/// parameters, and no content coding (R-9110-15.5.16-a). Content-Transfer-Encoding is no header
/// field of HTTP and is ignored, whatever it says (RFC 8951 §3).
pub(super) fn check_media_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Error> {
    if let Some(coding) = headers.get(CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Error::MediaType(Fault::new(
            "http.content-encoding",
            "the body has no content coding",
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
    Err(Error::MediaType(Fault::new(
        "http.content-type",
        "the body is of the type that the operation takes (RFC 7030 section 3.2.4)",
        &seen,
        wanted,
    )))
}

/// Reads HTTP Basic (RFC 7617 §2): split at the first colon, UTF-8, an empty user name allowed.
/// No user name has control characters (RFC 7617 §2), and no account (admin/mod.rs). Another scheme,
/// or none, is no credentials.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, Error> {
    let fault = |seen: &str| {
        Error::Header(Fault::new(
            "auth.basic-form",
            "Basic credentials are base64 of user name, colon, password (RFC 7617 section 2)",
            seen,
            "one Authorization field such as curl --user sends",
        ))
    };
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(fault("several Authorization fields"));
    }
    let Some((scheme, token)) = field.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let octets =
        Zeroizing::new(STANDARD.decode(token.trim()).map_err(|_| fault("what is no base64"))?);
    let text = std::str::from_utf8(&octets).map_err(|_| fault("what is no UTF-8"))?;
    let (user, password) = text.split_once(':').ok_or_else(|| fault("no colon"))?;
    if user.chars().any(char::is_control) {
        return Err(fault("a control character in the user name"));
    }
    Ok(Some(Credentials { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn basic(value: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode(value));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        credentials(&headers).unwrap()
    }

    #[test]
    fn r_7617_2_a_splits_at_the_first_colon_and_takes_utf_8() {
        let read = basic("name:p:ss wörd").unwrap();
        assert_eq!((&*read.user, &**read.password), ("name", "p:ss wörd"));
    }

    #[test]
    fn r_7030_3_2_3_e_takes_an_empty_user_name() {
        let read = basic(":secret").unwrap();
        assert_eq!((&*read.user, &**read.password), ("", "secret"));
        assert!(!format!("{read:?}").contains("secret"));
    }

    #[test]
    fn other_schemes_are_no_credentials_and_broken_ones_an_error() {
        let mut headers = HeaderMap::new();
        assert!(credentials(&headers).unwrap().is_none());
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(credentials(&headers).unwrap().is_none());
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic %%%"));
        assert!(credentials(&headers).is_err());
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic bm9jb2xvbg=="));
        assert!(credentials(&headers).is_err());
        // "a", zero, ":b"
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YQA6Yg=="));
        assert!(credentials(&headers).is_err());
    }
}
