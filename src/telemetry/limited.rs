//! A trail in front of another one: limits events about strangers and passes all others at once.

use super::{
    audit::{Event, EventId, LeftOut, Trail},
    strangers::{RULES, Strangers, bounded},
};
use crate::{clock::Clock, types::Origin};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Passes events on to another [`Trail`]. Limits rejections of unauthenticated clients, and sums up
/// the rest.
///
/// Call [`LimitedTrail::summarize`] every few seconds, and [`LimitedTrail::finish`] at the end.
pub struct LimitedTrail {
    inner: Arc<dyn Trail>,
    clock: Arc<dyn Clock>,
    strangers: Mutex<Strangers>,
    /// Whether a challenge may be held. If not, an authentication needs no lookup.
    holds: AtomicBool,
}

impl LimitedTrail {
    /// Limits what `inner` receives.
    #[must_use]
    pub fn new(inner: Arc<dyn Trail>, clock: Arc<dyn Clock>) -> Self {
        let strangers = Mutex::new(Strangers::new(RULES));
        Self { inner, clock, strangers, holds: AtomicBool::new(false) }
    }

    /// Writes the summaries of a window that is over.
    pub fn summarize(&self) {
        let now = self.clock.now();
        let due = self.with(|strangers| strangers.due(now));
        self.pass(&due);
    }

    /// Writes the summaries of the window that is not over yet.
    pub fn finish(&self) {
        let now = self.clock.now();
        let rest = self.with(|strangers| strangers.end(now));
        self.pass(&rest);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Strangers) -> T) -> T {
        let mut strangers: MutexGuard<'_, Strangers> =
            self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut strangers);
        self.holds.store(strangers.is_counting(), Ordering::Relaxed);
        done
    }

    fn pass(&self, events: &[Event]) {
        for event in events {
            self.inner.publish(None, event);
        }
    }
}

impl Trail for LimitedTrail {
    fn publish(&self, id: Option<EventId>, event: &Event) {
        let Some(stranger) = event.stranger.filter(|_| id.is_none()) else {
            return self.inner.publish(id, event);
        };
        let (due, admitted) = self.with(|strangers| {
            let due = strangers.due(event.at);
            (due, strangers.admit(stranger.origin, stranger.challenge, event))
        });
        self.pass(&due);
        if admitted {
            self.inner.publish(None, bounded(event).as_ref().unwrap_or(event));
        }
    }

    fn authenticated(&self, origin: Origin) {
        if self.holds.load(Ordering::Relaxed) {
            self.with(|strangers| strangers.authenticated(origin));
        }
    }

    fn left_out(&self) -> LeftOut {
        let own = self.with(|strangers| strangers.left_out());
        LeftOut { lost: self.inner.left_out().lost, ..own }
    }
}
