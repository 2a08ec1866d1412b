//! `[manufacturer.NAME]`, and certificates in files.

use crate::{
    config::section::Section,
    pki::{CertificateFields, pem},
    policy::ManufacturerRules,
};
use std::{fs, path::Path};

pub(super) fn manufacturer(section: Section<'_>) -> ManufacturerRules {
    const REMEDY: &str = "name PEM files with one or more CA certificates and nothing else";
    let files = section.strings("anchors").unwrap_or_default();
    if files.is_empty() {
        section.error("anchors", "got no file; expected: the anchors of this manufacturer", REMEDY);
    }
    let mut anchors = Vec::new();
    for file in files {
        match certificates(&section.resolve(file)) {
            Ok(found) => anchors.extend(found),
            Err(error) => section.error("anchors", format!("{file}: {error}"), REMEDY),
        }
    }
    section.finish();
    ManufacturerRules { anchors }
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
