//! What the backends without a query language keep in memory: open issuances, and the requests
//! whose repeats get the first answer.

use super::{Error, Intent, Issuance, RequestKey, State};
use crate::types::{Serial, Time};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Open issuances by serial number.
pub(super) type Open = BTreeMap<Serial, Arc<Issuance>>;

/// The requests whose repeats get the first answer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    by_key: HashMap<RequestKey, (Serial, Time)>,
    by_end: BTreeSet<(Time, RequestKey)>,
}

impl Requests {
    /// Remembers a request until its window ends.
    pub(super) fn insert(&mut self, key: RequestKey, serial: Serial, until: Time) {
        if let Some((_, before)) = self.by_key.insert(key, (serial, until)) {
            self.by_end.remove(&(before, key));
        }
        self.by_end.insert((until, key));
    }

    /// The serial number of the earlier request, if `now` is within its window.
    pub(super) fn earlier(&self, key: &RequestKey, now: Time) -> Option<&Serial> {
        self.by_key.get(key).filter(|(_, until)| now < *until).map(|(serial, _)| serial)
    }

    /// Forgets requests whose window has ended.
    pub(super) fn forget(&mut self, now: Time) {
        while let Some((until, key)) = self.by_end.first().copied() {
            if until > now {
                break;
            }
            self.by_end.pop_first();
            self.by_key.remove(&key);
        }
    }

    /// Forgets one request: what it began will never be a certificate.
    pub(super) fn remove(&mut self, key: &RequestKey, serial: &Serial) {
        if let Some((held, until)) = self.by_key.get(key)
            && held == serial
        {
            let until = *until;
            self.by_key.remove(key);
            self.by_end.remove(&(until, *key));
        }
    }
}

/// The record of an open issuance once its certificate is there.
pub(super) fn issued(open: &Issuance, certificate: Vec<u8>, at: Time) -> Issuance {
    ended(open, State::Issued, certificate, at)
}

/// The record of an open issuance that will have no certificate.
pub(super) fn voided(open: &Issuance, at: Time) -> Issuance {
    ended(open, State::Void, Vec::new(), at)
}

fn ended(open: &Issuance, state: State, certificate: Vec<u8>, at: Time) -> Issuance {
    // The certificate says all that tbs said.
    let intent = Intent { tbs: Vec::new(), ..open.intent.clone() };
    Issuance { intent, state, certificate, ended: Some(at) }
}

/// Why a step cannot be taken on an issuance that is not open.
pub(super) fn wrong_state(serial: &Serial, found: Option<&Issuance>) -> Error {
    match found {
        Some(found) => Error::WrongState { serial: serial.clone(), state: found.state },
        None => Error::NoSuchIssuance(serial.clone()),
    }
}
