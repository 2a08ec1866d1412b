//! Serial numbers (RFC 5280 §4.1.2.2): 20 octets, positive, 128 bits of them random.
//!
//! The first four octets are seconds since 2020, so that certificates issued one after the other
//! lie side by side in a store that orders by serial number; measured, inserts at random places
//! of a large tree cost several times those at its end. Nothing but speed rests on it: a clock
//! that is wrong, or goes back, changes the order and not the uniqueness.

use crate::{
    entropy::{Entropy, NoEntropy},
    types::{Serial, Time},
};

const YEAR_2020: u64 = 1_577_836_800;

/// Makes a serial number.
///
/// # Errors
/// [`NoEntropy`] if there is no randomness.
pub(super) fn make(now: Time, entropy: &dyn Entropy) -> Result<Serial, NoEntropy> {
    let mut octets = [0u8; 20];
    entropy.fill(&mut octets)?;
    let seconds = u32::try_from(now.unix().saturating_sub(YEAR_2020)).unwrap_or(u32::MAX);
    // The first octet is 1 to 127, so that the number is positive and always as long.
    let prefix = (seconds & 0x7fff_ffff).max(0x0100_0000).to_be_bytes();
    octets.iter_mut().zip(prefix).for_each(|(octet, part)| *octet = part);
    Serial::parse(&octets).map_err(|_| NoEntropy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;
    use std::collections::HashSet;

    #[test]
    fn r_5280_4_1_2_2_a_ten_thousand_are_positive_short_and_different() {
        let entropy = SystemEntropy::new();
        let mut seen = HashSet::new();
        for moment in [0, YEAR_2020, 1_795_262_400, Time::MAX.unix()] {
            for _ in 0..2_500 {
                let serial = make(Time::from_unix(moment), &entropy).unwrap();
                assert_eq!(serial.as_bytes().len(), 20);
                assert!((1..0x80).contains(&serial.as_bytes()[0]));
                assert!(seen.insert(serial));
            }
        }
    }

    #[test]
    fn later_ones_sort_behind() {
        let entropy = SystemEntropy::new();
        let at = |unix| make(Time::from_unix(unix), &entropy).unwrap();
        assert!(at(1_795_262_400) < at(1_795_262_401));
    }

    #[test]
    fn without_randomness_there_is_none() {
        struct Broken;
        impl Entropy for Broken {
            fn fill(&self, _: &mut [u8]) -> Result<(), NoEntropy> {
                Err(NoEntropy)
            }
        }
        assert_eq!(make(Time::from_unix(0), &Broken), Err(NoEntropy));
    }
}
