//! Tests of the merge and the export, over a store of several writers.

use super::{export::write_all, filter::PAGE, merged::Merged};
use crate::{
    admin::Admin,
    api::{EventEntry, EventQuery},
    cli::admin_client::AdminClient,
    clock::SystemClock,
    entropy::SystemEntropy,
    store::{Item, MemoryStore, Store, transfer::Hashed},
    telemetry::{
        FileOptions, LateTrail,
        audit::{Event, EventId, Name, NoTrail},
    },
    types::{Actor, Time},
};
use std::{io::Write as _, path::PathBuf, sync::Arc};

/// A store that two nodes have written, one started twice.
async fn client() -> AdminClient {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
    for (writer, node, times) in [(1u64, "a", 0..300u64), (2, "b", 100..1500), (3, "a", 400..1200)]
    {
        let events = times.step_by(7).zip(1..).map(|(second, number)| {
            let at = Time::from_unix(1_795_262_400 + second);
            let event = Event::new(at, Name::ServerStarted, Actor::server());
            Item::Event(EventId { writer, number }, event.with("node", node))
        });
        store.import(events.collect()).await.unwrap();
    }
    let clock = Arc::new(SystemClock);
    let entropy = Arc::new(SystemEntropy::new());
    let admin = Admin::new(Arc::clone(&store), vec![], String::new(), clock, entropy);
    let nowhere = PathBuf::from("/nonexistent/audit");
    let (path, data) = (nowhere.clone(), nowhere);
    let options = FileOptions { path, max: 0, keep: 1, data, reserve: 0 };
    let trail = Arc::new(LateTrail::new(options, Arc::new(SystemClock)));
    AdminClient::Local { admin, store, trail, actor: Actor::server() }
}

/// The events that `list` shows, as time, node, writer and number.
async fn merged(query: &EventQuery, last: Option<u64>) -> Vec<(String, String, u64, u64)> {
    let client = client().await;
    let mut merged = Merged::open(&client, query, last).await.unwrap();
    let mut found = Vec::new();
    while let Some((event, node)) = merged.next(&client).await.unwrap() {
        found.push((event.at, node.unwrap(), event.writer, event.number));
    }
    found
}

/// First-user finding 33.
#[tokio::test]
async fn events_of_several_nodes_are_merged_by_time_and_name_their_node() {
    let whole = EventQuery { limit: Some(PAGE), ..EventQuery::default() };
    let all = merged(&whole, None).await;
    assert_eq!(all.len(), 43 + 200 + 115);
    assert!(all.is_sorted_by_key(|(at, ..)| at.clone()));
    for (writer, node, events) in [(1, "a", 43), (2, "b", 200), (3, "a", 115)] {
        let own: Vec<_> = all.iter().filter(|one| one.2 == writer).collect();
        assert!(own.iter().all(|one| one.1 == node));
        let numbers: Vec<u64> = own.iter().map(|one| one.3).collect();
        assert_eq!(numbers, (1..=events).collect::<Vec<_>>());
    }
    // A condition on time shows the same part of it.
    let (since, until) = ("2026-11-21T12:08:20Z", "2026-11-21T12:20:00Z");
    let query = EventQuery {
        since: Some(since.to_owned()),
        until: Some(until.to_owned()),
        ..whole.clone()
    };
    let part = all.iter().filter(|(at, ..)| at.as_str() >= since && at.as_str() < until);
    assert_eq!(merged(&query, None).await, part.cloned().collect::<Vec<_>>());
    // The last ones of each writer hold the last ones of all.
    let tail = merged(&whole, Some(10)).await;
    assert_eq!(tail.len(), 30);
    assert_eq!(tail[20..], all[all.len() - 10..]);
}

#[tokio::test]
async fn an_export_has_every_event_and_the_digest_of_the_lines_before_its_last() {
    let (out, events, digest) = write_all(&client().await, Vec::new()).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    let (lines, end) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!((lines.lines().count(), events), (358, 358));
    let end: serde_json::Value = serde_json::from_str(end).unwrap();
    assert_eq!(end["end"]["events"], 358);
    assert_eq!(end["end"]["sha256"], digest.as_str());
    let mut again = Hashed::new(Vec::new());
    again.write_all(format!("{lines}\n").as_bytes()).unwrap();
    assert_eq!(again.finish().1, digest);
    let numbers: Vec<(u64, u64)> = lines
        .lines()
        .map(|line| serde_json::from_str::<EventEntry>(line).unwrap())
        .map(|event| (event.writer, event.number))
        .collect();
    assert!(numbers.is_sorted());
}
