//! The enrollment account that a first start adds.
//!
//! Its password is shown or stored before the account is recorded. In the other order, a start
//! killed in between would leave an account with an unknown password.

use super::Error;
use crate::{
    entropy::Entropy,
    ra,
    store::{self, Account, Password, Store},
    telemetry::audit::{Event, Name},
    types::{Actor, Time},
};
use zeroize::Zeroizing;

/// The register that is set once the account was added.
const REGISTER: &str = "first account";

/// An account that is not recorded yet; its password was not shown yet.
pub struct FirstAccount {
    name: String,
    password: Zeroizing<String>,
    hash: String,
}

impl FirstAccount {
    /// The user name.
    pub const NAME: &str = "enroll";

    /// Generates the account unless one was ever added. After an operator has removed every account, no
    /// start adds one.
    pub(super) async fn if_needed(
        store: &dyn Store,
        entropy: &dyn Entropy,
    ) -> Result<Option<Self>, Error> {
        let added = store.register(REGISTER).await?.is_some();
        if added || !store.accounts().await?.is_empty() {
            return Ok(None);
        }
        let password = ra::generate(entropy).map_err(|error| Error::Internal(error.to_string()))?;
        let hash =
            ra::hash(&password, entropy).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Some(Self { name: Self::NAME.to_owned(), password, hash }))
    }

    /// Returns the recorded account.
    pub(super) async fn recorded(store: &dyn Store) -> Result<Option<Account>, Error> {
        Ok(store.accounts().await?.into_iter().find(|account| account.name == Self::NAME))
    }

    /// Returns whether the recorded account has this password. An operator may have removed the account
    /// and added it again with another one.
    pub(super) async fn has_password(
        store: &dyn Store,
        password: Zeroizing<String>,
    ) -> Result<bool, Error> {
        let Some(Account { password: Password::Hash(hash), .. }) = Self::recorded(store).await?
        else {
            return Ok(false);
        };
        tokio::task::spawn_blocking(move || ra::verify(&password, &hash))
            .await
            .map_err(|error| Error::Internal(error.to_string()))
    }

    /// Returns the password, which must be shown only once.
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
            expires: None,
            labels: None,
        };
        // In this order: after a crash in between, the account exists and no other is added.
        let added = match store.add_account(account, event).await {
            Err(store::Error::AccountExists(name)) => {
                tracing::warn!(
                    "another node has added the account {name} meanwhile: its password is the one shown there"
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
    use crate::{
        entropy::SystemEntropy,
        store::{Accounts, MemoryStore},
        telemetry::audit::NoTrail,
    };
    use std::sync::Arc;

    #[tokio::test]
    async fn two_nodes_that_start_at_once_add_one_account() {
        let store = MemoryStore::new(Arc::new(NoTrail));
        let entropy = SystemEntropy::new();
        let first = FirstAccount::if_needed(&store, &entropy).await.unwrap().unwrap();
        let second = FirstAccount::if_needed(&store, &entropy).await.unwrap().unwrap();
        let (hash, password) = (first.hash.clone(), first.password.clone());
        assert!(FirstAccount::recorded(&store).await.unwrap().is_none());
        assert!(first.record(&store, Time::from_unix(0)).await.unwrap());
        assert!(!second.record(&store, Time::from_unix(0)).await.unwrap());
        let accounts = store.accounts().await.unwrap();
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts[0].password, Password::Hash(hash));
        assert!(FirstAccount::if_needed(&store, &entropy).await.unwrap().is_none());
        assert!(FirstAccount::has_password(&store, password).await.unwrap());
        let other = Zeroizing::new("of another account".to_owned());
        assert!(!FirstAccount::has_password(&store, other).await.unwrap());
    }
}
