//! `estd device add` and `estd device tag`.

use crate::{
    api,
    cli::{
        admin_client::AdminClient,
        context::Context,
        failure::Failure,
        output::{json, line},
        user::warn_of_labels,
    },
    types::{escaped, escaped_line},
};
use clap::Args;
use std::collections::BTreeMap;

#[derive(Debug, Args)]
pub(in crate::cli) struct AddArguments {
    /// Id: 1 to 128 characters of A-Z a-z 0-9 . _ : -
    id: String,
    /// Identifier that it can prove; can be repeated: serial:MANUFACTURER:VALUE,
    /// hardware:MANUFACTURER:OID:HEX, san:MANUFACTURER:dns:NAME, spki:SHA256 or certificate:SHA256.
    #[arg(long = "identifier", value_name = "KIND:...")]
    identifiers: Vec<String>,
    /// Label under which it may enroll; can be repeated. Default: all labels.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// How many of its certificates may be valid at once. Default: as many as the label allows.
    #[arg(long, value_name = "NUMBER")]
    quota: Option<u32>,
    /// It may enroll from this time on: 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// It may enroll before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Tag; can be repeated.
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    tags: Vec<String>,
}

pub(super) fn add_device(context: &Context, arguments: AddArguments) -> Result<(), Failure> {
    let AddArguments { id, identifiers, labels, quota, from, until, tags } = arguments;
    warn_of_labels(context, &labels, "register the device with others");
    let call = api::NewDevice {
        id,
        identifiers,
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        quota,
        from,
        until,
        tags: pairs(&tags)?,
    };
    let entry = AdminClient::with(context, async |client| client.call(call).await)?;
    if context.json {
        return json(&entry);
    }
    line(&format!("device {} registered", escaped(&entry.id)))
}

pub(super) fn tag_device(
    context: &Context,
    id: String,
    set: &[String],
    remove: Vec<String>,
) -> Result<(), Failure> {
    let call = api::ChangeTags { device: id, set: pairs(set)?, remove };
    let entry = AdminClient::with(context, async |client| client.call(call).await)?;
    if context.json {
        return json(&entry);
    }
    let tags: Vec<String> =
        entry.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    line(&format!("device {} {}", escaped(&entry.id), escaped_line(tags.join(" "))))
}

/// Reads tags.
fn pairs(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for text in texts {
        let pair = text.split_once('=').filter(|(name, _)| !tags.contains_key(*name));
        let (name, value) = pair.ok_or_else(|| {
            let what = format!("tag: got {text}; expected: NAME=VALUE, each name once");
            Failure::arguments(what, "correct the tag")
        })?;
        tags.insert(name.to_owned(), value.to_owned());
    }
    Ok(tags)
}
