//! `[passwords]`.

use super::{DAY, MINUTE, SECOND};
use crate::{config::section::Section, policy::Passwords};

/// Most bytes of a realm: strongSwan reads at most 1,024 of a header.
const LONGEST_REALM: usize = 64;

pub(super) fn passwords(section: Section<'_>) -> Passwords {
    let realm = section.string("realm").unwrap_or("estd").to_owned();
    let printable =
        |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && !matches!(byte, b'"' | b'\\');
    if realm.is_empty() || realm.len() > LONGEST_REALM || !realm.bytes().all(printable) {
        section.error(
            "realm",
            format!("got {realm:?}; expected: a realm that every client reads"),
            format!("write 1 to {LONGEST_REALM} characters of printable ASCII without quotation mark and backslash"),
        );
    }
    let passwords = Passwords {
        realm,
        nonce_lifetime: section.duration(
            "nonce_lifetime",
            5 * MINUTE,
            (10 * SECOND)..=(60 * MINUTE),
        ),
        failure_window: section.duration("failure_window", 10 * MINUTE, (10 * SECOND)..=DAY),
        failures_per_account: section.number("failures_per_account", 20, 1..=1_000_000),
        failures_per_address: section.number("failures_per_address", 60, 1..=1_000_000),
    };
    section.finish();
    passwords
}
