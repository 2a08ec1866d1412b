//! Conditions on events.

use crate::{
    api::EventQuery,
    cli::failure::Failure,
    clock::{Clock, SystemClock},
    types::Time,
};
use clap::Args;

/// Events in a page.
pub(super) const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(in crate::cli) struct EventFilter {
    /// Events at or after this time: 2026-11-21T12:00:00Z, 2026-11-21, or 2h for the last two hours.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Events before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Name of the event, such as certificate.issued or "certificate.*".
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Part of the actor's name.
    #[arg(long)]
    actor: Option<String>,
    /// Prefix of a serial number.
    #[arg(long)]
    serial: Option<String>,
    /// Prefix of a request's id.
    #[arg(long)]
    request: Option<String>,
    /// Label; "-" for events without one.
    #[arg(long)]
    label: Option<String>,
}

impl EventFilter {
    pub(super) fn query(self) -> Result<EventQuery, Failure> {
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

/// Returns a time in the form that the server reads.
fn time(text: &str) -> Result<String, Failure> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let now = SystemClock.now().unix();
        let then = Time::from_unix(now.saturating_sub(ago.as_secs()));
        return Ok(then.to_string());
    }
    let whole =
        if text.contains([':', 'T']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    match humantime::parse_rfc3339_weak(&whole) {
        Ok(time) => Ok(Time::from(time).to_string()),
        Err(_) => Err(Failure::arguments(
            format!("time: got {text}; expected: 2026-11-21T12:00:00Z, 2026-11-21, 2h or 30d"),
            "correct the value and try again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_three_ways() {
        assert_eq!(time("2026-11-21").unwrap(), "2026-11-21T00:00:00Z");
        assert_eq!(time("2026-11-21T12:00:01Z").unwrap(), "2026-11-21T12:00:01Z");
        assert_eq!(time("2026-11-21 12:00:01").unwrap(), "2026-11-21T12:00:01Z");
        let ago = SystemClock.now().unix() - 7200;
        let text = time("2h").unwrap();
        let then: Time = humantime::parse_rfc3339(&text).unwrap().into();
        assert!(then.unix().abs_diff(ago) <= 2, "{text}");
        assert!(time("soon").is_err());
    }
}
