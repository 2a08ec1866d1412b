//! The retry index: from [`IdempotencyKey`] to the issuance of the first request. It holds only
//! keys whose retry window is open.

use super::IdempotencyKey;
use crate::types::{Serial, Time};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// How late a request may arrive at the store after the server received it.
const LATE: Duration = Duration::from_secs(60);

/// The requests whose retries still return the certificate of the first one.
#[derive(Debug, Default)]
pub(super) struct Requests {
    slots: HashMap<IdempotencyKey, (Serial, Time)>,
    /// The keys by the end of their windows, so that purging visits only expired ones.
    ends: BTreeMap<Time, Vec<IdempotencyKey>>,
}

impl Requests {
    /// Returns the issuance that a retry at the time `at` finds.
    pub(super) fn find(&self, key: &IdempotencyKey, at: Time) -> Option<&Serial> {
        self.slots.get(key).filter(|(_, until)| at < *until).map(|(serial, _)| serial)
    }

    /// Adds a request whose retries before `until` return the issuance `serial`.
    pub(super) fn remember(&mut self, key: IdempotencyKey, serial: Serial, until: Time) {
        self.slots.insert(key, (serial, until));
        self.ends.entry(until).or_default().push(key);
    }

    /// Adds a request of an earlier time, in any order. Of two with one key the later was begun
    /// after the window of the first, so its window ends later.
    pub(super) fn restore(&mut self, key: IdempotencyKey, serial: Serial, until: Time) {
        if self.find(&key, until).is_none() {
            self.remember(key, serial, until);
        }
    }

    /// Removes a request whose issuance was voided: the next one is new.
    pub(super) fn forget(&mut self, key: &IdempotencyKey, serial: &Serial) {
        // A later request with the same key may have an issuance of its own.
        if self.slots.get(key).is_some_and(|(slot, _)| slot == serial) {
            self.slots.remove(key);
        }
    }

    /// Removes windows that ended before `now`. They are kept for [`LATE`]: a request received in
    /// time may arrive late.
    pub(super) fn purge(&mut self, now: Time) {
        let now = now.minus(LATE);
        while let Some(first) = self.ends.first_entry().filter(|entry| *entry.key() <= now) {
            for key in first.remove() {
                if self.slots.get(&key).is_some_and(|(_, until)| *until <= now) {
                    self.slots.remove(&key);
                }
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        (self.slots.len(), self.ends.values().map(Vec::len).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_what_is_inside_its_window() {
        let mut requests = Requests::default();
        let serial = |n: u8| Serial::parse(&[1, n]).unwrap();
        for n in 0..100_u8 {
            let now = Time::from_unix(u64::from(n));
            requests.purge(now.plus(LATE));
            let until = Time::from_unix(u64::from(n) + 10);
            requests.remember(IdempotencyKey([n; 32]), serial(n), until);
        }
        assert_eq!(requests.len(), (10, 10));
        let last = IdempotencyKey([99; 32]);
        assert_eq!(requests.find(&last, Time::from_unix(108)), Some(&serial(99)));
        assert_eq!(requests.find(&last, Time::from_unix(109)), None, "the end is exclusive");
        requests.forget(&last, &serial(1));
        assert!(requests.find(&last, Time::from_unix(108)).is_some(), "another's issuance");
        requests.forget(&last, &serial(99));
        assert!(requests.find(&last, Time::from_unix(108)).is_none());
        requests.purge(Time::MAX);
        assert_eq!(requests.len(), (0, 0));
    }

    #[test]
    fn a_later_request_with_the_same_key_outlives_the_first_ones_end() {
        let mut requests = Requests::default();
        let key = IdempotencyKey([7; 32]);
        let (first, second) = (Serial::parse(&[1]).unwrap(), Serial::parse(&[2]).unwrap());
        requests.remember(key, first, Time::from_unix(10));
        requests.remember(key, second.clone(), Time::from_unix(30));
        requests.purge(Time::from_unix(10));
        assert_eq!(requests.find(&key, Time::from_unix(10)), Some(&second));
    }
}
