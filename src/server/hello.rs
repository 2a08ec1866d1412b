//! Inspects the first bytes of a connection before rustls reads them: clients of TLS 1.1 and older get the
//! alert protocol_version.
//!
//! rustls looks for signature_algorithms, which they do not send, before it checks the version: it would
//! send handshake_failure.

use std::{fmt, io, io::ErrorKind};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Bytes of a record header, a handshake header and the version in a ClientHello (RFC 5246 §6.2.1,
/// §7.4, §7.4.1.2).
const HEAD: usize = 5 + 4 + 2;

/// Most bytes to discard before the alert.
const MOST: usize = 64 << 10;

/// A version of SSL or TLS before 1.2 (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OldVersion(u8);

impl fmt::Display for OldVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("SSL 3.0"),
            minor => write!(f, "TLS 1.{}", minor - 1),
        }
    }
}

/// The first bytes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing: it has closed, as the checks of a load balancer do.
    Nothing,
    /// A ClientHello whose highest version is too old.
    Old(OldVersion),
    /// Any other message, for rustls.
    Other,
}

impl Opening {
    fn of(head: &[u8]) -> Self {
        match head {
            [] => Self::Nothing,
            // Handshake, SSL 3 or TLS, length; ClientHello, length; its version.
            [22, 3, _, _, _, 1, _, _, _, 3, minor @ 0..=2] => Self::Old(OldVersion(*minor)),
            _ => Self::Other,
        }
    }
}

/// Waits for a client's first bytes and inspects them, without consuming them.
pub(super) async fn look(stream: &TcpStream) -> io::Result<Opening> {
    let mut head = [0; HEAD];
    let read = stream.peek(&mut head).await?;
    Ok(Opening::of(head.get(..read).unwrap_or_default()))
}

/// Ends a connection with the alert protocol_version (RFC 5246 §7.2.2, appendix E.1).
pub(super) async fn reject(mut stream: TcpStream, version: OldVersion) -> io::Result<()> {
    // With unread bytes the system would reset the connection, and the alert would be lost.
    let mut read = 0;
    let mut bytes = [0; 4096];
    while read < MOST {
        match stream.try_read(&mut bytes) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    // Alert, the client's version, 2 bytes: fatal, protocol_version.
    stream.write_all(&[21, 3, version.0, 0, 2, 2, 70]).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_8996_4_only_a_hello_of_an_old_version_is_old() {
        let hello = |record: u8, version: [u8; 2]| {
            Opening::of(&[22, 3, record, 1, 0, 1, 0, 0, 252, version[0], version[1]])
        };
        for (minor, name) in [(0, "SSL 3.0"), (1, "TLS 1.0"), (2, "TLS 1.1")] {
            let Opening::Old(version) = hello(1, [3, minor]) else { panic!("{name}") };
            assert_eq!(version.to_string(), name);
        }
        // TLS 1.2 and 1.3 have 3.3 there, in a record of 3.1.
        assert_eq!(hello(1, [3, 3]), Opening::Other);
        assert_eq!(hello(3, [3, 3]), Opening::Other);
        assert_eq!(hello(1, [254, 253]), Opening::Other);
        assert_eq!(Opening::of(b"GET /.well-"), Opening::Other);
        assert_eq!(Opening::of(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3]), Opening::Other, "not all");
        assert_eq!(Opening::of(&[]), Opening::Nothing);
    }
}
