//! Events of several nodes in the order of time.
//!
//! Each writer's events are a stream in the order in which it committed them. The streams are merged.

use crate::{
    api::{EventEntry, EventQuery, ListWriters, WriterEntry},
    cli::{admin_client::AdminClient, failure::Failure},
};
use std::collections::VecDeque;

/// The events of one writer that pass the filter, in the order of their numbers.
struct Stream {
    query: EventQuery,
    node: Option<String>,
    first: String,
    waiting: VecDeque<EventEntry>,
    more: bool,
}

impl Stream {
    fn new(query: &EventQuery, writer: &WriterEntry, start: u64) -> Self {
        let query = EventQuery {
            writer: Some(writer.writer),
            from: Some(format!("{}.{start}", writer.writer)),
            ..query.clone()
        };
        Self {
            query,
            node: writer.node.clone(),
            first: writer.first.clone(),
            waiting: VecDeque::new(),
            more: true,
        }
    }

    /// Fetches pages until an event is waiting or no more exist.
    async fn fill(&mut self, client: &AdminClient) -> Result<(), Failure> {
        while self.waiting.is_empty() && self.more {
            let page = client.call(self.query.clone()).await?;
            self.waiting.extend(page.events);
            (self.query.from, self.more) = (Some(page.next), page.more);
        }
        Ok(())
    }
}

/// The streams of all writers, merged by time.
pub(super) struct Merged {
    streams: Vec<Stream>,
    /// Whether events of several writers are merged. Then each is shown with its node.
    pub(super) several: bool,
}

impl Merged {
    /// Starts each writer's stream `last` events before its end, or at its first event.
    pub(super) async fn open(
        client: &AdminClient,
        query: &EventQuery,
        last: Option<u64>,
    ) -> Result<Self, Failure> {
        let writers = client.call(ListWriters::default()).await?.writers;
        let several = writers.len() > 1;
        let streams = writers.iter().filter(|writer| {
            // These times sort as text does.
            let ended = query.since.as_ref().is_some_and(|since| writer.last < *since);
            let later = query.until.as_ref().is_some_and(|until| writer.first >= *until);
            last.is_some() || !ended && !later
        });
        let start = |events: u64| last.map_or(1, |last| events.saturating_sub(last) + 1);
        let streams = streams.map(|one| Stream::new(query, one, start(one.events))).collect();
        Ok(Self { streams, several })
    }

    /// Returns the next event and its node.
    pub(super) async fn next(
        &mut self,
        client: &AdminClient,
    ) -> Result<Option<(EventEntry, Option<String>)>, Failure> {
        let mut best: Option<(usize, String)> = None;
        for (place, stream) in self.streams.iter_mut().enumerate() {
            // Not fetched before its time: a store of many years has many writers.
            let is_later = best.as_ref().is_some_and(|(_, at)| stream.first > *at);
            if is_later && stream.waiting.is_empty() {
                continue;
            }
            stream.fill(client).await?;
            let Some(event) = stream.waiting.front() else { continue };
            if best.as_ref().is_none_or(|(_, at)| event.at < *at) {
                best = Some((place, event.at.clone()));
            }
        }
        let Some(stream) = best.and_then(|(place, _)| self.streams.get_mut(place)) else {
            return Ok(None);
        };
        let node = stream.node.clone();
        Ok(stream.waiting.pop_front().map(|event| (event, node)))
    }

    /// Looks for new events, also of new writers.
    pub(super) async fn look_again(
        &mut self,
        client: &AdminClient,
        query: &EventQuery,
    ) -> Result<(), Failure> {
        let known = self.streams.iter().filter_map(|stream| stream.query.writer).max();
        let from = Some(known.map_or(0, |writer| writer + 1));
        for writer in client.call(ListWriters { from }).await?.writers {
            self.streams.push(Stream::new(query, &writer, 1));
            self.several = self.streams.len() > 1;
        }
        for stream in &mut self.streams {
            stream.more = true;
        }
        Ok(())
    }
}
