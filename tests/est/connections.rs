//! Limits of connections: per address, in total, and in time.

use crate::common::*;
use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const CACERTS: &str = "/.well-known/est/cacerts";
/// Longer than any correct answer takes here.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection from an address of this machine.
async fn connect_from(own: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((own, 0))).unwrap();
    socket.connect(server).await.unwrap()
}

/// Waits until the server has closed it.
async fn closed(tcp: &mut TcpStream) {
    let read = timeout(DEADLINE, tcp.read(&mut [0; 64])).await.expect("the server closes it");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

/// The first half of what a TLS client sends.
fn half_a_hello() -> Vec<u8> {
    let config = client_config(None, &[&rustls::version::TLS13]);
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello.truncate(hello.len() / 2);
    hello
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let more = "max_connections_per_address = 3";
    let server = TestServer::start_with(more).await;
    let mut mine = Vec::new();
    for _ in 0..3 {
        mine.push(server.connect().await);
    }
    let mut fourth = connect_from([127, 0, 0, 1], server.address()).await;
    closed(&mut fourth).await;
    // Another address is served: the limit of this address is reached, not the server's.
    let other = connect_from([127, 0, 0, 2], server.address()).await;
    let config = client_config(None, &[&rustls::version::TLS13]);
    let other = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
        .connect("localhost".try_into().unwrap(), other)
        .await
        .unwrap();
    for one in &mut mine {
        let reply = one.send(format!("GET {CACERTS} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(reply.status, 200);
    }
    // One ends; its slot is free as soon as the server notices.
    mine.pop();
    drop(other);
    let deadline = Instant::now() + DEADLINE;
    let versions = &[&rustls::version::TLS13];
    while Connection::open(server.address(), None, versions).await.is_err() {
        assert!(Instant::now() < deadline, "a place that is given back");
    }
}

#[tokio::test]
async fn a_full_server_takes_a_newcomer_and_lets_go_who_waited_longest() {
    // No time limit helps here.
    let server = TestServer::start_with(
        "max_connections = 8\nhandshake_timeout = \"10m\"\nidle_timeout = \"10m\"",
    )
    .await;
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let mut tcp = TcpStream::connect(server.address()).await.unwrap();
        tcp.write_all(&half_a_hello()).await.unwrap();
        stuck.push(tcp);
    }
    for _ in 0..20 {
        let reply = timeout(DEADLINE, server.get(CACERTS)).await.expect("a full server serves");
        assert_eq!(reply.status, 200);
    }
    // Which one has been idle longest differs only by microseconds here.
    let deadline = Instant::now() + DEADLINE;
    while stuck.iter().all(|tcp| {
        matches!(tcp.try_read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }) {
        assert!(Instant::now() < deadline, "the server closes one of them");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_idle_connection_has_a_limit_of_its_own_and_ends_with_a_goodbye() {
    let server = TestServer::start_with("idle_timeout = \"1s\"\nheader_timeout = \"10m\"").await;
    let mut fresh = server.connect().await;
    let mut used = server.connect().await;
    let reply = used.send(format!("GET {CACERTS} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(reply.status, 200);
    for one in [&mut fresh, &mut used] {
        // Ends with close_notify; otherwise this would be an error.
        let end = timeout(DEADLINE, one.end()).await.expect("the server closes it");
        assert_eq!(end.unwrap(), 0);
    }
    // A header that has begun is not idle.
    let server = TestServer::start_with("idle_timeout = \"10m\"\nheader_timeout = \"1s\"").await;
    let mut slow = server.connect().await;
    slow.write("G").await;
    assert!(timeout(DEADLINE, slow.is_closed()).await.expect("the server closes it"));
}

/// The part of a request that a slow client delays.
#[derive(Clone, Copy)]
enum Kind {
    Hello,
    Header,
    Body,
}

/// Sixty clients that are slow in three ways: each is cut, and a good client sees no error meanwhile.
#[tokio::test]
async fn slow_clients_are_cut_and_cost_a_good_one_no_error() {
    let server = TestServer::start_with(
        "handshake_timeout = \"2s\"\nheader_timeout = \"2s\"\nbody_timeout = \"2s\"\nidle_timeout = \"10m\"",
    )
    .await;
    let address = server.address();
    let slow: Vec<_> = (0..60)
        .map(|number| {
            let kind = [Kind::Hello, Kind::Header, Kind::Body][number % 3];
            tokio::spawn(async move {
                let start = match kind {
                    Kind::Hello => {
                        let mut tcp = TcpStream::connect(address).await.unwrap();
                        tcp.write_all(&half_a_hello()).await.unwrap();
                        closed(&mut tcp).await;
                        return;
                    }
                    Kind::Header => format!("GET {CACERTS} HTTP/1.1\r\nHost: "),
                    Kind::Body => format!(
                        "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: a\r\nContent-Type: application/pkcs10\r\n{}Content-Length: 60000\r\n\r\n",
                        basic("tester", PASSWORD)
                    ),
                };
                let versions = &[&rustls::version::TLS13];
                let mut tls = Connection::open(address, None, versions).await.unwrap();
                tls.write(start).await;
                let drip = async {
                    loop {
                        // Bytes arrive steadily: no pause reveals the slow client.
                        match timeout(Duration::from_millis(100), tls.end()).await {
                            Err(_) => tls.write("A").await,
                            Ok(Ok(0) | Err(_)) => return,
                            Ok(Ok(_)) => {}
                        }
                    }
                };
                timeout(DEADLINE, drip).await.expect("the server closes it");
            })
        })
        .collect();
    let mut good = 0;
    while slow.iter().any(|task| !task.is_finished()) || good < 10 {
        assert_eq!(server.get(CACERTS).await.status, 200);
        good += 1;
    }
    for task in slow {
        task.await.unwrap();
    }
}
