//! The first use of a renewed certificate: from then on, its predecessor is not needed (D-35).

use crate::{
    ca,
    policy::Superseding,
    store::{Issuance, Store},
    types::{RequestId, Serial, Time},
};
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// Certificates that are remembered at most: some 2 MB.
const MOST: usize = 16_384;

/// The certificates whose predecessors need no further look at the store. A revocation is final, so an
/// entry stays right.
#[derive(Debug, Default)]
pub(super) struct Successions(Mutex<HashSet<Serial>>);

impl Successions {
    /// Revokes the predecessor of a certificate of this server that a client has just used. Does
    /// nothing within the retry window: a retry shows the predecessor.
    ///
    /// An error of the store is logged: the next use tries again, and so does the sweep.
    pub(super) async fn use_of(
        &self,
        store: &dyn Store,
        superseding: &Superseding,
        used: &Issuance,
        request_id: Option<&RequestId>,
        now: Time,
    ) {
        let intent = &used.intent;
        if !self.needs(superseding, used, now) {
            return;
        }
        let cause = "its successor is in use";
        match ca::supersede(store, intent, cause, request_id.cloned(), now).await {
            Ok(_) => self.remember(intent.serial.clone()),
            Err(error) => tracing::warn!(
                "the predecessor of certificate {} is not revoked yet: {error}",
                intent.serial
            ),
        }
    }

    /// Whether the store must be asked about the predecessor of this certificate.
    fn needs(&self, superseding: &Superseding, used: &Issuance, now: Time) -> bool {
        let intent = &used.intent;
        intent.predecessor.is_some()
            && superseding.contains_key(&intent.label)
            && now >= intent.retry_until
            && !self.has(&intent.serial)
    }

    fn has(&self, serial: &Serial) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(serial)
    }

    fn remember(&self, serial: Serial) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            // Each costs one more look at the store.
            known.clear();
        }
        known.insert(serial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{Conditions, IdempotencyKey, Intent, Issuances, MemoryStore, State},
        telemetry::audit::{Event, Name, NoTrail},
        types::{Actor, RevocationReason},
    };
    use std::{sync::Arc, time::Duration};

    const NOW: Time = Time::from_unix(1_795_262_400);

    fn serial(number: u32) -> Serial {
        Serial::parse(&[&[1][..], &number.to_be_bytes()].concat()).unwrap()
    }

    async fn issued(store: &MemoryStore, number: u32, predecessor: Option<u32>) -> Arc<Issuance> {
        let intent = Intent {
            idempotency_key: IdempotencyKey([u8::try_from(number).unwrap(); 32]),
            retry_until: NOW.plus(Duration::from_secs(600)),
            tbs: vec![0x30].into(),
            label: Some("factory".parse().unwrap()),
            operation: None,
            subject: String::new(),
            san: Vec::new(),
            spki_sha256: [7; 32],
            not_before: NOW,
            not_after: Time::MAX,
            actor: Actor::server(),
            predecessor: predecessor.map(serial),
            request_id: RequestId::new([7; 8]),
            begun: NOW,
            ..Intent::blank(serial(number), "default".parse().unwrap(), "device".parse().unwrap())
        };
        store.begin(intent, Conditions::default()).await.unwrap();
        let event = Event::new(NOW, Name::CertificateIssued, Actor::server());
        store.complete(&serial(number), vec![0x31], event).await.unwrap()
    }

    #[tokio::test]
    async fn the_store_is_asked_once_and_again_after_an_error() {
        let store = MemoryStore::new(Arc::new(NoTrail));
        let (old, new) = (issued(&store, 1, None).await, issued(&store, 2, Some(1)).await);
        let broken = MemoryStore::new(Arc::new(NoTrail));
        broken.close().await;
        let known = Successions::default();
        let keeping = Superseding::from([(None, Duration::ZERO)]);
        let rules = Superseding::from([(new.intent.label.clone(), Duration::ZERO)]);
        let end = new.intent.retry_until;
        for (rules, used, at, expected) in [
            (&keeping, &new, end, false),
            (&rules, &old, end, false),
            (&rules, &new, end.minus(Duration::from_secs(1)), false),
            (&rules, &new, end, true),
        ] {
            assert_eq!(known.needs(rules, used, at), expected, "{rules:?} at {at}");
        }
        let used = async |store, at| known.use_of(store, &rules, &new, None, at).await;
        used(&store, end.minus(Duration::from_secs(1))).await;
        used(&broken, end).await;
        assert!(known.needs(&rules, &new, end), "not lost");
        assert_eq!(store.find(&serial(1)).await.unwrap().unwrap().state, State::Issued);
        used(&store, end).await;
        let revoked = store.find(&serial(1)).await.unwrap().unwrap().revocation.unwrap();
        assert_eq!((revoked.at, revoked.reason), (end, RevocationReason::Superseded));
        assert!(!known.needs(&rules, &new, end), "once");
    }

    #[tokio::test]
    async fn a_predecessor_without_a_record_is_no_error() {
        let store = MemoryStore::new(Arc::new(NoTrail));
        let new = issued(&store, 2, Some(1)).await;
        let rules = Superseding::from([(new.intent.label.clone(), Duration::ZERO)]);
        let known = Successions::default();
        known.use_of(&store, &rules, &new, None, Time::MAX).await;
        assert!(!known.needs(&rules, &new, Time::MAX));
    }

    #[test]
    fn memory_has_an_end() {
        let known = Successions::default();
        for number in 0..100_000 {
            known.remember(serial(number));
            assert!(known.has(&serial(number)));
        }
        assert!(known.0.lock().unwrap().len() <= MOST);
        assert!(!known.has(&serial(0)));
    }
}
