//! `[manufacturer.NAME]`, and certificates in files.

use super::DAY;
use crate::{
    config::{Secrets, section::Section},
    pki::{CertificateFields, RevocationList, pem},
    policy::ManufacturerRules,
};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

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
    let crl_files = crl_files(&section, &anchors);
    let crl_grace = section.duration("crl_grace", 7 * DAY, Duration::ZERO..=366 * DAY);
    if crl_files.is_empty() && section.has("crl_grace") {
        let text = "got crl_grace without crl_files; expected: both, or neither";
        section.error("crl_grace", text, "name the CRLs of this manufacturer in crl_files");
    }
    section.finish();
    ManufacturerRules { anchors, crl_files, crl_grace }
}

/// Reads the paths of the CRLs, and checks each file: it has a CRL, and that of an anchor is signed by it.
/// Each anchor has one, since no certificate under it is accepted otherwise.
fn crl_files(section: &Section<'_>, anchors: &[Vec<u8>]) -> Vec<PathBuf> {
    const KEY: &str = "crl_files";
    let names = section.strings(KEY).unwrap_or_default();
    let paths: Vec<PathBuf> = names.iter().map(|name| section.resolve(name)).collect();
    // A command must run while a manufacturer's CRL is missing, to revoke a certificate for example.
    if section.report.secrets != Secrets::All {
        return paths;
    }
    if names.is_empty() && section.has(KEY) {
        let text = "got no file; expected: the CRL of each CA of this manufacturer";
        section.error(
            KEY,
            text,
            "name the files, or remove crl_files: then revocation is not checked",
        );
    }
    let anchors: Vec<CertificateFields<'_>> =
        anchors.iter().filter_map(|anchor| CertificateFields::parse(anchor).ok()).collect();
    let mut lists = Vec::new();
    for (name, path) in names.iter().zip(&paths) {
        match read_crl(path, &anchors) {
            Ok(list) => lists.push(list),
            Err(error) => section.error(
                KEY,
                format!("{name}: {error}"),
                "put the full CRL there as its CA publishes it, readable for the user of estd",
            ),
        }
    }
    let missing =
        anchors.iter().find(|anchor| lists.iter().all(|list| !list.is_of(anchor.subject)));
    if let Some(anchor) = missing.filter(|_| !lists.is_empty() && lists.len() == names.len()) {
        section.error(
            KEY,
            format!(
                "got no CRL of the anchor {}; expected: one of each CA on a path",
                anchor.subject_text()
            ),
            "name the file of its CRL, too",
        );
    }
    paths
}

fn read_crl(path: &Path, anchors: &[CertificateFields<'_>]) -> Result<RevocationList, String> {
    let limit = u64::try_from(RevocationList::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut contents = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut contents))
        .map_err(|cause| cause.to_string())?;
    let list = RevocationList::from_file(contents).map_err(|error| error.to_string())?;
    let verified = |anchor: &CertificateFields<'_>| {
        RevocationList::check_signer(anchor).and_then(|()| list.verify(anchor.public_key_spki))
    };
    let mut outcomes = anchors.iter().filter(|anchor| list.is_of(anchor.subject)).map(verified);
    // An intermediate CA is not known before a device shows its certificate.
    let outcome = outcomes.next().map_or(Ok(()), |first| outcomes.fold(first, Result::or));
    outcome.map_err(|error| error.to_string()).map(|()| list)
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
