//! `estd status`, `estd reload`, `estd server-certificate renew`: only a running server answers.

use super::{
    context::{Context, block_on},
    failure::Failure,
    output::{json, line},
};
use crate::{
    api::{self, Reload, RenewServerCertificate, ShowStatus, call::AdminCall},
    client::operator::{CallError, ask},
    config::Settings,
    types::escaped_line,
};
use std::time::Duration;

/// Calls the running server.
fn call<C: AdminCall>(settings: &Settings, call: &C) -> Result<C::Answer, Failure> {
    let socket = settings.boot.data.join("estd.sock");
    block_on(async {
        ask(&socket, call).await.map_err(|error| match error {
            CallError::NoServer(cause) => Failure::new(
                format!("no estd serves with {}: {cause}", settings.boot.data.display()),
                "start estd serve, run this as the user that it runs as, or name its \
                 configuration: --config FILE",
            ),
            CallError::Response(response) => response.into(),
            other => Failure::new(other, "read the log of estd"),
        })
    })
}

/// Returns the CAs of the running server, or none if no server runs with this data folder.
pub(super) fn running_cas(settings: &Settings) -> Option<Vec<String>> {
    let status = call(settings, &ShowStatus {}).ok()?;
    Some(status.cas.into_iter().map(|ca| ca.name).collect())
}

fn warn(warnings: &[api::OperatorWarning]) -> Result<(), Failure> {
    for one in warnings {
        line(&format!(
            "warning: {}: {}\n  remedy: {}",
            one.about,
            escaped_line(&one.warning),
            one.remedy
        ))?;
    }
    Ok(())
}

pub(super) fn status(context: &Context) -> Result<(), Failure> {
    let status = call(&context.settings, &ShowStatus {})?;
    if context.json {
        return json(&status);
    }
    let uptime = humantime::format_duration(Duration::from_secs(status.uptime_seconds));
    line(&format!("estd {}, started {} ({uptime} ago)", status.version, status.started))?;
    let reload = status.reload.map_or_else(
        || "none since the start".to_owned(),
        |last| format!("{}, {}", last.at, if last.in_force { "in force" } else { "rejected" }),
    );
    let condition = status.store.error.unwrap_or_else(|| "good".to_owned());
    let accounts = status.accounts.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    let file = status.configuration.unwrap_or_else(|| "none: built-in defaults".to_owned());
    let api::LeftOutEvents { rejections, lost, .. } = status.left_out;
    let connections = format!("{} of {}", status.connections, status.max_connections);
    let mut rows = vec![
        ("configuration".to_owned(), file),
        ("data".to_owned(), status.data),
        ("listen".to_owned(), status.listen.join(" ")),
        ("connections".to_owned(), connections),
        ("store".to_owned(), format!("{}, {condition}", status.store.backend)),
        ("accounts".to_owned(), accounts),
        ("audit".to_owned(), format!("{rejections} rejections summed up, {lost} events lost")),
    ];
    rows.extend(status.cas.into_iter().map(|ca| {
        let ends = format!("issuing to {}, root to {}", ca.issuing_not_after, ca.root_not_after);
        (format!("CA {:<16}", ca.name), ends)
    }));
    rows.push(("server certificate".to_owned(), shown(&status.server_certificate)));
    rows.push(("last reload".to_owned(), reload));
    for (name, value) in rows {
        line(&format!("{name:<19} {}", escaped_line(&value)))?;
    }
    warn(&status.warnings)
}

fn shown(certificate: &api::ServerCertificate) -> String {
    format!(
        "{} for {}, to {}, renewed from {} on",
        certificate.serial,
        certificate.names.join(" "),
        certificate.not_after,
        certificate.renewal
    )
}

pub(super) fn reload(context: &Context) -> Result<(), Failure> {
    let verdict = call(&context.settings, &Reload {})?;
    if context.json {
        json(&verdict)?;
    }
    if !verdict.in_force {
        for one in verdict.errors.iter().filter(|_| !context.json) {
            let place = match (one.key.is_empty(), one.value.is_empty()) {
                (true, _) => String::new(),
                (false, true) => format!("{}: ", one.key),
                (false, false) => format!("{} = {}: ", one.key, one.value),
            };
            line(&format!(
                "{} {}: {place}{}\n  remedy: {}",
                one.code, one.file, one.error, one.remedy
            ))?;
        }
        return Err(Failure::new(
            "the configuration is not in force: the old settings stay",
            "correct the errors above, then run estd reload",
        ));
    }
    if context.json {
        return Ok(());
    }
    let changed = match verdict.changed.join(", ") {
        none if none.is_empty() => "nothing changed".to_owned(),
        changed => format!("changed: {changed}"),
    };
    line(&format!("in force; {changed}"))?;
    if !verdict.needs_restart.is_empty() {
        line(&format!("restart estd for: {}", verdict.needs_restart.join(", ")))?;
    }
    warn(&verdict.warnings)
}

pub(super) fn renew_server_certificate(context: &Context) -> Result<(), Failure> {
    let renewed = call(&context.settings, &RenewServerCertificate {})?;
    if context.json { json(&renewed) } else { line(&format!("renewed: {}", shown(&renewed))) }
}
