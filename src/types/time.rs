//! A time, in whole seconds: the resolution of X.509 (RFC 5280 §4.1.2.5).

use super::form;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A time in UTC, in whole seconds since 1970-01-01 (at most 9999-12-31T23:59:59Z).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The last time X.509 can name, which RFC 5280 §4.1.2.5 reserves for "no expiry".
    pub const MAX: Self = Self(253_402_300_799);

    /// Creates it from seconds since 1970-01-01; values beyond [`Time::MAX`] are limited to it.
    #[must_use]
    pub const fn from_unix(seconds: u64) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// Seconds since 1970-01-01.
    #[must_use]
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// This time and `later`, whole seconds only.
    #[must_use]
    pub const fn plus(self, later: Duration) -> Self {
        Self::from_unix(self.0.saturating_add(later.as_secs()))
    }

    /// This time less `earlier`, whole seconds only, not before 1970.
    #[must_use]
    pub const fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier.as_secs()))
    }

    /// The time from `earlier` to this time; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        Self::from_unix(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl From<Time> for SystemTime {
    fn from(time: Time) -> Self {
        UNIX_EPOCH + Duration::from_secs(time.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return u64::deserialize(from).map(Self::from_unix);
        }
        form::decode_text(from, |text| {
            let time = humantime::parse_rfc3339(text);
            time.map(Self::from).map_err(|error| format!("{text:?}: {error}"))
        })
    }
}

/// RFC 3339 in UTC: `2026-11-21T12:00:00Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds((*self).into()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339_and_stops_at_year_9999() {
        assert_eq!(Time::from_unix(1_795_262_400).to_string(), "2026-11-21T12:00:00Z");
        assert_eq!(Time::from_unix(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}
