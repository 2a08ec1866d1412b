//! A writer that hashes the bytes passed through it.

use aws_lc_rs::digest::{Context, SHA256};
use std::io::{self, Write};

/// Passes bytes on to another writer and computes their SHA-256.
pub struct Hashed<W> {
    inner: W,
    context: Context,
}

impl<W: Write> Hashed<W> {
    /// Hashes the bytes that `inner` receives.
    pub fn new(inner: W) -> Self {
        Self { inner, context: Context::new(&SHA256) }
    }

    /// Returns the writer and the SHA-256 of everything written, hexadecimal.
    pub fn finish(self) -> (W, String) {
        let text = base16ct::lower::encode_string(self.context.finish().as_ref());
        (self.inner, text)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.context.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_what_it_writes() {
        let mut hashed = Hashed::new(Vec::new());
        hashed.write_all(b"a").unwrap();
        hashed.write_all(b"bc").unwrap();
        let (written, digest) = hashed.finish();
        assert_eq!(written, b"abc");
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
