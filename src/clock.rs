//! Time is passed in, so that a test can set it.

use crate::types::Time;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Returns the time.
pub trait Clock: Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Time {
        std::time::SystemTime::now().into()
    }
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct SetClock(AtomicU64);

impl SetClock {
    /// Starts at `now`.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self(AtomicU64::new(now.unix()))
    }

    /// Sets the time.
    pub fn set(&self, now: Time) {
        self.0.store(now.unix(), Ordering::SeqCst);
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time::from_unix(self.0.load(Ordering::SeqCst))
    }
}
