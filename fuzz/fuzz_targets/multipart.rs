//! Any octets as a multipart body, after a line with its media type: what a part holds stands in the
//! body, in order, and no part holds a delimiter.
#![no_main]

use estd::client::multipart::{parameter, parts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap_or(octets.len());
    let Ok(media_type) = std::str::from_utf8(&octets[..end]) else { return };
    let body = octets.get(end + 1..).unwrap_or_default();
    let _ = parameter(media_type, "smime-type");
    let Ok(parts) = parts(media_type, body) else { return };
    assert!(!parts.is_empty() && parts.len() <= 16);
    let boundary = parameter(media_type, "boundary").expect("it was used");
    let delimiter = format!("\r\n--{boundary}\r\n");
    let mut after = 0;
    for part in parts {
        let at = part.content.as_ptr() as usize - body.as_ptr() as usize;
        assert!(at >= after && at + part.content.len() <= body.len());
        after = at + part.content.len();
        assert!(!part.content.windows(delimiter.len()).any(|text| text == delimiter.as_bytes()));
    }
});
