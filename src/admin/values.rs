//! Reads the values in an operator's call.

use super::error::{Error, invalid};
use crate::{
    telemetry::audit::EventId,
    types::{DeviceId, Label, Serial, Time, parse_sha256},
};
use std::time::{Duration, SystemTime};

/// Maximum number of items in a page.
pub(super) const PAGE: usize = 1000;

/// Maximum length of a wrong value in its error, in characters.
const SHOWN: usize = 100;

pub(super) fn limit(given: Option<usize>, default: usize) -> Result<usize, Error> {
    let limit = given.unwrap_or(default);
    let is_valid = (1..=PAGE).contains(&limit);
    if is_valid { Ok(limit) } else { Err(invalid("limit", limit, format!("1 to {PAGE}"))) }
}

pub(super) fn serial(text: &str) -> Result<Serial, Error> {
    text.parse().map_err(|_| invalid("serial number", cut(text), "2 to 40 hexadecimal digits"))
}

pub(super) fn label(text: &str) -> Result<Label, Error> {
    text.parse().map_err(|error| invalid("label", cut(text), error))
}

/// Reads the id of a registered device.
pub(super) fn registered_id(text: &str) -> Result<DeviceId, Error> {
    let id = text.parse::<DeviceId>().ok().filter(|id| !id.is_derived());
    id.ok_or_else(|| invalid("device id", cut(text), "1 to 128 characters of A-Z a-z 0-9 . _ : -"))
}

/// Reads an id, a derived one included: a device that came first has one.
pub(super) fn any_id(text: &str) -> Result<DeviceId, Error> {
    text.parse().or_else(|_| registered_id(text))
}

/// Reads a time: RFC 3339, or a date, which means its first second in UTC.
pub(super) fn parse_time(text: &str) -> Result<Time, Error> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time: SystemTime = humantime::parse_rfc3339_weak(&whole)
        .map_err(|_| invalid("time", cut(text), "2026-12-31 or 2026-12-31T12:00:00Z, in UTC"))?;
    Ok(time.into())
}

pub(super) fn span(text: &str) -> Result<Duration, Error> {
    humantime::parse_duration(text)
        .map_err(|_| invalid("duration", cut(text), "30d, 12h, 90min, ..."))
}

/// Reads an end: a duration from now, or a time.
pub(super) fn parse_end(text: &str, now: Time) -> Result<Time, Error> {
    if let Ok(span) = span(text) {
        return Ok(now.plus(span));
    }
    parse_time(text)
        .map_err(|_| invalid("end", cut(text), "24h, 90d, 2026-12-31 or 2026-12-31T12:00:00Z"))
}

/// Reads the place of an event in the trail: `WRITER.NUMBER`.
pub(super) fn place(text: &str) -> Result<EventId, Error> {
    let parts = text.split_once('.').and_then(|(writer, number)| {
        Some(EventId { writer: writer.parse().ok()?, number: number.parse().ok()? })
    });
    parts.ok_or_else(|| invalid("place in the trail", cut(text), "WRITER.NUMBER"))
}

/// Reads a SHA-256: 64 hexadecimal digits, with or without colons.
pub(super) fn parse_digest(text: &str) -> Result<[u8; 32], Error> {
    parse_sha256(text).ok_or_else(|| {
        invalid("SHA-256", cut(text), "64 hexadecimal digits, with or without colons")
    })
}

/// The beginning of a wrong value, for its error.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_an_hour() {
        assert_eq!(parse_time("2026-12-31").unwrap().to_string(), "2026-12-31T00:00:00Z");
        assert_eq!(parse_time("2026-12-31T12:00:00Z").unwrap().to_string(), "2026-12-31T12:00:00Z");
        for bad in ["", "tomorrow", "2026-13-01", "2026-12-3x", "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert_eq!(span("30d").unwrap(), Duration::from_secs(30 * 86_400));
        assert!(span("30").is_err() && span("-1d").is_err());
    }

    #[test]
    fn a_digest_is_read_with_and_without_colons() {
        let plain = "0a".repeat(32);
        let colons = ["0A"; 32].join(":");
        assert_eq!(parse_digest(&plain).unwrap(), [10; 32]);
        assert_eq!(parse_digest(&colons).unwrap(), [10; 32]);
        for bad in [&plain[1..], "", &"+a".repeat(32), &"zz".repeat(32), &"0a".repeat(33)] {
            assert!(parse_digest(bad).is_err(), "{bad}");
        }
    }
}
