//! `[keys]`, and secrets in files or in the environment.

use crate::config::{Keys, Secrets, section::Section};
use std::{fs, io::Read, os::unix::fs::MetadataExt, path::Path};
use zeroize::Zeroizing;

pub(super) fn keys(section: Section<'_>, environment: &dyn Fn(&str) -> Option<String>) -> Keys {
    let wanted = section.report.secrets == Secrets::All;
    let passphrase = secret(&section, "passphrase", environment, wanted);
    section.finish();
    Keys { passphrase }
}

/// Reads a secret from a file or an environment variable, which `WHAT_file` or `WHAT_env` names. Does not
/// read it unless it is `wanted`.
pub(super) fn secret(
    section: &Section<'_>,
    what: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    wanted: bool,
) -> Option<Zeroizing<String>> {
    let (in_file, in_environment) = (format!("{what}_file"), format!("{what}_env"));
    match (section.file(&in_file), section.string(&in_environment)) {
        (Some(_), Some(_)) => {
            let text = format!("got this key and {in_environment}; expected: one of them");
            section.error(&in_file, text, "remove one of the two");
            None
        }
        (Some(_), None) | (None, Some(_)) if !wanted => None,
        (Some(file), None) => secret_from(&file)
            .map_err(|error| {
                let remedy =
                    format!("name a file of this user, mode 0600, with the {what} in one line");
                section.error(&in_file, error, remedy);
            })
            .ok(),
        (None, Some(variable)) => {
            let value = environment(variable).filter(|value| !value.is_empty()).map(Zeroizing::new);
            if value.is_none() {
                section.error(
                    &in_environment,
                    format!("got {variable:?}, which is not set or empty; expected: a variable with a value"),
                    "set it in the environment of estd",
                );
            }
            value
        }
        (None, None) => None,
    }
}

fn secret_from(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = private_text(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned());
    if line.is_empty() { Err("got an empty file; expected: one line".to_owned()) } else { Ok(line) }
}

/// Reads a file that only its owner may read.
pub(super) fn private_text(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut file = fs::File::open(path).map_err(|cause| cause.to_string())?;
    let mode = file.metadata().map_err(|cause| cause.to_string())?.mode();
    if mode & 0o077 != 0 {
        return Err(format!("got mode {:03o}; expected: 600, or others can read it", mode & 0o777));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(|cause| cause.to_string())?;
    Ok(text)
}
