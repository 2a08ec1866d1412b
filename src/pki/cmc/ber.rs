//! BER to DER, as far as CMS needs it. Bouncy Castle and `openssl cms -stream` write a SignedData with
//! indefinite lengths and an OCTET STRING in pieces (RFC 5652 §5.2, X.690 §8.1.3.6, §8.7.3). The
//! signed bytes do not change: they are inside that OCTET STRING, or are DER already (the signed
//! attributes).

/// Maximum depth of nested values. A SignedData with certificates has 15 levels.
const MAX_DEPTH: u8 = 24;

const OCTET_STRING: u8 = 4;
const CONSTRUCTED: u8 = 0x20;

/// Writes one BER value in DER lengths and with whole OCTET STRINGs. None if it is not one BER
/// value, has bytes after it, or is nested too deeply.
#[must_use]
pub fn to_der(ber: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(ber.len());
    let rest = value(ber, &mut out, 0)?;
    rest.is_empty().then_some(out)
}

/// Whether a value has an indefinite length: then it is BER.
#[must_use]
pub fn is_indefinite(bytes: &[u8]) -> bool {
    matches!(bytes, [tag, 0x80, ..] if tag & CONSTRUCTED != 0)
}

/// Reads a value and writes it; the bytes after it.
fn value<'a>(ber: &'a [u8], out: &mut Vec<u8>, depth: u8) -> Option<&'a [u8]> {
    if depth >= MAX_DEPTH {
        return None;
    }
    let (tag, rest) = tag(ber)?;
    let first = *tag.first()?;
    let (length, rest) = length(rest)?;
    if first & CONSTRUCTED == 0 {
        let (content, rest) = rest.split_at_checked(length?)?;
        write(out, tag, content)?;
        return Some(rest);
    }
    let mut content = Vec::new();
    let after = match length {
        Some(length) => {
            let (mut inner, after) = rest.split_at_checked(length)?;
            while !inner.is_empty() {
                inner = value(inner, &mut content, depth + 1)?;
            }
            after
        }
        None => {
            let mut inner = rest;
            loop {
                if let Some(after) = inner.strip_prefix(&[0, 0]) {
                    break after;
                }
                inner = value(inner, &mut content, depth + 1)?;
            }
        }
    };
    if first == OCTET_STRING | CONSTRUCTED {
        write(out, &[OCTET_STRING], &joined(&content)?)?;
    } else {
        write(out, tag, &content)?;
    }
    Some(after)
}

/// The pieces of an OCTET STRING, already written in DER, concatenated.
fn joined(pieces: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::with_capacity(pieces.len());
    let mut rest = pieces;
    while !rest.is_empty() {
        let after = rest.strip_prefix(&[OCTET_STRING])?;
        let (length, after) = length(after)?;
        let (piece, after) = after.split_at_checked(length?)?;
        whole.extend_from_slice(piece);
        rest = after;
    }
    Some(whole)
}

/// The tag's bytes.
fn tag(ber: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *ber.first()?;
    // Numbers above 30 take more bytes; nothing in a CMS has one (X.690 §8.1.2.4).
    (first & 0x1f != 0x1f).then(|| ber.split_at_checked(1)).flatten()
}

/// A length; the inner none is the indefinite one.
fn length(ber: &[u8]) -> Option<(Option<usize>, &[u8])> {
    let (first, rest) = ber.split_first()?;
    match first {
        0x80 => Some((None, rest)),
        0..0x80 => Some((Some(usize::from(*first)), rest)),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
            Some((Some(length), rest))
        }
        0x85.. => None,
    }
}

fn write(out: &mut Vec<u8>, tag: &[u8], content: &[u8]) -> Option<()> {
    out.extend_from_slice(tag);
    let length = u32::try_from(content.len()).ok()?;
    let bytes = length.to_be_bytes();
    let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
    let bytes = bytes.get(from..)?;
    match bytes {
        [short @ 0..0x80] => out.push(*short),
        more => {
            out.push(0x80 | u8::try_from(more.len()).ok()?);
            out.extend_from_slice(more);
        }
    }
    out.extend_from_slice(content);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_is_unchanged() {
        let sample = include_bytes!("../../../testdata/rfc7030/a1-cacerts.p7.der");
        assert_eq!(to_der(sample).unwrap(), sample);
        assert!(!is_indefinite(sample));
    }

    #[test]
    fn indefinite_lengths_and_pieces_become_whole() {
        let ber = [
            0x30, 0x80, 2, 1, 5, 0x24, 0x80, 4, 2, 1, 2, 0x24, 3, 4, 1, 3, 0, 0, 0xa0, 0x81, 2, 5,
            0, 0, 0,
        ];
        assert!(is_indefinite(&ber));
        let der = [0x30, 12, 2, 1, 5, 4, 3, 1, 2, 3, 0xa0, 2, 5, 0];
        assert_eq!(to_der(&ber).unwrap(), der);
        for end in 0..ber.len() {
            assert_eq!(to_der(&ber[..end]), None, "{end}");
        }
        let mut more = ber.to_vec();
        more.push(0);
        assert_eq!(to_der(&more), None);
        assert_eq!(to_der(&[0x24, 0x80, 2, 1, 5, 0, 0]), None, "no piece of an OCTET STRING");
        assert_eq!(to_der(&[4, 0x80, 0, 0]), None, "primitive values have a length");
        assert_eq!(to_der(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn deep_nesting_is_rejected() {
        let deep: Vec<u8> = [0x30, 0x80].repeat(100_000);
        assert_eq!(to_der(&deep), None);
    }
}
