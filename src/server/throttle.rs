//! Limits the rate of a log line: a flood of events must not flood the log.

use std::time::{Duration, Instant};

/// The least time between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts the events that were not logged yet.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    logged: Option<Instant>,
    pending: usize,
}

impl Throttle {
    /// Counts `more` events. Returns their number since the last line if another line is due.
    pub(super) fn count(&mut self, more: usize, now: Instant) -> Option<usize> {
        self.pending += more;
        let early = self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < PAUSE);
        if self.pending == 0 || early {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.pending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_logged_at_once_then_at_intervals_and_every_event_is_counted() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.count(0, start), None);
        let logged: Vec<_> = (0..1000)
            .filter_map(|number| throttle.count(1, start + Duration::from_millis(number * 15)))
            .collect();
        assert_eq!(logged, [1, 667]);
        assert_eq!(throttle.count(0, start + Duration::from_secs(19)), None);
        assert_eq!(throttle.count(0, start + Duration::from_secs(21)), Some(332));
        assert_eq!(throttle.count(0, start + Duration::from_secs(60)), None);
    }
}
