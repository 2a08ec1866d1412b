//! Any bytes as the values of changeSubjectName.
#![no_main]

use estd::pki::ChangeSubjectName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(new) = ChangeSubjectName::parse(bytes) else { return };
    assert!(!new.subject().is_empty() || new.san().is_some());
    // The names are the same when written in the form of RFC 6402.
    let subject = Some(new.subject().der()).filter(|_| !new.subject().is_empty());
    let again = ChangeSubjectName::encode(subject, new.san().map(|san| san.der()));
    let again = ChangeSubjectName::parse(&again).unwrap();
    assert_eq!(again.subject().to_string(), new.subject().to_string());
    assert_eq!(again.san().map(|san| san.texts()), new.san().map(|san| san.texts()));
});
