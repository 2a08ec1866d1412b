//! `estd audit`: reads the audit trail from the store, through the running server or without one.

mod export;
mod filter;
mod list;
mod merged;
mod show;
#[cfg(test)]
mod tests;

use super::{admin_client::AdminClient, context::Context, failure::Failure};
use clap::Subcommand;
use filter::EventFilter;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Lists committed events in the order of time: issuances, revocations, accounts, starts and
    /// reloads. Rejections are only in the audit file of their node.
    List {
        #[command(flatten)]
        filter: EventFilter,
        /// Largest number of events. Default: no limit.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Shows the last events.
    Tail {
        #[command(flatten)]
        filter: EventFilter,
        /// Number of events.
        #[arg(long, short = 'n', default_value_t = 10)]
        lines: usize,
        /// Prints new events until it is interrupted. Needs a running server.
        #[arg(long, short)]
        follow: bool,
    },
    /// Writes all events by writer and number, as lines of JSON like those of the audit file. The
    /// last line has the number of events and the SHA-256 of the lines before it.
    Export {
        /// File to create; it must not exist. Default: standard output.
        file: Option<PathBuf>,
    },
}

pub(super) fn audit_command(context: &Context, command: AuditCommand) -> Result<(), Failure> {
    let as_json = context.json;
    match command {
        AuditCommand::List { filter, limit } => {
            let query = filter.query()?;
            AdminClient::with(context, async |client| {
                list::list_events(client, query, limit, as_json).await
            })
        }
        AuditCommand::Tail { filter, lines, follow } => {
            let query = filter.query()?;
            AdminClient::with(context, async |client| {
                list::tail_events(client, query, lines, follow, as_json).await
            })
        }
        AuditCommand::Export { file } => AdminClient::with(context, async |client| {
            export::export_events(client, file.as_deref(), as_json).await
        }),
    }
}
