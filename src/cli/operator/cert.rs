//! `estd cert`.

use super::with_office;
use crate::{
    api,
    cli::{
        CertCommand, Context, Failure,
        output::{Table, json, line},
    },
    types::escaped_line,
};

pub(in crate::cli) fn cert(context: &Context, command: CertCommand) -> Result<(), Failure> {
    match command {
        CertCommand::List { subject, state, open, revoked, label, expires_before, limit } => {
            let named = if open { Some("open") } else { revoked.then_some("revoked") };
            let state = named.map(str::to_owned).or(state);
            let query = api::CertificateQuery {
                subject,
                state,
                label,
                expires_before,
                after: None,
                limit: None,
            };
            list(context, query, limit)
        }
        CertCommand::Show { serial } => {
            let entry = with_office(context, async |office| {
                office.ask(api::ShowCertificate { serial }).await
            })?;
            if context.json { json(&entry) } else { show(&entry) }
        }
        CertCommand::Revoke { serial, reason, comment } => {
            let serials = vec![serial];
            let call = api::Revoke { serials, reason: Some(reason.to_string()), comment };
            let done = with_office(context, async |office| office.ask(call).await)?;
            if let Some(failed) = done.failed.into_iter().next() {
                return Err(failed.reason.into());
            }
            let Some(done) = done.revoked.into_iter().next() else {
                return Err(Failure::new("the server's answer is empty", "see the server's log"));
            };
            if context.json {
                return json(&done);
            }
            let before = if done.before { " before" } else { "" };
            let api::Revoked { serial, subject, revoked, reason, .. } = &done;
            let subject = escaped_line(subject);
            line(&format!("{serial} ({subject}) was revoked{before} at {revoked}: {reason}"))
        }
    }
}

/// Prints page by page, so that a million certificates need no more memory than a thousand.
fn list(
    context: &Context,
    mut query: api::CertificateQuery,
    limit: Option<usize>,
) -> Result<(), Failure> {
    const PAGE: usize = 1000;
    with_office(context, async |office| {
        let mut left = limit.unwrap_or(usize::MAX);
        let mut table = Table::new(["SERIAL", "STATE", "EXPIRES", "LABEL", "BY", "SUBJECT"]);
        while left > 0 {
            query.limit = Some(left.min(PAGE));
            let page = office.ask(query.clone()).await?;
            left = left.saturating_sub(page.certificates.len());
            if context.json {
                page.certificates.iter().try_for_each(json)?;
            } else {
                table.rows(page.certificates.iter().map(row).collect())?;
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        Ok(())
    })
}

fn row(entry: &api::CertificateEntry) -> [String; 6] {
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
