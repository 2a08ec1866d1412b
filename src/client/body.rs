//! Bodies of requests and answers as EST servers write and read them: base64, and what became of it.
//!
//! Requests are sent so that every server reads them. Answers are read in each form that servers
//! send; testdata/servers has them.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

/// Columns of a line: libest reads 64 and 76 only, and RFC 7030's samples have 64.
const COLUMNS: usize = 64;

/// Accepts base64 with its padding and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Encodes a request: lines of 64 columns, each ended by LF. White space means nothing (RFC 8951
/// §3.1), but libest's server closes the connection on a request of one line.
pub(super) fn encode(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = String::with_capacity(text.len() + text.len() / COLUMNS + 1);
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % COLUMNS == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines.push('\n');
    lines
}

/// Decodes an answer or a part of one. Accepts base64, also without padding or in PEM armor, and
/// bare DER or BER. White space and NUL are accepted anywhere (libest sends the end of a C string).
///
/// # Errors
/// A text with the error.
pub(super) fn decode(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    // A SEQUENCE. As the first character of base64 it would not begin any DER that EST uses.
    if body.first() == Some(&0x30) {
        return Ok(Zeroizing::new(body.to_vec()));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(body.len()));
    for line in body.split(|byte| *byte == b'\n') {
        if !line.starts_with(b"-----") {
            text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != 0));
        }
    }
    LENIENT.decode(&*text).map(Zeroizing::new).map_err(|error| format!("it is not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_lines_of_64_columns_that_end_with_lf() {
        for length in [1, 47, 48, 49, 96, 500] {
            let der = vec![0x30; length];
            let text = encode(&der);
            assert!(text.ends_with('\n') && !text.contains(['\r', ' ']) && !text.contains("\n\n"));
            assert!(text.lines().all(|line| line.len() <= 64), "{length}");
            assert_eq!(*decode(text.as_bytes()).unwrap(), der);
        }
    }

    #[test]
    fn answers_are_read_in_every_form_that_servers_send() {
        let der = [0x30, 3, 2, 1, 5, 0];
        let text = STANDARD.encode(&der[..5]);
        for body in [
            text.clone(),
            format!("{text}\n"),
            format!("{}\r\n{}\r\n", &text[..4], &text[4..]),
            format!("{text}\0"),
            text.trim_end_matches('=').to_owned(),
            format!("-----BEGIN PKCS7-----\n{text}\n-----END PKCS7-----\n"),
        ] {
            assert_eq!(**decode(body.as_bytes()).unwrap(), der[..5], "{body:?}");
        }
        assert_eq!(**decode(&der[..5]).unwrap(), der[..5]);
        for bad in ["<html>", "MAMC*QU=", "MAMCAQU=MAMC"] {
            assert!(decode(bad.as_bytes()).unwrap_err().contains("base64"), "{bad}");
        }
    }
}
