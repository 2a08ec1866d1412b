//! `estd device list`.

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
use std::io::{IsTerminal, stdout};

/// Devices in a page.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListDevicesArguments {
    /// Part of the id. Not case-sensitive.
    part: Option<String>,
    /// State; a registered device is active once it had a certificate.
    #[arg(long, value_parser = ["registered", "active", "blocked", "retired"])]
    state: Option<String>,
    /// Label under which it may enroll.
    #[arg(long)]
    label: Option<String>,
    /// Tag by its name, or with its value.
    #[arg(long, value_name = "NAME[=VALUE]")]
    tag: Option<String>,
    /// Largest number of devices. Default: no limit.
    #[arg(long, value_name = "NUMBER", help_heading = "Paging")]
    limit: Option<usize>,
    /// Cursor at which the previous page ended.
    #[arg(long, value_name = "CURSOR", help_heading = "Paging")]
    after: Option<String>,
}

/// Prints page by page: a million devices need no more memory than a thousand.
pub(super) fn print_devices(
    context: &Context,
    arguments: ListDevicesArguments,
) -> Result<(), Failure> {
    let ListDevicesArguments { part, state, label, tag, limit, after } = arguments;
    let mut query = api::DeviceQuery { search: part, state, label, tag, after, limit: None };
    AdminClient::with(context, async |client| {
        let mut table = TextTable::new(["ID", "STATE", "LABELS", "QUOTA", "IDENTIFIERS", "TAGS"]);
        let mut left = limit.unwrap_or(usize::MAX);
        let mut shown = 0_usize;
        // On a terminal the rows show the progress.
        let mut progress = (!stdout().is_terminal()).then(|| Progress::new("devices", None));
        while left > 0 {
            query.limit = Some(left.min(PAGE));
            let page = client.call(query.clone()).await?;
            let count = page.devices.len();
            if let Some(progress) = &mut progress {
                progress.advance(count);
            }
            if context.json {
                page.devices.iter().try_for_each(json)?;
            } else {
                table.rows(page.devices.iter().map(row).collect())?;
            }
            (left, shown) = (left.saturating_sub(count), shown + count);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        end_list(context, query.after.filter(|_| limit.is_some()), shown, "device")
    })
}

fn row(entry: &api::DeviceEntry) -> [String; 6] {
    let tags: Vec<String> =
        entry.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    [
        entry.id.clone(),
        entry.state.clone(),
        entry.labels.as_ref().map_or_else(|| "all".to_owned(), |labels| labels.join(",")),
        entry.quota.map_or_else(|| "-".to_owned(), |quota| quota.to_string()),
        entry.identifiers.join(" "),
        tags.join(" "),
    ]
}
