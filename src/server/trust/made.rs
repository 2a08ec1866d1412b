//! Certificates for the tests of path validation: any subject, issuer, key and extensions.

use crate::{
    pki::{
        DistinguishedName, PrivateKey,
        extension::{Extension, KeyUsage},
        tbs::{self, ToBeSigned},
    },
    types::{KeyKind, Serial, Time},
};
use rustls::pki_types::CertificateDer;
use std::time::Duration;

/// The time at which the tests judge.
pub(in crate::server) const NOW: Time = Time::from_unix(1_790_000_000);

/// A name and a key: a CA or a device.
pub(in crate::server) struct Party {
    pub(in crate::server) name: DistinguishedName,
    pub(in crate::server) key: PrivateKey,
}

impl Party {
    /// A party with a new key.
    pub(in crate::server) fn new(name: &str) -> Self {
        Self {
            name: DistinguishedName::from_text(name).unwrap(),
            key: PrivateKey::generate(KeyKind::P256).unwrap(),
        }
    }

    /// Certifies a CA.
    pub(in crate::server) fn certify_ca(&self, subject: &Self) -> CertificateDer<'static> {
        let extensions = vec![
            Extension::key_usage(KeyUsage::KEY_CERT_SIGN).unwrap(),
            Extension::ca(None).unwrap(),
        ];
        self.certify(subject, extensions, day(-1), day(1))
    }

    /// Certifies a device.
    pub(in crate::server) fn certify_device(&self, subject: &Self) -> CertificateDer<'static> {
        self.certify_device_for(subject, day(-1), day(1))
    }

    /// Certifies a device from one time to another.
    pub(in crate::server) fn certify_device_for(
        &self,
        subject: &Self,
        not_before: Time,
        not_after: Time,
    ) -> CertificateDer<'static> {
        let extensions = vec![Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE).unwrap()];
        self.certify(subject, extensions, not_before, not_after)
    }

    /// Certifies this key, a SubjectPublicKeyInfo (DER), under a device's name.
    pub(in crate::server) fn certify_key(
        &self,
        name: &Self,
        spki: &[u8],
    ) -> CertificateDer<'static> {
        self.certify_spki(name, spki, 1, Vec::new(), (day(-1), day(1)))
    }

    /// Certifies a key with this serial number and these extensions.
    pub(in crate::server) fn certify_with(
        &self,
        subject: &Self,
        serial: u8,
        extensions: Vec<Extension>,
    ) -> CertificateDer<'static> {
        let spki = subject.key.public_key_spki_der().unwrap();
        self.certify_spki(subject, &spki, serial, extensions, (day(-1), day(1)))
    }

    fn certify(
        &self,
        subject: &Self,
        extensions: Vec<Extension>,
        not_before: Time,
        not_after: Time,
    ) -> CertificateDer<'static> {
        let spki = subject.key.public_key_spki_der().unwrap();
        self.certify_spki(subject, &spki, 1, extensions, (not_before, not_after))
    }

    fn certify_spki(
        &self,
        subject: &Self,
        spki: &[u8],
        serial: u8,
        extensions: Vec<Extension>,
        (not_before, not_after): (Time, Time),
    ) -> CertificateDer<'static> {
        let algorithm = self.key.signature_algorithm_der();
        let tbs = ToBeSigned {
            serial: &Serial::parse(&[serial]).unwrap(),
            signature_algorithm: algorithm,
            issuer: self.name.der(),
            not_before,
            not_after,
            subject: subject.name.der(),
            spki,
            extensions,
        }
        .to_der()
        .unwrap();
        let (signature, _) = self.key.sign(&tbs).unwrap();
        tbs::assemble(&tbs, algorithm, &signature).unwrap().into()
    }
}

/// So many days after [`NOW`].
pub(in crate::server) fn day(days: i64) -> Time {
    let distance = Duration::from_secs(days.unsigned_abs() * 86_400);
    if days < 0 { NOW.minus(distance) } else { NOW.plus(distance) }
}
