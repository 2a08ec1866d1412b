//! Authentication by HTTP Basic (RFC 7617).

use super::{
    Authenticator, AuthnContext,
    account::{LoginFailure, may_use},
};
use crate::{
    digest::{Algorithm, Secret},
    ra::{Error, password},
    store::{Account, Password},
};
use std::{sync::Arc, time::Instant};
use zeroize::Zeroizing;

const BUSY: Error = Error::Busy("passwords are being checked");

impl Authenticator {
    /// Finds the account with this name and password.
    pub(super) async fn check_basic(
        &self,
        context: AuthnContext<'_>,
        user: &str,
        password: &Zeroizing<String>,
    ) -> Result<Result<Account, LoginFailure>, Error> {
        let _place = self.waiting.try_acquire().map_err(|_| BUSY)?;
        let attempt = self.attempt(context, user).await?;
        if password.is_empty() || password.len() > password::MAX_PASSWORD {
            return Ok(Err(LoginFailure::Length(password.len())));
        }
        let account = match self.store.account(user).await {
            Ok(account) => account,
            Err(error) => {
                // No password was tried.
                attempt.take_back();
                return Err(error.into());
            }
        };
        let permit = Arc::clone(&self.checks).acquire_owned().await.map_err(|_| BUSY)?;
        let given = password.clone();
        let stored = account.as_ref().map(|account| account.password.clone());
        let usable = account.as_ref().is_some_and(|account| may_use(account, context));
        let user = user.to_owned();
        let memories = Arc::clone(&self.memories);
        let check = move || {
            let mut memory = memories.take(Instant::now());
            let right = match &stored {
                Some(Password::Hash(hash)) => memory.verify(&given, Some(hash)),
                // Takes as long as a hash, too: guessers must not learn the kind of an account.
                Some(Password::Recomputable(stored)) => {
                    let _ = memory.verify(&given, None);
                    Secret::new(Algorithm::Sha256, &user, &stored.realm, &given).is(&stored.sha256)
                }
                None => memory.verify(&given, None),
            };
            memories.put(memory, Instant::now());
            // The thread holds permit and attempt even if the client hangs up. Otherwise more checks
            // could run than the machine has cores, and failures could go uncounted.
            drop(permit);
            if right && usable {
                attempt.take_back();
            }
            right
        };
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        Ok(LoginFailure::check(account, right, usable))
    }
}
