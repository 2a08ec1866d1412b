//! Accepts connections, and ends those that wait too long (connections.rs).

use super::{
    connections::{Connection, Connections},
    handshakes::{Failure, Handshakes},
    hello::{self, Opening},
    running::Live,
    throttle::Throttle,
    tls::{self, HTTP2},
    validation::{Judges, LazyChain},
};
use crate::{
    binding::{End, Recorded, Witness},
    http::{
        self,
        framing::{Framing, Watched},
        progress::{Stream, Streams},
    },
    ra::{Authenticator, ClientChain, Peer},
    types::{Binding, Origin, Unbound},
};
use arc_swap::ArcSwap;
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::graceful::GracefulConnection,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Bytes of a request's header at most.
const MAX_HEADER: usize = 16 << 10;

/// HTTP/2: the same as a list of fields (RFC 9113 §6.5.2).
const MAX_HEADER_LIST: u32 = 16 << 10;

/// HTTP/2: requests of a connection at once. A device has one; each may hold a body of `max_body`.
const MAX_STREAMS: u32 = 16;

/// HTTP/2: bytes of a body that a client may send ahead, and of answers that wait for it.
const WINDOW: u32 = 64 << 10;

/// Connections that the kernel keeps for us between two looks; it cuts this to its own limit.
const BACKLOG: u32 = 4096;

/// How often to look for connections that wait too long.
const LOOK: Duration = Duration::from_millis(250);

/// How long the end of an idle connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection after its handshake. In a box: each step that it is handed to keeps room for it.
type Session = Box<TlsStream<Recorded<TcpStream>>>;

/// What all listeners share.
#[derive(Clone)]
pub(super) struct Shared {
    /// What a reload exchanges.
    pub(super) live: Arc<ArcSwap<Live>>,
    /// The connections, and how many there may be.
    pub(super) connections: Arc<Connections>,
    /// Handshakes that failed.
    pub(super) handshakes: Arc<Handshakes>,
    /// Places for validations of client certificates.
    pub(super) judges: Arc<Judges>,
    /// Ends accepting, and idle connections.
    pub(super) stop: CancellationToken,
    /// The tasks of the connections.
    pub(super) tasks: TaskTracker,
}

/// Listens on an address.
pub(super) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart does not wait for connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Ends connections that wait too long, and gives back what is idle, until all have ended.
pub(super) async fn watch(shared: Shared, authenticator: Arc<Authenticator>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shared.tasks.wait() => return,
        }
        let now = Instant::now();
        shared.connections.end_late(shared.live.load().limits, now);
        shared.handshakes.sum_up(now);
        authenticator.release_idle(now);
    }
}

/// Accepts until told to stop.
pub(super) async fn run(listener: TcpListener, shared: Shared) {
    let mut failures = Throttle::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let most = shared.live.load().max_connections_per_address;
                let now = Instant::now();
                // One too many costs no more than this: it is closed where `stream` ends.
                let Some(mut connection) = shared.connections.enter(address.ip(), most, now) else {
                    continue;
                };
                tokio::select! {
                    () = connection.take_place() => {}
                    () = shared.stop.cancelled() => return,
                }
                shared.tasks.spawn(serve(stream, address, connection, shared.clone()));
            }
            Err(error) => {
                // Out of memory or, in spite of descriptors.rs, of file descriptors.
                let now = Instant::now();
                if let Some(failures) = failures.count(1, now) {
                    tracing::warn!("accepting a connection, {failures} times: {error}");
                }
                shared.connections.make_room(now);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, connection: Connection, shared: Shared) {
    // In a box, which is gone when the handshake is over.
    if let Some((stream, binding)) =
        Box::pin(handshake(stream, address, &connection, &shared)).await
    {
        converse(stream, binding, address, &connection, &shared).await;
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    connection: &Connection,
    shared: &Shared,
) -> Option<(Session, Binding)> {
    // Answers are small and whole: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let failure = tokio::select! {
        shaken = shake(stream, shared) => match shaken {
            Ok(session) => return session,
            Err(failure) => failure,
        },
        end = connection.told_to_end() => Failure::Ended(end),
    };
    shared.handshakes.failed(address, &failure, Instant::now());
    None
}

/// The handshake itself. `None` if the client closed before it sent anything.
async fn shake(stream: TcpStream, shared: &Shared) -> Result<Option<(Session, Binding)>, Failure> {
    match hello::look(&stream).await.map_err(Failure::Io)? {
        Opening::Other => {}
        Opening::Nothing => return Ok(None),
        Opening::Old(version) => {
            hello::reject(stream, version).await.map_err(Failure::Io)?;
            return Err(Failure::Old(version));
        }
    }
    let (config, stream, witness) = {
        let live = shared.live.load();
        if live.binds {
            let witness = Witness::default();
            (witness.server(&live.tls), Recorded::new(stream, End::Server), Some(witness))
        } else {
            (Arc::clone(&live.tls), Recorded::silent(stream), None)
        }
    };
    let mut stream = TlsAcceptor::from(config).accept(stream).await.map_err(Failure::Io)?;
    let binding = witness.map_or(Binding::None(Unbound::NotWanted), |witness| {
        let (stream, connection) = stream.get_mut();
        witness.binding(stream, connection)
    });
    Ok(Some((Box::new(stream), binding)))
}

async fn converse(
    stream: Session,
    binding: Binding,
    address: SocketAddr,
    connection: &Connection,
    shared: &Shared,
) {
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(HTTP2);
    let binding = if http2 { Binding::None(Unbound::Http2) } else { binding };
    let peer = {
        let certificates = session.peer_certificates().unwrap_or_default();
        let origin = Origin::of(address.ip());
        let chain = LazyChain::keep(certificates, origin, &shared.live, &shared.judges)
            .map(|chain| chain as Arc<dyn ClientChain>);
        let cipher_bits = tls::cipher_bits(session.negotiated_cipher_suite());
        Arc::new(Peer { address, cipher_bits, chain, binding, spent: Arc::default() })
    };
    if http2 {
        // In a box: the many connections of HTTP/1.1 should not be larger for it.
        Box::pin(converse_http2(stream, peer, connection, shared)).await;
        return;
    }
    let framing = Framing::new(Arc::clone(connection.progress()));
    let io = TokioIo::new(Watched::new(stream, framing.clone()));
    let (framing, live_now) = (&framing, &shared.live);
    let service = service_fn(move |request: Request<Incoming>| {
        // Each request sees the configuration of its own moment.
        let live = live_now.load();
        let context = live.context(Arc::clone(&peer));
        async move { Ok::<_, Infallible>(http::est::handle(&context, framing, request).await) }
    });
    let exchange = http1::Builder::new()
        // connections.rs ends what waits too long; hyper's limit does not tell idle from slow.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER)
        // libest compares header names with case.
        .title_case_headers(true)
        .serve_connection(io, service);
    until_it_ends(exchange, address, connection, shared).await;
}

/// HTTP/2: requests at once, each handled as in HTTP/1.1. Bounded in what it keeps: the streams, their
/// windows, the bytes that wait to be sent, and what a client takes back before it is answered.
async fn converse_http2(
    stream: Session,
    peer: Arc<Peer>,
    connection: &Connection,
    shared: &Shared,
) {
    let address = peer.address;
    let streams = Streams::new(Arc::clone(connection.progress()));
    let live_now = Arc::clone(&shared.live);
    let service = service_fn(move |request: Request<Incoming>| {
        let framing = Framing::of_stream(Stream::new(&streams));
        let live = live_now.load();
        let context = live.context(Arc::clone(&peer));
        async move { Ok::<_, Infallible>(http::est::handle(&context, &framing, request).await) }
    });
    let exchange = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_send_buf_size(WINDOW as usize)
        // Rapid reset (CVE-2023-44487), and streams that make us reset them.
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .max_local_error_reset_streams(MAX_STREAMS as usize)
        .serve_connection(TokioIo::new(stream), service);
    until_it_ends(exchange, address, connection, shared).await;
}

/// Until the client ends the connection, the server stops, or it is told to end.
async fn until_it_ends<C: GracefulConnection>(
    exchange: C,
    address: SocketAddr,
    connection: &Connection,
    shared: &Shared,
) where
    C::Error: std::fmt::Display,
{
    let mut exchange = pin!(exchange);
    let mut stopping = false;
    let outcome = loop {
        tokio::select! {
            outcome = exchange.as_mut() => break outcome,
            () = shared.stop.cancelled(), if !stopping => {
                stopping = true;
                exchange.as_mut().graceful_shutdown();
            }
            end = connection.told_to_end() => {
                tracing::debug!("connection with {address}: {end:?}");
                if end.was_idle() {
                    // Says goodbye, unless the client does not take its last answer.
                    exchange.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(GOODBYE, exchange).await;
                }
                return;
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("connection with {address}: {error}");
    }
}
