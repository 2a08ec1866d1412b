//! `estd cert list`.

use super::filter::{CertFilter, walk};
use crate::{
    api,
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::Failure,
        many::end_list,
        output::{TextTable, json},
        progress::Progress,
    },
};
use clap::Args;
use std::{
    collections::HashSet,
    io::{IsTerminal, stdout},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    #[command(flatten)]
    filter: CertFilter,
    /// Part of the subject or of a subjectAltName entry as shown. Not case-sensitive.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// State; an issued certificate is valid or expired.
    #[arg(long, value_parser = ["open", "issued", "void", "revoked", "valid", "expired"])]
    state: Option<String>,
    /// Same as --state open: recorded, without a certificate.
    #[arg(long, conflicts_with = "state")]
    open: bool,
    /// Same as --state revoked.
    #[arg(long, conflicts_with_all = ["state", "open"])]
    revoked: bool,
    /// Expires before this time: 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires_before: Option<String>,
    /// Valid, and expires within 30d, 12h, ...
    #[arg(long, value_name = "LENGTH")]
    expires_within: Option<String>,
    /// No certificate renews or rekeys it.
    #[arg(long)]
    without_successor: bool,
    /// Largest number of certificates. Default: no limit.
    #[arg(long, value_name = "NUMBER", help_heading = "Paging")]
    limit: Option<usize>,
    /// Cursor at which the previous page ended.
    #[arg(long, value_name = "CURSOR", help_heading = "Paging")]
    after: Option<String>,
}

/// Prints page by page: a million certificates need no more memory than a thousand.
pub(super) fn list_certificates(
    context: &Context,
    arguments: ListArguments,
) -> Result<(), Failure> {
    let ListArguments { filter, state, open, revoked, without_successor, limit, .. } = arguments;
    let named = if open { Some("open") } else { revoked.then_some("revoked") };
    let state = named.map(str::to_owned).or(state);
    let query = api::CertificateQuery {
        search: arguments.search,
        // Only an issued certificate can have a successor.
        state: state.or_else(|| without_successor.then(|| "issued".to_owned())),
        expires_before: arguments.expires_before,
        expires_within: arguments.expires_within,
        after: arguments.after,
        ..filter.query()?.unwrap_or_default()
    };
    AdminClient::with(context, async |client| {
        // A separate walk: a renewal follows its predecessor in the list.
        let renewed = if without_successor { renewed(client).await? } else { HashSet::new() };
        let mut table = TextTable::new(COLUMNS);
        let (mut shown, mut last) = (0, None);
        let left = limit.unwrap_or(usize::MAX);
        // On a terminal the rows show the progress.
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
        end_list(context, more.filter(|_| limit.is_some()), shown, "certificate")
    })
}

/// Returns the serial numbers of all certificates that another one renews or rekeys.
async fn renewed(client: &AdminClient) -> Result<HashSet<String>, Failure> {
    let mut progress = Progress::new("renewals found", None);
    let mut serials = HashSet::new();
    let mut call = api::ListRenewed::default();
    loop {
        let page = client.call(call).await?;
        progress.advance(page.serials.len());
        serials.extend(page.serials);
        let Some(next) = page.next else { return Ok(serials) };
        call = api::ListRenewed { after: Some(next) };
    }
}

/// Columns of the table of certificates.
pub(in crate::cli) const COLUMNS: [&str; 6] =
    ["SERIAL", "STATE", "EXPIRES", "LABEL", "BY", "SUBJECT"];

/// Returns the row of a certificate.
pub(in crate::cli) fn row(entry: &api::CertificateEntry) -> [String; 6] {
    let names = if entry.subject.is_empty() { entry.san.join(" ") } else { entry.subject.clone() };
    let label = entry.label.as_deref().unwrap_or("-");
    [&entry.serial, &entry.state, &entry.not_after, label, &entry.authenticated_by, &names]
        .map(str::to_owned)
}
