//! Whether a store holds what it should: each record readable, each certificate the one that its
//! record says, each issuance with its event and each event with its issuance.
//!
//! Reads everything once. What has to be held against each other afterwards is kept in memory:
//! about 120 bytes for each certificate.

use crate::{
    pki::{self, Certificate},
    store::{
        Issuance, State, Store,
        transfer::{Counts, Source},
    },
    telemetry::audit::{Event, EventId, Name},
    types::{Serial, Time},
};
use std::time::Duration;

/// How many records are read at once.
const PAGE: usize = 500;

/// What a check found. SettingErrors are told while they are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many items were read.
    pub counts: Counts,
    /// Of the issuances: those with a certificate, those that never get one, and those whose
    /// certificate was revoked.
    pub issued: u64,
    /// See `issued`.
    pub void: u64,
    /// See `issued`.
    pub revoked: u64,
    /// Those that are open: serial number, and how long.
    pub open: Vec<(Serial, Duration)>,
    /// How many errors were told.
    pub errors: u64,
}

/// Is told each error, and after each page how many items were read.
pub trait Inspector: Send {
    /// Something is wrong: with what, and how.
    fn error(&mut self, what: &str, why: &str);
    /// So many items were read.
    fn read(&mut self, count: u64);
}

/// A serial number in a fixed place, as the number that it is.
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
    // The byte that DER needs before one that would make the number negative.
    let sign = rest.first().filter(|byte| **byte >= 0x80).map(|_| &0);
    sign.into_iter().chain(rest).map(|byte| format!("{byte:02x}")).collect()
}

/// What is kept of an issuance that has or may get a certificate.
struct Live {
    /// The request key's first half: as good as random.
    key: [u8; 16],
    begun: Time,
    until: Time,
    serial: Number,
}

struct Check<'a> {
    inspector: &'a mut dyn Inspector,
    found: Checked,
    live: Vec<Live>,
    issued: Vec<Number>,
    voided: Vec<Number>,
    revoked: Vec<Number>,
    told_issued: Vec<Number>,
    told_voided: Vec<Number>,
    told_revoked: Vec<Number>,
}

/// Reads a whole store, which nobody changes meanwhile, and tells what is wrong with it.
pub async fn check(store: &dyn Store, now: Time, inspector: &mut dyn Inspector) -> Checked {
    check_source(&store, now, inspector).await
}

/// Reads what a store holds and tells what is wrong with it. A store that is served is read as a
/// [`crate::store::transfer::Cut`].
pub async fn check_source(store: &dyn Source, now: Time, inspector: &mut dyn Inspector) -> Checked {
    let mut check = Check {
        inspector,
        found: Checked::default(),
        live: Vec::new(),
        issued: Vec::new(),
        voided: Vec::new(),
        revoked: Vec::new(),
        told_issued: Vec::new(),
        told_voided: Vec::new(),
        told_revoked: Vec::new(),
    };
    let issuances_read = check.issuances(store, now).await;
    check.others(store).await;
    let events_read = check.events(store).await;
    check.requests();
    // What could not be read is a error already, not many more.
    if issuances_read && events_read {
        check.pairs();
    }
    check.found
}

impl Check<'_> {
    fn error(&mut self, what: &str, why: &str) {
        self.found.errors += 1;
        self.inspector.error(what, why);
    }

    /// Answers whether all could be read.
    async fn issuances(&mut self, store: &dyn Source, now: Time) -> bool {
        let (mut after, mut limit) = (None::<Serial>, PAGE);
        loop {
            let page = match store.issuances(after.as_ref(), limit).await {
                // One by one, to find out which it is.
                Err(_) if limit > 1 => {
                    limit = 1;
                    continue;
                }
                Err(error) => {
                    let place = after.map_or_else(
                        || "the first issuance".to_owned(),
                        |last| format!("the issuance after {last}"),
                    );
                    self.error(&place, &format!("{error}; those behind it were not read"));
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
                    self.error(&name(&intent.serial), "is open, and holds what an ended one does");
                }
            }
            State::Issued | State::Revoked => {
                if issuance.state == State::Revoked {
                    self.found.revoked += 1;
                    self.revoked.push(serial);
                } else {
                    self.found.issued += 1;
                }
                self.issued.push(serial);
                if let Err(why) = certificate_fits(issuance) {
                    self.error(&name(&intent.serial), &why);
                }
            }
            State::Void => {
                self.found.void += 1;
                self.voided.push(serial);
                if !issuance.certificate.is_empty() {
                    self.error(&name(&intent.serial), "is void and has a certificate");
                }
            }
        }
        if (issuance.state == State::Open) != issuance.ended.is_none() {
            let why = format!("is {} and says otherwise of its end", issuance.state);
            self.error(&name(&intent.serial), &why);
        }
        if (issuance.state == State::Revoked) != issuance.revocation.is_some() {
            let why = format!("is {} and says otherwise of its revocation", issuance.state);
            self.error(&name(&intent.serial), &why);
        }
        // What answers no repeat stands in nobody's way.
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

    /// Answers whether all could be read.
    async fn events(&mut self, store: &dyn Source) -> bool {
        let mut next = EventId { writer: 0, number: 0 };
        let mut last = None::<EventId>;
        loop {
            let page = match store.events(next, PAGE).await {
                Err(error) => {
                    let place = format!("event {} of writer {}", next.number, next.writer);
                    self.error(&place, &format!("{error}; it and later ones were not read"));
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
                    let place = format!("event {} of writer {}", id.number, id.writer);
                    self.error(&place, &format!("comes where {expected} should"));
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
        let told = match event.name {
            Name::CertificateIssued => &mut self.told_issued,
            Name::IssuanceVoided => &mut self.told_voided,
            Name::CertificateRevoked => &mut self.told_revoked,
            _ => return,
        };
        let serial = event.details.iter().find(|(name, _)| name == "serial");
        match serial.map(|(_, serial)| serial.parse::<Serial>()) {
            Some(Ok(serial)) => told.push(number(&serial)),
            _ => {
                let place = format!("event {} of writer {}", id.number, id.writer);
                self.error(&place, &format!("{} without a serial number", event.name.as_str()));
            }
        }
    }

    /// No two issuances of one request while repeats of the first get the first one's certificate.
    fn requests(&mut self) {
        let mut live = std::mem::take(&mut self.live);
        live.sort_unstable_by(|one, other| {
            (one.key, one.begun, one.serial).cmp(&(other.key, other.begun, other.serial))
        });
        let mut longest: Option<&Live> = None;
        for one in &live {
            let earlier = longest.filter(|earlier| earlier.key == one.key);
            if let Some(earlier) = earlier.filter(|earlier| one.begun < earlier.until) {
                let why = format!(
                    "was begun while a repeat of its request was to get the certificate of {}: two \
                     for one request, or a clock that was set back",
                    shown(&earlier.serial)
                );
                self.error(&format!("issuance {}", shown(&one.serial)), &why);
            }
            if earlier.is_none_or(|earlier| earlier.until < one.until) {
                longest = Some(one);
            }
        }
    }

    /// Each ended issuance has its event, once, and each event its issuance.
    fn pairs(&mut self) {
        let issued = (std::mem::take(&mut self.issued), std::mem::take(&mut self.told_issued));
        let voided = (std::mem::take(&mut self.voided), std::mem::take(&mut self.told_voided));
        let revoked = (std::mem::take(&mut self.revoked), std::mem::take(&mut self.told_revoked));
        for ((mut records, mut events), event) in [
            (issued, Name::CertificateIssued),
            (voided, Name::IssuanceVoided),
            (revoked, Name::CertificateRevoked),
        ] {
            records.sort_unstable();
            events.sort_unstable();
            let (mut records, mut events) = (records.iter().peekable(), events.iter().peekable());
            loop {
                let order = match (records.peek(), events.peek()) {
                    (Some(record), Some(told)) => record.cmp(told),
                    (Some(_), None) => std::cmp::Ordering::Less,
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                    (None, None) => break,
                };
                let record = if order.is_le() { records.next() } else { None };
                let told = if order.is_ge() { events.next() } else { None };
                match (record, told) {
                    (Some(record), None) => {
                        let why = format!("no event {} tells of it", event.as_str());
                        self.error(&format!("issuance {}", shown(record)), &why);
                    }
                    (None, Some(told)) => {
                        let why =
                            format!("an event {} tells of it, and it is not so", event.as_str());
                        self.error(&format!("issuance {}", shown(told)), &why);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn name(serial: &Serial) -> String {
    format!("issuance {serial}")
}

/// Whether the certificate is the one of its record.
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
            "its certificate is valid from {} to {}, and its record says otherwise",
            validity.0, validity.1
        ));
    }
    if !intent.tbs.is_empty() {
        return Err("is issued, and still holds what was to be signed".to_owned());
    }
    Ok(())
}
