//! HTTP/2, by option (D-17).

use crate::common::*;
use estd::binding::{HandshakeSecret, Recorded, Side};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Bytes,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::{TLS12, TLS13};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const ON: &str = "http2 = true";
/// Longer than any correct answer takes here.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection that has agreed on HTTP/2, and its tls-exporter.
async fn connect(
    server: &TestServer,
    identity: Option<&Identity>,
    version: &'static rustls::SupportedProtocolVersion,
) -> (TlsStream<Recorded<TcpStream>>, String) {
    let mut config = client_config(identity, &[version]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(server.address()).await.unwrap();
    let secret = HandshakeSecret::default();
    let connector = TlsConnector::from(secret.client(&Arc::new(config)));
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, Recorded::new(tcp, Side::Client)).await.unwrap();
    let (recorded, tls) = stream.get_mut();
    assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
    let binding = secret.binding(recorded, tls);
    let (_, value) = binding.of_choice().unwrap();
    (stream, base64(value))
}

async fn client(
    server: &TestServer,
    identity: Option<&Identity>,
) -> (SendRequest<Full<Bytes>>, String) {
    let (stream, binding) = connect(server, identity, &TLS13).await;
    let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    (sender, binding)
}

fn request(method: &str, operation: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let credentials = basic("tester", PASSWORD);
    Request::builder()
        .method(method)
        .uri(format!("https://localhost/.well-known/est/{operation}"))
        .header("content-type", "application/pkcs10")
        .header("user-agent", "test")
        .header("authorization", credentials.trim().split_once(": ").unwrap().1)
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

async fn text(response: Response<hyper::body::Incoming>) -> (StatusCode, String) {
    assert!(response.headers().get("connection").is_none(), "RFC 9113 section 8.2.2");
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn r_9325_3_8_a_http2_is_offered_by_option_only() {
    let off = TestServer::start().await;
    let on = TestServer::start_with(ON).await;
    for (server, offered, chosen) in [
        (&on, vec!["h2", "http/1.1"], Some("h2")),
        (&on, vec!["http/1.1"], Some("http/1.1")),
        (&on, vec!["http/1.0"], Some("http/1.0")),
        (&on, vec![], None),
        (&off, vec!["h2", "http/1.1"], Some("http/1.1")),
        (&off, vec![], None),
    ] {
        for version in [&TLS12, &TLS13] {
            let mut config = client_config(None, &[version]);
            config.alpn_protocols = offered.iter().map(|one| one.as_bytes().to_vec()).collect();
            let mut connection =
                Connection::open_with(server.address(), Arc::new(config)).await.unwrap();
            assert_eq!(connection.tls().alpn_protocol(), chosen.map(str::as_bytes));
            if chosen != Some("h2") {
                let get = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: a\r\n\r\n";
                assert_eq!(connection.send(get).await.status, 200);
            }
        }
    }
    for (server, offered) in [(&off, "h2"), (&on, "acme-tls/1"), (&off, "acme-tls/1")] {
        let mut config = client_config(None, &[&TLS13]);
        config.alpn_protocols = vec![offered.as_bytes().to_vec()];
        // In TLS 1.3 the client receives the alert at its next read.
        let rejected = match Connection::open_with(server.address(), Arc::new(config)).await {
            Err(error) => error.to_string(),
            Ok(mut connection) => connection.end().await.unwrap_err().to_string(),
        };
        assert!(rejected.contains("NoApplicationProtocol"), "{rejected}");
    }
    // Nor without ALPN.
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let answer = on.connect().await.try_send(preface).await;
    assert!(answer.is_none_or(|answer| answer.status == 400));
}

#[tokio::test]
async fn every_operation_is_answered_as_in_http_1_1() {
    let server = TestServer::start_with(ON).await;
    let (mut sender, _) = client(&server, None).await;
    let answer = sender.send_request(request("GET", "cacerts", vec![])).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/pkcs7-mime");
    let (status, over2) = text(answer).await;
    assert_eq!(status, 200);
    assert_eq!(over2, server.get("/.well-known/est/cacerts").await.text());
    // Many at once.
    let mut waiting = Vec::new();
    for number in 0..40 {
        let (csr, _) = new_csr(&["-subj", &format!("/CN=device-{number}")]);
        let body = wrapped(&csr).into_bytes();
        waiting.push(sender.send_request(request("POST", "simpleenroll", body)));
    }
    for answer in waiting {
        let (status, text) = text(answer.await.unwrap()).await;
        assert_eq!(status, 200, "{text}");
    }
    // Rejections.
    for (method, path, body, status) in [
        ("GET", "nothing", vec![], 404),
        ("GET", "simpleenroll", vec![], 405),
        ("POST", "simpleenroll", b"no CSR".to_vec(), 400),
        ("POST", "simpleenroll", vec![b'A'; 100_000], 413),
        ("POST", "simplereenroll", wrapped(&new_csr(&["-subj", "/CN=d"]).0).into_bytes(), 403),
    ] {
        let answer = sender.send_request(request(method, path, body)).await.unwrap();
        assert_eq!(text(answer).await.0, status, "{path}");
    }
    let mut anonymous = request("POST", "simpleenroll", wrapped(&[0]).into_bytes());
    anonymous.headers_mut().remove("authorization");
    let answer = sender.send_request(anonymous).await.unwrap();
    assert!(answer.headers().contains_key("www-authenticate"));
    assert_eq!(text(answer).await, (StatusCode::UNAUTHORIZED, String::new()));
    // With a client certificate.
    let device = server.device("/CN=device-1").await;
    let (mut sender, _) = client(&server, Some(&device)).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let mut renewal = request("POST", "simplereenroll", wrapped(&csr).into_bytes());
    renewal.headers_mut().remove("authorization");
    let answer = sender.send_request(renewal).await.unwrap();
    assert_eq!(text(answer).await.0, 200);
}

#[tokio::test]
async fn no_csr_is_bound_to_a_connection_of_http2() {
    let server =
        TestServer::start_with(&format!("{ON}\n[label.strict]\nlinking = \"required\"")).await;
    let (mut sender, binding) = client(&server, None).await;
    let key = estd::pki::PrivateKey::generate(estd::types::KeyKind::P256).unwrap();
    let bare = estd::pki::CsrBuilder::new().subject("CN=device-1").unwrap();
    let bound = bare.clone().challenge_password(&binding).unwrap().build(&key).unwrap();
    let bare = bare.build(&key).unwrap();
    for (path, csr, code) in [
        ("simpleenroll", &bound, "linking.none"),
        ("strict/simpleenroll", &bound, "linking.none"),
        ("strict/simpleenroll", &bare, "linking.required"),
    ] {
        let body = wrapped(csr).into_bytes();
        let answer = sender.send_request(request("POST", path, body)).await.unwrap();
        let (status, text) = text(answer).await;
        assert_eq!(status, 400);
        assert!(text.starts_with(code), "{text}");
    }
    let body = wrapped(&bare).into_bytes();
    let answer = sender.send_request(request("POST", "simpleenroll", body)).await.unwrap();
    assert_eq!(text(answer).await.0, 200);
}

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The fields of a request, by HPACK without a table or Huffman coding.
fn fields(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let all = [(":method", method), (":scheme", "https"), (":authority", "a"), (":path", path)];
    for (name, value) in all.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A connection on which frames are written by hand.
struct Raw(TlsStream<Recorded<TcpStream>>);

impl Raw {
    async fn open(server: &TestServer) -> Self {
        let (mut stream, _) = connect(server, None, &TLS13).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        Self(stream)
    }

    /// Whether the server still accepts the connection.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok() && self.0.flush().await.is_ok()
    }

    /// The next frame: type, stream, payload.
    async fn read(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        let read = timeout(DEADLINE, self.0.read_exact(&mut head)).await.expect("a frame");
        read.ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// The payload of the next frame of this type; what comes before is left out.
    async fn next(&mut self, kind: u8) -> Option<Vec<u8>> {
        loop {
            let (found, _, payload) = self.read().await?;
            if found == kind {
                return Some(payload);
            }
        }
    }
}

#[tokio::test]
async fn limits_of_a_connection_are_announced_and_enforced() {
    let server = TestServer::start_with(ON).await;
    let mut raw = Raw::open(&server).await;
    let settings = raw.next(SETTINGS).await.unwrap();
    let setting = |number: u16| {
        settings
            .chunks(6)
            .find(|one| one[..2] == number.to_be_bytes())
            .map(|one| u32::from_be_bytes([one[2], one[3], one[4], one[5]]))
    };
    assert_eq!(setting(3), Some(16), "requests at once");
    assert_eq!(setting(6), Some(16 << 10), "a list of fields");
    // One above the limit is rejected by itself; the others still wait for their bodies.
    let type_ = [("content-type", "application/pkcs10"), ("authorization", "Basic dGVzdGVyOng=")];
    let head = fields("POST", "/.well-known/est/cacerts", &type_);
    for number in 0..17 {
        raw.write(&frame(HEADERS, END_HEADERS, 2 * number + 1, &head)).await;
    }
    let reset = loop {
        let (kind, stream, payload) = raw.read().await.unwrap();
        if kind == RST_STREAM {
            break (stream, payload);
        }
    };
    assert_eq!(reset, (33, vec![0, 0, 0, 7]), "REFUSED_STREAM");
    // A list of fields that is too long is rejected; the server lives.
    let long = "x".repeat(120);
    let many: Vec<(&str, &str)> = (0..200).map(|_| ("x-filler", long.as_str())).collect();
    let head = fields("GET", "/.well-known/est/cacerts", &many);
    let mut raw = Raw::open(&server).await;
    let (first, rest) = head.split_at(16_000);
    raw.write(&frame(HEADERS, END_STREAM, 1, first)).await;
    raw.write(&frame(9, END_HEADERS, 1, rest)).await;
    let answer = loop {
        match raw.read().await {
            Some((HEADERS, 1, payload)) => break payload,
            Some((RST_STREAM | GOAWAY, ..)) | None => break vec![],
            Some(_) => {}
        }
    };
    // 431 or a reset: not 200, which HPACK has as 0x88.
    assert_ne!(answer.first(), Some(&0x88));
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_back_what_it_asks_is_sent_away() {
    let server = TestServer::start_with(ON).await;
    let mut raw = Raw::open(&server).await;
    let head = fields("GET", "/.well-known/est/cacerts", &[]);
    let mut all = Vec::new();
    for number in 0..1000 {
        all.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &head));
        all.extend(frame(RST_STREAM, 0, 2 * number + 1, &[0, 0, 0, 8]));
    }
    raw.write(&all).await;
    let last = raw.next(GOAWAY).await.expect("GOAWAY");
    assert_eq!(last[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    assert_eq!(server.get("/.well-known/est/cacerts").await.status, 200);
}

#[tokio::test]
async fn slow_clients_have_the_limits_of_http_1_1() {
    let limits =
        format!("{ON}\nidle_timeout = \"2s\"\nbody_timeout = \"1s\"\nheader_timeout = \"10m\"");
    let server = TestServer::start_with(&limits).await;
    // Idle from the start, with half a header, and with pings: ended with a goodbye.
    let head = fields("GET", "/.well-known/est/cacerts", &[]);
    for begun in [vec![], frame(HEADERS, END_STREAM, 1, &head), frame(PING, 0, 0, &[7; 8])] {
        let mut raw = Raw::open(&server).await;
        raw.write(&begun).await;
        timeout(DEADLINE, async { while raw.read().await.is_some() {} }).await.expect("an end");
    }
    // A missing body, beside requests that are answered.
    let (mut sender, _) = client(&server, None).await;
    let mut raw = Raw::open(&server).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let credentials = basic("tester", PASSWORD);
    let credentials = credentials.trim().split_once(": ").unwrap().1.to_owned();
    let more = [
        ("content-type", "application/pkcs10"),
        ("content-length", "60000"),
        ("authorization", credentials.as_str()),
    ];
    let slow = fields("POST", "/.well-known/est/simpleenroll", &more);
    raw.write(&frame(HEADERS, END_HEADERS, 1, &slow)).await;
    raw.write(&frame(DATA, 0, 1, b"MII")).await;
    raw.write(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &head)).await;
    let body = wrapped(&csr).into_bytes();
    let answer = sender.send_request(request("POST", "simpleenroll", body)).await.unwrap();
    assert_eq!(text(answer).await.0, 200);
    let (mut fast, mut late) = (None, None);
    while fast.is_none() || late.is_none() {
        match raw.read().await.expect("both answers") {
            (HEADERS, 3, block) => fast = Some(block),
            (HEADERS, 1, block) => late = Some(block),
            _ => {}
        }
    }
    assert_eq!(fast.unwrap()[0], 0x88, "200");
    let late = late.unwrap();
    assert_ne!(late[0], 0x88);
    assert!(
        server
            .events_named("enrollment.rejected")
            .iter()
            .any(|event| { event.details.contains(&("status".to_owned(), "408".to_owned())) }),
        "{late:?}"
    );
    // Then the connection is idle.
    timeout(DEADLINE, async { while raw.read().await.is_some() {} }).await.expect("an end");
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let server = TestServer::start_with(ON).await;
    let (mut sender, _) = client(&server, None).await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let body = wrapped(&csr).into_bytes();
    let answer = sender.send_request(request("POST", "simpleenroll", body)).await.unwrap();
    assert_eq!(text(answer).await.0, 200);
    timeout(DEADLINE, server.running.stop()).await.expect("it stops");
    assert!(sender.send_request(request("GET", "cacerts", vec![])).await.is_err());
}
