//! `[client_trust]`, and trust anchors in files.

use crate::{
    config::{ClientTrust, section::Section},
    pki::{CertificateFields, pem},
};
use std::{fs, path::Path};

pub(super) fn client_trust(section: Section<'_>) -> ClientTrust {
    let read = |key: &str| {
        let files = section.strings(key).unwrap_or_default();
        let mut anchors = Vec::new();
        for file in files {
            match certificates(&section.resolve(file)) {
                Ok(found) => anchors.extend(found),
                Err(error) => section.error(
                    key,
                    format!("{file}: {error}"),
                    "name a PEM file with one or more CA certificates and nothing else",
                ),
            }
        }
        anchors
    };
    let trust = ClientTrust { explicit: read("explicit"), implicit: read("implicit") };
    section.finish();
    trust
}

pub(super) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let text = fs::read(path).map_err(|cause| cause.to_string())?;
    if text.windows(11).any(|part| part == b"PRIVATE KEY") {
        return Err("got a private key; expected: certificates".to_owned());
    }
    let chain = pem::decode_certificates(&text).map_err(|error| error.to_string())?;
    match chain.iter().find_map(|one| CertificateFields::parse(one).err()) {
        Some(error) => Err(error.to_string()),
        None => Ok(chain),
    }
}
