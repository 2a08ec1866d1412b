//! The operator's calls about devices, tokens and the end of accounts.

use crate::common::*;
use estd::{
    admin::{new_token, token_id_of},
    api::{
        AbandonImport, BeginImport, ChangeStanding, ChangeTags, ChangeUser, CheckDevices,
        DeviceEntry, DeviceQuery, DisableTokens, FinishImport, ListUsers, NewDevice, NewToken,
        NewTokens, NewUser, ShowDevice, StageDevices, TokenEntry, TokenGrant, TokenQuery,
        call::AdminCall,
    },
    client::operator::{CallError, ask},
    clock::Clock,
    entropy::SystemEntropy,
    store::{Conditions, IdempotencyKey, Intent},
    telemetry::audit::{Event, Name},
    types::{Actor, AuthMethod, Serial, Time, TokenId},
};
use std::time::Duration;

/// Makes a call through the socket.
async fn call<C: AdminCall>(server: &TestServer, call: C) -> Result<C::Answer, String> {
    match ask(server.running.socket().unwrap(), &call).await {
        Ok(answer) => Ok(answer),
        Err(CallError::Response(response)) => {
            let kind = serde_json::to_value(response.kind).unwrap();
            Err(format!("{}: {}", kind.as_str().unwrap(), response.error))
        }
        Err(other) => panic!("{other}"),
    }
}

fn device(id: &str) -> NewDevice {
    NewDevice { id: id.to_owned(), ..NewDevice::default() }
}

fn with_identifier(id: &str, identifier: &str) -> NewDevice {
    NewDevice { identifiers: vec![identifier.to_owned()], ..device(id) }
}

async fn ids(server: &TestServer, query: DeviceQuery) -> Vec<String> {
    let (mut query, mut found) = (query, Vec::new());
    loop {
        let page = call(server, query.clone()).await.unwrap();
        found.extend(page.devices.into_iter().map(|one: DeviceEntry| one.id));
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

async fn all(server: &TestServer) -> Vec<String> {
    ids(server, DeviceQuery::default()).await
}

fn standing(devices: &[&str], standing: &str) -> ChangeStanding {
    let devices = devices.iter().map(|id| (*id).to_owned()).collect();
    ChangeStanding { devices, standing: standing.to_owned(), comment: Some("found".to_owned()) }
}

/// Records a certificate of a device.
async fn certificate_of(server: &TestServer, device: &str, number: u8) {
    let now = server.clock.now();
    let serial = Serial::parse(&[1, number]).unwrap();
    let intent = Intent {
        serial: serial.clone(),
        idempotency_key: IdempotencyKey([number; 32]),
        retry_until: now,
        device: Some(device.parse().unwrap()),
        ..template(now)
    };
    let store = server.running.store();
    store.begin(intent, Conditions::default()).await.unwrap();
    let event = Event::new(now, Name::CertificateIssued, Actor::server()).with("serial", &serial);
    store.complete(&serial, vec![1], event).await.unwrap();
}

fn template(now: Time) -> Intent {
    let serial = Serial::parse(&[1, 1]).unwrap();
    Intent {
        spki_sha256: [1; 32],
        not_before: now,
        not_after: now.plus(Duration::from_secs(1000)),
        begun: now,
        ..Intent::blank(serial, "default".parse().unwrap(), "device".parse().unwrap())
    }
}

#[tokio::test]
async fn a_device_is_registered_once_and_so_is_each_identifier() {
    let server = TestServer::start().await;
    let full = NewDevice {
        labels: Some(vec!["factory".to_owned()]),
        quota: Some(2),
        from: Some("2026-01-01".to_owned()),
        until: Some("2027-01-01T12:00:00Z".to_owned()),
        tags: [("site".to_owned(), "plant 7".to_owned())].into(),
        ..with_identifier("gw-1", "serial:acme:SN1")
    };
    let entry = call(&server, full.clone()).await.unwrap();
    assert_eq!((entry.state.as_str(), entry.quota), ("registered", Some(2)));
    assert_eq!(entry.from.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(call(&server, ShowDevice { id: "gw-1".to_owned() }).await.unwrap().device, entry);
    let again = call(&server, full).await.unwrap_err();
    assert_eq!(again, "exists: device gw-1 exists already");
    let taken = call(&server, with_identifier("gw-2", "serial:acme:SN1")).await.unwrap_err();
    assert!(taken.starts_with("exists: identifier serial:acme:SN1: got that of device gw-1"));
    for (bad, text) in [
        (device("a b"), "device id: got a b"),
        (device("~factory/0123456789abcdef0123456789abcdef"), "device id: got ~factory"),
        (with_identifier("gw-3", "mac:00"), "identifier: got mac:00; expected: serial:"),
        (NewDevice { quota: Some(0), ..device("gw-3") }, "quota: got 0"),
        (NewDevice { from: Some("soon".to_owned()), ..device("gw-3") }, "from: got soon"),
    ] {
        let error = call(&server, bad).await.unwrap_err();
        assert!(error.starts_with("invalid: ") && error.contains(text), "{error}");
    }
    assert_eq!(all(&server).await, ["gw-1"]);
    let events = server.events_named("device.added");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].detail("device"), Some("gw-1"));
    assert_eq!(events[0].detail("identifiers"), Some("serial:acme:SN1"));
    let missing = call(&server, ShowDevice { id: "gw-2".to_owned() }).await.unwrap_err();
    assert_eq!(missing, "not-found: device gw-2 does not exist");
}

#[tokio::test]
async fn devices_are_listed_by_each_condition_and_in_pages() {
    let server = TestServer::start().await;
    for number in 0..7 {
        let labels = (number < 2).then(|| vec!["lab".to_owned()]);
        let tags = (number == 3).then(|| ("site".to_owned(), "a".to_owned()));
        let new = NewDevice {
            labels,
            tags: tags.into_iter().collect(),
            ..device(&format!("gw-{number}"))
        };
        call(&server, new).await.unwrap();
    }
    certificate_of(&server, "gw-4", 4).await;
    certificate_of(&server, "gw-5", 5).await;
    call(&server, standing(&["gw-5", "gw-6"], "blocked")).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let none = DeviceQuery::default;
    for (query, expected) in [
        (DeviceQuery { search: some("GW-3"), ..none() }, &["gw-3"][..]),
        (DeviceQuery { state: some("active"), ..none() }, &["gw-4"]),
        (DeviceQuery { state: some("registered"), ..none() }, &["gw-0", "gw-1", "gw-2", "gw-3"]),
        (DeviceQuery { state: some("blocked"), ..none() }, &["gw-5", "gw-6"]),
        (DeviceQuery { state: some("retired"), ..none() }, &[]),
        (DeviceQuery { tag: some("site"), ..none() }, &["gw-3"]),
        (DeviceQuery { tag: some("site=b"), ..none() }, &[]),
        (
            DeviceQuery { label: some("other"), state: some("registered"), ..none() },
            &["gw-2", "gw-3"],
        ),
    ] {
        for limit in [1, 2, 1000] {
            let query = DeviceQuery { limit: Some(limit), ..query.clone() };
            assert_eq!(ids(&server, query.clone()).await, expected, "{query:?}");
        }
    }
    let page = call(&server, DeviceQuery { limit: Some(7), ..none() }).await.unwrap();
    assert_eq!((page.devices.len(), page.next), (7, None), "no page follows the last device");
    for (query, text) in [
        (DeviceQuery { state: some("new"), ..none() }, "state: got new"),
        (DeviceQuery { tag: some("Site"), ..none() }, "tag: got Site"),
        (DeviceQuery { limit: Some(0), ..none() }, "limit: got 0"),
        (DeviceQuery { after: some("a b"), ..none() }, "device id: got a b"),
    ] {
        let error = call(&server, query).await.unwrap_err();
        assert!(error.starts_with("invalid: ") && error.contains(text), "{error}");
    }
    let shown = call(&server, ShowDevice { id: "gw-4".to_owned() }).await.unwrap();
    assert_eq!((shown.device.state.as_str(), shown.certificate_count), ("active", 1));
    assert_eq!(shown.certificates[0].device.as_deref(), Some("gw-4"));
}

#[tokio::test]
async fn a_standing_is_changed_once_and_reported_for_each_device() {
    let server = TestServer::start().await;
    for id in ["gw-1", "gw-2"] {
        call(&server, device(id)).await.unwrap();
    }
    let done = call(&server, standing(&["gw-1", "none", "gw-2", "a b"], "blocked")).await.unwrap();
    let changed: Vec<_> =
        done.changed.iter().map(|one| (one.device.as_str(), one.before)).collect();
    assert_eq!(changed, [("gw-1", false), ("gw-2", false)]);
    let failed: Vec<_> = done.failed.iter().map(|one| one.reason.error.as_str()).collect();
    assert_eq!(failed[0], "device none does not exist");
    assert!(failed[1].starts_with("device id: got a b"), "{failed:?}");
    let done = call(&server, standing(&["gw-1"], "blocked")).await.unwrap();
    assert!(done.changed[0].before);
    call(&server, standing(&["gw-1"], "enabled")).await.unwrap();
    call(&server, standing(&["gw-2"], "retired")).await.unwrap();
    for (event, count) in [("device.blocked", 2), ("device.unblocked", 1), ("device.retired", 1)] {
        let events = server.events_named(event);
        assert_eq!(events.len(), count, "{event}");
        assert_eq!(events[0].detail("comment"), Some("found"));
        assert_eq!(events[0].actor.method, AuthMethod::Operator);
    }
    for (devices, to) in [(&[][..], "blocked"), (&["gw-1"], "gone")] {
        assert!(call(&server, standing(devices, to)).await.unwrap_err().starts_with("invalid: "));
    }
}

#[tokio::test]
async fn tags_are_set_and_removed() {
    let server = TestServer::start().await;
    call(&server, device("gw-1")).await.unwrap();
    let change = |set: &[(&str, &str)], remove: &[&str]| ChangeTags {
        device: "gw-1".to_owned(),
        set: set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
    };
    call(&server, change(&[("site", "a"), ("line", "2")], &[])).await.unwrap();
    let entry = call(&server, change(&[("site", "b")], &["line", "none"])).await.unwrap();
    assert_eq!(entry.tags, [("site".to_owned(), "b".to_owned())].into());
    for (bad, text) in [
        (change(&[], &[]), "at least one"),
        (change(&[("Site", "a")], &[]), "tag: got Site"),
        (change(&[("a", "")], &[]), "tag a: got nothing"),
        (ChangeTags { device: "none".to_owned(), ..change(&[("a", "b")], &[]) }, "device none"),
    ] {
        let error = call(&server, bad).await.unwrap_err();
        assert!(error.contains(text), "{error}");
    }
    let events = server.events_named("device.tagged");
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].detail("set"), Some("site=b"));
    assert_eq!(events[1].detail("removed"), Some("line none"));
}

#[tokio::test]
async fn an_import_is_seen_whole_or_not_at_all() {
    let server = TestServer::start().await;
    call(&server, with_identifier("gw-1", "serial:acme:1")).await.unwrap();
    let begin = async || call(&server, BeginImport {}).await.unwrap().import;
    let stage = async |import, devices: Vec<NewDevice>| {
        call(&server, StageDevices { import, devices }).await
    };
    let finish = async |import| {
        let file = Some("devices.csv".to_owned());
        call(&server, FinishImport { import, count: 3, file }).await
    };
    let first = begin().await;
    stage(first, vec![device("gw-2")]).await.unwrap();
    assert_eq!(all(&server).await, ["gw-1"]);
    // One of the second import discards the first.
    let second = begin().await;
    let error = stage(first, vec![device("gw-3")]).await.unwrap_err();
    assert!(error.starts_with("failed: the import "), "{error}");
    // One that is registered with the same contents stays as it is.
    stage(second, vec![with_identifier("gw-1", "serial:acme:1"), device("gw-3")]).await.unwrap();
    stage(second, vec![device("gw-4")]).await.unwrap();
    assert_eq!(all(&server).await, ["gw-1"]);
    finish(second).await.unwrap();
    assert_eq!(all(&server).await, ["gw-1", "gw-3", "gw-4"]);
    assert!(finish(second).await.is_err());
    let events = server.events_named("device.imported");
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].detail("count"), events[0].detail("file")),
        (Some("3"), Some("devices.csv"))
    );

    let third = begin().await;
    let conflicting = vec![with_identifier("gw-5", "serial:acme:1")];
    let error = stage(third, conflicting.clone()).await.unwrap_err();
    assert!(error.contains("serial:acme:1: got that of device gw-1"), "{error}");
    let devices = [conflicting, vec![device("gw-1"), device("gw-3"), device("gw-6")]].concat();
    let found = call(&server, CheckDevices { devices }).await.unwrap();
    let failed: Vec<_> = found.failed.iter().map(|one| one.device.as_str()).collect();
    assert_eq!(failed, ["gw-5", "gw-1"]);
    call(&server, AbandonImport { import: third }).await.unwrap();
    call(&server, AbandonImport { import: third }).await.unwrap();
    let error = stage(begin().await, vec![device("a b")]).await.unwrap_err();
    assert!(error.starts_with("invalid: device id"), "{error}");
    assert_eq!(all(&server).await.len(), 3);
}

fn new_tokens(grants: &[TokenGrant], expires: &str) -> (NewTokens, Vec<String>) {
    let (mut tokens, mut texts) = (Vec::new(), Vec::new());
    for grant in grants {
        let fresh = new_token(&SystemEntropy::new(), grant, true).unwrap();
        texts.push(fresh.text.to_string());
        let (id, proof_keys) = (fresh.id, fresh.proof_keys);
        tokens.push(NewToken { id, grant: grant.clone(), proof_keys });
    }
    let expires = expires.to_owned();
    (NewTokens { label: Some("lab".to_owned()), expires, tokens, dry_run: false }, texts)
}

async fn tokens(server: &TestServer, query: TokenQuery) -> Vec<TokenEntry> {
    let (mut query, mut found) = (query, Vec::new());
    loop {
        let page = call(server, query.clone()).await.unwrap();
        found.extend(page.tokens);
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn tokens_are_created_listed_and_disabled_without_their_texts() {
    let server = TestServer::start().await;
    call(&server, device("gw-1")).await.unwrap();
    let names = TokenGrant::Names {
        subject: "CN=gw-1,O=Example".to_owned(),
        san: vec!["dns:GW-1.example".to_owned(), "ip:192.0.2.7".to_owned()],
    };
    let grants = [TokenGrant::Device("gw-1".to_owned()), names, TokenGrant::AnyName];
    let (new, texts) = new_tokens(&grants, "24h");
    call(&server, NewTokens { dry_run: true, ..new.clone() }).await.unwrap();
    assert_eq!(tokens(&server, TokenQuery::default()).await, []);
    let added = call(&server, new.clone()).await.unwrap();
    assert_eq!(added.expires, server.clock.now().plus(Duration::from_secs(86_400)).to_string());
    // In the form in which a CSR's names are compared.
    let TokenGrant::Names { subject, san } = &added.grants[1] else { panic!("{added:?}") };
    assert_eq!(subject, "CN=gw-1,O=Example");
    assert_eq!(san.len(), 2);
    let again = call(&server, new.clone()).await.unwrap_err();
    assert!(again.contains("already exists"), "{again}");

    for limit in [1, 2, 1000] {
        let query = TokenQuery { limit: Some(limit), ..TokenQuery::default() };
        assert_eq!(tokens(&server, query).await.len(), 3);
    }
    let of_device = TokenQuery { device: Some("gw-1".to_owned()), ..TokenQuery::default() };
    let listed = tokens(&server, of_device.clone()).await;
    assert_eq!((listed.len(), listed[0].state.as_str(), listed[0].cmc), (1, "usable", true));
    let first = token_id_of(&texts[0]).unwrap();
    assert_eq!(listed[0].id, first[..16]);
    let shown = call(&server, ShowDevice { id: "gw-1".to_owned() }).await.unwrap();
    assert_eq!(shown.tokens, listed);

    let disable = |token: &str| DisableTokens { tokens: vec![token.to_owned()], comment: None };
    for bad in ["0123", "xyz", &texts[0], &"0".repeat(65)] {
        let answer = call(&server, disable(bad)).await.unwrap();
        let error = &answer.failed[0].reason.error;
        assert!(error.starts_with("token: got ") && !error.contains(&texts[0][..12]), "{error}");
    }
    let answer = call(&server, disable("0123456789abcdef")).await.unwrap();
    assert_eq!(answer.failed[0].reason.error, "token 0123456789abcdef does not exist");
    let answer = call(&server, disable(&first[..8])).await.unwrap();
    assert_eq!(answer.disabled[0].state, "disabled");
    let state = |state: &str| TokenQuery { state: Some(state.to_owned()), ..TokenQuery::default() };
    assert_eq!(tokens(&server, state("usable")).await.len(), 2);
    assert_eq!(tokens(&server, state("disabled")).await[0].id, first[..16]);
    server.clock.advance(Duration::from_secs(86_400));
    assert_eq!(tokens(&server, state("expired")).await.len(), 2);

    // A whole id is the key of an identity proof: no event has it.
    let events = [server.events_named("token.created"), server.events_named("token.disabled")];
    let events = events.concat();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].detail("count"), Some("3"));
    assert_eq!(events[1].detail("token"), Some(&first[..16]));
    let whole = format!("{events:?}");
    for text in &texts {
        assert!(!whole.contains(&text[..12]) && !whole.contains(&token_id_of(text).unwrap()));
    }
}

#[tokio::test]
async fn a_used_token_names_its_certificate() {
    let server = TestServer::start().await;
    let (new, texts) = new_tokens(&[TokenGrant::AnyName], "1h");
    call(&server, new).await.unwrap();
    let id = token_id_of(&texts[0]).unwrap();
    let now = server.clock.now();
    let mut whole = [0; 32];
    for (byte, digits) in whole.iter_mut().zip(id.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    let intent = Intent { token: Some(TokenId(whole)), ..template(now) };
    let serial = intent.serial.to_string();
    server.running.store().begin(intent, Conditions::default()).await.unwrap();
    let listed = tokens(&server, TokenQuery::default()).await;
    assert_eq!((listed[0].state.as_str(), listed[0].certificate.as_ref()), ("used", Some(&serial)));
    let answer = call(&server, DisableTokens { tokens: vec![id], comment: None }).await.unwrap();
    assert_eq!(answer.disabled[0].certificate.as_ref(), Some(&serial));
    assert!(server.running.store().token(&TokenId(whole)).await.unwrap().unwrap().disabled);
}

#[tokio::test]
async fn a_token_is_created_for_acceptable_rights_and_times_only() {
    let server = TestServer::start().await;
    let labels = Some(vec!["factory".to_owned()]);
    call(&server, NewDevice { labels, ..device("gw-1") }).await.unwrap();
    call(&server, device("gw-2")).await.unwrap();
    call(&server, standing(&["gw-2"], "retired")).await.unwrap();
    let of = |id: &str| TokenGrant::Device(id.to_owned());
    let named = |subject: &str, san: &[&str]| TokenGrant::Names {
        subject: subject.to_owned(),
        san: san.iter().map(|entry| (*entry).to_owned()).collect(),
    };
    for (grant, expires, text) in [
        (of("none"), "1h", "not-found: device none"),
        (of("gw-1"), "1h", "label of device gw-1: got lab; expected: factory"),
        (of("gw-2"), "1h", "device: got gw-2, which is retired"),
        (named("", &[]), "1h", "names: got nothing"),
        (named("gw-1", &[]), "1h", "subject: got gw-1"),
        (named("CN=a", &["host:a"]), "1h", "subjectAltName: got host:a"),
        (named("CN=a", &["dns:a..b"]), "1h", "subjectAltName: got dns:a..b"),
        (TokenGrant::AnyName, "0s", "expires: got 0s"),
        (TokenGrant::AnyName, "367d", "expires: got 367d; expected: a time in the future, at most"),
        (TokenGrant::AnyName, "2020-01-01", "expires: got 2020-01-01"),
        (TokenGrant::AnyName, "soon", "end: got soon"),
    ] {
        let error = call(&server, new_tokens(&[grant], expires).0).await.unwrap_err();
        assert!(error.contains(text), "{text}: {error}");
    }
    let (mut new, _) = new_tokens(&[TokenGrant::AnyName], "1h");
    new.tokens[0].id = "abc".to_owned();
    assert!(call(&server, new).await.unwrap_err().contains("SHA-256: got abc"));
    let (mut new, _) = new_tokens(&[TokenGrant::AnyName], "1h");
    let keys = new.tokens[0].proof_keys.as_mut().unwrap();
    keys.named.pop();
    let key = keys.named.clone();
    let error = call(&server, new).await.unwrap_err();
    assert!(error.contains("proof keys: got another form") && !error.contains(&key), "{error}");
    let (mut new, _) = new_tokens(&[TokenGrant::AnyName], "1h");
    new.tokens.clear();
    assert!(call(&server, new).await.unwrap_err().contains("tokens: got 0"));
    assert_eq!(tokens(&server, TokenQuery::default()).await, []);
    assert_eq!(server.events_named("token.created").len(), 0);
}

#[tokio::test]
async fn an_account_changes_its_labels_end_and_password() {
    let server = TestServer::start().await;
    let new = NewUser {
        name: "line-1".to_owned(),
        password: "correct horse".to_owned(),
        labels: None,
        digest: true,
        digest_md5: true,
        identity_proof: true,
        allow_empty_name: false,
        expires: Some("30d".to_owned()),
        dry_run: false,
    };
    call(&server, new.clone()).await.unwrap();
    let past = NewUser { name: "b".to_owned(), expires: Some("2020-01-01".to_owned()), ..new };
    let error = call(&server, past).await.unwrap_err();
    assert!(error.contains("expires: got 2020-01-01T00:00:00Z; expected: a time in the future"));
    let shown = async || {
        let users = call(&server, ListUsers {}).await.unwrap().users;
        users.into_iter().find(|user| user.name == "line-1").unwrap()
    };
    let first = shown().await;
    let end = server.clock.now().plus(Duration::from_secs(30 * 86_400));
    assert_eq!(first.expires, Some(end.to_string()));
    let change = || ChangeUser { name: "line-1".to_owned(), ..ChangeUser::default() };
    let labels = Some(vec!["lab".to_owned()]);
    for (bad, text) in [
        (change(), "change: got nothing"),
        (ChangeUser { name: "none".to_owned(), never_expires: true, ..change() }, "not-found: "),
        (ChangeUser { password: Some("short".to_owned()), ..change() }, "password: got 5"),
        (ChangeUser { password: Some("LINE-1".to_owned()), ..change() }, "password: got 6"),
        (ChangeUser { expires: Some("2020-01-01".to_owned()), ..change() }, "expires: got 2020"),
        (ChangeUser { labels: Some(vec!["a b".to_owned()]), ..change() }, "label: got a b"),
        (ChangeUser { labels: labels.clone(), all_labels: true, ..change() }, "two of one kind"),
    ] {
        let error = call(&server, bad).await.unwrap_err();
        assert!(error.contains(text), "{text}: {error}");
    }
    assert_eq!(shown().await, first);
    let all = ChangeUser {
        password: Some("another horse".to_owned()),
        labels,
        never_expires: true,
        ..change()
    };
    call(&server, ChangeUser { dry_run: true, ..all.clone() }).await.unwrap();
    assert_eq!(shown().await, first);
    let entry = call(&server, all).await.unwrap();
    assert_eq!(entry, shown().await);
    assert_eq!((entry.labels, entry.expires), (Some(vec!["lab".to_owned()]), None));
    assert_eq!(entry.kept, first.kept, "the kinds of secrets stay");
    let events = server.events_named("account.changed");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].detail("changed"), Some("labels, expires, password"));
    assert!(!format!("{events:?}").contains("horse"));
    let back = ChangeUser { all_labels: true, expires: Some("1h".to_owned()), ..change() };
    let entry = call(&server, back).await.unwrap();
    assert_eq!((entry.labels, entry.expires.is_some()), (None, true));
}
