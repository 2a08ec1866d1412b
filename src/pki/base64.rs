//! The base64 of EST bodies (RFC 7030 §4, RFC 8951 §3).

use super::Error;
use crate::types::{Code, Rejection};
use base64::{Engine, engine::general_purpose::STANDARD};

/// How base64 is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One line, ended by LF.
    Line,
    /// Lines of 64 columns, each ended by LF: coreutils' `base64 -d` rejects CR (D-02).
    Wrapped,
}

/// A decoded body, and its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The bytes.
    pub der: Vec<u8>,
    /// Whether it had line breaks.
    pub layout: Layout,
    /// The encoding.
    pub form: Form,
}

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// base64 (RFC 8951 §3).
    Base64,
    /// base64 in PEM armor (D-19).
    Pem,
    /// The bytes themselves (D-20).
    Der,
}

/// Decodes a base64 body: the alphabet of RFC 4648 §4 with padding; CR, LF, space and tab are allowed
/// anywhere (RFC 8951 §3.1). With `pem`, one PEM block of a certificate request is accepted, too (D-19).
///
/// # Errors
/// [`Error::Malformed`] naming the error.
pub fn decode(body: &[u8], pem: bool) -> Result<Body, Error> {
    let trimmed = body.trim_ascii();
    if trimmed.is_empty() {
        return Err(malformed(Code::BodyEmpty, "an empty body"));
    }
    if trimmed.starts_with(b"-----BEGIN ") {
        return decode_pem(trimmed, pem);
    }
    let layout = if trimmed.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        Layout::Wrapped
    } else {
        Layout::Line
    };
    Ok(Body { der: strict(trimmed)?, layout, form: Form::Base64 })
}

/// Decodes a body as [`decode`] does. With `der`, a DER SEQUENCE is accepted, too (D-20): its first
/// byte is 0x30, and a later byte is not ASCII.
///
/// # Errors
/// [`Error::Malformed`] naming the error.
pub fn decode_csr(body: &[u8], pem: bool, der: bool) -> Result<Body, Error> {
    if der && is_der(body) {
        return Ok(Body { der: body.to_vec(), layout: Layout::Wrapped, form: Form::Der });
    }
    decode(body, pem)
}

fn is_der(body: &[u8]) -> bool {
    body.first() == Some(&0x30) && !body.is_ascii()
}

fn decode_pem(text: &[u8], accepted: bool) -> Result<Body, Error> {
    if !accepted {
        return Err(malformed(Code::BodyPem, "a PEM block"));
    }
    let block = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"].iter().find_map(|kind| {
        let inside = text.strip_prefix(format!("-----BEGIN {kind}-----").as_bytes())?;
        inside.strip_suffix(format!("-----END {kind}-----").as_bytes())
    });
    match block {
        Some(inside) if !inside.windows(5).any(|five| five == b"-----") => {
            Ok(Body { der: strict(inside)?, layout: Layout::Wrapped, form: Form::Pem })
        }
        _ => Err(malformed(Code::BodyPem, "a PEM block of another kind, or more than one")),
    }
}

fn strict(text: &[u8]) -> Result<Vec<u8>, Error> {
    let compact: Vec<u8> =
        text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | b'\t')).collect();
    STANDARD.decode(&compact).map_err(|rejection| {
        let seen = if is_der(text) { "raw DER".to_owned() } else { rejection.to_string() };
        malformed(Code::BodyBase64, seen)
    })
}

fn malformed(code: Code, seen: impl std::fmt::Display) -> Error {
    Error::Malformed(Rejection::of(code, seen, "the output of openssl base64 for a CSR in DER"))
}

/// Encodes a body: lines end with LF, the last one too.
#[must_use]
pub fn encode(der: &[u8], layout: Layout) -> Vec<u8> {
    match layout {
        Layout::Line => lines(der, usize::MAX, b"\n"),
        Layout::Wrapped => lines(der, COLUMNS, b"\n"),
    }
}

/// Encodes the content of a MIME part: lines of 64 columns, each ended by CRLF (RFC 2045 §6.8).
#[must_use]
pub fn encode_part(der: &[u8]) -> Vec<u8> {
    lines(der, COLUMNS, b"\r\n")
}

/// libest reads 64 or 76 columns and no more.
const COLUMNS: usize = 64;

fn lines(der: &[u8], columns: usize, end: &[u8]) -> Vec<u8> {
    let line = STANDARD.encode(der);
    let ends = line.len() / columns + 1;
    let mut out = Vec::with_capacity(line.len() + ends * end.len());
    for part in line.as_bytes().chunks(columns) {
        out.extend_from_slice(part);
        out.extend_from_slice(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_8951_3_1_a_white_space_is_tolerated_anywhere() {
        for (text, layout) in [
            (&b"AAECAwQF"[..], Layout::Line),
            (b"AAECAwQF\n", Layout::Line),
            (b" \tAAECAwQF \r\n", Layout::Line),
            (b"AAEC\nAwQF\n", Layout::Wrapped),
            (b"AAEC\r\n  AwQF\r\n", Layout::Wrapped),
        ] {
            let body = decode(text, false).unwrap();
            assert_eq!((&body.der[..], body.layout), (&[0, 1, 2, 3, 4, 5][..], layout), "{text:?}");
        }
    }

    #[test]
    fn rejects_other_alphabets_missing_padding_and_bytes_after_it() {
        for bad in [
            &b"AAE_"[..],
            b"AAE-",
            b"AAE",
            b"AA==AA==",
            b"AA=",
            b"%%%%",
            b"\x30\x82\x01\x00",
            b"",
            b" \n",
        ] {
            assert!(decode(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_pem_block_of_a_request_is_read_where_allowed() {
        let pem = b"-----BEGIN CERTIFICATE REQUEST-----\nAAEC\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(decode(pem, true).unwrap().der, [0, 1, 2]);
        assert_eq!(decode(pem, true).unwrap().form, Form::Pem);
        assert!(decode(pem, false).is_err());
        let new = b"-----BEGIN NEW CERTIFICATE REQUEST-----\r\nAAEC\r\n-----END NEW CERTIFICATE REQUEST-----";
        assert_eq!(decode(new, true).unwrap().der, [0, 1, 2]);
        let two = [&pem[..], &pem[..]].concat();
        assert_eq!(decode(&two, true).unwrap_err().rejection().code, Code::BodyPem);
        assert!(
            decode(b"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----", true).is_err()
        );
    }

    #[test]
    fn der_itself_is_taken_where_allowed() {
        let der = b"\x30\x82\x01\x00";
        let body = decode_csr(der, false, true).unwrap();
        assert_eq!((&body.der[..], body.form), (&der[..], Form::Der));
        let rejection = decode_csr(der, true, false).unwrap_err();
        assert!(rejection.to_string().contains("got raw DER"), "{rejection}");
        // base64 that begins with a "0" is still base64.
        assert_eq!(decode_csr(b"0AEC", false, true).unwrap().form, Form::Base64);
    }

    #[test]
    fn r_8951_3_a_encodes_in_both_layouts() {
        let der = [7u8; 100];
        let line = encode(&der, Layout::Line);
        assert!(!line[..line.len() - 1].contains(&b'\n') && line.ends_with(b"\n"));
        let wrapped = encode(&der, Layout::Wrapped);
        assert!(wrapped.split(|byte| *byte == b'\n').all(|part| part.len() <= 64));
        assert!(wrapped.ends_with(b"\n") && !wrapped.contains(&b'\r'));
        for layout in [Layout::Line, Layout::Wrapped] {
            let body = decode(&encode(&der, layout), false).unwrap();
            assert_eq!((body.der, body.layout), (der.to_vec(), layout));
        }
        let part = String::from_utf8(encode_part(&der)).unwrap();
        assert!(part.split("\r\n").all(|line| line.len() <= 64 && !line.contains(['\r', '\n'])));
        assert!(part.ends_with("\r\n"));
        assert_eq!(decode(part.as_bytes(), false).unwrap().der, der);
    }
}
