//! Sees what hyper does not tell: a request with both Content-Length and Transfer-Encoding.
//!
//! hyper follows Transfer-Encoding, drops Content-Length and closes the connection afterwards,
//! as RFC 9112 §6.3 allows. We refuse such a request (R-9112-6.3-a): between us and a proxy that
//! reads it otherwise, somebody's next request would be part of this one's body. So the octets of
//! each request's head are looked at on their way to hyper.
//!
//! On the way back one header name is mended: hyper's Title-Case makes `Www-Authenticate` of what
//! libest looks for, with case, as `WWW-Authenticate`.

use super::progress::{Phase, Progress};
use crate::failpoint::failpoint;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets of a request's head that are looked at, and more than hyper is told to accept.
const LONGEST_HEAD: usize = 32 << 10;

/// What was seen of the request that is being read. Shared by the stream and the handler, which
/// tell the connection's [`Progress`].
#[derive(Debug, Clone)]
pub struct Framing {
    head: Arc<Mutex<Head>>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Head {
    octets: Vec<u8>,
    whole: bool,
    ambiguous: bool,
    challenge: bool,
}

impl Framing {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(progress: Arc<Progress>) -> Self {
        progress.begins(Phase::Idle);
        Self { head: Arc::default(), progress }
    }

    /// A phase of the request begins.
    pub(super) fn begins(&self, phase: Phase) {
        self.progress.begins(phase);
    }

    /// The answer that comes has a challenge: its header name goes out as clients compare it.
    pub fn has_challenge(&self) {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).challenge = true;
    }

    fn writes_challenge(&self) -> bool {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).challenge
    }

    /// Whether the request has both Content-Length and Transfer-Encoding.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).ambiguous
    }

    /// Looks at the next request: call it when this one is answered.
    pub fn next(&self) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        // An idle connection keeps nothing.
        head.octets = Vec::new();
        (head.whole, head.ambiguous) = (false, false);
        drop(head);
        self.begins(Phase::Idle);
    }

    fn see(&self, octets: &[u8]) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if head.whole {
            return;
        }
        if head.octets.is_empty() {
            self.begins(Phase::Header);
        }
        head.challenge = false;
        let room = LONGEST_HEAD.saturating_sub(head.octets.len());
        head.octets.extend_from_slice(octets.get(..room.min(octets.len())).unwrap_or_default());
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut fields);
        let (whole, ambiguous) = match request.parse(&head.octets) {
            Ok(httparse::Status::Partial) => (head.octets.len() >= LONGEST_HEAD, false),
            Ok(httparse::Status::Complete(_)) => {
                let has = |name: &str| {
                    request.headers.iter().any(|field| field.name.eq_ignore_ascii_case(name))
                };
                (true, has("content-length") && has("transfer-encoding"))
            }
            // hyper will find the same and answer for itself.
            Err(_) => (true, false),
        };
        (head.whole, head.ambiguous) = (whole, ambiguous);
    }
}

/// A stream whose requests are looked at as they are read.
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    framing: Framing,
}

impl<S> Watched<S> {
    /// Looks at what comes from `inner`.
    pub const fn new(inner: S, framing: Framing) -> Self {
        Self { inner, framing }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Some(new) = buf.filled().get(before..).filter(|new| !new.is_empty()) {
            self.framing.see(new);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.framing.writes_challenge() {
            return Pin::new(&mut self.inner).poll_write(cx, &mended(octets));
        }
        Pin::new(&mut self.inner).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.framing.writes_challenge() {
            // One slice after the other: the caller comes back with the rest.
            let first = slices.iter().find(|slice| !slice.is_empty());
            return Pin::new(&mut self.inner)
                .poll_write(cx, &mended(first.map_or(&[][..], |slice| slice)));
        }
        failpoint!(
            "answer: head written",
            Pin::new(&mut self.inner).poll_write_vectored(cx, slices.get(..1).unwrap_or(slices))
        );
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The octets with the header name as RFC 9110 spells it; as many as before.
fn mended(octets: &[u8]) -> Vec<u8> {
    const FROM: &[u8] = b"\r\nWww-Authenticate: ";
    let mut out = octets.to_vec();
    if let Some(at) = octets.windows(FROM.len()).position(|part| part == FROM)
        && let Some(name) = out.get_mut(at + 2..at + 5)
    {
        name.make_ascii_uppercase();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn framing() -> Framing {
        let now = Instant::now();
        Framing::new(Arc::new(Progress::new(now, now)))
    }

    #[test]
    fn the_phases_of_a_connection_are_told() {
        let framing = framing();
        let phase = || framing.progress.seen().0;
        assert_eq!(phase(), Phase::Idle);
        framing.see(b"G");
        let since = framing.progress.seen();
        assert_eq!(since.0, Phase::Header);
        framing.see(b"ET / HTTP/1.1\r\n");
        assert_eq!(framing.progress.seen(), since, "from its first octet");
        framing.see(b"\r\n");
        framing.begins(Phase::Request);
        framing.see(b"what follows");
        assert_eq!(phase(), Phase::Request);
        framing.next();
        assert_eq!(phase(), Phase::Idle);
    }

    #[test]
    fn r_9112_6_3_a_sees_both_lengths_in_either_order_and_in_pieces() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-LENGTH: 3\r\n\r\n",
        ] {
            let framing = framing();
            for octet in head.as_bytes() {
                framing.see(&[*octet]);
            }
            assert!(framing.is_ambiguous(), "{head}");
            framing.see(b"POST / HTTP/1.1\r\n\r\n");
            assert!(framing.is_ambiguous(), "what follows is the body");
            framing.next();
            framing.see(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
            assert!(!framing.is_ambiguous());
        }
    }

    #[test]
    fn a_head_without_end_is_not_kept() {
        let framing = framing();
        for _ in 0..100 {
            framing.see(&[b'x'; 1024]);
        }
        assert!(framing.head.lock().unwrap().octets.len() <= LONGEST_HEAD);
    }
}
