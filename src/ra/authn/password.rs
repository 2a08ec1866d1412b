//! The password's part of an authentication: HTTP Basic (RFC 7617) or Digest (RFC 7616).

use super::{Authenticator, Credentials, Unauthenticated};
use crate::{
    digest::{Algorithm, Answer, Secret},
    policy::{self, Scheme},
    ra::password,
    store::{Account, Password},
    types::{Code, Fault, Label, Origin, Time},
};
use std::sync::Arc;
use zeroize::Zeroizing;

impl Authenticator {
    /// Finds the account whose password was proved.
    pub(super) async fn check(
        &self,
        rules: &policy::Policy,
        label: Option<&Label>,
        origin: Origin,
        credentials: &Credentials,
        now: Time,
    ) -> Result<Account, Unauthenticated> {
        let scheme = credentials.scheme();
        if !rules.schemes.contains(&scheme) {
            return Err(Unauthenticated::Challenge(other_scheme(rules, scheme)));
        }
        let user = credentials.user();
        if let Some(seconds) = self.failures.wait(origin, user, now) {
            return Err(Unauthenticated::TooManyFailures { fault: too_many(), seconds });
        }
        let account = match credentials {
            Credentials::Basic { user, password } => self.check_basic(user, password).await?,
            Credentials::Digest { answer, method } => {
                if answer.realm != self.realm {
                    // Nothing that could be right was tried.
                    return Err(Unauthenticated::Challenge(self.other_realm(&answer.realm)));
                }
                self.check_digest(answer, method).await?
            }
        };
        if rules.makes_ra
            && let Some(unbound) = account.as_ref().filter(|account| account.labels.is_none())
        {
            tracing::warn!(
                "account {:?} is bound to no label: a label that makes registration authorities takes accounts only that are bound to it (estd user add NAME --label {})",
                unbound.name,
                label.map_or("", Label::as_str)
            );
        }
        // Not told apart from a wrong password: what an account may do is not for guessers.
        let Some(account) = account.filter(|account| may_use(account, rules, label)) else {
            self.failures.add(origin, user, now);
            return Err(Unauthenticated::Challenge(wrong()));
        };
        if let Credentials::Digest { answer, .. } = credentials
            && !self.nonces().await?.take(&answer.nonce, answer.count, now)
        {
            return Err(Unauthenticated::Stale(stale(answer.count)));
        }
        Ok(account)
    }

    /// The account whose password this is.
    async fn check_basic(
        &self,
        user: &str,
        password: &Zeroizing<String>,
    ) -> Result<Option<Account>, Unauthenticated> {
        if password.is_empty() || password.len() > password::MAX_PASSWORD {
            return Ok(None);
        }
        let _place = self.waiting.try_acquire().map_err(|_| Unauthenticated::Busy)?;
        let account = self.store.account(user).await?;
        let core = Arc::clone(&self.checks);
        let core = core.acquire_owned().await.map_err(|_| Unauthenticated::Busy)?;
        let given = password.clone();
        let kept = account.as_ref().map(|account| account.password.clone());
        let user = user.to_owned();
        let memories = Arc::clone(&self.memories);
        let check = move || {
            let mut memory = memories.take();
            let right = match &kept {
                Some(Password::Hash(hash)) => memory.verify(&given, Some(hash)),
                // The time of a hash, too: what kind of account it is is not for guessers.
                Some(Password::Recomputable(kept)) => {
                    let _ = memory.verify(&given, None);
                    let made = Secret::new(Algorithm::Sha256, &user, &kept.realm, &given);
                    made.is(&kept.sha256)
                }
                None => memory.verify(&given, None),
            };
            memories.put(memory);
            // Held to the end also if the client hangs up, or there would be more than cores.
            drop(core);
            right
        };
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        Ok(account.filter(|_| right))
    }

    /// The account whose password this was made with.
    async fn check_digest(
        &self,
        answer: &Answer,
        method: &str,
    ) -> Result<Option<Account>, Unauthenticated> {
        let account = self.store.account(&answer.user).await?;
        let secret = account.as_ref().and_then(|account| match &account.password {
            Password::Recomputable(kept) if kept.realm == self.realm => match answer.algorithm {
                Algorithm::Sha256 => Some(kept.sha256.clone()),
                Algorithm::Md5 => kept.md5.clone(),
            },
            Password::Recomputable(kept) => {
                tracing::warn!(
                    "account {:?} was made for the realm {:?}, and this server's is {:?}: it cannot be used with Digest",
                    account.name,
                    kept.realm,
                    self.realm
                );
                None
            }
            Password::Hash(_) => None,
        });
        // The same work for an account that does not exist: its secret is nobody's.
        let nobody = || Secret::new(answer.algorithm, "", "", "");
        let known = secret.is_some();
        let right = answer.matches(&secret.unwrap_or_else(nobody), method);
        Ok(account.filter(|_| right && known))
    }

    fn other_realm(&self, seen: &str) -> Fault {
        Fault::new(
            Code::AuthRealm,
            "the password is for the realm of the challenge (RFC 7616 section 3.4)",
            seen,
            self.realm.clone(),
        )
    }
}

/// Whether the account may enrol under the label.
///
/// One that is bound to no label may enrol under all but those that make registration authorities:
/// it is the account of a fleet, and each of its devices knows the password.
pub(super) fn may_use(account: &Account, rules: &policy::Policy, label: Option<&Label>) -> bool {
    match &account.labels {
        Some(labels) => label.is_some_and(|label| labels.contains(label)),
        None => !rules.makes_ra,
    }
}

fn wrong() -> Fault {
    Fault::new(
        Code::AuthPassword,
        "user name and password are those of an enrolment account",
        "others",
        "an account of this server (operator: estd user list)",
    )
}

fn other_scheme(rules: &policy::Policy, scheme: Scheme) -> Fault {
    let wanted: Vec<String> = rules.schemes.iter().map(ToString::to_string).collect();
    Fault::new(
        Code::AuthScheme,
        "the password is proved by a scheme that is offered here (RFC 7030 section 3.2.3)",
        scheme,
        wanted.join(" or "),
    )
}

pub(super) fn too_many() -> Fault {
    Fault::new(
        Code::AuthFailures,
        "an account, and an address, may fail so often in a while",
        "too many wrong passwords of late",
        "the right one after the time in Retry-After",
    )
}

fn stale(count: u32) -> Fault {
    Fault::new(
        Code::AuthNonce,
        "a nonce is answered in time, and each count of it once (RFC 7616 section 3.4)",
        format!("one that is not ours or too old, or the count {count:08x} again"),
        "an answer to the challenge that comes with this",
    )
}

pub(super) fn no_password() -> Fault {
    Fault::new(
        Code::AuthNoPassword,
        "a password is required here (RFC 7030 section 3.2.3)",
        "no HTTP Basic or Digest credentials",
        "an enrolment account by a scheme of the challenge",
    )
}
