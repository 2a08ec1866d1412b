//! `estd device block`, `unblock` and `retire`.

use crate::{
    api,
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::{Failure, FailureKind},
        many::{first_words, report_failed},
        output::{json, line},
        progress::Progress,
    },
    types::{counted, escaped_line},
};
use clap::Args;
use std::{
    io::{BufRead, IsTerminal, stderr, stdin},
    path::PathBuf,
};

/// Devices in a call.
const BATCH: usize = 100;

/// Ids that are shown before the confirmation.
const SHOWN: usize = 100;

/// The devices that a command means.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChosenDevices {
    /// Ids.
    #[arg(value_name = "ID", required_unless_present = "file")]
    ids: Vec<String>,
    /// File with an id at the start of each line, as estd device list prints them; "-" for standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    file: Option<PathBuf>,
    /// Text for the audit events.
    #[arg(long)]
    comment: Option<String>,
    /// Changes the devices of a file without a confirmation. Those named by ids need none.
    #[arg(long)]
    yes: bool,
}

pub(super) fn change_standing(
    context: &Context,
    devices: ChosenDevices,
    standing: &'static str,
) -> Result<(), Failure> {
    let ChosenDevices { ids, file, comment, yes } = devices;
    let from_file = file.is_some();
    let ids = match &file {
        Some(file) => first_words(file, "ID", "an id")?,
        None => ids,
    };
    if ids.is_empty() {
        return Err(Failure::arguments("got no device; expected: one or more", "add their ids"));
    }
    // Unblocking is undone by blocking; it cuts nothing off.
    if from_file && !yes && standing != "enabled" {
        confirm(&ids, standing)?;
    }
    AdminClient::with(context, async |client| {
        let mut progress = Progress::new("devices", Some(ids.len() as u64));
        let mut done = api::StandingChanges::default();
        // An error in printing does not stop the changes.
        let mut printed = Ok(());
        for batch in ids.chunks(BATCH) {
            let call = api::ChangeStanding {
                devices: batch.to_vec(),
                standing: standing.to_owned(),
                comment: comment.clone(),
            };
            let answer = client.call(call).await.map_err(|failure| match failure {
                Failure::Failed { what, remedy, .. } if !done.changed.is_empty() => {
                    let what =
                        format!("{what}; {} of {} are {standing}", done.changed.len(), ids.len());
                    let remedy = format!("{remedy}; then run it again");
                    Failure::of(FailureKind::Partly, what, remedy)
                }
                other => other,
            })?;
            progress.advance(batch.len());
            if !context.json && printed.is_ok() {
                printed = answer.changed.iter().try_for_each(|one| line(&describe(one)));
            }
            done.changed.extend(answer.changed);
            done.failed.extend(answer.failed);
        }
        drop(progress);
        if context.json && !(done.changed.is_empty() && done.failed.len() == 1) {
            printed = json(&done);
        }
        report_failed(context, done.changed.len(), &done.failed, |one| (&one.device, &one.reason))?;
        printed
    })
}

fn describe(one: &api::StandingChange) -> String {
    let standing = if one.standing == "enabled" { "in service" } else { &one.standing };
    let before = if one.before { "was before" } else { "is now" };
    format!("device {} {before} {standing}", escaped_line(&one.device))
}

/// Shows the devices and asks for a confirmation.
fn confirm(ids: &[String], standing: &str) -> Result<(), Failure> {
    let devices = counted(ids.len(), "device");
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(Failure::arguments(
            format!("{devices} to be {standing}, and no terminal for the confirmation"),
            "look at the file, then add --yes",
        ));
    }
    for id in ids.iter().take(SHOWN) {
        eprintln!("{}", escaped_line(id));
    }
    if ids.len() > SHOWN {
        eprintln!("and {} more: they are in the file", ids.len() - SHOWN);
    }
    eprint!(
        "They neither enroll nor authenticate then, from the next request on. Their certificates are \
         not revoked. Type {} to continue: ",
        ids.len()
    );
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    if read.is_err() || answer.trim() != ids.len().to_string() {
        return Err(Failure::new("not confirmed: no device was changed", "type the number"));
    }
    Ok(())
}
