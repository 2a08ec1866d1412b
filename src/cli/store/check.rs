//! `estd store check`.

use super::{open::with_source, transfer::count_fields};
use crate::{
    admin::check::{self, Inspector},
    cli::{
        context::Context,
        failure::Failure,
        output::{json, line},
        progress::Progress,
    },
    clock::{Clock, SystemClock},
    store::transfer::Source,
    types::{self, Serial},
};
use std::time::Duration;

/// Prints each error when it is found, or collects them for JSON.
struct Printer {
    progress: Progress,
    collected: Option<Vec<serde_json::Value>>,
}

impl Inspector for Printer {
    fn error(&mut self, what: &str, why: &str) {
        match &mut self.collected {
            Some(errors) => errors.push(serde_json::json!({ "item": what, "error": why })),
            // If the reader has closed the pipe, the exit code still reports the result.
            None => self.progress.suspend(|| drop(line(&format!("error: {what}: {why}")))),
        }
    }

    fn read(&mut self, count: u64) {
        self.progress.reach(count);
    }
}

pub(super) async fn check_store(context: &Context) -> Result<(), Failure> {
    let now = SystemClock.now();
    let collected = context.json.then(Vec::new);
    let mut printer = Printer { progress: Progress::new("items read", None), collected };
    let look = async |store: &dyn Source| Ok(check::check_source(store, now, &mut printer).await);
    let found = with_source(context, now, look).await?;
    drop(printer.progress);
    let (issued, void, revoked) = (found.issued, found.void, found.revoked);
    if let Some(errors) = printer.collected {
        let open = |(serial, age): &(Serial, Duration)| serde_json::json!({ "serial": serial.to_string(), "seconds": age.as_secs() });
        let mut value = count_fields(found.counts);
        let more = serde_json::json!({
            "issued": issued,
            "void": void,
            "revoked": revoked,
            "open": found.open.iter().map(open).collect::<Vec<_>>(),
            "errors": errors,
            "good": found.errors == 0,
        });
        value.extend(more.as_object().cloned().unwrap_or_default());
        json(&value)?;
    } else {
        let open = found.open.len();
        line(&format!("{}", found.counts))?;
        line(&format!("issuances: {issued} issued, {void} void, {open} open, {revoked} revoked"))?;
        for (serial, age) in &found.open {
            line(&format!("open: {serial}, begun {} ago", humantime::format_duration(*age)))?;
        }
    }
    if found.errors > 0 {
        return Err(Failure::new(
            format!("{} in the store", types::counted(found.errors, "error")),
            "restore the store from your backup, or report them",
        ));
    }
    if context.json { Ok(()) } else { line("good") }
}
