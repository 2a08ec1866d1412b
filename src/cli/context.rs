//! Context of a command, and the runtime that it uses.

use super::failure::Failure;
use crate::{
    config::{self, Secrets, Settings},
    types::{escaped_json, escaped_line},
};
use std::{fmt::Display, path::Path, pin::Pin};

/// Context of an operator's command.
pub(super) struct Context {
    pub(super) settings: Settings,
    /// Whether output and errors are JSON.
    pub(super) json: bool,
}

impl Context {
    /// Prints a warning and its remedy to standard error; the command succeeds nevertheless.
    pub(super) fn warn(&self, warning: impl Display, remedy: &str) {
        if self.json {
            let line = serde_json::json!({ "warning": warning.to_string(), "remedy": remedy });
            eprintln!("{}", escaped_json(&line.to_string()));
        } else {
            eprintln!("warning: {}\n  remedy: {}", escaped_line(warning), escaped_line(remedy));
        }
    }
}

/// Runs a command's work on a runtime of one thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(cause, "free some memory or file descriptors"))?;
    // One type for all commands: tokio's part is compiled once, not once for each.
    let work: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(work);
    runtime.block_on(work)
}

/// Reads a configuration with those of its secrets that a command needs.
pub(super) fn read_settings(file: &Path, secrets: Secrets) -> Result<Settings, Failure> {
    config::load_for(file, &|name| std::env::var(name).ok(), secrets).map_err(Failure::Config)
}
