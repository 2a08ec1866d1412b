//! HTTP authentication (requirements of section 4): Digest beside Basic, and the limits of failures.
//! openssl computes the hashes of the clients here.

use crate::common::*;
use std::{collections::HashMap, time::Duration};

const BOTH: &str =
    "[est]\naccept = [\"certificate\", \"password:digest-md5\", \"password:digest\", \"ra\"]\n";
const PATH: &str = "/.well-known/est/simpleenroll";

/// The challenges of a 401, in their order.
fn challenges(reply: &Reply) -> Vec<String> {
    let fields = reply.headers.iter().filter(|(name, _)| name == "WWW-Authenticate");
    fields.map(|(_, value)| value.clone()).collect()
}

/// The parameters of a challenge of Digest, all of which are quoted.
fn parameters(challenge: &str) -> HashMap<String, String> {
    let list = challenge.strip_prefix("Digest ").expect("a challenge of Digest");
    list.split(", ")
        .map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap();
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            (name.to_owned(), value.expect("quoted").to_owned())
        })
        .collect()
}

fn hashed(algorithm: &str, text: &str) -> String {
    let option = if algorithm == "MD5" { "-md5" } else { "-sha256" };
    let out = String::from_utf8(openssl_with(&["dgst", "-r", option], text.as_bytes())).unwrap();
    out.split(' ').next().unwrap().to_owned()
}

/// A client of Digest.
#[derive(Clone)]
struct Client<'a> {
    user: &'a str,
    password: &'a str,
    realm: String,
    nonce: String,
    algorithm: String,
    nc: String,
    uri: String,
}

impl<'a> Client<'a> {
    fn new(challenge: &str, user: &'a str, password: &'a str) -> Self {
        let mut found = parameters(challenge);
        let mut take = |name: &str| found.remove(name).unwrap();
        Self {
            user,
            password,
            realm: take("realm"),
            nonce: take("nonce"),
            algorithm: take("algorithm"),
            nc: "00000001".to_owned(),
            uri: PATH.to_owned(),
        }
    }

    fn count(&self, nc: &str) -> Self {
        Self { nc: nc.to_owned(), ..self.clone() }
    }

    fn response(&self) -> String {
        let Self { user, password, realm, nonce, algorithm, nc, uri } = self;
        let hashed = |text: String| hashed(algorithm, &text);
        let (a1, a2) =
            (hashed(format!("{user}:{realm}:{password}")), hashed(format!("POST:{uri}")));
        hashed(format!("{a1}:{nonce}:{nc}:0a4f113b:auth:{a2}"))
    }

    fn field(&self) -> String {
        format!(
            "Authorization: Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", algorithm={}, nc={}, cnonce=\"0a4f113b\", qop=auth, response=\"{}\"\r\n",
            self.user,
            self.realm,
            self.nonce,
            self.uri,
            self.algorithm,
            self.nc,
            self.response()
        )
    }
}

async fn challenged(server: &TestServer, csr: &[u8]) -> Vec<String> {
    let reply = server.send(post("simpleenroll", csr, "")).await;
    assert_eq!((reply.status, &*reply.body), (401, &b""[..]));
    challenges(&reply)
}

async fn server_with(more: &str) -> (TestServer, Vec<u8>) {
    let server = TestServer::start_with(more).await;
    server.add_digest_account("device", "s3cret", "estd").await;
    (server, new_csr(&["-subj", "/CN=device-1"]).0)
}

#[tokio::test]
async fn r_7616_3_3_a_two_challenges_md5_first_and_every_parameter_quoted() {
    let (server, csr) = server_with(BOTH).await;
    let reply = server.send(post("simpleenroll", &csr, "")).await;
    let challenges = challenges(&reply);
    let read: Vec<_> = challenges.iter().map(|one| parameters(one)).collect();
    assert_eq!(read.iter().map(|one| &*one["algorithm"]).collect::<Vec<_>>(), ["MD5", "SHA-256"]);
    for one in &read {
        let mut names: Vec<&str> = one.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["algorithm", "nonce", "qop", "realm"]);
        assert_eq!((&*one["realm"], &*one["qop"]), ("estd", "auth"));
    }
    assert_ne!(read[0]["nonce"], read[1]["nonce"]);
    // strongSwan reads at most this much at once.
    let head: usize = reply.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    assert!(head + reply.start.len() < 1000, "{head}");
}

/// proves: R-7616-3.3-a
#[tokio::test]
async fn r_9110_15_5_2_a_challenges_come_in_the_order_of_the_label_with_its_realm() {
    for (schemes, expected) in [
        ("\"password\"", &["Basic"][..]),
        ("\"password:digest\"", &["Digest SHA-256"]),
        ("\"password:digest-md5\"", &["Digest MD5"]),
        ("\"password:digest\", \"password\"", &["Digest SHA-256", "Basic"]),
        ("\"password\", \"password:digest\"", &["Basic", "Digest SHA-256"]),
        (
            "\"password:digest-md5\", \"password:digest\", \"password\"",
            &["Digest MD5", "Digest SHA-256", "Basic"],
        ),
    ] {
        let more = format!("[passwords]\nrealm = \"Plant 7\"\n[label.a]\naccept = [{schemes}]\n");
        let server = TestServer::start_with(&more).await;
        let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
        let reply = server.send(post("a/simpleenroll", &csr, "")).await;
        assert_eq!(reply.status, 401);
        let seen: Vec<String> = challenges(&reply)
            .iter()
            .map(|challenge| {
                if challenge == "Basic realm=\"Plant 7\", charset=\"UTF-8\"" {
                    return "Basic".to_owned();
                }
                let read = parameters(challenge);
                assert_eq!(read["realm"], "Plant 7");
                format!("Digest {}", read["algorithm"])
            })
            .collect();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn r_7616_3_4_a_a_right_answer_is_taken_once_for_each_count() {
    let (server, csr) = server_with(BOTH).await;
    for challenge in challenged(&server, &csr).await {
        let client = Client::new(&challenge, "device", "s3cret");
        let send = async |client: &Client<'_>| {
            server.send(post("simpleenroll", &csr, &client.field())).await
        };
        let first = send(&client).await;
        assert_eq!(first.status, 200, "{challenge}: {}", first.text());
        let replayed = send(&client).await;
        assert_eq!(replayed.status, 401);
        assert!(challenges(&replayed).iter().all(|one| parameters(one)["stale"] == "true"));
        assert_eq!(send(&client.count("00000002")).await.status, 200);
        assert_eq!(send(&client.count("0000000A")).await.status, 200);
        assert_eq!(send(&client.count("00000009")).await.status, 401, "a count of before");
        assert_eq!(send(&client.count("0000000b")).await.status, 200);
    }
    // The event names the algorithm that proved the password.
    let schemes: Vec<String> = server
        .events_named("certificate.issued")
        .iter()
        .flat_map(|event| event.details.iter().filter(|(name, _)| name == "scheme"))
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(schemes, ["digest-md5"], "the second is a retry");
    assert!(
        server
            .events_named("enrollment.retried")
            .iter()
            .any(|event| { event.details.contains(&("scheme".to_owned(), "digest".to_owned())) })
    );
}

#[tokio::test]
async fn r_7616_3_4_a_a_stale_nonce_with_the_right_password_is_reported_as_stale() {
    let (server, csr) = server_with(BOTH).await;
    let challenge = challenged(&server, &csr).await.remove(1);
    let client = Client::new(&challenge, "device", "s3cret");
    server.clock.advance(Duration::from_secs(301));
    let reply = server.send(post("simpleenroll", &csr, &client.field())).await;
    assert_eq!(reply.status, 401);
    let fresh = challenges(&reply).remove(1);
    assert_eq!(parameters(&fresh)["stale"], "true");
    let again = Client::new(&fresh, "device", "s3cret");
    assert_eq!(server.send(post("simpleenroll", &csr, &again.field())).await.status, 200);
    // A nonce that this server never issued is rejected like an old one.
    let foreign = Client { nonce: "AAAA".to_owned(), ..client.clone() };
    let reply = server.send(post("simpleenroll", &csr, &foreign.field())).await;
    assert_eq!(parameters(&challenges(&reply)[0])["stale"], "true");
    // With a wrong password, the answer does not report the nonce as stale.
    let wrong = Client { password: "other", ..client };
    let reply = server.send(post("simpleenroll", &csr, &wrong.field())).await;
    assert_eq!(reply.status, 401);
    assert!(challenges(&reply).iter().all(|one| !parameters(one).contains_key("stale")));
}

#[tokio::test]
async fn r_7616_3_4_a_an_answer_for_another_target_is_a_bad_request() {
    let (server, csr) = server_with(BOTH).await;
    let challenge = challenged(&server, &csr).await.remove(1);
    let client = Client::new(&challenge, "device", "s3cret");
    let to = |uri: &str| Client { uri: uri.to_owned(), ..client.clone() };
    for uri in [
        "/.well-known/est/simplereenroll",
        "/",
        "*",
        "https://elsewhere/.well-known/est/simpleenroll",
    ] {
        let reply = server.send(post("simpleenroll", &csr, &to(uri).field())).await;
        assert_eq!(reply.status, 400, "{uri}");
        assert!(reply.text().starts_with("auth.digest-uri: "), "{}", reply.text());
    }
    let whole = to(&format!("https://localhost{PATH}"));
    assert_eq!(server.send(post("simpleenroll", &csr, &whole.field())).await.status, 200);
}

#[tokio::test]
async fn r_7616_3_4_a_what_is_missing_or_was_not_offered_is_a_bad_request() {
    let (server, csr) = server_with(BOTH).await;
    let challenge = challenged(&server, &csr).await.remove(1);
    let field = Client::new(&challenge, "device", "s3cret").field();
    for (from, to) in [
        (", qop=auth", ""),
        (", nc=00000001", ""),
        ("nc=00000001", "nc=1"),
        ("qop=auth", "qop=auth-int"),
        ("algorithm=SHA-256", "algorithm=SHA-256-sess"),
        ("algorithm=SHA-256", "algorithm=SHA-512-256"),
        ("username=", "username*="),
        ("qop=auth", "qop=auth, userhash=true"),
        ("qop=auth", "qop=auth, nc=00000002"),
        ("cnonce=\"0a4f113b\", ", ""),
        ("qop=auth", "qop=auth, x"),
    ] {
        assert!(field.contains(from), "{from}");
        let reply = server.send(post("simpleenroll", &csr, &field.replace(from, to))).await;
        assert_eq!(reply.status, 400, "{from} -> {to}");
        assert!(reply.text().starts_with("auth.digest-form: "), "{}", reply.text());
    }
    // As Bouncy Castle and libest write them.
    let quoted = field
        .replace("nc=00000001", "nc=\"00000001\"")
        .replace("qop=auth", "qop=\"auth\", opaque=\"never sent\"")
        .replace("algorithm=SHA-256", "algorithm=\"SHA-256\"");
    assert_eq!(server.send(post("simpleenroll", &csr, &quoted)).await.status, 200);
}

#[tokio::test]
async fn a_wrong_password_user_realm_or_scheme_is_not_authenticated() {
    let (server, csr) =
        server_with("[est]\naccept = [\"certificate\", \"password:digest\", \"ra\"]\n").await;
    let challenge = challenged(&server, &csr).await.remove(0);
    let client = Client::new(&challenge, "device", "s3cret");
    let of = |rule: &str| {
        let rejected = server.events_named("enrollment.rejected");
        let reported = rejected.last().unwrap().details.clone();
        assert!(reported.contains(&("rule".to_owned(), rule.to_owned())), "{rule}: {reported:?}");
    };
    for (wrong, rule) in [
        (Client { password: "other", ..client.clone() }, "auth.password"),
        (Client { user: "nobody", ..client.clone() }, "auth.password"),
        // The account stores only a hash of its password, so Digest cannot be verified.
        (Client { user: "tester", password: PASSWORD, ..client.clone() }, "auth.password"),
        // The dummy secret used for unknown accounts is not accepted, either.
        (Client { user: "", password: "", ..client.clone() }, "auth.password"),
        (Client { realm: "other".to_owned(), ..client.clone() }, "auth.realm"),
        (Client { algorithm: "MD5".to_owned(), ..client.clone() }, "auth.scheme"),
    ] {
        let reply = server.send(post("simpleenroll", &csr, &wrong.field())).await;
        assert_eq!(reply.status, 401, "{rule}");
        of(rule);
    }
    // A correct password in a scheme that is not offered.
    let reply = server.send(post("simpleenroll", &csr, &basic("device", "s3cret"))).await;
    assert_eq!(reply.status, 401);
    of("auth.scheme");
    assert_eq!(server.send(post("simpleenroll", &csr, &client.field())).await.status, 200);
}

#[tokio::test]
async fn an_account_of_digest_may_use_basic_where_the_label_offers_it() {
    let (server, csr) = server_with(
        "[est]\naccept = [\"certificate\", \"password:digest\", \"password\", \"ra\"]\n",
    )
    .await;
    for (password, status) in [("s3cret", 200), ("other", 401), ("", 401)] {
        let reply = server.send(post("simpleenroll", &csr, &basic("device", password))).await;
        assert_eq!(reply.status, status, "{password:?}");
    }
}

/// proves: R-7030-3.2.3-e
#[tokio::test]
async fn an_empty_user_name_works_with_digest_too() {
    let server =
        TestServer::start_with("[est]\naccept = [\"certificate\", \"password:digest\", \"ra\"]\n")
            .await;
    server.add_digest_account("", "s3cret", "estd").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let challenge = challenged(&server, &csr).await.remove(0);
    let client = Client::new(&challenge, "", "s3cret");
    assert_eq!(server.send(post("simpleenroll", &csr, &client.field())).await.status, 200);
}

#[tokio::test]
async fn an_account_that_was_made_for_another_realm_is_rejected() {
    let server =
        TestServer::start_with("[est]\naccept = [\"certificate\", \"password:digest\", \"ra\"]\n")
            .await;
    server.add_digest_account("device", "s3cret", "of before").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let challenge = challenged(&server, &csr).await.remove(0);
    let client = Client::new(&challenge, "device", "s3cret");
    assert_eq!(server.send(post("simpleenroll", &csr, &client.field())).await.status, 401);
}

#[tokio::test]
async fn r_7030_3_2_3_c_a_client_without_http_authentication_is_served_by_its_certificate() {
    let (server, csr) = server_with(
        "[est]\naccept = [\"certificate\", \"password:digest\", \"password\", \"ra\"]\n",
    )
    .await;
    let reply = server.send(post("simpleenroll", &csr, &basic("tester", PASSWORD))).await;
    assert_eq!(reply.status, 200);
    let device = server.device("/CN=device-2").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-2"]);
    let mut connection = server.connect_as(&device).await;
    let reply = connection.send(post("simplereenroll", &csr, "")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// A reload keeps nonces valid. A restart invalidates them, so that none can be replayed.
#[tokio::test]
async fn a_nonce_outlives_a_reload_and_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    const DIGEST: &str = "[est]\naccept = [\"certificate\", \"password:digest\", \"ra\"]\n";
    let server = TestServer::start_in(folder, DIGEST, "sled", NOW).await;
    server.add_digest_account("device", "s3cret", "estd").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let challenge = challenged(&server, &csr).await.remove(0);
    let client = Client::new(&challenge, "device", "s3cret");
    server.running.reload(server.settings("").unwrap()).await.unwrap();
    assert_eq!(server.send(post("simpleenroll", &csr, &client.field())).await.status, 200);
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, DIGEST, "sled", NOW + 10).await;
    let reply = server.send(post("simpleenroll", &csr, &client.count("00000002").field())).await;
    assert_eq!((reply.status, &*parameters(&challenges(&reply)[0])["stale"]), (401, "true"));
}

#[tokio::test]
async fn r_7030_6_b_failures_are_limited_with_retry_after_and_a_right_password_is_never_counted() {
    let more = "[passwords]\nfailures_per_account = 3\nfailures_per_address = 5\nfailure_window = \"60s\"\n[est]\naccept = [\"certificate\", \"password\", \"password:digest\", \"ra\"]\n";
    let (server, csr) = server_with(more).await;
    let send = async |user: &str, password: &str| {
        server.send(post("simpleenroll", &csr, &basic(user, password))).await
    };
    for _ in 0..10 {
        assert_eq!(send("device", "s3cret").await.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(send("device", "wrong").await.status, 401);
    }
    let limited = send("device", "s3cret").await;
    assert_eq!((limited.status, limited.header("Retry-After")), (429, Some("20")));
    assert!(limited.text().starts_with("auth.failures: "), "{}", limited.text());
    assert!(challenges(&limited).is_empty());
    // Both schemes share the limit of the account.
    let challenge = challenged(&server, &csr).await.remove(1);
    let client = Client::new(&challenge, "device", "s3cret");
    assert_eq!(server.send(post("simpleenroll", &csr, &client.field())).await.status, 429);
    // Another account from this address: two more failures, whatever the account.
    assert_eq!(send("tester", PASSWORD).await.status, 200);
    for number in 0..2 {
        assert_eq!(send(&number.to_string(), "x").await.status, 401);
    }
    assert_eq!(send("tester", PASSWORD).await.status, 429);
    // The limit recovers with time.
    server.clock.advance(Duration::from_secs(12));
    assert_eq!(send("tester", PASSWORD).await.status, 200);
    assert_eq!(send("device", "s3cret").await.status, 429, "the account owes more");
    server.clock.advance(Duration::from_secs(8));
    assert_eq!(send("device", "s3cret").await.status, 200);
}

#[tokio::test]
async fn a_client_with_a_certificate_is_not_held_up_by_failures_of_passwords() {
    let more = "[passwords]\nfailures_per_account = 1\nfailures_per_address = 1\n";
    let (server, csr) = server_with(more).await;
    let device = server.device("/CN=device-1").await;
    assert_eq!(server.send(post("simpleenroll", &csr, &basic("x", "y"))).await.status, 401);
    assert_eq!(server.send(post("simpleenroll", &csr, &basic("x", "y"))).await.status, 429);
    let mut connection = server.connect_as(&device).await;
    assert_eq!(connection.send(post("simplereenroll", &csr, "")).await.status, 200);
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
}

/// The server answers every response to its challenge, and keeps running.
#[tokio::test]
async fn no_form_of_the_field_does_harm() {
    let more = "[passwords]\nfailures_per_address = 1000000\n[est]\naccept = [\"certificate\", \"password:digest\", \"ra\"]\n";
    let (server, csr) = server_with(more).await;
    let challenge = challenged(&server, &csr).await.remove(0);
    let field = Client::new(&challenge, "device", "wrong").field();
    let mut connection = server.connect().await;
    for cut in (22..field.len() - 2).step_by(7) {
        let cut = format!("{}\r\n", &field[..cut]);
        let reply = match connection.try_send(post("simpleenroll", &csr, &cut)).await {
            Some(reply) => reply,
            None => {
                connection = server.connect().await;
                connection.send(post("simpleenroll", &csr, &cut)).await
            }
        };
        assert!(matches!(reply.status, 400 | 401), "{cut}: {}", reply.status);
        if reply.header("Connection") == Some("close") {
            connection = server.connect().await;
        }
    }
}

/// No listener accepts a password without TLS: plain HTTP gets no HTTP answer.
#[tokio::test]
async fn r_7030_3_2_3_b_a_password_outside_tls_is_answered_by_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::start_with(
        "[est]\naccept = [\"certificate\", \"password\", \"password:digest\", \"ra\"]\n",
    )
    .await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    for address in server.running.addresses() {
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        tcp.write_all(&post("simpleenroll", &csr, &basic("tester", PASSWORD))).await.unwrap();
        let mut answer = Vec::new();
        // A TLS alert, or the end of the connection.
        let _ = tcp.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    }
    assert!(server.issued().await.iter().all(|one| one.intent.operation.is_none()));
}

#[tokio::test]
async fn d_41_a_client_with_a_certificate_is_challenged_by_each_scheme_where_a_password_helps() {
    let (server, _) = server_with(
        "[est]\naccept = [\"certificate\", \"password:digest\", \"password\", \"ra\"]\n",
    )
    .await;
    let device = server.device("/CN=device-1").await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-2"]);
    let mut connection = server.connect_as(&device).await;
    let reply = connection.send(post("simpleenroll", &csr, "")).await;
    assert_eq!(reply.status, 401);
    assert_eq!(challenges(&reply).len(), 2);
    // Its own key and name, by the operation that accepts no password instead of a certificate.
    let reply = connection.send(post("simplereenroll", &csr, "")).await;
    assert_eq!(reply.status, 403);
    assert!(challenges(&reply).is_empty());
}
