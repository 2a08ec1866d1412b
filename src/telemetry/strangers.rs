//! Limits the events about clients that have not authenticated.
//!
//! Any client can cause such rejections without limit, so they must not fill the audit file or the
//! log. In each window an origin gets a few lines of its own, and all origins together get some more.
//! The rest is counted, and [`Strangers::due`] sums it up when the window is over. A 401 to a client
//! that sent no credentials is a step of the protocol (RFC 9110 §11.6.1): it is held, and forgotten
//! when a client of that origin authenticates.
//!
//! `governor` limits calls by key, but neither bounds its table of keys nor counts what it rejects
//! by origin and rule, which is most of what is needed here. A window that starts with the first
//! event makes the sums exact.

use super::audit::{Event, LeftOut, Name};
use crate::types::{Actor, Origin, Time};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    time::Duration,
};

/// Limits of the lines about strangers in one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The length of a window.
    pub(super) window: Duration,
    /// Lines about one origin.
    pub(super) each: usize,
    /// Lines about all origins together.
    pub(super) all: usize,
    /// Origins that are counted apart from each other.
    pub(super) origins: usize,
    /// Origins that get a summary of their own; one more sums up the others.
    pub(super) summaries: usize,
}

/// At most 60 lines and 33 summaries a minute: with two copies of each, in the audit file and the
/// log, some 100 KiB.
pub(super) const RULES: Rules =
    Rules { window: Duration::from_secs(60), each: 10, all: 60, origins: 1024, summaries: 32 };

/// Different rules that are counted apart for one origin.
const RULE_CODES: usize = 16;

/// Bytes of the facts of one event, escaped, at most; and of one of them.
const FACTS: usize = 4000;
const FACT: usize = 1000;

/// Cuts the facts of an event to a line of bounded length: a stranger's certificate may have names
/// of many kilobytes. None if the event is short enough.
pub(super) fn bounded(event: &Event) -> Option<Event> {
    let facts = event.details.iter().map(|(name, value)| (name, cost(value)));
    if facts.clone().map(|(_, cost)| cost).sum::<usize>() <= FACTS
        && facts.clone().all(|(_, cost)| cost <= FACT)
    {
        return None;
    }
    let mut event = event.clone();
    let mut left = FACTS;
    for (_, value) in &mut event.details {
        let room = left.min(FACT);
        if cost(value) > room {
            let mut kept = 0;
            let fits = |character: &char| {
                kept += cost(character.encode_utf8(&mut [0; 4]));
                kept <= room
            };
            *value = value.chars().take_while(fits).chain("...".chars()).collect();
        }
        left = left.saturating_sub(cost(value));
    }
    Some(event)
}

/// Bytes that a value may have in a line: a hidden character may become two escapes.
fn cost(value: &str) -> usize {
    value.bytes().map(|byte| if (b' '..=b'~').contains(&byte) { 1 } else { 6 }).sum()
}

/// The events of one origin in this window.
#[derive(Debug, Default)]
struct Tally {
    /// Events written.
    written: usize,
    /// Events not written, by rule.
    left_out: BTreeMap<String, u64>,
    /// The first challenge that no client has answered yet, and the number of those after it.
    challenge: Option<Box<Event>>,
    challenges: u64,
}

impl Tally {
    fn leave_out(&mut self, rule: &str, number: u64) {
        let known = self.left_out.len() < RULE_CODES || self.left_out.contains_key(rule);
        let rule = if known { rule } else { "others" };
        match self.left_out.get_mut(rule) {
            Some(count) => *count += number,
            None => {
                self.left_out.insert(rule.to_owned(), number);
            }
        }
    }

    fn sum(&self) -> u64 {
        self.left_out.values().sum()
    }
}

/// Selects the events about strangers to write, and counts the others.
#[derive(Debug)]
pub(super) struct Strangers {
    rules: Rules,
    /// When the window began; none while nothing was counted.
    since: Option<Time>,
    written: usize,
    origins: HashMap<Origin, Tally>,
    /// Of origins beyond [`Rules::origins`].
    others: Tally,
    other_events: bool,
    total: LeftOut,
}

impl Strangers {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            since: None,
            written: 0,
            origins: HashMap::new(),
            others: Tally::default(),
            other_events: false,
            total: LeftOut::default(),
        }
    }

    /// Whether to write the event now. One that is not written is counted. Call
    /// [`Strangers::due`] before.
    pub(super) fn admit(&mut self, origin: Origin, challenge: bool, event: &Event) -> bool {
        self.since.get_or_insert(event.at);
        let has_room = self.origins.len() < self.rules.origins;
        let own = has_room || self.origins.contains_key(&origin);
        self.other_events |= !own;
        let tally = if own { self.origins.entry(origin).or_default() } else { &mut self.others };
        if challenge {
            if own && tally.challenge.is_none() {
                let event = bounded(event).unwrap_or_else(|| event.clone());
                tally.challenge = Some(Box::new(event));
            } else {
                tally.challenges += 1;
            }
            return false;
        }
        if tally.written < self.rules.each && self.written < self.rules.all {
            tally.written += 1;
            self.written += 1;
            return true;
        }
        tally.leave_out(event.detail("rule").unwrap_or("unknown"), 1);
        self.total.rejections += 1;
        false
    }

    /// Forgets the challenges to this origin: a client has answered one.
    pub(super) fn authenticated(&mut self, origin: Origin) {
        if let Some(tally) = self.origins.get_mut(&origin) {
            let answered = u64::from(tally.challenge.take().is_some()) + tally.challenges;
            tally.challenges = 0;
            self.total.challenges += answered;
        }
    }

    /// Whether a challenge may be held that [`Strangers::authenticated`] could forget.
    pub(super) const fn is_counting(&self) -> bool {
        self.since.is_some()
    }

    /// The counts of all windows.
    pub(super) const fn left_out(&self) -> LeftOut {
        self.total
    }

    /// Ends the window if its time is over, or the clock was set back. Returns the events to write.
    pub(super) fn due(&mut self, now: Time) -> Vec<Event> {
        match self.since {
            Some(since) if now >= since && now < since.plus(self.rules.window) => Vec::new(),
            Some(_) => self.end(now),
            None => Vec::new(),
        }
    }

    /// Ends the window. Returns the unanswered challenges and the summaries of the counts.
    pub(super) fn end(&mut self, now: Time) -> Vec<Event> {
        let Some(since) = self.since.take() else { return Vec::new() };
        let mut out = Vec::new();
        let mut sums = Vec::new();
        let mut origins: Vec<_> = std::mem::take(&mut self.origins).into_iter().collect();
        origins.sort_by_key(|(origin, _)| *origin);
        for (origin, mut tally) in origins {
            if let Some(challenge) = tally.challenge.take() {
                let rule = challenge.detail("rule").unwrap_or("unknown").to_owned();
                let mut unwritten = tally.challenges;
                if tally.written < self.rules.each && self.written < self.rules.all {
                    self.written += 1;
                    out.push(*challenge);
                } else {
                    unwritten += 1;
                }
                if unwritten > 0 {
                    tally.leave_out(&rule, unwritten);
                    self.total.rejections += unwritten;
                }
            }
            if !tally.left_out.is_empty() {
                sums.push((origin, tally));
            }
        }
        out.sort_by_key(|event| event.at);
        sums.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.sum()));
        let mut others = std::mem::take(&mut self.others);
        if others.challenges > 0 {
            let challenges = std::mem::take(&mut others.challenges);
            others.leave_out("challenges", challenges);
            self.total.rejections += challenges;
        }
        let seconds = now.since(since).as_secs();
        let mut more = 0u64;
        for (number, (origin, tally)) in sums.into_iter().enumerate() {
            if number < self.rules.summaries {
                out.push(summary(&tally, &origin.to_string(), seconds, now));
            } else {
                more += 1;
                for (rule, count) in tally.left_out {
                    others.leave_out(&rule, count);
                }
            }
        }
        if !others.left_out.is_empty() {
            let from = match (self.other_events, more) {
                (false, 1) => "1 more address".to_owned(),
                (false, more) => format!("{more} more addresses"),
                (true, _) => {
                    let least = self.rules.origins.saturating_sub(self.rules.summaries);
                    format!("more than {least} other addresses")
                }
            };
            out.push(summary(&others, &from, seconds, now));
        }
        self.written = 0;
        self.other_events = false;
        out
    }
}

/// "412 more like these from 203.0.113.7 in the last 60 s".
fn summary(tally: &Tally, from: &str, seconds: u64, now: Time) -> Event {
    let mut by_rule: Vec<_> = tally.left_out.iter().collect();
    by_rule.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    let mut rules = String::new();
    for (rule, count) in by_rule {
        let comma = if rules.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(rules, "{comma}{rule}: {count}");
    }
    let total = tally.sum();
    Event::new(now, Name::RequestSummary, Actor::anonymous())
        .with("more", format!("{total} more like these from {from} in the last {seconds} s"))
        .with("from", from)
        .with("rejections", total)
        .with("seconds", seconds)
        .with("rules", rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const NOW: Time = Time::from_unix(1_795_262_400);

    fn later(seconds: u64) -> Time {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn origin(number: u32) -> Origin {
        Origin::of(Ipv4Addr::from_bits(0xCB00_7100 + number).into())
    }

    fn rejection(rule: &str, at: Time) -> Event {
        Event::new(at, Name::RequestRejected, Actor::anonymous()).with("rule", rule)
    }

    fn detail<'a>(event: &'a Event, name: &str) -> &'a str {
        event.detail(name).unwrap()
    }

    #[test]
    fn an_origin_gets_some_lines_and_the_rest_is_counted_exactly() {
        let mut strangers = Strangers::new(RULES);
        let written = (0..400)
            .filter(|_| strangers.admit(origin(7), false, &rejection("http.path", NOW)))
            .count();
        for _ in 0..22 {
            assert!(!strangers.admit(origin(7), false, &rejection("auth.password", later(59))));
        }
        assert_eq!(written, 10);
        assert!(strangers.due(later(59)).is_empty());
        let [summary] = &strangers.due(later(60))[..] else { panic!("one summary") };
        assert_eq!(summary.name, Name::RequestSummary);
        assert_eq!(detail(summary, "from"), "203.0.113.7");
        assert_eq!(detail(summary, "rejections"), "412");
        assert_eq!(detail(summary, "rules"), "http.path: 390, auth.password: 22");
        assert_eq!(
            detail(summary, "more"),
            "412 more like these from 203.0.113.7 in the last 60 s"
        );
        assert_eq!(strangers.left_out().rejections, 412);
        assert!(strangers.due(later(1000)).is_empty());
        assert!(strangers.admit(origin(7), false, &rejection("http.path", later(1000))));
    }

    #[test]
    fn all_origins_together_are_limited_and_memory_has_an_end() {
        let mut strangers = Strangers::new(RULES);
        let written = (0..100_000)
            .filter(|number| strangers.admit(origin(*number), false, &rejection("a.b", NOW)))
            .count();
        assert_eq!((written, strangers.origins.len()), (60, 1024));
        let summaries = strangers.due(later(61));
        assert_eq!(summaries.len(), 33);
        let counted: u64 =
            summaries.iter().map(|one| detail(one, "rejections").parse::<u64>().unwrap()).sum();
        assert_eq!(counted, 100_000 - 60);
        assert_eq!(detail(&summaries[32], "from"), "more than 992 other addresses");
        assert_eq!(strangers.left_out().rejections, counted);
    }

    /// First-user finding 14: `est` sends one request without credentials before each enrollment.
    #[test]
    fn a_challenge_is_written_only_if_nobody_answers_it() {
        let mut strangers = Strangers::new(RULES);
        for number in [1, 2] {
            assert!(!strangers.admit(origin(number), true, &rejection("auth.none", NOW)));
        }
        assert!(!strangers.admit(origin(2), true, &rejection("auth.none", later(3))));
        strangers.authenticated(origin(1));
        let due = strangers.due(later(60));
        assert_eq!(due.len(), 2, "{due:?}");
        assert_eq!(due[0], rejection("auth.none", NOW));
        assert_eq!((detail(&due[1], "from"), detail(&due[1], "rejections")), ("203.0.113.2", "1"));
        assert_eq!(strangers.left_out(), LeftOut { rejections: 1, challenges: 1, lost: 0 });
    }

    #[test]
    fn challenges_alone_cannot_fill_anything_either() {
        let mut strangers = Strangers::new(RULES);
        for number in 0..100_000 {
            assert!(!strangers.admit(origin(number), true, &rejection("auth.none", NOW)));
        }
        let due = strangers.due(later(60));
        let lines = due.iter().filter(|event| event.name == Name::RequestRejected).count();
        assert_eq!((lines, due.len()), (60, 93));
        assert_eq!(strangers.left_out().rejections, 100_000 - 60);
    }

    /// Bar of attack 3: one minute, any number of origins, the longest values that `http` lets through,
    /// all of them escaped. Both copies, in the audit file and the log.
    #[test]
    fn the_worst_minute_fits_in_a_mebibyte() {
        use crate::telemetry::show::{json_line, text_line};
        let mut strangers = Strangers::new(RULES);
        let mut written = Vec::new();
        for number in 0..20_000u32 {
            let rule = format!("some.quite-long-code-of-a-rule-{}", number % 97);
            let event = rejection(&rule, NOW)
                .with("reason", "x".repeat(1000))
                .with("method", "\u{202e}".repeat(20))
                .with("path", "\u{202e}".repeat(200))
                // Of a certificate that it showed.
                .with("subject", "\u{1b}".repeat(16_384))
                .with("issuer", "\u{e0041}".repeat(4096))
                .with("address", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
            for origin in [origin(number % 3000), origin(number)] {
                if strangers.admit(origin, number.is_multiple_of(5), &event) {
                    written.push(bounded(&event).unwrap());
                }
            }
        }
        written.extend(strangers.due(later(60)));
        let bytes: usize =
            written.iter().map(|one| json_line(None, one).len() + text_line(one).len()).sum();
        assert!(written.len() > 90 && bytes < 1 << 20, "{} lines, {bytes} bytes", written.len());
    }

    #[test]
    fn long_facts_are_cut_and_short_ones_stay() {
        let event = rejection("a.b", NOW).with("subject", "CN=d\u{fc}").with("path", "/x");
        assert_eq!(bounded(&event), None);
        let long = event.clone().with("issuer", "y".repeat(1001)).with("after", "z");
        let cut = bounded(&long).unwrap();
        assert_eq!(detail(&cut, "issuer"), format!("{}...", "y".repeat(1000)));
        assert_eq!((detail(&cut, "subject"), detail(&cut, "after")), ("CN=d\u{fc}", "z"));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_window() {
        let mut strangers = Strangers::new(RULES);
        for _ in 0..11 {
            strangers.admit(origin(1), false, &rejection("a.b", later(1_000_000)));
        }
        assert_eq!(strangers.due(NOW).len(), 1);
    }
}
