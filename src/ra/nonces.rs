//! Nonces of HTTP Digest (RFC 7616 §3.3, §5.4).
//!
//! A nonce is its timestamp, 64 random bits and an HMAC over both; nothing is stored of a nonce without
//! a right answer. All nodes share the HMAC's key in the store, so that a client may answer the
//! challenge of one node at another.
//!
//! For a nonce that was used, the count of the last request is kept, and only a higher one is accepted.
//! So a recorded request cannot be replayed. Each node counts for itself. A node rejects nonces from
//! before its start as too old, so that a restart does not permit replays. An attacker who reads the
//! contents of TLS can replay a request to another node within the lifetime of its nonce. The answer
//! is the certificate of the first request.

use super::Error;
use crate::{
    entropy::{Entropy, NoEntropy},
    store::{CompareAndSet, Store},
    types::Time,
};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use zeroize::Zeroizing;

/// The register of the store that holds the key.
const REGISTER: &str = "digest nonces";

/// Nonces that are remembered at most. With more, the older half is rejected immediately.
const MOST: usize = 1 << 16;

/// How far in the future a nonce may be: nodes' clocks differ.
const AHEAD: Duration = Duration::from_secs(60);

/// Bytes of timestamp and random bits, and of the HMAC.
const BODY: usize = 16;
const TAG: usize = 16;

/// Generates nonces and verifies them.
#[derive(Debug)]
pub(super) struct Nonces {
    key: hmac::Key,
    lifetime: Duration,
    used: Mutex<Used>,
}

#[derive(Debug)]
struct Used {
    /// By body: its timestamp, and the last count.
    counts: HashMap<[u8; BODY], (Time, u32)>,
    /// Nonces from before this time are too old.
    floor: Time,
}

impl Nonces {
    /// Finds the key in the store, or decides it. `started`: older nonces are rejected.
    pub(super) async fn open(
        store: &dyn Store,
        entropy: &dyn Entropy,
        lifetime: Duration,
        started: Time,
    ) -> Result<Self, Error> {
        let kept = match store.register(REGISTER).await? {
            Some(kept) => Zeroizing::new(kept),
            None => {
                let mut fresh = Zeroizing::new(vec![0; 32]);
                entropy.fill(&mut fresh)?;
                match store.compare_and_set(REGISTER, None, &fresh).await? {
                    CompareAndSet::Set | CompareAndSet::Differs(None) => fresh,
                    CompareAndSet::Differs(Some(other)) => Zeroizing::new(other),
                }
            }
        };
        Ok(Self::new(&kept, lifetime, started))
    }

    fn new(key: &[u8], lifetime: Duration, started: Time) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            lifetime,
            used: Mutex::new(Used { counts: HashMap::new(), floor: started }),
        }
    }

    /// Creates a nonce: 43 characters.
    pub(super) fn generate(&self, entropy: &dyn Entropy, now: Time) -> Result<String, NoEntropy> {
        let mut random = [0; 8];
        entropy.fill(&mut random)?;
        let mut bytes = now.unix().to_be_bytes().to_vec();
        bytes.extend_from_slice(&random);
        let tag = hmac::sign(&self.key, &bytes);
        bytes.extend(tag.as_ref().iter().take(TAG));
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Records the `count`th request with this nonce, whose password was right. False if this
    /// server did not issue the nonce, or it is too old, or had that count already: the client gets
    /// a new one.
    pub(super) fn accept(&self, nonce: &str, count: u32, now: Time) -> bool {
        let Some((body, made)) = self.open_up(nonce) else { return false };
        if made.plus(self.lifetime) < now || now.plus(AHEAD) < made {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if made < used.floor {
            return false;
        }
        if used.counts.len() >= MOST && !used.counts.contains_key(&body) {
            used.purge(self.lifetime, now);
            if made < used.floor {
                return false;
            }
        }
        let (_, last) = used.counts.entry(body).or_insert((made, 0));
        if count <= *last {
            return false;
        }
        *last = count;
        true
    }

    /// Verifies a nonce. Returns its body and timestamp.
    fn open_up(&self, nonce: &str) -> Option<([u8; BODY], Time)> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (body, tag) = bytes.split_first_chunk::<BODY>()?;
        let whole = hmac::sign(&self.key, body);
        aws_lc_rs::constant_time::verify_slices_are_equal(whole.as_ref().get(..TAG)?, tag).ok()?;
        let time = u64::from_be_bytes(*body.first_chunk::<8>()?);
        Some((*body, Time::from_unix(time)))
    }
}

impl Used {
    fn purge(&mut self, lifetime: Duration, now: Time) {
        self.counts.retain(|_, (made, _)| made.plus(lifetime) >= now);
        if self.counts.len() < MOST {
            return;
        }
        let mut all: Vec<Time> = self.counts.values().map(|(made, _)| *made).collect();
        let (_, middle, _) = all.select_nth_unstable(MOST / 2);
        let floor = middle.plus(Duration::from_secs(1));
        self.floor = floor;
        self.counts.retain(|_, (made, _)| *made >= floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::SystemEntropy, store::MemoryStore, telemetry::audit::NoTrail};
    use std::sync::Arc;

    const NOW: Time = Time::from_unix(1_795_262_400);
    const LIFETIME: Duration = Duration::from_secs(300);

    fn nonces() -> Nonces {
        Nonces::new(&[7; 32], LIFETIME, NOW)
    }

    fn after(seconds: u64) -> Time {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn r_7616_3_4_a_a_count_is_taken_once_and_only_upwards() {
        let nonces = nonces();
        let nonce = nonces.generate(&SystemEntropy::new(), NOW).unwrap();
        assert!(nonces.accept(&nonce, 1, NOW));
        assert!(!nonces.accept(&nonce, 1, NOW), "replayed");
        assert!(nonces.accept(&nonce, 5, NOW));
        assert!(!nonces.accept(&nonce, 4, NOW), "from before");
        assert!(nonces.accept(&nonce, u32::MAX, NOW));
        let other = nonces.generate(&SystemEntropy::new(), NOW).unwrap();
        assert!(!nonces.accept(&other, 0, NOW), "counts begin with 1");
        assert!(nonces.accept(&other, 1, NOW));
    }

    #[test]
    fn r_7616_3_4_a_a_nonce_is_of_this_server_and_fresh() {
        let nonces = nonces();
        let make = |now| nonces.generate(&SystemEntropy::new(), now).unwrap();
        let nonce = make(NOW);
        assert_eq!(nonce.len(), 43);
        assert!(nonces.accept(&nonce, 1, after(300)));
        assert!(!nonces.accept(&nonce, 2, after(301)), "too old");
        assert!(nonces.accept(&make(after(60)), 1, NOW), "of a node whose clock is ahead");
        assert!(!nonces.accept(&make(after(61)), 1, NOW), "from the future");
        assert!(
            !nonces.accept(&make(NOW.minus(Duration::from_secs(1))), 1, NOW),
            "of before the start"
        );
        let strangers = Nonces::new(&[8; 32], LIFETIME, NOW);
        assert!(!strangers.accept(&make(NOW), 1, NOW), "of another key");
        for at in 0..nonce.len() {
            let mut bent = make(NOW).into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(!nonces.accept(std::str::from_utf8(&bent).unwrap(), 1, NOW), "bent at {at}");
        }
        for bad in ["", "AAAA", "%", &format!("{}A", make(NOW)), &make(NOW)[..42]] {
            assert!(!nonces.accept(bad, 1, NOW), "{bad:?}");
        }
    }

    #[test]
    fn memory_has_an_end_and_nothing_that_is_forgotten_can_be_replayed() {
        let nonces = nonces();
        let entropy = SystemEntropy::new();
        let first = nonces.generate(&entropy, NOW).unwrap();
        assert!(nonces.accept(&first, 1, NOW));
        for number in 0..MOST as u64 + 1 {
            let made = after(number * 100 / MOST as u64);
            let nonce = nonces.generate(&entropy, made).unwrap();
            assert!(nonces.accept(&nonce, 1, made), "{number}");
        }
        let used = nonces.used.lock().unwrap();
        assert!(used.counts.len() <= MOST / 2 + 1, "{}", used.counts.len());
        drop(used);
        assert!(!nonces.accept(&first, 1, after(100)));
        assert!(!nonces.accept(&first, 2, after(100)), "too old now");
    }

    #[tokio::test]
    async fn two_nodes_over_one_store_know_each_others_nonces() {
        let store = MemoryStore::new(Arc::new(NoTrail));
        let entropy = SystemEntropy::new();
        let open = async || Nonces::open(&store, &entropy, LIFETIME, NOW).await.unwrap();
        let (one, other) = (open().await, open().await);
        let nonce = one.generate(&entropy, NOW).unwrap();
        assert!(other.accept(&nonce, 1, NOW));
    }
}
