//! `estd cert list` and `estd cert show`.

use super::{
    args::ListArguments,
    choose::{renewed, walk},
    revoke, with_client,
};
use crate::{
    api,
    cli::{
        CertCommand, Context, Failure,
        output::{Table, json, line},
        progress::Progress,
    },
    types::escaped_line,
};
use std::{
    collections::HashSet,
    io::{IsTerminal, stdout},
};

pub(in crate::cli) fn cert(context: &Context, command: CertCommand) -> Result<(), Failure> {
    match command {
        CertCommand::List(arguments) => list(context, *arguments),
        CertCommand::Show { serial } => {
            let call = api::ShowCertificate { serial };
            let entry = with_client(context, async |client| client.call(call).await)?;
            if context.json { json(&entry) } else { show(&entry) }
        }
        CertCommand::Revoke(arguments) => revoke::revoke(context, *arguments),
    }
}

/// Prints page by page, so that a million certificates need no more memory than a thousand.
fn list(context: &Context, arguments: ListArguments) -> Result<(), Failure> {
    let ListArguments {
        conditions,
        search,
        state,
        open,
        revoked,
        expires_before,
        expires_within,
        without_successor,
        limit,
        after,
    } = arguments;
    let named = if open { Some("open") } else { revoked.then_some("revoked") };
    let state = named.map(str::to_owned).or(state);
    let query = api::CertificateQuery {
        search,
        // Only what is issued can have a successor.
        state: state.or_else(|| without_successor.then(|| "issued".to_owned())),
        expires_before,
        expires_within,
        after,
        ..conditions.query()?.unwrap_or_default()
    };
    with_client(context, async |client| {
        // A walk of its own: the renewal of a certificate comes later in the list than it.
        let renewed = if without_successor { renewed(client).await? } else { HashSet::new() };
        let mut table = Table::new(TABLE);
        let (mut shown, mut last) = (0, None);
        let left = limit.unwrap_or(usize::MAX);
        // Where rows go to the terminal, they are the progress.
        let progress = (!stdout().is_terminal()).then(|| Progress::new("certificates", None));
        let mut more = walk(client, query, left, progress, |mut page| {
            page.retain(|entry| !renewed.contains(&entry.serial));
            let count = page.len();
            if context.json {
                page.iter().try_for_each(json)?;
            } else {
                table.rows(page.iter().map(row).collect())?;
            }
            shown += count;
            last = page.pop().map(|entry| entry.serial).or_else(|| last.take());
            Ok(count)
        })
        .await?;
        if shown == left {
            more = more.and(last);
        }
        match more.filter(|_| limit.is_some()) {
            Some(next) if context.json => json(&serde_json::json!({ "next": next }))?,
            Some(next) => eprintln!("there may be more: --after {next}"),
            None if shown == 0 && !context.json => eprintln!("no certificate matches"),
            None => {}
        }
        Ok(())
    })
}

pub(super) const TABLE: [&str; 6] = ["SERIAL", "STATE", "EXPIRES", "LABEL", "BY", "SUBJECT"];

pub(super) fn row(entry: &api::CertificateEntry) -> [String; 6] {
    let names = if entry.subject.is_empty() { entry.san.join(" ") } else { entry.subject.clone() };
    let label = entry.label.as_deref().unwrap_or("-");
    [&entry.serial, &entry.state, &entry.not_after, label, &entry.authenticated_by, &names]
        .map(str::to_owned)
}

fn show(entry: &api::CertificateEntry) -> Result<(), Failure> {
    let none = "-".to_owned();
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
        ("asked by", &format!("{} ({})", entry.actor, entry.authenticated_by)),
        ("predecessor", entry.predecessor.as_ref().unwrap_or(&none)),
        ("key sha256", &entry.spki_sha256),
        ("request", &entry.request),
        ("begun", &entry.begun),
        ("ended", entry.ended.as_ref().unwrap_or(&none)),
        ("revoked", entry.revoked.as_ref().unwrap_or(&none)),
        ("reason", entry.revocation_reason.as_ref().unwrap_or(&none)),
    ];
    for (name, value) in lines {
        line(&format!("{name:<12} {}", escaped_line(value)))?;
    }
    line(entry.pem.as_deref().unwrap_or_default().trim_end())
}
