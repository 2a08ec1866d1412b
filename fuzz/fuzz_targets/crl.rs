//! Any bytes as the file of a CRL; a list is searched, compared and verified.
#![no_main]

use estd::{pki::RevocationList, types::Serial};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(list) = RevocationList::from_file(bytes.to_vec()) else { return };
    for length in 1..=20.min(bytes.len()) {
        if let Some(found) = bytes.get(bytes.len() - length..)
            && let Ok(serial) = Serial::parse(found)
        {
            let _ = list.entry(&serial);
        }
    }
    assert!(!list.is_older_than(&list));
    let _ = list.verify(bytes);
    let _ = format!("{list:?}");
});
