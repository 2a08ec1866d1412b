//! Multipart bodies (RFC 2046 §5.1), parsed strictly: an answer with a private key must conform
//! exactly or is rejected. Parsers for mail and forms accept much more.

/// One part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its Content-Type, unparsed.
    pub content_type: &'a str,
    /// Its Content-Transfer-Encoding, if present.
    pub encoding: Option<&'a str>,
    /// Its content, undecoded.
    pub content: &'a [u8],
}

/// Parts of a body at most.
const MOST: usize = 16;
/// Header fields of a part at most.
const FIELDS: usize = 16;

/// Splits a body at the boundary that its media type, `content_type`, names. Bytes before the first
/// delimiter and after the last are ignored.
///
/// # Errors
/// A text with the error, for people.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, String> {
    let dashed = [b"--", boundary(content_type)?.as_bytes()].concat();
    let mut parts = Vec::new();
    let mut rest = match delimiter(body, &dashed, true) {
        Some((_, _, Delimiter::Close)) | None => return Err("it has no part".to_owned()),
        Some((_, end, Delimiter::Next)) => body.get(end..).unwrap_or_default(),
    };
    loop {
        let Some((start, end, kind)) = delimiter(rest, &dashed, false) else {
            return Err("its last part has no end".to_owned());
        };
        if parts.len() == MOST {
            return Err(format!("it has more than {MOST} parts"));
        }
        parts.push(part(rest.get(..start).unwrap_or_default())?);
        if kind == Delimiter::Close {
            return Ok(parts);
        }
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// The parameter `name` of a media type, without the quotes.
#[must_use]
pub fn parameter(media_type: &str, name: &str) -> Option<String> {
    let mut rest = media_type.split_once(';')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, more) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let end = loop {
                    match characters.next()? {
                        (at, '"') => break at + 1,
                        (_, '\\') => value.push(characters.next()?.1),
                        (_, character) => value.push(character),
                    }
                };
                (value, quoted.get(end..)?)
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after.get(..end)?.trim().to_owned(), after.get(end..)?)
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = more.trim_start().strip_prefix(';')?;
    }
}

fn boundary(content_type: &str) -> Result<String, String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/mixed") {
        return Err("it is not multipart/mixed".to_owned());
    }
    let boundary = parameter(content_type, "boundary").unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty()
        || boundary.len() > 70
        || boundary.ends_with(' ')
        || !boundary.bytes().all(allowed)
    {
        return Err("its boundary is missing, or not one (RFC 2046 section 5.1.1)".to_owned());
    }
    Ok(boundary)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    Next,
    Close,
}

/// Where the next delimiter begins (its CRLF belongs to it), where what follows it begins, and which
/// kind it is. `first`: the delimiter may be at the very beginning, without a CRLF.
fn delimiter(bytes: &[u8], dashed: &[u8], first: bool) -> Option<(usize, usize, Delimiter)> {
    let mut from = 0;
    loop {
        let at = from + find(bytes.get(from..)?, dashed)?;
        let before = bytes.get(..at)?;
        let start = if before.ends_with(b"\r\n") {
            Some(at - 2)
        } else {
            // A part without header and content ends where it begins: its CRLF is the last one's.
            (at == 0).then_some(0).filter(|_| first)
        };
        let after = bytes.get(at + dashed.len()..)?;
        let (kind, tail) = match after.strip_prefix(b"--") {
            Some(tail) => (Delimiter::Close, tail),
            None => (Delimiter::Next, after),
        };
        let padding = tail.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line = tail.get(padding..)?;
        let whole = line.starts_with(b"\r\n") || (kind == Delimiter::Close && line.is_empty());
        if let (Some(start), true) = (start, whole) {
            let end = bytes.len() - line.len() + line.len().min(2);
            return Some((start, end, kind));
        }
        from = at + 1;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

fn part(bytes: &[u8]) -> Result<Part<'_>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let parsed = httparse::parse_headers(bytes, &mut fields)
        .map_err(|error| format!("a part's header: {error}"))?;
    let httparse::Status::Complete((length, fields)) = parsed else {
        return Err("a part's header has no end".to_owned());
    };
    let (head, content) = bytes.split_at_checked(length).unwrap_or_default();
    if head.split(|byte| *byte == b'\n').any(|line| !line.is_empty() && !line.ends_with(b"\r")) {
        return Err("a line of a part's header does not end with CRLF".to_owned());
    }
    let only = |name: &str| {
        let mut found = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(field), None) => std::str::from_utf8(field.value)
                .map(|value| Some(value.trim()))
                .map_err(|_| format!("a part's {name} is no text")),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(format!("a part has two {name}")),
        }
    };
    let content_type = only("content-type")?.ok_or("a part has no Content-Type")?;
    Ok(Part { content_type, encoding: only("content-transfer-encoding")?, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/mixed; boundary=ab";

    fn one<'a>(content_type: &'a str, content: &'a str) -> Part<'a> {
        Part { content_type, encoding: None, content: content.as_bytes() }
    }

    #[test]
    fn reads_parts_between_any_other_bytes() {
        let body = b"preamble --ab\r\n--ab \t\r\nContent-Type: a/b\r\n\r\none\r\ntwo --ab--\r\n--abc\r\n--ab\r\nCONTENT-TYPE:c/d; x=y\r\nContent-Transfer-Encoding: Base64\r\n\r\n\r\n--ab--\r\nepilogue";
        let read = parts(TYPE, body).unwrap();
        assert_eq!(read[0], one("a/b", "one\r\ntwo --ab--\r\n--abc"));
        assert_eq!(read[1], Part { encoding: Some("Base64"), ..one("c/d; x=y", "") });
        assert_eq!(read.len(), 2);
        let short = b"--ab\r\nContent-Type: a/b\r\n\r\nx\r\n--ab--";
        assert_eq!(parts(TYPE, short).unwrap(), [one("a/b", "x")]);
    }

    #[test]
    fn reads_every_form_of_boundary() {
        let body = b"--a (b)\r\nContent-Type: a/b\r\n\r\nx\r\n--a (b)--\r\n";
        for media_type in [
            "Multipart/Mixed; boundary=\"a (b)\"",
            "multipart/mixed;x=\"1;boundary=z\\\"\" ; BOUNDARY=\"a \\(b)\";y=2",
        ] {
            assert_eq!(parts(media_type, body).unwrap().len(), 1, "{media_type}");
        }
        let long = format!("multipart/mixed; boundary={}", "x".repeat(71));
        for bad in [
            "",
            "multipart/mixed",
            "multipart/mixed; boundary=",
            "multipart/mixed; boundary=\"a ",
            "multipart/mixed; boundary=\"a \"",
            "multipart/mixed; boundary=a{",
            "multipart/form-data; boundary=ab",
            &long,
        ] {
            assert!(parts(bad, body).is_err(), "{bad}");
        }
        assert_eq!(
            parameter("a/b; smime-type=certs-only", "smime-type").as_deref(),
            Some("certs-only")
        );
        assert_eq!(parameter("a/b", "smime-type"), None);
    }

    #[test]
    fn rejects_truncated_and_inexact_bodies() {
        let whole = "--ab\r\nContent-Type: a/b\r\n\r\nx\r\n--ab--\r\n";
        assert!(parts(TYPE, whole.as_bytes()).is_ok());
        // All but the last line end is needed.
        for length in 0..whole.len() - 2 {
            assert!(parts(TYPE, &whole.as_bytes()[..length]).is_err(), "{length}");
        }
        for bad in [
            whole.replace("\r\n", "\n"),
            whole.replace("a/b\r\n", "a/b\n"),
            whole.replace("Content-Type: a/b\r\n", ""),
            whole.replace("Content-Type: a/b\r\n", "Content-Type: a/b\r\nContent-Type: a/b\r\n"),
            whole.replace("Content-Type: a/b", "Content Type: a/b"),
            whole.replace("Content-Type: a/b", "Content-Type"),
            whole.replace("--ab\r\nC", "--ab--\r\nC"),
            whole.replace("x\r\n--ab--", &"x\r\n--ab\r\nContent-Type: a/b\r\n\r\n".repeat(17)),
        ] {
            assert!(parts(TYPE, bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
