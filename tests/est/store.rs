//! `admin::check`: the store of a real server passes, and each kind of error is named.

use crate::common::TestServer;
use estd::{
    admin::check::{Checked, Inspector, check_source},
    store::{
        Intent, Issuance, Item, MemoryStore, State, Store,
        transfer::{Counts, Items, Walk},
    },
    telemetry::audit::{Event, EventId, Name, NoTrail},
    types::{Actor, Serial, Time},
};
use std::{sync::Arc, time::Duration};

/// The errors that a check has named.
#[derive(Default)]
pub(crate) struct Reported(pub Vec<String>);

impl Inspector for Reported {
    fn error(&mut self, what: &str, why: &str) {
        self.0.push(format!("{what}: {why}"));
    }
    fn read(&mut self, _count: u64) {}
}

pub(crate) async fn items(store: &dyn Store) -> Vec<Item> {
    let (mut walk, mut items) = (Walk::new(&store), Vec::new());
    while let Some(item) = walk.next().await.unwrap() {
        items.push(item);
    }
    items
}

/// The store of a server that issued three certificates of devices beside its own.
async fn kept() -> (Vec<Item>, Time) {
    let server = TestServer::start().await;
    for name in ["/CN=a", "/CN=b", "/CN=c"] {
        server.device(name).await;
    }
    let items = items(&**server.running.store()).await;
    (items, Time::from_unix(crate::common::NOW))
}

async fn checked(items: Vec<Item>, now: Time) -> (Checked, Vec<String>) {
    let store = MemoryStore::new(Arc::new(NoTrail));
    store.import(items).await.unwrap();
    let mut reported = Reported::default();
    let found = check_source(&(&store as &dyn Store), now, &mut reported).await;
    assert_eq!(found.errors, reported.0.len() as u64);
    (found, reported.0)
}

fn issuance(item: &mut Item) -> &mut Issuance {
    let Item::Issuance(issuance) = item else { panic!("{item} is no issuance") };
    Arc::make_mut(issuance)
}

#[tokio::test]
async fn what_a_server_kept_is_good() {
    let (mut items, now) = kept().await;
    let (found, errors) = checked(items.clone(), now).await;
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!((found.issued, found.void, found.open.len()), (4, 0, 0));
    assert_eq!(found.counts.issuances, 4);
    assert_eq!(found.counts.accounts, 1);
    assert_eq!(found.counts.total(), items.len() as u64);

    // An open record is not an error; it is listed with its age.
    let first = issuance(&mut items[0]).clone();
    let serial = Serial::parse(&[1, 2, 3]).unwrap();
    let mut key = first.intent.idempotency_key;
    key.0[0] ^= 1;
    let begun = Time::from_unix(now.unix() - 90);
    let open = Intent {
        serial: serial.clone(),
        idempotency_key: key,
        begun,
        tbs: vec![1].into(),
        ..first.intent
    };
    items.push(Item::Issuance(Arc::new(open.into())));
    let (found, errors) = checked(items, now).await;
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(found.open, [(serial, Duration::from_secs(90))]);
}

#[tokio::test]
async fn an_empty_store_is_good() {
    let (found, errors) = checked(Vec::new(), Time::from_unix(0)).await;
    assert_eq!((found, errors), (Checked::default(), Vec::new()));
    assert_eq!(Checked::default().counts, Counts::default());
}

#[tokio::test]
async fn each_error_is_named() {
    let (items, now) = kept().await;
    let serials: Vec<String> = items
        .iter()
        .filter_map(|item| match item {
            Item::Issuance(issuance) => Some(issuance.intent.serial.to_string()),
            _ => None,
        })
        .collect();
    let errors = async |alter: &dyn Fn(&mut Vec<Item>)| {
        let mut items = items.clone();
        alter(&mut items);
        checked(items, now).await.1
    };
    let one = async |alter: &dyn Fn(&mut Vec<Item>)| {
        let errors = errors(alter).await;
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors[0].strip_prefix(&format!("issuance {}: ", serials[1])).unwrap().to_owned()
    };

    // The record and its certificate.
    let cut = one(&|items| issuance(&mut items[1]).certificate.truncate(99)).await;
    assert!(cut.starts_with("its certificate cannot be read: "), "{cut}");
    let key = one(&|items| issuance(&mut items[1]).intent.spki_sha256[0] ^= 1).await;
    assert_eq!(key, "its certificate has another key");
    let validity = one(&|items| issuance(&mut items[1]).intent.not_after = now).await;
    assert!(validity.contains("but its record has other times"), "{validity}");
    let tbs = one(&|items| issuance(&mut items[1]).intent.tbs = vec![1].into()).await;
    assert_eq!(tbs, "is issued, but still has a TBSCertificate to sign");
    let exchanged = one(&|items| {
        let other = issuance(&mut items[2]).clone();
        let place = issuance(&mut items[1]);
        place.certificate = other.certificate;
    })
    .await;
    assert_eq!(exchanged, format!("its certificate has serial number {}", serials[2]));
    let endless = one(&|items| issuance(&mut items[1]).ended = None).await;
    assert_eq!(endless, "is issued, but its end does not match");

    // One request, two certificates.
    let twice = one(&|items| {
        // Whichever comes first by its number: the server's own has no window.
        let first = &mut issuance(&mut items[0]).intent;
        first.retry_until = first.begun.plus(Duration::from_secs(60));
        let key = first.idempotency_key;
        issuance(&mut items[1]).intent.idempotency_key = key;
    })
    .await;
    assert!(twice.contains(&format!("window of {}: two certificates for one request", serials[0])));
    // Not after the first one's window has ended.
    let after = errors(&|items| {
        let first = issuance(&mut items[0]);
        first.intent.retry_until = first.intent.begun;
        let key = first.intent.idempotency_key;
        issuance(&mut items[1]).intent.idempotency_key = key;
    })
    .await;
    assert_eq!(after, Vec::<String>::new());

    // The events.
    let is_of = |item: &Item, serial: &str| match item {
        Item::Event(_, event) => event.details.contains(&("serial".to_owned(), serial.to_owned())),
        _ => false,
    };
    let unreported = one(&|items| {
        let place = items.iter_mut().find(|item| is_of(item, &serials[1])).unwrap();
        let Item::Event(_, event) = place else { panic!() };
        event.name = Name::EnrollmentRetried;
    })
    .await;
    assert_eq!(unreported, "has no event certificate.issued");
    let unknown = one(&|items| drop(items.remove(1))).await;
    assert_eq!(unknown, "has an event certificate.issued, which does not match its state");
    // A void record has an event of its own kind.
    let void = errors(&|items| {
        let record = issuance(&mut items[1]);
        record.state = State::Void;
        record.certificate.clear();
    })
    .await;
    assert_eq!(
        void,
        [
            format!(
                "issuance {}: has an event certificate.issued, which does not match its state",
                serials[1]
            ),
            format!("issuance {}: has no event issuance.voided", serials[1]),
        ]
    );
    let nameless = errors(&|items| {
        let id = EventId { writer: 9, number: 1 };
        let event = Event::new(now, Name::CertificateIssued, Actor::server());
        items.push(Item::Event(id, event));
    })
    .await;
    assert_eq!(nameless, ["event 1 of writer 9: certificate.issued without a serial number"]);
}
