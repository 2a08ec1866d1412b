//! Commands of the operator.
#![allow(clippy::print_stdout, reason = "what a command found goes to standard output")]

use super::{CertCommand, Failure, Output, UserCommand, office::Office};
use crate::{
    api,
    config::Settings,
    types::{escaped, escaped_json, escaped_line},
};
use std::io::{BufRead, Write};
use zeroize::Zeroize;

pub(super) fn config_is_good(settings: &Settings) -> Result<(), Failure> {
    println!("{}: good", settings.file.display());
    println!(
        "  {} CA, {} profile, {} label beside the unlabelled one",
        settings.cas.len(),
        settings.policies.profiles.len(),
        settings.policies.labels.len()
    );
    Ok(())
}

/// Runs an operator's question to its end, and lets go of the store whatever came of it.
fn with_office<T>(
    settings: &Settings,
    question: impl AsyncFnOnce(&Office) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(cause, "free some memory or file descriptors"))?;
    runtime.block_on(async {
        let office = Office::find(settings).await?;
        let outcome = question(&office).await;
        office.close().await;
        outcome
    })
}

pub(super) fn cert(settings: &Settings, command: CertCommand) -> Result<(), Failure> {
    match command {
        CertCommand::List {
            subject,
            state,
            open,
            revoked,
            label,
            expires_before,
            limit,
            output,
        } => {
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
            list(settings, query, limit, output)
        }
        CertCommand::Show { serial, output } => {
            let entry = with_office(settings, async |office| {
                office.ask(api::ShowCertificate { serial }).await
            })?;
            if output.json { json(&entry) } else { show(&entry) }
        }
        CertCommand::Revoke { serial, reason, comment, output } => {
            let serials = vec![serial];
            let call = api::Revoke { serials, reason: Some(reason.to_string()), comment };
            let done = with_office(settings, async |office| office.ask(call).await)?;
            if let Some(failed) = done.failed.into_iter().next() {
                return Err(Failure::new(failed.error, failed.remedy));
            }
            let Some(done) = done.revoked.into_iter().next() else {
                return Err(Failure::new("the server's answer is empty", "see the server's log"));
            };
            if output.json {
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
    settings: &Settings,
    mut query: api::CertificateQuery,
    limit: Option<usize>,
    output: Output,
) -> Result<(), Failure> {
    const PAGE: usize = 1000;
    with_office(settings, async |office| {
        let mut left = limit.unwrap_or(usize::MAX);
        let mut table = Table::new(
            ["SERIAL", "STATE", "EXPIRES", "LABEL", "BY", "SUBJECT"],
            [40, 7, 20, 8, 11, 0],
        );
        while left > 0 {
            query.limit = Some(left.min(PAGE));
            let page = office.ask(query.clone()).await?;
            left = left.saturating_sub(page.certificates.len());
            for entry in &page.certificates {
                if output.json {
                    json(entry)?;
                    continue;
                }
                let names = if entry.subject.is_empty() {
                    entry.san.join(" ")
                } else {
                    entry.subject.clone()
                };
                let label = entry.label.as_deref().unwrap_or("-");
                table.row([
                    &entry.serial,
                    &entry.state,
                    &entry.not_after,
                    label,
                    &entry.authenticated_by,
                    &names,
                ])?;
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        Ok(())
    })
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

pub(super) fn ca_show(settings: &Settings, output: Output) -> Result<(), Failure> {
    let all = with_office(settings, async |office| office.ask(api::ShowCas {}).await)?;
    if output.json {
        return json(&all);
    }
    for ca in &all.cas {
        for (role, one) in [("root", &ca.root), ("issuing CA", &ca.issuing)] {
            line(&format!("{}: {role} {}", ca.name, escaped_line(&one.subject)))?;
            line(&format!("  SHA-256   {}", one.sha256))?;
            line(&format!("  serial    {}", one.serial))?;
            line(&format!("  valid to  {}", one.not_after))?;
        }
    }
    Ok(())
}

fn has_label(settings: &Settings, label: &str) -> bool {
    settings.policies.labels.keys().any(|known| known.as_str() == label)
}

pub(super) fn user(settings: &Settings, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add {
            name,
            labels,
            password_stdin,
            digest,
            digest_md5,
            identity_proof,
            output,
        } => {
            let password = if password_stdin { Some(password_from_stdin()?) } else { None };
            for label in labels.iter().filter(|label| !has_label(settings, label)) {
                eprintln!("note: {} has no [label.{label}] yet", settings.file.display());
            }
            let labels = (!labels.is_empty()).then_some(labels);
            let digest = digest || digest_md5 || identity_proof;
            let new = api::NewUser { name, password, labels, digest, digest_md5, identity_proof };
            let mut added = with_office(settings, async |office| office.ask(new).await)?;
            if output.json {
                json(&added)?;
            } else if let Some(password) = &added.password {
                line(&format!("user {} password {password}", escaped(&added.name)))?;
                line(if digest {
                    "The password is shown this once; a secret that can do what it can is kept."
                } else {
                    "The password is shown this once; only a hash of it is kept."
                })?;
            } else {
                line(&format!("user {} added", escaped(&added.name)))?;
            }
            added.password.zeroize();
            Ok(())
        }
        UserCommand::Remove { name } => {
            let call = api::RemoveUser { name: name.clone() };
            with_office(settings, async |office| office.ask(call).await)?;
            line(&format!("user {} removed", escaped(&name)))
        }
        UserCommand::List { output } => {
            let all = with_office(settings, async |office| office.ask(api::ListUsers {}).await)?;
            if output.json {
                return json(&all);
            }
            let mut table = Table::new(["ADDED", "KEPT", "LABELS", "NAME"], [20, 8, 8, 0]);
            for user in &all.users {
                let labels = user
                    .labels
                    .as_ref()
                    .map_or_else(|| "all".to_owned(), |labels| labels.join(","));
                let name = escaped(&user.name).to_string();
                table.row([&user.added, &user.kept.join(","), &labels, &name])?;
            }
            Ok(())
        }
    }
}

fn password_from_stdin() -> Result<String, Failure> {
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password).map_err(|cause| {
        Failure::new(format!("standard input: {cause}"), "give the password as one line")
    })?;
    let length = password.trim_end_matches(['\r', '\n']).len();
    password.truncate(length);
    Ok(password)
}

/// Rows of columns, each at least as wide as usual and growing with what comes.
struct Table<const N: usize> {
    head: Option<[&'static str; N]>,
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    const fn new(head: [&'static str; N], widths: [usize; N]) -> Self {
        Self { head: Some(head), widths }
    }

    fn row(&mut self, cells: [&str; N]) -> Result<(), Failure> {
        // Subjects keep the backslashes of RFC 4514: the text can be pasted into a filter.
        let cells = cells.map(|cell| escaped_line(cell).to_string());
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        if let Some(head) = self.head.take() {
            for (width, name) in self.widths.iter_mut().zip(head) {
                *width = (*width).max(name.len());
            }
            self.print(head.map(str::to_owned))?;
        }
        self.print(cells)
    }

    fn print(&self, cells: [String; N]) -> Result<(), Failure> {
        let padded: Vec<String> =
            cells.iter().zip(self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(padded.join("  ").trim_end())
    }
}

fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|fault| Failure::new(fault, "report it"))?;
    line(&escaped_json(&text))
}

/// Prints a line. Whoever closed the pipe (`| head`) has seen enough.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|cause| Failure::new(format!("standard output: {cause}"), "keep it open"))
}
