//! How often a wrong password may be tried.
//!
//! Failures are counted by account and by address, each as a debt that time pays off: so many at
//! once, then one more each time that one is paid (the generic cell rate algorithm). Nothing is
//! locked, and nothing outlasts the window. Two rules keep one client from shutting out another:
//!
//! - What is counted are failures, never passwords that were right.
//! - The account's debt stops those only who failed before from their own address. Whoever comes
//!   from an address without failures is always heard, however many others try that account.
//!
//! `governor`, which has the same algorithm, counts each call and forgets nothing by itself; here
//! most calls must not count, and memory has an end.

use crate::{
    policy::Passwords,
    types::{Origin, Time},
};
use aws_lc_rs::digest;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Accounts, and addresses, that are remembered at most. With more, the smaller debts are forgotten.
const MOST: usize = 1 << 16;

/// SHA-256 of a user name, cut: names come from clients, and may be long.
type Name = [u8; 16];

/// Failures of late.
#[derive(Debug)]
pub(super) struct Failures {
    account: Rule,
    address: Rule,
    debts: Mutex<Debts>,
}

#[derive(Debug, Default)]
struct Debts {
    accounts: HashMap<Name, u64>,
    addresses: HashMap<Origin, u64>,
}

/// How much debt is allowed. Milliseconds.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// What one failure costs.
    each: u64,
    /// What all that are allowed at once cost.
    most: u64,
}

impl Rule {
    fn new(failures: usize, window: Duration) -> Self {
        let most = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self { each: most / u64::try_from(failures).unwrap_or(u64::MAX).max(1), most }
    }

    /// What is left of a debt that is paid off at `until`: a clock that was set back leaves no more
    /// than all of it.
    fn left(self, until: Option<&u64>, now: u64) -> u64 {
        until.map_or(0, |until| until.saturating_sub(now)).min(self.most)
    }

    /// Until when a client that owes this has to wait, if it has to.
    fn wait(self, left: u64) -> Option<u64> {
        left.checked_sub(self.most - self.each).filter(|wait| *wait > 0)
    }
}

impl Failures {
    pub(super) fn new(rules: &Passwords) -> Self {
        Self {
            account: Rule::new(rules.failures_per_account, rules.failure_window),
            address: Rule::new(rules.failures_per_address, rules.failure_window),
            debts: Mutex::default(),
        }
    }

    /// The seconds until this account may be tried from this address again; none if it may now.
    pub(super) fn wait(&self, origin: Origin, account: &str, now: Time) -> Option<u32> {
        let now = now.unix() * 1000;
        let debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = self.address.left(debts.addresses.get(&origin), now);
        if of_address == 0 {
            return None;
        }
        let of_account = self.account.left(debts.accounts.get(&name(account)), now);
        let wait = self.address.wait(of_address).max(self.account.wait(of_account))?;
        Some(u32::try_from(wait.div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// Counts a failure.
    pub(super) fn add(&self, origin: Origin, account: &str, now: Time) {
        let now = now.unix() * 1000;
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut debts.accounts, name(account), self.account, now);
        add(&mut debts.addresses, origin, self.address, now);
    }
}

fn name(account: &str) -> Name {
    let mut name = Name::default();
    let whole = digest::digest(&digest::SHA256, account.as_bytes());
    for (octet, from) in name.iter_mut().zip(whole.as_ref()) {
        *octet = *from;
    }
    name
}

fn add<K: Copy + Eq + Hash>(debts: &mut HashMap<K, u64>, key: K, rule: Rule, now: u64) {
    if debts.len() >= MOST && !debts.contains_key(&key) {
        debts.retain(|_, until| rule.left(Some(until), now) > 0);
        if debts.len() >= MOST {
            let mut all: Vec<u64> = debts.values().copied().collect();
            let (_, middle, _) = all.select_nth_unstable(MOST / 2);
            let middle = *middle;
            debts.retain(|_, until| *until > middle);
        }
    }
    let left = rule.left(debts.get(&key), now);
    debts.insert(key, now + (left + rule.each).min(rule.most));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_unix(1_795_262_400);

    fn failures() -> Failures {
        Failures::new(&Passwords {
            realm: "estd".to_owned(),
            nonce_lifetime: Duration::from_secs(300),
            failure_window: Duration::from_secs(600),
            failures_per_account: 20,
            failures_per_address: 60,
        })
    }

    fn origin(number: u32) -> Origin {
        Origin::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn later(seconds: u64) -> Time {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn r_7030_6_b_failures_of_an_account_are_limited_and_paid_off_by_time() {
        let failures = failures();
        let wait = |now| failures.wait(origin(1), "a", now);
        for _ in 0..20 {
            assert_eq!(wait(NOW), None);
            failures.add(origin(1), "a", NOW);
        }
        assert_eq!(wait(NOW), Some(30), "600 s / 20");
        assert_eq!(wait(later(29)), Some(1));
        assert_eq!(wait(later(30)), None, "one more");
        failures.add(origin(1), "a", later(30));
        assert_eq!(wait(later(30)), Some(30));
        assert_eq!(failures.wait(origin(1), "b", later(30)), None, "another account");
        assert_eq!(wait(later(30 + 600)), None);
    }

    #[test]
    fn an_attack_on_an_account_does_not_shut_out_an_address_without_failures() {
        let failures = failures();
        for number in 0..1000 {
            failures.add(origin(number), "a", NOW);
        }
        assert_eq!(failures.wait(origin(7), "a", NOW), Some(30));
        assert_eq!(failures.wait(origin(5000), "a", NOW), None);
        assert_eq!(failures.wait(origin(7), "a", later(30)), None, "no more than the most is owed");
    }

    #[test]
    fn r_7030_6_b_failures_from_an_address_are_limited_whatever_the_account() {
        let failures = failures();
        for number in 0..60 {
            let account = number.to_string();
            assert_eq!(failures.wait(origin(1), &account, NOW), None);
            failures.add(origin(1), &account, NOW);
        }
        assert_eq!(failures.wait(origin(1), "fresh", NOW), Some(10));
        assert_eq!(failures.wait(origin(2), "fresh", NOW), None);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let failures = failures();
        for _ in 0..100 {
            failures.add(origin(1), "a", later(1_000_000));
        }
        assert_eq!(failures.wait(origin(1), "a", NOW), Some(30));
    }

    #[test]
    fn memory_has_an_end_and_the_worst_are_remembered_longest() {
        let failures = failures();
        for _ in 0..60 {
            failures.add(origin(u32::MAX), "worst", NOW);
        }
        for number in 0..200_000 {
            failures.add(origin(number), &number.to_string(), NOW);
        }
        let debts = failures.debts.lock().unwrap();
        assert!(debts.accounts.len() <= MOST && debts.addresses.len() <= MOST);
        drop(debts);
        assert_eq!(failures.wait(origin(u32::MAX), "worst", NOW), Some(30));
    }
}
