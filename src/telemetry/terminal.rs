//! Text on the terminal, by way of `tracing`.
//!
//! A client can neither control the terminal nor fill the log. Each message stays on one line with
//! hidden characters escaped, and each place in the code writes a limited number of lines a minute.
//! Debug and trace lines are not limited: operators who enable them want all of them.

use super::AUDIT;
use crate::types::escaped_line;
use std::{
    collections::HashMap,
    io::IsTerminal,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tracing::{Event, Level, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    Layer,
    field::MakeExt as _,
    filter::{ParseError, Targets},
    fmt::{FormatFields, format::debug_fn, time::FormatTime},
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

/// Lines that one place in the code writes in one window.
const LINES: u64 = 60;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(60);

/// RFC 3339 in UTC, as in the audit file.
struct Utc;

impl FormatTime for Utc {
    #[allow(clippy::disallowed_methods, reason = "the time of a log line is the machine's")]
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", humantime::format_rfc3339_millis(std::time::SystemTime::now()))
    }
}

/// Writes each message and field on one line, hidden characters escaped: text of a client can
/// neither end the line nor control the terminal.
fn fields() -> impl for<'a> FormatFields<'a> + 'static {
    debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{}", escaped_line(format_args!("{value:?}"))),
        name => write!(writer, "{name}={}", escaped_line(format_args!("{value:?}"))),
    })
    .delimited(" ")
}

/// The lines of one place in the code in its window.
#[derive(Debug)]
struct LogSite {
    since: Instant,
    lines: u64,
    left_out: u64,
    name: String,
}

/// Leaves out lines of a place that has reached its limit, and counts them.
#[derive(Clone, Debug, Default)]
struct Limit(Arc<Mutex<HashMap<Identifier, LogSite>>>);

impl Limit {
    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == AUDIT {
            return true;
        }
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(metadata.callsite()).or_insert_with(|| LogSite {
            since: now,
            lines: 0,
            left_out: 0,
            name: metadata.name().to_owned(),
        });
        // A window with lines left out ends by `due`, which reports them.
        if place.left_out == 0 && now.saturating_duration_since(place.since) >= WINDOW {
            (place.since, place.lines) = (now, 0);
        }
        let admitted = place.lines < LINES;
        place.lines += u64::from(admitted);
        place.left_out += u64::from(!admitted);
        admitted
    }

    /// Ends the windows that are over. Returns a line for each place that left lines out.
    fn due(&self, now: Instant) -> Vec<String> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = Vec::new();
        for place in places.values_mut() {
            let passed = now.saturating_duration_since(place.since);
            if place.left_out > 0 && passed >= WINDOW {
                let (left_out, seconds) = (place.left_out, passed.as_secs());
                let name = &place.name;
                out.push(format!("{left_out} more lines like these in {seconds} s ({name})"));
                (place.since, place.lines, place.left_out) = (now, 0, 0);
            }
        }
        out
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event, Instant::now())
    }
}

/// The limit of the process's log.
static LIMIT: OnceLock<Limit> = OnceLock::new();

/// Sends log lines to standard error; `filter` as in `ESTD_LOG`: levels, each for all targets or for
/// one, such as `info` or `warn,estd=debug`. A second call changes nothing. Call [`summarize_terminal`] every few seconds.
///
/// # Errors
/// The error in the filter.
pub fn start_terminal(filter: &str) -> Result<(), String> {
    let filter: Targets = filter.parse().map_err(|error: ParseError| error.to_string())?;
    let lines = tracing_subscriber::fmt::layer()
        .with_timer(Utc)
        .fmt_fields(fields())
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let limit = LIMIT.get_or_init(Limit::default).clone();
    // It fails if one is set up already, as in a test.
    let _ = tracing_subscriber::registry().with(filter).with(limit).with(lines).try_init();
    Ok(())
}

/// Reports how many lines were left out of the log.
pub fn summarize_terminal() {
    let due = LIMIT.get().map(|limit| limit.due(Instant::now()));
    for line in due.unwrap_or_default() {
        tracing::warn!(target: AUDIT, "{line}");
    }
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

    #[test]
    fn a_place_that_writes_too_much_is_limited_and_the_rest_is_counted() {
        let (kept, limit) = (Kept::default(), Limit::default());
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(limit.clone()).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..5000 {
                tracing::warn!("noise {number}");
                tracing::info!(target: AUDIT, "event {number}");
                tracing::debug!("detail {number}");
            }
            tracing::warn!("another place");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let count = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        assert_eq!([count("noise"), count("event"), count("detail")], [60, 5000, 5000]);
        assert_eq!(count("another place"), 1);
        assert!(limit.due(Instant::now()).is_empty());
        let due = limit.due(Instant::now() + WINDOW);
        assert_eq!(due.len(), 1);
        assert!(due[0].starts_with("4940 more lines like these in 60 s ("), "{due:?}");
        assert!(limit.due(Instant::now() + 2 * WINDOW).is_empty());
    }
}
