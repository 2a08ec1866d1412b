//! An explanation decides as the server does, on a described request and on one that it answered, and
//! changes nothing.

use crate::{common::*, linking, unknown};
use ::base64::{Engine, engine::general_purpose::STANDARD};
use estd::{
    admin::{Admin, Handle},
    api::{Explain, ExplainedVerdict, Explanation, Revoke},
    client::operator::{CallError, ask},
    clock::Clock,
    entropy::SystemEntropy,
    pki::{Certificate, cert, extension_lines, pem},
    types::Actor,
};
use rustls::{
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{sync::Arc, time::Duration};

const RULES: &str = "[manufacturer.maker]\nanchors = [\"s-ca.pem\"]\n\
    [profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n\
    [profile.narrow]\nkeys = [\"rsa-3072\"]\n\
    [label.ra]\nprofile = \"ra\"\naccept = [\"password\"]\n\
    [label.narrow]\nprofile = \"narrow\"\n\
    [label.certificate]\naccept = [\"certificate\", \"ra\"]\n\
    [label.chained]\naccept = [\"certificate:narrow\"]\n\
    [label.both]\naccept = [[\"certificate\", \"password\"]]\n\
    [label.maker]\naccept = [\"manufacturer:maker\"]\n\
    [label.digest]\naccept = [\"password:digest\"]\n\
    [label.same]\nrenewal.key = \"same\"\n\
    [label.new]\nrenewal.key = \"new\"\n\
    [label.bound]\nlinking = \"required\"\n\
    [label.unbound]\nlinking = \"off\"\n\
    [label.change]\nchange_names = true\n\
    [label.keygen]\nserverkeygen = \"on\"\n\
    [label.other]\nca = \"other\"\n\
    [ca.other]\nroot_subject = \"CN=other root\"\nissuing_subject = \"CN=other CA\"\n[ca.default]\n";

/// A request, and the code of the rejection that it gets, or "".
struct Asked<'a> {
    /// Label, with the slash, and operation.
    path: &'a str,
    csr: Vec<u8>,
    device: Option<&'a Identity>,
    login: Option<(&'a str, &'a str)>,
    expected: &'a str,
}

pub(crate) async fn explain(server: &TestServer, call: &Explain) -> Explanation {
    ask(server.running.socket().unwrap(), call).await.unwrap()
}

fn described(asked: &Asked<'_>) -> Explain {
    let (label, operation) = match asked.path.split_once('/') {
        Some((label, operation)) => (Some(label.to_owned()), operation),
        None => (None, asked.path),
    };
    let chain = asked.device.map_or("", |device| &device.pem);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
    Explain {
        label,
        operation: Some(operation.to_owned()),
        csr: Some(STANDARD.encode(&asked.csr)),
        certificates: chain.map(|der| STANDARD.encode(der.unwrap())).collect(),
        account: asked.login.map(|(user, _)| user.to_owned()),
        ..Explain::default()
    }
}

pub(crate) fn by_id(reply: &Reply) -> Explain {
    let id = reply.header("X-Request-Id").unwrap();
    Explain { request: Some(id.to_owned()), ..Explain::default() }
}

pub(crate) fn code(explanation: &Explanation) -> &str {
    let code = explanation.rejection.as_ref().map_or("", |rejection| rejection.code.as_str());
    let expected =
        if code.is_empty() { ExplainedVerdict::Issued } else { ExplainedVerdict::Rejected };
    assert_eq!(explanation.verdict, expected, "{explanation:?}");
    code
}

/// The number of events and of records.
async fn traces(server: &TestServer) -> (usize, usize) {
    let events = server.events.0.lock().unwrap().len();
    (events, server.issued().await.len())
}

/// A TBSCertificate from the field behind its serial number on.
fn behind_serial(tbs: &[u8]) -> &[u8] {
    let version = tbs.windows(5).position(|part| part == [0xa0, 3, 2, 1, 2]).unwrap() + 5;
    let rest = &tbs[version..];
    assert_eq!(rest[0], 2);
    &rest[2 + usize::from(rest[1])..]
}

/// Explains a request, sends it, and explains what was sent.
async fn same(server: &TestServer, asked: &Asked<'_>) {
    let what = format!("{} {:?}, {}", asked.path, asked.login, asked.expected);
    // A wrong password cannot be described: none is asked for.
    let wrong = asked.login.is_some_and(|(_, password)| password == "wrong");
    let before = traces(server).await;
    let first = explain(server, &described(asked)).await;
    if !wrong {
        assert_eq!(code(&first), asked.expected, "{what}: {first:?}");
    }
    assert_eq!(traces(server).await, before, "{what}: an explanation leaves no trace");

    let login = asked.login.map(|(user, password)| basic(user, password)).unwrap_or_default();
    let mut connection = match asked.device {
        Some(device) => server.connect_as(device).await,
        None => server.connect().await,
    };
    let reply = connection.send(post(asked.path, &asked.csr, &login)).await;
    let answered = match reply.status {
        200 => String::new(),
        _ => reply.reason().split(':').next().unwrap().to_owned(),
    };
    assert_eq!(answered, asked.expected, "{what}");

    let before = traces(server).await;
    let second = explain(server, &by_id(&reply)).await;
    assert_eq!(traces(server).await, before, "{what}");
    let recorded = second.recorded.as_ref().unwrap();
    let recorded = recorded.rejection.as_ref().map_or("", |rejection| rejection.code.as_str());
    assert_eq!(recorded, asked.expected, "{what}");
    assert_eq!(second.claimed, [""; 0], "{what}: the connection has shown all of it");
    match second.verdict {
        // Its body was not read, or was no CSR: nothing of it is kept.
        ExplainedVerdict::Undecided => {
            assert!(asked.expected.starts_with("csr."), "{what}: {second:?}");
            assert_eq!(second.left_out.len(), 1);
        }
        _ => assert_eq!(code(&second), asked.expected, "{what}: {second:?}"),
    }
    if reply.status == 200 && asked.path.ends_with("enroll") {
        let issued =
            pem::decode_certificates(reply.certificate_pem().as_bytes()).unwrap().remove(0);
        for explained in [first, second] {
            let shown = explained.certificate.unwrap();
            let tbs = STANDARD.decode(&shown.tbs).unwrap();
            assert_eq!(
                behind_serial(&tbs),
                behind_serial(cert::tbs(&issued).unwrap()),
                "{what}: another certificate"
            );
            assert_eq!(shown.extensions, extension_lines(&issued).unwrap());
        }
    }
}

/// A chain of a manufacturer whose anchor is read at the start.
async fn start() -> (TestServer, Identity) {
    let folder = tempfile::tempdir().unwrap();
    let (_, device) = stranger(folder.path(), "/CN=made-1/serialNumber=1", "");
    (TestServer::start_in(folder, RULES, "memory", NOW).await, device)
}

#[tokio::test]
async fn an_explanation_decides_as_the_server() {
    let (server, made) = start().await;
    server.add_account("elsewhere", "right", Some(vec!["narrow"])).await;
    let device = server.device("/CN=device-1").await;
    let revoked = server.device("/CN=device-2").await;
    let ra = server.registration_authority("/CN=line-1").await;
    let lost = unknown::signed_elsewhere(&server, "/CN=device-1", "0x1234567890");
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, alien) = stranger(elsewhere.path(), "/CN=device-1", "");
    let serial = Certificate::parse(&revoked.der()).unwrap().serial().to_string();
    let call = Revoke { serials: vec![serial], reason: None, comment: None };
    ask(server.running.socket().unwrap(), &call).await.unwrap();

    let csr = |arguments: &[&str]| new_csr(arguments).0;
    let own = || csr(&["-subj", "/CN=device-1"]);
    let other = || csr(&["-subj", "/CN=device-9"]);
    let with = |extension: &str| csr(&["-subj", "/CN=device-1", "-addext", extension]);
    let good = Some(("tester", PASSWORD));
    let mut broken = own();
    *broken.last_mut().unwrap() ^= 1;
    let old_key = csr_with(&device.key, &["-subj", "/CN=device-1"]);
    let any = base64(&[7; 32]);
    let all = [
        ("simpleenroll", own(), None, good, ""),
        ("simpleenroll", with("subjectAltName=DNS:a.example,IP:192.0.2.1"), None, good, ""),
        ("simpleenroll", with("keyUsage=critical,digitalSignature"), None, good, ""),
        ("simpleenroll", own(), Some(&device), None, ""),
        ("simpleenroll", other(), Some(&device), good, ""),
        ("simpleenroll", other(), Some(&ra), None, ""),
        ("certificate/simpleenroll", other(), Some(&device), None, "enroll.names"),
        ("certificate/simpleenroll", own(), None, good, "auth.none"),
        ("both/simpleenroll", own(), Some(&device), good, ""),
        ("both/simpleenroll", own(), None, good, "auth.none"),
        ("both/simpleenroll", other(), Some(&device), None, "auth.no-password"),
        ("chained/simpleenroll", other(), Some(&device), None, "label.certificate"),
        ("maker/simpleenroll", own(), Some(&made), None, "enroll.names"),
        ("maker/simpleenroll", csr(&["-subj", "/CN=made-1/serialNumber=1"]), Some(&made), None, ""),
        (
            "maker/simpleenroll",
            csr_with(&made.key, &["-subj", "/CN=made-1/serialNumber=1"]),
            Some(&made),
            None,
            "enroll.idevid-key",
        ),
        ("certificate/simpleenroll", own(), Some(&made), None, "label.manufacturer"),
        ("simplereenroll", own(), Some(&device), None, ""),
        ("simplereenroll", own(), Some(&made), None, "reenroll.certificate"),
        ("simplereenroll", other(), Some(&device), None, "reenroll.identity"),
        ("simplereenroll", own(), None, good, "reenroll.certificate"),
        ("other/simplereenroll", own(), Some(&device), None, "label.ca"),
        ("new/simplereenroll", old_key.clone(), Some(&device), None, "reenroll.key-reuse"),
        ("same/simplereenroll", own(), Some(&device), None, "reenroll.key-change"),
        ("same/simplereenroll", old_key, Some(&device), None, ""),
        ("simpleenroll", own(), None, None, "auth.none"),
        ("simpleenroll", own(), None, Some(("tester", "wrong")), "auth.password"),
        ("simpleenroll", own(), None, Some(("nobody", "any")), "auth.password"),
        ("simpleenroll", own(), None, Some(("elsewhere", "right")), "auth.password"),
        ("ra/simpleenroll", own(), None, good, "auth.password"),
        ("simpleenroll", own(), Some(&alien), None, "auth.certificate"),
        ("simpleenroll", own(), Some(&revoked), None, "auth.certificate"),
        ("simpleenroll", own(), Some(&lost), None, "auth.unknown-certificate"),
        ("simpleenroll", with("basicConstraints=CA:TRUE"), None, good, "csr.ca"),
        ("simpleenroll", with("keyUsage=keyCertSign"), None, good, "csr.key-usage"),
        ("simpleenroll", with("extendedKeyUsage=serverAuth"), None, good, "csr.extended-key-usage"),
        (
            "simpleenroll",
            with("tlsfeature=status_request"),
            None,
            good,
            "csr.unsupported-extension",
        ),
        ("simpleenroll", csr(&["-subj", "/"]), None, good, "csr.no-name"),
        ("simpleenroll", b"garbage".to_vec(), None, good, "csr.form"),
        ("simpleenroll", broken, None, good, "csr.proof-of-possession"),
        ("narrow/simpleenroll", own(), None, good, "csr.key-kind"),
        ("bound/simpleenroll", own(), None, good, "linking.required"),
        ("unbound/simpleenroll", linking::bound("device-1", &any), None, good, "linking.off"),
        (
            "simpleenroll",
            linking::with_one_time_password("device-1", "123456"),
            None,
            good,
            "csr.unsupported-attribute",
        ),
        ("keygen/serverkeygen", own(), None, good, ""),
    ];
    for (path, csr, device, login, expected) in all {
        same(&server, &Asked { path, csr, device, login, expected }).await;
    }
    let alarms = server.events_named("certificate.unknown").len();
    assert_eq!(alarms, 1, "the request has raised it, and no explanation");
}

#[tokio::test]
async fn the_time_of_the_request_decides() {
    let window = "[label.late]\nrenewal.window = \"50%\"\nrenewal.grace = \"7d\"\n";
    let server = TestServer::start_with(window).await;
    let device = server.device("/CN=device-1").await;
    let end = Certificate::parse(&device.der()).unwrap().not_after();
    let begins = server.clock.now();
    let half = end.since(begins) / 2;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let (path, login, expected) = ("late/simplereenroll", None, "");
    let asked = Asked { path, csr, device: Some(&device), login, expected };
    let day = Duration::from_secs(86_400);
    for (at, expected) in [
        (begins, "renewal.early"),
        (begins.plus(half - day), "renewal.early"),
        (begins.plus(half + day), ""),
        (end, ""),
        (end.plus(7 * day), ""),
        (end.plus(8 * day), "auth.certificate"),
        (begins.minus(day), "auth.not-yet-valid"),
    ] {
        let call = Explain { at: Some(at.to_string()), ..described(&asked) };
        assert_eq!(code(&explain(&server, &call).await), expected, "{at}");
    }
    for (by, expected) in [(Duration::ZERO, "renewal.early"), (half + day, ""), (half, "")] {
        server.clock.advance(by);
        same(&server, &Asked { expected, csr: asked.csr.clone(), ..asked }).await;
    }
}

/// The value of a binding is neither kept nor shown, and the outcome of its comparison is.
#[tokio::test]
async fn a_binding_is_claimed_in_a_file_and_recorded_of_a_connection() {
    let server = TestServer::start().await;
    for version in [&TLS12, &TLS13] {
        for right in [true, false] {
            let mut connection =
                Connection::open(server.address(), None, &[version]).await.unwrap();
            let value = match right {
                true => linking::value(&connection),
                false => base64(&[9; 32]),
            };
            let csr = linking::bound("device-1", &value);
            let login = Some(("tester", PASSWORD));
            let asked = Asked { path: "simpleenroll", csr, device: None, login, expected: "" };
            let file = explain(&server, &described(&asked)).await;
            assert_eq!(code(&file), "");
            assert!(file.claimed.iter().any(|claim| claim.contains("channel binding")), "{file:?}");
            let reply =
                connection.send(post(asked.path, &asked.csr, &basic("tester", PASSWORD))).await;
            assert_eq!(reply.status == 200, right);
            let recorded = explain(&server, &by_id(&reply)).await;
            assert_eq!(code(&recorded), if right { "" } else { "linking.mismatch" });
            assert!(!format!("{recorded:?}").contains(&value));
            let linking = recorded.rules.iter().find(|rule| rule.rule == "linking").unwrap();
            let kind = if *version == TLS12 { "tls-unique" } else { "tls-exporter" };
            assert_eq!(linking.got == kind, right, "{linking:?}");
        }
    }
    // A client may put a password in the place of a binding.
    let csr = linking::bound("device-1", "my secret password");
    let reply = server.enroll(&csr).await;
    let recorded = explain(&server, &by_id(&reply)).await;
    assert_eq!(code(&recorded), "linking.mismatch");
    assert!(!format!("{recorded:?}").contains("my secret"));
}

#[tokio::test]
async fn failed_logins_are_not_counted_and_their_limit_is_shown() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let asked = Asked {
        path: "simpleenroll",
        csr,
        device: None,
        login: Some(("nobody", "")),
        expected: "auth.password",
    };
    for _ in 0..100 {
        assert_eq!(code(&explain(&server, &described(&asked)).await), "auth.password");
    }
    assert_eq!(server.enroll(&asked.csr).await.status, 200);
    let reply = server.send(post("simpleenroll", &asked.csr, &basic("tester", "wrong"))).await;
    assert_eq!(reply.status, 401);
    for _ in 0..100 {
        assert_eq!(code(&explain(&server, &by_id(&reply)).await), "auth.password");
    }
    assert_eq!(server.enroll(&asked.csr).await.status, 200);
}

/// A name without an account may be a mistyped password.
#[tokio::test]
async fn a_recorded_request_has_no_password() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for (user, password) in [("my-own-secret-password", "x"), ("tester", "my-own-secret-password")]
    {
        let reply = server.send(post("simpleenroll", &csr, &basic(user, password))).await;
        let recorded = explain(&server, &by_id(&reply)).await;
        assert_eq!(code(&recorded), "auth.password");
        assert!(!format!("{recorded:?}").contains("secret-password"), "{recorded:?}");
    }
}

#[tokio::test]
async fn an_unknown_request_or_a_wrong_value_is_an_error() {
    let server = TestServer::start().await;
    let socket = server.running.socket().unwrap();
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let csr = Some(STANDARD.encode(csr));
    let error = async |call: Explain| match ask(socket, &call).await {
        Err(CallError::Response(response)) => response.error + "; " + &response.remedy,
        other => panic!("{other:?}"),
    };
    let id = Some("0123456789abcdef".to_owned());
    let forgotten = error(Explain { request: id.clone(), ..Explain::default() }).await;
    assert!(
        forgotten.contains("0123456789abcdef") && forgotten.contains("audit file"),
        "{forgotten}"
    );
    for (call, expected) in [
        (Explain { request: id, csr: csr.clone(), ..Explain::default() }, "request"),
        (
            Explain { label: Some("none".to_owned()), csr: csr.clone(), ..Explain::default() },
            "label",
        ),
        (
            Explain {
                operation: Some("fullcmc".to_owned()),
                csr: csr.clone(),
                ..Explain::default()
            },
            "operation",
        ),
        (
            Explain {
                operation: Some("serverkeygen".to_owned()),
                csr: csr.clone(),
                ..Explain::default()
            },
            "simpleenroll",
        ),
        (Explain { at: Some("soon".to_owned()), csr: csr.clone(), ..Explain::default() }, "time"),
        (Explain { csr: Some("?".to_owned()), ..Explain::default() }, "CSR"),
        (Explain::default(), "CSR"),
    ] {
        let error = error(call).await;
        assert!(error.contains(expected), "{error}");
    }
}

/// A request stays explained after a reload, and by the new rules.
#[tokio::test]
async fn a_reload_changes_the_decision_and_keeps_the_requests() {
    let server = TestServer::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let reply = server.enroll(&csr).await;
    assert_eq!(reply.status, 200);
    server
        .running
        .reload(server.settings("[est]\nlinking = \"required\"\n").unwrap())
        .await
        .unwrap();
    let recorded = explain(&server, &by_id(&reply)).await;
    assert_eq!(code(&recorded), "linking.required");
    assert!(recorded.recorded.unwrap().serial.is_some());
    assert_eq!(recorded.csrattrs.unwrap().len(), 2, "the new demands");
}

/// A command without a server has no rules, unless it loads them.
#[tokio::test]
async fn without_rules_nothing_is_explained() {
    let server = TestServer::start().await;
    let (store, clock) = (Arc::clone(server.running.store()), Arc::clone(&server.clock));
    let entropy = Arc::new(SystemEntropy::new());
    let admin = Admin::new(store, Vec::new(), "estd".to_owned(), clock, entropy);
    let outcome = Explain::default().handle(&admin, &Actor::server()).await;
    assert!(outcome.unwrap_err().remedy().contains("check-config"));
}
