//! The accept loop of every listener, and the parts that all listeners share.

use super::{
    connections::{Connections, End},
    handshakes::Handshakes,
    snapshot::Snapshot,
    throttle::Throttle,
    validation::Judges,
};
use arc_swap::ArcSwap;
use hyper_util::server::graceful::GracefulConnection;
use std::{
    fmt::Display,
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Time for the end of an idle connection.
const GOODBYE: Duration = Duration::from_secs(1);

/// The parts that all listeners share.
#[derive(Clone)]
pub(super) struct ListenerContext {
    /// The state that a reload replaces.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// The connections of clients, and their limits.
    pub(super) connections: Arc<Connections>,
    /// Counts of failed handshakes.
    pub(super) handshakes: Arc<Handshakes>,
    /// Places for validations of client certificates.
    pub(super) judges: Arc<Judges>,
    /// Ends accepting, and idle connections.
    pub(super) stop: CancellationToken,
    /// The tasks of the connections.
    pub(super) tasks: TaskTracker,
}

/// A listener and its protocol.
pub(super) trait Acceptor: Send + Sync + 'static {
    /// The listener's name in the log.
    const NAME: &'static str;
    /// An accepted connection.
    type Accepted: Send + 'static;
    /// The place of a connection, released when dropped.
    type Place: Send + 'static;

    /// Returns the parts that all listeners share.
    fn shared(&self) -> &ListenerContext;

    /// Accepts a connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;

    /// Waits for a place. Returns `None` if the connection exceeds a limit: it is closed.
    fn admit(&self, accepted: &Self::Accepted) -> impl Future<Output = Option<Self::Place>> + Send;

    /// Serves a connection until it ends.
    fn serve(
        &self,
        accepted: Self::Accepted,
        place: Self::Place,
    ) -> impl Future<Output = ()> + Send;
}

/// Accepts connections until the server stops.
pub(super) async fn run<L: Acceptor>(listener: L) {
    let (listener, mut failures) = (Arc::new(listener), Throttle::default());
    let ListenerContext { stop, tasks, connections, .. } = listener.shared();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok(accepted) => {
                let place = tokio::select! {
                    place = listener.admit(&accepted) => place,
                    () = stop.cancelled() => return,
                };
                let Some(place) = place else { continue };
                let listener = Arc::clone(&listener);
                tasks.spawn(async move { listener.serve(accepted, place).await });
            }
            Err(error) => {
                // Out of memory or, in spite of descriptors.rs, of file descriptors.
                let now = Instant::now();
                if let Some(failures) = failures.count(1, now) {
                    tracing::warn!("{}: accepting failed {failures} times: {error}", L::NAME);
                }
                connections.make_room(now);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Drives a connection until its client closes it, `end` completes, or the server stops and the running
/// request is answered. `client` is the client's name in the log.
pub(super) async fn drive<C: GracefulConnection>(
    connection: C,
    client: impl Display,
    end: impl Future<Output = End>,
    stop: &CancellationToken,
) where
    C::Error: Display,
{
    let (mut connection, mut end) = (pin!(connection), pin!(end));
    let mut stopping = false;
    let outcome = loop {
        tokio::select! {
            outcome = connection.as_mut() => break outcome,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            end = &mut end => {
                tracing::debug!("connection of {client}: {end:?}");
                if end.was_idle() {
                    // A close_notify, unless the client has not read its last response.
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(GOODBYE, connection).await;
                }
                return;
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("connection of {client}: {error}");
    }
}
