//! `[label.NAME.renewal]`.

use super::{DAY, accept::read_accept};
use crate::{
    config::section::Section,
    policy::{Predecessor, ProfileRules, Proof, RenewalKey, RenewalRules, RenewalWindow},
    types::{RenewalPoint, Time},
};
use humantime::{format_duration, parse_duration};
use std::time::Duration;

const WINDOW: &str = "write the part of the lifetime that is left at most, such as \"50%\", or a duration, such as \"30d\"";

/// Reads the rules of renewal. `retry_window`: that of the label.
pub(super) fn read_renewal(
    section: Section<'_>,
    profile: Option<&ProfileRules>,
    retry_window: Duration,
) -> RenewalRules {
    let due = section.parsed(
        "due",
        RenewalPoint::DEFAULT,
        "write the part of the lifetime that has passed: \"2/3\", \"0.67\" or \"67%\"",
    );
    let window = window(&section);
    if let Some(profile) = profile {
        // A certificate of this profile, from second 0.
        let (start, end) = (Time::from_unix(0), Time::from_unix(0).plus(profile.validity));
        let (opens, due) = (window.opens(start, end), due.due(start, end));
        if opens > due {
            let left = |time: Time| format_duration(end.since(time)).to_string();
            section.error(
                "window",
                format!(
                    "renewal is due with {} left, and the window opens with {} left; expected: no later than it is due (D-39)",
                    left(due),
                    left(opens)
                ),
                "write a larger window, or a later due",
            );
        }
    }
    let rules = RenewalRules {
        accept: read_accept(&section, vec![vec![Proof::Certificate]]),
        window,
        due,
        grace: section.duration("grace", Duration::ZERO, Duration::ZERO..=366 * DAY),
        key: section.one_of(
            "key",
            &[("either", RenewalKey::Either), ("new", RenewalKey::New), ("same", RenewalKey::Same)],
            RenewalKey::Either,
        ),
        predecessor: predecessor(&section, retry_window),
    };
    let useless = |proof: &&Proof| !matches!(proof, Proof::Certificate | Proof::Password(_));
    if let Some(proof) = rules.accept.proofs().find(useless) {
        section.error(
            "accept",
            format!("got {proof}; expected: certificate, alone or with a password"),
            "the certificate that is renewed is shown in TLS, so no other certificate can be",
        );
    }
    if rules.accept.alternatives().any(|all| !all.contains(&Proof::Certificate)) {
        section.error(
            "accept",
            "got an alternative without certificate; expected: the certificate that is renewed",
            "a client that has lost its key enrolls again by simpleenroll",
        );
    }
    section.finish();
    rules
}

fn window(section: &Section<'_>) -> RenewalWindow {
    let half = RenewalPoint::HALF;
    let Some(text) = section.string("window") else { return RenewalWindow::Passed(half) };
    if let Ok(left) = parse_duration(text) {
        return RenewalWindow::Left(left);
    }
    match text.parse::<RenewalPoint>() {
        Ok(left) => RenewalWindow::Passed(left.rest()),
        Err(_) => {
            section.error(
                "window",
                format!("got {text:?}; expected: a part or a duration"),
                WINDOW,
            );
            RenewalWindow::Passed(half)
        }
    }
}

fn predecessor(section: &Section<'_>, retry_window: Duration) -> Predecessor {
    let supersede = section.one_of("predecessor", &[("keep", false), ("supersede", true)], false);
    let delay = section.duration("delay", 7 * DAY, Duration::ZERO..=366 * DAY);
    if !supersede {
        if section.has("delay") {
            section.error(
                "delay",
                "got a delay, and the predecessor is kept; expected: predecessor = \"supersede\"",
                "write predecessor = \"supersede\", or remove delay",
            );
        }
        return Predecessor::Keep;
    }
    if delay < retry_window {
        section.error(
            "delay",
            format!(
                "got {}; expected: at least retry_window, which is {}: a retry shows the predecessor (D-35)",
                format_duration(delay),
                format_duration(retry_window)
            ),
            "write a longer delay, or a shorter retry_window",
        );
    }
    Predecessor::Supersede(delay)
}
