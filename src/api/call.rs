//! An operator's call: a type with its method, path and answer.
//!
//! Both ends use the same types. [`EncodedCall::of`] encodes a call for the client, [`parse`] decodes it
//! on the server. A new call needs a type and a table line in `api`, and a handler in `admin`.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};

/// HTTP method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Changes nothing. The fields are in the path and the query.
    Get,
    /// Changes something. The fields are in the body, as JSON.
    Post,
    /// Removes something. The fields are in the path and the query.
    Delete,
}

impl Method {
    /// The method's name in HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A call of an operator.
pub trait AdminCall: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The method.
    const METHOD: Method;
    /// The path. A segment `{name}` holds the field of that name; [`Method::Post`] has none.
    const PATH: &'static str;
    /// The answer if the call succeeds. If not, it is a [`super::ErrorResponse`].
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// Implements [`AdminCall`] for each line `METHOD "PATH": CALL => ANSWER;`.
macro_rules! calls {
    ($($method:ident $path:literal: $call:ty => $answer:ty;)+) => {
        $(impl $crate::api::call::AdminCall for $call {
            const METHOD: $crate::api::call::Method = $crate::api::call::Method::$method;
            const PATH: &'static str = $path;
            type Answer = $answer;
        })+
    };
}
pub(super) use calls;

/// An encoded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCall {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The body: JSON, or empty.
    pub body: Vec<u8>,
}

impl EncodedCall {
    /// Encodes a call.
    ///
    /// # Errors
    /// A field of a query is neither text nor a number.
    pub fn of<C: AdminCall>(call: &C) -> Result<Self, String> {
        if C::METHOD == Method::Post {
            let body = serde_json::to_vec(call).map_err(|error| error.to_string())?;
            return Ok(Self { method: C::METHOD, target: C::PATH.to_owned(), body });
        }
        let fields = serde_urlencoded::to_string(call).map_err(|error| error.to_string())?;
        let mut fields: Vec<(String, String)> =
            serde_urlencoded::from_str(&fields).map_err(|error| error.to_string())?;
        let mut target = String::new();
        for segment in segments(C::PATH) {
            target.push('/');
            let Some(name) = placeholder(segment) else {
                target.push_str(segment);
                continue;
            };
            let place = fields.iter().position(|(field, _)| field == name);
            let (_, value) = place
                .map(|place| fields.swap_remove(place))
                .ok_or_else(|| format!("{} lacks the field {name}", C::PATH))?;
            target.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
        }
        if !fields.is_empty() {
            let query = serde_urlencoded::to_string(&fields).map_err(|error| error.to_string())?;
            target.push('?');
            target.push_str(&query);
        }
        Ok(Self { method: C::METHOD, target, body: Vec::new() })
    }
}

/// Returns the fields in `path`, as names and values, if it matches `template`.
#[must_use]
pub fn captures(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (mut found, mut given) = (Vec::new(), segments(path));
    for segment in segments(template) {
        let value = given.next()?;
        match placeholder(segment) {
            Some(name) => {
                let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
                found.push((name.to_owned(), value));
            }
            None if segment == value => {}
            None => return None,
        }
    }
    given.next().is_none().then_some(found)
}

/// Decodes a call whose path and method are those of `C`.
///
/// # Errors
/// The error in query or body.
pub fn parse<C: AdminCall>(
    mut captured: Vec<(String, String)>,
    query: &str,
    body: &[u8],
) -> Result<C, String> {
    if C::METHOD == Method::Post {
        return serde_json::from_slice(body).map_err(|error| format!("the body: {error}"));
    }
    let fields: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|error| format!("{query}: {error}"))?;
    captured.extend(fields);
    // Encodes the pairs again: only a form converts text to the number type of a field.
    let form =
        serde_urlencoded::to_string(captured).map_err(|error| format!("{query}: {error}"))?;
    serde_urlencoded::from_str(&form).map_err(|error| format!("{query}: {error}"))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

fn placeholder(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Look {
        name: String,
        limit: Option<usize>,
        #[serde(default)]
        all: bool,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Change {
        names: Vec<String>,
    }

    calls! {
        Get "/v1/things/{name}/parts": Look => ();
        Post "/v1/things": Change => ();
    }

    #[test]
    fn each_end_reads_the_output_of_the_other() {
        for name in ["a", "line 1/\u{e4}", "{name}", "", "a?b&c=d#e", "%41", ".."] {
            for limit in [Some(7), None] {
                let look = Look { name: name.to_owned(), limit, all: true };
                let request = EncodedCall::of(&look).unwrap();
                assert_eq!(request.method.as_str(), "GET");
                let (path, query) = request.target.split_once('?').unwrap();
                assert!(!path.contains([' ', '&', '#']), "{path}");
                let captured = captures(Look::PATH, path).unwrap();
                assert_eq!(parse::<Look>(captured, query, b"").unwrap(), look, "{name}");
            }
        }
        let change = Change { names: vec!["a".to_owned(), "\u{e4}".to_owned()] };
        let request = EncodedCall::of(&change).unwrap();
        assert_eq!(request.target, "/v1/things");
        assert_eq!(parse::<Change>(Vec::new(), "", &request.body).unwrap(), change);
    }

    #[test]
    fn another_path_or_unknown_fields_are_rejected() {
        for path in ["/v1/things/a", "/v1/things/a/parts/b", "/v1/thing/a/parts", "", "/"] {
            assert_eq!(captures(Look::PATH, path), None, "{path}");
        }
        let captured = || vec![("name".to_owned(), "a".to_owned())];
        for query in ["limit=x", "unknown=1", "all=maybe"] {
            let error = parse::<Look>(captured(), query, b"").unwrap_err();
            assert!(error.contains(query), "{error}");
        }
        assert!(parse::<Change>(Vec::new(), "", b"{").is_err());
    }
}
