//! Tells now and then what happens often: a flood must not flood the log.

use std::time::{Duration, Instant};

/// The least time between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts what was not told yet.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    told: Option<Instant>,
    untold: usize,
}

impl Throttle {
    /// Counts `more`. Returns how many there were since the last line, if it is time for another.
    pub(super) fn count(&mut self, more: usize, now: Instant) -> Option<usize> {
        self.untold += more;
        let early = self.told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE);
        if self.untold == 0 || early {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_at_once_then_now_and_then_and_no_number_is_lost() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.count(0, start), None);
        let told: Vec<_> = (0..1000)
            .filter_map(|number| throttle.count(1, start + Duration::from_millis(number * 15)))
            .collect();
        assert_eq!(told, [1, 667]);
        assert_eq!(throttle.count(0, start + Duration::from_secs(19)), None);
        assert_eq!(throttle.count(0, start + Duration::from_secs(21)), Some(332));
        assert_eq!(throttle.count(0, start + Duration::from_secs(60)), None);
    }
}
