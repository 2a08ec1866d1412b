//! What a connection waits for, and since when.
//!
//! Seen here, where octets and requests pass; judged by the server, which ends a connection that
//! waits too long, and when it has no place left, the one that waited longest.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// What a connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its TLS handshake is not finished.
    Handshake,
    /// Nothing of a request has come yet, or the last one is answered.
    Idle,
    /// A part of a request's header has come.
    Header,
    /// A request waits for its body.
    Body,
    /// A request is worked on: it waits for us, not for its client.
    Request,
}

/// The phase of a connection and when it began, in milliseconds after `start`. One word, so that
/// whoever looks over all connections disturbs none of them.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    word: AtomicU64,
}

/// Bits of the word that hold the phase.
const BITS: u32 = 3;

impl Progress {
    /// A connection that begins its handshake `now`. `start` is no later moment, for all of them.
    #[must_use]
    pub fn new(start: Instant, now: Instant) -> Self {
        let progress = Self { start, word: AtomicU64::new(0) };
        progress.at(Phase::Handshake, now);
        progress
    }

    /// A phase begins `now`.
    pub fn at(&self, phase: Phase, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX >> BITS);
        let phase = match phase {
            Phase::Handshake => 0,
            Phase::Idle => 1,
            Phase::Header => 2,
            Phase::Body => 3,
            Phase::Request => 4,
        };
        self.word.store(since << BITS | phase, Ordering::Relaxed);
    }

    pub(super) fn begins(&self, phase: Phase) {
        self.at(phase, Instant::now());
    }

    /// The phase, and when it began.
    #[must_use]
    pub fn seen(&self) -> (Phase, Instant) {
        let word = self.word.load(Ordering::Relaxed);
        let phase = match word & ((1 << BITS) - 1) {
            0 => Phase::Handshake,
            1 => Phase::Idle,
            2 => Phase::Header,
            3 => Phase::Body,
            _ => Phase::Request,
        };
        (phase, self.start + Duration::from_millis(word >> BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_and_its_moment_come_back() {
        let start = Instant::now();
        let progress = Progress::new(start, start);
        assert_eq!(progress.seen(), (Phase::Handshake, start));
        for (after, phase) in
            [Phase::Idle, Phase::Header, Phase::Body, Phase::Request].into_iter().enumerate()
        {
            let now = start + Duration::from_secs(after as u64 * 100_000);
            progress.at(phase, now);
            assert_eq!(progress.seen(), (phase, now));
        }
    }
}
