//! Any bytes as a request for a generated key, and as its answer: encrypted, signed, packed.
#![no_main]

use estd::{
    pki::{
        Csr,
        keygen::{Capabilities, Decryption, EnvelopePlan, Recipient, decrypt, key_of_package, protection, verify},
        oid,
    },
    types::{KeyKind, Time},
};
use libfuzzer_sys::fuzz_target;

const KINDS: [KeyKind; 5] =
    [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];
const KEY: [u8; 32] = [7; 32];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(csr) = Csr::for_key_to_be_made(bytes, &KINDS) {
        let _ = protection(&csr);
        if let Ok(Some(listed)) = csr.attribute(oid::SMIME_CAPABILITIES) {
            plan(listed, csr.key().kind());
        }
    }
    plan(bytes, KeyKind::P384);
    let with = Decryption::Symmetric { id: b"id", key: &KEY };
    if let Ok(signed) = decrypt(bytes, with) {
        let _ = verify(oid::KEY_PACKAGE, &signed);
    }
    if let Ok((package, _)) = verify(oid::KEY_PACKAGE, bytes) {
        let _ = key_of_package(&package);
    }
    let _ = key_of_package(bytes);
});

/// A planned encryption succeeds and can be opened.
fn plan(listed: &[u8], kind: KeyKind) {
    let Ok(capabilities) = Capabilities::parse(listed) else { return };
    let recipient = Recipient::Symmetric { id: b"id", key: &KEY };
    let now = Time::from_unix(1_795_262_400);
    if let Ok(plan) = EnvelopePlan::new(&recipient, &capabilities, kind, now) {
        let sealed = plan.seal(b"0\x03\x02\x01\x00").expect("it was planned");
        let with = Decryption::Symmetric { id: b"id", key: &KEY };
        assert_eq!(&*decrypt(&sealed, with).expect("it was sealed"), b"0\x03\x02\x01\x00");
    }
}
