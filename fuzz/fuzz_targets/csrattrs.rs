//! Any bytes as CSR attributes, as a client reads them. The result is described in words, written in
//! each form, and read again: the requested contents are the same.
#![no_main]

use estd::{
    pki::{CsrAttrsResponse, CsrBuilder},
    types::{CsrAttrsForm, KeyKind},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = CsrAttrsResponse::parse(bytes) else { return };
    let _ = read.lines();
    let _ = CsrBuilder::new().answering(&read, KeyKind::P256);
    for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908, CsrAttrsForm::Both] {
        if let Ok(written) = read.to_der(form) {
            assert!(CsrAttrsResponse::parse(&written).is_ok(), "{read:?} as {form:?}: {written:02x?}");
        }
    }
});
