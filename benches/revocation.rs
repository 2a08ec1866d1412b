//! Measures what a long CRL costs: reading it, verifying its signature, finding an entry, and memory.
//! docs/performance.md shows the output.
//!
//!     cargo bench --bench revocation
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement stops at the first surprise and prints"
)]

use der::Encode;
use estd::{
    pki::{DistinguishedName, PrivateKey, RevocationList},
    types::KeyKind,
};
use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

/// Measurements of each; the median is printed.
const ROUNDS: usize = 9;

/// Entries that are searched in one round.
const SEARCHES: u64 = 100_000;

fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = der::Length::try_from(contents.len()).unwrap().to_der().unwrap();
    [vec![tag], length, contents].concat()
}

/// A serial number of 16 bytes, as most CAs write them. They are in no order.
fn serial(number: u64) -> [u8; 16] {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0x11; 16];
    bytes[1..9].copy_from_slice(&mixed.to_be_bytes());
    bytes
}

/// A CRL with so many entries, each with a reason.
fn list(entries: u64, key: &PrivateKey) -> Vec<u8> {
    let time = |text: &[u8]| element(0x17, &[text]);
    let code = element(0x0a, &[&[1]]);
    let reason = element(0x30, &[&[6, 3, 0x55, 0x1d, 21], &element(4, &[&code])]);
    let rest = [time(b"260101000000Z"), element(0x30, &[&reason])].concat();
    let revoked: Vec<u8> = (0..entries)
        .flat_map(|number| element(0x30, &[&element(2, &[&serial(number)]), &rest]))
        .collect();
    let tbs = element(
        0x30,
        &[
            &[2, 1, 1],
            key.signature_algorithm_der(),
            DistinguishedName::from_text("CN=Acme Devices,O=Acme").unwrap().der(),
            &time(b"260101000000Z"),
            &time(b"260201000000Z"),
            &element(0x30, &[&revoked]),
        ],
    );
    let (signature, _) = key.sign(&tbs).unwrap();
    element(0x30, &[&tbs, key.signature_algorithm_der(), &element(3, &[&[0], &signature])])
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

/// The resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    println!("entries      file      read    verify   search   memory");
    for entries in [1_000, 100_000, 1_000_000] {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let spki = key.public_key_spki_der().unwrap();
        let der = list(entries, &key);
        let size = der.len();
        let before = resident();
        let one = RevocationList::from_file(der.clone()).unwrap();
        let memory = resident().saturating_sub(before);
        let read = median(|| {
            black_box(RevocationList::from_file(der.clone()).unwrap());
        });
        let verify = median(|| one.verify(&spki).unwrap());
        let search = median(|| {
            for number in 0..SEARCHES {
                // Half of them are found, in the list of 1,000,000 all.
                let found = one.entry(&serial(number * 2 % (2 * entries)));
                assert_eq!(found.is_some(), number * 2 % (2 * entries) < entries);
            }
        });
        println!(
            "{entries:>7} {:>7} KB {:>6.1} ms {:>6.1} ms {:>5} ns {:>5} KiB",
            size / 1000,
            read.as_secs_f64() * 1e3,
            verify.as_secs_f64() * 1e3,
            search.as_nanos() / u128::from(SEARCHES),
            memory
        );
    }
}
