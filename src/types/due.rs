//! When a certificate is due for renewal: one definition for server and client (D-39).

use super::Time;
use std::{fmt, str::FromStr, time::Duration};

/// The part of a certificate's lifetime after which its renewal is due: from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalPoint {
    parts: u32,
    of: u32,
}

impl RenewalPoint {
    /// Two thirds of the lifetime.
    pub const DEFAULT: Self = Self { parts: 2, of: 3 };
    /// Half of the lifetime.
    pub const HALF: Self = Self { parts: 1, of: 2 };

    /// Returns the rest of the lifetime as a part of it: 1/3 for 2/3.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self { parts: self.of.saturating_sub(self.parts), of: self.of }
    }

    /// In lowest terms, so that equal parts are equal values.
    const fn reduced(parts: u32, of: u32) -> Self {
        let (mut a, mut b) = (parts, of);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self { parts: parts / a, of: of / a }
    }

    /// Returns notBefore + f × lifetime, in whole seconds, rounded down. From this time on the
    /// renewal is due.
    #[must_use]
    pub fn due(self, not_before: Time, not_after: Time) -> Time {
        let lifetime = u128::from(not_after.since(not_before).as_secs());
        let part = lifetime * u128::from(self.parts) / u128::from(self.of);
        not_before.plus(Duration::from_secs(u64::try_from(part).unwrap_or(u64::MAX)))
    }
}

/// Reads `2/3`, `0.67`, `67%`.
impl FromStr for RenewalPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = |text: &str| text.trim().parse::<u32>().ok();
        let read = || {
            if let Some((parts, of)) = text.split_once('/') {
                return Some((whole(parts)?, whole(of)?));
            }
            if let Some(percent) = text.strip_suffix('%') {
                return Some((whole(percent)?, 100));
            }
            let (before, after) = text.split_once('.').unwrap_or((text, ""));
            let digits = u32::try_from(after.len()).ok().filter(|digits| *digits <= 6)?;
            let scale = 10_u32.pow(digits);
            let after = if after.is_empty() { 0 } else { whole(after)? };
            Some((whole(before)?.checked_mul(scale)?.checked_add(after)?, scale))
        };
        match read() {
            Some((parts, of)) if of > 0 && parts <= of => Ok(Self::reduced(parts, of)),
            _ => Err(format!("got {text:?}; write a part of the lifetime: 2/3, 0.67 or 67%")),
        }
    }
}

impl fmt::Display for RenewalPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.parts, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_part_of_a_lifetime() {
        for (text, parts, of) in [
            ("2/3", 2, 3),
            ("0.67", 67, 100),
            ("67%", 67, 100),
            ("50%", 1, 2),
            ("1", 1, 1),
            ("0", 0, 1),
        ] {
            assert_eq!(text.parse(), Ok(RenewalPoint { parts, of }), "{text}");
        }
        for bad in ["", "2", "1.1", "-0.5", "1/0", "4/3", "a", "0.6666666", "0.-5"] {
            assert!(bad.parse::<RenewalPoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn is_due_at_that_part_of_the_lifetime() {
        let (begin, end) = (Time::from_unix(1_000), Time::from_unix(4_000));
        assert_eq!(RenewalPoint::DEFAULT.due(begin, end), Time::from_unix(3_000));
        let due = |text: &str, end| text.parse::<RenewalPoint>().unwrap().due(begin, end);
        assert_eq!(due("0", end), begin);
        assert_eq!(due("1", end), end);
        assert_eq!(due("1/7", end), Time::from_unix(1_428));
        assert_eq!(due("1", Time::MAX), Time::MAX);
        assert_eq!(due("1/2", Time::from_unix(0)), begin, "an end before the begin");
    }
}
