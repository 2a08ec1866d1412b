//! Finds events in the audit trail by halving: a writer's numbers begin with 1 and have no gaps.

use super::{error::Error, values::PAGE};
use crate::{
    store::{Issuance, State, Store},
    telemetry::audit::{Event, EventId, Name},
};
use std::time::Duration;

/// By how much the times of a writer's events may be out of order: concurrent requests commit in
/// another order than they began.
const SLACK: Duration = Duration::from_secs(60);

/// Finds the first event of the first writer with this number or a higher one.
pub(super) async fn next_writer(
    store: &dyn Store,
    writer: u64,
) -> Result<Option<(EventId, Event)>, Error> {
    Ok(store.events(EventId::first_of(writer), 1).await?.into_iter().next())
}

/// Returns the number of a writer's first event for which `is_before` is false; if it is true for
/// all, one more than the last number.
pub(super) async fn first_number(
    store: &dyn Store,
    writer: u64,
    is_before: impl Fn(&Event) -> bool,
) -> Result<u64, Error> {
    let holds = async |number: u64| -> Result<bool, Error> {
        let id = EventId { writer, number };
        let found = store.events(id, 1).await?.into_iter().next();
        Ok(found.is_some_and(|(found, event)| found == id && is_before(&event)))
    };
    // It is true for `low` (0 is none), and false for `high`.
    let (mut low, mut high) = (0u64, 1u64);
    while holds(high).await? {
        (low, high) = (high, high.saturating_mul(2));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle).await? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(high)
}

/// Finds the event that recorded the end of an issuance. Finds none if the clock was set back by
/// more than a minute about that time.
pub(super) async fn event_of(
    store: &dyn Store,
    issuance: &Issuance,
) -> Result<Option<(EventId, Event)>, Error> {
    let Some(ended) = issuance.ended else { return Ok(None) };
    let name = match issuance.state {
        State::Void => Name::IssuanceVoided,
        _ => Name::CertificateIssued,
    };
    let serial = issuance.intent.serial.to_string();
    let (from, until) = (ended.minus(SLACK), ended.plus(SLACK));
    let mut writer = Some(0);
    while let Some(this) = writer
        && let Some((EventId { writer: this, .. }, _)) = next_writer(store, this).await?
    {
        let number = first_number(store, this, |event| event.at < from).await?;
        let mut next = Some(EventId { writer: this, number });
        while let Some(start) = next {
            let page = store.events(start, PAGE).await?;
            next = page.last().map(|(id, _)| EventId { number: id.number + 1, ..*id });
            for (id, event) in page {
                if id.writer != this || event.at > until {
                    next = None;
                    break;
                }
                if event.name == name && event.detail("serial") == Some(&serial) {
                    return Ok(Some((id, event)));
                }
            }
        }
        writer = this.checked_add(1);
    }
    Ok(None)
}
