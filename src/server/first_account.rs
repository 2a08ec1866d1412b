//! The enrolment account that a first start makes.
//!
//! Its password is shown or stored before the account is recorded. Were it the other way round, a start
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

/// The register that says that the account was generated once.
const REGISTER: &str = "first account";

/// An account with a password that nobody has seen yet, and that is not recorded yet.
pub struct FirstAccount {
    name: String,
    password: Zeroizing<String>,
    hash: String,
}

impl FirstAccount {
    /// The user name.
    pub const NAME: &str = "enroll";

    /// Makes the account if none was ever made. An operator may have removed every account; then
    /// none comes back by itself.
    pub(super) async fn if_needed(
        store: &dyn Store,
        entropy: &dyn Entropy,
    ) -> Result<Option<Self>, Error> {
        let made = store.register(REGISTER).await?.is_some();
        if made || !store.accounts().await?.is_empty() {
            return Ok(None);
        }
        let password = ra::generate(entropy).map_err(|error| Error::Internal(error.to_string()))?;
        let hash =
            ra::hash(&password, entropy).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Some(Self { name: Self::NAME.to_owned(), password, hash }))
    }

    /// Returns whether an account of this name exists.
    pub(super) async fn exists(store: &dyn Store) -> Result<bool, Error> {
        Ok(store.accounts().await?.iter().any(|account| account.name == Self::NAME))
    }

    /// The password, to be shown once.
    #[must_use]
    pub fn password(&self) -> &Zeroizing<String> {
        &self.password
    }

    /// Adds the account. Returns false if another node has added it meanwhile.
    pub(super) async fn record(self, store: &dyn Store, now: Time) -> Result<bool, Error> {
        let event =
            Event::new(now, Name::AccountAdded, Actor::server()).with("account", &self.name);
        let account = Account {
            name: self.name,
            password: Password::Hash(self.hash),
            added: now,
            labels: None,
        };
        // In this order: killed in between, the account is there and no other is made.
        let added = match store.add_account(account, event).await {
            Err(store::Error::AccountExists(name)) => {
                // This node serves all the same.
                tracing::warn!(
                    "another node has made the account {name} meanwhile: its password is the one that was shown there"
                );
                false
            }
            other => {
                other?;
                true
            }
        };
        store.compare_and_set(REGISTER, None, Self::NAME.as_bytes()).await?;
        Ok(added)
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
        assert!(!FirstAccount::exists(&store).await.unwrap());
        assert!(first.record(&store, Time::from_unix(0)).await.unwrap());
        assert!(!second.record(&store, Time::from_unix(0)).await.unwrap());
        assert!(FirstAccount::exists(&store).await.unwrap());
        let accounts = store.accounts().await.unwrap();
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts[0].password, Password::Hash(hash));
        assert!(FirstAccount::if_needed(&store, &entropy).await.unwrap().is_none());
    }
}
