//! Any bytes as a body: decoding, encoding and decoding again gives the same.
#![no_main]

use estd::pki::base64::{Layout, decode, decode_csr, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A body accepted as DER is unchanged.
    if let Ok(body) = decode_csr(bytes, true, true) {
        assert!(body.form != estd::pki::base64::Form::Der || body.der == bytes);
    }
    for pem in [false, true] {
        if let Ok(body) = decode(bytes, pem) {
            for layout in [Layout::Line, Layout::Wrapped] {
                let again = decode(&encode(&body.der, layout), false);
                assert!(body.der.is_empty() || again.is_ok_and(|again| again.der == body.der));
            }
        }
    }
});
