//! Any bytes as a Full PKI Request, as a PKIData, and as BER.
#![no_main]

use estd::pki::cmc::{Control, PkiData, Wanted, ber, request, signed};
use libfuzzer_sys::fuzz_target;

fn pki_data(bytes: &[u8]) {
    let Ok(data) = PkiData::parse(bytes) else { return };
    for control in &data.controls {
        let _ = Control::parse(control);
    }
    for one in &data.requests {
        let _ = request::key_with_identifier(one, &[0; 20]);
        for witnessed in [false, true] {
            let _ = Wanted::read(one, witnessed);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    pki_data(bytes);
    if let Ok(message) = signed::parse(bytes) {
        pki_data(message.content);
    }
    if let Some(der) = ber::to_der(bytes) {
        // DER is unchanged.
        assert_eq!(ber::to_der(&der).as_deref(), Some(der.as_slice()));
        if let Ok(message) = signed::parse(&der) {
            pki_data(message.content);
        }
    }
});
