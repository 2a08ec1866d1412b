//! One-time tokens (RFC 7030 section 6): each gives one certificate, to its holder, under its label.

use crate::{
    common::*, devices::register, explain, fullcmc, fullcmc_controls::*, keygen::*,
    postgres::Postgres,
};
use estd::{
    entropy::SystemEntropy,
    ra::TokenText,
    store::{Begun, Conditions, Error, Grant, ProofKeys, State, Token},
    telemetry::audit::{Event, Name},
    types::{Actor, AuthMethod, Time, TokenId},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use zeroize::Zeroizing;

const HOUR: u64 = 3600;

const LABELS: &str = "[label.line]\naccept = [\"token\"]\n\
    [label.both]\naccept = [\"token\", \"password\"]\n\
    [label.digest]\naccept = [\"token\", \"password:digest\"]\n\
    [label.passwords]\naccept = [\"password\"]\n\
    [label.keys]\naccept = [\"token\"]\nserverkeygen = \"on\"\n\
    [label.own]\naccept = [\"token\"]\ndevices = \"registered\"\n\
    [label.own.names]\nmode = \"set\"\nsubject = \"CN={device.id},OU={device.tag.site}\"\n";

pub(crate) fn granting(grant: Grant, label: &str) -> Token {
    Token {
        id: TokenId([0; 32]),
        label: Some(label.parse().unwrap()),
        grant,
        created: Time::from_unix(NOW),
        expires: Time::from_unix(NOW + 24 * HOUR),
        disabled: false,
        consumed_by: None,
        reissued: false,
        proof_keys: None,
    }
}

/// Adds a token, and returns its text.
pub(crate) async fn add(server: &TestServer, token: Token) -> String {
    add_as(server, token, TokenText::generate(&SystemEntropy::new()).unwrap()).await
}

async fn add_as(server: &TestServer, token: Token, text: TokenText) -> String {
    let event = Event::new(token.created, Name::AccountAdded, Actor::server());
    let token = Token { id: text.id(), ..token };
    server.running.store().add_tokens(vec![token], event).await.unwrap();
    text.reveal().to_owned()
}

async fn any_name(server: &TestServer, label: &str) -> String {
    add(server, granting(Grant::AnyName, label)).await
}

fn csr(subject: &str) -> Vec<u8> {
    new_csr(&["-subj", subject]).0
}

async fn ask(server: &TestServer, label: &str, csr: &[u8], user: &str, password: &str) -> Reply {
    server.send(post(&format!("{label}/simpleenroll"), csr, &basic(user, password))).await
}

/// Status and code of a rejection, which stored nothing. Its explanation is the same.
async fn rejected(server: &TestServer, reply: &Reply, before: usize) -> (u16, String) {
    assert_eq!(server.issued().await.len(), before, "{}", reply.reason());
    let code = reply.reason().split(':').next().unwrap().to_owned();
    let explanation = explain::explain(server, &explain::by_id(reply)).await;
    assert_eq!(explain::code(&explanation), code, "{explanation:?}");
    (reply.status, code)
}

#[tokio::test]
async fn a_token_gives_one_certificate_and_its_retry_the_same_one() {
    let server = TestServer::start_with(LABELS).await;
    let text = any_name(&server, "line").await;
    let first = csr("/CN=unit-1");
    let reply = ask(&server, "line", &first, "", &text).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let issued = server.issued().await.pop().unwrap();
    let id = TokenText::recognize(&text).unwrap().unwrap().id();
    assert_eq!(issued.intent.token, Some(id));
    assert_eq!(issued.intent.actor.method, AuthMethod::Token);
    assert_eq!(issued.intent.actor.name, format!("token {}", id.short()));
    let token = server.running.store().token(&id).await.unwrap().unwrap();
    assert_eq!(token.consumed_by, Some(issued.intent.serial.clone()));

    let before = server.issued().await.len();
    let other = ask(&server, "line", &csr("/CN=unit-1"), "", &text).await;
    assert_eq!(rejected(&server, &other, before).await, (401, "auth.token".to_owned()));
    let used = format!("used for certificate {}", issued.intent.serial);
    assert!(other.reason().contains(&used), "{}", other.reason());
    assert!(other.header("WWW-Authenticate").unwrap().starts_with("Basic realm="));
    let again = ask(&server, "line", &first, "any user", &text).await;
    assert_eq!((again.status, again.body), (200, reply.body.clone()));

    // The retry of the request that used it is answered after its end, and after it was disabled.
    let event = Event::new(Time::from_unix(NOW), Name::AccountAdded, Actor::server());
    server.running.store().disable_token(&id, event).await.unwrap();
    let again = ask(&server, "line", &first, "", &text).await;
    assert_eq!((again.status, again.body), (200, reply.body));

    // Neither event nor record has the text, or the part of it that is random.
    let events = format!("{:?}", server.events.0.lock().unwrap());
    assert!(!events.contains(&text[4..]) && events.contains(&id.short()));
}

#[tokio::test]
async fn each_wrong_token_is_rejected_and_stores_nothing() {
    let server = TestServer::start_with(LABELS).await;
    server.add_digest_account("fitter", "s3cret", "estd").await;
    register(&server, "pump-7", |_| {}).await;
    let grant = || Grant::Device("pump-7".parse().unwrap());
    let good = any_name(&server, "line").await;
    let mut flipped = good.clone();
    let last = if good.ends_with('a') { "b" } else { "a" };
    flipped.replace_range(good.len() - 1.., last);
    let unknown = TokenText::generate(&SystemEntropy::new()).unwrap();
    let unknown = unknown.reveal();
    let expired = Token { expires: Time::from_unix(NOW), ..granting(Grant::AnyName, "line") };
    let expired = add(&server, expired).await;
    let disabled = Token { disabled: true, ..granting(Grant::AnyName, "line") };
    let disabled = add(&server, disabled).await;
    let unlabeled = Token { label: None, ..granting(Grant::AnyName, "line") };
    let unlabeled = add(&server, unlabeled).await;
    let of_pump = add(&server, granting(grant(), "own")).await;
    let of_both = any_name(&server, "both").await;
    let nobody = add(&server, granting(Grant::Device("valve-1".parse().unwrap()), "line")).await;
    let before = server.issued().await.len();
    for (label, user, password, expected, part) in [
        ("line", "", &*flipped, (401, "auth.password"), "got others"),
        ("both", "tester", &flipped, (401, "auth.password"), "got others"),
        ("line", "", unknown, (401, "auth.password"), "got others"),
        ("line", "", "", (401, "auth.scheme"), "expected: token"),
        ("line", "tester", PASSWORD, (401, "auth.scheme"), "expected: token"),
        ("line", "", &expired, (401, "auth.token"), "got a token that expired at 2026-11-"),
        ("line", "", &disabled, (401, "auth.token"), "got a token that was disabled"),
        ("line", "", &unlabeled, (401, "auth.token"), "got a token of requests without a label"),
        (
            "both",
            "",
            &good,
            (401, "auth.token"),
            "got a token of label line; expected: a token of label both",
        ),
        ("own", "pump-8", &of_pump, (401, "auth.token"), "user name \\\"pump-8\\\" beside a token"),
        ("passwords", "", &of_both, (401, "auth.scheme"), "got token; expected: basic"),
        ("line", "", &nobody, (403, "device.unregistered"), "got a token of device valve-1"),
    ] {
        let reply = ask(&server, label, &csr("/CN=unit-1"), user, password).await;
        let (status, code) = rejected(&server, &reply, before).await;
        assert_eq!((status, &*code), expected, "{label} {part}: {}", reply.reason());
        let shown = reply.reason();
        assert!(shown.contains(part) || shown.contains(&part.replace('\\', "")), "{shown}");
        assert!(!shown.contains("est_"), "{shown}");
    }
    // Digest proves a password without sending it: it cannot carry a token.
    let path = "/.well-known/est/digest/simpleenroll";
    let challenge = server.send(post("digest/simpleenroll", &csr("/CN=a"), "")).await;
    let fields: Vec<_> = challenge
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
        .flat_map(|(_, value)| estd::digest::Challenge::parse(value))
        .collect();
    let of_digest = any_name(&server, "digest").await;
    let target = estd::digest::Target { method: "POST", uri: path };
    let answer = fields[0].answer("fitter", &of_digest, target, 1, "0a4f113b");
    let header = format!("Authorization: {}\r\n", *answer);
    let reply = server.send(post("digest/simpleenroll", &csr("/CN=a"), &header)).await;
    assert_eq!(rejected(&server, &reply, before).await, (401, "auth.password".to_owned()));
    let reply = ask(&server, "digest", &csr("/CN=a"), "", &of_digest).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    // The label that takes both: a token of its own, and a password.
    for (user, password) in [("", &*of_both), ("tester", PASSWORD)] {
        assert_eq!(ask(&server, "both", &csr("/CN=b"), user, password).await.status, 200);
    }
}

#[tokio::test]
async fn the_names_are_those_that_the_token_grants() {
    let server = TestServer::start_with(LABELS).await;
    register(&server, "pump-7", |device| {
        device.tags.insert("site".to_owned(), "plant 7".to_owned());
    })
    .await;
    let names = Grant::Names {
        subject: "CN=unit-1,O=Example".to_owned(),
        san: vec!["dns:unit-1.example".to_owned(), "ip:192.0.2.1".to_owned()],
    };
    let exact = add(&server, granting(names.clone(), "line")).await;
    // The label sets other names: those of the token count.
    let set = add(&server, granting(Grant::Device("pump-7".parse().unwrap()), "own")).await;
    let before = server.issued().await.len();
    let with = |subject: &str, san: &str| new_csr(&["-subj", subject, "-addext", san]).0;
    let right = "subjectAltName=IP:192.0.2.1,DNS:unit-1.example";
    for (subject, san) in [
        ("/O=Example/CN=unit-2", right),
        ("/CN=unit-1/O=Example", right),
        ("/O=Example/CN=unit-1", "subjectAltName=DNS:unit-1.example"),
        ("/O=Example/CN=unit-1", "subjectAltName=DNS:unit-1.example,IP:192.0.2.1,DNS:more.example"),
        ("/O=Example/CN=unit-1", "subjectAltName=DNS:unit-1.example,IP:192.0.2.2"),
    ] {
        let reply = ask(&server, "line", &with(subject, san), "", &exact).await;
        let expected = (403, "names.match".to_owned());
        assert_eq!(rejected(&server, &reply, before).await, expected, "{subject} {san}");
    }
    let reply = ask(&server, "line", &with("/O=Example/CN=unit-1", right), "", &exact).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let reply = ask(&server, "own", &csr("/CN=whatever"), "pump-7", &set).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let issued = server.issued().await.pop().unwrap();
    assert_eq!(issued.intent.subject, "CN=pump-7,OU=plant 7");
    assert_eq!(issued.intent.device, Some("pump-7".parse().unwrap()));
    let text = add(&server, granting(names, "own")).await;
    let reply = ask(&server, "own", &with("/O=Example/CN=unit-1", right), "", &text).await;
    assert_eq!(reply.status, 403, "no device is identified: {}", reply.reason());
}

/// Sends these requests at once, each on a connection of its own.
pub(crate) async fn at_once(server: Arc<TestServer>, requests: Vec<Vec<u8>>) -> Vec<Reply> {
    let mut connections = Vec::new();
    for _ in &requests {
        connections.push(server.connect().await);
    }
    let send = |(mut connection, request): (Connection, Vec<u8>)| {
        tokio::spawn(async move { connection.send(request).await })
    };
    let sent: Vec<_> = connections.into_iter().zip(requests).map(send).collect();
    let mut replies = Vec::new();
    for reply in sent {
        replies.push(reply.await.unwrap());
    }
    replies
}

/// 64 different requests with one token, then 64 equal ones with another.
pub(crate) async fn race(server: TestServer) {
    let server = Arc::new(server);
    let (one, other) = (any_name(&server, "line").await, any_name(&server, "line").await);
    let key = new_key("EC");
    let request = |csr: &[u8], text: &str| post("line/simpleenroll", csr, &basic("", text));
    let different = (0..64)
        .map(|number| request(&csr_with(&key, &["-subj", &format!("/CN=unit-{number}")]), &one));
    let before = server.issued().await.len();
    let replies = at_once(Arc::clone(&server), different.collect()).await;
    let statuses = |wanted: u16| replies.iter().filter(|reply| reply.status == wanted).count();
    assert_eq!((statuses(200), statuses(401)), (1, 63), "{}", replies[0].reason());
    assert_eq!(server.issued().await.len(), before + 1);
    let same = csr("/CN=unit");
    let replies =
        at_once(Arc::clone(&server), (0..64).map(|_| request(&same, &other)).collect()).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{}", replies[0].reason());
    let certificates: BTreeSet<_> = replies.iter().map(|reply| reply.body.clone()).collect();
    assert_eq!(certificates.len(), 1);
    assert_eq!(server.issued().await.len(), before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_requests_at_once_one_gets_a_certificate_and_equal_ones_the_same() {
    race(TestServer::start_with(LABELS).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_requests_at_once_on_sled_one_gets_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    race(TestServer::start_in(folder, LABELS, "sled", NOW).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_requests_at_once_on_postgresql_one_gets_a_certificate() {
    let database = Postgres::start();
    database.sql("postgres", "CREATE DATABASE estd");
    let socket = database.socket().display();
    // Text after `backend = "` in the configuration.
    let backend = format!("postgres\"\nconnection = \"host={socket} dbname=estd user=estd");
    let folder = tempfile::tempdir().unwrap();
    race(TestServer::start_in(folder, LABELS, &backend, NOW).await).await;
}

/// The server's key was lost on its way: the retry gets another one, once, and the first certificate ends.
#[tokio::test]
async fn a_generated_key_that_may_be_lost_is_replaced_once() {
    let server = TestServer::start_with(LABELS).await;
    let text = any_name(&server, "keys").await;
    let csr = Wanted::new("EC", "CN=d").csr();
    let ask = async || server.send(post("keys/serverkeygen", &csr, &basic("", &text))).await;
    let before = server.issued().await.len();
    for number in 1..=2 {
        let reply = ask().await;
        assert_eq!(reply.status, 200, "{}", reply.reason());
        assert_eq!(server.issued().await.len(), before + number);
    }
    let issued = server.issued().await;
    let [first, second] = &issued[before..] else { panic!() };
    assert_eq!((first.state, second.state), (State::Revoked, State::Issued));
    let third = ask().await;
    assert_eq!(rejected(&server, &third, before + 2).await, (401, "auth.token".to_owned()));
    assert!(third.reason().contains(&second.intent.serial.to_string()), "{}", third.reason());
    // Another request gets no key at all.
    let other = Wanted::new("EC", "CN=e").csr();
    let other = server.send(post("keys/serverkeygen", &other, &basic("", &text))).await;
    assert_eq!(rejected(&server, &other, before + 2).await, (401, "auth.token".to_owned()));
}

/// A retry while its first request still runs, on another node: that one gets no certificate then.
#[tokio::test]
async fn a_retry_for_a_generated_key_ends_its_first_request() {
    let csr = Wanted::new("EC", "CN=d").csr();
    let ask = async |server: &TestServer, text: &str| {
        server.send(post("keys/serverkeygen", &csr, &basic("", text))).await
    };
    // The record of the first request.
    let other = TestServer::start_with(LABELS).await;
    let text = any_name(&other, "keys").await;
    assert_eq!(ask(&other, &text).await.status, 200);
    let first = other.issued().await.pop().unwrap().intent.clone();

    let server = TestServer::start_with(LABELS).await;
    let same = TokenText::recognize(&text).unwrap().unwrap();
    add_as(&server, granting(Grant::AnyName, "keys"), same).await;
    let store = server.running.store();
    let begun = store.begin(first.clone(), Conditions::default()).await.unwrap();
    assert_eq!(begun, Begun::New);
    let reply = ask(&server, &text).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    let late = Event::new(first.begun, Name::CertificateIssued, Actor::server());
    let late = store.complete(&first.serial, vec![0x30, 0], late).await;
    assert!(matches!(late, Err(Error::WrongState { state: State::Void, .. })), "{late:?}");
    // The first request used nothing of the one replacement.
    assert_eq!(ask(&server, &text).await.status, 200);
    assert_eq!(ask(&server, &text).await.status, 401);
    let of_token = server.issued().await;
    let of_token = of_token.iter().filter(|one| one.intent.token.is_some());
    assert_eq!(of_token.filter(|one| one.state == State::Issued).count(), 1);
}

#[tokio::test]
async fn wrong_tokens_are_counted_as_wrong_passwords_are() {
    let limits = "[passwords]\nfailures_per_address = 5\n";
    let server = TestServer::start_with(&format!("{LABELS}{limits}")).await;
    let good = any_name(&server, "line").await;
    let csr = csr("/CN=unit-1");
    let unknown = TokenText::generate(&SystemEntropy::new()).unwrap();
    for _ in 0..5 {
        let reply = ask(&server, "line", &csr, "", unknown.reveal()).await;
        assert_eq!(reply.status, 401);
    }
    for text in [unknown.reveal(), &good] {
        let reply = ask(&server, "line", &csr, "", text).await;
        assert_eq!(reply.status, 429, "{}", reply.reason());
    }
    server.clock.advance(Duration::from_secs(HOUR));
    assert_eq!(ask(&server, "line", &csr, "", &good).await.status, 200);
}

/// CMC: the token as the password of HTTP, and as the shared secret of a proof where it keeps one.
#[tokio::test]
async fn a_token_gives_one_certificate_in_cmc_too() {
    let on = "[est]\nfullcmc = true\naccept = [\"token\"]\n";
    let server = TestServer::start_with(on).await;
    let unlabeled = || Token { label: None, ..granting(Grant::AnyName, "line") };
    let plain = add(&server, unlabeled()).await;
    let text = TokenText::generate(&SystemEntropy::new()).unwrap();
    let secret = text.reveal().to_owned();
    let key = |parts: &[&str]| Zeroizing::new(<[u8; 32]>::try_from(key_of(parts)).unwrap());
    let keys = ProofKeys { alone: key(&[&secret]), named: key(&[&secret, "pump-7"]) };
    add_as(&server, Token { proof_keys: Some(keys), ..unlabeled() }, text).await;

    let (message, _) = fullcmc::by_new_key("/CN=cmc-1");
    let proved = message.clone().control(proof(4, &message, &key_of(&[&secret])));
    let wrong = message.clone().control(proof(4, &message, &key_of(&["another"])));
    for (password, message) in [(&plain, &proved), (&secret, &wrong)] {
        let outcome = fullcmc::rejected(&server, &message.der(), &basic("", password)).await;
        assert_eq!(outcome, (403, 7, vec![4]));
    }
    for (password, first) in [(&plain, &message), (&secret, &proved)] {
        let reply = server.send(fullcmc::request(&first.der(), &basic("", password))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let issued = server.issued().await.pop().unwrap();
        assert_eq!(issued.intent.actor.method, AuthMethod::Token);
        let (other, _) = fullcmc::by_new_key("/CN=cmc-2");
        let outcome = fullcmc::rejected(&server, &other.der(), &basic("", password)).await;
        assert_eq!(outcome, (403, 7, vec![1]));
    }
}
