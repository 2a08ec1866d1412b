//! The audit trail: events by condition and page, and their writers.

use super::{
    error::Error,
    service::{Admin, Handle},
    trail::{first_number, next_writer},
    values::{self, PAGE, limit, place},
};
use crate::{
    api,
    store::Store,
    telemetry::{
        audit::{Event, EventId, Name},
        details,
    },
    types::{Actor, Time},
};

/// Largest number of events that a call reads: a condition that matches none must not delay others.
const LOOK: usize = 4000;

/// Number of a writer's first events that are searched for its start.
const START: usize = 16;

/// Conditions on an event; all of them must hold.
#[derive(Debug, Default)]
struct EventConditions<'a> {
    since: Option<Time>,
    until: Option<Time>,
    event: Option<&'a str>,
    actor: Option<&'a str>,
    serial: Option<String>,
    request: Option<String>,
    label: Option<&'a str>,
}

impl<'a> EventConditions<'a> {
    fn read(query: &'a api::EventQuery) -> Result<Self, Error> {
        let time = |text: &Option<String>| text.as_deref().map(values::parse_time).transpose();
        let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_ascii_lowercase());
        Ok(Self {
            since: time(&query.since)?,
            until: time(&query.until)?,
            event: query.event.as_deref(),
            actor: query.actor.as_deref(),
            serial: lower(&query.serial),
            request: lower(&query.request),
            label: query.label.as_deref(),
        })
    }

    fn hold(&self, event: &Event) -> bool {
        let of = |names: &[&str], start: &str| {
            let mut facts = event.details.iter();
            facts.any(|(name, value)| names.contains(&name.as_str()) && value.starts_with(start))
        };
        let is_named = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => event.name.as_str().starts_with(start),
            None => event.name.as_str() == pattern,
        };
        let has_label = |label: &str| match event.detail("label") {
            Some(of_event) => of_event == label,
            None => label == "-",
        };
        let is_of_request = |start: &str| {
            let own = event.request_id.as_ref().is_some_and(|id| id.as_str().starts_with(start));
            own || of(&["first_request"], start)
        };
        self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
            && self.event.is_none_or(is_named)
            && self.actor.is_none_or(|part| event.actor.name.contains(part))
            && self.serial.as_deref().is_none_or(|start| of(&["serial", "predecessor"], start))
            && self.request.as_deref().is_none_or(is_of_request)
            && self.label.is_none_or(has_label)
    }
}

impl Handle for api::EventQuery {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let query = self;
        let conditions = EventConditions::read(&query)?;
        let limit = limit(query.limit, 100)?;
        let first = EventId::first_of(query.writer.unwrap_or(0));
        let mut next = match query.from.as_deref() {
            Some(text) => place(text)?.max(first),
            None => first,
        };
        let mut found = Vec::new();
        let (mut looked, mut more) = (0, true);
        'pages: while looked < LOOK && found.len() < limit {
            let page = admin.store.events(next, PAGE).await?;
            let is_last = page.len() < PAGE;
            for (id, event) in page {
                if query.writer.is_some_and(|writer| writer != id.writer) {
                    more = false;
                    break 'pages;
                }
                if found.len() == limit {
                    break 'pages;
                }
                looked += 1;
                next = EventId { number: id.number + 1, ..id };
                if conditions.hold(&event) {
                    found.push(event_entry(id, event));
                }
            }
            if is_last {
                more = false;
                break;
            }
        }
        let next = format!("{}.{}", next.writer, next.number);
        Ok(api::Events { events: found, next, more })
    }
}

impl Handle for api::ListWriters {
    async fn handle(self, admin: &Admin, _: &Actor) -> Result<Self::Answer, Error> {
        let mut writers = Vec::new();
        let mut next = self.from.unwrap_or(0);
        while let Some((id, _)) = next_writer(&*admin.store, next).await? {
            writers.push(writer(&*admin.store, id.writer).await?);
            let Some(after) = id.writer.checked_add(1) else { break };
            next = after;
        }
        Ok(api::Writers { writers })
    }
}

/// Describes one writer.
async fn writer(store: &dyn Store, writer: u64) -> Result<api::WriterEntry, Error> {
    let start = store.events(EventId::first_of(writer), START).await?;
    let own = |(id, event): (EventId, Event)| (id.writer == writer).then_some(event);
    let start: Vec<Event> = start.into_iter().filter_map(own).collect();
    let started = start.iter().find(|event| event.name == Name::ServerStarted);
    let node = started.and_then(|event| event.detail("node")).map(str::to_owned);
    let first = start.first().map_or(Time::from_unix(0), |event| event.at);
    let events = first_number(store, writer, |_| true).await? - 1;
    let last = store.events(EventId { writer, number: events }, 1).await?;
    Ok(api::WriterEntry {
        writer,
        node,
        events,
        first: first.to_string(),
        last: last.first().map_or(first, |(_, event)| event.at).to_string(),
    })
}

/// Returns an event as JSON.
pub(super) fn event_entry(id: EventId, event: Event) -> api::EventEntry {
    api::EventEntry {
        details: details(&event),
        actor: event.actor.name,
        at: event.at.to_string(),
        authenticated_by: event.actor.method.to_string(),
        event: event.name.as_str().to_owned(),
        number: id.number,
        request: event.request_id.map(|id| id.to_string()),
        writer: id.writer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SetClock,
        entropy::SystemEntropy,
        store::{Item, MemoryStore},
        telemetry::audit::NoTrail,
        types::RequestId,
    };
    use std::{sync::Arc, time::Duration};

    const NOW: Time = Time::from_unix(1_795_262_400);

    fn event(number: u64) -> Event {
        let name = if number.is_multiple_of(10) {
            Name::CertificateRevoked
        } else {
            Name::CertificateIssued
        };
        let actor = Actor { name: format!("line-{}", number % 3), ..Actor::server() };
        Event::new(NOW.plus(Duration::from_secs(number)), name, actor)
            .request(RequestId::new(number.to_be_bytes()))
            .with("serial", format!("{number:016x}"))
            .with_some("label", number.is_multiple_of(2).then_some("factory"))
    }

    async fn admin(writers: &[(u64, u64)]) -> Admin {
        let store = MemoryStore::new(Arc::new(NoTrail));
        for (writer, events) in writers {
            let mut items = Vec::new();
            for number in 1..=*events {
                let mut event = event(number);
                if number == 2 {
                    event.name = Name::ServerStarted;
                    event = event.with("node", format!("node-{writer}"));
                }
                items.push(Item::Event(EventId { writer: *writer, number }, event));
            }
            store.import(items).await.unwrap();
        }
        let clock = Arc::new(SetClock::new(NOW));
        Admin::new(
            Arc::new(store),
            Vec::new(),
            "r".to_owned(),
            clock,
            Arc::new(SystemEntropy::new()),
        )
    }

    async fn all(admin: &Admin, mut query: api::EventQuery) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        loop {
            let page = query.clone().handle(admin, &Actor::server()).await.unwrap();
            found.extend(page.events.iter().map(|event| (event.writer, event.number)));
            query.from = Some(page.next);
            if !page.more {
                return found;
            }
        }
    }

    async fn writers_from(admin: &Admin, from: u64) -> Vec<api::WriterEntry> {
        let call = api::ListWriters { from: Some(from) };
        call.handle(admin, &Actor::server()).await.unwrap().writers
    }

    #[tokio::test]
    async fn pages_show_each_event_once_and_conditions_hold() {
        let admin = admin(&[(1, 9001), (3, 20)]).await;
        let query = api::EventQuery { limit: Some(7), ..Default::default() };
        let every: Vec<_> = (1..=9001).map(|n| (1, n)).chain((1..=20).map(|n| (3, n))).collect();
        assert_eq!(all(&admin, query).await, every);
        let with = |change: fn(&mut api::EventQuery)| {
            let mut query = api::EventQuery { writer: Some(3), ..Default::default() };
            change(&mut query);
            query
        };
        for (change, expected) in [
            (
                (|q| q.event = Some("certificate.revoked".into())) as fn(&mut api::EventQuery),
                vec![10, 20],
            ),
            (|q| q.event = Some("server.*".into()), vec![2]),
            (|q| q.actor = Some("ne-2".into()), vec![2, 5, 8, 11, 14, 17, 20]),
            (|q| q.serial = Some("000000000000000A".into()), vec![10]),
            (|q| q.request = Some("000000000000001".into()), vec![16, 17, 18, 19, 20]),
            (|q| q.label = Some("factory".into()), (1..=10).map(|n| 2 * n).collect()),
            (|q| q.label = Some("-".into()), (0..10).map(|n| 2 * n + 1).collect()),
            (|q| q.since = Some("2026-11-21T12:00:18Z".into()), vec![18, 19, 20]),
            (|q| q.until = Some("2026-11-21 12:00:03".into()), vec![1, 2]),
            (|q| q.from = Some("3.19".into()), vec![19, 20]),
        ] {
            let found: Vec<_> =
                all(&admin, with(change)).await.into_iter().map(|(_, number)| number).collect();
            assert_eq!(found, expected);
        }
        for change in [
            (|q| q.since = Some("soon".into())) as fn(&mut api::EventQuery),
            |q| q.from = Some("3".into()),
            |q| q.limit = Some(0),
        ] {
            assert!(matches!(
                with(change).handle(&admin, &Actor::server()).await,
                Err(Error::Invalid { .. })
            ));
        }
    }

    #[tokio::test]
    async fn a_filter_that_matches_nothing_ends_each_call_early() {
        let admin = admin(&[(1, 9001)]).await;
        let query = api::EventQuery { actor: Some("nobody".into()), ..Default::default() };
        let page = query.clone().handle(&admin, &Actor::server()).await.unwrap();
        assert_eq!((page.events.len(), page.more, page.next.as_str()), (0, true, "1.4001"));
        assert_eq!(all(&admin, query).await, []);
    }

    /// First-user finding 33.
    #[tokio::test]
    async fn writers_have_their_node_and_their_number_of_events() {
        for events in [1, 2, 3, 4, 7, 8, 9, 1000] {
            let admin = admin(&[(2, events), (5, 30)]).await;
            let writers = writers_from(&admin, 0).await;
            assert_eq!(writers.len(), 2);
            assert_eq!((writers[0].writer, writers[0].events), (2, events));
            assert_eq!(writers[0].last, NOW.plus(Duration::from_secs(events)).to_string());
            assert_eq!(writers[1].node.as_deref(), Some("node-5"));
            assert_eq!(writers_from(&admin, 3).await.len(), 1);
        }
        assert!(writers_from(&admin(&[]).await, 0).await.is_empty());
    }
}
