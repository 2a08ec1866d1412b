//! `estd token revoke`.

use super::list::granted;
use crate::{
    admin, api,
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::{Failure, FailureKind},
        many::report_failed,
        output::{json, line},
        progress::Progress,
    },
    types::escaped_line,
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Tokens in a call.
const BATCH: usize = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeTokensArguments {
    /// Ids as estd token list prints them, or their first 8 digits or more. Never the tokens
    /// themselves.
    #[arg(value_name = "TOKEN", required_unless_present = "file")]
    tokens: Vec<String>,
    /// All tokens of a file that estd token create wrote.
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    file: Option<PathBuf>,
    /// Text for the audit events.
    #[arg(long)]
    comment: Option<String>,
}

pub(super) fn revoke_tokens(
    context: &Context,
    arguments: RevokeTokensArguments,
) -> Result<(), Failure> {
    let RevokeTokensArguments { tokens, file, comment } = arguments;
    let tokens = match &file {
        Some(file) => ids_of(file)?,
        None => tokens,
    };
    AdminClient::with(context, async |client| {
        let mut progress = Progress::new("tokens", Some(tokens.len() as u64));
        let mut done = api::TokensDisabled::default();
        let mut printed = Ok(());
        for batch in tokens.chunks(BATCH) {
            let call = api::DisableTokens { tokens: batch.to_vec(), comment: comment.clone() };
            let answer = client.call(call).await.map_err(|failure| match failure {
                Failure::Failed { what, remedy, .. } if !done.disabled.is_empty() => {
                    let what = format!("{what}; {} are revoked", done.disabled.len());
                    Failure::of(FailureKind::Partly, what, format!("{remedy}; then run it again"))
                }
                other => other,
            })?;
            progress.advance(batch.len());
            if !context.json && printed.is_ok() {
                printed = answer.disabled.iter().try_for_each(|one| line(&describe(one)));
            }
            done.disabled.extend(answer.disabled);
            done.failed.extend(answer.failed);
        }
        drop(progress);
        if context.json && !(done.disabled.is_empty() && done.failed.len() == 1) {
            printed = json(&done);
        }
        report_failed(context, done.disabled.len(), &done.failed, |one| (&one.token, &one.reason))?;
        printed
    })
}

fn describe(token: &api::TokenEntry) -> String {
    let used = token.certificate.as_ref();
    let used = used.map_or_else(String::new, |serial| {
        format!("; it was used for certificate {serial}, which stays valid")
    });
    format!("token {} ({}) is revoked{used}", token.id, escaped_line(granted(&token.grant)))
}

/// Returns the ids of the tokens in a file.
fn ids_of(file: &Path) -> Result<Vec<String>, Failure> {
    const REMEDY: &str = "name a CSV file with the column token, as estd token create writes it";
    let failed = |cause: &dyn std::fmt::Display| {
        Failure::arguments(format!("{}: {cause}", file.display()), REMEDY)
    };
    let mut reader = csv::Reader::from_path(file).map_err(|cause| failed(&cause))?;
    let head = reader.headers().map_err(|cause| failed(&cause))?;
    let column = head.iter().position(|name| name == "token");
    let column = column.ok_or_else(|| failed(&"got no column token; expected: one"))?;
    let mut ids = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|cause| failed(&cause))?;
        let line = record.position().map_or(0, csv::Position::line);
        let id = record.get(column).and_then(admin::token_id_of);
        // Not the text: it may be a mistyped token.
        let error = format!("line {line}: got no token; expected: one, as it was written");
        ids.push(id.ok_or_else(|| failed(&error))?);
    }
    if ids.is_empty() {
        return Err(failed(&"got no token; expected: one or more"));
    }
    Ok(ids)
}
