//! Enrollment accounts.

use super::{
    error::{Error, invalid},
    service::{Admin, Handle},
    values::{label, parse_end},
};
use crate::{
    api,
    entropy::Entropy,
    ra,
    store::{self, Account, Password},
    telemetry::audit::{Event, Name},
    types::{Actor, Label, Time, escaped},
};
use std::{collections::BTreeSet, sync::Arc};
use zeroize::Zeroizing;

/// Least number of characters of a password (NIST SP 800-63B section 3.1.1.2, with rate-limited
/// failures).
const SHORTEST: usize = 8;

/// Least number of different characters in it.
const DIFFERENT: usize = 4;

/// Generates a password for an account.
///
/// # Errors
/// [`Error::Internal`] if the system has no randomness.
pub fn new_password(entropy: &dyn Entropy) -> Result<Zeroizing<String>, Error> {
    ra::generate(entropy).map_err(|error| Error::Internal(error.to_string()))
}

impl Handle for api::ListUsers {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let accounts = admin.store.accounts().await?;
        Ok(api::Users { users: accounts.into_iter().map(user_entry).collect() })
    }
}

impl Handle for api::NewUser {
    /// Adds an enrollment account; with `dry_run` only checks whether it can be added.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name, password or label; [`Error::Exists`]; [`Error::Store`].
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let new = self;
        let given = Zeroizing::new(new.password);
        check_name(&new.name, new.allow_empty_name)?;
        check_password(&given, &new.name)?;
        let now = admin.clock.now();
        let labels = new.labels.as_deref().map(labels).transpose()?;
        let expires = new.expires.as_deref().map(|text| end_of_use(text, now)).transpose()?;
        if admin.store.account(&new.name).await?.is_some() {
            return Err(store::Error::AccountExists(new.name).into());
        }
        let kinds = (new.digest || new.digest_md5 || new.identity_proof)
            .then_some(ra::Recomputed { md5: new.digest_md5, identity_proof: new.identity_proof });
        let password = stored_password(admin, &new.name, given, kinds).await?;
        if new.dry_run {
            return Ok(());
        }
        let event = Event::new(now, Name::AccountAdded, actor.clone())
            .with("account", &new.name)
            .with("kept", kept(&password).join(", "))
            .with_some("expires", expires);
        let account = Account { name: new.name, password, added: now, labels, expires };
        Ok(admin.store.add_account(account, event).await?)
    }
}

impl Handle for api::ChangeUser {
    /// Changes an enrollment account; with `dry_run` only checks whether it can be changed.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value, or without a change; [`Error::NotFound`]; [`Error::Store`].
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let now = admin.clock.now();
        let given = self.password.map(Zeroizing::new);
        if self.labels.is_some() && self.all_labels || self.expires.is_some() && self.never_expires
        {
            return Err(invalid("change", "two of one kind", "labels or all; an end or none"));
        }
        let mut changed = Vec::new();
        let labels = self.labels.as_deref().map(labels).transpose()?;
        let labels = labels.map(Some).or_else(|| self.all_labels.then_some(None));
        let expires = self.expires.as_deref().map(|text| end_of_use(text, now)).transpose()?;
        let expires = expires.map(Some).or_else(|| self.never_expires.then_some(None));
        let not_found = || store::Error::NoSuchAccount(self.name.clone());
        let seen = admin.store.account(&self.name).await?.ok_or_else(not_found)?;
        let mut new = seen.clone();
        if let Some(labels) = labels {
            new.labels = labels;
            changed.push("labels");
        }
        if let Some(expires) = expires {
            new.expires = expires;
            changed.push("expires");
        }
        if let Some(given) = given {
            check_password(&given, &self.name)?;
            let kinds = match &seen.password {
                Password::Hash(_) => None,
                Password::Recomputable(kept) => Some(ra::Recomputed {
                    md5: kept.md5.is_some(),
                    identity_proof: kept.identity_proof.is_some(),
                }),
            };
            new.password = stored_password(admin, &self.name, given, kinds).await?;
            changed.push("password");
        }
        if changed.is_empty() {
            return Err(invalid("change", "", "a password, labels or an end"));
        }
        if !self.dry_run {
            let labels = new.labels.as_deref().filter(|_| changed.contains(&"labels"));
            let event = Event::new(now, Name::AccountChanged, actor.clone())
                .with("account", &self.name)
                .with("changed", changed.join(", "))
                .with_some("labels", labels.map(|labels| texts(labels).join(", ")))
                .with_some("expires", new.expires);
            admin.store.change_account(&seen, new.clone(), event).await?;
        }
        Ok(user_entry(new))
    }
}

impl Handle for api::RemoveUser {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let event = Event::new(admin.clock.now(), Name::AccountRemoved, actor.clone())
            .with("account", &self.name);
        Ok(admin.store.remove_account(&self.name, event).await?)
    }
}

fn user_entry(account: Account) -> api::UserEntry {
    api::UserEntry {
        name: account.name,
        added: account.added.to_string(),
        kept: kept(&account.password),
        realm: match &account.password {
            Password::Hash(_) => None,
            Password::Recomputable(kept) => Some(kept.realm.clone()),
        },
        labels: account.labels.as_deref().map(texts),
        expires: account.expires.map(|time| time.to_string()),
    }
}

fn texts(labels: &[Label]) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

fn labels(texts: &[String]) -> Result<Vec<Label>, Error> {
    texts.iter().map(|text| label(text)).collect()
}

/// Reads the end of an account.
fn end_of_use(text: &str, now: Time) -> Result<Time, Error> {
    let given = parse_end(text, now)?;
    if given > now { Ok(given) } else { Err(invalid("expires", given, "a time in the future")) }
}

/// Computes the stored form of a password: secrets of these kinds, or a hash without any.
async fn stored_password(
    admin: &Admin,
    name: &str,
    given: Zeroizing<String>,
    kinds: Option<ra::Recomputed>,
) -> Result<Password, Error> {
    let stored = match kinds {
        Some(kinds) => ra::recomputable(name, &admin.realm, &given, kinds)
            .map(|kept| Password::Recomputable(Box::new(kept))),
        None => {
            let entropy = Arc::clone(&admin.entropy);
            tokio::task::spawn_blocking(move || ra::hash(&given, &*entropy))
                .await
                .map_err(|error| Error::Internal(error.to_string()))?
                .map(Password::Hash)
        }
    };
    stored.map_err(|error| invalid("account", escaped(name).at_most(64), error))
}

/// Names the secrets that are stored for a password.
fn kept(password: &Password) -> Vec<String> {
    let kinds = match password {
        Password::Hash(_) => vec!["argon2id"],
        Password::Recomputable(kept) => {
            let md5 = kept.md5.as_ref().map(|_| "digest-md5");
            let proof = kept.identity_proof.as_ref().map(|_| "identity-proof");
            [Some("digest"), md5, proof].into_iter().flatten().collect()
        }
    };
    kinds.into_iter().map(str::to_owned).collect()
}

/// Checks that HTTP Basic can carry the name (RFC 7617 §2: no colon, no control characters). An
/// empty name (RFC 7030 §3.2.3) is mostly a mistake, so it needs a flag.
fn check_name(name: &str, allow_empty: bool) -> Result<(), Error> {
    if name.is_empty() && !allow_empty {
        let expected =
            "1 to 128 bytes, or --allow-empty-name for clients that send a password only";
        return Err(invalid("user name", "", expected));
    }
    if name.len() > 128 || name.contains(':') || name.chars().any(char::is_control) {
        let expected = "at most 128 bytes, without colon and control characters";
        return Err(invalid("user name", escaped(name).at_most(64), expected));
    }
    Ok(())
}

/// Checks that a password cannot be guessed in a few attempts.
fn check_password(password: &str, name: &str) -> Result<(), Error> {
    let length = password.chars().count();
    let different = password.chars().collect::<BTreeSet<_>>().len();
    let (got, expected) = if length < SHORTEST {
        (format!("{length} characters"), format!("{SHORTEST} or more"))
    } else if different < DIFFERENT {
        (format!("{different} different characters"), format!("{DIFFERENT} or more"))
    } else if password.eq_ignore_ascii_case(name) {
        ("the user name".to_owned(), "another word".to_owned())
    } else {
        return Ok(());
    };
    Err(invalid("password", got, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_password_is_rejected_with_the_accepted_ones() {
        for (password, text) in [
            ("", "password: got 0 characters; expected: 8 or more"),
            ("abcde", "password: got 5 characters; expected: 8 or more"),
            ("\u{e4}\u{e4}\u{e4}\u{e4}", "got 4 characters"),
            ("12121212", "got 2 different characters; expected: 4 or more"),
            ("Gateway-1", "got the user name"),
        ] {
            let error = check_password(password, "gateway-1").unwrap_err().to_string();
            assert!(error.contains(text), "{password}: {error}");
            assert!(password.is_empty() || !error.contains(password), "{error}");
        }
        check_password("gateway-2", "gateway-1").unwrap();
        check_password("12345678", "").unwrap();
    }

    #[test]
    fn r_7030_3_2_3_e_an_empty_name_has_to_be_allowed() {
        let error = check_name("", false).unwrap_err().to_string();
        assert!(error.contains("--allow-empty-name"), "{error}");
        check_name("", true).unwrap();
        check_name("line 1/\u{e4}", false).unwrap();
        for bad in ["a:b", "a\tb", &"x".repeat(129)] {
            assert!(check_name(bad, true).is_err(), "{bad}");
        }
    }
}
