//! `estd token list`.

use crate::{
    api::{self, TokenGrant},
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::Failure,
        many::end_list,
        output::{TextTable, json},
    },
};
use clap::Args;

/// Tokens in a page.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListTokensArguments {
    /// Label; "-" for tokens without one.
    #[arg(long)]
    label: Option<String>,
    /// Id of the device that it is for.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// State.
    #[arg(long, value_parser = ["usable", "used", "expired", "disabled"])]
    state: Option<String>,
    /// Largest number of tokens. Default: no limit.
    #[arg(long, value_name = "NUMBER", help_heading = "Paging")]
    limit: Option<usize>,
    /// Cursor at which the previous page ended.
    #[arg(long, value_name = "CURSOR", help_heading = "Paging")]
    after: Option<String>,
}

pub(super) fn print_tokens(
    context: &Context,
    arguments: ListTokensArguments,
) -> Result<(), Failure> {
    let ListTokensArguments { label, device, state, limit, after } = arguments;
    let mut query = api::TokenQuery { label, device, state, after, limit: None };
    AdminClient::with(context, async |client| {
        let mut table = TextTable::new(TOKEN_COLUMNS);
        let (mut left, mut shown) = (limit.unwrap_or(usize::MAX), 0_usize);
        while left > 0 {
            query.limit = Some(left.min(PAGE));
            let page = client.call(query.clone()).await?;
            let count = page.tokens.len();
            if context.json {
                page.tokens.iter().try_for_each(json)?;
            } else {
                table.rows(page.tokens.iter().map(token_row).collect())?;
            }
            (left, shown) = (left.saturating_sub(count), shown + count);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        end_list(context, query.after.filter(|_| limit.is_some()), shown, "token")
    })
}

/// Columns of the table of tokens.
pub(in crate::cli) const TOKEN_COLUMNS: [&str; 6] =
    ["TOKEN", "STATE", "EXPIRES", "LABEL", "FOR", "CERTIFICATE"];

/// Returns the row of a token.
pub(in crate::cli) fn token_row(entry: &api::TokenEntry) -> [String; 6] {
    [
        entry.id.clone(),
        entry.state.clone(),
        entry.expires.clone(),
        entry.label.clone().unwrap_or_else(|| "-".to_owned()),
        granted(&entry.grant),
        entry.certificate.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

/// Returns the right of a token, for a reader.
pub(super) fn granted(grant: &TokenGrant) -> String {
    match grant {
        TokenGrant::Device(id) => format!("device {id}"),
        TokenGrant::Names { .. } => token_names(grant),
        TokenGrant::AnyName => "any name".to_owned(),
    }
}

/// Returns the names of a token, separated by blanks; empty without.
pub(super) fn token_names(grant: &TokenGrant) -> String {
    match grant {
        TokenGrant::Names { subject, san } => {
            let subject = Some(subject.as_str()).filter(|subject| !subject.is_empty());
            let all: Vec<&str> =
                subject.into_iter().chain(san.iter().map(String::as_str)).collect();
            all.join(" ")
        }
        TokenGrant::Device(_) | TokenGrant::AnyName => String::new(),
    }
}
