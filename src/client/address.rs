//! Where an EST server is.

use crate::client::Error;
use std::fmt;
use std::str::FromStr;

/// The port that `estd` listens on when nothing else is configured.
pub const DEFAULT_PORT: u16 = 8443;

/// Host and port of an EST server. It has no scheme: EST uses HTTPS only (RFC 7030 §3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// The host name or IP address, the latter without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// Reads `https://host[:port][/]` (default port: 443) or `host[:port]` (port 8443).
impl FromStr for ServerAddress {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let error = |why| Error::Address { seen: text.to_owned(), why };
        let (rest, default_port) = match text.split_once("://") {
            None => (text, DEFAULT_PORT),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (rest, 443),
            Some(_) => return Err(error("EST runs over https only")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(error("it has a path; a label is given apart, and the rest is fixed"));
        }
        if rest.contains('@') {
            return Err(error("it holds credentials; they are given apart"));
        }
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, after) =
                bracketed.split_once(']').ok_or_else(|| error("a bracket is not closed"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(error("after an address in brackets comes only :port")),
            };
            (host, port)
        } else if rest.matches(':').count() > 1 {
            return Err(error("an IPv6 address is written in brackets: [::1]:8443"));
        } else {
            rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)))
        };
        if host.is_empty() {
            return Err(error("it names no host"));
        }
        let port = match port {
            None => default_port,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| error("the port is a number from 1 to 65535"))?,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// `host:port`, as the Host field has it.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls_and_bare_hosts() {
        for (text, shown) in [
            ("https://est.example", "est.example:443"),
            ("https://est.example:8443/", "est.example:8443"),
            ("HTTPS://localhost", "localhost:443"),
            ("localhost", "localhost:8443"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("[::1]", "[::1]:8443"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn rejects_parts_that_would_be_ignored() {
        for bad in [
            "http://localhost",
            "https://a/.well-known/est",
            "https://u:p@a",
            "::1",
            "[::1",
            "[::1]8443",
            "",
            "https://:1",
            "a:0",
            "a:x",
            "a:65536",
        ] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
    }
}
