//! Lists and shows certificates by a walk through the store, in the order of issuance. A call reads
//! a limited number of records, which bounds its time and memory.

use super::{
    audit::event_entry,
    error::{Error, invalid},
    select::Selection,
    service::{Admin, Handle},
    trail::event_of,
    values::{PAGE, limit, serial},
};
use crate::{
    api,
    pki::Certificate,
    store::{Filter, Issuance, State},
    types::{Actor, Serial, Time},
};
use std::sync::Arc;

/// Records that a call reads before it answers with the matches so far.
const LOOKED_AT: usize = 20_000;

/// Least number of digits of a prefix of a serial number.
const PREFIX: usize = 4;

/// Candidates that are named for an ambiguous prefix.
const CANDIDATES: usize = 10;

impl Handle for api::CertificateQuery {
    /// Lists certificates, a page at a time. A call reads a limited number of records, so a page
    /// may have fewer items than its limit, or none, although a next page follows.
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let now = admin.clock.now();
        let selection = Selection::parse(&self, now)?;
        let limit = limit(self.limit, 100)?;
        let mut walk = FilteredWalk::new(admin, selection.filter.clone(), self.after.as_deref())?;
        let mut found: Vec<Arc<Issuance>> = Vec::new();
        while let Some(page) = walk.page().await? {
            for issuance in page {
                if found.len() == limit {
                    // The next page begins after the last match.
                    let next = found.last().map(|last| last.intent.serial.to_string());
                    return Ok(answer(&found, now, next));
                }
                if selection.matches(&issuance) {
                    found.push(issuance);
                }
            }
        }
        Ok(answer(&found, now, walk.cursor()))
    }
}

impl Handle for api::ListRenewed {
    /// Lists the certificates that another one renews or rekeys: serial numbers, a page at a time.
    /// A renewal counts if it is issued and not revoked.
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let filter = Filter { state: Some(State::Issued), ..Filter::default() };
        let mut walk = FilteredWalk::new(admin, filter, self.after.as_deref())?;
        let mut serials = Vec::new();
        while let Some(page) = walk.page().await? {
            let renewed = page.iter().filter_map(|issuance| issuance.intent.predecessor.as_ref());
            serials.extend(renewed.map(ToString::to_string));
        }
        Ok(api::Renewed { serials, next: walk.cursor() })
    }
}

impl Handle for api::ShowCertificate {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let issuance = find(admin, &self.serial).await?;
        let event = event_of(&*admin.store, &issuance).await?;
        let event = event.map(|(id, event)| event_entry(id, event));
        Ok(api::CertificateEntry { event, ..certificate_entry(&issuance, admin.clock.now(), true) })
    }
}

/// Finds an issuance by its serial number or a prefix of it.
async fn find(admin: &Admin, text: &str) -> Result<Arc<Issuance>, Error> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let digits = digits.to_ascii_lowercase();
    let readable = digits.chars().all(|c| c.is_ascii_hexdigit()) && digits.len() <= 40;
    if !readable || digits.is_empty() {
        let got: String = text.chars().take(64).collect();
        let expected = "2 to 40 hexadecimal digits, or 4 and more from its beginning";
        return Err(invalid("serial number", got, expected));
    }
    // The least serial number with this prefix: if it is not valid, no other is.
    let least = if digits.len().is_multiple_of(2) { digits.clone() } else { digits.clone() + "0" };
    let not_found = || Error::NotFound(format!("certificate {digits}"));
    let Ok(least) = least.parse::<Serial>() else { return Err(not_found()) };
    let mut found: Vec<_> = admin.store.find(&least).await?.into_iter().collect();
    if let [exact] = &found[..]
        && digits.len().is_multiple_of(2)
    {
        return Ok(Arc::clone(exact));
    }
    if digits.len() < PREFIX {
        return Err(not_found());
    }
    found.extend(admin.store.list(&Filter::default(), Some(&least), CANDIDATES + 1).await?);
    found.retain(|issuance| issuance.intent.serial.to_string().starts_with(&digits));
    match &found[..] {
        [] => Err(not_found()),
        [one] => Ok(Arc::clone(one)),
        several => {
            let shown = several.iter().take(CANDIDATES).map(|one| {
                let intent = &one.intent;
                format!("{} ({})", intent.serial, intent.subject)
            });
            let mut candidates: Vec<String> = shown.collect();
            if several.len() > CANDIDATES {
                candidates.push("more".to_owned());
            }
            Err(Error::Ambiguous { prefix: digits, candidates: candidates.join(", ") })
        }
    }
}

/// A walk through the store that ends after [`LOOKED_AT`] records.
struct FilteredWalk<'a> {
    admin: &'a Admin,
    filter: Filter,
    after: Option<Serial>,
    left: usize,
    ended: bool,
}

impl<'a> FilteredWalk<'a> {
    fn new(admin: &'a Admin, filter: Filter, after: Option<&str>) -> Result<Self, Error> {
        let after = after.map(serial).transpose()?;
        Ok(Self { admin, filter, after, left: LOOKED_AT, ended: false })
    }

    /// Returns the next records, or none at the end of the walk; [`FilteredWalk::cursor`] is then its place.
    async fn page(&mut self) -> Result<Option<Vec<Arc<Issuance>>>, Error> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        let page = self.admin.store.list(&self.filter, self.after.as_ref(), PAGE).await?;
        self.left = self.left.saturating_sub(page.len());
        self.ended = page.len() < PAGE;
        if let Some(last) = page.last() {
            self.after = Some(last.intent.serial.clone());
        }
        Ok(Some(page))
    }

    fn cursor(&self) -> Option<String> {
        self.after.as_ref().filter(|_| !self.ended).map(ToString::to_string)
    }
}

fn answer(found: &[Arc<Issuance>], now: Time, next: Option<String>) -> api::Certificates {
    let certificates = found.iter().map(|one| certificate_entry(one, now, false)).collect();
    api::Certificates { certificates, next }
}

/// Returns the entry of a certificate.
pub(super) fn certificate_entry(
    issuance: &Issuance,
    now: Time,
    with_pem: bool,
) -> api::CertificateEntry {
    let intent = &issuance.intent;
    let state = match issuance.state {
        State::Open => "open",
        State::Void => "void",
        State::Revoked => "revoked",
        State::Issued if intent.not_after < now => "expired",
        State::Issued => "valid",
    };
    let pem = (with_pem && !issuance.certificate.is_empty())
        .then(|| Certificate::parse(&issuance.certificate).map(|one| one.to_pem()).ok())
        .flatten();
    api::CertificateEntry {
        serial: intent.serial.to_string(),
        state: state.to_owned(),
        subject: intent.subject.clone(),
        san: intent.san.clone(),
        not_before: intent.not_before.to_string(),
        not_after: intent.not_after.to_string(),
        label: intent.label.as_ref().map(ToString::to_string),
        profile: intent.profile.to_string(),
        ca: intent.ca.to_string(),
        operation: intent.operation.map(|operation| operation.to_string()),
        actor: intent.actor.name.clone(),
        authenticated_by: intent.actor.method.to_string(),
        predecessor: intent.predecessor.as_ref().map(ToString::to_string),
        spki_sha256: base16ct::lower::encode_string(&intent.spki_sha256),
        device: intent.device.as_ref().map(ToString::to_string),
        token: intent.token.map(|token| token.short()),
        proofs: intent.proofs.clone(),
        address: intent.address.map(|address| address.to_string()),
        request: intent.request_id.to_string(),
        begun: intent.begun.to_string(),
        ended: issuance.ended.map(|time| time.to_string()),
        revoked: issuance.revocation.map(|one| one.at.to_string()),
        revocation_reason: issuance.revocation.map(|one| one.reason.to_string()),
        pem,
        event: None,
    }
}
