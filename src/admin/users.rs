//! Enrollment accounts.

use super::{Admin, Error, invalid, parse_label};
use crate::{
    api,
    entropy::Entropy,
    ra,
    store::{self, Account, Password},
    telemetry::audit::{Event, Name},
    types::{Actor, escaped},
};
use std::{collections::BTreeSet, sync::Arc};
use zeroize::Zeroizing;

/// Characters of a password at least (NIST SP 800-63B section 3.1.1.2, with a limit on failures).
const SHORTEST: usize = 8;

/// Different characters in it at least.
const DIFFERENT: usize = 4;

/// Generates a password for an account.
///
/// # Errors
/// [`Error::Internal`] if there is no randomness.
pub fn new_password(entropy: &dyn Entropy) -> Result<Zeroizing<String>, Error> {
    ra::generate(entropy).map_err(|error| Error::Internal(error.to_string()))
}

impl Admin {
    /// Lists the enrollment accounts.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn users(&self) -> Result<api::Users, Error> {
        let entry = |account: Account| api::UserEntry {
            name: account.name,
            added: account.added.to_string(),
            kept: kept(&account.password),
            realm: match &account.password {
                Password::Hash(_) => None,
                Password::Recomputable(kept) => Some(kept.realm.clone()),
            },
            labels: account.labels.map(|labels| labels.iter().map(ToString::to_string).collect()),
        };
        Ok(api::Users { users: self.store.accounts().await?.into_iter().map(entry).collect() })
    }

    /// Adds an enrollment account; with `dry_run` only checks whether it can be added.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name, password or label; [`Error::Exists`]; [`Error::Store`].
    pub async fn add_user(&self, new: api::NewUser, actor: Actor) -> Result<(), Error> {
        let given = Zeroizing::new(new.password);
        check_name(&new.name, new.allow_empty_name)?;
        check_password(&given, &new.name)?;
        let labels = new
            .labels
            .map(|labels| {
                labels.iter().map(|label| parse_label(label)).collect::<Result<Vec<_>, _>>()
            })
            .transpose()?;
        if self.store.account(&new.name).await?.is_some() {
            return Err(store::Error::AccountExists(new.name).into());
        }
        let digest = new.digest || new.digest_md5 || new.identity_proof;
        let password = if digest {
            let kinds = ra::Recomputed { md5: new.digest_md5, identity_proof: new.identity_proof };
            ra::recomputable(&new.name, &self.realm, &given, kinds)
                .map(|kept| Password::Recomputable(Box::new(kept)))
        } else {
            let entropy = Arc::clone(&self.entropy);
            tokio::task::spawn_blocking(move || ra::hash(&given, &*entropy))
                .await
                .map_err(|error| Error::Internal(error.to_string()))?
                .map(Password::Hash)
        };
        let password = password.map_err(|error| invalid("the account", error))?;
        if new.dry_run {
            return Ok(());
        }
        let now = self.clock.now();
        let event = Event::new(now, Name::AccountAdded, actor)
            .with("account", &new.name)
            .with("kept", kept(&password).join(", "));
        let account = Account { name: new.name, password, added: now, labels };
        Ok(self.store.add_account(account, event).await?)
    }

    /// Removes an enrollment account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Store`].
    pub async fn remove_user(&self, name: &str, actor: Actor) -> Result<(), Error> {
        let event = Event::new(self.clock.now(), Name::AccountRemoved, actor).with("account", name);
        Ok(self.store.remove_account(name, event).await?)
    }
}

/// What is kept of a password, in words.
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

/// Checks that HTTP Basic can carry the name (RFC 7617 §2: no colon, no control characters) and a
/// terminal show it. An empty one (RFC 7030 §3.2.3) is mostly a mistake, and has to be allowed.
fn check_name(name: &str, allow_empty: bool) -> Result<(), Error> {
    if name.is_empty() && !allow_empty {
        let error = "it is empty; accepted: 1 to 128 bytes. An account without a name, for clients \
                     that send a password only, needs --allow-empty-name";
        return Err(invalid("the user name", error));
    }
    if name.len() > 128 || name.contains(':') || name.chars().any(char::is_control) {
        return Err(invalid(
            escaped(name).at_most(64),
            "a user name has at most 128 bytes, no colon and no control characters",
        ));
    }
    Ok(())
}

/// Checks that a password cannot be guessed in a few tries.
fn check_password(password: &str, name: &str) -> Result<(), Error> {
    let got = password.chars().count();
    let different = password.chars().collect::<BTreeSet<_>>().len();
    let error = if got < SHORTEST {
        format!("it has {got} characters; accepted: {SHORTEST} or more")
    } else if different < DIFFERENT {
        format!("it has {different} different characters; accepted: {DIFFERENT} or more")
    } else if password.eq_ignore_ascii_case(name) {
        "it is the user name; accepted: anything else".to_owned()
    } else {
        return Ok(());
    };
    Err(invalid("the password", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_password_is_rejected_with_what_is_accepted() {
        for (password, text) in [
            ("", "the password: it has 0 characters; accepted: 8 or more"),
            ("abcde", "the password: it has 5 characters; accepted: 8 or more"),
            ("\u{e4}\u{e4}\u{e4}\u{e4}", "it has 4 characters"),
            ("12121212", "it has 2 different characters; accepted: 4 or more"),
            ("Gateway-1", "it is the user name"),
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
