//! The string in challengePassword (RFC 2985 §5.4.1) and in the attributes of RFC 7894 §3.

use crate::types::{Code, Rejection};
use der::{Reader, SliceReader, Tag, Tagged, asn1::AnyRef};
use zeroize::Zeroizing;

/// Characters at most (RFC 2985 App. A: pkcs-9-ub-challengePassword; RFC 7894 §3).
const LONGEST: usize = 255;

const OCTET_STRING: u8 = 0x04;
const UNIVERSAL_STRING: u8 = 0x1c;

/// Reads the one value in the content of an attribute's SET. It is a DirectoryString, or the IA5String
/// that some clients write instead, with 1 to 255 characters.
///
/// # Errors
/// The broken rule.
pub fn challenge(values: &[u8]) -> Result<Zeroizing<String>, Rejection> {
    // UniversalString, which `der` does not support: read as an OCTET STRING, which has no inner
    // form.
    let universal = values.split_first().filter(|(tag, _)| **tag == UNIVERSAL_STRING);
    let renamed = universal.map(|(_, rest)| [&[OCTET_STRING], rest].concat());
    let value = only(renamed.as_deref().unwrap_or(values));
    let value = value.ok_or_else(|| rejection("not one value"))?;
    let bytes = value.value();
    let wide = |size: usize| {
        (bytes.len() <= LONGEST * size).then(|| bytes.chunks(size)).and_then(|chunks| {
            chunks
                .map(|chunk| {
                    let code = chunk.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                    // A BMPString has no characters beyond the first plane, and no surrogates.
                    (chunk.len() == size).then(|| char::from_u32(code)).flatten()
                })
                .collect::<Option<String>>()
        })
    };
    let ascii = || bytes.is_ascii().then(|| text(bytes)).flatten();
    let read = match value.tag() {
        Tag::Utf8String => text(bytes),
        Tag::PrintableString | Tag::Ia5String => ascii(),
        // T.61 as everybody uses it: ISO 8859-1. Nothing but ASCII is ever meant here.
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => wide(2),
        Tag::OctetString if renamed.is_some() => wide(4),
        other => return Err(rejection(&format!("a value of type {other}"))),
    };
    let read =
        Zeroizing::new(read.ok_or_else(|| rejection("a string that breaks its type's rules"))?);
    match read.chars().count() {
        0 => Err(rejection("an empty string")),
        1..=LONGEST => Ok(read),
        longer => Err(rejection(&format!("{longer} characters"))),
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn only(values: &[u8]) -> Option<AnyRef<'_>> {
    let mut reader = SliceReader::new(values).ok()?;
    let value = reader.decode().ok()?;
    reader.is_finished().then_some(value)
}

fn rejection(seen: &str) -> Rejection {
    Rejection::of(Code::CsrChallengeForm, seen, "one PrintableString or UTF8String")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_7030_3_5_d_every_type_of_string_is_read() {
        for value in [
            &b"\x13\x02ab"[..],
            b"\x0c\x02ab",
            b"\x16\x02ab",
            b"\x14\x02ab",
            b"\x1e\x04\0a\0b",
            b"\x1c\x08\0\0\0a\0\0\0b",
        ] {
            assert_eq!(challenge(value).as_deref().map(String::as_str), Ok("ab"), "{value:?}");
        }
        let long = [&[0x13, 0x81, 0xff][..], &[b'a'; 255]].concat();
        assert_eq!(challenge(&long).unwrap().len(), 255);
    }

    #[test]
    fn values_other_than_a_single_string_are_rejected() {
        let long = [&[0x0c, 0x82, 1, 0][..], &[b'a'; 256]].concat();
        for value in [
            &b""[..],
            b"\x13\x00",
            b"\x13\x01a\x13\x01a",
            b"\x13\x02a",
            b"\x0c\x01\xff",
            b"\x16\x01\x80",
            b"\x1e\x01a",
            b"\x1e\x02\xd8\x00",
            b"\x1c\x04\0\x11\0\0",
            b"\x04\x01a",
            b"\x02\x01\x01",
            b"\x30\x00",
            &long,
        ] {
            assert!(challenge(value).is_err(), "{value:?}");
        }
    }
}
