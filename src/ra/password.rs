//! Passwords of enrolment accounts: kept only as argon2id hashes (RFC 9106).

use crate::entropy::{Entropy, NoEntropy};
use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use zeroize::Zeroizing;

/// Octets of a password at most; longer ones are refused before they cost anything.
pub const MAX_PASSWORD: usize = 1024;

/// A password could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct NoHash(String);

/// Hashes a password with argon2id and the library's parameters (19 MiB, 2 passes: the first
/// choice of OWASP) into a PHC string. Takes tens of milliseconds: call it where blocking is
/// allowed.
///
/// # Errors
/// [`NoHash`] if the password is empty or longer than [`MAX_PASSWORD`], or there is no salt.
pub fn hash(password: &str, entropy: &dyn Entropy) -> Result<String, NoHash> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(NoHash(format!(
            "it has {} octets, and may have 1 to {MAX_PASSWORD}",
            password.len()
        )));
    }
    let mut salt = [0u8; 16];
    entropy.fill(&mut salt).map_err(|fault| NoHash(fault.to_string()))?;
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|fault| NoHash(fault.to_string()))?;
    Ok(hash.to_string())
}

/// Whether `password` is the one that was hashed; a hash that cannot be read matches nothing.
/// Takes as long as [`hash`], also without a hash, so that its time does not tell whether an
/// account exists.
#[must_use]
pub fn verify(password: &str, hash: Option<&str>) -> bool {
    // Of a password that nobody knows; only the parameters count.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let matches =
        Argon2::default().verify_password(password.as_bytes(), hash.unwrap_or(NOBODY)).is_ok();
    matches && hash.is_some()
}

/// Makes a password of 20 letters and digits (about 103 bits) without those that look alike.
///
/// # Errors
/// [`NoEntropy`] if there is no randomness.
pub fn generate(entropy: &dyn Entropy) -> Result<Zeroizing<String>, NoEntropy> {
    const LETTERS: &[u8; 36] = b"abcdefghijkmnpqrstuvwxyz23456789ABCD";
    let mut password = Zeroizing::new(String::new());
    let mut octet = Zeroizing::new([0u8; 1]);
    while password.len() < 20 {
        entropy.fill(&mut *octet)?;
        // 252 is the largest multiple of 36: above it some letters would come more often.
        if let Some(letter) = octet
            .first()
            .filter(|octet| **octet < 252)
            .and_then(|octet| LETTERS.get(usize::from(*octet % 36)))
        {
            password.push(char::from(*letter));
        }
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

    #[test]
    fn r_7617_2_a_verifies_what_was_hashed_and_nothing_else() {
        let stored = hash("p:ss wörd", &SystemEntropy::new()).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("p:ss wörd", Some(&stored)));
        assert!(!verify("p:ss word", Some(&stored)));
        assert!(!verify("p:ss wörd", None));
        assert!(!verify("p:ss wörd", Some("not a hash")));
    }

    #[test]
    fn generated_passwords_differ() {
        let entropy = SystemEntropy::new();
        let (a, b) = (generate(&entropy).unwrap(), generate(&entropy).unwrap());
        assert_eq!(a.len(), 20);
        assert_ne!(a, b);
    }

    #[test]
    fn refuses_no_password_and_a_huge_one() {
        let entropy = SystemEntropy::new();
        assert!(hash("", &entropy).is_err());
        assert!(hash(&"x".repeat(1025), &entropy).is_err());
    }
}
