//! `estd audit`: reads the audit trail from the store, through the running server or without one.
//!
//! Events of several nodes are shown in the order of time. Each node's events are a stream in the
//! order in which it committed them, and the streams are merged.

use super::{Context, Failure, admin_client::AdminClient, operator::with_client, output::line};
use crate::{
    api::{EventEntry, EventQuery, ListWriters, WriterEntry},
    clock::{Clock, SystemClock},
    store::transfer::Hashed,
    types::{escaped, escaped_json},
};
use clap::{Args, Subcommand};
use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Events asked for at once.
const PAGE: usize = 500;

/// How often `--follow` looks for new events.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Lists committed events in the order of time: issuance, revocation, accounts, starts and
    /// reloads. Rejections are in the audit file of their node only.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many; all without it.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Shows the last events.
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 10)]
        lines: usize,
        /// Shows events as they come, until it is interrupted. Needs a running server.
        #[arg(long, short)]
        follow: bool,
    },
    /// Writes all events, by writer and number, as lines of JSON like those of the audit file. The
    /// last line has their number and the SHA-256 of the lines before it.
    Export {
        /// A file that does not exist yet; standard output without it.
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Events since this time: 2026-11-21T12:00:00Z, 2026-11-21, or 2h for the last two hours.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Events before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The event's name, such as certificate.issued or "certificate.*".
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Part of the name of who did it.
    #[arg(long)]
    actor: Option<String>,
    /// The beginning of a serial number.
    #[arg(long)]
    serial: Option<String>,
    /// The beginning of a request's id.
    #[arg(long)]
    request: Option<String>,
    /// The label; "-" for events without one.
    #[arg(long)]
    label: Option<String>,
}

impl Filter {
    fn query(self) -> Result<EventQuery, Failure> {
        let time = |text: Option<String>| text.map(|text| time(&text)).transpose();
        Ok(EventQuery {
            since: time(self.since)?,
            until: time(self.until)?,
            event: self.event,
            actor: self.actor,
            serial: self.serial,
            request: self.request,
            label: self.label,
            limit: Some(PAGE),
            ..EventQuery::default()
        })
    }
}

/// A time as the server reads it.
fn time(text: &str) -> Result<String, Failure> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let now = SystemClock.now().unix();
        let then = crate::types::Time::from_unix(now.saturating_sub(ago.as_secs()));
        return Ok(then.to_string());
    }
    let whole =
        if text.contains([':', 'T']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    match humantime::parse_rfc3339_weak(&whole) {
        Ok(time) => Ok(crate::types::Time::from(time).to_string()),
        Err(_) => Err(Failure::arguments(
            format!("{text} is no time"),
            "write 2026-11-21T12:00:00Z, 2026-11-21, or a duration such as 2h or 30d",
        )),
    }
}

pub(super) fn run(context: &Context, command: AuditCommand) -> Result<(), Failure> {
    let as_json = context.json;
    match command {
        AuditCommand::List { filter, limit } => {
            let query = filter.query()?;
            with_client(context, async |client| list(client, query, limit, as_json).await)
        }
        AuditCommand::Tail { filter, lines, follow } => {
            let query = filter.query()?;
            with_client(context, async |client| tail(client, query, lines, follow, as_json).await)
        }
        AuditCommand::Export { file } => {
            with_client(context, async |client| export(client, file.as_deref(), as_json).await)
        }
    }
}

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

    /// Has an event waiting, unless there is none.
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
struct Merged {
    streams: Vec<Stream>,
    /// Whether events are shown with their node.
    several: bool,
}

impl Merged {
    /// Starts with each writer's event of this number from its end; with its first one if there is
    /// none.
    async fn open(
        client: &AdminClient,
        query: &EventQuery,
        last: Option<u64>,
    ) -> Result<Self, Failure> {
        let writers = client.call(ListWriters::default()).await?.writers;
        let several = writers.len() > 1;
        let streams = writers.iter().filter(|writer| {
            // Times as they are written here sort as text does.
            let ended = query.since.as_ref().is_some_and(|since| writer.last < *since);
            let later = query.until.as_ref().is_some_and(|until| writer.first >= *until);
            last.is_some() || !ended && !later
        });
        let start = |events: u64| last.map_or(1, |last| events.saturating_sub(last) + 1);
        let streams = streams.map(|one| Stream::new(query, one, start(one.events))).collect();
        Ok(Self { streams, several })
    }

    /// The next event and its node.
    async fn next(
        &mut self,
        client: &AdminClient,
    ) -> Result<Option<(EventEntry, Option<String>)>, Failure> {
        let mut best: Option<(usize, String)> = None;
        for (place, stream) in self.streams.iter_mut().enumerate() {
            // Not asked before its time: a store of many years has had many writers.
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

    /// Looks again for what came meanwhile, also from new writers.
    async fn look_again(
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

async fn list(
    client: &AdminClient,
    query: EventQuery,
    limit: Option<usize>,
    as_json: bool,
) -> Result<(), Failure> {
    let mut merged = Merged::open(client, &query, None).await?;
    for _ in 0..limit.unwrap_or(usize::MAX) {
        let Some((event, node)) = merged.next(client).await? else { break };
        show(&event, node.as_deref(), merged.several, as_json)?;
    }
    Ok(())
}

async fn tail(
    client: &AdminClient,
    query: EventQuery,
    lines: usize,
    follow: bool,
    as_json: bool,
) -> Result<(), Failure> {
    if follow && matches!(client, AdminClient::Local { .. }) {
        return Err(Failure::new(
            "no server is running: no event will come",
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
        show(&event, node.as_deref(), merged.several, as_json)?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        merged.look_again(client, &query).await?;
        while let Some((event, node)) = merged.next(client).await? {
            show(&event, node.as_deref(), merged.several, as_json)?;
        }
    }
}

fn show(
    event: &EventEntry,
    node: Option<&str>,
    several: bool,
    as_json: bool,
) -> Result<(), Failure> {
    if as_json {
        return line(json(event, node)?.trim_end());
    }
    line(&text(event, node.filter(|_| several)))
}

/// An event as a line of the audit file, with the name of its node.
fn json(event: &EventEntry, node: Option<&str>) -> Result<String, Failure> {
    let failed = |error| Failure::new(error, "report it");
    let mut value = serde_json::to_value(event).map_err(failed)?;
    if let (Some(fields), Some(node)) = (value.as_object_mut(), node) {
        fields.insert("node".to_owned(), node.into());
    }
    Ok(format!("{}\n", escaped_json(&value.to_string())))
}

/// An event as a line for people.
fn text(event: &EventEntry, node: Option<&str>) -> String {
    let mut out = format!("{}  ", event.at);
    // A String takes all that is written to it.
    if let Some(node) = node {
        let _ = write!(out, "{}  ", escaped(node));
    }
    let _ = write!(out, "{:<20}  {}", event.event, escaped(&event.actor));
    if event.actor != event.authenticated_by && event.authenticated_by != "server" {
        let _ = write!(out, " ({})", event.authenticated_by);
    }
    for (name, value) in &event.details {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if !value.is_empty() && value.chars().all(plain) {
            let _ = write!(out, " {name}={value}");
        } else {
            let _ = write!(out, " {name}=\"{}\"", escaped(value).quote());
        }
    }
    if let Some(request) = &event.request {
        let _ = write!(out, " request={request}");
    }
    out
}

async fn export(client: &AdminClient, file: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let Some(path) = file else {
        return write_all(client, io::stdout()).await.map(|_| ());
    };
    let failed = |cause: io::Error| {
        Failure::new(format!("{}: {cause}", path.display()), "name a file that does not exist yet")
    };
    let created = File::options().write(true).create_new(true).mode(0o600).open(path);
    let file = created.map_err(failed)?;
    match write_all(client, file).await {
        Ok((file, events, digest)) => {
            file.sync_all().map_err(failed)?;
            if as_json {
                let done = serde_json::json!({ "file": path, "events": events, "sha256": digest });
                return line(&escaped_json(&done.to_string()));
            }
            line(&format!("{}: {events} events, SHA-256 {digest}", path.display()))
        }
        Err(error) => {
            // A part of the trail must not pass for all of it.
            let _ = std::fs::remove_file(path);
            Err(error)
        }
    }
}

/// Writes every event and the last line. Returns the writer, the number of events and the digest.
async fn write_all<W: io::Write>(
    client: &AdminClient,
    out: W,
) -> Result<(W, u64, String), Failure> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::BrokenPipe => Failure::output(&cause),
        _ => Failure::new(format!("writing the export: {cause}"), "make room on the disk"),
    };
    let mut out = Hashed::new(BufWriter::new(out));
    let mut query = EventQuery { limit: Some(1000), ..EventQuery::default() };
    let (mut events, mut more) = (0u64, true);
    while more {
        let page = client.call(query.clone()).await?;
        for event in &page.events {
            out.write_all(json(event, None)?.as_bytes()).map_err(failed)?;
            events += 1;
        }
        (query.from, more) = (Some(page.next), page.more);
    }
    let (mut out, digest) = out.finish();
    let end = serde_json::json!({ "end": { "events": events, "sha256": digest } });
    writeln!(out, "{end}").map_err(failed)?;
    let inner = out.into_inner().map_err(|error| failed(error.into_error()))?;
    Ok((inner, events, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that two nodes have written, one started twice.
    async fn client() -> AdminClient {
        use crate::{
            admin::Admin,
            entropy::SystemEntropy,
            store::{Item, MemoryStore, Store},
            telemetry::{
                FileOptions, LateTrail,
                audit::{Event, EventId, Name, NoTrail},
            },
            types::{Actor, Time},
        };
        use std::sync::Arc;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
        for (writer, node, times) in
            [(1u64, "a", 0..300u64), (2, "b", 100..1500), (3, "a", 400..1200)]
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

    #[test]
    fn times_are_written_in_three_ways() {
        assert_eq!(time("2026-11-21").unwrap(), "2026-11-21T00:00:00Z");
        assert_eq!(time("2026-11-21T12:00:01Z").unwrap(), "2026-11-21T12:00:01Z");
        assert_eq!(time("2026-11-21 12:00:01").unwrap(), "2026-11-21T12:00:01Z");
        let ago = SystemClock.now().unix() - 7200;
        let text = time("2h").unwrap();
        let then: crate::types::Time = humantime::parse_rfc3339(&text).unwrap().into();
        assert!(then.unix().abs_diff(ago) <= 2, "{text}");
        assert!(time("soon").is_err());
    }

    #[test]
    fn an_event_is_one_line_and_shows_what_is_hidden() {
        let event = EventEntry {
            actor: "CN=a\n\u{202e}".to_owned(),
            at: "2026-11-21T12:00:00Z".to_owned(),
            authenticated_by: "certificate".to_owned(),
            details: [("serial", "0a"), ("subject", "CN=\"\u{200b}")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            event: "certificate.issued".to_owned(),
            number: 1,
            request: Some("00ff".to_owned()),
            writer: 1,
        };
        assert_eq!(
            text(&event, Some("node-1")),
            "2026-11-21T12:00:00Z  node-1  certificate.issued    CN=a\\n\\u{202e} (certificate) \
             serial=0a subject=\"CN=\\\"\\u{200b}\" request=00ff"
        );
        let json = json(&event, None).unwrap();
        assert!(json.is_ascii() && json.lines().count() == 1, "{json}");
        assert_eq!(serde_json::from_str::<EventEntry>(&json).unwrap(), event);
    }
}
