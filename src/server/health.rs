//! Warnings about what ends soon or will go wrong, while there is still time.
//!
//! They depend on the clock, the configuration and the certificates only: the log of a running server,
//! `estd status` and `estd reload` all get them from here.

use crate::{
    config::Settings,
    pki::Certificate,
    types::{CaName, Time},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Time to move a fleet to another CA, beyond the longest life of its certificates.
const NOTICE: Duration = Duration::from_secs(60 * 86_400);

/// From so long before an end, its warning is repeated each hour.
const LAST_DAYS: Duration = Duration::from_secs(7 * 86_400);

/// A reminder comes by a timer of the same period: one second must not make it skip a turn.
const SLACK: Duration = Duration::from_secs(60);

/// How often a warning is repeated in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// At a start only.
    Never,
    /// Once a day.
    Daily,
    /// Once an hour.
    Hourly,
}

/// What an operator should do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The section of the configuration that it is about, such as `[ca.default]`.
    pub about: String,
    /// What is wrong, or will be.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// How often it is repeated.
    pub repeat: Repeat,
}

/// When the certificates of a CA end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) root: Time,
    pub(super) issuing: Time,
}

/// The server's own certificate.
pub(super) struct Own<'a> {
    pub(super) leaf: &'a Certificate,
    pub(super) revoked: bool,
    /// Why the last attempt to renew it failed.
    pub(super) failed: Option<&'a str>,
}

/// When a certificate is renewed: a third of its life is left then.
pub(super) fn renewal(leaf: &Certificate) -> Time {
    let life = leaf.not_after().since(leaf.not_before());
    leaf.not_after().minus(life / 3)
}

/// All warnings, the most pressing ones first.
pub(super) fn warnings(
    settings: &Settings,
    cas: &BTreeMap<CaName, Ends>,
    own: Option<&Own<'_>>,
    now: Time,
) -> Vec<Warning> {
    let mut all: Vec<Warning> = cas
        .iter()
        .filter_map(|(name, ends)| of_ca(settings, name, *ends, now))
        .chain(own.and_then(|own| of_server(settings, cas, own, now)))
        .chain(of_roots(settings, cas))
        .collect();
    all.sort_by_key(|one| match one.repeat {
        Repeat::Hourly => 0,
        Repeat::Daily => 1,
        Repeat::Never => 2,
    });
    all
}

fn pressing(end: Time, now: Time) -> Repeat {
    if end.since(now) < LAST_DAYS { Repeat::Hourly } else { Repeat::Daily }
}

fn in_words(time: Duration) -> String {
    let days = time.as_secs() / DAY.as_secs();
    if days >= 2 { format!("{days} days") } else { format!("{} hours", time.as_secs() / 3600) }
}

/// The longest life of what the configuration has this CA issue.
fn longest(settings: &Settings, name: &CaName) -> Duration {
    let server = &settings.boot.server_certificate;
    let own = (server.ca == *name).then_some(server.validity);
    let policies = settings.live.policies.all().filter(|policy| policy.ca == *name);
    policies
        .filter_map(|policy| settings.live.policies.profiles.get(&policy.profile))
        .map(|profile| profile.validity)
        .chain(own)
        .max()
        .unwrap_or_default()
}

fn of_ca(settings: &Settings, name: &CaName, ends: Ends, now: Time) -> Option<Warning> {
    let (end, longest) = (ends.issuing.min(ends.root), longest(settings, name));
    let left = end.since(now);
    if left > longest + NOTICE {
        return None;
    }
    let about = format!("[ca.{name}]");
    let remedy = format!(
        "add a [ca.NAME] with other subjects, give devices its root beside that of {name}, let labels \
         and [server.certificate] name it, and restart; see docs/operator/ca.md"
    );
    let text = if now >= end {
        format!("CA {name} ended at {end}: it issues nothing any more")
    } else if left < longest {
        format!(
            "CA {name} ends at {end}, in {}: certificates that it issues are cut to that time",
            in_words(left)
        )
    } else {
        format!("CA {name} ends at {end}, in {}", in_words(left))
    };
    Some(Warning { about, text, remedy, repeat: pressing(end, now) })
}

fn of_server(
    settings: &Settings,
    cas: &BTreeMap<CaName, Ends>,
    own: &Own<'_>,
    now: Time,
) -> Option<Warning> {
    let (wanted, end) = (&settings.boot.server_certificate, own.leaf.not_after());
    let due = renewal(own.leaf);
    let life = end.since(own.leaf.not_before());
    let cut = cas.get(&wanted.ca).is_some_and(|ca| ca.issuing == end) && life < wanted.validity;
    let renew = "estd server-certificate renew";
    let (text, remedy) = if now < own.leaf.not_before() {
        (
            format!("the server's certificate is valid from {} on only", own.leaf.not_before()),
            "set the machine's clock".to_owned(),
        )
    } else if now > end {
        (
            format!("the server's certificate ended at {end}: clients do not accept it"),
            format!("correct the cause below, then {renew}"),
        )
    } else if own.revoked {
        ("the server's certificate is revoked, and was not renewed".to_owned(), renew.to_owned())
    } else if now > due.plus(DAY) || own.failed.is_some() {
        (
            format!(
                "the server's certificate ends at {end}, in {}; its renewal has been due since {due}",
                in_words(end.since(now))
            ),
            format!("correct the cause, then {renew}"),
        )
    } else if cut {
        (
            format!(
                "the server's certificate ends with its CA at {end}, in {}: [server.certificate] \
                 validity is longer",
                in_words(end.since(now))
            ),
            format!(
                "name a CA that lasts longer in [server.certificate] ca; see [ca.{}]",
                wanted.ca
            ),
        )
    } else {
        return None;
    };
    let text = match own.failed {
        Some(cause) => format!("{text}; the last attempt to renew it failed: {cause}"),
        None => text,
    };
    let repeat = if own.revoked { Repeat::Hourly } else { pressing(end, now) };
    Some(Warning { about: "[server.certificate]".to_owned(), text, remedy, repeat })
}

/// Labels whose bag has a root that ends later than their own (D-38, RFC 7030 §4.1.3).
fn of_roots<'a>(
    settings: &'a Settings,
    cas: &'a BTreeMap<CaName, Ends>,
) -> impl Iterator<Item = Warning> + 'a {
    let labels = settings.live.policies.labels.iter();
    let all = labels.map(|(label, policy)| (format!("[label.{label}]"), policy));
    let all = std::iter::once(("[est]".to_owned(), &settings.live.policies.unlabelled)).chain(all);
    let server = &settings.boot.server_certificate.ca;
    all.filter(move |(_, policy)| policy.server_root && policy.ca != *server).filter_map(
        move |(about, policy)| {
            let (own, other) = (cas.get(&policy.ca)?.root, cas.get(server)?.root);
            (own <= other).then(|| Warning {
                about: format!("{about} server_root"),
                text: format!(
                    "/cacerts holds the root of CA {} (ends at {own}) and that of the server's CA \
                     {server} (ends at {other}): a client that picks the root that ends last \
                     (RFC 7030 section 4.1.3) picks the wrong one",
                    policy.ca
                ),
                remedy: format!(
                    "set server_root = false there and let clients keep the anchor of their bootstrap, \
                     or let [server.certificate] ca name {}; a CA that does not exist yet: give it a \
                     longer root_validity",
                    policy.ca
                ),
                repeat: Repeat::Never,
            })
        },
    )
}

/// When each warning was logged last.
#[derive(Debug, Default)]
pub(super) struct Reminders(HashMap<String, Time>);

impl Reminders {
    /// Those that are to be logged now.
    pub(super) fn due(&mut self, all: Vec<Warning>, now: Time) -> Vec<Warning> {
        self.0.retain(|about, _| all.iter().any(|one| one.about == *about));
        let is_due = |one: &Warning| {
            let Some(last) = self.0.get(&one.about).filter(|last| **last <= now) else {
                return true;
            };
            match one.repeat {
                Repeat::Never => false,
                Repeat::Daily => now.since(*last) + SLACK >= DAY,
                Repeat::Hourly => now.since(*last) + SLACK >= DAY / 24,
            }
        };
        let due: Vec<Warning> = all.into_iter().filter(is_due).collect();
        self.0.extend(due.iter().map(|one| (one.about.clone(), now)));
        due
    }
}
