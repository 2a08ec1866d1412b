//! A progress bar for a command that takes longer than two seconds, if standard error is a terminal.

use crate::store::transfer::Step;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Delay before the bar is shown.
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
    /// Counts steps; `what` names them in the plural. Without a total, the bar shows no end.
    pub(super) fn new(what: &'static str, total: Option<u64>) -> Self {
        Self { begun: Instant::now(), what, total, done: 0, bar: None }
    }

    /// Adds steps that are done.
    pub(super) fn advance(&mut self, steps: usize) {
        self.reach(self.done.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX)));
    }

    /// Sets the number of steps that are done.
    pub(super) fn reach(&mut self, done: u64) {
        self.done = done;
        if self.bar.is_none() && self.begun.elapsed() >= QUIET && std::io::stderr().is_terminal() {
            self.bar = Some(self.start());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Sets the number of items that a step of a transfer has handled.
    pub(super) fn step(&mut self, step: Step, done: u64) {
        self.what = match step {
            Step::Reading => "items read",
            Step::Importing => "items imported",
            Step::Comparing => "items compared",
        };
        if let Some(bar) = &self.bar {
            bar.set_message(self.what);
        }
        self.reach(done);
    }

    /// Sets the total once it is known.
    pub(super) fn expect(&mut self, total: u64) {
        self.total = Some(total);
        // The next step draws a bar with an end.
        self.clear();
    }

    /// Prints something that the bar must not overwrite.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn start(&self) -> ProgressBar {
        let (bar, form) = match self.total {
            Some(total) => (ProgressBar::new(total), "{bar:30} {pos} of {len} {msg}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {pos} {msg}, {elapsed}"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        // The templates are constant; an invalid one only changes the look of the bar.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.with_message(self.what).with_elapsed(self.begun.elapsed())
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
