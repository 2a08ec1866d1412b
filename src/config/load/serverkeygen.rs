//! `[serverkeygen]`: the keys to which keys generated for devices are encrypted.

use super::{keys::private_text, manufacturer::certificates};
use crate::{
    config::{Secrets, section::Section},
    policy::DecryptKeys,
    types::DecryptKey,
};

pub(super) fn decrypt_keys(section: Section<'_>) -> DecryptKeys {
    let symmetric = match section.file("keys_file") {
        None => Vec::new(),
        Some(_) if section.report.secrets != Secrets::All => Vec::new(),
        Some(file) => {
            let read = private_text(&file)
                .and_then(|text| DecryptKey::parse_all(&text).map_err(|error| error.to_string()));
            read.unwrap_or_else(|error| {
                section.error(
                    "keys_file",
                    error,
                    "name a file of this user, mode 0600, with a line IDENTIFIER:KEY for each key, the key as 32 or 64 hexadecimal digits",
                );
                Vec::new()
            })
        }
    };
    let mut recipients = Vec::new();
    for file in section.strings("recipients").unwrap_or_default() {
        match certificates(&section.resolve(file)) {
            Ok(found) => recipients.extend(found),
            Err(error) => section.error(
                "recipients",
                format!("{file}: {error}"),
                "name a PEM file with one or more certificates and nothing else",
            ),
        }
    }
    section.finish();
    DecryptKeys { symmetric, recipients }
}
