//! The password's part of an authentication: HTTP Basic (RFC 7617) or Digest (RFC 7616).

use super::{Authenticator, Credentials, Unauthenticated};
use crate::{
    digest::{Algorithm, Answer, Secret},
    policy::{self, Scheme},
    ra::{failures::Attempt, password},
    store::{Account, Password},
    telemetry::audit::Facts,
    types::{Code, Label, Origin, Rejection, Time},
};
use aws_lc_rs::hmac;
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};
use zeroize::Zeroizing;

/// Whose password is tried, under which rules.
#[derive(Clone, Copy)]
struct Asked<'a> {
    rules: &'a policy::Policy,
    label: Option<&'a Label>,
    origin: Origin,
    user: &'a str,
    now: Time,
}

/// Why a password does not authenticate. For the log: the client is told the same for all of them,
/// because what accounts there are and what they may do is not for guessers.
#[derive(Debug)]
enum Wrong {
    /// No account has this name.
    NoAccount,
    /// The password is another one.
    Password,
    /// The password has no length that a password can have: in bytes.
    Length(usize),
    /// The password is right, and the account is bound to these labels.
    Label(Vec<Label>),
    /// The password is right, and the account is bound to no label, as this one demands.
    Unbound,
    /// Nothing is stored of the account that could verify this scheme in this realm.
    NoSecret,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccount => f.write_str("no such account"),
            Self::Password => f.write_str("wrong password"),
            Self::Length(0) => f.write_str("empty password"),
            Self::Length(bytes) => write!(f, "password of {bytes} bytes"),
            Self::Label(labels) => {
                let labels: Vec<&str> = labels.iter().map(Label::as_str).collect();
                write!(f, "right password, but the account is bound to label {}", labels.join(", "))
            }
            Self::Unbound => f.write_str(
                "right password, but this label makes registration authorities and accepts only accounts that are bound to it (estd user add NAME --label LABEL)",
            ),
            Self::NoSecret => f.write_str(
                "nothing is stored of the account that verifies this scheme (estd user add --digest)",
            ),
        }
    }
}

impl Wrong {
    /// The account as the log names it.
    fn account(&self, user: &str, names: &Names) -> String {
        match self {
            Self::Password | Self::Label(_) | Self::Unbound | Self::NoSecret => user.to_owned(),
            Self::NoAccount | Self::Length(_) => names.unproved(user),
        }
    }
}

/// What becomes of a password that was checked.
fn verdict(account: Option<Account>, right: bool, usable: bool) -> Result<Account, Wrong> {
    let account = account.ok_or(Wrong::NoAccount)?;
    match (right, usable) {
        (false, _) => Err(Wrong::Password),
        (true, true) => Ok(account),
        (true, false) => Err(account.labels.map_or(Wrong::Unbound, Wrong::Label)),
    }
}

/// Names that were sent as user names and are none: one may be a mistyped password.
#[derive(Debug, Default)]
pub(super) struct Names(OnceLock<hmac::Key>);

impl Names {
    /// Characters of such a name that are shown.
    const SHOWN: usize = 8;

    /// Shows the beginning of a name, and a hash that tells it from others. The hash has a key of
    /// this process: otherwise it would verify guesses of the password.
    fn unproved(&self, name: &str) -> String {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let hash = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_or_else(
            |_| String::new(),
            |fresh| {
                let tag = hmac::sign(self.0.get_or_init(|| fresh), name.as_bytes());
                tag.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
            },
        );
        let start: String = name.chars().take(Self::SHOWN).collect();
        let more = if name.chars().nth(Self::SHOWN).is_some() { "..." } else { "" };
        format!("{start}{more} (hash {hash})")
    }
}

impl Authenticator {
    /// Finds the account whose password was proved.
    pub(super) async fn check(
        &self,
        rules: &policy::Policy,
        label: Option<&Label>,
        origin: Origin,
        credentials: &Credentials,
        now: Time,
        facts: &mut Facts,
    ) -> Result<Account, Unauthenticated> {
        let scheme = credentials.scheme();
        if !rules.schemes.contains(&scheme) {
            facts.add("account", self.names.unproved(credentials.user()));
            return Err(Unauthenticated::Challenge(other_scheme(rules, scheme)));
        }
        let user = credentials.user();
        let outcome = match credentials {
            Credentials::Basic { user, password } => {
                let asked = Asked { rules, label, origin, user, now };
                self.check_basic(asked, password).await
            }
            Credentials::Digest { answer, method } => {
                if answer.realm != self.realm {
                    // Nothing that could be right was tried.
                    facts.add("account", self.names.unproved(user));
                    return Err(Unauthenticated::Challenge(self.other_realm(&answer.realm)));
                }
                let asked = Asked { rules, label, origin, user, now };
                self.check_digest(asked, answer, method).await
            }
        };
        match outcome {
            Ok(Ok(account)) => Ok(account),
            Err(rejection) => {
                facts.add("account", self.names.unproved(user));
                Err(rejection)
            }
            Ok(Err(wrong_because)) => {
                facts.add("account", wrong_because.account(user, &self.names));
                facts.add("cause", &wrong_because);
                Err(Unauthenticated::Challenge(wrong()))
            }
        }
    }

    /// Finds the account whose password this is.
    async fn check_basic(
        &self,
        asked: Asked<'_>,
        password: &Zeroizing<String>,
    ) -> Result<Result<Account, Wrong>, Unauthenticated> {
        let _place = self.waiting.try_acquire().map_err(|_| Unauthenticated::Busy)?;
        let attempt = self.begin(asked).await?;
        if password.is_empty() || password.len() > password::MAX_PASSWORD {
            return Ok(Err(Wrong::Length(password.len())));
        }
        let account = match self.store.account(asked.user).await {
            Ok(account) => account,
            Err(rejection) => {
                // No password was tried.
                attempt.take_back();
                return Err(rejection.into());
            }
        };
        let core = Arc::clone(&self.checks);
        let core = core.acquire_owned().await.map_err(|_| Unauthenticated::Busy)?;
        let given = password.clone();
        let kept = account.as_ref().map(|account| account.password.clone());
        let usable = account.as_ref().is_some_and(|one| may_use(one, asked.rules, asked.label));
        let user = asked.user.to_owned();
        let memories = Arc::clone(&self.memories);
        let check = move || {
            let mut memory = memories.take(Instant::now());
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
            memories.put(memory, Instant::now());
            // Both held to the end also if the client hangs up: there would be more at once than
            // cores, and more failures than are counted.
            drop(core);
            if right && usable {
                attempt.take_back();
            }
            right
        };
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        Ok(verdict(account, right, usable))
    }

    /// Finds the account whose password this was made with.
    async fn check_digest(
        &self,
        asked: Asked<'_>,
        answer: &Answer,
        method: &str,
    ) -> Result<Result<Account, Wrong>, Unauthenticated> {
        let attempt = self.begin(asked).await?;
        let found = async {
            Ok::<_, Unauthenticated>((
                self.nonces().await?,
                self.store.account(&answer.user).await?,
            ))
        };
        let (nonces, account) = match found.await {
            Ok(found) => found,
            Err(rejection) => {
                // No password was tried.
                attempt.take_back();
                return Err(rejection);
            }
        };
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
        let right = answer.matches(&secret.unwrap_or_else(nobody), method) && known;
        let usable = account.as_ref().is_some_and(|one| may_use(one, asked.rules, asked.label));
        if account.is_some() && !known {
            return Ok(Err(Wrong::NoSecret));
        }
        let account = match verdict(account, right, usable) {
            Ok(account) => account,
            Err(wrong) => return Ok(Err(wrong)),
        };
        attempt.take_back();
        if nonces.take(&answer.nonce, answer.count, asked.now) {
            Ok(Ok(account))
        } else {
            Err(Unauthenticated::Stale(stale(answer.count)))
        }
    }

    /// Begins an attempt to log in.
    async fn begin(&self, asked: Asked<'_>) -> Result<Attempt, Unauthenticated> {
        let begun = self.failures.begin(asked.origin, asked.user, asked.now).await;
        begun.map_err(|seconds| Unauthenticated::TooManyFailures { rejection: too_many(), seconds })
    }

    fn other_realm(&self, seen: &str) -> Rejection {
        Rejection::new(
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

fn wrong() -> Rejection {
    Rejection::new(
        Code::AuthPassword,
        "user name and password are those of an enrolment account",
        "others",
        "an account of this server (operator: estd user list)",
    )
}

fn other_scheme(rules: &policy::Policy, scheme: Scheme) -> Rejection {
    let wanted: Vec<String> = rules.schemes.iter().map(ToString::to_string).collect();
    Rejection::new(
        Code::AuthScheme,
        "the password is proved by a scheme that is offered here (RFC 7030 section 3.2.3)",
        scheme,
        wanted.join(" or "),
    )
}

pub(super) fn too_many() -> Rejection {
    Rejection::new(
        Code::AuthFailures,
        "an account, and an address, may fail so often in a while",
        "too many wrong passwords of late",
        "the right one after the time in Retry-After",
    )
}

fn stale(count: u32) -> Rejection {
    Rejection::new(
        Code::AuthNonce,
        "a nonce is answered in time, and each count of it once (RFC 7616 section 3.4)",
        format!("one that is not ours or too old, or the count {count:08x} again"),
        "an answer to the challenge that comes with this",
    )
}

pub(super) fn no_password() -> Rejection {
    Rejection::new(
        Code::AuthNoPassword,
        "a password is required here (RFC 7030 section 3.2.3)",
        "no HTTP Basic or Digest credentials",
        "an enrolment account by a scheme of the challenge",
    )
}
