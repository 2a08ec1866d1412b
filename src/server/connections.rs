//! The connections of all listeners: how many there may be, from where, and how long each may wait.
//!
//! Every accepted connection gets a place. When none is left, the connections that have waited longest
//! for their client are closed: an unfinished handshake, an idle connection, half a header or body. A
//! good client is among the youngest of these, so many stuck ones cannot keep it out. A connection
//! whose request is being handled is never closed.

use super::throttle::Throttle;
use crate::{
    http::progress::{ConnectionProgress, Phase},
    types::Origin,
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Time to wait for a place before more connections are ended.
const PATIENCE: Duration = Duration::from_millis(100);

/// The part of all places that is freed at once: the search visits every connection.
const SHARE: usize = 64;

/// How long a connection may wait for its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From its beginning to the end of the handshake.
    pub(super) handshake: Duration,
    /// For the first byte of a request, and for its client to read the response.
    pub(super) idle: Duration,
    /// From the first to the last byte of a header.
    pub(super) header: Duration,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It waited for its client longer than this phase may last.
    Late(Phase),
    /// Others need its place.
    Displaced(Phase),
}

impl End {
    /// Returns whether closing it loses no request.
    pub(super) const fn was_idle(self) -> bool {
        matches!(self, Self::Late(Phase::Idle) | Self::Displaced(Phase::Idle))
    }
}

/// The connections of all listeners.
#[derive(Debug)]
pub(super) struct Connections {
    start: Instant,
    places: Arc<Semaphore>,
    room: usize,
    table: Mutex<ConnectionTable>,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    next: u64,
    open: HashMap<u64, Arc<ConnectionEntry>>,
    origins: HashMap<Origin, usize>,
    rejected: Throttle,
    displaced: Throttle,
}

#[derive(Debug)]
struct ConnectionEntry {
    progress: Arc<ConnectionProgress>,
    end: OnceLock<End>,
    ended: Notify,
}

impl ConnectionEntry {
    /// Requests its end. Returns false if that was done before.
    fn end(&self, why: End) -> bool {
        let first = self.end.set(why).is_ok();
        if first {
            self.ended.notify_one();
        }
        first
    }
}

/// A connection. Releases its place when dropped.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    connections: Arc<Connections>,
    number: u64,
    origin: Origin,
    entry: Arc<ConnectionEntry>,
    place: Option<OwnedSemaphorePermit>,
}

impl Connections {
    /// Creates the table for this number of connections.
    pub(super) fn new(room: usize, now: Instant) -> Self {
        Self { start: now, places: Arc::new(Semaphore::new(room)), room, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, ConnectionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of open connections.
    pub(super) fn open(&self) -> usize {
        self.table().open.len()
    }

    /// The number of free places.
    pub(super) const fn room(&self) -> usize {
        self.room
    }

    /// Counts a connection. Returns `None` if its origin has `most` already.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        most: usize,
        now: Instant,
    ) -> Option<ConnectionGuard> {
        let origin = Origin::of(address);
        let mut table = self.table();
        let count = table.origins.entry(origin).or_default();
        if *count >= most {
            if let Some(rejected) = table.rejected.count(1, now) {
                tracing::warn!(
                    "rejected {rejected} connections: {address} has {most}, which is max_connections_per_address"
                );
            }
            return None;
        }
        *count += 1;
        let number = table.next;
        table.next += 1;
        drop(table);
        let entry = Arc::new(ConnectionEntry {
            progress: Arc::new(ConnectionProgress::new(self.start, now)),
            end: OnceLock::new(),
            ended: Notify::new(),
        });
        Some(ConnectionGuard { connections: Arc::clone(self), number, origin, entry, place: None })
    }

    /// Ends the connections that wait longer than `limits`, and logs the counts not logged yet.
    pub(super) fn end_late(&self, limits: Limits, now: Instant) {
        let mut table = self.table();
        for entry in table.open.values() {
            let (phase, since) = entry.progress.seen();
            let limit = match phase {
                Phase::Handshake => limits.handshake,
                Phase::Idle => limits.idle,
                Phase::Header => limits.header,
                // The reader of the body bounds its time, and answers.
                Phase::Body | Phase::Request => continue,
            };
            if now.saturating_duration_since(since) >= limit {
                entry.end(End::Late(phase));
            }
        }
        if let Some(rejected) = table.rejected.count(0, now) {
            tracing::warn!("rejected {rejected} more connections by max_connections_per_address");
        }
        if let Some(displaced) = table.displaced.count(0, now) {
            tracing::warn!(
                "ended {displaced} more connections that waited for their clients, to free places"
            );
        }
    }

    /// Ends the connections that have waited longest for their client. Returns their number.
    pub(super) fn make_room(&self, now: Instant) -> usize {
        let mut table = self.table();
        let mut waiting: Vec<_> = table
            .open
            .values()
            .filter(|entry| entry.end.get().is_none())
            .map(|entry| (entry.progress.seen(), entry))
            .filter(|((phase, _), _)| *phase != Phase::Request)
            .collect();
        let wanted = self.room.div_ceil(SHARE).min(waiting.len());
        if wanted == 0 {
            return 0;
        }
        if wanted < waiting.len() {
            waiting.select_nth_unstable_by_key(wanted, |((_, since), _)| *since);
        }
        let ended = waiting
            .iter()
            .take(wanted)
            .filter(|((phase, _), entry)| entry.end(End::Displaced(*phase)))
            .count();
        if let Some(displaced) = table.displaced.count(ended, now) {
            tracing::warn!(
                "all {} places are taken: ended {displaced} connections that waited longest for their clients; remedy: raise max_connections",
                self.room
            );
        }
        ended
    }

    fn leave(&self, number: u64, origin: Origin) {
        let mut table = self.table();
        table.open.remove(&number);
        if let Some(count) = table.origins.get_mut(&origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                table.origins.remove(&origin);
            }
        }
    }
}

impl ConnectionGuard {
    /// Waits for a place. Ends other connections if none is free.
    pub(super) async fn take_place(&mut self) {
        let places = &self.connections.places;
        self.place = Arc::clone(places).try_acquire_owned().ok();
        while self.place.is_none() {
            self.connections.make_room(Instant::now());
            let next = Arc::clone(places).acquire_owned();
            // The semaphore is never closed.
            self.place = tokio::time::timeout(PATIENCE, next).await.ok().and_then(Result::ok);
        }
        self.begin(Instant::now());
    }

    /// Starts its time, and adds it to the table. A connection without a place is not in the table: it would
    /// be ended for itself while all others are being handled.
    fn begin(&self, now: Instant) {
        self.progress().at(Phase::Handshake, now);
        self.connections.table().open.insert(self.number, Arc::clone(&self.entry));
    }

    /// Returns its phase.
    pub(super) fn progress(&self) -> &Arc<ConnectionProgress> {
        &self.entry.progress
    }

    /// Waits until the server ends it, and returns why.
    pub(super) async fn ended(&self) -> End {
        loop {
            if let Some(end) = self.entry.end.get() {
                return *end;
            }
            self.entry.ended.notified().await;
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.leave(self.number, self.origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { handshake: 10 * SECOND, idle: 60 * SECOND, header: 30 * SECOND }
    }

    fn ended(connection: &ConnectionGuard) -> Option<End> {
        connection.entry.end.get().copied()
    }

    #[test]
    fn an_origin_is_an_ipv4_address_or_an_ipv6_prefix() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }

    #[test]
    fn an_origin_has_a_limit_and_regains_places_when_connections_end() {
        let now = Instant::now();
        let connections = Arc::new(Connections::new(10, now));
        let enter = |text: &str| connections.enter(text.parse().unwrap(), 2, now);
        let (first, second) = (enter("192.0.2.1").unwrap(), enter("192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_none());
        let other = enter("192.0.2.2").unwrap();
        drop(first);
        let third = enter("192.0.2.1").unwrap();
        assert!(enter("::ffff:192.0.2.1").is_none());
        drop((second, third, other));
        let table = connections.table();
        assert!(table.open.is_empty() && table.origins.is_empty(), "{table:?}");
    }

    #[test]
    fn each_phase_has_its_limit_and_a_request_none() {
        let now = Instant::now();
        let connections = Arc::new(Connections::new(10, now));
        let all: Vec<_> =
            [Phase::Handshake, Phase::Idle, Phase::Header, Phase::Body, Phase::Request]
                .into_iter()
                .map(|phase| {
                    let connection = connections.enter([192, 0, 2, 1].into(), 10, now).unwrap();
                    connection.begin(now);
                    connection.progress().at(phase, now);
                    (phase, connection)
                })
                .collect();
        let late = |after: Duration| {
            connections.end_late(limits(), now + after);
            all.iter()
                .filter(|(_, one)| ended(one).is_some())
                .map(|(phase, _)| *phase)
                .collect::<Vec<_>>()
        };
        assert_eq!(late(10 * SECOND - Duration::from_millis(1)), []);
        assert_eq!(late(10 * SECOND), [Phase::Handshake]);
        assert_eq!(late(30 * SECOND), [Phase::Handshake, Phase::Header]);
        let most = [Phase::Handshake, Phase::Idle, Phase::Header];
        assert_eq!(late(60 * SECOND), most);
        assert_eq!(late(100_000 * SECOND), most);
        for (phase, connection) in &all {
            let expected = most.contains(phase).then_some(End::Late(*phase));
            assert_eq!(ended(connection), expected);
        }
    }

    #[test]
    fn those_that_waited_longest_are_ended_and_no_request_is() {
        let now = Instant::now();
        let connections = Arc::new(Connections::new(128, now));
        let enter = |phase, after| {
            let connection = connections.enter([192, 0, 2, 1].into(), 1000, now).unwrap();
            connection.begin(now);
            connection.progress().at(phase, now + after);
            connection
        };
        let works = enter(Phase::Request, Duration::ZERO);
        let (idle, header) = (enter(Phase::Idle, 2 * SECOND), enter(Phase::Header, 3 * SECOND));
        let (hello, body) = (enter(Phase::Handshake, SECOND), enter(Phase::Body, 4 * SECOND));
        let young: Vec<_> = (0..100).map(|_| enter(Phase::Handshake, 9 * SECOND)).collect();
        assert_eq!(connections.make_room(now + 9 * SECOND), 2, "a part of 128");
        assert_eq!(ended(&hello), Some(End::Displaced(Phase::Handshake)));
        assert_eq!(ended(&idle), Some(End::Displaced(Phase::Idle)));
        assert_eq!((ended(&header), ended(&body)), (None, None));
        assert_eq!(connections.make_room(now + 9 * SECOND), 2, "others than before");
        assert_eq!(ended(&header), Some(End::Displaced(Phase::Header)));
        assert_eq!(ended(&body), Some(End::Displaced(Phase::Body)));
        while connections.make_room(now + 9 * SECOND) > 0 {}
        assert!(young.iter().all(|one| ended(one).is_some()));
        assert_eq!(ended(&works), None);
    }

    #[tokio::test]
    async fn a_newcomer_gets_the_place_of_one_that_waits() {
        let now = Instant::now();
        let connections = Arc::new(Connections::new(1, now));
        let enter = || connections.enter([192, 0, 2, 1].into(), 10, Instant::now()).unwrap();
        let mut stuck = enter();
        stuck.take_place().await;
        let holder = tokio::spawn(async move { stuck.ended().await });
        let mut new = enter();
        new.take_place().await;
        assert_eq!(holder.await.unwrap(), End::Displaced(Phase::Handshake));
        assert_eq!(connections.places.available_permits(), 0);
        // Only the newcomer itself waits: it is not ended for its own sake.
        new.progress().at(Phase::Request, now);
        let mut third = enter();
        let begun = tokio::time::timeout(PATIENCE * 3, third.take_place()).await;
        assert!(begun.is_err() && ended(&third).is_none() && ended(&new).is_none());
        drop(new);
        third.take_place().await;
        assert_eq!(connections.places.available_permits(), 0);
        drop(third);
        assert_eq!(connections.places.available_permits(), 1);
    }
}
