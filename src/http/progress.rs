//! The phase of a connection, and when it began.
//!
//! The server ends a connection that waits too long. When it has no place left, it closes the
//! connection that has waited longest.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its TLS handshake is not finished.
    Handshake,
    /// No byte of a request was received yet, or the last one is answered.
    Idle,
    /// A part of a request's header was received.
    Header,
    /// A request waits for its body.
    Body,
    /// A request is being handled: it waits for the server, not for its client.
    Request,
}

/// The phase of a connection and when it began, in milliseconds after `start`. One atomic integer,
/// so that a scan of all connections locks none of them.
#[derive(Debug)]
pub struct ConnectionProgress {
    start: Instant,
    word: AtomicU64,
}

/// Bits of the integer that contain the phase.
const BITS: u32 = 3;

impl ConnectionProgress {
    /// A connection that begins its handshake `now`. `start` is not later, and the same for all.
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

/// The concurrent requests of an HTTP/2 connection. It waits for the server while a request does;
/// otherwise for a body while a request does; otherwise for its client. Half a header is no request
/// yet.
#[derive(Debug)]
pub struct Streams {
    progress: Arc<ConnectionProgress>,
    counts: Mutex<StreamCounts>,
}

#[derive(Debug, Default)]
struct StreamCounts {
    bodies: usize,
    requests: usize,
}

impl StreamCounts {
    const fn phase(&self) -> Phase {
        match self {
            Self { requests: 1.., .. } => Phase::Request,
            Self { bodies: 1.., .. } => Phase::Body,
            _ => Phase::Idle,
        }
    }

    const fn of(&mut self, phase: Phase) -> Option<&mut usize> {
        match phase {
            Phase::Request => Some(&mut self.requests),
            Phase::Body => Some(&mut self.bodies),
            Phase::Handshake | Phase::Idle | Phase::Header => None,
        }
    }
}

impl Streams {
    /// A connection without requests.
    #[must_use]
    pub fn new(progress: Arc<ConnectionProgress>) -> Arc<Self> {
        progress.begins(Phase::Idle);
        Arc::new(Self { progress, counts: Mutex::default() })
    }

    fn changes(&self, from: Phase, to: Phase) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = counts.phase();
        if let Some(count) = counts.of(from) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = counts.of(to) {
            *count += 1;
        }
        let now = counts.phase();
        if now != before {
            // Under the lock, so that the last report is the current phase.
            self.progress.begins(now);
        }
    }
}

/// One request of a connection of HTTP/2. It ends when dropped, also if its client cancels it.
#[derive(Debug)]
pub struct WatchedStream {
    streams: Arc<Streams>,
    phase: Mutex<Phase>,
}

impl WatchedStream {
    /// A request whose header was received.
    #[must_use]
    pub fn new(streams: &Arc<Streams>) -> Self {
        streams.changes(Phase::Idle, Phase::Request);
        Self { streams: Arc::clone(streams), phase: Mutex::new(Phase::Request) }
    }

    pub(super) fn begins(&self, phase: Phase) {
        let mut own = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        self.streams.changes(*own, phase);
        *own = phase;
    }
}

impl Drop for WatchedStream {
    fn drop(&mut self) {
        self.begins(Phase::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_and_its_time_are_read_back() {
        let start = Instant::now();
        let progress = ConnectionProgress::new(start, start);
        assert_eq!(progress.seen(), (Phase::Handshake, start));
        for (after, phase) in
            [Phase::Idle, Phase::Header, Phase::Body, Phase::Request].into_iter().enumerate()
        {
            let now = start + Duration::from_secs(after as u64 * 100_000);
            progress.at(phase, now);
            assert_eq!(progress.seen(), (phase, now));
        }
    }

    #[test]
    fn a_connection_with_many_requests_waits_for_the_remaining_ones() {
        let now = Instant::now();
        let progress = Arc::new(ConnectionProgress::new(now, now));
        let streams = Streams::new(Arc::clone(&progress));
        let phase = || progress.seen().0;
        assert_eq!(phase(), Phase::Idle);
        let (one, two) = (WatchedStream::new(&streams), WatchedStream::new(&streams));
        assert_eq!(phase(), Phase::Request);
        one.begins(Phase::Body);
        assert_eq!(phase(), Phase::Request);
        two.begins(Phase::Body);
        assert_eq!(phase(), Phase::Body);
        two.begins(Phase::Request);
        two.begins(Phase::Idle);
        assert_eq!(phase(), Phase::Body);
        drop(two);
        assert_eq!(phase(), Phase::Body);
        drop(one);
        assert_eq!(phase(), Phase::Idle);
    }
}
