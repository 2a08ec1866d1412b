//! Enrollment accounts.

use super::{
    error::{Error, invalid},
    service::{Admin, Handle},
    values::label,
};
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
        Ok(api::Users { users: admin.store.accounts().await?.into_iter().map(entry).collect() })
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
        let labels = new
            .labels
            .map(|labels| labels.iter().map(|text| label(text)).collect::<Result<Vec<_>, _>>())
            .transpose()?;
        if admin.store.account(&new.name).await?.is_some() {
            return Err(store::Error::AccountExists(new.name).into());
        }
        let digest = new.digest || new.digest_md5 || new.identity_proof;
        let password = if digest {
            let kinds = ra::Recomputed { md5: new.digest_md5, identity_proof: new.identity_proof };
            ra::recomputable(&new.name, &admin.realm, &given, kinds)
                .map(|kept| Password::Recomputable(Box::new(kept)))
        } else {
            let entropy = Arc::clone(&admin.entropy);
            tokio::task::spawn_blocking(move || ra::hash(&given, &*entropy))
                .await
                .map_err(|error| Error::Internal(error.to_string()))?
                .map(Password::Hash)
        };
        let password =
            password.map_err(|error| invalid("account", escaped(&new.name).at_most(64), error))?;
        if new.dry_run {
            return Ok(());
        }
        let now = admin.clock.now();
        let event = Event::new(now, Name::AccountAdded, actor.clone())
            .with("account", &new.name)
            .with("kept", kept(&password).join(", "));
        let account = Account { name: new.name, password, added: now, labels, expires: None };
        Ok(admin.store.add_account(account, event).await?)
    }
}

impl Handle for api::RemoveUser {
    async fn handle(self, admin: &Admin, actor: &Actor) -> Result<Self::Answer, Error> {
        let event = Event::new(admin.clock.now(), Name::AccountRemoved, actor.clone())
            .with("account", &self.name);
        Ok(admin.store.remove_account(&self.name, event).await?)
    }
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
