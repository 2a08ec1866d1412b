//! Finds requests with both Content-Length and Transfer-Encoding, which hyper does not report.
//!
//! hyper follows Transfer-Encoding, drops Content-Length and closes the connection afterwards,
//! as RFC 9112 §6.3 allows. This server rejects such a request (R-9112-6.3-a): behind a proxy that
//! parses it differently, another client's request would become part of its body. So each head is
//! parsed before hyper reads it, also of pipelined requests: the end of a body follows from its
//! length. After a body in chunks, which only a parser of chunks could follow, the connection ends.
//!
//! One header name of answers is corrected: hyper's Title-Case writes `Www-Authenticate`, but
//! libest compares it case-sensitively with `WWW-Authenticate`.

use super::progress::{ConnectionProgress, Phase, WatchedStream};
use crate::failpoint::failpoint;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a request's head that are parsed; more than hyper's configured limit.
const LONGEST_HEAD: usize = 32 << 10;

/// The state of the request that is being read. Shared by the stream and the handler, which report to the
/// connection's [`ConnectionProgress`].
#[derive(Debug, Clone)]
pub struct Framing {
    head: Arc<Mutex<FramedHead>>,
    listener: Listener,
}

/// The receiver of the phases.
#[derive(Debug, Clone)]
enum Listener {
    /// The connection: it has one request at a time.
    Connection(Arc<ConnectionProgress>),
    /// One of its requests.
    WatchedStream(Arc<WatchedStream>),
}

#[derive(Debug, Default)]
struct FramedHead {
    /// Received bytes of an incomplete head, or bytes after the body of the request that is being
    /// answered.
    bytes: Vec<u8>,
    /// The head of a request is complete, and the request is not answered yet.
    whole: bool,
    ambiguous: bool,
    challenge: bool,
    /// Missing bytes of the body.
    body: u64,
    /// Where the next head begins cannot be response.
    lost: bool,
}

impl FramedHead {
    /// Processes bytes as they are received. True if they begin a head.
    fn take(&mut self, bytes: &[u8]) -> bool {
        if self.lost {
            return false;
        }
        let of_body = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
        self.body -= of_body as u64;
        let new = bytes.get(of_body..).unwrap_or_default();
        if new.is_empty() {
            return false;
        }
        let begins = self.bytes.is_empty() && !self.whole;
        let room = LONGEST_HEAD.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(new.get(..room.min(new.len())).unwrap_or_default());
        self.lost = new.len() > room;
        if !self.whole {
            self.parse();
        }
        begins
    }

    fn parse(&mut self) {
        self.challenge = false;
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&self.bytes) {
            Ok(httparse::Status::Partial) if self.bytes.len() < LONGEST_HEAD => {}
            Ok(httparse::Status::Complete(end)) => {
                let field = |name: &str| {
                    request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))
                };
                let (length, coding) = (field("content-length"), field("transfer-encoding"));
                self.ambiguous = length.is_some() && coding.is_some();
                // Only a parser of chunks could find the end of this one.
                self.lost |= coding.is_some();
                self.body = length
                    .and_then(|length| std::str::from_utf8(length.value).ok()?.trim().parse().ok())
                    .unwrap_or(0);
                self.whole = true;
                let rest = self.bytes.split_off(end);
                self.bytes = Vec::new();
                self.take(&rest);
            }
            // hyper will find the same and answer for itself.
            Ok(httparse::Status::Partial) | Err(_) => (self.whole, self.lost) = (true, true),
        }
    }
}

impl Framing {
    /// Begins before the first request.
    #[must_use]
    pub fn new(progress: Arc<ConnectionProgress>) -> Self {
        progress.begins(Phase::Idle);
        Self { head: Arc::default(), listener: Listener::Connection(progress) }
    }

    /// A request of HTTP/2, whose framing needs no check.
    #[must_use]
    pub fn of_stream(stream: WatchedStream) -> Self {
        Self { head: Arc::default(), listener: Listener::WatchedStream(Arc::new(stream)) }
    }

    /// A phase of the request begins.
    pub(super) fn begins(&self, phase: Phase) {
        match &self.listener {
            Listener::Connection(progress) => progress.begins(phase),
            Listener::WatchedStream(stream) => stream.begins(phase),
        }
    }

    /// The next answer has a challenge: its header name is sent in the case that clients expect.
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

    /// Whether this request must be the last of its connection: bytes after it in the same segment
    /// cannot be checked.
    #[must_use]
    pub fn ends_here(&self) -> bool {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).lost
    }

    /// Starts to parse the next request. Call it when this one is answered.
    pub fn next(&self) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        (head.whole, head.ambiguous) = (false, false);
        let begun = !head.bytes.is_empty();
        if begun {
            // A pipelined request. The challenge of the last answer is still to be sent.
            let challenge = head.challenge;
            head.parse();
            head.challenge |= challenge;
        }
        drop(head);
        self.begins(if begun { Phase::Header } else { Phase::Idle });
    }

    fn see(&self, bytes: &[u8]) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if head.take(bytes) {
            drop(head);
            self.begins(Phase::Header);
        }
    }
}

/// A stream that parses the framing of requests as they are read.
#[derive(Debug)]
pub struct Watched<S> {
    inner: S,
    framing: Framing,
}

impl<S> Watched<S> {
    /// Watches the bytes that `inner` reads.
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
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.framing.writes_challenge() {
            return Pin::new(&mut self.inner).poll_write(cx, &mended(bytes));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.framing.writes_challenge() {
            // Writes one slice; the caller calls again with the rest.
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

/// The bytes with the header names as RFC 9110 spells them; as many as before.
fn mended(bytes: &[u8]) -> Vec<u8> {
    const FROM: &[u8] = b"\r\nWww-Authenticate: ";
    let mut out = bytes.to_vec();
    let mut from = 0;
    while let Some(at) = out
        .get(from..)
        .and_then(|rest| rest.windows(FROM.len()).position(|part| part == FROM))
        .map(|at| from + at)
    {
        if let Some(name) = out.get_mut(at + 2..at + 5) {
            name.make_ascii_uppercase();
        }
        from = at + FROM.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn fresh() -> Framing {
        let now = Instant::now();
        Framing::new(Arc::new(ConnectionProgress::new(now, now)))
    }

    fn seen(framing: &Framing) -> (Phase, Instant) {
        match &framing.listener {
            Listener::Connection(progress) => progress.seen(),
            Listener::WatchedStream(_) => panic!("a connection"),
        }
    }

    #[test]
    fn the_phases_of_a_connection_are_reported() {
        let framing = fresh();
        let phase = || seen(&framing).0;
        assert_eq!(phase(), Phase::Idle);
        framing.see(b"G");
        let since = seen(&framing);
        assert_eq!(since.0, Phase::Header);
        framing.see(b"ET / HTTP/1.1\r\nContent-Length: 12\r\n");
        assert_eq!(seen(&framing), since, "from its first byte");
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
            let framing = fresh();
            for byte in head.as_bytes() {
                framing.see(&[*byte]);
            }
            assert!(framing.is_ambiguous(), "{head}");
            framing.see(b"POST / HTTP/1.1\r\n\r\n");
            assert!(framing.is_ambiguous(), "what follows is the body");
            assert!(framing.ends_here());
        }
        let framing = fresh();
        for _ in 0..2 {
            framing.see(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
            framing.see(b"abc");
            assert!(!framing.is_ambiguous() && !framing.ends_here());
            framing.next();
        }
    }

    #[test]
    fn r_9112_6_3_a_sees_both_lengths_behind_other_requests_whatever_the_segments() {
        const FIRST: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
        const LAST: &str =
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let whole = format!("{FIRST}{LAST}");
        for cut in 0..=whole.len() {
            let framing = fresh();
            framing.see(&whole.as_bytes()[..cut]);
            framing.see(&whole.as_bytes()[cut..]);
            for _ in 0..2 {
                assert!(!framing.is_ambiguous() && !framing.ends_here(), "cut at {cut}");
                framing.next();
            }
            assert!(framing.is_ambiguous(), "cut at {cut}");
        }
        // An answer that does not wait for the body.
        let framing = fresh();
        framing.see(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
        framing.next();
        framing.see(format!("cde{LAST}").as_bytes());
        assert!(framing.is_ambiguous());
    }

    #[test]
    fn r_9112_6_3_a_unparsable_framing_ends_the_connection() {
        let framing = fresh();
        framing.see(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(!framing.is_ambiguous() && framing.ends_here());
        let framing = fresh();
        framing.see(b"GET / HTTP/1.1\r\n\r\n");
        assert!(!framing.ends_here());
        framing.see(&[b'x'; LONGEST_HEAD + 1]);
        assert!(framing.ends_here(), "more than is kept");
    }

    #[test]
    fn each_challenge_is_spelled_as_clients_expect() {
        let head =
            b"HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: a\r\nWww-Authenticate: b\r\n\r\n";
        assert_eq!(
            mended(head),
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: a\r\nWWW-Authenticate: b\r\n\r\n"
        );
    }

    #[test]
    fn a_head_without_end_is_not_kept() {
        let framing = fresh();
        for _ in 0..100 {
            framing.see(&[b'x'; 1024]);
        }
        assert!(framing.head.lock().unwrap().bytes.len() <= LONGEST_HEAD);
    }
}
