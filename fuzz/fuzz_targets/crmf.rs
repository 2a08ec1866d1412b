//! Any bytes as a CRMF request, and as the changes of an RA to one.
#![no_main]

use der::Decode;
use estd::pki::cmc::{
    TaggedRequest, Wanted,
    crmf::{CertReqMsg, CertTemplate},
    request,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let template = CertTemplate::from_der(bytes);
    let Ok(message) = CertReqMsg::from_der(bytes) else {
        if let (Ok(template), Ok(csr)) = (template, CertReqMsg::from_der(SAMPLE)) {
            let wanted = Wanted::read(&TaggedRequest::Crm(csr), true);
            let _ = wanted.map(|wanted| wanted.changed(&template, true).map(|one| one.changed(&template, false)));
        }
        return;
    };
    let tagged = TaggedRequest::Crm(message);
    let _ = request::key_with_identifier(&tagged, &[0; 20]);
    for witnessed in [false, true] {
        let _ = Wanted::read(&tagged, witnessed);
    }
});

/// A CRMF request without a proof of possession.
const SAMPLE: &[u8] = include_bytes!("../seeds/crmf/no-proof");
