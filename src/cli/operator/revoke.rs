//! `estd cert revoke`: finds the certificates, shows them, and revokes exactly those.

use super::{
    args::RevokeArguments,
    cert::{TABLE, row},
    choose::{serials_from, walk},
    with_client,
};
use crate::{
    api,
    cli::{
        Context, Failure, Kind,
        admin_client::AdminClient,
        output::{Table, json, line},
        progress::Progress,
    },
    types::{counted, escaped_line},
};
use std::{
    collections::HashSet,
    io::{BufRead, IsTerminal, stderr, stdin},
};

/// Serial numbers in a call: as many as the server revokes in well under a second.
const BATCH: usize = 100;

/// Lines that are shown before the question. The rest is for `--dry-run`.
const SHOWN: usize = 100;

/// The certificates that a command means.
#[derive(Default)]
struct Chosen {
    entries: Vec<api::CertificateEntry>,
    /// What was named and cannot be revoked.
    failed: Vec<api::NotRevoked>,
    /// Whether every one was named by its whole serial number, in an argument.
    exact: bool,
}

pub(super) fn revoke(context: &Context, arguments: RevokeArguments) -> Result<(), Failure> {
    let RevokeArguments { serials, file, conditions, reason, comment, dry_run, yes } = arguments;
    let query = conditions.query()?;
    let exact = file.is_none();
    let mut named = serials;
    if let Some(file) = &file {
        named.extend(serials_from(file)?);
    }
    if query.is_some() && !(named.is_empty() && exact) {
        return Err(Failure::arguments(
            "serial numbers and conditions are given together",
            "give one of the two",
        ));
    }
    with_client(context, async |client| {
        let chosen = match query {
            Some(query) => by_conditions(client, query).await?,
            None if named.is_empty() && exact => {
                return Err(Failure::arguments(
                    "nothing says which certificates are meant",
                    "give serial numbers, --file, or conditions such as --subject 'CN=gw-7*'",
                ));
            }
            None => by_serials(client, named, exact).await?,
        };
        if dry_run {
            return preview(context, &chosen);
        }
        for entry in chosen.entries.iter().filter(|entry| entry.authenticated_by == "server") {
            eprintln!(
                "warning: {} is a certificate of this server itself. Clients do not learn that it \
                 is revoked, and the server goes on using it: replace it with \
                 \"estd server-certificate renew\"",
                entry.serial
            );
        }
        if !chosen.exact && !yes && !chosen.entries.is_empty() {
            confirm(&chosen)?;
        }
        let call = |serials| api::Revoke {
            serials,
            reason: Some(reason.to_string()),
            comment: comment.clone(),
        };
        carry_out(context, client, chosen, call).await
    })
}

/// Finds certificates by the conditions that they meet. Those that are revoked already, or have no
/// certificate yet, are left out.
async fn by_conditions(
    client: &AdminClient,
    query: api::CertificateQuery,
) -> Result<Chosen, Failure> {
    let query = api::CertificateQuery { state: Some("issued".to_owned()), ..query };
    let mut chosen = Chosen::default();
    let progress = Progress::new("certificates found", None);
    walk(client, query, usize::MAX, Some(progress), |page| {
        let count = page.len();
        chosen.entries.extend(page);
        Ok(count)
    })
    .await?;
    if chosen.entries.is_empty() {
        eprintln!("no certificate matches that is not revoked already");
    }
    Ok(chosen)
}

/// Finds certificates by their serial numbers or the beginnings of those.
async fn by_serials(
    client: &AdminClient,
    named: Vec<String>,
    exact: bool,
) -> Result<Chosen, Failure> {
    let mut chosen = Chosen { exact, ..Chosen::default() };
    let mut progress = Progress::new("serial numbers", Some(named.len()));
    let mut seen = HashSet::new();
    for serial in named {
        progress.advance(1);
        match client.call(api::ShowCertificate { serial: serial.clone() }).await {
            Ok(entry) => {
                let whole = serial.chars().filter(|c| *c != ':').count() == entry.serial.len();
                chosen.exact &= whole;
                if seen.insert(entry.serial.clone()) {
                    chosen.entries.push(entry);
                }
            }
            Err(Failure::Failed { kind: Kind::Server(kind), what: error, remedy }) => {
                let reason = api::ErrorResponse { error, remedy, kind };
                chosen.failed.push(api::NotRevoked { serial, reason });
            }
            // The server or the store, not this one.
            Err(other) => return Err(other),
        }
    }
    Ok(chosen)
}

/// Prints what would be revoked. The text can be given to `--file`.
fn preview(context: &Context, chosen: &Chosen) -> Result<(), Failure> {
    if context.json {
        json(&serde_json::json!({
            "dry_run": true,
            "certificates": chosen.entries,
            "failed": chosen.failed,
        }))?;
    } else {
        Table::new(TABLE).rows(chosen.entries.iter().map(row).collect())?;
        eprintln!("{} would be revoked", counted(chosen.entries.len(), "certificate"));
    }
    finish(context, chosen.entries.len(), &chosen.failed)
}

/// Shows what will be revoked and asks for it.
fn confirm(chosen: &Chosen) -> Result<(), Failure> {
    let count = chosen.entries.len();
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(Failure::arguments(
            format!(
                "{} would be revoked, and nobody is there to confirm it",
                counted(count, "certificate")
            ),
            "look at them with --dry-run, then add --yes",
        ));
    }
    let rows = chosen.entries.iter().take(SHOWN).map(row).collect();
    for text in Table::new(TABLE).lines(rows) {
        eprintln!("{text}");
    }
    if count > SHOWN {
        eprintln!("and {} more: --dry-run lists them all", count - SHOWN);
    }
    for failed in &chosen.failed {
        eprintln!("{}", escaped_line(&failed.reason.error));
    }
    eprint!("Revocation is for good. Type {count} to revoke {}: ", counted(count, "certificate"));
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    if read.is_err() || answer.trim() != count.to_string() {
        return Err(Failure::new("not confirmed: nothing was revoked", "type the number"));
    }
    Ok(())
}

/// Revokes the chosen certificates, by their serial numbers.
async fn carry_out(
    context: &Context,
    client: &AdminClient,
    chosen: Chosen,
    call: impl Fn(Vec<String>) -> api::Revoke,
) -> Result<(), Failure> {
    let serials: Vec<String> = chosen.entries.into_iter().map(|entry| entry.serial).collect();
    let mut progress = Progress::new("certificates", Some(serials.len()));
    let mut done =
        api::Revocations { revoked: Vec::with_capacity(serials.len()), failed: chosen.failed };
    // What cannot be printed keeps no certificate from being revoked.
    let mut printed = Ok(());
    for batch in serials.chunks(BATCH) {
        let answer = client.call(call(batch.to_vec())).await.map_err(|failure| match failure {
            Failure::Failed { what, remedy, .. } if !done.revoked.is_empty() => {
                let what =
                    format!("{what}; {} of {} are revoked", done.revoked.len(), serials.len());
                let remedy = format!("{remedy}; then run it again: those stay as they are");
                Failure::of(Kind::Partly, what, remedy)
            }
            other => other,
        })?;
        progress.advance(batch.len());
        if !context.json && printed.is_ok() {
            printed = answer.revoked.iter().try_for_each(|one| line(&said(one)));
        }
        done.revoked.extend(answer.revoked);
        done.failed.extend(answer.failed);
    }
    drop(progress);
    // One that fails alone is the error of the command.
    if context.json && !(done.revoked.is_empty() && done.failed.len() == 1) {
        printed = json(&done);
    }
    finish(context, done.revoked.len(), &done.failed)?;
    printed
}

fn said(done: &api::Revoked) -> String {
    let api::Revoked { serial, subject, revoked, reason, before } = done;
    let before = if *before { " before" } else { "" };
    format!("{serial} ({}) was revoked{before} at {revoked}: {reason}", escaped_line(subject))
}

/// Reports what failed; the exit code says so.
fn finish(context: &Context, done: usize, failed: &[api::NotRevoked]) -> Result<(), Failure> {
    match failed {
        [] => Ok(()),
        [one] if done == 0 => Err(one.reason.clone().into()),
        several => {
            if !context.json {
                for one in several {
                    eprintln!("{}: {}", escaped_line(&one.serial), escaped_line(&one.reason.error));
                }
            }
            let kind = if done == 0 { Kind::Failed } else { Kind::Partly };
            let what = format!("{} failed, {done} done", several.len());
            Err(Failure::of(kind, what, "correct those that failed and run it again"))
        }
    }
}
