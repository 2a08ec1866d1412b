//! `estd store`: the store as a whole. A check and an export read it through the running server;
//! the other commands need it for themselves.

mod check;
mod open;
mod served;
mod transfer;

use super::{
    context::{Context, block_on},
    failure::Failure,
};
use crate::server;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Reads everything and reports each error, also while the server runs. Exit code 1 if it finds
    /// one.
    Check,
    /// Frees disk space that the store no longer needs. Needs the same disk space again meanwhile.
    Compact,
    /// Writes the contents of the store, password hashes too, as lines of JSON, also while the
    /// server runs.
    Export {
        /// File to create; it must not exist. Default: standard output.
        file: Option<PathBuf>,
    },
    /// Imports an export into an empty store, or continues an import that was interrupted.
    Import {
        /// File that `estd store export` wrote.
        file: PathBuf,
        /// Keep one-time tokens usable. Without it those that have not ended are disabled: they may have been
        /// used since the export.
        #[arg(long)]
        keep_tokens: bool,
    },
    /// Copies a store into an empty one, and compares both.
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
pub(super) struct CopyArguments {
    /// Store of this configuration to read; sled is the one in the data folder.
    #[arg(long)]
    from: BackendName,
    /// Store to fill.
    #[arg(long)]
    to: BackendName,
    /// Configuration of the target. Default: this one.
    #[arg(long, value_name = "FILE")]
    target_config: Option<PathBuf>,
}

/// Kind of a persistent store.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum BackendName {
    /// In the data folder.
    Sled,
    /// In the database that `[store]` names.
    Postgres,
}

impl From<BackendName> for server::BackendKind {
    fn from(name: BackendName) -> Self {
        match name {
            BackendName::Sled => Self::Sled,
            BackendName::Postgres => Self::Postgres,
        }
    }
}

pub(super) fn store_command(context: &Context, command: StoreCommand) -> Result<(), Failure> {
    block_on(async {
        match command {
            StoreCommand::Check => check::check_store(context).await,
            StoreCommand::Compact => transfer::compact_store(context).await,
            StoreCommand::Export { file } => transfer::export_store(context, file.as_deref()).await,
            StoreCommand::Import { file, keep_tokens } => {
                transfer::import_store(context, &file, keep_tokens).await
            }
            StoreCommand::Copy(CopyArguments { from, to, target_config }) => {
                transfer::copy_store(context, from.into(), to.into(), target_config.as_deref())
                    .await
            }
        }
    })
}
