//! `estd audit export`.

use super::show::event_json;
use crate::{
    api::{EventQuery, ListWriters},
    cli::{admin_client::AdminClient, failure::Failure, output::line, progress::Progress},
    store::transfer::Hashed,
    types::escaped_json,
};
use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

pub(super) async fn export_events(
    client: &AdminClient,
    file: Option<&Path>,
    as_json: bool,
) -> Result<(), Failure> {
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
pub(super) async fn write_all<W: io::Write>(
    client: &AdminClient,
    out: W,
) -> Result<(W, u64, String), Failure> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::BrokenPipe => Failure::output(&cause),
        _ => Failure::new(format!("writing the export: {cause}"), "make room on the disk"),
    };
    let writers = client.call(ListWriters::default()).await?.writers;
    let total = writers.iter().map(|writer| writer.events).sum();
    let mut progress = Progress::new("events", Some(total));
    let mut out = Hashed::new(BufWriter::new(out));
    let mut query = EventQuery { limit: Some(1000), ..EventQuery::default() };
    let (mut events, mut more) = (0u64, true);
    while more {
        let page = client.call(query.clone()).await?;
        for event in &page.events {
            out.write_all(event_json(event, None)?.as_bytes()).map_err(failed)?;
            events += 1;
        }
        progress.advance(page.events.len());
        (query.from, more) = (Some(page.next), page.more);
    }
    let (mut out, digest) = out.finish();
    let end = serde_json::json!({ "end": { "events": events, "sha256": digest } });
    writeln!(out, "{end}").map_err(failed)?;
    let inner = out.into_inner().map_err(|error| failed(error.into_error()))?;
    Ok((inner, events, digest))
}
