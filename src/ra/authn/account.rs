//! Rules common to all proofs by the password of an account.

use super::{Authenticator, AuthnContext, Claim, Credentials, Holder};
use crate::{
    digest::Algorithm,
    policy::Scheme,
    ra::{Error, TokenText, failures::Attempt},
    store::Account,
    telemetry::audit::Facts,
    types::{Code, Label, Rejection},
};
use aws_lc_rs::hmac;
use std::{fmt, sync::OnceLock};

/// Why a password does not authenticate. For the audit trail only. The client gets the same answer
/// for all reasons, so that guessers do not learn the accounts and their rights.
#[derive(Debug)]
pub(super) enum LoginFailure {
    /// No account has this name.
    NoAccount,
    /// The password is wrong.
    Password,
    /// The password is empty or too long: its bytes.
    Length(usize),
    /// The password is right, and the account is bound to these labels.
    Label(Vec<Label>),
    /// The password is right, and the account is not bound to the label, which demands that.
    Unbound,
    /// The account stores no secret that verifies this scheme in this realm.
    NoSecret,
    /// No such token.
    Token,
}

impl fmt::Display for LoginFailure {
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
                "right password, but this label issues certificates of registration authorities and accepts only accounts that are bound to it (estd user add NAME --label LABEL)",
            ),
            Self::NoSecret => f.write_str(
                "the account stores no secret that verifies this scheme (estd user add --digest)",
            ),
            Self::Token => f.write_str("no such token"),
        }
    }
}

impl LoginFailure {
    /// The account as the audit trail names it.
    fn account(&self, user: &str, names: &NameMask) -> String {
        match self {
            Self::Password | Self::Label(_) | Self::Unbound | Self::NoSecret => user.to_owned(),
            Self::NoAccount | Self::Length(_) | Self::Token => names.masked(user),
        }
    }

    /// Whether this cause of a rejection says that the password was not the account's.
    pub(super) fn is_of_password(cause: &str) -> bool {
        [Self::NoAccount, Self::Label(Vec::new()), Self::Unbound, Self::NoSecret]
            .iter()
            .all(|other| !cause.starts_with(&other.to_string()))
    }

    /// The outcome of a password check. `usable`: the account may enroll under the label.
    pub(super) fn check(
        account: Option<Account>,
        right: bool,
        usable: bool,
    ) -> Result<Account, Self> {
        let account = account.ok_or(Self::NoAccount)?;
        match (right, usable) {
            (false, _) => Err(Self::Password),
            (true, true) => Ok(account),
            (true, false) => Err(account.labels.map_or(Self::Unbound, Self::Label)),
        }
    }
}

/// Masks user names that are not those of accounts: one may be a mistyped password.
#[derive(Debug, Default)]
pub(super) struct NameMask(OnceLock<hmac::Key>);

impl NameMask {
    /// Maximum length of such a name in the log, in characters.
    const SHOWN: usize = 8;

    /// Returns the beginning of a name, and a hash that distinguishes it from others. The hash has a
    /// key of this process: otherwise it would verify guesses of the password.
    fn masked(&self, name: &str) -> String {
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
    /// Finds the account whose password the credentials prove by one of the schemes, or the token.
    pub(super) async fn check_credentials(
        &self,
        context: AuthnContext<'_>,
        schemes: &[Scheme],
        credentials: &Credentials,
        facts: &mut Facts,
    ) -> Result<Holder, Error> {
        let (scheme, user) = (credentials.scheme(), credentials.user());
        let outcome = if schemes.contains(&scheme) {
            match credentials {
                Credentials::Basic { user, password } if scheme == Scheme::Token => {
                    if let Some(Ok(text)) = TokenText::recognize(password) {
                        facts.add("token", text.id());
                    }
                    let checked = self.check_token(context, user, password).await;
                    checked.map(|checked| checked.map(|token| Holder::Token(Box::new(token))))
                }
                Credentials::Basic { user, password } => {
                    let checked = self.check_basic(context, user, password).await;
                    checked.map(|checked| checked.map(Holder::Account))
                }
                Credentials::Digest { answer, method } => {
                    let checked = self.check_digest(context, answer, method).await;
                    checked.map(|checked| checked.map(Holder::Account))
                }
            }
        } else {
            Err(Error::Unauthenticated(other_scheme(schemes, scheme)))
        };
        self.outcome_of(user, outcome, facts)
    }

    /// Finds the account that a client claims to be, as if its password were right.
    pub(super) async fn check_claim(
        &self,
        context: AuthnContext<'_>,
        schemes: &[Scheme],
        claim: &Claim,
        facts: &mut Facts,
    ) -> Result<(Holder, Scheme), Error> {
        let user = &claim.user;
        if let Some(scheme) = claim.scheme.filter(|scheme| !schemes.contains(scheme)) {
            return Err(Error::Unauthenticated(other_scheme(schemes, scheme)));
        }
        if claim.scheme == Some(Scheme::Token) {
            let token = claim.token.filter(|_| !claim.is_wrong);
            let checked = self.check_claimed_token(context, user, token).await;
            let holder = |token| (Holder::Token(Box::new(token)), Scheme::Token);
            return self.outcome_of(user, checked.map(|checked| checked.map(holder)), facts);
        }
        if let Some(seconds) = self.failures.wait(context.origin(), user, context.now) {
            return Err(too_many_failures(seconds));
        }
        let account = self.store.account(user).await?;
        let usable = account.as_ref().is_some_and(|account| may_use(account, context));
        let verifies = |scheme: &&Scheme| match (&account, scheme) {
            (None, _) | (Some(_), Scheme::Basic) => true,
            (Some(account), Scheme::Digest) => self.secret(account, Algorithm::Sha256).is_some(),
            // It has no account.
            (Some(_), Scheme::Token) => false,
            (Some(account), Scheme::DigestMd5) => self.secret(account, Algorithm::Md5).is_some(),
        };
        let scheme = match claim.scheme {
            Some(scheme) => Some(scheme).filter(|scheme| verifies(&scheme)),
            None => schemes.iter().filter(|one| **one != Scheme::Token).find(verifies).copied(),
        };
        let outcome = match scheme {
            None => Err(LoginFailure::NoSecret),
            Some(scheme) => LoginFailure::check(account, !claim.is_wrong, usable)
                .map(|account| (Holder::Account(account), scheme)),
        };
        self.outcome_of(user, Ok(outcome), facts)
    }

    fn outcome_of<T>(
        &self,
        user: &str,
        outcome: Result<Result<T, LoginFailure>, Error>,
        facts: &mut Facts,
    ) -> Result<T, Error> {
        match outcome {
            Ok(Ok(account)) => Ok(account),
            Err(error) => {
                facts.add("account", self.names.masked(user));
                Err(error)
            }
            Ok(Err(wrong)) => {
                facts.add("account", wrong.account(user, &self.names));
                facts.add("cause", &wrong);
                Err(Error::Unauthenticated(wrong_password()))
            }
        }
    }

    /// Begins an attempt to log in.
    pub(super) async fn attempt(
        &self,
        context: AuthnContext<'_>,
        user: &str,
    ) -> Result<Attempt, Error> {
        let attempt = self.failures.begin(context.origin(), user, context.now).await;
        attempt.map_err(too_many_failures)
    }
}

/// Whether the account may enroll under the label.
///
/// An account without labels may enroll under all labels except those that issue certificates of
/// registration authorities. Such an account is shared by a fleet: each device knows the password.
pub(super) fn may_use(account: &Account, context: AuthnContext<'_>) -> bool {
    match &account.labels {
        Some(labels) => context.label.is_some_and(|label| labels.contains(label)),
        None => !context.rules.makes_ra,
    }
}

/// `seconds`: until the next attempt is allowed.
pub(super) fn too_many_failures(seconds: u32) -> Error {
    let rejection = Rejection::new(
        Code::AuthFailures,
        "failed logins are rate-limited per account and per address",
        "too many failed logins recently",
        "the right password after the time in Retry-After",
    );
    Error::TooManyFailures(rejection, seconds)
}

pub(super) fn no_password() -> Rejection {
    Rejection::new(
        Code::AuthNoPassword,
        "a password is required here (RFC 7030 section 3.2.3)",
        "no HTTP Basic or Digest credentials",
        "an enrollment account, or a one-time token where the label takes one, by a scheme of the challenge",
    )
}

fn wrong_password() -> Rejection {
    Rejection::new(
        Code::AuthPassword,
        "user name and password are those of an enrollment account",
        "others",
        "an account of this server (operator: estd user list)",
    )
}

fn other_scheme(schemes: &[Scheme], scheme: Scheme) -> Rejection {
    let schemes: Vec<String> = schemes.iter().map(ToString::to_string).collect();
    Rejection::new(
        Code::AuthScheme,
        "the password is proved by a scheme that is offered here (RFC 7030 section 3.2.3)",
        scheme,
        schemes.join(" or "),
    )
}
