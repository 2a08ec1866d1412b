//! The output forms of an event: JSON for machines, a line of text for people.

use super::audit::{Event, EventId};
use crate::types::{escaped, escaped_json};
use serde_json::json;
use std::{borrow::Cow, collections::BTreeMap};

/// The facts of an event by name. Several of one name become one, separated by `; `.
#[must_use]
pub fn details(event: &Event) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &event.details {
        match out.get_mut(name) {
            Some(values) => {
                values.push_str("; ");
                values.push_str(value);
            }
            None => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    out
}

/// One event as a line of JSON, hidden characters as ASCII escapes. `writer` and `number` are null
/// for an event that was not committed.
#[must_use]
pub fn json_line(id: Option<EventId>, event: &Event) -> String {
    let line = json!({
        "writer": id.map(|id| id.writer),
        "number": id.map(|id| id.number),
        "at": event.at.to_string(),
        "event": event.name.as_str(),
        "actor": event.actor.name,
        "authenticated_by": event.actor.method.to_string(),
        "request": event.request_id,
        "details": details(event),
    });
    let line = line.to_string();
    match escaped_json(&line) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => line,
    }
}

/// One event as a line for people.
#[must_use]
pub fn text_line(event: &Event) -> String {
    use std::fmt::Write as _;
    let mut line = format!("{} by {}", event.name.as_str(), escaped(&event.actor));
    for (name, value) in &event.details {
        // Writing to a String cannot fail.
        let _ = write!(line, " {name}=\"{}\"", escaped(value).quote());
    }
    if let Some(id) = &event.request_id {
        let _ = write!(line, " request={id}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        telemetry::audit::Name,
        types::{Actor, AuthMethod, Time},
    };

    #[test]
    fn a_line_for_people_stays_one_line_and_shows_what_is_hidden() {
        let actor =
            Actor { name: "CN=a\n\u{1b}[31m\u{202e}".to_owned(), method: AuthMethod::Password };
        let event = Event::new(Time::from_unix(0), Name::EnrollmentRejected, actor)
            .with("subject", "CN=\"x\\\u{2028}\u{feff}");
        assert_eq!(
            text_line(&event),
            "enrollment.rejected by CN=a\\n\\u{1b}[31m\\u{202e} (password) \
             subject=\"CN=\\\"x\\\\\\u{2028}\\u{feff}\""
        );
    }
}
