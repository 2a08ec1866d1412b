//! The body of a request: bounded in size and time.

use super::Error;
use crate::types::{Code, Rejection};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    HeaderMap,
    body::{Body, Bytes},
    header::CONTENT_LENGTH,
};
use std::time::Duration;

/// BodyLimits of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Bytes.
    pub(super) size: usize,
    /// From its first to its last byte.
    pub(super) time: Duration,
}

/// Rejects a body whose announced size is too large, before any of it is read.
pub(super) fn check_announced(headers: &HeaderMap, limits: BodyLimits) -> Result<(), Error> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    match announced {
        Some(length) if length > limits.size as u64 => {
            Err(too_large(limits, &format!("{length} bytes")))
        }
        _ => Ok(()),
    }
}

/// Reads a body.
pub(super) async fn read<B>(body: B, limits: BodyLimits) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reading = Limited::new(body, limits.size).collect();
    match tokio::time::timeout(limits.time, reading).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits, "more")),
        Ok(Err(error)) => Err(Error::Header(Rejection::of(Code::HttpBody, error, "a whole body"))),
        Err(_) => Err(Error::TooSlow(Rejection::of(
            Code::HttpBodyTime,
            format!("no end of it after {} s", limits.time.as_secs()),
            "a body without long pauses",
        ))),
    }
}

/// Reads and drops the body of a rejected request, within limits. Otherwise the client would see a reset
/// connection instead of the answer.
pub(super) async fn drain<B>(body: B, limits: BodyLimits)
where
    B: Body<Data = Bytes> + Unpin,
{
    const FURTHEST: usize = 2 << 20;
    let mut body = body;
    let mut read = 0usize;
    let draining = async {
        while let Some(Ok(frame)) = body.frame().await {
            read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if read > FURTHEST {
                break;
            }
        }
    };
    // Whether it ends or not, the answer is the same.
    let _ = tokio::time::timeout(limits.time.min(Duration::from_secs(5)), draining).await;
}

fn too_large(limits: BodyLimits, seen: &str) -> Error {
    Error::TooLarge(Rejection::of(
        Code::HttpBodySize,
        seen,
        format!("at most {} bytes", limits.size),
    ))
}
