//! The contract of devices, tokens and conditions.
//!
//! Longer than 500 lines, for the reason of the contract itself.

use super::{
    super::{
        Device, DeviceFilter, DeviceStanding, Grant, Identifier, ImportNumber, Token, TokenFilter,
        Unmet,
    },
    *,
};
use crate::types::{DeviceId, Label, TokenId};

contract!(
    a_token_is_consumed_by_one_issuance,
    of_different_requests_at_once_one_consumes_the_token,
    equal_requests_at_once_consume_the_token_once,
    a_void_gives_the_use_back,
    a_token_serves_one_more_retry_whose_key_was_lost,
    a_token_ends_and_is_disabled,
    lists_tokens,
    a_renewal_never_exceeds_the_quota,
    of_different_requests_at_once_as_many_as_the_quota_are_new,
    a_quota_counts_what_is_valid_and_has_no_successor,
    a_device_must_be_known_enabled_and_in_its_window,
    a_block_and_an_issuance_have_an_order,
    a_key_belongs_to_one_device,
    of_two_devices_at_once_one_gets_the_key,
    a_device_is_registered_just_in_time,
    keeps_devices,
    an_identifier_is_that_of_one_device,
    lists_devices,
    an_import_is_all_or_nothing,
    an_import_names_what_exists,
    a_device_registered_during_an_import_stays,
    devices_and_tokens_of_another_store_are_imported,
    accounts_change,
    lists_by_device_key_and_predecessor,
);

fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

pub(in crate::store) fn device(name: &str) -> Device {
    Device {
        id: id(name),
        identifiers: vec![format!("serial:acme:{name}").parse().unwrap()],
        labels: None,
        quota: None,
        from: None,
        until: None,
        tags: [("site".to_owned(), "7".to_owned())].into(),
        standing: DeviceStanding::Enabled,
        registered: NOW,
    }
}

pub(in crate::store) const fn token_id(number: u8) -> TokenId {
    TokenId([number; 32])
}

pub(in crate::store) fn token(number: u8) -> Token {
    Token {
        id: token_id(number),
        label: None,
        grant: Grant::AnyName,
        created: NOW,
        expires: at(100),
        disabled: false,
        consumed_by: None,
        reissued: false,
        proof_keys: Some(ProofKeys {
            alone: Zeroizing::new([7; 32]),
            named: Zeroizing::new([8; 32]),
        }),
    }
}

fn change(number: u64) -> Event {
    event(Name::AccountAdded, number)
}

/// An intent of a device, with a key of its own.
fn of(name: &str, number: u64) -> Intent {
    Intent { device: Some(id(name)), spki_sha256: key(number).0, ..intent(number, number) }
}

fn with_token(number: u64) -> Intent {
    Intent { token: Some(token_id(1)), ..intent(number, number) }
}

fn free() -> Conditions {
    Conditions::default()
}

fn quota(quota: u32) -> Conditions {
    Conditions { quota: Some(quota), ..free() }
}

async fn complete(store: &dyn Store, number: u64) {
    store.complete(&serial(number), vec![0x31; 80], issued(number)).await.unwrap();
}

async fn begun(store: &dyn Store, intent: Intent, conditions: Conditions) -> Begun {
    store.begin(intent, conditions).await.unwrap()
}

/// Begins all at once.
async fn at_once(store: &Arc<dyn Store>, all: Vec<(Intent, Conditions)>) -> Vec<Begun> {
    let mut tasks = JoinSet::new();
    for (intent, conditions) in all {
        let store = Arc::clone(store);
        tasks.spawn(async move { store.begin(intent, conditions).await.unwrap() });
    }
    tasks.join_all().await
}

fn new_ones(all: &[Begun]) -> usize {
    all.iter().filter(|begun| **begun == Begun::New).count()
}

async fn a_token_is_consumed_by_one_issuance(Trial { store, .. }: Trial) {
    let none = begun(&*store, with_token(1), free()).await;
    assert_eq!(none, Begun::Unmet(Unmet::UnknownToken(token_id(1))));
    store.add_tokens(vec![token(1), token(2)], change(1)).await.unwrap();
    let again = store.add_tokens(vec![token(1)], change(1)).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");

    assert_eq!(begun(&*store, with_token(1), free()).await, Begun::New);
    let kept = store.token(&token_id(1)).await.unwrap().unwrap();
    assert_eq!(kept, Token { consumed_by: Some(serial(1)), ..token(1) });
    let other = begun(&*store, with_token(2), free()).await;
    assert_eq!(other, Begun::Unmet(Unmet::ConsumedToken(serial(1))));
    assert_eq!(store.find(&serial(2)).await.unwrap(), None, "nothing was recorded");

    // A retry is answered before conditions are looked at.
    let retry = Intent { serial: serial(3), ..with_token(1) };
    assert!(matches!(begun(&*store, retry.clone(), free()).await, Begun::Open(_)));
    complete(&*store, 1).await;
    store.disable_token(&token_id(1), change(2)).await.unwrap();
    assert!(matches!(begun(&*store, retry, free()).await, Begun::Complete(_)));
    let record = store.find(&serial(1)).await.unwrap().unwrap();
    assert_eq!(record.intent.token, Some(token_id(1)));
}

async fn of_different_requests_at_once_one_consumes_the_token(Trial { store, .. }: Trial) {
    store.add_tokens(vec![token(1)], change(1)).await.unwrap();
    let all = (0..64).map(|number| (with_token(number + 1), free())).collect();
    let begun = at_once(&store, all).await;
    assert_eq!(new_ones(&begun), 1);
    let rejected = begun.iter().filter(|one| matches!(one, Begun::Unmet(Unmet::ConsumedToken(_))));
    assert_eq!(rejected.count(), 63);
}

async fn equal_requests_at_once_consume_the_token_once(Trial { store, .. }: Trial) {
    store.add_tokens(vec![token(1)], change(1)).await.unwrap();
    let all = (0..64)
        .map(|number| (Intent { idempotency_key: key(1), ..with_token(number + 1) }, free()));
    let begun = at_once(&store, all.collect()).await;
    assert_eq!(new_ones(&begun), 1);
    let serials: HashSet<Serial> = begun
        .iter()
        .filter_map(|one| match one {
            Begun::New => None,
            Begun::Open(first) => Some(first.intent.serial.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let kept = store.token(&token_id(1)).await.unwrap().unwrap();
    assert_eq!(serials, HashSet::from([kept.consumed_by.unwrap()]));
}

async fn a_void_gives_the_use_back(Trial { store, .. }: Trial) {
    store.add_tokens(vec![token(1)], change(1)).await.unwrap();
    begun(&*store, with_token(1), free()).await;
    store.void(&serial(1), event(Name::IssuanceVoided, 1)).await.unwrap();
    assert_eq!(store.token(&token_id(1)).await.unwrap(), Some(token(1)));
    assert_eq!(begun(&*store, with_token(2), free()).await, Begun::New);
    complete(&*store, 2).await;
    // A revocation does not.
    store.revoke(&serial(2), revocation(9), revoked(2)).await.unwrap();
    let other = begun(&*store, with_token(3), free()).await;
    assert_eq!(other, Begun::Unmet(Unmet::ConsumedToken(serial(2))));
}

async fn a_token_serves_one_more_retry_whose_key_was_lost(Trial { store, .. }: Trial) {
    store.add_tokens(vec![token(1)], change(1)).await.unwrap();
    begun(&*store, with_token(1), free()).await;
    complete(&*store, 1).await;
    let lost = |number| Conditions { lost: Some(serial(number)), ..free() };
    let foreign = begun(&*store, with_token(2), lost(9)).await;
    assert_eq!(foreign, Begun::Unmet(Unmet::ConsumedToken(serial(1))));
    assert_eq!(begun(&*store, with_token(2), lost(1)).await, Begun::New);
    let kept = store.token(&token_id(1)).await.unwrap().unwrap();
    assert_eq!((kept.consumed_by, kept.reissued), (Some(serial(2)), true));
    complete(&*store, 2).await;
    let again = begun(&*store, with_token(3), lost(2)).await;
    assert_eq!(again, Begun::Unmet(Unmet::ConsumedToken(serial(2))), "once");
}

async fn a_token_ends_and_is_disabled(Trial { store, trail }: Trial) {
    store.add_tokens(vec![token(1), token(2), token(3)], change(1)).await.unwrap();
    let late = Intent { begun: at(100), ..with_token(1) };
    let late = begun(&*store, late, free()).await;
    assert_eq!(late, Begun::Unmet(Unmet::ExpiredToken(at(100))), "exclusive");
    let in_time = Intent { begun: at(99), ..with_token(2) };
    assert_eq!(begun(&*store, in_time, free()).await, Begun::New);

    store.disable_token(&token_id(2), change(2)).await.unwrap();
    store.disable_token(&token_id(2), change(3)).await.unwrap();
    assert_eq!(trail.published().len(), 2, "once");
    let disabled = Intent { token: Some(token_id(2)), ..intent(3, 3) };
    assert_eq!(begun(&*store, disabled, free()).await, Begun::Unmet(Unmet::DisabledToken));
    let none = store.disable_token(&token_id(9), change(4)).await;
    assert!(matches!(none, Err(Error::NoSuchToken(id)) if id == token_id(9)));

    // The second is disabled already.
    let early = Token { id: token_id(4), expires: at(5), ..token(4) };
    store.add_tokens(vec![early], change(5)).await.unwrap();
    assert_eq!(store.disable_tokens(change(6)).await.unwrap(), 2);
    let (_, last) = trail.published().pop().unwrap();
    assert_eq!(last.detail("count"), Some("2"));
    // The first is consumed by an issuance that is open: its void gives nothing back.
    store.void(&serial(2), event(Name::IssuanceVoided, 2)).await.unwrap();
    let freed = Intent { begun: at(7), ..with_token(4) };
    assert_eq!(begun(&*store, freed, free()).await, Begun::Unmet(Unmet::DisabledToken));
    assert!(store.token(&token_id(3)).await.unwrap().unwrap().disabled);
    assert!(!store.token(&token_id(4)).await.unwrap().unwrap().disabled, "it had ended");
}

async fn lists_tokens(Trial { store, .. }: Trial) {
    let label: Label = "factory".parse().unwrap();
    let mut tokens: Vec<Token> = (1..=200).map(token).collect();
    for token in &mut tokens[..100] {
        token.label = Some(label.clone());
    }
    tokens[7].grant = Grant::Device(id("gate-7"));
    tokens[8].grant =
        Grant::Names { subject: "CN=a".to_owned(), san: vec!["dns:a.example".to_owned()] };
    tokens[150].disabled = true;
    store.add_tokens(tokens.clone(), change(1)).await.unwrap();
    let all = TokenFilter::default();
    let first = store.tokens(&all, None, 120).await.unwrap();
    let rest = store.tokens(&all, Some(&first[119].id), 120).await.unwrap();
    assert_eq!([first, rest].concat(), tokens);
    let listed = async |filter: TokenFilter| store.tokens(&filter, None, 300).await.unwrap();
    let labeled = TokenFilter { label: Some(Some(label)), ..TokenFilter::default() };
    assert_eq!(listed(labeled).await, tokens[..100]);
    let without = TokenFilter { label: Some(None), ..TokenFilter::default() };
    assert_eq!(listed(without).await, tokens[100..]);
    let of_device = TokenFilter { device: Some(id("gate-7")), ..TokenFilter::default() };
    assert_eq!(listed(of_device).await, tokens[7..8]);
    let usable = |at| TokenFilter { usable: Some(at), ..TokenFilter::default() };
    assert_eq!(listed(usable(NOW)).await.len(), 199);
    assert_eq!(listed(usable(at(100))).await.len(), 0);
}

async fn a_renewal_never_exceeds_the_quota(Trial { store, .. }: Trial) {
    assert_eq!(begun(&*store, of("a", 1), quota(1)).await, Begun::New);
    let second = begun(&*store, of("a", 2), quota(1)).await;
    assert_eq!(second, Begun::Unmet(Unmet::Quota { quota: 1, valid: 1 }), "an open one counts");
    complete(&*store, 1).await;
    // A chain whose predecessors stay valid.
    for number in 2..10 {
        let renewal = Intent { predecessor: Some(serial(number - 1)), ..of("a", number) };
        assert_eq!(begun(&*store, renewal, quota(1)).await, Begun::New, "{number}");
        complete(&*store, number).await;
    }
    let fork = Intent { predecessor: Some(serial(3)), ..of("a", 20) };
    let fork = begun(&*store, fork, quota(1)).await;
    assert_eq!(fork, Begun::Unmet(Unmet::Quota { quota: 1, valid: 1 }), "it has a successor");
    assert_eq!(begun(&*store, of("b", 21), quota(1)).await, Begun::New, "another device");
    // 64 renewals of one certificate at once.
    let renewals = (0..64)
        .map(|number| (Intent { predecessor: Some(serial(9)), ..of("a", 100 + number) }, quota(1)));
    assert_eq!(new_ones(&at_once(&store, renewals.collect()).await), 1);
}

async fn of_different_requests_at_once_as_many_as_the_quota_are_new(Trial { store, .. }: Trial) {
    let all = (0..64).map(|number| (of("a", number + 1), quota(3))).collect();
    assert_eq!(new_ones(&at_once(&store, all).await), 3);
}

async fn a_quota_counts_what_is_valid_and_has_no_successor(Trial { store, .. }: Trial) {
    for number in 1..=3 {
        assert_eq!(begun(&*store, of("a", number), quota(3)).await, Begun::New);
        complete(&*store, number).await;
    }
    let next = async |number: u64, seconds: u64| {
        let intent = Intent { begun: at(seconds), ..of("a", number) };
        let begun = begun(&*store, intent, quota(3)).await;
        store.void(&serial(number), event(Name::IssuanceVoided, number)).await.ok();
        begun == Begun::New
    };
    assert!(!next(4, 0).await);
    // Each ends at 1000 + its number, inclusive.
    assert!(!next(5, 1001).await);
    assert!(next(6, 1002).await, "one has expired");
    store.revoke(&serial(2), revocation(9), revoked(2)).await.unwrap();
    assert!(next(7, 0).await, "one is revoked");
    assert!(next(8, 0).await, "a void one does not count");
    assert_eq!(begun(&*store, of("a", 9), quota(3)).await, Begun::New);
    assert!(!next(10, 0).await);
    // A void successor is none.
    let renewal = Intent { predecessor: Some(serial(1)), ..of("a", 11) };
    assert_eq!(begun(&*store, renewal, quota(3)).await, Begun::New);
    store.void(&serial(11), event(Name::IssuanceVoided, 11)).await.unwrap();
    assert!(!next(12, 0).await);
    // The certificate whose key was lost has its place taken.
    let lost = Conditions { lost: Some(serial(1)), ..quota(3) };
    assert_eq!(begun(&*store, of("a", 13), lost).await, Begun::New);
    // The device's own quota counts before the label's.
    store.add_device(Device { quota: Some(9), ..device("a") }, change(1)).await.unwrap();
    assert_eq!(begun(&*store, of("a", 14), quota(3)).await, Begun::New);
    store.add_device(Device { quota: Some(0), ..device("z") }, change(1)).await.unwrap();
    let none = begun(&*store, of("z", 15), free()).await;
    assert_eq!(none, Begun::Unmet(Unmet::Quota { quota: 0, valid: 0 }));
}

async fn a_device_must_be_known_enabled_and_in_its_window(Trial { store, .. }: Trial) {
    let registered = || Conditions { registered: true, ..free() };
    let unknown = begun(&*store, of("a", 1), registered()).await;
    assert_eq!(unknown, Begun::Unmet(Unmet::UnknownDevice(Some(id("a")))));
    let none = begun(&*store, intent(1, 1), registered()).await;
    assert_eq!(none, Begun::Unmet(Unmet::UnknownDevice(None)));
    let window = Device { from: Some(at(10)), until: Some(at(20)), ..device("a") };
    store.add_device(window.clone(), change(1)).await.unwrap();
    for (number, seconds, passes) in [(1, 9, false), (2, 10, true), (3, 19, true), (4, 20, false)] {
        let intent = Intent { begun: at(seconds), ..of("a", number) };
        let begun = begun(&*store, intent, free()).await;
        let outside = Unmet::Window { from: Some(at(10)), until: Some(at(20)) };
        assert_eq!(begun, if passes { Begun::New } else { Begun::Unmet(outside) }, "{seconds}");
    }
    let mut seen = window;
    for standing in [DeviceStanding::Blocked, DeviceStanding::Retired] {
        let new = Device { standing, ..seen.clone() };
        store.change_device(&seen, new.clone(), change(2)).await.unwrap();
        assert!(store.is_barred(&id("a")).await.unwrap());
        let intent = Intent { begun: at(10), ..of("a", 5) };
        let begun = begun(&*store, intent, free()).await;
        assert_eq!(begun, Begun::Unmet(Unmet::Standing(id("a"), standing)));
        seen = new;
    }
    store.change_device(&seen, device("a"), change(2)).await.unwrap();
    assert!(!store.is_barred(&id("a")).await.unwrap());
    assert_eq!(begun(&*store, of("a", 5), registered()).await, Begun::New);
}

async fn a_block_and_an_issuance_have_an_order(Trial { store, .. }: Trial) {
    for round in 0..10 {
        let name = format!("gate-{round}");
        store.add_device(device(&name), change(1)).await.unwrap();
        let blocking = {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(async move {
                let new = Device { standing: DeviceStanding::Blocked, ..device(&name) };
                store.change_device(&device(&name), new, change(2)).await.unwrap();
                // Nothing is recorded after this.
                let mut count = 0;
                for number in 0..20 {
                    let intent = of(&name, 100 * round + 50 + number);
                    count += u64::from(begun(&*store, intent, free()).await == Begun::New);
                }
                count
            })
        };
        let all = (0..20).map(|number| (of(&name, 100 * round + number + 1), free())).collect();
        at_once(&store, all).await;
        assert_eq!(blocking.await.unwrap(), 0);
    }
}

async fn a_key_belongs_to_one_device(Trial { store, .. }: Trial) {
    let own = || Conditions { own_key: true, ..free() };
    let with_key = |name: &str, number| Intent { spki_sha256: [9; 32], ..of(name, number) };
    assert_eq!(begun(&*store, with_key("a", 1), own()).await, Begun::New);
    let taken = |name: Option<&str>, number| {
        Begun::Unmet(Unmet::Key { device: name.map(id), serial: serial(number) })
    };
    assert_eq!(begun(&*store, with_key("b", 2), own()).await, taken(Some("a"), 1), "open");
    complete(&*store, 1).await;
    assert_eq!(begun(&*store, with_key("b", 2), own()).await, taken(Some("a"), 1));
    assert_eq!(begun(&*store, with_key("a", 3), own()).await, Begun::New, "its own");
    complete(&*store, 3).await;
    let none = Intent { device: None, ..with_key("a", 4) };
    assert!(matches!(begun(&*store, none, own()).await, Begun::Unmet(Unmet::Key { .. })));
    store.revoke(&serial(1), revocation(9), revoked(1)).await.unwrap();
    assert!(matches!(begun(&*store, with_key("b", 5), own()).await, Begun::Unmet(_)), "revoked");
    assert_eq!(begun(&*store, with_key("b", 6), free()).await, Begun::New, "nobody asked");

    // A void issuance had no certificate.
    let second = |name: &str, number| Intent { spki_sha256: [8; 32], ..of(name, number) };
    assert_eq!(begun(&*store, second("a", 10), own()).await, Begun::New);
    store.void(&serial(10), event(Name::IssuanceVoided, 10)).await.unwrap();
    assert_eq!(begun(&*store, second("b", 11), own()).await, Begun::New);

    // A line that began before devices were kept continues with its key.
    let third = |name: Option<&str>, number, predecessor: Option<u64>| Intent {
        device: name.map(id),
        spki_sha256: [7; 32],
        predecessor: predecessor.map(serial),
        ..intent(number, number)
    };
    assert_eq!(begun(&*store, third(None, 20, None), free()).await, Begun::New);
    assert_eq!(begun(&*store, third(None, 21, Some(20)), free()).await, Begun::New);
    assert_eq!(begun(&*store, third(Some("c"), 22, Some(21)), own()).await, Begun::New);
    let other = begun(&*store, third(Some("d"), 23, Some(21)), own()).await;
    assert_eq!(other, taken(Some("c"), 22));
    assert!(matches!(
        begun(&*store, third(Some("c"), 24, None), own()).await,
        Begun::Unmet(Unmet::Key { device: None, .. })
    ));
}

async fn of_two_devices_at_once_one_gets_the_key(Trial { store, .. }: Trial) {
    let all = (0..64).map(|number| {
        let intent = Intent { spki_sha256: [9; 32], ..of(&format!("gate-{number}"), number + 1) };
        (intent, Conditions { own_key: true, ..free() })
    });
    assert_eq!(new_ones(&at_once(&store, all.collect()).await), 1);
}

async fn a_device_is_registered_just_in_time(Trial { store, .. }: Trial) {
    let register =
        |name: &str| Conditions { registered: true, register: Some(device(name)), ..free() };
    assert_eq!(begun(&*store, of("a", 1), register("a")).await, Begun::New);
    assert_eq!(store.device(&id("a")).await.unwrap(), Some(device("a")));
    let tagged = Device { tags: [].into(), ..device("a") };
    store.change_device(&device("a"), tagged.clone(), change(1)).await.unwrap();
    assert_eq!(begun(&*store, of("a", 2), register("a")).await, Begun::New);
    assert_eq!(store.device(&id("a")).await.unwrap(), Some(tagged), "it was known");
    // Its identifier is another device's.
    let same = Device { id: id("b"), ..device("a") };
    let taken = Conditions { register: Some(same), ..free() };
    let taken = store.begin(of("b", 3), taken).await;
    assert!(matches!(taken, Err(Error::IdentifierTaken { device, .. }) if device == id("a")));
    assert_eq!(store.find(&serial(3)).await.unwrap(), None);
    let all = (0..64).map(|number| (of("c", 100 + number), register("c"))).collect();
    assert_eq!(new_ones(&at_once(&store, all).await), 64);
    // One that is rejected registers nobody.
    let rejected = Conditions { quota: Some(0), ..register("d") };
    assert!(matches!(begun(&*store, of("d", 4), rejected).await, Begun::Unmet(_)));
    assert_eq!(store.device(&id("d")).await.unwrap(), None);
}

async fn keeps_devices(Trial { store, trail }: Trial) {
    let full = Device {
        identifiers: ["spki", "certificate"]
            .map(|kind| format!("{kind}:{}", "0a".repeat(32)).parse().unwrap())
            .into(),
        labels: Some(vec!["factory".parse().unwrap()]),
        quota: Some(2),
        from: Some(at(1)),
        until: Some(at(2)),
        ..device("a")
    };
    assert_eq!(store.device(&id("a")).await.unwrap(), None);
    store.add_device(full.clone(), change(1)).await.unwrap();
    assert_eq!(store.device(&id("a")).await.unwrap(), Some(full.clone()));
    let again = store.add_device(device("a"), change(2)).await;
    assert!(matches!(again, Err(Error::DeviceExists(name)) if name == id("a")));
    let changed = store.change_device(&device("a"), device("a"), change(3)).await;
    assert!(matches!(changed, Err(Error::Changed(_))), "{changed:?}");
    let other = store.change_device(&full, device("b"), change(3)).await;
    assert!(matches!(other, Err(Error::Changed(_))), "{other:?}");
    store.change_device(&full, device("a"), change(4)).await.unwrap();
    assert_eq!(store.device(&id("a")).await.unwrap(), Some(device("a")));
    assert_eq!(store.identified(&full.identifiers).await.unwrap(), [], "they are free now");
    assert_eq!(trail.published().len(), 2);
    // Of several that change what they saw, one does.
    let mut tasks = JoinSet::new();
    for number in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let new = Device { quota: Some(number), ..device("a") };
            store.change_device(&device("a"), new, change(5)).await.is_ok()
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|done| *done).count(), 1);
}

async fn an_identifier_is_that_of_one_device(Trial { store, .. }: Trial) {
    store.add_device(device("a"), change(1)).await.unwrap();
    let taken = |result: Result<(), Error>| match result {
        Err(Error::IdentifierTaken { identifier, device }) => {
            assert_eq!((identifier.to_string().as_str(), device), ("serial:acme:a", id("a")));
        }
        other => panic!("{other:?}"),
    };
    let same = Device { id: id("b"), ..device("a") };
    taken(store.add_device(same.clone(), change(2)).await);
    assert_eq!(store.device(&id("b")).await.unwrap(), None);
    store.add_device(device("b"), change(3)).await.unwrap();
    taken(store.change_device(&device("b"), same, change(4)).await);
    assert_eq!(store.device(&id("b")).await.unwrap(), Some(device("b")));
    let of = |names: &[&str]| -> Vec<Identifier> {
        names.iter().map(|name| format!("serial:acme:{name}").parse().unwrap()).collect()
    };
    let found = store.identified(&of(&["b", "x", "a", "b"])).await.unwrap();
    assert_eq!(found, [device("a"), device("b")]);
    assert_eq!(store.identified(&[]).await.unwrap(), []);
    // Many at once with one identifier.
    let mut tasks = JoinSet::new();
    for number in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let device = Device { id: id(&format!("many-{number}")), ..device("many") };
            store.add_device(device, change(5)).await.is_ok()
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|done| *done).count(), 1);
}

async fn lists_devices(Trial { store, .. }: Trial) {
    let names = ["Gate-10", "a", "gate-1", "gate-2", "~factory/0101"];
    let mut all: Vec<Device> = names[..4].iter().map(|name| device(name)).collect();
    all.push(Device {
        id: DeviceId::derived(Some(&"factory".parse().unwrap()), &[1; 32]),
        ..device("x")
    });
    all[1].labels = Some(vec!["shop".parse().unwrap()]);
    all[2].standing = DeviceStanding::Blocked;
    all[3].tags = [("site".to_owned(), "8".to_owned())].into();
    for device in &all {
        store.add_device(device.clone(), change(1)).await.unwrap();
    }
    let listed = async |filter: DeviceFilter| store.devices(&filter, None, 10).await.unwrap();
    assert_eq!(listed(DeviceFilter::default()).await, all);
    let page = store.devices(&DeviceFilter::default(), Some(&id("a")), 2).await.unwrap();
    assert_eq!(page, all[2..4]);
    let part = DeviceFilter { part: Some("GATE".to_owned()), ..DeviceFilter::default() };
    assert_eq!(listed(part).await.len(), 3);
    let standing =
        DeviceFilter { standing: Some(DeviceStanding::Blocked), ..DeviceFilter::default() };
    assert_eq!(listed(standing).await, all[2..3]);
    let label = DeviceFilter { label: Some("factory".parse().unwrap()), ..DeviceFilter::default() };
    assert_eq!(listed(label).await.len(), 4, "all but that of another label");
    let tag = |value: Option<&str>| DeviceFilter {
        tag: Some(("site".to_owned(), value.map(str::to_owned))),
        ..DeviceFilter::default()
    };
    assert_eq!(listed(tag(None)).await.len(), 5);
    assert_eq!(listed(tag(Some("8"))).await, all[3..4]);
}

pub(in crate::store) fn fleet(range: std::ops::Range<u32>) -> Vec<Device> {
    range.map(|number| device(&format!("fleet-{number:05}"))).collect()
}

async fn an_import_is_all_or_nothing(Trial { store, trail }: Trial) {
    let all = DeviceFilter::default();
    let import = store.begin_import().await.unwrap();
    store.stage_devices(import, fleet(0..300)).await.unwrap();
    store.stage_devices(import, fleet(290..600)).await.unwrap();
    assert_eq!(store.devices(&all, None, 1000).await.unwrap(), []);
    let first = &fleet(0..1)[0];
    assert_eq!(store.device(&first.id).await.unwrap(), None);
    assert_eq!(store.identified(&first.identifiers).await.unwrap(), []);
    let unknown = Conditions { registered: true, ..free() };
    assert!(matches!(
        begun(&*store, of(first.id.as_str(), 1), unknown.clone()).await,
        Begun::Unmet(Unmet::UnknownDevice(_))
    ));
    store.abandon_import(import).await.unwrap();
    let ended = store.finish_import(import, change(1)).await;
    assert!(matches!(ended, Err(Error::ImportEnded(number)) if number == import), "{ended:?}");
    let ended = store.stage_devices(import, fleet(0..1)).await;
    assert!(matches!(ended, Err(Error::ImportEnded(_))), "{ended:?}");
    assert_eq!(store.devices(&all, None, 1000).await.unwrap(), []);

    // One that nobody ended.
    let cut = store.begin_import().await.unwrap();
    let wider = |device: Device| Device { quota: Some(7), ..device };
    let others = fleet(0..200).into_iter().map(wider).collect();
    store.stage_devices(cut, others).await.unwrap();
    let import = store.begin_import().await.unwrap();
    assert!(store.stage_devices(cut, fleet(0..1)).await.is_err());
    assert!(store.finish_import(cut, change(1)).await.is_err());
    store.abandon_import(cut).await.unwrap();
    store.stage_devices(import, fleet(0..600)).await.unwrap();
    assert!(trail.published().is_empty());
    store.finish_import(import, change(2)).await.unwrap();
    assert_eq!(trail.published().len(), 1);
    assert_eq!(store.devices(&all, None, 1000).await.unwrap(), fleet(0..600));
    assert_eq!(store.identified(&first.identifiers).await.unwrap(), std::slice::from_ref(first));
    assert_eq!(begun(&*store, of(first.id.as_str(), 1), unknown).await, Begun::New);
    let ended = store.finish_import(import, change(3)).await;
    assert!(matches!(ended, Err(Error::ImportEnded(_))), "{ended:?}");
    store.abandon_import(import).await.unwrap();
    assert_eq!(store.devices(&all, None, 1000).await.unwrap().len(), 600);

    // The same again changes nothing, whatever their standing is now.
    let blocked = Device { standing: DeviceStanding::Blocked, ..first.clone() };
    store.change_device(first, blocked.clone(), change(4)).await.unwrap();
    let import = store.begin_import().await.unwrap();
    let later = |device: Device| Device { registered: at(9), ..device };
    let again = fleet(0..601).into_iter().map(later).collect();
    store.stage_devices(import, again).await.unwrap();
    store.finish_import(import, change(5)).await.unwrap();
    assert_eq!(store.device(&first.id).await.unwrap(), Some(blocked));
    let last = store.device(&id("fleet-00600")).await.unwrap().unwrap();
    assert_eq!(last.registered, at(9));
    let number = ImportNumber(import.0 + 100);
    assert!(matches!(store.finish_import(number, change(6)).await, Err(Error::ImportEnded(_))));
}

async fn an_import_names_what_exists(Trial { store, .. }: Trial) {
    store.add_device(device("a"), change(1)).await.unwrap();
    let import = store.begin_import().await.unwrap();
    let other = Device { quota: Some(1), ..device("a") };
    let exists = store.stage_devices(import, vec![device("0"), other]).await;
    assert!(matches!(exists, Err(Error::DeviceExists(ref name)) if *name == id("a")), "{exists:?}");
    store.abandon_import(import).await.unwrap();
    for staged in [device("a"), device("staged")] {
        let import = store.begin_import().await.unwrap();
        let rival = Device { id: id("b"), ..staged.clone() };
        let taken = match staged.id == id("a") {
            true => store.stage_devices(import, vec![rival]).await,
            false => store.stage_devices(import, vec![staged.clone(), rival]).await,
        };
        assert!(
            matches!(&taken, Err(Error::IdentifierTaken { identifier, device })
                if **identifier == staged.identifiers[0] && *device == staged.id),
            "{taken:?}"
        );
        store.abandon_import(import).await.unwrap();
    }
    let import = store.begin_import().await.unwrap();
    store.stage_devices(import, vec![device("c")]).await.unwrap();
    let twice = Device { quota: Some(1), ..device("c") };
    let twice = store.stage_devices(import, vec![twice]).await;
    assert!(matches!(twice, Err(Error::DeviceExists(ref name)) if *name == id("c")), "{twice:?}");
    store.abandon_import(import).await.unwrap();
    assert_eq!(store.devices(&DeviceFilter::default(), None, 10).await.unwrap(), [device("a")]);
}

async fn a_device_registered_during_an_import_stays(Trial { store, .. }: Trial) {
    let import = store.begin_import().await.unwrap();
    store.stage_devices(import, vec![device("x")]).await.unwrap();
    let other = Device { quota: Some(1), ..device("x") };
    store.add_device(other.clone(), change(1)).await.unwrap();
    assert_eq!(store.identified(&other.identifiers).await.unwrap(), std::slice::from_ref(&other));
    let result = store.finish_import(import, change(2)).await;
    assert!(matches!(&result, Err(Error::DeviceExists(name)) if *name == id("x")), "{result:?}");
    store.abandon_import(import).await.unwrap();
    assert_eq!(store.identified(&other.identifiers).await.unwrap(), [other]);

    // The same for one that comes with its first request.
    let import = store.begin_import().await.unwrap();
    store.stage_devices(import, vec![device("z")]).await.unwrap();
    let rival = Device { id: id("y"), ..device("z") };
    let conditions = Conditions { register: Some(rival.clone()), ..free() };
    assert_eq!(begun(&*store, of("y", 1), conditions).await, Begun::New);
    let result = store.finish_import(import, change(2)).await;
    assert!(
        matches!(&result, Err(Error::IdentifierTaken { device, .. }) if *device == id("y")),
        "{result:?}"
    );
    store.abandon_import(import).await.unwrap();
    assert_eq!(store.device(&id("z")).await.unwrap(), None);
    assert_eq!(store.identified(&rival.identifiers).await.unwrap(), [rival]);
}

async fn devices_and_tokens_of_another_store_are_imported(Trial { store, trail }: Trial) {
    let blocked = Device { standing: DeviceStanding::Blocked, ..device("a") };
    let used = Token { consumed_by: Some(serial(7)), reissued: true, ..token(1) };
    let items = [
        Item::Device(Box::new(blocked.clone())),
        Item::Device(Box::new(device("b"))),
        Item::Token(Box::new(used.clone())),
        Item::Token(Box::new(token(2))),
    ];
    store.import(items.to_vec()).await.unwrap();
    store.import(items.to_vec()).await.unwrap();
    assert!(trail.published().is_empty());
    let kept = store.devices(&DeviceFilter::default(), None, 9).await.unwrap();
    assert_eq!(kept, [blocked, device("b")]);
    assert!(store.is_barred(&id("a")).await.unwrap());
    assert_eq!(store.identified(&device("b").identifiers).await.unwrap(), [device("b")]);
    assert_eq!(store.tokens(&TokenFilter::default(), None, 9).await.unwrap(), [used, token(2)]);
    let second = Intent { token: Some(token_id(2)), ..intent(1, 1) };
    assert_eq!(begun(&*store, second, free()).await, Begun::New);
    let differing = [
        Item::Device(Box::new(device("a"))),
        Item::Device(Box::new(Device { id: id("c"), ..device("b") })),
        Item::Token(Box::new(token(1))),
    ];
    for item in differing {
        let imported = store.import(vec![item]).await;
        assert!(matches!(imported, Err(Error::Conflict(_))), "{imported:?}");
    }
}

async fn accounts_change(Trial { store, trail }: Trial) {
    store.add_account(account("a"), change(1)).await.unwrap();
    let new = Account { expires: Some(at(9)), labels: None, ..digest_account("a") };
    store.change_account(&account("a"), new.clone(), change(2)).await.unwrap();
    assert_eq!(store.account("a").await.unwrap(), Some(new.clone()));
    let stale = store.change_account(&account("a"), account("a"), change(3)).await;
    assert!(matches!(stale, Err(Error::Changed(_))), "{stale:?}");
    let other = store.change_account(&new, account("b"), change(3)).await;
    assert!(matches!(other, Err(Error::Changed(_))), "{other:?}");
    let none = store.change_account(&account("c"), account("c"), change(3)).await;
    assert!(matches!(none, Err(Error::Changed(_))), "{none:?}");
    assert_eq!(trail.published().len(), 2);
}

async fn lists_by_device_key_and_predecessor(Trial { store, .. }: Trial) {
    for number in 1..=400 {
        let name = format!("gate-{}", number % 7);
        let intent = Intent {
            device: (number % 5 > 0).then(|| id(&name)),
            spki_sha256: key(number % 11).0,
            predecessor: (number % 3 == 0 && number > 3).then(|| serial(number - 3)),
            ..intent(number, number)
        };
        assert_eq!(begun(&*store, intent, free()).await, Begun::New);
        match number % 4 {
            0 => {}
            1 => store.void(&serial(number), event(Name::IssuanceVoided, number)).await.unwrap(),
            _ => complete(&*store, number).await,
        }
        if number % 8 == 2 {
            store.revoke(&serial(number), revocation(number), revoked(number)).await.unwrap();
        }
    }
    let all = store.list(&Filter::default(), None, 1000).await.unwrap();
    assert_eq!(all.len(), 400);
    let filters = (0..400_u64).map(|number| Filter {
        device: (number % 3 == 0).then(|| id(&format!("gate-{}", number % 9))),
        key: (number % 4 == 1).then(|| key(number % 12).0),
        predecessor: (number % 5 == 2).then(|| serial(number)),
        expires_before: (number % 6 == 3).then(|| at(1000 + number)),
        expires_from: (number % 7 == 4).then(|| at(900 + number)),
        revoked_from: (number % 10 == 1).then(|| at(number)),
        state: [
            None,
            Some(State::Issued),
            Some(State::Revoked),
            Some(State::Void),
            Some(State::Open),
        ][usize::try_from(number % 5).unwrap()],
        ..Filter::default()
    });
    for filter in filters {
        let expected: Vec<_> = all.iter().filter(|one| filter.matches(one)).cloned().collect();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(&filter, after.as_ref(), 13).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.intent.serial.clone());
            assert!(page.len() <= 13);
            found.extend(page);
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}
