//! How an event is printed: a line of text, or of JSON.

use crate::{
    api::EventEntry,
    cli::{failure::Failure, output::line},
    types::{escaped, escaped_json},
};
use std::fmt::Write as _;

pub(super) fn print_event(
    event: &EventEntry,
    node: Option<&str>,
    several: bool,
    as_json: bool,
) -> Result<(), Failure> {
    if as_json {
        return line(event_json(event, node)?.trim_end());
    }
    line(&text(event, node.filter(|_| several)))
}

/// Returns an event as a line of the audit file, with the name of its node.
pub(super) fn event_json(event: &EventEntry, node: Option<&str>) -> Result<String, Failure> {
    let failed = |error| Failure::new(error, "report it");
    let mut value = serde_json::to_value(event).map_err(failed)?;
    if let (Some(fields), Some(node)) = (value.as_object_mut(), node) {
        fields.insert("node".to_owned(), node.into());
    }
    Ok(format!("{}\n", escaped_json(&value.to_string())))
}

/// Returns an event as a line of text.
fn text(event: &EventEntry, node: Option<&str>) -> String {
    let mut out = format!("{}  ", event.at);
    // Writing to a String cannot fail.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_hidden_characters_escaped() {
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
        let json = event_json(&event, None).unwrap();
        assert!(json.is_ascii() && json.lines().count() == 1, "{json}");
        assert_eq!(serde_json::from_str::<EventEntry>(&json).unwrap(), event);
    }
}
