//! The operator's Unix socket: `estd.sock` in the data folder.
//!
//! The folder (0700) and the socket (0600) keep others out; the credentials of the peer are
//! checked all the same, and name the operator in the audit trail.

use super::{Error, listener::Shared};
use crate::{admin::Admin, http, types::Actor};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};

/// The socket's name in the data folder.
const FILE: &str = "estd.sock";

/// Listens. A path that is too long for a socket (108 bytes) is told and done without.
pub(super) fn open(
    data: &Path,
    admin: Arc<Admin>,
    shared: &Shared,
) -> Result<Option<PathBuf>, Error> {
    let path = data.join(FILE);
    let failed = |cause| Error::File { path: path.clone(), cause };
    // Only one process has the store: what lies here is of one that is gone.
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
        _ => {}
    }
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => {
            tracing::warn!(
                "no operator's socket: {}: {cause}; remedy: a shorter path to the data folder",
                path.display()
            );
            return Ok(None);
        }
        Err(cause) => return Err(failed(cause)),
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let owner = fs::metadata(&path).map_err(failed)?.uid();
    let shared = shared.clone();
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shared.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (admin, stop) = (Arc::clone(&admin), shared.stop.clone());
                    shared.tasks.spawn(async move {
                        tokio::select! {
                            () = serve(stream, owner, &admin) => {}
                            () = stop.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("operator's socket: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    Ok(Some(path))
}

async fn serve(stream: UnixStream, owner: u32, admin: &Admin) {
    let uid = match stream.peer_cred() {
        Ok(peer) if peer.uid() == owner || peer.uid() == 0 => peer.uid(),
        Ok(peer) => {
            tracing::warn!("operator's socket: uid {} is not its owner: refused", peer.uid());
            return;
        }
        Err(error) => {
            tracing::warn!("operator's socket: who is there cannot be told: {error}");
            return;
        }
    };
    let actor = Actor::operator(uid);
    let service = service_fn(|request: Request<Incoming>| async {
        Ok::<_, Infallible>(http::admin::handle(admin, &actor, request).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("operator's socket: {error}");
    }
}
