//! Passwords of enrollment accounts: stored as argon2id hashes (RFC 9106), or as derived secrets for
//! schemes that cannot be verified by a hash.

use crate::{
    digest::{self, Secret},
    entropy::{Entropy, NoEntropy},
    store::{ProofKeys, Recomputable},
};
use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHasher, Version,
    password_hash::phc::{Output, PasswordHash},
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Bytes of a password at most; longer ones are rejected before they cost anything.
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
/// [`NoHash`] if the password is empty or longer than [`MAX_PASSWORD`], or no salt can be
/// generated.
pub fn hash(password: &str, entropy: &dyn Entropy) -> Result<String, NoHash> {
    check(password)?;
    let mut salt = [0u8; 16];
    entropy.fill(&mut salt).map_err(|rejection| NoHash(rejection.to_string()))?;
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|rejection| NoHash(rejection.to_string()))?;
    Ok(hash.to_string())
}

fn check(password: &str) -> Result<(), NoHash> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(NoHash(format!(
            "it has {} bytes, and may have 1 to {MAX_PASSWORD}",
            password.len()
        )));
    }
    Ok(())
}

/// The secrets to derive from a password in addition to that of Digest with SHA-256.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recomputed {
    /// The secret of Digest with MD5.
    pub md5: bool,
    /// The keys of CMC's proofs by a shared secret.
    pub identity_proof: bool,
}

/// Derives the secrets that verify proofs by this password.
///
/// # Errors
/// [`NoHash`] if the password is empty or longer than [`MAX_PASSWORD`], or Digest cannot carry the
/// user name.
pub fn recomputable(
    user: &str,
    realm: &str,
    password: &str,
    kinds: Recomputed,
) -> Result<Recomputable, NoHash> {
    check(password)?;
    if !digest::carries(user) {
        return Err(NoHash(
            "with Digest, a user name is printable ASCII without quotation mark and backslash"
                .to_owned(),
        ));
    }
    let secret = |algorithm| Secret::new(algorithm, user, realm, password);
    Ok(Recomputable {
        realm: realm.to_owned(),
        sha256: secret(digest::Algorithm::Sha256),
        md5: kinds.md5.then(|| secret(digest::Algorithm::Md5)),
        identity_proof: kinds.identity_proof.then(|| proof_keys(password, user)),
    })
}

/// Computes the keys of CMC's identity proof from a secret and the user name beside it.
#[must_use]
pub fn proof_keys(secret: &str, user: &str) -> ProofKeys {
    let key = |parts: &[&str]| {
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        parts.iter().for_each(|part| hash.update(part.as_bytes()));
        let mut key = Zeroizing::new([0; 32]);
        for (byte, from) in key.iter_mut().zip(hash.finish().as_ref()) {
            *byte = *from;
        }
        key
    };
    ProofKeys { alone: key(&[secret]), named: key(&[secret, user]) }
}

/// The memory that argon2 works in. It is reused: allocating 19 MiB for each password would
/// fragment the heap.
#[derive(Default)]
pub(super) struct HashMemory(Vec<Block>);

impl std::fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HashMemory({} KiB)", self.0.len())
    }
}

/// Idle time after which the buffers are freed.
const IDLE: Duration = Duration::from_secs(60);

/// The buffers of past checks, for the next ones: as many as may run concurrently. Allocated when a
/// check finds none, and freed when no check has run for [`IDLE`].
#[derive(Debug)]
pub(super) struct Memories {
    number: usize,
    spare: Mutex<Spare>,
}

#[derive(Debug, Default)]
struct Spare {
    memories: Vec<HashMemory>,
    /// The last time a buffer was taken or returned.
    used: Option<Instant>,
}

impl Memories {
    /// For this many concurrent checks.
    pub(super) const fn new(number: usize) -> Self {
        Self { number, spare: Mutex::new(Spare { memories: Vec::new(), used: None }) }
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a buffer; allocates one if none is free.
    pub(super) fn take(&self, now: Instant) -> HashMemory {
        let mut spare = self.spare();
        spare.used = Some(now);
        spare.memories.pop().unwrap_or_default()
    }

    /// Returns the buffer.
    pub(super) fn put(&self, memory: HashMemory, now: Instant) {
        let mut spare = self.spare();
        spare.used = Some(now);
        if spare.memories.len() < self.number {
            spare.memories.push(memory);
        }
    }

    /// Frees them if none was used for [`IDLE`]. Call it periodically.
    pub(super) fn release_idle(&self, now: Instant) {
        let mut spare = self.spare();
        if spare.used.is_some_and(|used| now.saturating_duration_since(used) >= IDLE) {
            *spare = Spare::default();
        }
    }
}

/// Returns whether `password` has this hash. Takes tens of milliseconds: call it where blocking is allowed.
#[must_use]
pub fn verify(password: &str, hash: &str) -> bool {
    HashMemory::default().verify(password, Some(hash))
}

impl HashMemory {
    /// Maximum memory parameter of a hash, in KiB: four times that of [`hash`]. More would let a
    /// record that was altered take the server's memory.
    const MOST: usize = 4 * 19 * 1024;

    /// Whether `password` is the one that was hashed; a hash that cannot be read matches nothing.
    /// Takes as long as [`hash`], also without a hash, so that its time does not reveal whether an
    /// account exists.
    #[must_use]
    pub(super) fn verify(&mut self, password: &str, hash: Option<&str>) -> bool {
        // The hash of an unknown password; only the parameters count.
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let matches = self.matches(password, hash.unwrap_or(NOBODY)).unwrap_or(false);
        // The rest of the memory depends on the password.
        self.0.fill(Block::default());
        matches && hash.is_some()
    }

    /// `None` for a hash that cannot be read.
    fn matches(&mut self, password: &str, hash: &str) -> Option<bool> {
        let hash = PasswordHash::new(hash).ok()?;
        let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = Version::try_from(hash.version?).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let blocks = params.block_count();
        if blocks > Self::MOST {
            return None;
        }
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::default());
        }
        let mut out = Zeroizing::new([0u8; Output::MAX_LENGTH]);
        let out = out.get_mut(..expected.len())?;
        Argon2::new(algorithm, version, params)
            .hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.0)
            .ok()?;
        // `Output` compares in constant time.
        Some(Output::new(out).ok()? == *expected)
    }
}

/// Generates a password of 20 letters and digits (about 103 bits) without those that look alike.
///
/// # Errors
/// [`NoEntropy`] if the random number generator fails.
pub fn generate(entropy: &dyn Entropy) -> Result<Zeroizing<String>, NoEntropy> {
    const LETTERS: &[u8; 36] = b"abcdefghijkmnpqrstuvwxyz23456789ABCD";
    let mut password = Zeroizing::new(String::new());
    let mut byte = Zeroizing::new([0u8; 1]);
    while password.len() < 20 {
        entropy.fill(&mut *byte)?;
        // 252 is the largest multiple of 36: above it some letters would be more frequent.
        if let Some(letter) = byte
            .first()
            .filter(|byte| **byte < 252)
            .and_then(|byte| LETTERS.get(usize::from(*byte % 36)))
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
    fn r_7617_2_a_verifies_only_the_hashed_password() {
        let stored = hash("p:ss wörd", &SystemEntropy::new()).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let mut memory = HashMemory::default();
        for _ in 0..2 {
            assert!(memory.verify("p:ss wörd", Some(&stored)));
            assert!(!memory.verify("p:ss word", Some(&stored)));
            assert!(!memory.verify("p:ss wörd", None));
            assert!(!memory.verify("p:ss wörd", Some("not a hash")));
        }
        assert_eq!(memory.0.len(), 19 * 1024, "asked for once");
        assert!(memory.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
    }

    #[test]
    fn verifies_hashes_of_other_parameters_up_to_a_limit() {
        let other = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(256, 1, 4, Some(24)).unwrap(),
        );
        let stored = other.hash_password_with_salt(b"password", b"somesalt").unwrap().to_string();
        let mut memory = HashMemory::default();
        assert!(memory.verify("password", Some(&stored)), "{stored}");
        assert!(!memory.verify("Password", Some(&stored)));
        let huge = stored.replace("m=256", "m=1048576");
        assert!(!memory.verify("password", Some(&huge)));
        assert_eq!(memory.0.len(), 256, "nothing of that size was allocated");
    }

    #[test]
    fn clients_6_memory_that_was_idle_for_a_minute_is_given_back() {
        let (memories, start) = (Memories::new(2), Instant::now());
        let held = || memories.spare().memories.iter().map(|memory| memory.0.len()).sum::<usize>();
        let check = |now| {
            let mut memory = memories.take(now);
            assert!(!memory.verify("password", None));
            memories.put(memory, now);
        };
        memories.release_idle(start);
        assert_eq!(held(), 0, "nothing before the first password");
        check(start);
        assert_eq!(held(), 19 * 1024);
        for second in [1, 30, 59] {
            memories.release_idle(start + Duration::from_secs(second));
            assert_eq!(held(), 19 * 1024, "after {second} s");
        }
        check(start + Duration::from_secs(59));
        memories.release_idle(start + Duration::from_secs(118));
        assert_eq!(held(), 19 * 1024, "it was used again");
        memories.release_idle(start + Duration::from_secs(119));
        assert_eq!(held(), 0);
        // Three at once, two are kept.
        let later = start + Duration::from_secs(200);
        let mut taken: Vec<HashMemory> = (0..3).map(|_| memories.take(later)).collect();
        for memory in &mut taken {
            assert!(!memory.verify("password", None));
        }
        memories.release_idle(later + IDLE);
        for memory in taken {
            memories.put(memory, later + IDLE);
        }
        assert_eq!(held(), 2 * 19 * 1024);
    }

    #[test]
    fn generated_passwords_differ() {
        let entropy = SystemEntropy::new();
        let (a, b) = (generate(&entropy).unwrap(), generate(&entropy).unwrap());
        assert_eq!(a.len(), 20);
        assert_ne!(a, b);
    }

    #[test]
    fn rejects_no_password_and_a_huge_one() {
        let entropy = SystemEntropy::new();
        assert!(hash("", &entropy).is_err());
        assert!(hash(&"x".repeat(1025), &entropy).is_err());
    }
}
