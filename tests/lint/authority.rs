//! A CA: nothing is recorded or signed if the linter finds an error before, and a record of earlier that
//! has one is voided.

use crate::{
    counting::Counting,
    malformed::{Good, all, good},
    profiles::{NOW, order, settings},
};
use estd::{
    ca::{Ca, Error, Profile},
    entropy::{Entropy, SystemEntropy},
    pki::{
        Certificate, Csr, CsrBuilder, PrivateKey,
        extension::{Extension, KeyUsage},
        tbs::{ToBeSigned, assemble},
    },
    store::{
        self, AuditEvents, Begun, Conditions, Filter, IdempotencyKey, Intent, Issuances,
        MemoryStore, State,
    },
    telemetry::audit::{Event, EventId, Name, NoTrail},
    types::{KeyKind, Serial},
};
use std::{sync::Arc, time::Duration};

struct Authority {
    ca: Ca,
    store: Arc<MemoryStore>,
    signer: Arc<Counting>,
}

/// The CA that the good structures name, with a key of its own.
fn authority(key: &PrivateKey, key_identifier: Option<&[u8]>, fails: bool) -> Authority {
    let pem = key.to_pem(None).unwrap();
    let holder = PrivateKey::from_pem(pem.as_bytes(), None).unwrap();
    let good = good().remove(0);
    let spki = key.public_key_spki_der().unwrap();
    let usage = KeyUsage::KEY_CERT_SIGN.and(KeyUsage::CRL_SIGN);
    let mut extensions = vec![Extension::ca(None).unwrap(), Extension::key_usage(usage).unwrap()];
    extensions.extend(key_identifier.map(|id| Extension::subject_key_identifier(id).unwrap()));
    let algorithm = key.signature_algorithm_der();
    let tbs = ToBeSigned {
        serial: &Serial::parse(&[1]).unwrap(),
        signature_algorithm: algorithm,
        issuer: &good.issuer,
        not_before: NOW.minus(Duration::from_secs(86_400)),
        not_after: NOW.plus(Duration::from_secs(40 * 365 * 86_400)),
        subject: &good.issuer,
        spki: &spki,
        extensions,
    }
    .to_der()
    .unwrap();
    let (signature, _) = key.sign(&tbs).unwrap();
    let own = Certificate::parse(&assemble(&tbs, algorithm, &signature).unwrap()).unwrap();
    let store = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
    let signer = Arc::new(Counting::new(holder, fails));
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let (name, records) = ("default".parse().unwrap(), Arc::clone(&store));
    let ca = Ca::new(name, own.clone(), own, Arc::clone(&signer) as _, records, entropy).unwrap();
    Authority { ca, store, signer }
}

impl Authority {
    async fn events(&self, name: Name) -> Vec<Event> {
        let all = self.store.events(EventId::first_of(1), 1_000).await.unwrap();
        all.into_iter().map(|(_, event)| event).filter(|event| event.name == name).collect()
    }

    async fn records(&self) -> Vec<Arc<store::Issuance>> {
        self.store.list(&Filter::default(), None, 100).await.unwrap()
    }
}

/// The record that an earlier version, or a disk, left.
fn recorded(good: &Good, tbs: Vec<u8>) -> Intent {
    let expected = good.expected_certificate();
    let (ca, profile) = ("default".parse().unwrap(), "device".parse().unwrap());
    Intent {
        idempotency_key: IdempotencyKey([5; 32]),
        retry_until: NOW.plus(Duration::from_secs(600)),
        tbs: tbs.into(),
        spki_sha256: *expected.spki_sha256,
        begun: NOW,
        ..Intent::blank(expected.serial.clone(), ca, profile)
    }
}

#[tokio::test]
async fn a_finding_before_the_record_is_an_event_and_leaves_no_record() {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let rules = settings("version = 1\n").live.policies.profiles.into_iter().next().unwrap();
    let profile = Profile::new(rules.0, rules.1, &[]);
    let device = PrivateKey::generate(KeyKind::P256).unwrap();
    let csr = CsrBuilder::new().subject("CN=device-1").unwrap().build(&device).unwrap();
    let csr = Csr::verify(&csr).unwrap();
    // A CA without subjectKeyIdentifier: the writer would leave keyIdentifier empty.
    let one = authority(&key, None, false);
    let stopped = one.ca.issue(order(&profile, &csr, 1), NOW).await;
    let Err(Error::Lint(findings)) = stopped else { panic!("{stopped:?}") };
    assert_eq!(findings.rules(), "rfc5280.4.2.1.1.key-identifier");
    let stopped = one.ca.issue_for_generated_key(order(&profile, &csr, 2), "P-256", NOW).await;
    assert!(matches!(stopped, Err(Error::Lint(_))), "{stopped:?}");
    assert_eq!((one.records().await.len(), one.signer.signed()), (0, 0));
    let events = one.events(Name::IssuanceStopped).await;
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event.detail("lint_rules"), Some("rfc5280.4.2.1.1.key-identifier"));
        assert_eq!(event.detail("lint_fields"), Some("extensions.authorityKeyIdentifier"));
        assert_eq!(event.detail("subject"), Some("CN=device-1"));
    }
    // With it, the same order gets its certificate.
    let one = authority(&key, Some(&[7; 20]), false);
    one.ca.issue(order(&profile, &csr, 1), NOW).await.unwrap();
    assert_eq!((one.records().await.len(), one.signer.signed()), (1, 1));
}

#[tokio::test]
async fn a_record_of_earlier_that_is_malformed_is_voided_and_never_signed() {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let base = good().remove(0);
    let one = authority(&key, Some(&[7; 20]), false);
    let intent = recorded(&base, base.tbs.der());
    assert!(matches!(
        one.store.begin(intent.clone(), Conditions::default()).await.unwrap(),
        Begun::New
    ));
    assert_eq!(one.ca.finish(&intent, NOW).await.unwrap(), State::Issued);
    assert_eq!(one.signer.signed(), 1);

    let mut voided = 0;
    for case in all() {
        let known = case.good.issuer == base.issuer && case.good.algorithm == base.algorithm;
        // The limits of the profile are not known of a record.
        let by_profile = [
            "profile.lifetime",
            "profile.key-kind",
            "profile.extended-key-usage",
            "profile.san-kind",
        ];
        if case.good.name != base.name || !known || by_profile.contains(&case.rule) {
            continue;
        }
        let one = authority(&key, Some(&[7; 20]), false);
        let intent = recorded(&case.good, case.der);
        one.store.begin(intent.clone(), Conditions::default()).await.unwrap();
        assert_eq!(one.ca.finish(&intent, NOW).await.unwrap(), State::Void, "{}", case.name);
        // Once more, as another node would.
        assert_eq!(one.ca.finish(&intent, NOW).await.unwrap(), State::Void, "{}", case.name);
        let records = one.records().await;
        assert_eq!((records[0].state, one.signer.signed()), (State::Void, 0), "{}", case.name);
        let events = one.events(Name::IssuanceVoided).await;
        let [event] = events.as_slice() else { panic!("{}: {events:?}", case.name) };
        let rules = event.detail("lint_rules").unwrap();
        assert!(rules.split(' ').any(|rule| rule == case.rule), "{}: {rules}", case.name);
        assert_eq!(
            event.detail("lint_fields").unwrap().split(' ').count(),
            rules.split(' ').count()
        );
        voided += 1;
    }
    assert!(voided >= 80, "{voided}");
}

#[tokio::test]
async fn a_retry_that_finds_a_malformed_record_voids_it_and_the_next_one_is_new() {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let rules = settings("version = 1\n").live.policies.profiles.into_iter().next().unwrap();
    let profile = Profile::new(rules.0, rules.1, &[]);
    let device = PrivateKey::generate(KeyKind::P256).unwrap();
    let csr = CsrBuilder::new().subject("CN=device-1").unwrap().build(&device).unwrap();
    let csr = Csr::verify(&csr).unwrap();
    // The key failed after the record.
    let before = authority(&key, Some(&[7; 20]), true);
    let failed = before.ca.issue(order(&profile, &csr, 1), NOW).await;
    assert!(matches!(failed, Err(Error::Signer { .. })));
    let open = before.records().await.remove(0);
    // One bit of the serial number has changed since.
    let mut intent = open.intent.clone();
    let mut tbs = intent.tbs.to_vec();
    tbs[20] ^= 1;
    intent.tbs = tbs.into();
    let one = authority(&key, Some(&[7; 20]), false);
    one.store.begin(intent, Conditions::default()).await.unwrap();
    let retried = one.ca.issue(order(&profile, &csr, 1), NOW).await;
    assert!(
        matches!(retried, Err(Error::Store(store::Error::WrongState { state: State::Void, .. }))),
        "{retried:?}"
    );
    assert_eq!(one.signer.signed(), 0);
    let events = one.events(Name::IssuanceVoided).await;
    assert_eq!(events[0].detail("lint_rules"), Some("profile.serial-number"));
    assert_eq!(events[0].detail("lint_fields"), Some("serialNumber"));
    let issued = one.ca.issue(order(&profile, &csr, 1), NOW).await.unwrap();
    assert_ne!(issued.issuance.intent.serial, open.intent.serial);
    assert_eq!(one.signer.signed(), 1);

    // The record as it was is signed.
    let one = authority(&key, Some(&[7; 20]), false);
    one.store.begin(open.intent.clone(), Conditions::default()).await.unwrap();
    let issued = one.ca.issue(order(&profile, &csr, 1), NOW).await.unwrap();
    assert_eq!(issued.issuance.intent.serial, open.intent.serial);
}
