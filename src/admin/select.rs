//! The conditions of a query for certificates, checked.

use super::{
    error::{Error, invalid},
    pattern::NamePatterns,
    values::{any_id, label, parse_digest, parse_time, span},
};
use crate::{
    api, pki,
    store::{Filter, Issuance, State},
    types::{AuthMethod, CaName, ProfileName, Time},
};

/// The conditions of a query. All must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The conditions that a store can apply.
    pub(super) filter: Filter,
    names: NamePatterns,
    ca: Option<CaName>,
    profile: Option<ProfileName>,
    account: Option<String>,
    request: Option<String>,
    fingerprint: Option<[u8; 32]>,
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
                    "state",
                    other,
                    "open, issued, void, revoked, valid or expired",
                ));
            }
        }
        filter.label = match query.label.as_deref() {
            None => None,
            Some("-") => Some(None),
            Some(text) => Some(Some(label(text)?)),
        };
        filter.device = query.device.as_deref().map(any_id).transpose()?;
        filter.key = query.key.as_deref().map(parse_digest).transpose()?;
        let mut expires_before = |end: Time| {
            filter.expires_before = Some(filter.expires_before.map_or(end, |other| other.min(end)));
        };
        if let Some(text) = &query.expires_before {
            expires_before(parse_time(text)?);
        }
        if let Some(text) = &query.expires_within {
            expires_before(now.plus(span(text)?));
            filter.expires_from = Some(now);
            filter.state = Some(filter.state.unwrap_or(State::Issued));
        }
        let ca = |text: &String| text.parse().map_err(|error| invalid("CA", text, error));
        let profile = |text: &String| text.parse().map_err(|error| invalid("profile", text, error));
        let since = |text: &String| Ok::<_, Error>(now.minus(span(text)?));
        let begun_from = query.issued_after.as_deref().map(parse_time).transpose()?;
        Ok(Self {
            filter,
            names: NamePatterns::parse(query.subject.as_deref(), query.san.as_deref())?,
            ca: query.ca.as_ref().map(ca).transpose()?,
            profile: query.profile.as_ref().map(profile).transpose()?,
            account: query.account.clone(),
            request: query.request.clone(),
            fingerprint: query.fingerprint.as_deref().map(parse_digest).transpose()?,
            begun_from: begun_from.max(query.issued_within.as_ref().map(since).transpose()?),
            begun_before: query.issued_before.as_deref().map(parse_time).transpose()?,
        })
    }

    /// Returns whether an issuance that passes the filter meets the other conditions, too.
    pub(super) fn matches(&self, issuance: &Issuance) -> bool {
        let intent = &issuance.intent;
        let is_fingerprint = |wanted: &[u8; 32]| pki::sha256(&issuance.certificate) == *wanted;
        self.ca.as_ref().is_none_or(|ca| *ca == intent.ca)
            && self.profile.as_ref().is_none_or(|profile| *profile == intent.profile)
            && self.begun_from.is_none_or(|from| intent.begun >= from)
            && self.begun_before.is_none_or(|before| intent.begun < before)
            && self.request.as_ref().is_none_or(|id| intent.request_id.as_str() == id)
            && self.account.as_ref().is_none_or(|account| is_of_account(issuance, account))
            && self.fingerprint.as_ref().is_none_or(is_fingerprint)
            && self.names.match_issuance(issuance)
    }
}

/// Returns whether this account authenticated the request, alone or beside a certificate.
fn is_of_account(issuance: &Issuance, account: &str) -> bool {
    let actor = &issuance.intent.actor;
    match actor.method {
        AuthMethod::Password => actor.name == account,
        // The subject, then the account in brackets (types::Actor).
        AuthMethod::CertificateAndPassword(_) => actor
            .name
            .strip_suffix(']')
            .and_then(|name| name.strip_suffix(account))
            .is_some_and(|subject| subject.ends_with(" [")),
        _ => false,
    }
}
