//! Detects keys whose private half can be computed from the public half.
//!
//! | Test | Catches | From |
//! |---|---|---|
//! | small order, not canonical | Ed25519 keys under which one signature verifies for many messages | RFC 8032 §5.1.3; libsodium's `ge25519_has_small_order` |
//! | trial division | RSA moduli with a prime factor below [`BOUND`] | NIST SP 800-89 §5.3.3 and CA/Browser Forum BR §6.1.6 ask for 752; boulder's `goodkey` |
//! | fingerprint | RSA keys of Infineon's library (ROCA) | Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, §2.3 |
//! | Fermat's factorization | RSA moduli whose two primes are neighbors | boulder's `goodkey` with 100 rounds; CVE-2022-26320 |
//! | Fermat's test | RSA moduli that are prime | NIST SP 800-89 §5.3.3 |
//!
//! Cost: docs/performance.md. Nearly all of it is Fermat's test, one exponentiation; the other tests
//! of RSA take a tenth of a millisecond. Lists of published private keys (test keys, Debian's weak keys
//! of 2008) are out of scope: they would need regular updates.

mod fermat;

use crypto_bigint::{BoxedUint, Integer, Limb, NonZero, Reciprocal, Resize};
use std::sync::LazyLock;

/// Reason why a key is weak, as text for an error.
pub(super) type Weakness = &'static str;

/// Trial division stops here: 1,027 odd primes, 0.1 ms.
const BOUND: u64 = 8192;

/// Candidates for the mean of the two primes, from the root of the modulus upwards. They find the
/// factors if these differ by less than about 28 times the fourth root of the modulus.
const ROUNDS: u64 = 100;

/// The largest prime of the ROCA fingerprint. The primes of every affected key, of any size, are
/// built from a product that contains all primes up to this one.
const ROCA_BOUND: u64 = 167;
const ROCA_GENERATOR: u64 = 65_537;

/// The y coordinates of the points of small order in Ed25519, little-endian, without the sign of x.
/// They are 1 (order 1), -1 (order 2), 0 (order 4), and the two of order 8. Signing for such a point
/// needs no private key.
const SMALL_ORDER: [[u8; 32]; 5] = [
    small(1),
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    small(0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

const fn small(value: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = value;
    bytes
}

/// Judges the 32 bytes of an Ed25519 key.
pub(super) fn ed25519(key: &[u8]) -> Option<Weakness> {
    let mut y: [u8; 32] = key.try_into().ok()?;
    y[31] &= 0x7f;
    // p = 2^255 - 19; RFC 8032 section 5.1.3 asks for y < p.
    let [first, middle @ .., last] = y;
    if last == 0x7f && first >= 0xed && middle == [0xff; 30] {
        return Some("an Ed25519 point that is not in canonical form");
    }
    SMALL_ORDER.contains(&y).then_some("an Ed25519 point of small order")
}

/// Tests an RSA modulus, big-endian. The exponent is ignored.
pub(super) fn rsa(modulus: &[u8]) -> Option<Weakness> {
    let n = BoxedUint::from_be_slice_vartime(modulus);
    if !bool::from(n.is_odd()) {
        return Some("an RSA modulus that is even");
    }
    by_small_primes(&n)
        .or_else(|| has_close_factors(&n).then_some("an RSA modulus of two neighboring primes"))
        .or_else(|| fermat::is_prime(modulus).then_some("an RSA modulus that is prime"))
}

/// Primes, and a product of some of them that fits a limb: one division of the modulus serves all.
struct Group {
    product: Reciprocal,
    primes: Vec<Prime>,
}

struct Prime {
    value: u64,
    /// 1/value modulo 2^64. A multiple of the prime times this is its quotient; other numbers times this
    /// are above every quotient (Granlund, Montgomery, PLDI 1994, section 9).
    inverse: u64,
    largest_quotient: u64,
    /// The residues that powers of 65537 leave; empty if the prime is not in the fingerprint.
    roca: Vec<u64>,
}

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let mut sieve = vec![true; usize::try_from(BOUND).unwrap_or_default()];
    let mut groups: Vec<(u64, Vec<Prime>)> = Vec::new();
    for value in (3..BOUND).step_by(2) {
        let at = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        if sieve.get(at(value)) != Some(&true) {
            continue;
        }
        sieve.iter_mut().step_by(at(value)).skip(2).for_each(|composite| *composite = false);
        let roca = if value <= ROCA_BOUND { powers(value) } else { Vec::new() };
        let inverse = fermat::inverse(value);
        let prime = Prime { value, inverse, largest_quotient: u64::MAX / value, roca };
        match groups.last_mut().and_then(|(product, primes)| {
            *product = product.checked_mul(value)?;
            Some(primes)
        }) {
            Some(primes) => primes.push(prime),
            None => groups.push((value, vec![prime])),
        }
    }
    let group = |(product, primes)| {
        let product = NonZero::new(Limb::from(product)).into_option()?;
        Some(Group { product: Reciprocal::new(product), primes })
    };
    groups.into_iter().filter_map(group).collect()
});

/// The residues of the powers of 65537.
fn powers(prime: u64) -> Vec<u64> {
    let first = 1 % prime;
    let next = |power: &u64| Some(power * ROCA_GENERATOR % prime).filter(|next| *next != first);
    std::iter::successors(Some(first), next).collect()
}

fn by_small_primes(n: &BoxedUint) -> Option<Weakness> {
    let mut roca = true;
    for group in GROUPS.iter() {
        let rest = u64::from(n.rem_limb_with_reciprocal(&group.product));
        for prime in &group.primes {
            if rest.wrapping_mul(prime.inverse) <= prime.largest_quotient {
                return Some("an RSA modulus with a small factor");
            }
            roca = roca && (prime.roca.is_empty() || prime.roca.contains(&(rest % prime.value)));
        }
    }
    roca.then_some("an RSA modulus with the ROCA fingerprint (CVE-2017-15361)")
}

/// Moduli whose residues exclude most numbers that are no squares.
const SQUARES: [u64; 4] = [64, 63, 65, 11];

/// Whether n = (a - b)(a + b) for an a just above the root of n: then a² - n is a square.
fn has_close_factors(n: &BoxedUint) -> bool {
    let modulus = SQUARES.iter().product::<u64>();
    let Some(divisor) = NonZero::new(Limb::from(modulus)).into_option() else { return true };
    let residue = |value: &BoxedUint| u64::from(value.rem_limb(divisor));
    let root = n.floor_sqrt_vartime().resize(n.bits_precision());
    if root.wrapping_mul(&root) == *n {
        return true;
    }
    let (root_residue, n_residue) = (residue(&root), residue(n));
    (1..=ROUNDS).any(|step| {
        let a = root_residue + step;
        may_be_square((a * a + modulus - n_residue) % modulus) && {
            let a = root.wrapping_add(BoxedUint::from(step));
            // a² may wrap; its difference from n, which is small, does not.
            a.wrapping_mul(&a).wrapping_sub(n).checked_sqrt_vartime().is_some()
        }
    })
}

/// Whether a residue modulo the product of [`SQUARES`] is the residue of a square.
fn may_be_square(residue: u64) -> bool {
    let is_square =
        |modulus: &u64| (0..*modulus).any(|root| root * root % modulus == residue % modulus);
    SQUARES.iter().all(is_square)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pki::Csr, types::Code};

    fn csr(name: &str) -> Csr {
        let path = format!("{}/testdata/weak-keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
        let der = crate::pki::pem::request(&std::fs::read(path).unwrap()).unwrap();
        Csr::verify(&der).unwrap()
    }

    #[test]
    fn attack_7_rsa_keys_of_everybody_are_weak() {
        for (name, found) in [
            ("prime", "prime"),
            ("small-factor", "small factor"),
            ("neighbors", "neighboring"),
            ("roca", "ROCA"),
        ] {
            let error = csr(name).key().check_strength().unwrap_err();
            assert!(error.rejection().got.contains(found), "{name}: {error}");
        }
        csr("strong").key().check_strength().unwrap();
    }

    #[test]
    fn attack_7_neighbors_are_found_at_any_distance_in_reach() {
        let n = |p: u128, q: u128| {
            let wide = |value: u128| BoxedUint::from(value).resize(256);
            wide(p).wrapping_mul(wide(q))
        };
        let p = (1 << 100) + 277;
        assert!(has_close_factors(&n(p, p)));
        for distance in [2, 4, 1 << 20, 1 << 50, (1 << 54) + (1 << 53)] {
            assert!(has_close_factors(&n(p, p + distance)), "{distance}");
        }
        assert!(!has_close_factors(&n(p, p + (1 << 56))));
        // Of 127 bits, so that the squares wrap in a modulus of 256 bits.
        let p = u128::MAX - 158;
        assert!(has_close_factors(&n(p, p - 14)));
    }

    #[test]
    fn attack_7_the_fingerprint_is_that_of_few_keys() {
        // The part of the residues that affected keys have, over all primes of the fingerprint.
        let bits: f64 = GROUPS
            .iter()
            .flat_map(|group| &group.primes)
            .filter(|prime| !prime.roca.is_empty())
            .map(|prime| (prime.roca.len() as f64 / (prime.value - 1) as f64).log2())
            .sum();
        assert!(bits < -25.0, "one key in 2^{bits}");
        let primes: usize = GROUPS.iter().map(|group| group.primes.len()).sum();
        assert_eq!(primes, 1027);
    }

    /// Each has order 8 at most: with R the identity and S zero, a signature verifies for one message
    /// in eight, or more.
    #[test]
    fn attack_7_ed25519_points_of_small_order_are_weak() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let signature = [&[1][..], &[0; 63]].concat();
        for mut key in SMALL_ORDER {
            for sign in [0, 0x80] {
                key[31] = (key[31] & 0x7f) | sign;
                let key = UnparsedPublicKey::new(&ED25519, key);
                let forged = (0..200u8).any(|message| key.verify(&[message], &signature).is_ok());
                // With x = 0 the sign must be 0; the library may check that.
                assert!(forged || sign != 0, "{key:?}");
                assert!(ed25519(key.as_ref()).is_some());
            }
        }
        for low in 0xed..=0xff {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, 0x7f);
            assert!(ed25519(&key).is_some());
        }
        // The base point.
        assert_eq!(ed25519(&[&[0x58][..], &[0x66; 31]].concat()), None);
        for name in ["small-order", "not-canonical"] {
            let path = format!("{}/testdata/weak-keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
            let der = crate::pki::pem::request(&std::fs::read(path).unwrap()).unwrap();
            let error = Csr::verify(&der).unwrap_err();
            assert_eq!(error.rejection().code, Code::CsrKeyWeak);
        }
    }
}
