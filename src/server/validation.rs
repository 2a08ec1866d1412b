//! The chain of a client, validated when a request first needs it: once for a connection and a set of
//! anchors. A chain with intermediate certificates is validated on its own thread. The number of
//! these threads is bounded, and one address may use half of them.

use super::trust::{Chain, Databases};
use crate::{
    ra::{ClientCertificate, ClientChain, Verdict},
    types::{Origin, Time},
};
use rustls::pki_types::CertificateDer;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Validations of client certificates since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validations {
    /// Chains that were validated.
    pub chains: u64,
    /// Signatures that were verified for them.
    pub signatures: u64,
}

/// The places for validations.
#[derive(Debug)]
pub(super) struct Judges {
    places: Arc<Semaphore>,
    /// Places of one origin.
    share: usize,
    /// For each origin with a validation: its places, and the number of holders and waiters.
    origins: Mutex<HashMap<Origin, (Arc<Semaphore>, usize)>>,
    chains: AtomicU64,
    signatures: AtomicU64,
}

/// A validation's places. They are released with it.
#[derive(Debug)]
struct Turn {
    judges: Arc<Judges>,
    origin: Origin,
    of_origin: Arc<Semaphore>,
    taken: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Judges {
    /// As many places as there are cores, and two at least: half of them for one origin.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_places(cores.max(2))
    }

    fn with_places(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            share: places / 2,
            origins: Mutex::default(),
            chains: AtomicU64::default(),
            signatures: AtomicU64::default(),
        }
    }

    /// Returns the number of validations so far.
    pub(super) fn validations(&self) -> Validations {
        Validations {
            chains: self.chains.load(Ordering::Relaxed),
            signatures: self.signatures.load(Ordering::Relaxed),
        }
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<Origin, (Arc<Semaphore>, usize)>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a validation.
    fn turn(self: &Arc<Self>, origin: Origin) -> Turn {
        let mut origins = self.origins();
        let (place, number) =
            origins.entry(origin).or_insert_with(|| (Arc::new(Semaphore::new(self.share)), 0));
        *number += 1;
        let of_origin = Arc::clone(place);
        drop(origins);
        Turn { judges: Arc::clone(self), origin, of_origin, taken: None }
    }
}

impl Turn {
    /// Takes both places if they are free.
    fn take_now(&mut self) -> bool {
        self.taken = Arc::clone(&self.of_origin)
            .try_acquire_owned()
            .ok()
            .zip(Arc::clone(&self.judges.places).try_acquire_owned().ok());
        self.taken.is_some()
    }

    /// Waits for both places.
    async fn take(&mut self) {
        // The semaphores are never closed.
        let Ok(of_origin) = Arc::clone(&self.of_origin).acquire_owned().await else { return };
        let Ok(place) = Arc::clone(&self.judges.places).acquire_owned().await else { return };
        self.taken = Some((of_origin, place));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.taken = None;
        let mut origins = self.judges.origins();
        if let Some((_, number)) = origins.get_mut(&self.origin) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                origins.remove(&self.origin);
            }
        }
    }
}

/// The anchors in force: a reload may replace them.
pub(super) trait InForce: Send + Sync + 'static {
    /// Returns the anchors.
    fn databases(&self) -> Arc<Databases>;
    /// Returns the time.
    fn now(&self) -> Time;
}

/// The chain that a client presented in its handshake.
pub(super) struct LazyChain<L> {
    chain: Arc<Chain>,
    origin: Origin,
    live: Arc<L>,
    judges: Arc<Judges>,
    /// The last validation that was started.
    last: Mutex<Option<Validation>>,
}

/// A validation by one set of anchors.
#[derive(Clone)]
struct Validation {
    by: Arc<Databases>,
    outcome: watch::Receiver<Option<Arc<ClientCertificate>>>,
}

impl<L: InForce> LazyChain<L> {
    /// Stores a chain for a later validation. `None` if the client presented nothing.
    pub(super) fn keep(
        certificates: &[CertificateDer<'static>],
        origin: Origin,
        live: &Arc<L>,
        judges: &Arc<Judges>,
    ) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            chain: Arc::new(Chain::new(certificates)?),
            origin,
            live: Arc::clone(live),
            judges: Arc::clone(judges),
            last: Mutex::default(),
        }))
    }

    /// Returns the validation by the current anchors: a reload may have changed them since the last
    /// request. Begins it if this is the first request that needs it.
    fn validation(&self) -> Validation {
        let databases = self.live.databases();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(validation) if Arc::ptr_eq(&validation.by, &databases) => validation.clone(),
            _ => last.insert(self.begin(databases)).clone(),
        }
    }

    /// Begins a validation. It continues if the request is canceled: a client that resets its requests
    /// must not have its chain validated for each. It is skipped if the connection has ended before its
    /// turn.
    fn begin(&self, by: Arc<Databases>) -> Validation {
        let (sender, outcome) = watch::channel(None);
        let (databases, chain) = (Arc::clone(&by), Arc::clone(&self.chain));
        let now = self.live.now();
        let judges = Arc::clone(&self.judges);
        let work = move || {
            if sender.is_closed() {
                return;
            }
            let judgment = databases.judge(&chain, now);
            judges.chains.fetch_add(1, Ordering::Relaxed);
            let signatures = u64::try_from(judgment.signatures).unwrap_or(u64::MAX);
            judges.signatures.fetch_add(signatures, Ordering::Relaxed);
            // All receivers may have been dropped.
            let _ = sender.send(Some(Arc::new(judgment.certificate)));
        };
        if self.chain.intermediates().is_empty() {
            // A signature for each anchor of its issuer's name: no more than the handshake cost, which
            // this thread did too. Moving it to another thread would double its cost.
            work();
            return Validation { by, outcome };
        }
        let mut turn = self.judges.turn(self.origin);
        if turn.take_now() {
            tokio::task::spawn_blocking(move || {
                work();
                drop(turn);
            });
        } else {
            tokio::spawn(async move {
                turn.take().await;
                tokio::task::spawn_blocking(move || {
                    work();
                    drop(turn);
                });
            });
        }
        Validation { by, outcome }
    }
}

#[async_trait::async_trait]
impl<L: InForce> ClientChain for LazyChain<L> {
    fn validated(&self) -> Option<Arc<ClientCertificate>> {
        let databases = self.live.databases();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let over = last.as_ref().filter(|validation| Arc::ptr_eq(&validation.by, &databases))?;
        over.outcome.borrow().clone()
    }

    async fn validate(&self) -> Arc<ClientCertificate> {
        let mut outcome = self.validation().outcome;
        if let Ok(known) = outcome.wait_for(Option::is_some).await
            && let Some(certificate) = &*known
        {
            return Arc::clone(certificate);
        }
        // The thread has failed.
        let verdict = Verdict::Untrusted("one that could not be validated".to_owned());
        Arc::new(ClientCertificate { certificate: None, verdict })
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        self.chain.certificates().map(<[u8]>::to_vec).collect()
    }

    fn size(&self) -> usize {
        self.chain.certificates().map(<[u8]>::len).sum()
    }
}

impl<L> fmt::Debug for LazyChain<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyChain").field("chain", &self.chain).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::trust::made::{NOW, Party},
        *,
    };
    use crate::ra::RevocationStatus;
    use std::{pin::pin, task::Poll};

    /// Anchors that a test exchanges.
    struct Anchors(Mutex<Arc<Databases>>);

    impl InForce for Anchors {
        fn databases(&self) -> Arc<Databases> {
            Arc::clone(&self.0.lock().unwrap())
        }

        fn now(&self) -> Time {
            NOW
        }
    }

    fn origin(last: u8) -> Origin {
        Origin::of([192, 0, 2, last].into())
    }

    async fn is_ready<T>(future: impl Future<Output = T>) -> bool {
        let mut future = pin!(future);
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn one_origin_has_half_of_the_places() {
        let judges = Arc::new(Judges::with_places(4));
        let [mut first, mut second, mut third] = [1, 1, 1].map(|_| judges.turn(origin(1)));
        assert!(first.take_now() && second.take_now() && !third.take_now());
        let [mut others, mut more, mut last] = [2, 2, 3].map(|number| judges.turn(origin(number)));
        assert!(others.take_now() && more.take_now() && !last.take_now());
        drop(others);
        assert!(!is_ready(third.take()).await, "its origin still has its share");
        assert!(last.take_now());
        drop(first);
        assert!(is_ready(third.take()).await);
        drop((second, third, more, last));
        assert!(judges.origins().is_empty());
        assert_eq!(judges.places.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_chain_is_validated_and_parsed_once_also_if_its_requests_are_canceled() {
        let (root, ca) = (Party::new("CN=Root"), Party::new("CN=CA"));
        let device = Party::new("CN=device");
        let of_root = root.certify_ca(&root);
        let maker = "maker".parse().unwrap();
        let trusting = |anchors: &[&[u8]]| {
            let manufacturers = anchors.iter().map(|anchor| (&maker, *anchor));
            Arc::new(Databases::new([], manufacturers).unwrap())
        };
        let live = Arc::new(Anchors(Mutex::new(trusting(&[&of_root]))));
        let judges = Arc::new(Judges::with_places(2));
        let chain = [ca.certify_device(&device), root.certify_ca(&ca)];
        let presented = LazyChain::keep(&chain, origin(1), &live, &judges).unwrap();
        let validated = |chains, signatures| {
            assert_eq!(judges.validations(), Validations { chains, signatures });
        };
        // A place is released shortly after the outcome is known.
        let idle = async || {
            while !judges.origins().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        validated(0, 0);
        let mut busy = judges.turn(origin(1));
        assert!(busy.take_now());
        for _ in 0..100 {
            assert!(presented.validated().is_none());
            assert!(!is_ready(presented.validate()).await, "begun, and canceled");
        }
        assert_eq!(judges.origins().get(&origin(1)).unwrap().1, 2, "it waits once");
        drop(busy);
        let certificate = presented.validate().await;
        let trusted =
            Verdict::Manufacturers(vec![("maker".parse().unwrap(), RevocationStatus::Unchecked)]);
        assert_eq!(certificate.verdict, trusted);
        assert!(certificate.certificate.is_some(), "parsed with it, once for all requests");
        for _ in 0..100 {
            assert!(Arc::ptr_eq(&presented.validate().await, &certificate));
        }
        validated(1, 2);

        // Other anchors: validated again. The same as before, in another reload: that is not
        // compared.
        *live.0.lock().unwrap() = trusting(&[]);
        let verdict = &presented.validate().await.verdict;
        assert_eq!(*verdict, Verdict::Untrusted("one of an unknown issuer".to_owned()));
        validated(2, 2);
        *live.0.lock().unwrap() = trusting(&[&of_root]);
        assert_eq!(presented.validate().await.verdict, trusted);
        validated(3, 4);

        // Of a connection that ends before its turn, nothing is validated.
        idle().await;
        let presented = LazyChain::keep(&chain, origin(1), &live, &judges).unwrap();
        let mut busy = judges.turn(origin(1));
        assert!(busy.take_now());
        assert!(!is_ready(presented.validate()).await);
        drop(presented);
        drop(busy);
        idle().await;
        validated(3, 4);

        // A certificate alone waits for no place.
        let chain = [root.certify_device(&device)];
        let presented = LazyChain::keep(&chain, origin(1), &live, &judges).unwrap();
        let mut busy = [judges.turn(origin(1)), judges.turn(origin(2))];
        assert!(busy.iter_mut().all(Turn::take_now));
        assert!(is_ready(presented.validate()).await);
        validated(4, 5);
    }
}
