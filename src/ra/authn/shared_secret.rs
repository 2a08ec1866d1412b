//! Authentication by a shared secret in CMC (RFC 5272 §6.2.1, §6.3.1.1).

use super::{
    Authenticator, AuthnContext,
    account::{may_use, too_many_failures},
};
use crate::{
    ra::{Error, failures::Blocked},
    store::{Password, ProofKeys},
};

impl Authenticator {
    /// Returns the keys with which the owner of an account proves its identity in CMC. `None` if the
    /// account does not exist, may not enroll under the label, or stores no keys
    /// (`estd user add --identity-proof`). [`Self::check_proof`] checks proofs by these keys.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`]; [`Error::Store`].
    pub async fn identity_proof_keys(
        &self,
        context: AuthnContext<'_>,
        user: &str,
    ) -> Result<Option<ProofKeys>, Error> {
        if let Some(seconds) = self.failures.wait(context.origin(), user, context.now) {
            return Err(too_many_failures(seconds));
        }
        let account = self.store.account(user).await?;
        let account = account.filter(|account| may_use(account, context));
        Ok(account.and_then(|account| match account.password {
            Password::Recomputable(stored) => stored.identity_proof,
            Password::Hash(_) => None,
        }))
    }

    /// Checks a proof by the shared secret of an account. A wrong one counts as a failed login, from
    /// before it is checked.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`]; [`Error::Busy`] while the open attempts of the account reach the
    /// limit of failures.
    pub fn check_proof(
        &self,
        context: AuthnContext<'_>,
        user: &str,
        holds: impl FnOnce() -> bool,
    ) -> Result<bool, Error> {
        let attempt = self.failures.begin_now(context.origin(), user, context.now);
        let attempt = attempt.map_err(|blocked| match blocked {
            Blocked::For(seconds) => too_many_failures(seconds),
            Blocked::ByOthers => Error::Busy("passwords are being checked"),
        })?;
        let holds = holds();
        if holds {
            attempt.take_back();
        }
        Ok(holds)
    }
}
