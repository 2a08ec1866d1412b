//! CSR attributes as text.

use super::{AskedExtension, CsrAttrsResponse, Key, is_challenge};
use crate::pki::{
    SubjectAltName,
    algorithm::described,
    extension::{KeyUsage, extended_key_usage},
    oid,
};

impl CsrAttrsResponse {
    /// Describes the demands as text, one per line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        for asked in &self.subject {
            let kind = described(asked.kind);
            out.push(match &asked.value {
                Some(value) => format!("subject: {kind} = \"{value}\""),
                None => format!("subject: {kind}, which you choose"),
            });
        }
        match self.key {
            Some(Key::Kind(kind)) => out.push(format!("key: {kind}")),
            Some(Key::Other(other)) => {
                out.push(format!("key: {}, which this program does not know", described(other)));
            }
            None => {}
        }
        if !self.signatures.is_empty() {
            let names: Vec<String> = self.signatures.iter().map(|one| described(*one)).collect();
            out.push(format!("signature of the CSR: {}", names.join(" or ")));
        }
        out.extend(self.extensions.iter().map(extension_line));
        for asked in &self.attributes {
            let kind = described(asked.kind);
            out.push(match &asked.value {
                Some(value) => {
                    format!("attribute: {kind} = {} (DER)", base16ct::lower::encode_string(value))
                }
                None if is_challenge(asked.kind) => {
                    format!("attribute: {kind}, for this connection or this use alone")
                }
                None => format!("attribute: {kind}, which you choose"),
            });
        }
        out
    }
}

fn extension_line(asked: &AskedExtension) -> String {
    let name = described(asked.oid);
    let Some(value) = &asked.value else {
        return format!("extension: {name}, which you choose");
    };
    let shown = match asked.oid {
        oid::SUBJECT_ALT_NAME => SubjectAltName::parse(value).ok().map(|san| {
            let entries = san.entries().iter().map(|entry| {
                if entry.is_open() {
                    let kind = entry.kind.map_or_else(String::new, |kind| kind.to_string());
                    format!("{kind}, which you choose")
                } else {
                    entry.text.clone()
                }
            });
            entries.collect::<Vec<_>>().join("; ")
        }),
        oid::KEY_USAGE => KeyUsage::parse(value).ok().map(|usage| usage.names().join(", ")),
        oid::EXTENDED_KEY_USAGE => extended_key_usage(value).ok().map(|usages| {
            usages.iter().map(|usage| described(*usage)).collect::<Vec<_>>().join(", ")
        }),
        _ => None,
    };
    format!(
        "extension: {name} = {}",
        shown.unwrap_or_else(|| format!("{} (DER)", base16ct::lower::encode_string(value)))
    )
}
