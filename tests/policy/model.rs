//! The verdict on a request, and the names of its certificate, computed from the words of est.toml and of
//! the decisions alone: 300 lines at most, which call nothing of the server.

use crate::words::*;
use std::collections::BTreeSet;

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// A certificate with these names.
    Issued(Names),
    /// The status; the code of the first broken rule, empty where the documents leave it open.
    Rejected(u16, &'static str),
}

const fn rejected<T>(status: u16, code: &'static str) -> Result<T, Verdict> {
    Err(Verdict::Rejected(status, code))
}

pub(crate) fn verdict(rules: &Rules, request: &Request) -> Verdict {
    let names = Client::of(rules, request).and_then(|client| client.names());
    names.map_or_else(|rejection| rejection, Verdict::Issued)
}

/// When a certificate can be renewed at the earliest (D-39).
pub(crate) fn opens(rules: &Rules, shown: &Shown) -> u64 {
    let lifetime = shown.not_after - shown.not_before;
    match rules.window {
        Window::Percent(left) => shown.not_before + lifetime * (100 - left) / 100,
        Window::Days(days) => shown.not_before.max(shown.not_after.saturating_sub(days * DAY)),
    }
}

/// A client: its certificate, if it is accepted, and the proofs that hold.
struct Client<'a> {
    rules: &'a Rules,
    request: &'a Request,
    shown: Option<&'a Shown>,
    password: Option<Password>,
    proofs: BTreeSet<&'static str>,
    renews_only: bool,
    /// The status of a rejection that does not apply to a client with a password (D-41).
    without_password: u16,
}

impl<'a> Client<'a> {
    fn of(rules: &'a Rules, request: &'a Request) -> Result<Self, Verdict> {
        let (shown, password, proofs) = (None, None, BTreeSet::new());
        let (renews_only, without_password) = (false, 403);
        let mut client =
            Client { rules, request, shown, password, proofs, renews_only, without_password };
        let requested = !request.reenroll;
        let first = rules.accept.iter().filter(|_| requested).map(|all| (all, true));
        let renewal = rules.renewal_accept.iter().map(|all| (all, false));
        // A certificate does not count beside a password where nothing else enrolls.
        let by_password = requested && request.password.is_some();
        let ignored = by_password && rules.accept.iter().flatten().all(is_password);
        let shown = request.shown.as_ref().filter(|_| !ignored);
        let early = shown.filter(|one| request.at < one.not_before && one.by != Issuer::Stranger);
        client.shown = shown.filter(|shown| early.is_none() && client.is_trusted(shown));
        let failed = |status| match early {
            Some(_) => rejected(503, "auth.not-yet-valid"),
            None => rejected(status, ""),
        };
        let holds = |proof: &str, first| is_password(&proof) || client.holds(proof, first);
        let open = |(all, first): &(&Vec<&str>, bool)| all.iter().all(|one| holds(one, *first));
        let open: Vec<_> = first.chain(renewal).filter(open).collect();
        if open.is_empty() {
            return failed(403);
        }
        let mut schemes = open.iter().flat_map(|(all, _)| *all).filter(|one| is_password(one));
        if let Some(password) = request.password
            && schemes.clone().next().is_some()
        {
            let usable = password.right && password.bound.is_none_or(|label| label == "here");
            if !(usable && schemes.any(|scheme| *scheme == password.scheme)) {
                return rejected(401, "");
            }
            client.password = Some(password);
        }
        let scheme = client.password.map_or("", |password| password.scheme);
        let given = |proof: &&str| !is_password(proof) || scheme == *proof;
        let (complete, partial): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|(all, _)| all.iter().all(given));
        if complete.is_empty() {
            return failed(401);
        }
        if scheme.is_empty() && partial.iter().any(|(_, first)| *first == requested) {
            client.without_password = 401;
        }
        client.renews_only = !complete.iter().any(|(_, first)| *first);
        let proofs = complete.iter().filter(|(_, first)| *first == requested);
        client.proofs = proofs.flat_map(|(all, _)| all.iter().copied()).collect();
        Ok(client)
    }

    /// Whether a certificate counts for anything, be it for its renewal (grace, D-36).
    fn is_trusted(&self, shown: &Shown) -> bool {
        let (at, end) = (self.request.at, shown.not_after);
        match shown.by {
            Issuer::Stranger | Issuer::Ours { record: Record::Revoked, .. } => false,
            Issuer::Makers(all) => at <= end && all.iter().any(|(_, crl)| *crl == Record::Good),
            Issuer::Ours { record: Record::Good, .. } => at <= end + self.rules.grace_days * DAY,
            Issuer::Ours { record: Record::Missing, ca, .. } => {
                let until = self.rules.unknown_until.unwrap_or(0);
                at <= end && ca == "default" && at < until
            }
        }
    }

    /// Whether the certificate is this proof; `first`: for an enrollment, not only for its renewal.
    fn holds(&self, proof: &str, first: bool) -> bool {
        let Some(shown) = self.shown else { return false };
        let (kind, name) = proof.split_once(':').unwrap_or((proof, ""));
        match (kind, shown.by) {
            _ if first && self.request.at > shown.not_after => false,
            ("certificate", Issuer::Ours { ca, label, record, .. }) => match name {
                "" => ca == "default" && (record == Record::Good || !first),
                name => record == Record::Good && label == name,
            },
            ("manufacturer", Issuer::Makers(all)) => all.contains(&(name, Record::Good)),
            ("ra", _) => self.is_ra(),
            _ => false,
        }
    }

    /// Whether the certificate is that of an RA which the label accepts (D-34).
    fn is_ra(&self) -> bool {
        let accepted = self.rules.accept.iter().flatten().any(|proof| *proof == "ra");
        let number = match self.shown.map(|one| one.by) {
            Some(Issuer::Ours { ca: "default", record: Record::Good, ra, .. }) => ra,
            _ => 0,
        };
        accepted && (number == 1 || number > 1 && !self.rules.pinned)
    }

    /// The names of the certificate, once every rule has passed.
    fn names(&self) -> Result<Names, Verdict> {
        let Self { rules, request, .. } = *self;
        let renewed = self.renewed();
        if self.renews_only && renewed.is_none() {
            return rejected(self.without_password, "");
        }
        let names = self.named(renewed.is_some())?;
        let Some(shown) = self.shown else { return usable(names) };
        if (self.is_unknown() || request.reenroll) && !request.names.same_as(&shown.names) {
            return rejected(403, "reenroll.identity");
        }
        let of_maker = matches!(shown.by, Issuer::Makers(_)) && !rules.idevid_key;
        match (renewed, rules.key, request.same_key) {
            (Some(_), "new", true) => rejected(403, "reenroll.key-reuse"),
            (Some(_), "same", false) => rejected(403, "reenroll.key-change"),
            (None, _, true) if of_maker => rejected(403, "enroll.idevid-key"),
            (Some(one), ..) if request.at < opens(rules, one) => rejected(403, "renewal.early"),
            _ => usable(names),
        }
    }

    fn is_unknown(&self) -> bool {
        matches!(self.shown.map(|one| one.by), Some(Issuer::Ours { record: Record::Missing, .. }))
    }

    /// The certificate that the request renews, whatever the operation (D-32).
    fn renewed(&self) -> Option<&'a Shown> {
        let any = !self.rules.is_proof
            && self.rules.accept.iter().flatten().any(|one| *one == "certificate");
        let named = self.proofs.iter().any(|proof| proof.starts_with("certificate:"));
        let renews = |shown: &&Shown| {
            let Issuer::Ours { ca: "default", label, .. } = shown.by else { return false };
            let own = label == "here" && !self.is_unknown();
            let asked = (own || !named) && shown.names.same_as(&self.request.names);
            (own || any) && (asked || self.is_unknown() || self.request.reenroll)
        };
        self.shown.filter(renews)
    }

    /// The names by the label's rule; a renewal keeps its names unless the label sets them.
    fn named(&self, renews: bool) -> Result<Names, Verdict> {
        let (rule, names) = (&self.rules.names, &self.request.names);
        let first = !self.request.reenroll && self.password.is_none() && !self.is_ra();
        match (rule.mode, self.shown) {
            _ if self.is_unknown() => {}
            ("own", Some(shown)) if first => {
                let own = |entry| shown.names.san.contains(entry);
                if shown.names.subject != names.subject || !names.san.iter().all(own) {
                    return rejected(self.without_password, "enroll.names");
                }
            }
            ("match", _) if !renews => self.check(names).or_else(|code| rejected(403, code))?,
            ("set", _) => match self.filled(&rule.templates()) {
                Ok(names) => return Ok(names),
                Err(_) if renews => {}
                Err(code) => return rejected(403, code),
            },
            _ => {}
        }
        Ok(names.clone())
    }

    /// The value of a variable, if it is proven and there is one.
    fn value(&self, variable: &str) -> Option<String> {
        let (source, field) = variable.split_once('.').unwrap_or((variable, ""));
        let proofs = || self.proofs.iter().copied();
        let makers = proofs().filter_map(|one| one.strip_prefix("manufacturer:"));
        let own = |proof: &str| proof == "ra" || proof.starts_with("certificate");
        let proven = match source {
            "account" => proofs().any(|proof| is_password(&proof)),
            "certificate" => proofs().any(own) || self.renewed().is_some(),
            _ => makers.clone().next().is_some(),
        };
        let of = |kind: &str| {
            let names = self.shown.map(|shown| shown.names.clone()).unwrap_or_default();
            let all = names.subject.into_iter().chain(names.san);
            all.filter_map(|one| one.strip_prefix(kind).map(str::to_owned)).collect()
        };
        let all: Vec<String> = match (source, field) {
            _ if !proven => Vec::new(),
            ("account", _) => self.password.iter().map(|one| one.account.to_owned()).collect(),
            ("manufacturer", _) => makers.map(str::to_owned).collect(),
            (_, "dns") => of("dns:"),
            (_, "serial") => of("serialNumber:"),
            _ => of("CN:"),
        };
        <[String; 1]>::try_from(all).ok().map(|[one]| one)
    }

    /// Fills a template; ANY stays where it has `{*}`.
    fn fill(&self, template: &str) -> Result<String, &'static str> {
        let (kind, mut rest) = template.split_once(':').unwrap();
        let mut out = format!("{kind}:");
        while let Some((before, hole)) = rest.split_once('{') {
            let (variable, after) = hole.split_once('}').unwrap();
            out += before;
            rest = after;
            let value = match variable {
                "*" => Some(ANY.to_owned()),
                "certificate.dns" => self.value(variable).filter(|value| !value.contains('*')),
                _ => self.value(variable).filter(|value| fits(kind, value)),
            };
            out += &value.ok_or("names.value")?;
        }
        Ok(out + rest)
    }

    fn filled(&self, templates: &Names) -> Result<Names, &'static str> {
        let fill = |all: &[String]| all.iter().map(|one| self.fill(one)).collect::<Result<_, _>>();
        Ok(Names { subject: fill(&templates.subject)?, san: fill(&templates.san)? })
    }

    /// `match`: exactly the names of the rule.
    fn check(&self, names: &Names) -> Result<(), &'static str> {
        let wanted = self.filled(&self.rules.names.templates())?;
        let allowed = self.filled(&self.rules.names.allowed())?.san;
        let subject = wanted.subject.iter().zip(&names.subject).all(|(one, got)| is_like(one, got))
            && wanted.subject.len() == names.subject.len();
        let may = |entry: &String| allowed.iter().any(|one| is_like(one, entry));
        let place = |entry: &String| wanted.san.iter().position(|one| is_like(one, entry));
        let known = names.san.iter().all(|entry| place(entry).is_some() || may(entry));
        let once = |number| {
            let met = || names.san.iter().filter(|entry| place(entry) == Some(number));
            met().count() > 0 && met().filter(|entry| !may(entry)).count() < 2
        };
        let fits = subject && known && (0..wanted.san.len()).all(once);
        if fits { Ok(()) } else { Err("names.match") }
    }
}

/// Whether a value has the characters of its place.
fn fits(kind: &str, value: &str) -> bool {
    let plain = |others| move |c: char| c.is_ascii_alphanumeric() || str::contains(others, c);
    let hidden = |c: char| c.is_control() || c == '\u{202e}' || "\"+,;<>=\\*".contains(c);
    !value.is_empty()
        && match kind {
            "dns" => value.chars().all(plain("-")),
            "uri" => value.chars().all(plain("-._~")),
            "email" => value.chars().all(plain("-._")),
            _ => !value.starts_with([' ', '#']) && !value.ends_with(' ') && !value.contains(hidden),
        }
}

/// Whether a name is the one of a template, or matches its `{*}` or network.
fn is_like(wanted: &str, got: &str) -> bool {
    let fold =
        |text: &str| if text.starts_with("dns:") { text.to_lowercase() } else { text.to_owned() };
    let (wanted, got) = (fold(wanted), fold(got));
    if let Some(network) = wanted.strip_suffix(".0.0.0/8") {
        return got.strip_prefix(network).is_some_and(|rest| rest.starts_with('.'));
    }
    let Some((before, after)) = wanted.split_once(ANY) else { return wanted == got };
    let (middle, kind) = (got.strip_prefix(before), before.split(':').next().unwrap());
    let middle = middle.and_then(|rest| rest.strip_suffix(after));
    middle.is_some_and(|middle| fits(kind, middle)) && !MALFORMED.contains(&got.as_str())
}

/// Checks that a certificate may have these names.
fn usable(names: Names) -> Result<Names, Verdict> {
    let mut all = names.subject.iter().chain(&names.san);
    let fits = names != Names::default() && !all.any(|one| MALFORMED.contains(&one.as_str()));
    if fits { Ok(names) } else { rejected(400, "") }
}
