//! Any bytes as a multipart body, after a line with its media type. The contents of the parts are in
//! the body, in order, and no part holds a delimiter.
#![no_main]

use estd::client::multipart::{parameter, parts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(media_type) = std::str::from_utf8(&bytes[..end]) else { return };
    let body = bytes.get(end + 1..).unwrap_or_default();
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
