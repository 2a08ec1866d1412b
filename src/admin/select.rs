//! Which certificates a call means: the conditions of a query, checked.

use super::{Error, invalid, parse_label, pattern::NamePatterns};
use crate::{
    api, pki,
    store::{Filter, Issuance, State},
    types::{CaName, Method, ProfileName, Time},
};
use std::time::{Duration, SystemTime};

/// The conditions of a query. All must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The part that a store can apply.
    pub(super) filter: Filter,
    names: NamePatterns,
    ca: Option<CaName>,
    profile: Option<ProfileName>,
    account: Option<String>,
    request: Option<String>,
    fingerprint: Option<[u8; 32]>,
    key: Option<[u8; 32]>,
    begun_from: Option<Time>,
    begun_before: Option<Time>,
}

impl Selection {
    pub(super) fn parse(query: &api::CertificateQuery, now: Time) -> Result<Self, Error> {
        let mut filter = Filter { subject: query.search.clone(), ..Filter::default() };
        match query.state.as_deref() {
            None => {}
            Some("open") => filter.state = Some(State::Open),
            Some("issued") => filter.state = Some(State::Issued),
            Some("void") => filter.state = Some(State::Void),
            Some("revoked") => filter.state = Some(State::Revoked),
            Some("valid") => {
                filter.state = Some(State::Issued);
                filter.expires_from = Some(now);
            }
            Some("expired") => {
                filter.state = Some(State::Issued);
                filter.expires_before = Some(now);
            }
            Some(other) => {
                return Err(invalid(
                    other,
                    "the state is open, issued, void, revoked, valid or expired",
                ));
            }
        }
        filter.label = match query.label.as_deref() {
            None => None,
            Some("-") => Some(None),
            Some(label) => Some(Some(parse_label(label)?)),
        };
        let mut expires_before = |end: Time| {
            filter.expires_before = Some(filter.expires_before.map_or(end, |other| other.min(end)));
        };
        if let Some(text) = &query.expires_before {
            expires_before(moment(text)?);
        }
        if let Some(text) = &query.expires_within {
            expires_before(now.plus(span(text)?));
            filter.expires_from = Some(now);
            filter.state = Some(filter.state.unwrap_or(State::Issued));
        }
        let name = |text: &String| text.parse().map_err(|error| invalid(text, error));
        let since = |text: &String| Ok::<_, Error>(now.minus(span(text)?));
        let begun_from = query.issued_after.as_deref().map(moment).transpose()?;
        Ok(Self {
            filter,
            names: NamePatterns::parse(query.subject.as_deref(), query.san.as_deref())?,
            ca: query.ca.as_ref().map(name).transpose()?,
            profile: query
                .profile
                .as_ref()
                .map(|text| text.parse().map_err(|error| invalid(text, error)))
                .transpose()?,
            account: query.account.clone(),
            request: query.request.clone(),
            fingerprint: query.fingerprint.as_deref().map(digest).transpose()?,
            key: query.key.as_deref().map(digest).transpose()?,
            begun_from: begun_from.max(query.issued_within.as_ref().map(since).transpose()?),
            begun_before: query.issued_before.as_deref().map(moment).transpose()?,
        })
    }

    /// Whether an issuance that passes the filter meets the other conditions, too.
    pub(super) fn matches(&self, issuance: &Issuance) -> bool {
        let intent = &issuance.intent;
        let is_fingerprint = |wanted: &[u8; 32]| pki::sha256(&issuance.certificate) == *wanted;
        self.ca.as_ref().is_none_or(|ca| *ca == intent.ca)
            && self.profile.as_ref().is_none_or(|profile| *profile == intent.profile)
            && self.begun_from.is_none_or(|from| intent.begun >= from)
            && self.begun_before.is_none_or(|before| intent.begun < before)
            && self.key.is_none_or(|key| key == intent.spki_sha256)
            && self.request.as_ref().is_none_or(|id| intent.request_id.as_str() == id)
            && self.account.as_ref().is_none_or(|account| is_of_account(issuance, account))
            && self.fingerprint.as_ref().is_none_or(is_fingerprint)
            && self.names.match_issuance(issuance)
    }
}

/// Whether the request was authenticated by this account, alone or beside a certificate.
fn is_of_account(issuance: &Issuance, account: &str) -> bool {
    let actor = &issuance.intent.actor;
    match actor.method {
        Method::Password => actor.name == account,
        // The subject, then the account in brackets (types::Actor).
        Method::CertificateAndPassword(_) => actor
            .name
            .strip_suffix(']')
            .and_then(|name| name.strip_suffix(account))
            .is_some_and(|subject| subject.ends_with(" [")),
        _ => false,
    }
}

/// Reads a time: RFC 3339, or a date, which means its first second in UTC.
fn moment(text: &str) -> Result<Time, Error> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let moment: SystemTime = humantime::parse_rfc3339_weak(&whole).map_err(|_| {
        invalid(text, "it is no time; accepted: 2026-12-31 or 2026-11-21T12:00:00Z, in UTC")
    })?;
    Ok(moment.into())
}

fn span(text: &str) -> Result<Duration, Error> {
    humantime::parse_duration(text)
        .map_err(|_| invalid(text, "it is no length of time; accepted: 30d, 12h, 90min"))
}

/// Reads a SHA-256: 64 hexadecimal digits, with or without colons.
fn digest(text: &str) -> Result<[u8; 32], Error> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let mut digest = [0; 32];
    let read = |(byte, pair): (&mut u8, &[u8])| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
        Some(())
    };
    let whole = digits.len() == 64
        && digest.iter_mut().zip(digits.chunks(2)).map(read).all(|read| read.is_some());
    if !whole {
        let shown: String = text.chars().take(100).collect();
        return Err(invalid(shown, "it is no SHA-256; accepted: 64 hexadecimal digits"));
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_an_hour() {
        assert_eq!(moment("2026-12-31").unwrap().to_string(), "2026-12-31T00:00:00Z");
        assert_eq!(moment("2026-12-31T12:00:00Z").unwrap().to_string(), "2026-12-31T12:00:00Z");
        for bad in ["", "tomorrow", "2026-13-01", "2026-12-3x", "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        assert_eq!(span("30d").unwrap(), Duration::from_secs(30 * 86_400));
        assert!(span("30").is_err() && span("-1d").is_err());
    }

    #[test]
    fn a_digest_is_read_with_and_without_colons() {
        let plain = "0a".repeat(32);
        let colons = ["0A"; 32].join(":");
        assert_eq!(digest(&plain).unwrap(), [10; 32]);
        assert_eq!(digest(&colons).unwrap(), [10; 32]);
        for bad in [&plain[1..], "", &"+a".repeat(32), &"zz".repeat(32), &"0a".repeat(33)] {
            assert!(digest(bad).is_err(), "{bad}");
        }
    }
}
