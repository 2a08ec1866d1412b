//! The requests that this process answered last, for `estd explain --request`: what each was, and its
//! outcome. No password is kept, and no value of a CSR that may be one.
//!
//! Anybody can cause rejections. So requests of unauthenticated clients have a ring of their own, as have
//! those without credentials, which a client sends to be challenged. A client of one address that fills
//! a ring evicts its own requests beyond a quarter of it.

use super::{ClientChain, Identity, Peer, authn::Claim, rules::without_secrets};
use crate::{
    pki::Csr,
    types::{Binding, Label, Operation, Origin, RequestId, Serial, Time},
};
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// A request that was answered.
#[derive(Debug)]
pub struct RecordedRequest {
    /// Its id.
    pub id: RequestId,
    /// When it was answered.
    pub at: Time,
    /// The operation.
    pub operation: Operation,
    /// The label.
    pub label: Option<Label>,
    /// The client's address.
    pub address: SocketAddr,
    /// Bits of the key of the session's cipher.
    pub cipher_bits: u16,
    /// The client's certificate chain; its handshake proved possession of the key.
    pub chain: Option<Arc<dyn ClientChain>>,
    /// The account that the client named, and whether its password was wrong.
    pub claim: Option<Claim>,
    /// The CSR and the binding of the connection, both without secrets; none if it was not read.
    pub csr: Option<(Arc<Csr>, Binding)>,
    /// The outcome.
    pub outcome: RecordedOutcome,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedOutcome {
    /// With this certificate.
    Issued(Serial),
    /// With a rejection: its rule, its text, and more than the client learns.
    Rejected {
        /// The code of the rule.
        rule: String,
        /// The text.
        reason: String,
        /// The cause.
        cause: Option<String>,
    },
}

/// The kind of client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    /// It authenticated.
    Known,
    /// It did not.
    Stranger,
    /// It sent no credentials, and was challenged.
    Challenged,
}

/// Bounds of a ring.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    requests: usize,
    bytes: usize,
}

/// Parts of a ring that one origin can fill once it is full.
const SHARE: usize = 4;

/// Memory of a request beside its chain and CSR: structs, strings, its place in the ring.
const OVERHEAD: usize = 1024;

/// Characters of the text of a rejection that are kept.
const LONGEST: usize = 1000;

/// The requests that were answered last, within bounds: 1,000 of clients that authenticated, in 16 MiB;
/// 1,000 of others, in 8 MiB; 500 without credentials, in 1 MiB.
#[derive(Debug)]
pub struct RecentRequests {
    known: Mutex<Ring>,
    strangers: Mutex<Ring>,
    challenged: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    bounds: Bounds,
    entries: VecDeque<RingEntry>,
    bytes: usize,
    /// Requests and bytes of each origin.
    origins: HashMap<Origin, (usize, usize)>,
}

#[derive(Debug)]
struct RingEntry {
    origin: Origin,
    size: usize,
    request: Arc<RecordedRequest>,
}

impl Default for RecentRequests {
    fn default() -> Self {
        let ring = |requests, bytes| Mutex::new(Ring::new(Bounds { requests, bytes }));
        Self {
            known: ring(1000, 16 << 20),
            strangers: ring(1000, 8 << 20),
            challenged: ring(500, 1 << 20),
        }
    }
}

impl RecentRequests {
    /// Finds a request.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<RecordedRequest>> {
        [&self.known, &self.strangers, &self.challenged].iter().find_map(|ring| {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            let found = ring.entries.iter().rev().find(|entry| entry.request.id.as_str() == id);
            found.map(|entry| Arc::clone(&entry.request))
        })
    }

    pub(super) fn push(&self, kind: ClientKind, request: RecordedRequest) {
        let ring = match kind {
            ClientKind::Known => &self.known,
            ClientKind::Stranger => &self.strangers,
            ClientKind::Challenged => &self.challenged,
        };
        let entry = RingEntry {
            origin: Origin::of(request.address.ip()),
            size: request.size(),
            request: Arc::new(request),
        };
        // Evicted requests are freed after the lock.
        let evicted = ring.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        drop(evicted);
    }
}

impl Ring {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: VecDeque::new(), bytes: 0, origins: HashMap::new() }
    }

    /// Adds a request, and returns those that are evicted for it.
    fn push(&mut self, entry: RingEntry) -> Vec<RingEntry> {
        let mut evicted = Vec::new();
        if entry.size > self.bounds.bytes / SHARE {
            return vec![entry];
        }
        while self.entries.len() >= self.bounds.requests
            || self.bytes + entry.size > self.bounds.bytes
        {
            let (requests, bytes) = self.origins.get(&entry.origin).copied().unwrap_or_default();
            let over =
                requests * SHARE >= self.bounds.requests || bytes * SHARE >= self.bounds.bytes;
            let own = || self.entries.iter().position(|other| other.origin == entry.origin);
            let place = if over { own().unwrap_or(0) } else { 0 };
            let Some(oldest) = self.entries.remove(place) else { break };
            self.count(&oldest, |number, by| number.saturating_sub(by));
            evicted.push(oldest);
        }
        self.count(&entry, |number, by| number + by);
        self.entries.push_back(entry);
        evicted
    }

    fn count(&mut self, entry: &RingEntry, change: impl Fn(usize, usize) -> usize) {
        self.bytes = change(self.bytes, entry.size);
        let (requests, bytes) = self.origins.entry(entry.origin).or_default();
        (*requests, *bytes) = (change(*requests, 1), change(*bytes, entry.size));
        if *requests == 0 {
            self.origins.remove(&entry.origin);
        }
    }
}

impl RecordedRequest {
    /// Bytes that it takes in memory, approximately: a validated chain has its bytes and a parsed certificate.
    fn size(&self) -> usize {
        let chain = self.chain.as_ref().map_or(0, |chain| 3 * chain.size());
        let csr = self.csr.as_ref().map_or(0, |(csr, _)| csr.size());
        OVERHEAD + chain + csr
    }

    /// Returns the CSR and the binding of the connection as they are recorded.
    pub(super) fn csr_of(csr: Option<&Arc<Csr>>, peer: &Peer) -> Option<(Arc<Csr>, Binding)> {
        csr.and_then(|csr| without_secrets(csr, &peer.binding))
    }
}

impl RecordedOutcome {
    pub(super) fn rejected(rule: String, reason: String, cause: Option<&str>) -> Self {
        let cut = |text: String| match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
            None => text,
        };
        Self::Rejected { rule, reason: cut(reason), cause: cause.map(str::to_owned) }
    }
}

impl ClientKind {
    pub(super) const fn of(identity: Option<&Identity>, is_challenge: bool) -> Self {
        match identity {
            Some(_) => Self::Known,
            None if is_challenge => Self::Challenged,
            None => Self::Stranger,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: u32, address: [u8; 4]) -> RecordedRequest {
        RecordedRequest {
            id: RequestId::new(u64::from(number).to_be_bytes()),
            at: Time::from_unix(1_795_262_400),
            operation: Operation::SimpleEnroll,
            label: None,
            address: (address, 1).into(),
            cipher_bits: 256,
            chain: None,
            claim: None,
            csr: None,
            outcome: RecordedOutcome::rejected("a.b".to_owned(), "x".repeat(5000), None),
        }
    }

    fn id(number: u32) -> String {
        format!("{number:016x}")
    }

    #[test]
    fn strangers_evict_no_request_of_others() {
        let recent = RecentRequests::default();
        recent.push(ClientKind::Known, request(1, [192, 0, 2, 1]));
        recent.push(ClientKind::Challenged, request(2, [192, 0, 2, 1]));
        for number in 10..100_010_u32 {
            let address = number.to_be_bytes();
            recent.push(ClientKind::Stranger, request(number, address));
        }
        assert!(recent.find(&id(1)).is_some() && recent.find(&id(2)).is_some());
        assert!(recent.find(&id(99_009)).is_none() && recent.find(&id(99_010)).is_some());
        let ring = recent.strangers.lock().unwrap();
        assert_eq!((ring.entries.len(), ring.origins.len()), (1000, 1000));
    }

    #[test]
    fn one_address_fills_a_quarter_of_a_full_ring() {
        let recent = RecentRequests::default();
        for number in 0..1000_u32 {
            recent.push(ClientKind::Stranger, request(number, number.to_be_bytes()));
        }
        for number in 10_000..20_000 {
            recent.push(ClientKind::Stranger, request(number, [203, 0, 113, 7]));
        }
        let known = |range: std::ops::Range<u32>| {
            range.filter(|number| recent.find(&id(*number)).is_some()).count()
        };
        assert_eq!((known(0..1000), known(10_000..20_000)), (750, 250));
        assert!(recent.find(&id(19_999)).is_some());
    }

    #[test]
    fn memory_has_an_end() {
        let mut ring = Ring::new(Bounds { requests: 1000, bytes: 100_000 });
        let entry = |number: u32, size| RingEntry {
            origin: Origin::of(number.to_be_bytes().into()),
            size,
            request: Arc::new(request(number, number.to_be_bytes())),
        };
        assert_eq!(ring.push(entry(1, 25_001)).len(), 1, "no request is a quarter of all");
        for number in 0..500 {
            ring.push(entry(number, 20_000));
            assert!(ring.bytes <= 100_000);
        }
        assert_eq!((ring.entries.len(), ring.bytes, ring.origins.len()), (5, 100_000, 5));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let RecordedOutcome::Rejected { reason, .. } = request(1, [0; 4]).outcome else {
            panic!("rejected")
        };
        assert_eq!(reason.len(), 1003);
    }
}
