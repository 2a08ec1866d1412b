//! Parts of commands on many records: the file that names them, the report of failures, the end of a list.

use super::{
    context::Context,
    failure::{Failure, FailureKind},
    output::json,
};
use crate::{api, types::escaped_line};
use std::{
    fs,
    io::{BufRead, BufReader, Read, stdin},
    path::Path,
};

/// Reads the first word of each line from a file, or from standard input for `-`. Skips empty lines, the
/// `head` of a table, and lines that begin with `#`. `what` describes such a word, for the
/// error.
pub(super) fn first_words(file: &Path, head: &str, what: &str) -> Result<Vec<String>, Failure> {
    let failed = |cause: std::io::Error| {
        let error = format!("{}: {cause}", file.display());
        Failure::arguments(error, format!("name a file with {what} at the start of each line"))
    };
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(stdin())
    } else {
        Box::new(fs::File::open(file).map_err(failed)?)
    };
    let mut words = Vec::new();
    for line in BufReader::new(input).lines() {
        let line = line.map_err(failed)?;
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.is_empty() && !first.starts_with('#') && first != head {
            words.push(first.to_owned());
        }
    }
    Ok(words)
}

/// Reports the records that failed, of which `parts` returns name and reason; the exit code depends on them.
pub(super) fn report_failed<T>(
    context: &Context,
    done: usize,
    failed: &[T],
    parts: fn(&T) -> (&str, &api::ErrorResponse),
) -> Result<(), Failure> {
    match failed {
        [] => Ok(()),
        [one] if done == 0 => Err(parts(one).1.clone().into()),
        several => {
            if !context.json {
                for (name, reason) in several.iter().map(parts) {
                    eprintln!("{}: {}", escaped_line(name), escaped_line(&reason.error));
                }
            }
            let kind = if done == 0 { FailureKind::Failed } else { FailureKind::Partly };
            let what = format!("{} failed, {done} done", several.len());
            Err(Failure::of(kind, what, "correct those that failed and run it again"))
        }
    }
}

/// Ends a list of `shown` records: prints the cursor of the `next` page, or that nothing matches.
pub(super) fn end_list(
    context: &Context,
    next: Option<String>,
    shown: usize,
    what: &str,
) -> Result<(), Failure> {
    match next {
        Some(next) if context.json => json(&serde_json::json!({ "next": next }))?,
        Some(next) => eprintln!("more may follow: --after {next}"),
        None if shown == 0 && !context.json => eprintln!("no {what} matches"),
        None => {}
    }
    Ok(())
}
