//! Any text as a header field of Digest: a parsed answer survives writing and parsing again, and
//! never matches a secret.
#![no_main]

use estd::digest::{Algorithm, DigestResponse, Challenge, Secret};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|field: &str| {
    if let Ok(answer) = DigestResponse::parse(field) {
        let again = DigestResponse::parse(&answer.to_string());
        // A string quoted with escapes may exceed the length that is accepted.
        assert!(again.is_err() || again.is_ok_and(|again| again == answer));
        let secret = Secret::new(answer.algorithm, &answer.user, &answer.realm, "secret");
        assert!(!answer.matches(&secret, "POST"));
    }
    for challenge in Challenge::parse(field) {
        assert!(matches!(challenge.algorithm, Algorithm::Md5 | Algorithm::Sha256));
        assert_eq!(Challenge::parse(&challenge.to_string()), [challenge]);
    }
});
