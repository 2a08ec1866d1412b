//! Text on the terminal, by way of `tracing`.

use crate::types::escaped_line;
use std::io::IsTerminal;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::{FormatFields, format::debug_fn, time::FormatTime},
};

/// RFC 3339 in UTC, as in the audit file.
struct Utc;

impl FormatTime for Utc {
    #[allow(clippy::disallowed_methods, reason = "the time of a log line is the machine's")]
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", humantime::format_rfc3339_millis(std::time::SystemTime::now()))
    }
}

/// Writes each message and field on one line, hidden characters escaped: whatever a client chose, it
/// neither ends the line nor steers the terminal.
fn fields() -> impl for<'a> FormatFields<'a> + 'static {
    debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{}", escaped_line(format_args!("{value:?}"))),
        name => write!(writer, "{name}={}", escaped_line(format_args!("{value:?}"))),
    })
    .delimited(" ")
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
        .fmt_fields(fields())
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_stays_on_its_line_and_shows_what_is_hidden() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_timer(Utc)
            .fmt_fields(fields())
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let subject = "CN=a\n2026-01-01T00:00:00Z ERROR \u{1b}[31m\u{202e}\u{9b}x";
            tracing::warn!(name = subject, "rejected {subject}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("WARN"), "{text}");
        let shown = r"rejected CN=a\n2026-01-01T00:00:00Z ERROR \u{1b}[31m\u{202e}\u{9b}x";
        assert!(text.contains(shown), "{text}");
    }
}
