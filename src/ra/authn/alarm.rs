//! The alarm about a certificate that a CA of this server signed and that is not on record (D-36). The
//! record was lost, or the CA's key was misused.

use super::AuthnContext;
use crate::{
    store::Store,
    telemetry::audit::{Event, Facts, Name},
    types::{Actor, CaName, Serial, Time},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Minimum time between two alarms about one certificate.
const QUIET: Duration = Duration::from_secs(3600);
/// Certificates that are remembered at most.
const MOST: usize = 4096;

/// A certificate of a CA of this server that is not on record.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) ca: CaName,
    pub(super) serial: Serial,
    /// Whether another certificate is on record under its serial number.
    pub(super) taken: bool,
}

/// The recent alarms.
#[derive(Debug, Default)]
pub(super) struct Alarms(Mutex<RecentAlarms>);

#[derive(Debug, Default)]
struct RecentAlarms {
    /// The time of the last alarm about each certificate.
    at: HashMap<(CaName, Serial), Time>,
    /// Alarms that were not raised because too many certificates are remembered.
    left_out: u64,
}

impl Alarms {
    /// Commits the alarm to the store, at most one per certificate and hour. `facts`: describe the
    /// certificate.
    pub(super) async fn raise(
        &self,
        store: &dyn Store,
        unknown: Unknown,
        facts: Facts,
        context: AuthnContext<'_>,
    ) {
        let Some(left_out) = self.due(&unknown, context.now) else { return };
        let event = Event::new(context.now, Name::CertificateUnknown, Actor::anonymous())
            .with("ca", &unknown.ca)
            .with(
                "cause",
                if unknown.taken {
                    "another certificate is on record under its serial number"
                } else {
                    "nothing is on record under its serial number"
                },
            )
            .with_some("label", context.label)
            .with("address", context.peer.address)
            .with_some("left_out", (left_out > 0).then_some(left_out))
            .with_all(facts.into_vec());
        if let Err(error) = store.append(event).await {
            tracing::error!(
                "CA {}: certificate {} is not on record, and the alarm cannot be recorded: {error}",
                unknown.ca,
                unknown.serial
            );
        }
    }

    /// Whether an alarm is due, and how many were left out before it.
    fn due(&self, unknown: &Unknown, now: Time) -> Option<u64> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let RecentAlarms { at, left_out } = &mut *recent;
        let key = (unknown.ca.clone(), unknown.serial.clone());
        // A clock that was set back must not silence the alarm.
        let quiet = |last: &Time| *last <= now && now < last.plus(QUIET);
        if at.get(&key).is_some_and(quiet) {
            return None;
        }
        if at.len() >= MOST && !at.contains_key(&key) {
            at.retain(|_, last| quiet(last));
            if at.len() >= MOST {
                *left_out += 1;
                return None;
            }
        }
        at.insert(key, now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alarm_an_hour_for_each_certificate_and_memory_has_an_end() {
        const NOW: Time = Time::from_unix(1_795_262_400);
        let alarms = Alarms::default();
        let due = |number: u32, now| {
            let bytes = [&[1][..], &number.to_be_bytes()].concat();
            let serial = Serial::parse(&bytes).unwrap();
            alarms.due(&Unknown { ca: "default".parse().unwrap(), serial, taken: false }, now)
        };
        let later = |seconds| NOW.plus(Duration::from_secs(seconds));
        assert_eq!(due(1, NOW), Some(0));
        assert_eq!((due(1, NOW), due(1, later(3599))), (None, None));
        assert_eq!(due(2, NOW), Some(0), "another one");
        assert_eq!(due(1, later(3600)), Some(0));
        assert_eq!(due(1, NOW), Some(0), "the clock was set back");
        for number in 0..10_000 {
            due(number, later(10_000));
        }
        assert_eq!(alarms.0.lock().unwrap().at.len(), MOST);
        assert_eq!(due(20_000, later(20_000)), Some(10_000 - MOST as u64));
    }
}
