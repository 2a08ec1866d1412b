//! CRLs for tests: any fields, entries and extensions, signed by any key.

use crate::{
    pki::{DistinguishedName, PrivateKey},
    types::Time,
};
use der::Encode;
use std::time::SystemTime;
use x509_cert::time::Time as X509Time;

/// The parts of a CRL, each in DER. A test replaces what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) version: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) this_update: Vec<u8>,
    pub(crate) next_update: Vec<u8>,
    /// The entries, one after the other; the field is left out if there are none.
    pub(crate) entries: Vec<u8>,
    /// The extensions, one after the other; the field is left out if there are none.
    pub(crate) extensions: Vec<u8>,
}

impl Draft {
    /// A CRL of version 2 without entries and extensions.
    pub(crate) fn new(issuer: &DistinguishedName, this_update: Time, next_update: Time) -> Self {
        Self {
            version: vec![2, 1, 1],
            issuer: issuer.der().to_vec(),
            this_update: encode_time(this_update),
            next_update: encode_time(next_update),
            entries: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// Adds an entry: the content of its serial number, and its extensions.
    #[must_use]
    pub(crate) fn revoked(mut self, serial: &[u8], since: Time, extensions: &[&[u8]]) -> Self {
        let extensions = match extensions {
            [] => Vec::new(),
            some => element(0x30, &[&some.concat()]),
        };
        let serial = element(2, &[serial]);
        self.entries.extend(element(0x30, &[&serial, &encode_time(since), &extensions]));
        self
    }

    /// Adds an extension of the list.
    #[must_use]
    pub(crate) fn with(mut self, extension: &[u8]) -> Self {
        self.extensions.extend_from_slice(extension);
        self
    }

    /// Adds a cRLNumber.
    #[must_use]
    pub(crate) fn number(self, number: u8) -> Self {
        self.with(&extension(20, false, &[2, 1, number]))
    }

    /// Signs it.
    pub(crate) fn sign(&self, key: &PrivateKey) -> Vec<u8> {
        self.sign_as(key, key.signature_algorithm_der())
    }

    /// Signs it, but with this AlgorithmIdentifier inside.
    pub(crate) fn sign_as(&self, key: &PrivateKey, inside: &[u8]) -> Vec<u8> {
        let entries = match self.entries.as_slice() {
            [] => Vec::new(),
            some => element(0x30, &[some]),
        };
        let extensions = match self.extensions.as_slice() {
            [] => Vec::new(),
            some => element(0xa0, &[&element(0x30, &[some])]),
        };
        let tbs = element(
            0x30,
            &[
                &self.version,
                inside,
                &self.issuer,
                &self.this_update,
                &self.next_update,
                &entries,
                &extensions,
            ],
        );
        let (signature, _) = key.sign(&tbs).unwrap();
        let signature = element(3, &[&[0], &signature]);
        element(0x30, &[&tbs, key.signature_algorithm_der(), &signature])
    }
}

/// An extension `2.5.29.N`.
pub(crate) fn extension(last_arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    element(0x30, &[&[6, 3, 0x55, 0x1d, last_arc], critical, &element(4, &[value])])
}

/// A DER element of these contents.
pub(crate) fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = der::Length::try_from(contents.len()).unwrap().to_der().unwrap();
    [vec![tag], length, contents].concat()
}

/// A time in DER.
pub(crate) fn encode_time(time: Time) -> Vec<u8> {
    X509Time::try_from(SystemTime::from(time)).unwrap().to_der().unwrap()
}
