//! The enrolment account that a first start makes.
//!
//! Its password is shown before the account is recorded. Were it the other way round, a start
//! that is killed in between would leave an account that nobody can use.

use super::Error;
use crate::{
    entropy::Entropy,
    ra,
    store::{self, Account, Password, Store},
    telemetry::audit::{Event, Name},
    types::{Actor, Time},
};
use zeroize::Zeroizing;

/// The name of the account.
const NAME: &str = "enroll";

/// What is decided in the store once the account was made.
const MATTER: &str = "first account";

/// An account with a password that nobody has seen yet, and that is not recorded yet.
pub struct FirstAccount {
    name: String,
    password: Zeroizing<String>,
    hash: String,
}

impl FirstAccount {
    /// Makes the account if none was ever made. An operator may have removed every account; then
    /// none comes back by itself.
    pub(super) async fn if_needed(
        store: &dyn Store,
        entropy: &dyn Entropy,
    ) -> Result<Option<Self>, Error> {
        let made = store.decision(MATTER).await?.is_some();
        if made || !store.accounts().await?.is_empty() {
            return Ok(None);
        }
        let password = ra::generate(entropy).map_err(|fault| Error::Internal(fault.to_string()))?;
        let hash =
            ra::hash(&password, entropy).map_err(|fault| Error::Internal(fault.to_string()))?;
        Ok(Some(Self { name: NAME.to_owned(), password, hash }))
    }

    /// The user name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password, to be shown once.
    #[must_use]
    pub fn password(&self) -> &Zeroizing<String> {
        &self.password
    }

    pub(super) async fn record(self, store: &dyn Store, now: Time) -> Result<(), Error> {
        let event =
            Event::new(now, Name::AccountAdded, Actor::server()).with("account", &self.name);
        let account = Account {
            name: self.name,
            password: Password::Hash(self.hash),
            added: now,
            labels: None,
        };
        // In this order: killed in between, the account is there and no other is made.
        match store.add_account(account, event).await {
            Err(store::Error::AccountExists(name)) => {
                // This node serves all the same.
                tracing::warn!(
                    "another node has made the account {name} meanwhile: its password is the one that was shown there"
                );
            }
            other => other?,
        }
        store.decide(MATTER, None, NAME.as_bytes()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::SystemEntropy, store::MemoryStore, telemetry::audit::NoTrail};
    use std::sync::Arc;

    #[tokio::test]
    async fn two_nodes_that_start_at_once_make_one_account_and_both_serve() {
        let store = MemoryStore::new(Arc::new(NoTrail));
        let entropy = SystemEntropy::new();
        let first = FirstAccount::if_needed(&store, &entropy).await.unwrap().unwrap();
        let second = FirstAccount::if_needed(&store, &entropy).await.unwrap().unwrap();
        let hash = first.hash.clone();
        first.record(&store, Time::from_unix(0)).await.unwrap();
        second.record(&store, Time::from_unix(0)).await.unwrap();
        let accounts = store.accounts().await.unwrap();
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts[0].password, Password::Hash(hash));
        assert!(FirstAccount::if_needed(&store, &entropy).await.unwrap().is_none());
    }
}
