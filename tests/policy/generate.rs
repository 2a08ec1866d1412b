//! Configurations and requests.

use crate::{model::opens, words::*};
use proptest::{
    option,
    prelude::*,
    sample::{Index, select, subsequence},
};

/// The time at which the certificates were issued: 2026-11-21T12:00:00Z.
pub(crate) const ISSUED: u64 = 1_795_262_400;
const LIFETIME: u64 = 90 * DAY;
const MADE: u64 = ISSUED - 300 * DAY;
/// 9999-12-31T23:59:59Z.
const NEVER: u64 = 253_402_300_799;

/// A certificate that clients show: issuer, subject, entries, validity.
type Certificate = (Issuer, &'static str, &'static [&'static str], u64, u64);

const fn ours(ca: &'static str, label: &'static str, record: Record, ra: u8) -> Issuer {
    Issuer::Ours { ca, label, record, ra }
}

const ACME: (&str, Record) = ("acme", Record::Good);
const BOLT: (&str, Record) = ("bolt", Record::Good);
const FROM: u64 = ISSUED - 300;
const TO: u64 = ISSUED + LIFETIME - 1;

/// Every certificate, each with a key of its own.
pub(crate) const CERTIFICATES: [Certificate; 20] = [
    (
        ours("default", "here", Record::Good, 0),
        "CN=here-1,O=Example",
        &["dns:here-1.plant7.example", "uri:urn:dev:acme:here-1"],
        FROM,
        TO,
    ),
    (ours("default", "here", Record::Good, 0), "CN=here-2", &[], FROM, TO),
    (
        ours("default", "there", Record::Good, 0),
        "CN=there-1,serialNumber=T1",
        &["dns:t1.plant7.example", "dns:t2.plant7.example"],
        FROM,
        TO,
    ),
    (ours("other", "else", Record::Good, 0), "CN=else-1", &["dns:else-1.plant7.example"], FROM, TO),
    (ours("default", "here", Record::Revoked, 0), "CN=here-1,O=Example", &[], FROM, TO),
    (ours("default", "here", Record::Missing, 0), "CN=lost-1", &["ip:10.1.2.3"], FROM, TO),
    (ours("other", "else", Record::Missing, 0), "CN=lost-2", &[], FROM, TO),
    (ours("default", "ra", Record::Good, 1), "CN=ra-1", &[], FROM, TO),
    (ours("default", "ra", Record::Good, 2), "CN=ra-2", &[], FROM, TO),
    (ours("other", "else", Record::Good, 3), "CN=ra-3", &[], FROM, TO),
    (ours("default", "ra", Record::Revoked, 1), "CN=ra-4", &[], FROM, TO),
    (Issuer::Makers(&[ACME]), "CN=idevid-1,serialNumber=SN1", &[], MADE, NEVER),
    (Issuer::Makers(&[BOLT]), "CN=idevid-2,serialNumber=SN2,O=Bolt", &[], MADE, TO),
    (
        Issuer::Makers(&[ACME, BOLT]),
        "CN=idevid-3,serialNumber=SN3",
        &["dns:sn3.plant7.example"],
        MADE,
        NEVER,
    ),
    (Issuer::Makers(&[ACME]), "CN=one,CN=two,serialNumber=SN4", &[], MADE, NEVER),
    // Values that do not fit everywhere.
    (Issuer::Makers(&[BOLT]), "CN=idevid*5,serialNumber=SN.5", &[], MADE, NEVER),
    (
        Issuer::Makers(&[("acme", Record::Revoked), BOLT]),
        "CN=idevid-6,serialNumber=SN6",
        &[],
        MADE,
        NEVER,
    ),
    (
        Issuer::Makers(&[("acme", Record::Missing)]),
        "CN=idevid-7,serialNumber=SN7",
        &[],
        MADE,
        NEVER,
    ),
    (
        Issuer::Makers(&[("acme", Record::Revoked)]),
        "CN=idevid-8,serialNumber=SN8",
        &[],
        MADE,
        NEVER,
    ),
    (Issuer::Stranger, "CN=here-1,O=Example", &["dns:here-1.plant7.example"], MADE, NEVER),
];

/// The certificate at this place of [`CERTIFICATES`].
pub(crate) fn shown(place: usize) -> Shown {
    let (by, subject, san, not_before, not_after) = CERTIFICATES[place];
    Shown { place, by, names: names(subject, san), not_before, not_after }
}

/// Every account, with the schemes that its secrets verify and the label to which it is bound.
pub(crate) const ACCOUNTS: [(&str, &[&str], Option<&str>); 6] = [
    ("basic", &["password"], None),
    ("basic-here", &["password"], Some("here")),
    ("basic-there", &["password"], Some("there")),
    ("digest", &["password:digest", "password:digest-md5"], None),
    ("digest-here", &["password:digest", "password:digest-md5"], Some("here")),
    ("digest-there", &["password:digest", "password:digest-md5"], Some("there")),
];

/// Alternatives of `accept`.
const ALTERNATIVES: [&[&str]; 15] = [
    &["certificate"],
    &["certificate:here"],
    &["certificate:there"],
    &["certificate:else"],
    &["manufacturer:acme"],
    &["manufacturer:bolt"],
    &["ra"],
    &["password"],
    // Before password:digest, which the configuration demands.
    &["password:digest-md5"],
    &["password:digest"],
    &["certificate", "password:digest"],
    &["certificate:there", "password"],
    &["manufacturer:acme", "password:digest"],
    &["manufacturer:bolt", "password"],
    &["ra", "password:digest"],
];

const RENEWAL: [&[&[&str]]; 4] = [
    &[&["certificate"]],
    &[&["certificate", "password:digest"]],
    &[&["certificate", "password:digest-md5"], &["certificate", "password"]],
    &[&["certificate"], &["certificate", "password:digest"]],
];

const fn rule(
    mode: &'static str,
    subject: &'static str,
    san: &'static [&'static str],
    allow_san: &'static [&'static str],
) -> NameRule {
    let subject = if subject.is_empty() { None } else { Some(subject) };
    NameRule { mode, subject, san, allow_san }
}

const NAMES: [NameRule; 15] = [
    rule("own", "", &[], &[]),
    rule("any", "", &[], &[]),
    rule("match", "CN={*},O=Example", &[], &["dns:{*}.plant7.example", "ip:10.0.0.0/8"]),
    rule("match", "", &["dns:{*}.plant7.example"], &[]),
    rule(
        "match",
        "CN=x-{*}",
        &["dns:a-{*}.plant7.example", "dns:{*}.plant7.example"],
        &["dns:a-b.plant7.example"],
    ),
    rule("match", "CN={account},O=Example", &["email:{account}@a.example"], &["ip:192.0.2.1"]),
    rule("match", "CN={certificate.cn},OU=next", &["dns:www.{certificate.dns}"], &[]),
    rule(
        "match",
        "CN={idevid.serial},O=Example",
        &["dns:{idevid.serial}.plant7.example", "uri:urn:dev:acme:{idevid.serial}"],
        &[],
    ),
    rule(
        "match",
        "serialNumber={idevid.serial},CN={manufacturer}-{idevid.cn}",
        &[],
        &["uri:urn:dev:{*}:1"],
    ),
    rule("set", "CN=fixed,O=Example", &[], &[]),
    rule("set", "CN={account},O=Example", &["dns:{account}.plant7.example"], &[]),
    rule("set", "CN={certificate.cn},OU=set", &[], &[]),
    rule("set", "", &["dns:{certificate.dns}", "dns:www.{certificate.dns}", "ip:10.0.0.1"], &[]),
    rule(
        "set",
        "CN={idevid.cn},O={manufacturer}",
        &["uri:urn:dev:{manufacturer}:{idevid.serial}"],
        &[],
    ),
    rule("set", "serialNumber={idevid.serial}", &["dns:{idevid.serial}.plant7.example"], &[]),
];

/// Whether a proof of `accept` gives each variable of the rule: the configuration demands it.
fn is_given(rule: &NameRule, accept: &[Vec<&str>]) -> bool {
    let all =
        [rule.templates().subject, rule.templates().san, rule.allowed().san].concat().concat();
    let proves = |part: &str| {
        let is = |proof: &&str| match part {
            "{account}" => proof.starts_with("password"),
            "{certificate." => proof.starts_with("certificate") || *proof == "ra",
            _ => proof.starts_with("manufacturer"),
        };
        !all.contains(part) || accept.iter().flatten().any(is)
    };
    ["{account}", "{certificate.", "{idevid.", "{manufacturer}"].into_iter().all(proves)
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    let lists = (subsequence(ALTERNATIVES.to_vec(), 1..=4), select(&RENEWAL[..]));
    let windows = [
        Window::Percent(50),
        Window::Percent(34),
        Window::Percent(100),
        Window::Days(30),
        Window::Days(60),
        Window::Days(200),
    ];
    let times = [ISSUED + 10 * DAY, ISSUED + 80 * DAY, ISSUED + 400 * DAY];
    let renewal =
        (select(windows.to_vec()), select(vec![0, 1, 30]), select(vec!["either", "new", "same"]));
    let more = (
        any::<Index>(),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
        option::of(select(times.to_vec())),
    );
    (lists, renewal, more).prop_map(|((accept, renewal), (window, grace_days, key), more)| {
        let (names, idevid_key, pinned, is_proof, unknown_until) = more;
        let accept: Vec<Vec<_>> = accept.into_iter().map(<[_]>::to_vec).collect();
        let all: Vec<NameRule> = NAMES.into_iter().filter(|rule| is_given(rule, &accept)).collect();
        Rules {
            names: *names.get(&all),
            renewal_accept: renewal.iter().map(|all| all.to_vec()).collect(),
            window,
            grace_days,
            key,
            idevid_key,
            pinned: pinned && accept.iter().flatten().any(|proof| *proof == "ra"),
            is_proof,
            unknown_until,
            accept,
        }
    })
}

/// The names of a CSR.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Those of the certificate.
    Own,
    OwnInAnotherOrder,
    /// Its subject alone.
    OwnSubject,
    /// They and one more.
    OwnAndMore,
    /// Those of the label's rule, for this client.
    Wanted,
    WantedInCapitals,
    WantedAndMore(&'static str),
    WantedTwice,
    Other,
    Nothing,
    Hostile(&'static str),
}

/// The time of a request, from the certificate that is shown.
#[derive(Clone, Copy, Debug)]
enum When {
    NotBefore(i64),
    Opens(i64),
    NotAfter(i64),
    Grace(i64),
    Fresh,
    Late,
}

/// A client before its rules are known.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// Any certificate, and any password: the place of the account, whether it is right, the scheme.
    Any(Option<usize>, Option<(usize, bool, bool)>),
    /// One that gives all proofs of an alternative; and whether it also sends a password.
    Fitting(Index, Index, bool),
}

/// A request before its rules are known.
pub(crate) type Draft = (bool, Client, (AskedNames, bool, Clock));

#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(Who);

#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedNames(Asked);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(When);

pub(crate) fn draft() -> impl Strategy<Value = Draft> {
    let hostile =
        MALFORMED.into_iter().chain(["CN:a,O=b", "CN:a\u{202e}b", "dns:*.plant7.example", "CN:*"]);
    let more = [
        "dns:more.plant7.example",
        "dns:a-b.plant7.example",
        "ip:10.9.8.7",
        "ip:11.9.8.7",
        "ip:192.0.2.1",
        "uri:urn:dev:x:1",
        "uri:urn:dev:x:2",
    ];
    let asked = prop_oneof![
        4 => Just(Asked::Own),
        1 => Just(Asked::OwnInAnotherOrder),
        1 => Just(Asked::OwnSubject),
        1 => Just(Asked::OwnAndMore),
        6 => Just(Asked::Wanted),
        1 => Just(Asked::WantedInCapitals),
        2 => select(more.to_vec()).prop_map(Asked::WantedAndMore),
        1 => Just(Asked::WantedTwice),
        2 => Just(Asked::Other),
        1 => Just(Asked::Nothing),
        4 => select(hostile.collect::<Vec<_>>()).prop_map(Asked::Hostile),
    ];
    let when = prop_oneof![
        6 => Just(When::Late),
        2 => Just(When::Fresh),
        1 => (-1..=1_i64).prop_map(When::NotBefore),
        2 => (-1..=1_i64).prop_map(When::Opens),
        2 => (-1..=1_i64).prop_map(When::NotAfter),
        1 => (-1..=1_i64).prop_map(When::Grace),
    ];
    let certificate = prop_oneof![1 => Just(None), 6 => (0..CERTIFICATES.len()).prop_map(Some)];
    let right = prop::bool::weighted(0.8);
    let password = option::of((0..ACCOUNTS.len(), right, any::<bool>()));
    let client = prop_oneof![
        2 => (certificate, password).prop_map(|(certificate, password)| Who::Any(certificate, password)),
        5 => (any::<Index>(), any::<Index>(), prop::bool::weighted(0.2))
            .prop_map(|(alternative, which, more)| Who::Fitting(alternative, which, more)),
    ];
    let rest = (asked.prop_map(AskedNames), any::<bool>(), when.prop_map(Clock));
    (prop::bool::weighted(0.3), client.prop_map(Client), rest)
}

/// The request of a draft under these rules.
pub(crate) fn request(rules: &Rules, draft: &Draft) -> Request {
    let (reenroll, Client(who), (AskedNames(asked), same_key, Clock(when))) = *draft;
    let (place, password) = match who {
        Who::Any(place, password) => (place, password),
        Who::Fitting(alternative, which, more) => {
            fitting(rules, reenroll, alternative, which, more)
        }
    };
    let shown = place.map(shown);
    let password = password.map(|(account, right, second)| {
        let (account, schemes, bound) = ACCOUNTS[account];
        let scheme = schemes[usize::from(second) % schemes.len()];
        Password { scheme, account, bound, right }
    });
    let moved = |time: u64, by: i64| time.checked_add_signed(by).unwrap();
    let at = match (when, &shown) {
        (When::NotBefore(by), Some(shown)) => moved(shown.not_before, by),
        (When::Opens(by), Some(shown)) if shown.not_after < NEVER => moved(opens(rules, shown), by),
        (When::NotAfter(by), Some(shown)) if shown.not_after < NEVER => moved(shown.not_after, by),
        (When::Grace(by), Some(shown)) if shown.not_after < NEVER => {
            moved(shown.not_after + rules.grace_days * DAY, by)
        }
        (When::Fresh, _) => ISSUED + 1,
        _ => ISSUED + 75 * DAY,
    };
    let own =
        shown.as_ref().map(|shown| shown.names.clone()).unwrap_or_else(|| names("CN=none", &[]));
    let wanted = wanted(&rules.names, &own, password.map(|one| one.account));
    let with = |mut names: Names, entry: &str| {
        let san = ["dns:", "ip:", "uri:", "email:"].iter().any(|kind| entry.starts_with(kind));
        if san {
            names.san.push(entry.to_owned())
        } else {
            names.subject = vec![entry.to_owned()]
        }
        names
    };
    let names = match asked {
        Asked::Own => own,
        Asked::OwnInAnotherOrder => Names { san: own.san.into_iter().rev().collect(), ..own },
        Asked::OwnSubject => Names { san: Vec::new(), ..own },
        Asked::OwnAndMore => with(own, "dns:more.plant7.example"),
        Asked::Wanted => wanted,
        Asked::WantedInCapitals => {
            let upper = |one: String| match one.strip_prefix("dns:") {
                Some(name) => format!("dns:{}", name.to_uppercase()),
                None => one,
            };
            Names { san: wanted.san.into_iter().map(upper).collect(), ..wanted }
        }
        Asked::WantedAndMore(entry) => with(wanted, entry),
        Asked::WantedTwice => Names {
            san: wanted.san.iter().flat_map(|one| [one.clone(), one.replace("x7", "y8")]).collect(),
            ..wanted
        },
        Asked::Other => names("CN=somebody,O=Example", &["dns:somebody.plant7.example"]),
        Asked::Nothing => Names::default(),
        Asked::Hostile(entry) => with(wanted, entry),
    };
    Request { reenroll, same_key: same_key && shown.is_some(), shown, password, names, at }
}

/// The certificate and the password of a client that gives all proofs of an alternative.
fn fitting(
    rules: &Rules,
    reenroll: bool,
    alternative: Index,
    which: Index,
    more: bool,
) -> (Option<usize>, Option<(usize, bool, bool)>) {
    let all = if reenroll { &rules.renewal_accept } else { &rules.accept };
    let (mut place, mut password) = (None, more.then_some((3, true, false)));
    for proof in alternative.get(all) {
        let (kind, name) = proof.split_once(':').unwrap_or((proof, ""));
        if kind == "password" {
            let second = *proof == "password:digest-md5";
            password = Some((if name.is_empty() { 1 } else { 3 }, true, second));
            continue;
        }
        let is = |issuer: Issuer| match issuer {
            Issuer::Ours { label, .. } if !name.is_empty() => {
                kind == "certificate" && label == name
            }
            Issuer::Ours { ca, ra, .. } => ca == "default" && (kind == "certificate" || ra > 0),
            Issuer::Makers(all) => all.iter().any(|(maker, _)| *maker == name),
            Issuer::Stranger => false,
        };
        let places: Vec<_> =
            (0..CERTIFICATES.len()).filter(|place| is(CERTIFICATES[*place].0)).collect();
        place = Some(*which.get(&places));
    }
    (place, password)
}

/// The names of a rule with the values that the client has, proven or not.
fn wanted(rule: &NameRule, own: &Names, account: Option<&str>) -> Names {
    let first = |kind: &str| {
        let all = own.subject.iter().chain(&own.san);
        all.clone().find_map(|one| one.strip_prefix(kind)).unwrap_or("none").to_owned()
    };
    let fill = |template: &String| {
        template
            .replace("{*}", "x7")
            .replace("{account}", account.unwrap_or("none"))
            .replace("{manufacturer}", "acme")
            .replace("{idevid.serial}", &first("serialNumber:"))
            .replace("{idevid.cn}", &first("CN:"))
            .replace("{certificate.cn}", &first("CN:"))
            .replace("{certificate.dns}", &first("dns:"))
    };
    match rule.mode {
        "match" | "set" => {
            let Names { subject, san } = rule.templates();
            Names {
                subject: subject.iter().map(fill).collect(),
                san: san.iter().map(fill).collect(),
            }
        }
        _ => own.clone(),
    }
}
