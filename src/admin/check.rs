//! Checks a store. Each record is readable; each certificate matches its record; each ended
//! issuance has its event, and each event its issuance.
//!
//! Reads everything once, and notes about 120 bytes per certificate to compare afterwards.

use crate::{
    pki::{self, Certificate},
    store::{
        Issuance, State,
        transfer::{Counts, Source},
    },
    telemetry::audit::{Event, EventId, Name},
    types::{Serial, Time},
};
use std::{fmt::Display, mem, time::Duration};

/// Records per read.
const PAGE: usize = 500;

/// Result of a check. The inspector has received each error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Items that were read.
    pub counts: Counts,
    /// Issuances with a certificate that is not revoked.
    pub issued: u64,
    /// Issuances that never get a certificate.
    pub void: u64,
    /// Issuances whose certificate is revoked.
    pub revoked: u64,
    /// Open issuances: serial number and age.
    pub open: Vec<(Serial, Duration)>,
    /// Number of errors.
    pub errors: u64,
}

/// Receives each error, and after each page the number of items read.
pub trait Inspector: Send {
    /// Receives an error: the item, and its error.
    fn error(&mut self, item: &str, error: &str);
    /// Receives the number of items read.
    fn read(&mut self, count: u64);
}

/// A serial number as a number of fixed length.
type Number = [u8; 20];

fn number(serial: &Serial) -> Number {
    let mut number = [0; 20];
    let bytes = serial.as_bytes().iter().rev();
    number.iter_mut().rev().zip(bytes).for_each(|(place, byte)| *place = *byte);
    number
}

fn shown(number: &Number) -> String {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or_default();
    let rest = number.get(start..).unwrap_or_default();
    // The zero byte that DER needs before a byte of 0x80 or more.
    let sign = rest.first().filter(|byte| **byte >= 0x80).map(|_| &0);
    sign.into_iter().chain(rest).map(|byte| format!("{byte:02x}")).collect()
}

/// Notes about an issuance that has or may get a certificate.
struct Live {
    /// First half of the idempotency key: as good as random.
    key: [u8; 16],
    begun: Time,
    until: Time,
    serial: Number,
}

/// Serial numbers of records in one state, and those of the events that record it.
#[derive(Default)]
struct Pairs {
    records: Vec<Number>,
    events: Vec<Number>,
}

struct Check<'a> {
    inspector: &'a mut dyn Inspector,
    found: Checked,
    live: Vec<Live>,
    issued: Pairs,
    voided: Pairs,
    revoked: Pairs,
}

/// Reads the contents of a store and passes each error to `inspector`. The store must not change
/// meanwhile: a served one is read as a [`crate::store::transfer::Cut`].
pub async fn check_source(store: &dyn Source, now: Time, inspector: &mut dyn Inspector) -> Checked {
    let mut check = Check {
        inspector,
        found: Checked::default(),
        live: Vec::new(),
        issued: Pairs::default(),
        voided: Pairs::default(),
        revoked: Pairs::default(),
    };
    let issuances_read = check.issuances(store, now).await;
    check.others(store).await;
    let events_read = check.events(store).await;
    check.requests();
    // An unreadable part counts as one error, not as one for each missing pair.
    if issuances_read && events_read {
        check.pairs();
    }
    check.found
}

impl Check<'_> {
    fn error(&mut self, item: &str, error: &str) {
        self.found.errors += 1;
        self.inspector.error(item, error);
    }

    fn issuance_error(&mut self, serial: impl Display, error: &str) {
        self.error(&format!("issuance {serial}"), error);
    }

    /// Returns whether all could be read.
    async fn issuances(&mut self, store: &dyn Source, now: Time) -> bool {
        let (mut after, mut limit) = (None::<Serial>, PAGE);
        loop {
            let page = match store.issuances(after.as_ref(), limit).await {
                // One by one, to find the unreadable one.
                Err(_) if limit > 1 => {
                    limit = 1;
                    continue;
                }
                Err(error) => {
                    let place = after.map_or_else(
                        || "the first issuance".to_owned(),
                        |last| format!("the issuance after {last}"),
                    );
                    self.error(&place, &format!("{error}; the following ones were not read"));
                    return false;
                }
                Ok(page) => page,
            };
            let Some(last) = page.last() else { return true };
            after = Some(last.intent.serial.clone());
            for issuance in &page {
                self.issuance(issuance, now);
            }
            self.inspector.read(self.found.counts.total());
        }
    }

    fn issuance(&mut self, issuance: &Issuance, now: Time) {
        let intent = &issuance.intent;
        let serial = number(&intent.serial);
        self.found.counts.issuances += 1;
        match issuance.state {
            State::Open => {
                self.found.open.push((intent.serial.clone(), now.since(intent.begun)));
                if intent.tbs.is_empty() || !issuance.certificate.is_empty() {
                    self.issuance_error(
                        &intent.serial,
                        "is open, but has the contents of an ended one",
                    );
                }
            }
            State::Issued | State::Revoked => {
                if issuance.state == State::Revoked {
                    self.found.revoked += 1;
                    self.revoked.records.push(serial);
                } else {
                    self.found.issued += 1;
                }
                self.issued.records.push(serial);
                if let Err(error) = certificate_fits(issuance) {
                    self.issuance_error(&intent.serial, &error);
                }
            }
            State::Void => {
                self.found.void += 1;
                self.voided.records.push(serial);
                if !issuance.certificate.is_empty() {
                    self.issuance_error(&intent.serial, "is void, but has a certificate");
                }
            }
        }
        if (issuance.state == State::Open) != issuance.ended.is_none() {
            let error = format!("is {}, but its end does not match", issuance.state);
            self.issuance_error(&intent.serial, &error);
        }
        if (issuance.state == State::Revoked) != issuance.revocation.is_some() {
            let error = format!("is {}, but its revocation does not match", issuance.state);
            self.issuance_error(&intent.serial, &error);
        }
        // Only these answer retries.
        if matches!(issuance.state, State::Open | State::Issued) {
            let mut key = [0; 16];
            key.iter_mut().zip(intent.idempotency_key.0).for_each(|(place, byte)| *place = byte);
            let (begun, until) = (intent.begun, intent.retry_until);
            self.live.push(Live { key, begun, until, serial });
        }
    }

    async fn others(&mut self, store: &dyn Source) {
        match store.accounts().await {
            Ok(accounts) => self.found.counts.accounts = accounts.len() as u64,
            Err(error) => self.error("the accounts", &error.to_string()),
        }
        match store.registers().await {
            Ok(registers) => self.found.counts.registers = registers.len() as u64,
            Err(error) => self.error("the registers", &error.to_string()),
        }
    }

    /// Returns whether all could be read.
    async fn events(&mut self, store: &dyn Source) -> bool {
        let mut next = EventId { writer: 0, number: 0 };
        let mut last = None::<EventId>;
        loop {
            let page = match store.events(next, PAGE).await {
                Err(error) => {
                    let place = format!("event {} of writer {}", next.number, next.writer);
                    self.error(
                        &place,
                        &format!("{error}; it and the following ones were not read"),
                    );
                    return false;
                }
                Ok(page) if page.is_empty() => return true,
                Ok(page) => page,
            };
            for (id, event) in page {
                let expected = match last {
                    Some(last) if last.writer == id.writer => last.number + 1,
                    _ => 1,
                };
                if id.number != expected {
                    self.error(&place(id), &format!("got this number; expected: {expected}"));
                }
                last = Some(id);
                next = EventId { number: id.number + 1, ..id };
                self.event(id, &event);
            }
            self.inspector.read(self.found.counts.total());
        }
    }

    fn event(&mut self, id: EventId, event: &Event) {
        self.found.counts.events += 1;
        let events = match event.name {
            Name::CertificateIssued => &mut self.issued.events,
            Name::IssuanceVoided => &mut self.voided.events,
            Name::CertificateRevoked => &mut self.revoked.events,
            _ => return,
        };
        match event.detail("serial").map(str::parse::<Serial>) {
            Some(Ok(serial)) => events.push(number(&serial)),
            _ => {
                self.error(&place(id), &format!("{} without a serial number", event.name.as_str()));
            }
        }
    }

    /// Finds two issuances of one request within the retry window of the first.
    fn requests(&mut self) {
        let mut live = mem::take(&mut self.live);
        live.sort_unstable_by(|one, other| {
            (one.key, one.begun, one.serial).cmp(&(other.key, other.begun, other.serial))
        });
        let mut longest: Option<&Live> = None;
        for one in &live {
            let earlier = longest.filter(|earlier| earlier.key == one.key);
            if let Some(earlier) = earlier.filter(|earlier| one.begun < earlier.until) {
                let error = format!(
                    "was begun within the retry window of {}: two certificates for one request, or \
                     a clock that was set back",
                    shown(&earlier.serial)
                );
                self.issuance_error(shown(&one.serial), &error);
            }
            if earlier.is_none_or(|earlier| earlier.until < one.until) {
                longest = Some(one);
            }
        }
    }

    /// Finds ended issuances without their event, and events without their issuance.
    fn pairs(&mut self) {
        for (pairs, event) in [
            (mem::take(&mut self.issued), Name::CertificateIssued),
            (mem::take(&mut self.voided), Name::IssuanceVoided),
            (mem::take(&mut self.revoked), Name::CertificateRevoked),
        ] {
            let (event, Pairs { mut records, mut events }) = (event.as_str(), pairs);
            records.sort_unstable();
            events.sort_unstable();
            for serial in surplus(&records, &events) {
                let error = format!("has no event {event}");
                self.issuance_error(shown(serial), &error);
            }
            for serial in surplus(&events, &records) {
                let error = format!("has an event {event}, which does not match its state");
                self.issuance_error(shown(serial), &error);
            }
        }
    }
}

/// Returns the elements of `these` without a counterpart in `others`; both are sorted.
fn surplus<'a>(these: &'a [Number], mut others: &'a [Number]) -> impl Iterator<Item = &'a Number> {
    these.iter().filter(move |one| {
        let skipped = others.partition_point(|other| other < *one);
        others = others.get(skipped..).unwrap_or_default();
        match others.split_first() {
            Some((first, rest)) if first == *one => {
                others = rest;
                false
            }
            _ => true,
        }
    })
}

fn place(id: EventId) -> String {
    format!("event {} of writer {}", id.number, id.writer)
}

/// Checks that the certificate matches its record.
fn certificate_fits(issuance: &Issuance) -> Result<(), String> {
    let intent = &issuance.intent;
    let certificate = Certificate::parse(&issuance.certificate)
        .map_err(|error| format!("its certificate cannot be read: {error}"))?;
    if *certificate.serial() != intent.serial {
        return Err(format!("its certificate has serial number {}", certificate.serial()));
    }
    if pki::sha256(certificate.spki()) != intent.spki_sha256 {
        return Err("its certificate has another key".to_owned());
    }
    let validity = (certificate.not_before(), certificate.not_after());
    if validity != (intent.not_before, intent.not_after) {
        return Err(format!(
            "its certificate is valid from {} to {}, but its record has other times",
            validity.0, validity.1
        ));
    }
    if !intent.tbs.is_empty() {
        return Err("is issued, but still has a TBSCertificate to sign".to_owned());
    }
    Ok(())
}
