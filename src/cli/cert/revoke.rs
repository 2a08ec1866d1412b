//! `estd cert revoke`: finds the certificates, shows them, and revokes exactly those.

use super::{
    filter::{CertFilter, walk},
    list::{COLUMNS, row},
};
use crate::{
    api,
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::{Failure, FailureKind},
        many::{first_words, report_failed},
        output::{TextTable, json, line},
        progress::Progress,
    },
    types::{RevocationReason, counted, escaped_line},
};
use clap::Args;
use std::{
    collections::HashSet,
    io::{BufRead, IsTerminal, stderr, stdin},
    path::PathBuf,
};

/// Serial numbers in a call: the server revokes them in well under a second.
const BATCH: usize = 100;

/// Rows that are shown before the confirmation. `--dry-run` shows all.
const SHOWN: usize = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArguments {
    /// Serial numbers, hexadecimal, or prefixes of at least 4 digits.
    #[arg(value_name = "SERIAL")]
    serials: Vec<String>,
    /// File with a serial number at the start of each line, as --dry-run prints them; "-" for
    /// standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Reason of RFC 5280: unspecified, keyCompromise, cACompromise, affiliationChanged,
    /// superseded, cessationOfOperation, privilegeWithdrawn or aACompromise.
    #[arg(long, default_value_t = RevocationReason::Unspecified)]
    reason: RevocationReason,
    /// Text for the audit events.
    #[arg(long)]
    comment: Option<String>,
    /// Lists the certificates and revokes none.
    #[arg(long)]
    dry_run: bool,
    /// Revokes without a confirmation. Certificates named by whole serial numbers need none.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    #[command(flatten)]
    filter: CertFilter,
}

/// The certificates that a command means.
#[derive(Default)]
struct Chosen {
    entries: Vec<api::CertificateEntry>,
    /// Serial numbers in the arguments that cannot be revoked.
    failed: Vec<api::NotRevoked>,
    /// Whether each is a complete serial number in an argument.
    exact: bool,
}

pub(super) fn revoke_certificates(
    context: &Context,
    arguments: RevokeArguments,
) -> Result<(), Failure> {
    let RevokeArguments { serials, file, filter, reason, comment, dry_run, yes } = arguments;
    let query = filter.query()?;
    let exact = file.is_none();
    let mut named = serials;
    if let Some(file) = &file {
        named.extend(first_words(file, "SERIAL", "a serial number")?);
    }
    if query.is_some() && !(named.is_empty() && exact) {
        return Err(Failure::arguments(
            "got serial numbers and conditions; expected: one of the two",
            "leave out the serial numbers or the conditions",
        ));
    }
    AdminClient::with(context, async |client| {
        let chosen = match query {
            Some(query) => by_conditions(client, query).await?,
            None if named.is_empty() && exact => {
                return Err(Failure::arguments(
                    "got no certificates; expected: serial numbers, --file or conditions",
                    "add them, such as --subject 'CN=gw-7*'",
                ));
            }
            None => by_serials(client, named, exact).await?,
        };
        if dry_run {
            return preview(context, &chosen);
        }
        for entry in chosen.entries.iter().filter(|entry| entry.authenticated_by == "server") {
            context.warn(
                format!(
                    "{} is this server's own certificate. The server uses it until it is renewed, \
                     and clients cannot see that it is revoked",
                    entry.serial
                ),
                "run estd server-certificate renew",
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

/// Finds certificates by conditions, without those that are revoked already or not issued.
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
        eprintln!("no certificate matches, beside revoked ones");
    }
    Ok(chosen)
}

/// Finds certificates by their serial numbers or prefixes of them.
async fn by_serials(
    client: &AdminClient,
    named: Vec<String>,
    exact: bool,
) -> Result<Chosen, Failure> {
    let mut chosen = Chosen { exact, ..Chosen::default() };
    let mut progress = Progress::new("serial numbers", Some(named.len() as u64));
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
            Err(Failure::Failed { kind: FailureKind::Server(kind), what: error, remedy }) => {
                let reason = api::ErrorResponse { error, remedy, kind };
                chosen.failed.push(api::NotRevoked { serial, reason });
            }
            // An error of the server or the store, not of this serial number.
            Err(other) => return Err(other),
        }
    }
    Ok(chosen)
}

/// Prints the certificates. `--file` accepts the text.
fn preview(context: &Context, chosen: &Chosen) -> Result<(), Failure> {
    if context.json {
        json(&serde_json::json!({
            "dry_run": true,
            "certificates": chosen.entries,
            "failed": chosen.failed,
        }))?;
    } else {
        TextTable::new(COLUMNS).rows(chosen.entries.iter().map(row).collect())?;
        eprintln!("{} would be revoked", counted(chosen.entries.len(), "certificate"));
    }
    finish(context, chosen.entries.len(), &chosen.failed)
}

/// Shows the certificates and asks for a confirmation.
fn confirm(chosen: &Chosen) -> Result<(), Failure> {
    let count = chosen.entries.len();
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(Failure::arguments(
            format!(
                "{} to revoke, and no terminal for the confirmation",
                counted(count, "certificate")
            ),
            "list them with --dry-run, then add --yes",
        ));
    }
    let rows = chosen.entries.iter().take(SHOWN).map(row).collect();
    for text in TextTable::new(COLUMNS).lines(rows) {
        eprintln!("{text}");
    }
    if count > SHOWN {
        eprintln!("and {} more: --dry-run lists them all", count - SHOWN);
    }
    for failed in &chosen.failed {
        eprintln!("{}", escaped_line(&failed.reason.error));
    }
    eprint!("Revocation is permanent. Type {count} to revoke {}: ", counted(count, "certificate"));
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    if read.is_err() || answer.trim() != count.to_string() {
        return Err(Failure::new("not confirmed: no certificate was revoked", "type the number"));
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
    let mut progress = Progress::new("certificates", Some(serials.len() as u64));
    let mut done =
        api::Revocations { revoked: Vec::with_capacity(serials.len()), failed: chosen.failed };
    // An error in printing does not stop the revocations.
    let mut printed = Ok(());
    for batch in serials.chunks(BATCH) {
        let answer = client.call(call(batch.to_vec())).await.map_err(|failure| match failure {
            Failure::Failed { what, remedy, .. } if !done.revoked.is_empty() => {
                let what =
                    format!("{what}; {} of {} are revoked", done.revoked.len(), serials.len());
                let remedy =
                    format!("{remedy}; then run it again: revoked certificates stay as they are");
                Failure::of(FailureKind::Partly, what, remedy)
            }
            other => other,
        })?;
        progress.advance(batch.len());
        if !context.json && printed.is_ok() {
            printed = answer.revoked.iter().try_for_each(|one| line(&describe(one)));
        }
        done.revoked.extend(answer.revoked);
        done.failed.extend(answer.failed);
    }
    drop(progress);
    // A single failure is the error of the command.
    if context.json && !(done.revoked.is_empty() && done.failed.len() == 1) {
        printed = json(&done);
    }
    finish(context, done.revoked.len(), &done.failed)?;
    printed
}

fn describe(done: &api::Revoked) -> String {
    let api::Revoked { serial, subject, revoked, reason, before } = done;
    let before = if *before { " before" } else { "" };
    format!("{serial} ({}) was revoked{before} at {revoked}: {reason}", escaped_line(subject))
}

/// Reports failures; the exit code depends on them.
fn finish(context: &Context, done: usize, failed: &[api::NotRevoked]) -> Result<(), Failure> {
    report_failed(context, done, failed, |one| (&one.serial, &one.reason))
}
