//! The operator's end of the Unix socket: HTTP with JSON under `/v1/`.

use crate::api::{
    ErrorResponse,
    call::{AdminCall, EncodedCall},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::{io, path::Path};
use tokio::net::UnixStream;

/// Bytes of an answer at most: a page of a thousand certificates is far smaller.
const LARGEST: usize = 16 << 20;

/// Reason for a missing answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No process listens on the socket.
    #[error("no server listens at the socket: {0}")]
    NoServer(io::Error),
    /// The server answered with an error.
    #[error(transparent)]
    Response(ErrorResponse),
    /// The conversation failed.
    #[error("the server's answer cannot be read: {0}")]
    Broken(String),
}

/// Sends a call to the server behind `socket`.
///
/// # Errors
/// [`CallError`].
pub async fn ask<C: AdminCall>(socket: &Path, call: &C) -> Result<C::Answer, CallError> {
    send(socket, EncodedCall::of(call).map_err(CallError::Broken)?).await
}

/// Sends a call that is written already.
///
/// # Errors
/// [`CallError`].
pub async fn send<A: DeserializeOwned>(socket: &Path, call: EncodedCall) -> Result<A, CallError> {
    let bytes = exchange(socket, call).await?;
    serde_json::from_slice(&bytes).map_err(|error| broken(&error))
}

fn broken(error: &dyn std::fmt::Display) -> CallError {
    CallError::Broken(error.to_string())
}

/// Returns the body of a good answer. Apart from [`send`], which is compiled for each type of answer.
async fn exchange(socket: &Path, call: EncodedCall) -> Result<Bytes, CallError> {
    let stream = UnixStream::connect(socket).await.map_err(CallError::NoServer)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let talking = tokio::spawn(connection);
    let request = hyper::Request::builder()
        .method(call.method.as_str())
        .uri(call.target)
        .header(HOST, "estd")
        .body(Full::new(Bytes::from(call.body)))
        .map_err(|error| broken(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = answer.status();
    let bytes = Limited::new(answer.into_body(), LARGEST)
        .collect()
        .await
        .map_err(|error| broken(&error))?
        .to_bytes();
    talking.abort();
    if status.is_success() {
        return Ok(bytes);
    }
    Err(CallError::Response(serde_json::from_slice(&bytes).map_err(|error| broken(&error))?))
}
