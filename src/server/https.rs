//! The TLS listener: handshake, then EST over HTTP/1.1 or HTTP/2.

use super::{
    connections::ConnectionGuard,
    handshakes::HandshakeFailure,
    hello::{self, Opening},
    listener::{Acceptor, ListenerContext, drive},
    tls::{self, HTTP2},
    validation::LazyChain,
};
use crate::{
    binding::{HandshakeSecret, Recorded, Side},
    http::{
        self,
        framing::{Framing, Watched},
        progress::{Streams, WatchedStream},
    },
    ra::{Authenticator, ClientChain, Peer},
    types::{Binding, Origin, Unbound},
};
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Most bytes of a request's header.
const MAX_HEADER: usize = 16 << 10;

/// HTTP/2: the same as a list of fields (RFC 9113 §6.5.2).
const MAX_HEADER_LIST: u32 = 16 << 10;

/// HTTP/2: concurrent requests of a connection. A device sends one; each may hold a body of `max_body`.
const MAX_STREAMS: u32 = 16;

/// HTTP/2: bytes of a body that a client may send ahead, and of responses that wait to be sent.
const WINDOW: u32 = 64 << 10;

/// Connections that the kernel holds until they are accepted; it cuts this to its own limit.
const BACKLOG: u32 = 4096;

/// Interval of the search for connections that wait too long.
const INTERVAL: Duration = Duration::from_millis(250);

/// A connection after its handshake. Boxed: each future that it passes through reserves its size.
type Session = Box<TlsStream<Recorded<TcpStream>>>;

/// Listens on an address.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart does not wait until the system has forgotten the connections of the last run.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Ends connections that wait too long, and frees idle memory, until the last connection has ended.
pub(super) async fn watch(shared: ListenerContext, authenticator: Arc<Authenticator>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shared.tasks.wait() => return,
        }
        let now = Instant::now();
        shared.connections.end_late(shared.snapshot.load().limits, now);
        shared.handshakes.sum_up(now);
        authenticator.release_idle(now);
    }
}

/// A TLS listener.
pub(super) struct Https {
    listener: TcpListener,
    shared: ListenerContext,
}

impl Https {
    pub(super) const fn new(listener: TcpListener, shared: ListenerContext) -> Self {
        Self { listener, shared }
    }
}

impl Acceptor for Https {
    const NAME: &'static str = "TLS listener";
    type Accepted = (TcpStream, SocketAddr);
    type Place = ConnectionGuard;

    fn shared(&self) -> &ListenerContext {
        &self.shared
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept().await
    }

    async fn admit(&self, (_, address): &(TcpStream, SocketAddr)) -> Option<ConnectionGuard> {
        let ListenerContext { snapshot, connections, .. } = &self.shared;
        let most = snapshot.load().max_connections_per_address;
        // A connection over the limit costs no more than this.
        let mut connection = connections.enter(address.ip(), most, Instant::now())?;
        connection.take_place().await;
        Some(connection)
    }

    async fn serve(&self, (stream, address): (TcpStream, SocketAddr), connection: ConnectionGuard) {
        let shared = &self.shared;
        // Boxed: freed when the handshake is over.
        if let Some((stream, binding)) =
            Box::pin(handshake(stream, address, &connection, shared)).await
        {
            converse(stream, binding, address, &connection, shared).await;
        }
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    connection: &ConnectionGuard,
    shared: &ListenerContext,
) -> Option<(Session, Binding)> {
    // Responses are small and written in one piece: waiting for more gains nothing.
    let _ = stream.set_nodelay(true);
    let failure = tokio::select! {
        shaken = shake(stream, shared) => match shaken {
            Ok(session) => return session,
            Err(failure) => failure,
        },
        end = connection.ended() => HandshakeFailure::Ended(end),
    };
    shared.handshakes.failed(address, &failure, Instant::now());
    None
}

/// Completes the handshake. Returns `None` if the client closed before it sent anything.
async fn shake(
    stream: TcpStream,
    shared: &ListenerContext,
) -> Result<Option<(Session, Binding)>, HandshakeFailure> {
    match hello::look(&stream).await.map_err(HandshakeFailure::Io)? {
        Opening::Other => {}
        Opening::Nothing => return Ok(None),
        Opening::Old(version) => {
            hello::reject(stream, version).await.map_err(HandshakeFailure::Io)?;
            return Err(HandshakeFailure::Old(version));
        }
    }
    let (config, stream, secret) = {
        let snapshot = shared.snapshot.load();
        if snapshot.binds {
            let secret = HandshakeSecret::default();
            (secret.server(&snapshot.tls), Recorded::new(stream, Side::Server), Some(secret))
        } else {
            (Arc::clone(&snapshot.tls), Recorded::silent(stream), None)
        }
    };
    let mut stream =
        TlsAcceptor::from(config).accept(stream).await.map_err(HandshakeFailure::Io)?;
    let binding = secret.map_or(Binding::None(Unbound::NotWanted), |secret| {
        let (stream, connection) = stream.get_mut();
        secret.binding(stream, connection)
    });
    Ok(Some((Box::new(stream), binding)))
}

async fn converse(
    stream: Session,
    binding: Binding,
    address: SocketAddr,
    connection: &ConnectionGuard,
    shared: &ListenerContext,
) {
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(HTTP2);
    let binding = if http2 { Binding::None(Unbound::Http2) } else { binding };
    let peer = {
        let certificates = session.peer_certificates().unwrap_or_default();
        let origin = Origin::of(address.ip());
        let chain = LazyChain::keep(certificates, origin, &shared.snapshot, &shared.judges)
            .map(|chain| chain as Arc<dyn ClientChain>);
        let cipher_bits = tls::cipher_bits(session.negotiated_cipher_suite());
        Arc::new(Peer { address, cipher_bits, chain, binding, spent: Arc::default() })
    };
    if http2 {
        // Boxed: it must not enlarge the many connections of HTTP/1.1.
        Box::pin(converse_http2(stream, peer, connection, shared)).await;
        return;
    }
    let framing = Framing::new(Arc::clone(connection.progress()));
    let io = TokioIo::new(Watched::new(stream, framing.clone()));
    let (framing, snapshot) = (&framing, &shared.snapshot);
    let service = service_fn(move |request: Request<Incoming>| {
        // Each request uses the settings in force when it arrives.
        let context = snapshot.load().context(Arc::clone(&peer));
        async move { Ok::<_, Infallible>(http::est::handle(&context, framing, request).await) }
    });
    let exchange = http1::Builder::new()
        // connections.rs ends slow connections; hyper's limit does not distinguish idle from slow.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER)
        // libest compares header names with case.
        .title_case_headers(true)
        .serve_connection(io, service);
    drive(exchange, address, connection.ended(), &shared.stop).await;
}

/// Serves HTTP/2: concurrent requests, each handled as in HTTP/1.1. Limits the streams, their windows, the
/// bytes that wait to be sent, and the streams that a client resets.
async fn converse_http2(
    stream: Session,
    peer: Arc<Peer>,
    connection: &ConnectionGuard,
    shared: &ListenerContext,
) {
    let address = peer.address;
    let streams = Streams::new(Arc::clone(connection.progress()));
    let snapshot = Arc::clone(&shared.snapshot);
    let service = service_fn(move |request: Request<Incoming>| {
        let framing = Framing::of_stream(WatchedStream::new(&streams));
        let context = snapshot.load().context(Arc::clone(&peer));
        async move { Ok::<_, Infallible>(http::est::handle(&context, &framing, request).await) }
    });
    let exchange = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_send_buf_size(WINDOW as usize)
        // Rapid reset (CVE-2023-44487), and streams that cause resets by the server.
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .max_local_error_reset_streams(MAX_STREAMS as usize)
        .serve_connection(TokioIo::new(stream), service);
    drive(exchange, address, connection.ended(), &shared.stop).await;
}
