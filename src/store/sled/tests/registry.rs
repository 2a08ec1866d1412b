//! Devices, tokens and the index after a restart.

use super::{
    super::super::{
        Conditions, Device, DeviceFilter, DeviceStanding, Devices, Token, Tokens, Unmet,
        contract::registry::{device, fleet, token},
    },
    *,
};
use crate::store::Issuances;

fn change(number: u64) -> Event {
    event(Name::TokenDisabled, number)
}

#[tokio::test]
async fn an_import_that_a_restart_cuts_is_seen_by_nobody_and_removed_by_the_next() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    let finished = store.begin_import().await.unwrap();
    store.stage_devices(finished, fleet(0..100)).await.unwrap();
    store.finish_import(finished, change(1)).await.unwrap();
    let import = store.begin_import().await.unwrap();
    store.stage_devices(import, fleet(100..300)).await.unwrap();
    store.close().await;

    let store = open(folder.path()).unwrap();
    let all = DeviceFilter::default();
    assert_eq!(store.devices(&all, None, 999).await.unwrap(), fleet(0..100));
    let staged = &fleet(200..201)[0];
    assert_eq!(store.identified(&staged.identifiers).await.unwrap(), []);
    // One takes a staged place.
    let other = Device { quota: Some(1), ..staged.clone() };
    store.add_device(other.clone(), change(2)).await.unwrap();
    let next = store.begin_import().await.unwrap();
    assert!(next.0 > import.0);
    store.stage_devices(next, fleet(250..260)).await.unwrap();
    store.close().await;
    assert_eq!(count(folder.path(), "devices"), 111, "the rest was removed");
    assert_eq!(count(folder.path(), "identifiers"), 111);

    // It is durable, and its end may come after a restart.
    let store = open(folder.path()).unwrap();
    store.finish_import(next, change(3)).await.unwrap();
    store.close().await;
    let store = open(folder.path()).unwrap();
    let expected = [fleet(0..100), vec![other], fleet(250..260)].concat();
    assert_eq!(store.devices(&all, None, 999).await.unwrap(), expected);
    store.close().await;
}

#[tokio::test]
async fn a_restart_keeps_uses_quotas_keys_and_standings() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).unwrap();
    let blocked = Device { standing: DeviceStanding::Blocked, ..device("blocked") };
    store.add_device(blocked.clone(), change(1)).await.unwrap();
    store.add_tokens(vec![token(1)], change(2)).await.unwrap();
    let of = |name: &str, number: u64| Intent {
        device: Some(name.parse().unwrap()),
        spki_sha256: [u8::try_from(number).unwrap(); 32],
        ..intent(number, number)
    };
    let with_token = Intent { token: Some(token(1).id), ..of("a", 1) };
    store.begin(with_token, Conditions::default()).await.unwrap();
    store.complete(&serial(1), vec![1], issued(1)).await.unwrap();
    store.begin(of("a", 2), Conditions::default()).await.unwrap();
    for round in 0..3 {
        let folder = folder.path();
        let store = match round {
            0 => {
                store.close().await;
                open(folder).unwrap()
            }
            // The index is written again from the records.
            _ => {
                let db = ::sled::open(folder).unwrap();
                db.open_tree("meta").unwrap().remove("index").unwrap();
                if round == 2 {
                    db.open_tree("index").unwrap().clear().unwrap();
                }
                db.flush().unwrap();
                drop(db);
                open(folder).unwrap()
            }
        };
        let used = Token { consumed_by: Some(serial(1)), ..token(1) };
        assert_eq!(store.token(&token(1).id).await.unwrap(), Some(used));
        assert!(store.is_barred(&blocked.id).await.unwrap());
        let quota = Conditions { quota: Some(2), ..Conditions::default() };
        let exceeds = store.begin(of("a", 3), quota).await.unwrap();
        assert_eq!(exceeds, Begun::Unmet(Unmet::Quota { quota: 2, valid: 2 }), "{round}");
        let own_key = Conditions { own_key: true, ..Conditions::default() };
        for number in [1, 2] {
            let other = Intent { spki_sha256: [number; 32], ..of("b", 4) };
            let taken = store.begin(other, own_key.clone()).await.unwrap();
            let holder = Some("a".parse().unwrap());
            let serial = serial(u64::from(number));
            assert_eq!(taken, Begun::Unmet(Unmet::Key { device: holder, serial }), "{round}");
        }
        let filter = Filter { device: Some("a".parse().unwrap()), ..Filter::default() };
        assert_eq!(store.list(&filter, None, 9).await.unwrap().len(), 2);
        store.close().await;
    }
}
