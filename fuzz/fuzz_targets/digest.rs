//! Any text as a header field of Digest: what is read is written and read again as the same, and the
//! time of a wrong answer is all that it gets.
#![no_main]

use estd::digest::{Algorithm, DigestResponse, Challenge, Secret};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|field: &str| {
    if let Ok(answer) = DigestResponse::parse(field) {
        let again = DigestResponse::parse(&answer.to_string());
        // What is quoted with escapes may be longer than what is read.
        assert!(again.is_err() || again.is_ok_and(|again| again == answer));
        let secret = Secret::new(answer.algorithm, &answer.user, &answer.realm, "secret");
        assert!(!answer.matches(&secret, "POST"));
    }
    for challenge in Challenge::parse(field) {
        assert!(matches!(challenge.algorithm, Algorithm::Md5 | Algorithm::Sha256));
        assert_eq!(Challenge::parse(&challenge.to_string()), [challenge]);
    }
});
