//! Times (RFC 5280 §4.1.2.5, §5.1.2.4).

use super::{
    FieldName, RuleKept,
    read::{Element, GENERALIZED_TIME, UTC_TIME},
};
use crate::types::Time;
use der::DateTime;

/// Reads a UTCTime or GeneralizedTime in the form of RFC 5280: seconds, no fraction, Z.
pub(super) fn parse(one: Element<'_>) -> Option<Time> {
    let (digits, z) = one.content.split_at_checked(one.content.len().checked_sub(1)?)?;
    let pairs = digits.as_chunks::<2>();
    if z != b"Z" || !pairs.1.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pairs: Vec<u8> =
        pairs.0.iter().map(|[ten, one]| (ten - b'0') * 10 + (one - b'0')).collect();
    let (year, rest) = match (one.tag, pairs.as_slice()) {
        (UTC_TIME, [year, rest @ ..]) => {
            (u16::from(*year) + if *year < 50 { 2000 } else { 1900 }, rest)
        }
        (GENERALIZED_TIME, [century, year, rest @ ..]) => {
            (u16::from(*century) * 100 + u16::from(*year), rest)
        }
        _ => return None,
    };
    let [month, day, hour, minute, second] = *rest else { return None };
    let time = DateTime::new(year, month, day, hour, minute, second).ok()?;
    Some(Time::from_unix(time.unix_duration().as_secs()))
}

/// The form of a time.
pub(super) fn has_form(one: Element<'_>, field: &'static str) -> RuleKept {
    let known = matches!(one.tag, UTC_TIME | GENERALIZED_TIME);
    // Another type breaks the rule about types.
    super::when(!known || parse(one).is_some(), field)
}

/// UTCTime through 2049, GeneralizedTime from then on.
pub(super) fn has_type(one: Element<'_>, field: &'static str) -> RuleKept {
    /// 2050-01-01.
    const LATER: Time = Time::from_unix(2_524_608_000);
    super::when(
        match one.tag {
            UTC_TIME => true,
            GENERALIZED_TIME => parse(one).is_none_or(|time| time >= LATER),
            _ => false,
        },
        field,
    )
}

/// That one time is not after another; also if one cannot be read, which breaks another rule.
pub(super) fn in_order(one: Option<Time>, other: Option<Time>, field: &'static str) -> RuleKept {
    match (one, other) {
        (Some(one), Some(other)) if one > other => Err(FieldName::Borrowed(field)),
        _ => Ok(()),
    }
}
