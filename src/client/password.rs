//! How the client proves its password: by the best scheme that the server offers.
//!
//! By default nothing is sent before the server's challenge arrives, so that a server with Digest
//! never receives the password itself. [`PasswordScheme`] chooses otherwise.

use crate::{
    client::{Error, PasswordAccount, PasswordScheme},
    digest::{Algorithm, Challenge, Target},
};
use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// An account, if any, and the scheme that the server's challenge offered.
pub(super) struct PasswordAuthenticator {
    account: Option<PasswordAccount>,
    wanted: PasswordScheme,
    scheme: Mutex<Option<OfferedScheme>>,
}

enum OfferedScheme {
    Basic,
    /// The last challenge, and how many requests were answered to it.
    Digest(Challenge, u32),
}

impl PasswordAuthenticator {
    pub(super) fn new(
        account: Option<PasswordAccount>,
        wanted: PasswordScheme,
    ) -> Result<Self, Error> {
        let error = |why: &str| Err(Error::Config { what: "the account", why: why.to_owned() });
        if let Some(account) = &account {
            if account.name.contains(':') {
                return error("its name holds a colon (RFC 7617 §2)");
            }
            if account.name.chars().chain(account.password.chars()).any(char::is_control) {
                return error("name or password holds control characters (RFC 7617 §2)");
            }
        }
        let known = (wanted == PasswordScheme::Basic).then_some(OfferedScheme::Basic);
        Ok(Self { account, wanted, scheme: Mutex::new(known) })
    }

    fn scheme(&self) -> MutexGuard<'_, Option<OfferedScheme>> {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a password is configured and no challenge was received yet.
    pub(super) fn waits(&self) -> bool {
        self.account.is_some() && self.scheme().is_none()
    }

    /// The Authorization field of the next request; none without an account, or while the server
    /// has not sent a challenge.
    pub(super) fn field(&self, request: Target<'_>) -> Result<Option<HeaderValue>, Error> {
        let Some(account) = &self.account else { return Ok(None) };
        let text = match self.scheme().as_mut() {
            None => return Ok(None),
            Some(OfferedScheme::Basic) => {
                let pair = Zeroizing::new(format!("{}:{}", account.name, *account.password));
                Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
            }
            Some(OfferedScheme::Digest(challenge, count)) => {
                *count += 1;
                let mut random = [0; 16];
                rand::fill(&mut random)
                    .map_err(|_| Error::Http("the random number generator failed".to_owned()))?;
                let cnonce = STANDARD.encode(random);
                challenge.answer(&account.name, &account.password, request, *count, &cnonce)
            }
        };
        let mut field = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Error::Config {
            what: "the account",
            why: "it cannot be sent".to_owned(),
        })?;
        field.set_sensitive(true);
        Ok(Some(field))
    }

    /// Reads the challenges of a 401. Returns whether the client should retry: with the password, with a
    /// better scheme, or with a fresh nonce.
    pub(super) fn receive_challenge(&self, headers: &HeaderMap, sent: bool) -> bool {
        if self.account.is_none() {
            return false;
        }
        let fields =
            || headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|one| one.to_str().ok());
        let offered: Vec<Challenge> = fields().flat_map(Challenge::parse).collect();
        let by = |algorithm| offered.iter().find(|one| one.algorithm == algorithm);
        let best = by(Algorithm::Sha256).or_else(|| by(Algorithm::Md5)).cloned();
        let basic = self.wanted != PasswordScheme::Digest;
        let basic = basic
            && fields().any(|field| {
                let name = field.trim_start().get(..5);
                name.is_some_and(|name| name.eq_ignore_ascii_case("basic"))
                    || field.to_ascii_lowercase().contains(", basic ")
            });
        let mut scheme = self.scheme();
        let before = scheme.take();
        let again = match (&before, &best) {
            (Some(OfferedScheme::Digest(..)), Some(challenge)) => !sent || challenge.stale,
            (Some(OfferedScheme::Digest(..)), None) => false,
            (Some(OfferedScheme::Basic), Some(_)) => true,
            (Some(OfferedScheme::Basic), None) => !sent,
            (None, _) => true,
        };
        *scheme = match best {
            Some(challenge) => Some(OfferedScheme::Digest(challenge, 0)),
            // A server of before RFC 7235 may name no scheme at all.
            None if basic => Some(OfferedScheme::Basic),
            None if fields().next().is_none() && self.wanted != PasswordScheme::Digest => {
                Some(OfferedScheme::Basic)
            }
            None => before,
        };
        again && scheme.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = r#"Digest realm="r", nonce="n", qop="auth", algorithm="MD5""#;
    const SHA256: &str = r#"Digest realm="r", nonce="n", qop="auth", algorithm="SHA-256""#;
    const BASIC: &str = "Basic realm=\"r\"";
    const TARGET: Target<'_> = Target { method: "POST", uri: "/" };

    fn password() -> PasswordAuthenticator {
        by(PasswordScheme::Offered)
    }

    fn by(wanted: PasswordScheme) -> PasswordAuthenticator {
        let password = Zeroizing::new("secret".to_owned());
        PasswordAuthenticator::new(
            Some(PasswordAccount { name: "device".to_owned(), password }),
            wanted,
        )
        .unwrap()
    }

    fn offering(fields: &[&str]) -> HeaderMap {
        let value = |field: &&str| (WWW_AUTHENTICATE, HeaderValue::from_str(field).unwrap());
        fields.iter().map(value).collect()
    }

    fn field(password: &PasswordAuthenticator) -> String {
        password.field(TARGET).unwrap().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn nothing_is_sent_before_the_challenge_and_then_the_best_scheme() {
        for (offered, expected) in [
            (&[BASIC][..], "Basic ZGV2aWNlOnNlY3JldA=="),
            (&[], "Basic ZGV2aWNlOnNlY3JldA=="),
            (&[MD5], "algorithm=MD5"),
            (&[MD5, SHA256, BASIC], "algorithm=SHA-256"),
            (&[BASIC, MD5], "algorithm=MD5"),
            (
                &["Basic realm=\"r\", Digest realm=\"r\", nonce=\"n\", qop=\"auth\""],
                "algorithm=MD5",
            ),
            (&["Bearer realm=\"r\", Basic realm=\"r\""], "Basic "),
        ] {
            let password = password();
            assert!(password.waits() && password.field(TARGET).unwrap().is_none());
            assert!(password.receive_challenge(&offering(offered), false), "{offered:?}");
            assert!(field(&password).contains(expected), "{offered:?}: {}", field(&password));
            assert!(!password.waits());
        }
    }

    #[test]
    fn basic_is_never_sent_where_it_is_not_offered() {
        for offered in [
            "Bearer realm=\"r\"",
            r#"Digest realm="r", nonce="n", qop="auth", algorithm="SHA-512-256""#,
        ] {
            let password = password();
            assert!(!password.receive_challenge(&offering(&[offered]), false), "{offered}");
            assert!(password.field(TARGET).unwrap().is_none());
        }
        let password = password();
        assert!(password.receive_challenge(&offering(&[BASIC]), false));
        assert!(password.receive_challenge(&offering(&[SHA256]), true), "it offers better now");
        assert!(field(&password).starts_with("Digest "));
    }

    /// First-user finding 14.
    #[test]
    fn basic_is_sent_with_the_first_request_if_chosen() {
        let password = by(PasswordScheme::Basic);
        assert!(!password.waits());
        assert!(field(&password).starts_with("Basic "));
        assert!(!password.receive_challenge(&offering(&[BASIC]), true), "the password is wrong");
        let password = by(PasswordScheme::Basic);
        assert!(password.receive_challenge(&offering(&[SHA256]), true));
        assert!(field(&password).starts_with("Digest "));
    }

    #[test]
    fn the_password_is_never_sent_where_digest_was_chosen() {
        for offered in [&[BASIC][..], &[]] {
            let password = by(PasswordScheme::Digest);
            assert!(!password.receive_challenge(&offering(offered), false));
            assert!(password.field(TARGET).unwrap().is_none());
        }
        let password = by(PasswordScheme::Digest);
        assert!(password.receive_challenge(&offering(&[BASIC, SHA256]), false));
        assert!(field(&password).starts_with("Digest "));
    }

    #[test]
    fn a_wrong_password_is_not_tried_again_and_a_stale_nonce_is() {
        let password = password();
        assert!(password.receive_challenge(&offering(&[SHA256]), false));
        assert!(field(&password).contains("nc=00000001"));
        assert!(field(&password).contains("nc=00000002"));
        assert!(!password.receive_challenge(&offering(&[SHA256]), true));
        let stale = format!("{SHA256}, stale=\"true\"");
        assert!(password.receive_challenge(&offering(&[&stale]), true));
        assert!(field(&password).contains("nc=00000001"));
        let basic = self::password();
        assert!(
            basic.receive_challenge(&offering(&[BASIC]), false)
                && !basic.receive_challenge(&offering(&[BASIC]), true)
        );
    }
}
