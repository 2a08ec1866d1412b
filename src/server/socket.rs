//! The operator's Unix socket: `estd.sock` in the data folder.
//!
//! The folder (0700) and the socket (0600) keep other users out. The peer's credentials are still
//! checked: they name the operator in the audit trail.

use super::{
    Error,
    listener::{Acceptor, ListenerContext, drive},
};
use crate::{admin::Admin, http, types::Actor};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    fs, future, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// The socket's name in the data folder.
const FILE: &str = "estd.sock";

/// Maximum number of concurrent connections of operators. Clients of EST do not use up their
/// places.
const PLACES: usize = 32;

/// Time for a request's header, and for an idle connection.
const HEADER: Duration = Duration::from_secs(10);

/// The operator's socket.
pub(super) struct Socket {
    listener: UnixListener,
    /// The user that owns it.
    owner: u32,
    admin: Admin,
    places: Arc<Semaphore>,
    shared: ListenerContext,
}

impl Socket {
    /// Creates the socket. Returns `None`, after a warning, if its path is longer than the 108 bytes that
    /// the system allows.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn open(
        data: &Path,
        admin: Admin,
        shared: ListenerContext,
    ) -> Result<Option<(PathBuf, Self)>, Error> {
        let path = data.join(FILE);
        let failed = |cause| Error::File { path: path.clone(), cause };
        // The lock of the store excludes a second server: this file belongs to an ended one.
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
        let listener = match UnixListener::bind(&path) {
            Ok(listener) => listener,
            Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => {
                tracing::warn!(
                    "no operator's socket: {}: {cause}; remedy: use a shorter path of the data folder",
                    path.display()
                );
                return Ok(None);
            }
            Err(cause) => return Err(failed(cause)),
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let owner = fs::metadata(&path).map_err(failed)?.uid();
        let places = Arc::new(Semaphore::new(PLACES));
        Ok(Some((path, Self { listener, owner, admin, places, shared })))
    }

    /// Returns the peer's user if it is the owner or root.
    fn operator(&self, stream: &UnixStream) -> Option<u32> {
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => Some(peer.uid()),
            Ok(peer) => {
                tracing::warn!(
                    "operator's socket: got a connection of uid {}; expected: {} or 0",
                    peer.uid(),
                    self.owner
                );
                None
            }
            Err(error) => {
                tracing::warn!("operator's socket: cannot read the peer's credentials: {error}");
                None
            }
        }
    }
}

impl Acceptor for Socket {
    const NAME: &'static str = "operator's socket";
    type Accepted = UnixStream;
    type Place = OwnedSemaphorePermit;

    fn shared(&self) -> &ListenerContext {
        &self.shared
    }

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }

    async fn admit(&self, _: &UnixStream) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    async fn serve(&self, stream: UnixStream, _place: OwnedSemaphorePermit) {
        let Some(uid) = self.operator(&stream) else { return };
        let actor = Actor::operator(uid);
        let service = service_fn(|request: Request<Incoming>| async {
            Ok::<_, Infallible>(http::admin::handle(&self.admin, &actor, request).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER)
            .serve_connection(TokioIo::new(stream), service);
        drive(connection, &actor, future::pending(), &self.shared.stop).await;
    }
}
