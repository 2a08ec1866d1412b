//! `estd status`, `estd reload`, `estd server-certificate renew`: only a running server answers.

use super::{
    context::{Context, block_on},
    failure::Failure,
    output::{json, line},
};
use crate::{
    api::{self, Reload, RenewServerCertificate, ShowStatus, call::Call},
    client::operator::{Error, ask},
    config::Settings,
    types::escaped_line,
};
use std::time::Duration;

/// Calls the running server.
fn call<C: Call>(settings: &Settings, call: &C) -> Result<C::Answer, Failure> {
    let socket = settings.boot.data.join("estd.sock");
    block_on(async {
        ask(&socket, call).await.map_err(|error| match error {
            Error::NoServer(cause) => Failure::new(
                format!("no estd serves with {}: {cause}", settings.boot.data.display()),
                "start estd serve, run this as the user that it runs as, or name its \
                 configuration: --config FILE",
            ),
            Error::Response(response) => response.into(),
            other => Failure::new(other, "read the log of estd"),
        })
    })
}

/// Returns the CAs of the running server, or none if no server runs with this data folder.
pub(super) fn running_cas(settings: &Settings) -> Option<Vec<String>> {
    let status = call(settings, &ShowStatus {}).ok()?;
    Some(status.cas.into_iter().map(|ca| ca.name).collect())
}

fn warn(warnings: &[api::Warning]) -> Result<(), Failure> {
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
    let file = status.configuration.as_deref().unwrap_or("none: built-in defaults");
    line(&format!("configuration       {file}"))?;
    line(&format!("data                {}", status.data))?;
    line(&format!("listen              {}", status.listen.join(" ")))?;
    line(&format!("connections         {} of {}", status.connections, status.max_connections))?;
    let health = status
        .store
        .error
        .as_deref()
        .map_or_else(|| "good".to_owned(), |error| escaped_line(error).to_string());
    line(&format!("store               {}, {health}", status.store.backend))?;
    let accounts = status.accounts.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    line(&format!("accounts            {accounts}"))?;
    let api::LeftOut { rejections, lost, .. } = status.left_out;
    line(&format!("audit               {rejections} rejections summed up, {lost} events lost"))?;
    for ca in &status.cas {
        line(&format!(
            "CA {:<16} issuing to {}, root to {}",
            ca.name, ca.issuing_not_after, ca.root_not_after
        ))?;
    }
    line(&format!("server certificate  {}", shown(&status.server_certificate)))?;
    line(&format!(
        "last reload         {}",
        status.reload.as_ref().map_or_else(
            || "none since the start".to_owned(),
            |last| {
                let verdict = if last.in_force { "in force" } else { "rejected" };
                format!("{}, {verdict}", last.at)
            }
        )
    ))?;
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
