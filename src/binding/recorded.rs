//! A stream that hashes the TLS 1.2 handshake it transports.
//!
//! Both directions are added to one hash in the order of arrival. That is the order of the transcript:
//! in TLS 1.2 the two ends send in turns. A client that does not breaks only its own binding. Only the
//! two hellos are buffered, until the ServerHello names the version and the hash; a certificate of any
//! length costs no memory. rustls has not checked these bytes yet: an unreadable record ends the
//! recording, never the connection.

use aws_lc_rs::digest;
use rustls::{
    CipherSuite, SupportedCipherSuite,
    crypto::{aws_lc_rs::ALL_CIPHER_SUITES, hash::HashAlgorithm},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of both hellos together at most: a ClientHello with post-quantum key shares has 2 KiB.
const LONGEST_HELLOS: usize = 16 << 10;

/// The content types of records (RFC 5246 §6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The facts of a TLS 1.2 handshake that determine its bindings.
pub(super) struct HandshakeFacts {
    /// Of all handshake messages before the first Finished.
    pub(super) hash: digest::Digest,
    /// Whether the first Finished is the server's.
    pub(super) resumed: bool,
    /// Whether the server agreed to it (RFC 7627 §5.1).
    pub(super) extended_master_secret: bool,
}

/// The sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that connects.
    Client,
    /// The end that accepts.
    Server,
}

/// A stream whose handshake is recorded until the first ChangeCipherSpec, or until it turns out not
/// to be TLS 1.2.
#[derive(Debug)]
pub struct Recorded<S> {
    inner: S,
    /// The side that writes to this stream.
    own: Side,
    transcript: Option<Box<Transcript>>,
}

impl<S> Recorded<S> {
    /// Records the handshake of a server's or a client's stream.
    pub fn new(inner: S, own: Side) -> Self {
        Self { inner, own, transcript: Some(Box::default()) }
    }

    /// Records nothing.
    pub const fn silent(inner: S) -> Self {
        Self { inner, own: Side::Server, transcript: None }
    }

    /// The stream.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Ends the recording.
    pub(super) fn end(&mut self) -> Option<HandshakeFacts> {
        self.transcript.take().and_then(|transcript| transcript.facts)
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if let Some(transcript) = &mut self.transcript {
            transcript.pass(self.own, bytes);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let other = match self.own {
            Side::Server => Side::Client,
            Side::Client => Side::Server,
        };
        if let Some(transcript) = &mut self.transcript {
            transcript.pass(other, bytes);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if self.transcript.is_some() {
            self.read(buf.filled().get(before..).unwrap_or_default());
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = outcome {
            self.wrote(bytes.get(..written).unwrap_or_default());
        }
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        if let (Some(_), Poll::Ready(Ok(written))) = (&self.transcript, &outcome) {
            let mut left = *written;
            for slice in slices {
                let taken = left.min(slice.len());
                self.wrote(slice.get(..taken).unwrap_or_default());
                left -= taken;
            }
        }
        outcome
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

/// The handshake so far.
#[derive(Default)]
struct Transcript {
    client: Records,
    server: Records,
    state: RecordState,
    facts: Option<HandshakeFacts>,
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").finish_non_exhaustive()
    }
}

enum RecordState {
    /// The bytes of the hellos so far, and the offset of the server's part.
    Hellos(Vec<u8>, Option<usize>),
    /// The two ends negotiated TLS 1.2.
    Hashing { hash: digest::Context, extended_master_secret: bool },
    /// The recording has ended.
    Over,
}

impl Default for RecordState {
    fn default() -> Self {
        Self::Hellos(Vec::new(), None)
    }
}

/// Position in the records of one direction (RFC 5246 §6.2.1): type, version, length, fragment.
#[derive(Default)]
struct Records {
    header: [u8; 5],
    /// Received bytes of the header.
    filled: usize,
    /// Missing bytes of the fragment.
    left: usize,
}

impl Records {
    /// Splits the next piece from the front of `bytes`: the type of the record, and a part of its
    /// fragment. None when `bytes` end before that.
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
        while self.left == 0 {
            if self.filled == self.header.len() {
                self.filled = 0;
            }
            let wanted = self.header.get_mut(self.filled..)?;
            let taken = wanted.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(taken)?;
            wanted.get_mut(..taken)?.copy_from_slice(now);
            *bytes = later;
            self.filled += taken;
            if self.filled < self.header.len() {
                return None;
            }
            let [_, _, _, high, low] = self.header;
            self.left = usize::from(u16::from_be_bytes([high, low]));
        }
        let (now, later) = bytes.split_at_checked(self.left.min(bytes.len()))?;
        *bytes = later;
        self.left -= now.len();
        (!now.is_empty()).then_some((self.header[0], now))
    }
}

impl Transcript {
    /// Bytes of one end pass.
    fn pass(&mut self, from: Side, mut bytes: &[u8]) {
        while !matches!(self.state, RecordState::Over) {
            let records = match from {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            let Some((kind, fragment)) = records.next(&mut bytes) else { return };
            match kind {
                HANDSHAKE => self.message(from, fragment),
                CHANGE_CIPHER_SPEC => self.finish(from),
                ALERT => {}
                // Not TLS, or out of order: rustls reports the error.
                _ => self.state = RecordState::Over,
            }
        }
    }

    fn message(&mut self, from: Side, fragment: &[u8]) {
        match &mut self.state {
            RecordState::Hashing { hash, .. } => hash.update(fragment),
            RecordState::Hellos(hellos, server) => {
                if hellos.len() + fragment.len() > LONGEST_HELLOS {
                    self.state = RecordState::Over;
                    return;
                }
                if from == Side::Server && server.is_none() {
                    *server = Some(hellos.len());
                }
                hellos.extend_from_slice(fragment);
                let hello = server.and_then(|at| hellos.get(at..)).unwrap_or_default();
                match agreed(hello) {
                    Agreed::NotYet => {}
                    Agreed::Other => self.state = RecordState::Over,
                    Agreed::Tls12 { algorithm, extended_master_secret } => {
                        let mut hash = digest::Context::new(algorithm);
                        hash.update(hellos);
                        self.state = RecordState::Hashing { hash, extended_master_secret };
                    }
                }
            }
            RecordState::Over => {}
        }
    }

    fn finish(&mut self, from: Side) {
        if let RecordState::Hashing { hash, extended_master_secret } =
            std::mem::replace(&mut self.state, RecordState::Over)
        {
            let (hash, resumed) = (hash.finish(), from == Side::Server);
            self.facts = Some(HandshakeFacts { hash, resumed, extended_master_secret });
        }
    }
}

/// The result of parsing a ServerHello.
#[derive(Debug, PartialEq)]
enum Agreed {
    /// It is incomplete.
    NotYet,
    Tls12 {
        algorithm: &'static digest::Algorithm,
        extended_master_secret: bool,
    },
    /// TLS 1.3, or what cannot be read.
    Other,
}

/// Reads a ServerHello (RFC 5246 §7.4.1.3).
fn agreed(bytes: &[u8]) -> Agreed {
    let Some((head, rest)) = bytes.split_at_checked(4) else { return Agreed::NotYet };
    let [kind, length @ ..] = head else { return Agreed::NotYet };
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if *kind != 2 {
        return Agreed::Other;
    }
    let Some(body) = rest.get(..length) else { return Agreed::NotYet };
    server_hello(body).unwrap_or(Agreed::Other)
}

fn server_hello(mut body: &[u8]) -> Option<Agreed> {
    fn take<'a>(body: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (now, later) = body.split_at_checked(length)?;
        *body = later;
        Some(now)
    }
    fn number(body: &mut &[u8]) -> Option<u16> {
        Some(u16::from_be_bytes(take(body, 2)?.try_into().ok()?))
    }
    // Version, random, session id.
    take(&mut body, 34)?;
    let [length] = take(&mut body, 1)? else { return None };
    take(&mut body, usize::from(*length))?;
    let suite = CipherSuite::from(number(&mut body)?);
    let suite = ALL_CIPHER_SUITES.iter().find(|one| one.suite() == suite)?;
    let SupportedCipherSuite::Tls12(suite) = suite else { return None };
    let algorithm = match suite.common.hash_provider.algorithm() {
        HashAlgorithm::SHA256 => &digest::SHA256,
        HashAlgorithm::SHA384 => &digest::SHA384,
        _ => return None,
    };
    // Compression method; then extensions, which may be missing altogether.
    take(&mut body, 1)?;
    let mut extended_master_secret = false;
    if !body.is_empty() {
        let length = number(&mut body)?;
        let mut extensions = take(&mut body, usize::from(length))?;
        while !extensions.is_empty() {
            // extended_master_secret(23), RFC 7627 §5.1.
            extended_master_secret |= number(&mut extensions)? == 23;
            let length = number(&mut extensions)?;
            take(&mut extensions, usize::from(length))?;
        }
    }
    Some(Agreed::Tls12 { algorithm, extended_master_secret })
}
