//! Paths of EST (RFC 7030 §3.2.2, RFC 8615).

use super::Error;
use crate::types::{Label, Operation};
use hyper::Method;
use percent_encoding::percent_decode_str;

/// The label and operation of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The label, if the path has one.
    pub label: Option<Label>,
    /// The operation.
    pub operation: Operation,
}

/// Reads a path: `/.well-known/est/OPERATION` or `/.well-known/est/LABEL/OPERATION`, exactly;
/// case-sensitive, without a trailing slash (D-14). Percent-encoding is decoded once, segment by
/// segment, so that an encoded slash never separates segments.
///
/// # Errors
/// [`Error::NotFound`] for every error.
pub fn parse(path: &str) -> Result<Route, Error> {
    let rest = path.strip_prefix("/.well-known/est/").ok_or(Error::NotFound)?;
    let segments: Vec<&str> = rest.splitn(3, '/').collect();
    let (label, operation) = match segments.as_slice() {
        [operation] => (None, *operation),
        [label, operation] => {
            (Some(decoded(label)?.parse().map_err(|_| Error::NotFound)?), *operation)
        }
        _ => return Err(Error::NotFound),
    };
    let operation = decoded(operation)?;
    let operation = Operation::ALL
        .into_iter()
        .find(|known| known.as_str() == operation)
        .ok_or(Error::NotFound)?;
    Ok(Route { label, operation })
}

fn decoded(segment: &str) -> Result<String, Error> {
    percent_decode_str(segment)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::NotFound)
}

/// The methods of an operation, as the `Allow` field lists them (RFC 9110 §10.2.1).
#[must_use]
pub const fn allowed(operation: Operation) -> &'static str {
    match operation {
        Operation::CaCerts | Operation::CsrAttrs => "GET, HEAD",
        Operation::SimpleEnroll
        | Operation::SimpleReenroll
        | Operation::FullCmc
        | Operation::ServerKeyGen => "POST",
    }
}

/// The media type of an operation's body (RFC 7030 §3.2.4); none for an operation without body.
#[must_use]
pub const fn media_type(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::CaCerts | Operation::CsrAttrs => None,
        Operation::SimpleEnroll | Operation::SimpleReenroll | Operation::ServerKeyGen => {
            Some("application/pkcs10")
        }
        Operation::FullCmc => Some("application/pkcs7-mime"),
    }
}

/// Whether the operation accepts this method.
#[must_use]
pub fn accepts(operation: Operation, method: &Method) -> bool {
    allowed(operation).split(", ").any(|allowed| allowed == method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths_with_and_without_label() {
        let route = parse("/.well-known/est/cacerts").unwrap();
        assert_eq!(route, Route { label: None, operation: Operation::CaCerts });
        let route = parse("/.well-known/est/factory-1/simplereenroll").unwrap();
        assert_eq!(
            route,
            Route {
                label: Some("factory-1".parse().unwrap()),
                operation: Operation::SimpleReenroll
            }
        );
        assert!(parse("/.well-known/est/cacert%73").is_ok(), "decoded once");
    }

    #[test]
    fn r_7030_3_2_2_h_no_variant_of_a_path_reaches_a_handler() {
        for bad in [
            "",
            "/",
            "*",
            "/.well-known/est",
            "/.well-known/est/",
            "/.well-known/est//cacerts",
            "/.well-known/est/cacerts/",
            "/.well-known/est/CACERTS",
            "/.well-known/EST/cacerts",
            "/.well-known/est/a/b/cacerts",
            "/.well-known/est/../est/cacerts",
            "/.well-known/est/./cacerts",
            "/.well-known/est/%2e%2e/cacerts",
            "/.well-known/est/a%2fb/cacerts",
            "/.well-known/est/%2Fcacerts",
            "/.well-known/est/cacert%2573",
            "/.well-known/est/cacerts%00",
            "/.well-known/est/%ff/cacerts",
            "/.well-known/est/cacerts;x=1",
            "/.well-known/est/simpleenroll/cacerts",
            "//.well-known/est/cacerts",
            "/.well-known/est/cacerts/cacerts",
            "/est/cacerts",
            "/.well-known/est/ cacerts",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
