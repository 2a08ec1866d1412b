//! `estd device show`.

use crate::{
    api,
    cli::{
        admin_client::AdminClient,
        cert::list::{COLUMNS as CERTIFICATE_COLUMNS, row as certificate_row},
        context::Context,
        failure::Failure,
        output::{TextTable, json, line},
        token::list::{TOKEN_COLUMNS, token_row},
    },
    types::escaped_line,
};

pub(super) fn show_device(context: &Context, id: String) -> Result<(), Failure> {
    let call = api::ShowDevice { id };
    let details = AdminClient::with(context, async |client| client.call(call).await)?;
    if context.json { json(&details) } else { show(&details) }
}

fn show(details: &api::DeviceDetails) -> Result<(), Failure> {
    let device = &details.device;
    let none = || "-".to_owned();
    let tags: Vec<String> =
        device.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let lines = [
        ("id", device.id.clone()),
        ("state", device.state.clone()),
        ("identifiers", device.identifiers.join(" ")),
        ("labels", device.labels.as_ref().map_or_else(|| "all".to_owned(), |all| all.join(" "))),
        ("quota", device.quota.map_or_else(none, |quota| quota.to_string())),
        ("from", device.from.clone().unwrap_or_else(none)),
        ("until", device.until.clone().unwrap_or_else(none)),
        ("tags", tags.join(" ")),
        ("registered", device.registered.clone()),
        ("certificates", details.certificate_count.to_string()),
    ];
    for (name, value) in lines {
        line(format!("{name:<12} {}", escaped_line(value)).trim_end())?;
    }
    let shown = details.certificates.iter().map(certificate_row).collect();
    TextTable::new(CERTIFICATE_COLUMNS).rows(shown)?;
    if details.certificate_count > details.certificates.len() as u64 {
        eprintln!("earlier ones: estd cert list --device {}", escaped_line(&device.id));
    }
    TextTable::new(TOKEN_COLUMNS).rows(details.tokens.iter().map(token_row).collect())?;
    if details.more_tokens {
        eprintln!("more tokens: estd token list --device {}", escaped_line(&device.id));
    }
    Ok(())
}
