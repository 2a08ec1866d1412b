//! `estd cert show`.

use crate::{
    api,
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::Failure,
        output::{json, line},
    },
    types::escaped_line,
};

pub(super) fn show_certificate(context: &Context, serial: String) -> Result<(), Failure> {
    let call = api::ShowCertificate { serial };
    let entry = AdminClient::with(context, async |client| client.call(call).await)?;
    if context.json { json(&entry) } else { show(&entry) }
}

fn show(entry: &api::CertificateEntry) -> Result<(), Failure> {
    let none = "-".to_owned();
    let detail = |name| {
        let event = entry.event.as_ref();
        event.and_then(|event| event.details.get(name)).unwrap_or(&none)
    };
    let proofs = entry.proofs.join(" and ");
    let lines = [
        ("serial", &entry.serial),
        ("state", &entry.state),
        ("subject", &entry.subject),
        ("san", &entry.san.join(" ")),
        ("valid from", &entry.not_before),
        ("valid to", &entry.not_after),
        ("label", entry.label.as_ref().unwrap_or(&none)),
        ("profile", &entry.profile),
        ("ca", &entry.ca),
        ("operation", entry.operation.as_ref().unwrap_or(&none)),
        ("requester", &format!("{} ({})", entry.actor, entry.authenticated_by)),
        ("proofs", if entry.proofs.is_empty() { &none } else { &proofs }),
        // Records of earlier versions have it in their event alone.
        ("address", entry.address.as_ref().unwrap_or_else(|| detail("address"))),
        ("device", entry.device.as_ref().unwrap_or(&none)),
        ("token", entry.token.as_ref().unwrap_or(&none)),
        ("certificate", detail("certificate_serial")),
        ("predecessor", entry.predecessor.as_ref().unwrap_or(&none)),
        ("key sha256", &entry.spki_sha256),
        ("request", &entry.request),
        ("recorded", &entry.begun),
        ("issued", entry.ended.as_ref().unwrap_or(&none)),
        ("revoked", entry.revoked.as_ref().unwrap_or(&none)),
        ("reason", entry.revocation_reason.as_ref().unwrap_or(&none)),
    ];
    for (name, value) in lines {
        line(&format!("{name:<12} {}", escaped_line(value)))?;
    }
    line(entry.pem.as_deref().unwrap_or_default().trim_end())
}
