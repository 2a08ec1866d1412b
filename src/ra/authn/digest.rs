//! Authentication by HTTP Digest (RFC 7616), and the challenges of both schemes.

use super::{
    Authenticator, AuthnContext,
    account::{LoginFailure, may_use},
};
use crate::{
    digest::{Algorithm, Challenge, DigestResponse, Secret},
    policy::Scheme,
    ra::{Error, nonces::Nonces},
    store::{Account, Password},
    types::{Code, Rejection, Time},
};

impl Authenticator {
    /// Returns the challenges of a 401 for these schemes, in their order. `stale`: the client's
    /// password was right, and its nonce was not.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Internal`] if the random number generator fails.
    pub async fn challenges(
        &self,
        schemes: &[Scheme],
        stale: bool,
        now: Time,
    ) -> Result<Vec<String>, Error> {
        let mut challenges = Vec::new();
        for scheme in schemes {
            let algorithm = match scheme {
                Scheme::Basic | Scheme::Token => {
                    // Needs no escapes: configuration accepts printable ASCII without quotation marks.
                    challenges.push(format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm));
                    continue;
                }
                Scheme::Digest => Algorithm::Sha256,
                Scheme::DigestMd5 => Algorithm::Md5,
            };
            let nonce = self.nonces().await?.generate(&*self.entropy, now)?;
            let challenge = Challenge { realm: self.realm.clone(), nonce, algorithm, stale };
            challenges.push(challenge.to_string());
        }
        Ok(challenges)
    }

    async fn nonces(&self) -> Result<&Nonces, Error> {
        let open = || Nonces::open(&*self.store, &*self.entropy, self.nonce_lifetime, self.started);
        self.nonces.get_or_try_init(open).await
    }

    /// Finds the account whose password the answer was computed with.
    pub(super) async fn check_digest(
        &self,
        context: AuthnContext<'_>,
        answer: &DigestResponse,
        method: &str,
    ) -> Result<Result<Account, LoginFailure>, Error> {
        if answer.realm != self.realm {
            // Not counted as a failure: no password of this realm was tried.
            return Err(Error::Unauthenticated(self.other_realm(&answer.realm)));
        }
        let attempt = self.attempt(context, &answer.user).await?;
        let found = async {
            Ok::<_, Error>((self.nonces().await?, self.store.account(&answer.user).await?))
        };
        let (nonces, account) = match found.await {
            Ok(found) => found,
            Err(error) => {
                // No password was tried.
                attempt.take_back();
                return Err(error);
            }
        };
        let secret = account.as_ref().and_then(|account| self.secret(account, answer.algorithm));
        // The same work for an account that does not exist.
        let nobody = || Secret::new(answer.algorithm, "", "", "");
        let known = secret.is_some();
        let right = answer.matches(&secret.unwrap_or_else(nobody), method) && known;
        let usable = account.as_ref().is_some_and(|account| may_use(account, context));
        if account.is_some() && !known {
            return Ok(Err(LoginFailure::NoSecret));
        }
        let account = match LoginFailure::check(account, right, usable) {
            Ok(account) => account,
            Err(wrong) => return Ok(Err(wrong)),
        };
        attempt.take_back();
        if nonces.accept(&answer.nonce, answer.count, context.now) {
            Ok(Ok(account))
        } else {
            Err(Error::Stale(stale(answer.count)))
        }
    }

    pub(super) fn secret(&self, account: &Account, algorithm: Algorithm) -> Option<Secret> {
        let Password::Recomputable(stored) = &account.password else { return None };
        if stored.realm != self.realm {
            tracing::warn!(
                "account {:?} cannot use Digest: got its realm {:?}; expected: {:?}; add the account again",
                account.name,
                stored.realm,
                self.realm
            );
            return None;
        }
        match algorithm {
            Algorithm::Sha256 => Some(stored.sha256.clone()),
            Algorithm::Md5 => stored.md5.clone(),
        }
    }

    fn other_realm(&self, got: &str) -> Rejection {
        Rejection::new(
            Code::AuthRealm,
            "the password is for the realm of the challenge (RFC 7616 section 3.4)",
            got,
            self.realm.clone(),
        )
    }
}

fn stale(count: u32) -> Rejection {
    Rejection::new(
        Code::AuthNonce,
        "a nonce is answered within its lifetime, and each count of it once (RFC 7616 section 3.4)",
        format!("an unknown or old nonce, or the count {count:08x} again"),
        "an answer to the challenge of this response",
    )
}
