//! HTTP Digest (RFC 7616), both ends: the header fields and the arithmetic.
//!
//! `ra` checks nonces and passwords; `client` selects the answer to send.

use aws_lc_rs::{constant_time, digest as sha2};
use http_auth::parser::ChallengeParser;
use md5::{Digest as _, Md5};
use std::{collections::BTreeMap, fmt};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a field at most: several times what any client sends.
const LONGEST: usize = 4096;

/// The hash function of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// For clients that support nothing else (RFC 7616 §6.1).
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// The name in header fields.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|one| one.as_str().eq_ignore_ascii_case(name))
    }

    /// The hash of `parts` with colons between, in hexadecimal digits: `H(...)` of RFC 7616 §3.3.
    fn of_parts(self, parts: &[&str]) -> Zeroizing<String> {
        let whole = Zeroizing::new(parts.join(":"));
        match self {
            Self::Md5 => hexadecimal(&Md5::digest(whole.as_bytes())),
            Self::Sha256 => hexadecimal(sha2::digest(&sha2::SHA256, whole.as_bytes()).as_ref()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn hexadecimal(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(base16ct::lower::encode_string(bytes))
}

/// `H(user:realm:password)` (RFC 7616 §3.4.2) in hexadecimal digits: equivalent to the password in
/// this realm and with this algorithm.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Derives it from the password.
    #[must_use]
    pub fn new(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Self {
        Self(algorithm.of_parts(&[user, realm, password]).to_string())
    }

    /// Accepts the output of [`Secret::as_str`]; `None` if it does not have the form of
    /// `algorithm`.
    #[must_use]
    pub fn parse(algorithm: Algorithm, digits: &str) -> Option<Self> {
        let length = match algorithm {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 => 64,
        };
        let fits = digits.len() == length
            && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(digits.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

/// The challenge of a server: a `WWW-Authenticate` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The realm of the password.
    pub realm: String,
    /// The nonce that the answer must contain.
    pub nonce: String,
    /// The hash.
    pub algorithm: Algorithm,
    /// Whether the password was right, and only the nonce too old.
    pub stale: bool,
}

impl Challenge {
    /// Reads the Digest challenges of a field that this program can answer: with qop "auth" and a
    /// known algorithm. No field is an error: it may contain schemes of other clients.
    #[must_use]
    pub fn parse(field: &str) -> Vec<Self> {
        let challenges = ChallengeParser::new(field).map_while(Result::ok);
        challenges
            .filter(|one| one.scheme.eq_ignore_ascii_case("digest"))
            .filter_map(|one| {
                let value = |name: &str| {
                    let found = one.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                let qop = value("qop")?;
                qop.split(',').find(|qop| qop.trim().eq_ignore_ascii_case("auth"))?;
                Some(Self {
                    realm: value("realm")?,
                    nonce: value("nonce")?,
                    algorithm: value("algorithm")
                        .map_or(Some(Algorithm::Md5), |name| Algorithm::of(&name))?,
                    stale: value("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
                })
            })
            .collect()
    }

    /// The answer to it: the value of an `Authorization` field, for the `count`th request with
    /// this nonce.
    #[must_use]
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        request: Target<'_>,
        count: u32,
        cnonce: &str,
    ) -> Zeroizing<String> {
        let mut answer = DigestResponse {
            user: user.to_owned(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: request.uri.to_owned(),
            algorithm: self.algorithm,
            cnonce: cnonce.to_owned(),
            count,
            nc: format!("{count:08x}"),
            response: String::new(),
        };
        let secret = Secret::new(self.algorithm, user, &self.realm, password);
        answer.response = answer.expected(&secret, request.method).to_string();
        Zeroizing::new(answer.to_string())
    }
}

/// Each parameter quoted, `qop` "auth" alone (libest).
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"Digest realm="{}", nonce="{}", qop="auth", algorithm="{}""#,
            escaped(&self.realm),
            escaped(&self.nonce),
            self.algorithm
        )?;
        if self.stale { f.write_str(r#", stale="true""#) } else { Ok(()) }
    }
}

/// The request that an answer authenticates.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The method.
    pub method: &'a str,
    /// The request target.
    pub uri: &'a str,
}

/// The response of a client to a challenge: an `Authorization` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestResponse {
    /// The user name; may be empty.
    pub user: String,
    /// The realm that the client means.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// The request target as the client wrote it.
    pub uri: String,
    /// The hash.
    pub algorithm: Algorithm,
    /// The client's nonce.
    pub cnonce: String,
    /// How many requests the client has sent with this nonce.
    pub count: u32,
    /// `count` as the client wrote it, which is the hashed form.
    nc: String,
    response: String,
}

/// Reason why a field does not answer this server's challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not the grammar of RFC 9110 §11.4, or longer than any answer.
    #[error("a malformed list of parameters")]
    Grammar,
    /// A parameter that occurs twice.
    #[error("{0} twice")]
    Twice(&'static str),
    /// A required parameter is missing (RFC 7616 §3.4, with qop).
    #[error("no {0}")]
    Missing(&'static str),
    /// An unsupported value.
    #[error("{0}={1}")]
    Value(&'static str, String),
}

impl DigestResponse {
    /// Reads the value of an `Authorization` field of scheme Digest. Quotes are ignored (Bouncy
    /// Castle has them around `nc` and `qop`), and so is `opaque`, which this server never sends.
    ///
    /// # Errors
    /// [`Malformed`]; also for `userhash`, `username*`, other algorithms and `auth-int`, none of
    /// which this server offers.
    pub fn parse(field: &str) -> Result<Self, Malformed> {
        const KNOWN: [&str; 11] = [
            "username",
            "realm",
            "nonce",
            "uri",
            "response",
            "cnonce",
            "nc",
            "qop",
            "algorithm",
            "userhash",
            "username*",
        ];
        if field.len() > LONGEST {
            return Err(Malformed::Grammar);
        }
        let mut challenges = ChallengeParser::new(field);
        let (Some(Ok(only)), None) = (challenges.next(), challenges.next()) else {
            return Err(Malformed::Grammar);
        };
        if !only.scheme.eq_ignore_ascii_case("digest") {
            return Err(Malformed::Grammar);
        }
        let mut found = BTreeMap::new();
        for (name, value) in &only.params {
            // Parameters that RFC 7616 does not define are ignored (§3.4).
            let known = KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(name));
            if let Some(known) = known
                && found.insert(known, value.to_unescaped()).is_some()
            {
                return Err(Malformed::Twice(known));
            }
        }
        let no = |name: &'static str, value: &str| Malformed::Value(name, value.to_owned());
        if let Some(name) = found.get("username*") {
            return Err(no("username*", name));
        }
        if let Some(hash) = found.get("userhash").filter(|hash| !hash.eq_ignore_ascii_case("false"))
        {
            return Err(no("userhash", hash));
        }
        let mut take = |name: &'static str| found.remove(name).ok_or(Malformed::Missing(name));
        let qop = take("qop")?;
        if !qop.eq_ignore_ascii_case("auth") {
            return Err(no("qop", &qop));
        }
        let algorithm = match take("algorithm") {
            Ok(name) => Algorithm::of(&name).ok_or_else(|| no("algorithm", &name))?,
            Err(_) => Algorithm::Md5,
        };
        let nc = take("nc")?;
        let digits = nc.len() == 8 && nc.bytes().all(|digit| digit.is_ascii_hexdigit());
        let count = u32::from_str_radix(&nc, 16).ok().filter(|_| digits);
        Ok(Self {
            count: count.ok_or_else(|| no("nc", &nc))?,
            nc,
            user: take("username")?,
            realm: take("realm")?,
            nonce: take("nonce")?,
            uri: take("uri")?,
            cnonce: take("cnonce")?,
            response: take("response")?,
            algorithm,
        })
    }

    /// Whether it was computed with this secret, for a request with this method. Its time does not
    /// depend on where the two differ.
    #[must_use]
    pub fn matches(&self, secret: &Secret, method: &str) -> bool {
        let (expected, seen) =
            (self.expected(secret, method), Zeroizing::new(self.response.to_ascii_lowercase()));
        constant_time::verify_slices_are_equal(expected.as_bytes(), seen.as_bytes()).is_ok()
    }

    /// RFC 7616 §3.4.1, qop "auth".
    fn expected(&self, secret: &Secret, method: &str) -> Zeroizing<String> {
        let a2 = self.algorithm.of_parts(&[method, &self.uri]);
        let parts = [secret.as_str(), &self.nonce, &self.nc, &self.cnonce, "auth", &a2];
        self.algorithm.of_parts(&parts)
    }
}

/// As RFC 7616 §3.4 quotes it.
impl fmt::Display for DigestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"Digest username="{}", realm="{}", uri="{}", algorithm={}, nonce="{}", nc={}, cnonce="{}", qop=auth, response="{}""#,
            escaped(&self.user),
            escaped(&self.realm),
            escaped(&self.uri),
            self.algorithm,
            escaped(&self.nonce),
            self.nc,
            escaped(&self.cnonce),
            escaped(&self.response),
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Whether Digest can carry this user name or realm: printable ASCII. Clients differ in the encoding
/// of other characters; none of them sends `username*` (RFC 7616 §3.4). A quotation mark or
/// backslash is hashed escaped by some clients and unescaped by others.
#[must_use]
pub fn carries(text: &str) -> bool {
    text.bytes()
        .all(|byte| (byte == b' ' || byte.is_ascii_graphic()) && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7616 §3.9.1.
    const FIELD: &str = r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
    const SHA256: &str = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";

    #[test]
    fn fields_are_written_in_the_form_that_is_read() {
        let odd = FIELD.replace("8ca523f5", r#"8ca\\523\""#).replace("f2/wE4q74", r#"a\\b\"c"#);
        let answer = DigestResponse::parse(&odd).unwrap();
        assert!(answer.response.starts_with(r#"8ca\523""#), "{}", answer.response);
        assert_eq!(DigestResponse::parse(&answer.to_string()), Ok(answer));
    }

    #[test]
    fn r_7616_3_4_a_the_examples_of_the_rfc_match_in_both_algorithms() {
        let password = "Circle of Life";
        let secret =
            |algorithm| Secret::new(algorithm, "Mufasa", "http-auth@example.org", password);
        let answer = DigestResponse::parse(FIELD).unwrap();
        assert!(answer.matches(&secret(Algorithm::Md5), "GET"));
        assert!(!answer.matches(&secret(Algorithm::Md5), "POST"));
        let field = FIELD
            .replace("algorithm=MD5", "algorithm=SHA-256")
            .replace("8ca523f5e9506fed4657c9700eebdbec", SHA256);
        let answer = DigestResponse::parse(&field).unwrap();
        assert!(answer.matches(&secret(Algorithm::Sha256), "GET"));
        assert!(!answer.matches(&secret(Algorithm::Md5), "GET"), "of another algorithm");
        let other = Secret::new(Algorithm::Sha256, "Mufasa", "http-auth@example.org", "circle");
        assert!(!answer.matches(&other, "GET"));
    }

    #[test]
    fn quotes_case_and_unknown_parameters_are_ignored() {
        let plain = DigestResponse::parse(FIELD).unwrap();
        let field = FIELD
            .replace("nc=00000001", "nc=\"00000001\"")
            .replace("qop=auth", "qop=\"AUTH\"")
            .replace("algorithm=MD5, ", "")
            .replace("Digest username", "dIGEST Username")
            + ", color=blue, userhash=false";
        assert_eq!(DigestResponse::parse(&field).unwrap(), plain);
    }

    #[test]
    fn r_7616_3_4_a_missing_repeated_and_unoffered_parameters_are_named() {
        let bad =
            |from: &str, to: &str| DigestResponse::parse(&FIELD.replace(from, to)).unwrap_err();
        assert_eq!(bad("nc=00000001, ", ""), Malformed::Missing("nc"));
        assert_eq!(bad("qop=auth, ", ""), Malformed::Missing("qop"));
        assert_eq!(bad("username=", "user="), Malformed::Missing("username"));
        assert_eq!(bad("uri=", "url="), Malformed::Missing("uri"));
        assert_eq!(bad("qop=auth", "qop=auth, nc=00000002"), Malformed::Twice("nc"));
        for (name, from, value) in [
            ("qop", "qop=auth", "auth-int"),
            ("nc", "nc=00000001", "1"),
            ("nc", "nc=00000001", "0000000g"),
            ("nc", "nc=00000001", "+0000001"),
            ("algorithm", "algorithm=MD5", "MD5-sess"),
            ("algorithm", "algorithm=MD5", "SHA-512-256"),
        ] {
            assert_eq!(
                bad(from, &format!("{name}=\"{value}\"")),
                Malformed::Value(name, value.to_owned())
            );
        }
        assert_eq!(
            DigestResponse::parse(&format!("{FIELD}, userhash=true")),
            Err(Malformed::Value("userhash", "true".to_owned()))
        );
        assert_eq!(
            bad("username=\"Mufasa\"", "username*=UTF-8''M"),
            Malformed::Value("username*", "UTF-8''M".to_owned())
        );
        for bad in ["", "Digest", "Digest x", "Basic a=b", "Digest a=b, Basic c=d"] {
            assert!(DigestResponse::parse(bad).is_err(), "{bad:?}");
        }
        let long = format!("{FIELD}, x=\"{}\"", "y".repeat(LONGEST));
        assert_eq!(DigestResponse::parse(&long), Err(Malformed::Grammar));
    }

    #[test]
    fn r_7616_3_3_a_a_challenge_is_written_with_every_parameter_quoted_and_read_again() {
        let challenge = Challenge {
            realm: "estd".to_owned(),
            nonce: "abc".to_owned(),
            algorithm: Algorithm::Sha256,
            stale: false,
        };
        let field = challenge.to_string();
        assert_eq!(field, r#"Digest realm="estd", nonce="abc", qop="auth", algorithm="SHA-256""#);
        assert_eq!(Challenge::parse(&field), std::slice::from_ref(&challenge));
        let stale = Challenge { stale: true, ..challenge };
        assert_eq!(Challenge::parse(&stale.to_string()), std::slice::from_ref(&stale));
        let several = format!(
            r#"Basic realm="x", Digest realm="a", nonce="b", algorithm=SHA-512-256, qop="auth", {stale}, Digest realm="a", nonce="b", Digest realm="a", nonce="c", qop="auth-int, auth""#
        );
        let read = Challenge::parse(&several);
        assert_eq!(read.len(), 2, "{read:?}");
        assert_eq!(read[0], stale);
        assert_eq!((&*read[1].nonce, read[1].algorithm), ("c", Algorithm::Md5));
    }

    #[test]
    fn the_server_accepts_answers_of_the_client() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let challenge = Challenge {
                realm: "estd".to_owned(),
                nonce: "abc".to_owned(),
                algorithm,
                stale: false,
            };
            let request = Target { method: "POST", uri: "/.well-known/est/simpleenroll" };
            let field = challenge.answer("", "pässword", request, 17, "cn");
            let answer = DigestResponse::parse(&field).unwrap();
            assert_eq!((answer.count, &*answer.user), (17, ""));
            assert!(answer.matches(&Secret::new(algorithm, "", "estd", "pässword"), "POST"));
        }
    }

    #[test]
    fn a_secret_is_read_again_and_never_shown() {
        let secret = Secret::new(Algorithm::Md5, "a", "b", "c");
        assert!(Secret::parse(Algorithm::Md5, secret.as_str()).unwrap().is(&secret));
        assert!(Secret::parse(Algorithm::Sha256, secret.as_str()).is_none());
        assert!(Secret::parse(Algorithm::Md5, &"G".repeat(32)).is_none());
        assert!(!format!("{secret:?}").contains(secret.as_str()));
        assert!(carries("device 1") && !carries("dévice") && !carries("a\"b") && !carries("a\\"));
    }
}
