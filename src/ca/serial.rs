//! Serial numbers (RFC 5280 §4.1.2.2): 20 bytes, positive, 112 bits of them random.
//!
//! The first four bytes are seconds since 2020; the next two count within the second. So serial numbers
//! sort in the order of issuance. Lists are in that order, and inserts are at the end of the tree,
//! where they cost least. Walks of the issuances of a time use the order, too, and allow for a clock that
//! is slightly wrong. Uniqueness does not depend on it.

use crate::{
    entropy::{Entropy, NoEntropy},
    types::{InvalidSerial, Serial, Time},
};
use std::sync::atomic::{AtomicU64, Ordering};

const YEAR_2020: u64 = 1_577_836_800;

/// Counts the serial numbers of each second. CAs that share one issue in a common order.
#[derive(Debug, Default)]
pub struct Sequence(AtomicU64);

impl Sequence {
    /// The number within this second: the largest one for all after 65,535.
    fn next(&self, second: u32) -> u16 {
        let base = u64::from(second) << 16;
        let last = u64::from(u16::MAX);
        let next = |before: u64| {
            Some(if before & !last != base { base } else { base | last.min((before & last) + 1) })
        };
        // The value before: a closure that always answers never fails.
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let now = before.ok().and_then(next).unwrap_or(base);
        u16::try_from(now & last).unwrap_or(u16::MAX)
    }
}

/// Returns the first serial number of a second: those of all certificates that are issued in it or
/// later are larger, in the order of their bytes.
///
/// # Errors
/// None: the number is as every other.
pub fn first_serial(time: Time) -> Result<Serial, InvalidSerial> {
    let mut bytes = [0u8; 20];
    bytes.iter_mut().zip(second_of(time).to_be_bytes()).for_each(|(byte, part)| *byte = part);
    Serial::parse(&bytes)
}

/// The seconds since 2020. The first byte is 1 to 127, so that the number is positive and always as long.
fn second_of(time: Time) -> u32 {
    let seconds = u32::try_from(time.unix().saturating_sub(YEAR_2020)).unwrap_or(u32::MAX);
    (seconds & 0x7fff_ffff).max(0x0100_0000)
}

/// Generates a serial number.
///
/// # Errors
/// [`NoEntropy`] if the random number generator fails.
pub(super) fn make(
    now: Time,
    sequence: &Sequence,
    entropy: &dyn Entropy,
) -> Result<Serial, NoEntropy> {
    let mut bytes = [0u8; 20];
    entropy.fill(&mut bytes)?;
    let seconds = second_of(now);
    let number = sequence.next(seconds).to_be_bytes();
    let prefix = seconds.to_be_bytes().into_iter().chain(number);
    bytes.iter_mut().zip(prefix).for_each(|(byte, part)| *byte = part);
    Serial::parse(&bytes).map_err(|_| NoEntropy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;
    use std::collections::HashSet;

    #[test]
    fn r_5280_4_1_2_2_a_ten_thousand_are_positive_short_and_different() {
        let (entropy, sequence) = (SystemEntropy::new(), Sequence::default());
        let mut seen = HashSet::new();
        for seconds in [0, YEAR_2020, 1_795_262_400, Time::MAX.unix()] {
            for _ in 0..2_500 {
                let serial = make(Time::from_unix(seconds), &sequence, &entropy).unwrap();
                assert_eq!(serial.as_bytes().len(), 20);
                assert!((1..0x80).contains(&serial.as_bytes()[0]));
                assert!(seen.insert(serial));
            }
        }
    }

    #[test]
    fn later_ones_sort_behind_within_a_second_too() {
        let (entropy, sequence) = (SystemEntropy::new(), Sequence::default());
        let at = |unix| make(Time::from_unix(unix), &sequence, &entropy).unwrap();
        let first: Vec<Serial> = (0..1000).map(|_| at(1_795_262_400)).collect();
        assert!(first.is_sorted());
        let second: Vec<Serial> = (0..10).map(|_| at(1_795_262_401)).collect();
        assert!(second.is_sorted() && first[999] < second[0]);
    }

    #[test]
    fn the_first_one_of_a_second_is_between_those_of_two_seconds() {
        let (entropy, sequence) = (SystemEntropy::new(), Sequence::default());
        let at = |unix| make(Time::from_unix(unix), &sequence, &entropy).unwrap();
        for unix in [YEAR_2020, YEAR_2020 + 0x0100_0001, 1_795_262_400] {
            let first = first_serial(Time::from_unix(unix)).unwrap();
            assert!(first < at(unix) && first.as_bytes().len() == 20);
        }
        assert!(at(1_795_262_399) < first_serial(Time::from_unix(1_795_262_400)).unwrap());
    }

    #[test]
    fn more_than_the_count_holds_are_still_different() {
        let (entropy, sequence) = (SystemEntropy::new(), Sequence::default());
        let numbers: Vec<u16> = (0..65_540).map(|_| sequence.next(7)).collect();
        assert!(numbers.is_sorted() && numbers[65_535] == u16::MAX);
        let now = Time::from_unix(YEAR_2020 + 0x0200_0000);
        let one = |_| make(now, &sequence, &entropy).unwrap();
        assert_eq!((0..70_000).map(one).collect::<HashSet<_>>().len(), 70_000);
        // A clock that is set back restarts the count.
        assert_eq!(sequence.next(6), 0);
    }

    #[test]
    fn without_randomness_there_is_none() {
        struct Broken;
        impl Entropy for Broken {
            fn fill(&self, _: &mut [u8]) -> Result<(), NoEntropy> {
                Err(NoEntropy)
            }
        }
        assert_eq!(make(Time::from_unix(0), &Sequence::default(), &Broken), Err(NoEntropy));
    }
}
