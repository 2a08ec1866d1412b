//! Warnings about certificates that expire soon and settings that will fail.
//!
//! They depend on the clock, the configuration and the certificates only. The log of a running server,
//! `estd status`, `estd reload` and `estd check-config` show them.

use super::crl_files::{CrlFileError, CrlState, ManufacturerCrls};
use crate::{
    config::Settings,
    pki::Certificate,
    policy::UnknownCertificates,
    types::{CaName, Time},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Time to move a fleet to another CA, beyond the longest validity of its certificates.
const NOTICE: Duration = Duration::from_secs(60 * 86_400);

/// The last part of a certificate's life, in which its warning is repeated each hour.
const LAST_DAYS: Duration = Duration::from_secs(7 * 86_400);

/// The reminders are due by a timer of the same period: a late second must not skip a turn.
const SLACK: Duration = Duration::from_secs(60);

/// The longest exception for unknown certificates that raises no warning (D-36).
const EXCEPTION: Duration = Duration::from_secs(90 * 86_400);

/// How often the log repeats a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// At a start only.
    Never,
    /// Once a day.
    Daily,
    /// Once an hour.
    Hourly,
}

/// A condition that an operator should correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The section of the configuration, such as `[ca.default]`.
    pub about: String,
    /// The condition.
    pub text: String,
    /// The remedy.
    pub remedy: String,
    /// How often the log repeats it.
    pub repeat: Repeat,
}

/// The notAfter of a CA's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) root: Time,
    pub(super) issuing: Time,
}

/// The server's own certificate.
pub(super) struct Own<'a> {
    pub(super) leaf: &'a Certificate,
    pub(super) revoked: bool,
    /// The error of the last renewal.
    pub(super) failed: Option<&'a str>,
}

/// Returns when a certificate is renewed: a third of its life is left then.
pub(super) fn renewal(leaf: &Certificate) -> Time {
    let life = leaf.not_after().since(leaf.not_before());
    leaf.not_after().minus(life / 3)
}

/// Returns all warnings, the most pressing first.
pub(super) fn warnings(
    settings: &Settings,
    cas: &BTreeMap<CaName, Ends>,
    own: Option<&Own<'_>>,
    crls: &ManufacturerCrls,
    now: Time,
) -> Vec<Warning> {
    let mut all: Vec<Warning> = cas
        .iter()
        .filter_map(|(name, ends)| of_ca(settings, name, *ends, now))
        .chain(own.and_then(|own| of_server(settings, cas, own, now)))
        .chain(of_roots(settings, cas))
        .chain(of_unknown(settings, now))
        .chain(crls.states().filter_map(|crl| of_crl(&crl, now)))
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

/// Returns the longest validity of the certificates that this CA issues by these settings.
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
        format!("CA {name} expired at {end}: it issues nothing")
    } else if left < longest {
        format!(
            "CA {name} expires at {end}, in {}: the certificates that it issues expire with it",
            in_words(left)
        )
    } else {
        format!("CA {name} expires at {end}, in {}", in_words(left))
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
            format!("the server's certificate is not valid before {}", own.leaf.not_before()),
            "correct the machine's clock".to_owned(),
        )
    } else if now > end {
        (
            format!("the server's certificate expired at {end}: clients reject it"),
            format!("correct the error below, then {renew}"),
        )
    } else if own.revoked {
        ("the server's certificate is revoked and was not renewed".to_owned(), renew.to_owned())
    } else if now > due.plus(DAY) || own.failed.is_some() {
        (
            format!(
                "the server's certificate expires at {end}, in {}; its renewal is due since {due}",
                in_words(end.since(now))
            ),
            format!("correct the error, then {renew}"),
        )
    } else if cut {
        (
            format!(
                "the server's certificate expires with its CA at {end}, in {}; [server.certificate] \
                 validity is longer",
                in_words(end.since(now))
            ),
            format!(
                "name a CA that expires later in [server.certificate] ca; see [ca.{}]",
                wanted.ca
            ),
        )
    } else {
        return None;
    };
    let text = match own.failed {
        Some(cause) => format!("{text}; its last renewal failed: {cause}"),
        None => text,
    };
    let repeat = if own.revoked { Repeat::Hourly } else { pressing(end, now) };
    Some(Warning { about: "[server.certificate]".to_owned(), text, remedy, repeat })
}

/// Warns about labels whose `/cacerts` holds a root that expires after their own (D-38, RFC 7030 §4.1.3).
fn of_roots<'a>(
    settings: &'a Settings,
    cas: &'a BTreeMap<CaName, Ends>,
) -> impl Iterator<Item = Warning> + 'a {
    let labels = settings.live.policies.labels.iter();
    let all = labels.map(|(label, policy)| (format!("[label.{label}]"), policy));
    let all = std::iter::once(("[est]".to_owned(), &settings.live.policies.unlabeled)).chain(all);
    let server = &settings.boot.server_certificate.ca;
    all.filter(move |(_, policy)| policy.server_root && policy.ca != *server).filter_map(
        move |(about, policy)| {
            let (own, other) = (cas.get(&policy.ca)?.root, cas.get(server)?.root);
            (own <= other).then(|| Warning {
                about: format!("{about} server_root"),
                text: format!(
                    "/cacerts holds the root of CA {} (expires at {own}) and that of the server's CA \
                     {server} (expires at {other}): a client that picks the root with the latest \
                     notAfter (RFC 7030 section 4.1.3) picks the wrong one",
                    policy.ca
                ),
                remedy: format!(
                    "set server_root = false there and let clients keep the anchor of their bootstrap, \
                     or name {} in [server.certificate] ca; give a CA that is not yet created a longer \
                     root_validity",
                    policy.ca
                ),
                repeat: Repeat::Never,
            })
        },
    )
}

/// Returns the warnings that depend on the settings and the clock only: about
/// `unknown_certificates_until`, and CRLs of manufacturers that are too old. Reads the CRLs.
#[must_use]
pub fn setting_warnings(settings: &Settings, now: Time) -> Vec<Warning> {
    // Files that cannot be used are errors of the configuration, not warnings.
    let crls = ManufacturerCrls::open(&settings.live.policies.manufacturers, None);
    let crls = crls.unwrap_or_default();
    let too_old = crls.states().filter_map(|crl| of_crl(&crl, now));
    of_unknown(settings, now).into_iter().chain(too_old).collect()
}

/// Warns about a CRL that is too old, or that its file does not replace any more.
fn of_crl(crl: &CrlState<'_>, now: Time) -> Option<Warning> {
    let list = crl.used.list();
    let (next, end) = (list.next_update(), list.next_update().plus(crl.grace));
    let (issuer, manufacturer) = (list.issuer(), crl.manufacturer);
    let give = "put the newest CRL of this CA there; the server reads it again";
    let (text, remedy) = match crl.error {
        _ if now > end => (
            format!(
                "the CRL of {issuer} was to be replaced by {next}: since {end} nobody enrolls by \
                 manufacturer {manufacturer}"
            ),
            crl.error.map_or(give, CrlFileError::remedy),
        ),
        Some(error) => (
            format!("was not put in force: {error}; the CRL in use counts until {end}"),
            error.remedy(),
        ),
        None if now > next => (
            format!("the CRL of {issuer} was to be replaced by {next}; it counts until {end}"),
            give,
        ),
        None => return None,
    };
    Some(Warning {
        about: format!("[manufacturer.{manufacturer}] crl_files: {}", crl.path.display()),
        text,
        remedy: remedy.to_owned(),
        repeat: Repeat::Hourly,
    })
}

/// Warns about an end of `unknown_certificates_until` that has passed, or is far away (D-36).
fn of_unknown(settings: &Settings, now: Time) -> Vec<Warning> {
    let exceptions =
        settings.live.policies.all().filter_map(|policy| match policy.unknown_certificates {
            UnknownCertificates::RenewOwnNames { until } => Some((&policy.ca, until)),
            UnknownCertificates::Reject => None,
        });
    let exceptions: BTreeMap<&CaName, Time> = exceptions.collect();
    let warning = |(ca, until): (&CaName, Time)| {
        let (text, remedy, repeat) = if until <= now {
            (
                format!("passed at {until}: certificates that are not on record are rejected"),
                "remove unknown_certificates and unknown_certificates_until, or set a later end",
                Repeat::Never,
            )
        } else if until.since(now) > EXCEPTION {
            (
                format!(
                    "certificates that are not on record, even revoked ones, can renew until {until}, for {}",
                    in_words(until.since(now))
                ),
                "set an end within 90 days; set a later one when it is near",
                Repeat::Daily,
            )
        } else {
            return None;
        };
        let about = format!("[ca.{ca}] unknown_certificates_until");
        Some(Warning { about, text, remedy: remedy.to_owned(), repeat })
    };
    exceptions.into_iter().filter_map(warning).collect()
}

/// The time at which each warning was last logged.
#[derive(Debug, Default)]
pub(super) struct Reminders(HashMap<String, Time>);

impl Reminders {
    /// Returns the warnings that are due for the log, and notes that they are logged.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::path::Path;

    /// The warnings at `2026-11-21T00:00:00Z` about an exception that ends at `until`.
    fn of_end(until: &str) -> Vec<Warning> {
        let text = format!(
            "version = 1\n[ca.default]\nunknown_certificates = \"renew-own-names\"\n\
             unknown_certificates_until = \"{until}\"\n[label.a]\n"
        );
        let settings = parse(&text, Path::new("est.toml"), &|_| None).unwrap();
        setting_warnings(&settings, Time::from_unix(1_795_219_200))
    }

    #[test]
    fn warns_of_an_exception_that_has_ended_or_lasts_too_long() {
        for (until, expected) in [
            ("2026-11-20", Some(("passed at 2026-11-20T00:00:00Z: certif", Repeat::Never))),
            ("2026-11-21", Some(("passed at 2026-11-21T00:00:00Z: certif", Repeat::Never))),
            ("2026-11-22", None),
            ("2027-02-19", None),
            ("2027-02-20", Some(("certificates that are not on record, e", Repeat::Daily))),
        ] {
            let warnings = of_end(until);
            assert_eq!(warnings.len(), usize::from(expected.is_some()), "{until}: {warnings:?}");
            for (warning, (text, repeat)) in warnings.iter().zip(expected) {
                assert_eq!(warning.about, "[ca.default] unknown_certificates_until");
                assert_eq!((&warning.text[..38], warning.repeat), (text, repeat));
            }
        }
    }
}
