//! Rate limit of failed logins.
//!
//! Failures are counted by account and by address, each as a debt that time pays off (the generic cell
//! rate algorithm). A burst is allowed, then one more each time that one is paid. Nothing is locked, and
//! nothing outlasts the window. Two rules keep one client from shutting out another:
//!
//! - Only failures are counted, never passwords that were right.
//! - The account's debt stops those only who failed before from their own address. A client at an
//!   address without failures is never blocked, however many others try that account.
//!
//! An [`Attempt`] counts as a failure from its beginning, before anything expensive is done for it.
//! Only a right password removes it, so a client that hangs up has failed. Concurrent attempts
//! never exceed the limit: those beyond it wait until another is settled.
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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// Accounts, and addresses, that are remembered at most. With more, the smaller debts are forgotten.
const MOST: usize = 1 << 16;

/// Truncated SHA-256 of a user name: clients choose names, which may be long.
type AccountKey = [u8; 16];

/// Recent failures, and attempts that are not settled yet.
#[derive(Debug)]
pub(super) struct Failures {
    account: FailureLimit,
    address: FailureLimit,
    debts: Mutex<Debts>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct Debts {
    accounts: HashMap<AccountKey, Debt>,
    addresses: HashMap<Origin, Debt>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    /// When it is paid off. Milliseconds.
    until: u64,
    /// Attempts that are not settled.
    open: u32,
}

/// How much debt is allowed. Milliseconds.
#[derive(Clone, Copy, Debug)]
struct FailureLimit {
    /// The cost of one failure.
    each: u64,
    /// The total cost of the failures that are allowed together.
    most: u64,
}

/// Why an attempt cannot begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// Too many failures; allowed again after so many seconds.
    For(u32),
    /// Too many other attempts are not settled: one of them may be right.
    ByOthers,
}

/// An attempt to log in, counted as a failure unless it is cancelled.
#[derive(Debug)]
pub(super) struct Attempt {
    failures: Arc<Failures>,
    origin: Origin,
    account: AccountKey,
    now: u64,
    failed: bool,
}

impl Attempt {
    /// Cancels it: the password was right, or none was tried.
    pub(super) fn take_back(mut self) {
        self.failed = false;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let failures = &self.failures;
        let mut debts = failures.lock();
        settle(&mut debts.accounts, self.account, failures.account, self.failed, self.now);
        settle(&mut debts.addresses, self.origin, failures.address, self.failed, self.now);
        drop(debts);
        failures.settled.notify_waiters();
    }
}

impl FailureLimit {
    fn new(failures: usize, window: Duration) -> Self {
        let most = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self { each: most / u64::try_from(failures).unwrap_or(u64::MAX).max(1), most }
    }

    /// The rest of a debt. A clock that was set back leaves at most all of it.
    fn left(self, debt: Debt, now: u64) -> u64 {
        debt.until.saturating_sub(now).min(self.most)
    }

    /// The milliseconds that a client with this debt must wait, if any.
    fn wait(self, left: u64) -> Option<u64> {
        left.checked_sub(self.most - self.each).filter(|wait| *wait > 0)
    }

    /// Whether one attempt more would exceed the limit if all that are open failed.
    fn is_full(self, debt: Debt, now: u64) -> bool {
        let open = self.each.saturating_mul(u64::from(debt.open));
        self.wait(self.left(debt, now).saturating_add(open)).is_some()
    }
}

impl Failures {
    pub(super) fn new(rules: &Passwords) -> Self {
        Self {
            account: FailureLimit::new(rules.failures_per_account, rules.failure_window),
            address: FailureLimit::new(rules.failures_per_address, rules.failure_window),
            debts: Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// Returns the seconds until this account may be tried from this address again; `None`: now.
    pub(super) fn wait(&self, origin: Origin, account: &str, now: Time) -> Option<u32> {
        let debts = self.lock();
        self.seconds(debts.of(origin, &name(account)), now.unix() * 1000)
    }

    /// Begins an attempt, as soon as those before it leave room.
    ///
    /// # Errors
    /// The seconds until this account may be tried from this address again.
    pub(super) async fn begin(
        self: &Arc<Self>,
        origin: Origin,
        account: &str,
        now: Time,
    ) -> Result<Attempt, u32> {
        loop {
            // Inserted before the others are counted, so that concurrent attempts see each other.
            let settled = self.settled.notified();
            match self.begin_now(origin, account, now) {
                Ok(attempt) => return Ok(attempt),
                Err(Blocked::For(seconds)) => return Err(seconds),
                Err(Blocked::ByOthers) => settled.await,
            }
        }
    }

    /// Begins an attempt, unless those before it leave no room.
    ///
    /// # Errors
    /// [`Blocked`].
    pub(super) fn begin_now(
        self: &Arc<Self>,
        origin: Origin,
        account: &str,
        now: Time,
    ) -> Result<Attempt, Blocked> {
        let (account, now) = (name(account), now.unix() * 1000);
        let mut debts = self.lock();
        let (of_address, of_account) = debts.of(origin, &account);
        if let Some(seconds) = self.seconds((of_address, of_account), now) {
            return Err(Blocked::For(seconds));
        }
        // As with failures: the account counts only for an address that has tried something.
        let tried = of_address.open > 0 || self.address.left(of_address, now) > 0;
        let full = self.address.is_full(of_address, now)
            || (tried && self.account.is_full(of_account, now));
        if full && (of_address.open > 0 || of_account.open > 0) {
            return Err(Blocked::ByOthers);
        }
        make_room(&mut debts.accounts, &account, self.account, now);
        make_room(&mut debts.addresses, &origin, self.address, now);
        debts.accounts.entry(account).or_default().open += 1;
        debts.addresses.entry(origin).or_default().open += 1;
        drop(debts);
        Ok(Attempt { failures: Arc::clone(self), origin, account, now, failed: true })
    }

    fn seconds(&self, (of_address, of_account): (Debt, Debt), now: u64) -> Option<u32> {
        let of_address = self.address.left(of_address, now);
        if of_address == 0 {
            return None;
        }
        let of_account = self.account.left(of_account, now);
        let wait = self.address.wait(of_address).max(self.account.wait(of_account))?;
        Some(u32::try_from(wait.div_ceil(1000)).unwrap_or(u32::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Debts> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debts {
    fn of(&self, origin: Origin, account: &AccountKey) -> (Debt, Debt) {
        let of_address = self.addresses.get(&origin).copied().unwrap_or_default();
        (of_address, self.accounts.get(account).copied().unwrap_or_default())
    }
}

fn name(account: &str) -> AccountKey {
    let mut name = AccountKey::default();
    let whole = digest::digest(&digest::SHA256, account.as_bytes());
    for (byte, from) in name.iter_mut().zip(whole.as_ref()) {
        *byte = *from;
    }
    name
}

/// Forgets debts until one more has room: those that are paid off, then the smaller ones. Debts with an
/// open attempt stay; there are few of them.
fn make_room<K: Copy + Eq + Hash>(
    debts: &mut HashMap<K, Debt>,
    key: &K,
    rule: FailureLimit,
    now: u64,
) {
    if debts.len() < MOST || debts.contains_key(key) {
        return;
    }
    debts.retain(|_, debt| debt.open > 0 || rule.left(*debt, now) > 0);
    if debts.len() >= MOST {
        let mut all: Vec<u64> = debts.values().map(|debt| debt.until).collect();
        let (_, middle, _) = all.select_nth_unstable(MOST / 2);
        let middle = *middle;
        debts.retain(|_, debt| debt.open > 0 || debt.until > middle);
    }
}

/// Settles an attempt that began at `now`.
fn settle<K: Copy + Eq + Hash>(
    debts: &mut HashMap<K, Debt>,
    key: K,
    rule: FailureLimit,
    failed: bool,
    now: u64,
) {
    let debt = debts.entry(key).or_default();
    debt.open = debt.open.saturating_sub(1);
    if failed {
        debt.until = now + (rule.left(*debt, now) + rule.each).min(rule.most);
    }
    if debt.open == 0 && rule.left(*debt, now) == 0 {
        debts.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_unix(1_795_262_400);

    fn failures() -> Arc<Failures> {
        Arc::new(Failures::new(&Passwords {
            realm: "estd".to_owned(),
            nonce_lifetime: Duration::from_secs(300),
            failure_window: Duration::from_secs(600),
            failures_per_account: 20,
            failures_per_address: 60,
        }))
    }

    fn fail(failures: &Arc<Failures>, origin: Origin, account: &str, now: Time) {
        drop(failures.begin_now(origin, account, now));
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
            fail(&failures, origin(1), "a", NOW);
        }
        assert_eq!(wait(NOW), Some(30), "600 s / 20");
        assert_eq!(wait(later(29)), Some(1));
        assert_eq!(wait(later(30)), None, "one more");
        fail(&failures, origin(1), "a", later(30));
        assert_eq!(wait(later(30)), Some(30));
        assert_eq!(failures.wait(origin(1), "b", later(30)), None, "another account");
        assert_eq!(wait(later(30 + 600)), None);
    }

    #[test]
    fn an_attack_on_an_account_does_not_shut_out_an_address_without_failures() {
        let failures = failures();
        for number in 0..1000 {
            fail(&failures, origin(number), "a", NOW);
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
            fail(&failures, origin(1), &account, NOW);
        }
        assert_eq!(failures.wait(origin(1), "fresh", NOW), Some(10));
        assert_eq!(failures.wait(origin(2), "fresh", NOW), None);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_no_account() {
        let failures = failures();
        for _ in 0..100 {
            fail(&failures, origin(1), "a", later(1_000_000));
        }
        assert_eq!(failures.wait(origin(1), "a", NOW), Some(30));
    }

    #[test]
    fn memory_has_an_end_and_the_worst_are_remembered_longest() {
        let failures = failures();
        for _ in 0..60 {
            fail(&failures, origin(u32::MAX), "worst", NOW);
        }
        for number in 0..200_000 {
            fail(&failures, origin(number), &number.to_string(), NOW);
        }
        let debts = failures.debts.lock().unwrap();
        assert!(debts.accounts.len() <= MOST && debts.addresses.len() <= MOST);
        drop(debts);
        assert_eq!(failures.wait(origin(u32::MAX), "worst", NOW), Some(30));
    }

    #[test]
    fn attack_5_an_attempt_is_counted_until_it_is_cancelled() {
        let failures = failures();
        for _ in 0..1000 {
            failures.begin_now(origin(1), "a", NOW).unwrap().take_back();
        }
        assert_eq!(failures.wait(origin(1), "a", NOW), None, "right ones are not counted");
        assert!(failures.lock().accounts.is_empty(), "and nothing is kept of them");
        let open: Vec<Attempt> =
            (0..20).map(|_| failures.begin_now(origin(1), "a", NOW).unwrap()).collect();
        let blocked = |number, account| failures.begin_now(origin(number), account, NOW).err();
        assert_eq!(blocked(1, "a"), Some(Blocked::ByOthers), "one more might be one too many");
        assert_eq!(blocked(1, "b"), None);
        assert_eq!(blocked(2, "a"), None, "another address is not blocked");
        drop(open);
        assert_eq!(blocked(1, "a"), Some(Blocked::For(30)));
    }

    #[tokio::test]
    async fn attack_5_attempts_beyond_the_limit_wait_for_those_before_them() {
        let failures = failures();
        let begin = || failures.begin(origin(1), "a", NOW);
        let mut open = std::collections::VecDeque::new();
        for _ in 0..20 {
            open.push_back(begin().await.unwrap());
        }
        for _ in 0..100 {
            let mut next = std::pin::pin!(begin());
            let pending = std::future::poll_fn(|context| {
                std::task::Poll::Ready(next.as_mut().poll(context).is_pending())
            });
            assert!(pending.await);
            open.pop_front().unwrap().take_back();
            open.push_back(next.await.unwrap());
        }
        drop(open);
        assert_eq!(begin().await.err(), Some(30));
    }
}
