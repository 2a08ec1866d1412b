//! The table of certificates.

use crate::api;

/// Its columns.
pub(super) const COLUMNS: [&str; 6] = ["SERIAL", "STATE", "EXPIRES", "LABEL", "BY", "SUBJECT"];

/// Returns the row of a certificate.
pub(super) fn row(entry: &api::CertificateEntry) -> [String; 6] {
    let names = if entry.subject.is_empty() { entry.san.join(" ") } else { entry.subject.clone() };
    let label = entry.label.as_deref().unwrap_or("-");
    [&entry.serial, &entry.state, &entry.not_after, label, &entry.authenticated_by, &names]
        .map(str::to_owned)
}
