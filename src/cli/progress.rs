//! A progress bar for what takes longer than two seconds, if standard error is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// How long nothing is shown.
const QUIET: Duration = Duration::from_secs(2);

pub(super) struct Progress {
    begun: Instant,
    what: &'static str,
    total: Option<u64>,
    done: u64,
    /// None while nothing is shown.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Counts steps; `what` names them in the plural. Without a total the end is not known.
    pub(super) fn new(what: &'static str, total: Option<usize>) -> Self {
        let total = total.and_then(|total| u64::try_from(total).ok());
        Self { begun: Instant::now(), what, total, done: 0, bar: None }
    }

    /// So many more steps are done.
    pub(super) fn advance(&mut self, steps: usize) {
        self.done = self.done.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX));
        if self.bar.is_none() && self.begun.elapsed() >= QUIET && std::io::stderr().is_terminal() {
            self.bar = Some(self.start());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    fn start(&self) -> ProgressBar {
        let (bar, form) = match self.total {
            Some(total) => (ProgressBar::new(total), "{bar:30} {pos} of {len} {msg}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {pos} {msg}, {elapsed}"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        // The forms are constant; with one that is wrong the bar looks another way.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.with_message(self.what).with_elapsed(self.begun.elapsed())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
