//! `estd audit list` and `estd audit tail`.

use super::{filter::PAGE, merged::Merged, show::print_event};
use crate::{
    api::EventQuery,
    cli::{admin_client::AdminClient, failure::Failure},
};
use std::{collections::VecDeque, time::Duration};

/// How often `--follow` looks for new events.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn list_events(
    client: &AdminClient,
    query: EventQuery,
    limit: Option<usize>,
    as_json: bool,
) -> Result<(), Failure> {
    let mut merged = Merged::open(client, &query, None).await?;
    for _ in 0..limit.unwrap_or(usize::MAX) {
        let Some((event, node)) = merged.next(client).await? else { break };
        print_event(&event, node.as_deref(), merged.several, as_json)?;
    }
    Ok(())
}

pub(super) async fn tail_events(
    client: &AdminClient,
    query: EventQuery,
    lines: usize,
    follow: bool,
    as_json: bool,
) -> Result<(), Failure> {
    if follow && matches!(client, AdminClient::Local { .. }) {
        return Err(Failure::new(
            "no server is running: --follow waits for its events",
            "start estd serve, or leave out --follow",
        ));
    }
    let unfiltered = EventQuery { limit: Some(PAGE), ..EventQuery::default() };
    // Without a filter the last events of each writer are enough.
    let last = (query == unfiltered).then_some(lines as u64);
    let mut merged = Merged::open(client, &query, last).await?;
    let mut kept = VecDeque::new();
    while let Some(found) = merged.next(client).await? {
        kept.push_back(found);
        if kept.len() > lines {
            kept.pop_front();
        }
    }
    for (event, node) in kept {
        print_event(&event, node.as_deref(), merged.several, as_json)?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        merged.look_again(client, &query).await?;
        while let Some((event, node)) = merged.next(client).await? {
            print_event(&event, node.as_deref(), merged.several, as_json)?;
        }
    }
}
