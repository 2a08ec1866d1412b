//! The enrolment account that a first start makes.
//!
//! Its password is shown before the account is recorded. Were it the other way round, a start
//! that is killed in between would leave an account that nobody can use.

use super::Error;
use crate::{
    entropy::Entropy,
    ra,
    store::{Account, Store},
    telemetry::audit::{Event, Name},
    types::{Actor, Time},
};
use zeroize::Zeroizing;

/// The name of the account.
const NAME: &str = "enroll";

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
        if !store.accounts().await?.is_empty() || ever_added(store).await? {
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
        let account =
            Account { name: self.name, password_hash: self.hash, added: now, labels: None };
        Ok(store.add_account(account, event).await?)
    }
}

async fn ever_added(store: &dyn Store) -> Result<bool, Error> {
    const PAGE: usize = 1000;
    let mut next = 1;
    loop {
        let page = store.events(next, PAGE).await?;
        if page.iter().any(|(_, event)| event.name == Name::AccountAdded) {
            return Ok(true);
        }
        match page.last() {
            Some((number, _)) => next = number.saturating_add(1),
            None => return Ok(false),
        }
    }
}
