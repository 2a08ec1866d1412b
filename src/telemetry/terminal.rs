//! Text on the terminal, by way of `tracing`.

use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt::time::FormatTime};

/// RFC 3339 in UTC, as in the audit file.
struct Utc;

impl FormatTime for Utc {
    #[allow(clippy::disallowed_methods, reason = "the time of a log line is the machine's")]
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", humantime::format_rfc3339_millis(std::time::SystemTime::now()))
    }
}

/// Sends log lines to standard error; `filter` as in `ESTD_LOG`, such as `info` or
/// `estd=debug`. A second call changes nothing.
///
/// # Errors
/// What is wrong with the filter.
pub fn start_terminal(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|fault| fault.to_string())?;
    // An error says that somebody (a test) has set one up already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Utc)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
    Ok(())
}
