//! Authentication by a one-time token (RFC 7030 §6), the password of HTTP Basic.
//!
//! A token is looked up by its hash: there is nothing to compare, and no password to verify. Whether it was
//! used is decided when the issuance is recorded, since the retry of the request that used it is answered.

use super::{
    Authenticator, AuthnContext,
    account::{LoginFailure, too_many_failures},
};
use crate::{
    ra::{Error, TokenText, failures::Attempt, rules},
    store::{Grant, Token},
    types::{Label, TokenId},
};

impl Authenticator {
    /// Finds the token that the client sends beside this user name.
    pub(super) async fn check_token(
        &self,
        context: AuthnContext<'_>,
        user: &str,
        password: &str,
    ) -> Result<Result<Token, LoginFailure>, Error> {
        let attempt = self.attempt(context, user).await?;
        let Some(Ok(text)) = TokenText::recognize(password) else {
            return Ok(Err(LoginFailure::Token));
        };
        self.usable_token(context, user, text.id(), Some(attempt)).await
    }

    /// Finds the token with this id, as if the client had sent it.
    pub(super) async fn check_claimed_token(
        &self,
        context: AuthnContext<'_>,
        user: &str,
        id: Option<TokenId>,
    ) -> Result<Result<Token, LoginFailure>, Error> {
        if let Some(seconds) = self.failures.wait(context.origin(), user, context.now) {
            return Err(too_many_failures(seconds));
        }
        match id {
            Some(id) => self.usable_token(context, user, id, None).await,
            None => Ok(Err(LoginFailure::Token)),
        }
    }

    async fn usable_token(
        &self,
        context: AuthnContext<'_>,
        user: &str,
        id: TokenId,
        attempt: Option<Attempt>,
    ) -> Result<Result<Token, LoginFailure>, Error> {
        let found = self.store.token(&id).await;
        if !matches!(found, Ok(None)) {
            // The right one, or none was looked for.
            attempt.into_iter().for_each(Attempt::take_back);
        }
        let Some(token) = found? else { return Ok(Err(LoginFailure::Token)) };
        match why_not(&token, context, user) {
            Some(rejection) => Err(Error::Unauthenticated(rejection)),
            None => Ok(Ok(token)),
        }
    }
}

/// Why a token gives no right here. Its holder may learn it.
fn why_not(
    token: &Token,
    context: AuthnContext<'_>,
    user: &str,
) -> Option<crate::types::Rejection> {
    if token.label.as_ref() != context.label {
        let of = |label: Option<&Label>| {
            label
                .map_or_else(|| "requests without a label".to_owned(), |one| format!("label {one}"))
        };
        let got = format!("a token of {}", of(token.label.as_ref()));
        return Some(rules::device::wrong_token(got, format!("a token of {}", of(context.label))));
    }
    if let Grant::Device(id) = &token.grant
        && !user.is_empty()
        && user != id.as_str()
    {
        let got = format!("the user name \"{user}\" beside a token of another device");
        return Some(rules::device::wrong_token(
            got,
            "no user name, or the id of the token's device",
        ));
    }
    // Its retry is answered, whatever has become of it.
    if token.consumed_by.is_some() {
        return None;
    }
    if token.disabled {
        return Some(rules::device::disabled_token());
    }
    (context.now >= token.expires).then(|| rules::device::expired_token(token.expires))
}
