//! Chains of certificates that openssl does not build: any names, in any order, many of them.

use crate::common::Identity;
use estd::{
    pki::{
        Certificate, DistinguishedName, PrivateKey,
        extension::{Extension, KeyUsage},
        tbs::{self, ToBeSigned},
    },
    types::{KeyKind, Serial, Time},
};

/// Certificates are valid from the beginning of 2026, to 2049.
const VALIDITY: (u64, u64) = (1_767_225_600, 2_524_607_999);

/// A name and a key: a CA or a device.
pub(crate) struct Party {
    name: DistinguishedName,
    key: PrivateKey,
}

impl Party {
    /// A party with a new key.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: DistinguishedName::from_text(name).unwrap(),
            key: PrivateKey::generate(KeyKind::P256).unwrap(),
        }
    }

    /// Its key, PEM.
    pub(crate) fn key(&self) -> String {
        self.key.to_pem(None).unwrap().to_string()
    }

    /// Certifies a CA, PEM.
    pub(crate) fn ca(&self, subject: &Self) -> String {
        let usage = Extension::key_usage(KeyUsage::KEY_CERT_SIGN).unwrap();
        self.certify(subject, vec![usage, Extension::ca(None).unwrap()])
    }

    /// Certifies a device, PEM.
    pub(crate) fn device(&self, subject: &Self) -> String {
        self.certify(subject, vec![Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE).unwrap()])
    }

    fn certify(&self, subject: &Self, extensions: Vec<Extension>) -> String {
        let algorithm = self.key.signature_algorithm_der();
        let tbs = ToBeSigned {
            serial: &Serial::parse(&[1]).unwrap(),
            signature_algorithm: algorithm,
            issuer: self.name.der(),
            not_before: Time::from_unix(VALIDITY.0),
            not_after: Time::from_unix(VALIDITY.1),
            subject: subject.name.der(),
            spki: &subject.key.public_key_spki_der().unwrap(),
            extensions,
        }
        .to_der()
        .unwrap();
        let (signature, _) = self.key.sign(&tbs).unwrap();
        let der = tbs::assemble(&tbs, algorithm, &signature).unwrap();
        Certificate::parse(&der).unwrap().to_pem()
    }
}

/// How the certificates of a chain name each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each is certified by the next; the last one by the anchor.
    Good,
    /// All CAs have one name, which no anchor has: every order is a path, and none ends.
    OneName,
    /// All CAs have the anchor's name.
    AnchorsName,
    /// Each CA is certified by the next one, and the last by the first.
    Ring,
}

/// A device with a chain of so many certificates, its own included. `anchor` issues the good ones.
pub(crate) fn chain(shape: Shape, anchor: &Party, length: usize) -> Identity {
    let device = Party::new("CN=device");
    let anchors_name = anchor.name.to_string();
    let name = |number: usize| match shape {
        Shape::Good | Shape::Ring => format!("CN=CA {number}"),
        Shape::OneName => "CN=CA".to_owned(),
        Shape::AnchorsName => anchors_name.clone(),
    };
    let cas: Vec<Party> = (1..length).map(|number| Party::new(&name(number))).collect();
    let above = |number: usize| match shape {
        Shape::Good => cas.get(number).unwrap_or(anchor),
        // A device without CAs was issued by none.
        _ if cas.is_empty() => &device,
        _ => &cas[number % cas.len()],
    };
    let mut pem = above(0).device(&device);
    for (number, ca) in cas.iter().enumerate() {
        pem += &above(number + 1).ca(ca);
    }
    Identity { pem, key: device.key() }
}
