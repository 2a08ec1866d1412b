//! Any bytes as the file of a CRL; a list is searched, compared and verified.
#![no_main]

use estd::pki::RevocationList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(list) = RevocationList::from_file(bytes.to_vec()) else { return };
    for length in 1..=20.min(bytes.len()) {
        let _ = list.entry(&bytes[bytes.len() - length..]);
    }
    assert!(!list.is_older_than(&list));
    assert!(list.is_of(list.issuer().der()));
    let _ = list.verify(bytes);
    let _ = format!("{list:?}");
});
