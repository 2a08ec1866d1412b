//! PEM (RFC 7468): the reader and writer of files.
//!
//! Accepts more than RFC 7468 allows, because many tools write such files: lines of any length,
//! blanks at their ends, text between the blocks. Bodies of HTTP are stricter (`base64.rs`).

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Why a PEM file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// No block of the wanted kind.
    #[error("got no PEM block; expected: {0}")]
    Missing(&'static str),
    /// A block of another kind.
    #[error("got a PEM block {got}; expected: {expected}")]
    OtherKind {
        /// Its label.
        got: String,
        /// The accepted labels.
        expected: &'static str,
    },
    /// More blocks of the wanted kind than one.
    #[error("got several PEM blocks {0}; expected: one")]
    Several(&'static str),
    /// The end line is missing, or that of another block.
    #[error("got a PEM block {0} without its end; expected: the whole file")]
    Unclosed(String),
    /// Header fields (RFC 1421), which only OpenSSL's old encryption of keys writes.
    #[error("got a PEM block {0} with header fields; expected: base64 only (RFC 7468)")]
    HeaderFields(String),
    /// The contents.
    #[error("got a PEM block {0} that is not base64")]
    Base64(String),
}

/// A block between its two lines, not decoded.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// The label, such as `CERTIFICATE`.
    pub label: &'a str,
    /// Without white space.
    base64: Zeroizing<Vec<u8>>,
    has_header_fields: bool,
    is_closed: bool,
}

impl Block<'_> {
    /// Decodes the contents.
    ///
    /// # Errors
    /// [`PemError`] if the block is damaged.
    pub fn decode(&self) -> Result<Zeroizing<Vec<u8>>, PemError> {
        let label = || self.label.to_owned();
        if self.has_header_fields {
            return Err(PemError::HeaderFields(label()));
        }
        if !self.is_closed {
            return Err(PemError::Unclosed(label()));
        }
        let der = STANDARD.decode(&*self.base64).map_err(|_| PemError::Base64(label()))?;
        Ok(Zeroizing::new(der))
    }
}

/// Returns the blocks of a file in order.
pub fn blocks(pem: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let size = pem.len();
    let mut lines = pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    std::iter::from_fn(move || {
        let label = lines.by_ref().find_map(|line| boundary(line, b"-----BEGIN "))?;
        // Allocated at full size: a buffer that grows leaves copies of a private key behind.
        let mut base64 = Zeroizing::new(Vec::with_capacity(size));
        let mut has_header_fields = false;
        for line in lines.by_ref() {
            if let Some(end) = boundary(line, b"-----END ") {
                return Some(Block { label, base64, has_header_fields, is_closed: end == label });
            }
            has_header_fields |= line.contains(&b':');
            base64.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
        Some(Block { label, base64, has_header_fields, is_closed: false })
    })
}

fn boundary<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a str> {
    str::from_utf8(line.strip_prefix(start)?.strip_suffix(b"-----")?).ok()
}

/// Decodes every certificate of a file; other blocks are skipped.
///
/// # Errors
/// [`PemError`] if the text has no such block, or one is damaged.
pub fn decode_certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    let blocks = blocks(pem).filter(|block| block.label == "CERTIFICATE");
    let found: Vec<_> =
        blocks.map(|block| block.decode().map(|der| der.to_vec())).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(PemError::Missing("CERTIFICATE")) } else { Ok(found) }
}

/// Decodes the first certification request (PKCS#10) of a file.
///
/// # Errors
/// [`PemError`] if the text has no such block, or it is damaged.
pub fn request(pem: &[u8]) -> Result<Vec<u8>, PemError> {
    const EXPECTED: &str = "CERTIFICATE REQUEST";
    let mut other = None;
    for block in blocks(pem) {
        // Also `NEW CERTIFICATE REQUEST`, as some tools write.
        if block.label.ends_with(EXPECTED) {
            return block.decode().map(|der| der.to_vec());
        }
        other.get_or_insert(block.label);
    }
    let other =
        other.map(|label| PemError::OtherKind { got: label.to_owned(), expected: EXPECTED });
    Err(other.unwrap_or(PemError::Missing(EXPECTED)))
}

/// Decodes the one CRL of a file; other blocks are skipped.
///
/// # Errors
/// [`PemError`] if the text has no such block, several, or a damaged one.
pub fn revocation_list(pem: &[u8]) -> Result<Vec<u8>, PemError> {
    const EXPECTED: &str = "X509 CRL";
    let mut found = blocks(pem).filter(|block| block.label == EXPECTED);
    let first = found.next().ok_or(PemError::Missing(EXPECTED))?;
    if found.next().is_some() {
        return Err(PemError::Several(EXPECTED));
    }
    first.decode().map(|der| der.to_vec())
}

/// Writes a block with lines of 64 columns, into one buffer that never grows.
#[must_use]
pub fn encode_block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(vec![0; der.len().div_ceil(3).saturating_mul(4)]);
    let length = STANDARD.encode_slice(der, &mut encoded).unwrap_or(0);
    let mut pem = Zeroizing::new(String::with_capacity(
        length.saturating_add(length.div_ceil(64)).saturating_add(2 * label.len() + 40),
    ));
    for (start, lines) in [("-----BEGIN ", &encoded[..]), ("-----END ", &[])] {
        pem.push_str(start);
        pem.push_str(label);
        pem.push_str("-----\n");
        for line in lines.chunks(64) {
            pem.push_str(str::from_utf8(line).unwrap_or_default());
            pem.push('\n');
        }
    }
    pem
}

/// Writes certificates, one block after the other.
#[must_use]
pub fn encode_certificates<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str(&encode_block("CERTIFICATE", certificate));
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_output_between_other_text() {
        for length in [0, 1, 47, 48, 49, 200] {
            let der = vec![7; length];
            let pem = encode_block("CERTIFICATE", &der);
            assert!(pem.lines().all(|line| line.len() <= 64), "{length}");
            let file = format!("{}{}", pem.replace('\n', " \r\n"), &*pem);
            let file = [b"caf\xe9: 1\r\n", file.as_bytes()].concat();
            assert_eq!(decode_certificates(&file).unwrap(), [der.clone(), der], "{length}");
        }
    }

    #[test]
    fn damaged_blocks_are_rejected_and_others_skipped() {
        let pem = encode_block("CERTIFICATE", &[7; 30]).to_string();
        let key = encode_block("PRIVATE KEY", &[7; 30]).replace("BwcH", "%%%%");
        assert_eq!(decode_certificates(format!("{key}{pem}").as_bytes()).unwrap().len(), 1);
        assert_eq!(decode_certificates(key.as_bytes()), Err(PemError::Missing("CERTIFICATE")));
        let label = || "CERTIFICATE".to_owned();
        for (damaged, error) in [
            (pem.replace("BwcH", "%%%%"), PemError::Base64(label())),
            (pem.replace("-----END CERT", "-----END cert"), PemError::Unclosed(label())),
            (pem.replace("-----END ", ""), PemError::Unclosed(label())),
            (pem.replacen('\n', "\nProc-Type: 4\n", 1), PemError::HeaderFields(label())),
        ] {
            assert_eq!(decode_certificates(damaged.as_bytes()), Err(error), "{damaged}");
        }
        assert_eq!(
            request(pem.as_bytes()),
            Err(PemError::OtherKind { got: label(), expected: "CERTIFICATE REQUEST" })
        );
        let new = encode_block("NEW CERTIFICATE REQUEST", &[7]);
        assert_eq!(request(format!("{pem}{}", &*new).as_bytes()).unwrap(), [7]);
    }
}
