//! Any bytes as a CSR, and as a client's certificate.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(csr) = estd::pki::Csr::verify(bytes) {
        let _ = csr.subject().check_as_subject();
        let _ = csr.san().map(|san| san.check(&[estd::types::SanKind::Dns, estd::types::SanKind::Uri]));
    }
    let _ = estd::pki::Certificate::parse(bytes);
    let _ = estd::pki::PublicKey::parse(bytes);
    let _ = estd::pki::DistinguishedName::parse(bytes).map(|name| name.check_as_subject());
    let _ = estd::pki::SubjectAltName::parse(bytes);
    let _ = estd::pki::cms::parse_certs_only(bytes);
});
