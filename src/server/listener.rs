//! Accepts connections: bounded in number, in time for the handshake, in time for a header.

use super::running::Live;
use crate::{
    http::{
        self,
        framing::{Framing, Watched},
    },
    types::Peer,
};
use arc_swap::ArcSwap;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Octets of a request's header at most.
const MAX_HEADER: usize = 16 << 10;

/// What all listeners share.
#[derive(Clone)]
pub(super) struct Shared {
    /// What a reload exchanges.
    pub(super) live: Arc<ArcSwap<Live>>,
    /// A place for each connection.
    pub(super) places: Arc<Semaphore>,
    /// Ends accepting, and idle connections.
    pub(super) stop: CancellationToken,
    /// The connections.
    pub(super) tasks: TaskTracker,
}

/// Accepts until told to stop.
pub(super) async fn run(listener: TcpListener, shared: Shared) {
    loop {
        // The place is taken first: whoever finds none waits in the kernel's queue.
        let place = tokio::select! {
            place = Arc::clone(&shared.places).acquire_owned() => place,
            () = shared.stop.cancelled() => return,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = serve(stream, address, shared.clone());
                shared.tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(fault) => {
                // Out of file descriptors, most likely: give connections time to end.
                tracing::warn!("accepting a connection: {fault}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, shared: Shared) {
    let live = shared.live.load_full();
    // Answers are small and whole: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let acceptor = TlsAcceptor::from(Arc::clone(&live.tls));
    let stream = match tokio::time::timeout(live.handshake_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(fault)) => {
            tracing::debug!("TLS handshake with {address}: {fault}");
            return;
        }
        Err(_) => {
            tracing::debug!("TLS handshake with {address}: not done in time");
            return;
        }
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = live.databases.judge(chain, live.clock.now());
    let peer = Arc::new(Peer { address, certificate });

    let framing = Framing::default();
    let io = TokioIo::new(Watched::new(stream, framing.clone()));
    let (framing, live_now) = (&framing, &shared.live);
    let service = service_fn(move |request: Request<Incoming>| {
        // Each request sees the configuration of its own moment.
        let context = live_now.load().context(Arc::clone(&peer));
        async move { Ok::<_, Infallible>(http::est::handle(&context, framing, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(live.header_timeout)
        .max_buf_size(MAX_HEADER)
        // libest compares header names with case.
        .title_case_headers(true)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(fault) = outcome {
        tracing::debug!("connection with {address}: {fault}");
    }
}
