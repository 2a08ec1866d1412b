//! Any octets as a CSR, and as the certificate that a client shows.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(csr) = estd::pki::Csr::verify(octets) {
        let _ = csr.subject().check_as_subject();
        let _ = csr.san().map(|san| san.check(&[estd::types::SanKind::Dns, estd::types::SanKind::Uri]));
    }
    let _ = estd::pki::Certificate::parse(octets);
    let _ = estd::pki::PublicKey::parse(octets);
    let _ = estd::pki::DistinguishedName::parse(octets).map(|name| name.check_as_subject());
    let _ = estd::pki::SubjectAltName::parse(octets);
    let _ = estd::pki::cms::certificates(octets);
});
