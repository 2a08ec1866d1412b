//! Parts of a name: the text of a template, parsed before any value is known.
//!
//! A template is split into parts at the delimiters that it has itself. A value fills (a piece of)
//! one part and must have the characters of that part, which include no delimiter.

use super::variable::{Proven, Variable};
use crate::types::{Code, Rejection, hidden_character, is_dns_name};

/// A defect of a template: `got …; expected: …`, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    pub(super) text: String,
    pub(super) remedy: String,
}

impl Defect {
    pub(super) fn new(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { text: text.into(), remedy: remedy.into() }
    }
}

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A character that stays.
    Char(char),
    /// `{account}`: a proven value.
    Variable(Variable),
    /// `{*}`: any text that has the form of a value.
    Any,
}

/// The kind of a part, which determines the characters of values in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    /// The value of an attribute of the subject.
    Value,
    /// A DNS label.
    Label,
    /// One or more DNS labels: `{certificate.dns}` alone between dots. Templates only.
    Labels,
    /// A part of a URI's path, query or fragment.
    Uri,
    /// The local part of a mail address.
    Mailbox,
    /// A part without values: scheme, user information, IP address or port of a URI.
    Fixed,
}

/// The form of a text, which determines its delimiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Value,
    Label,
    Dns,
    Uri,
    Email,
}

/// A part of a template or a name, and the delimiter after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamePart {
    pub(super) kind: PartKind,
    pub(super) pieces: Vec<Piece>,
    pub(super) end: Option<char>,
}

/// A part with its values: exact text, or text around any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilledPart {
    kind: PartKind,
    before: String,
    after: Option<String>,
    end: Option<char>,
}

/// Reads `{variable}`, `{*}`, `{{` and `}}` of a template.
pub(super) fn scan(text: &str) -> Result<Vec<Piece>, Defect> {
    if let Some(hidden) = hidden_character(text) {
        return Err(Defect::new(
            format!("got the hidden character {}; expected: visible text", hidden.escape_unicode()),
            "remove the character",
        ));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            pieces.push(Piece::Char(first));
            rest = after;
        } else if first == '{' || first == '}' {
            let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let Some((name, after)) = inner else {
                return Err(Defect::new(
                    format!("got {first:?} alone; expected: a variable such as {{account}}"),
                    format!("write {first}{first} for the character {first}"),
                ));
            };
            pieces.push(match name {
                "*" => Piece::Any,
                _ => Piece::Variable(Variable::named(name).ok_or_else(|| unknown(name))?),
            });
            rest = after;
        } else {
            pieces.push(Piece::Char(first));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(pieces)
}

fn unknown(name: &str) -> Defect {
    const TAG: &str = "device.tag.NAME";
    let all: Vec<&str> = Variable::ALL.map(Variable::as_str).into_iter().chain([TAG]).collect();
    let nearest = all
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        // Half of a short name changed is another word.
        .filter(|(distance, _)| *distance <= 4.min(name.len().div_ceil(2)));
    let remedy = match nearest {
        Some((_, nearest)) => format!("did you mean {{{nearest}}}?"),
        None => "use one of them, or {{ and }} for braces".to_owned(),
    };
    let expected = all.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
    Defect::new(format!("got the variable {{{name}}}; expected: {expected}, or {{*}}"), remedy)
}

/// Splits a text at its delimiters.
pub(super) fn split(syntax: Syntax, pieces: &[Piece]) -> Vec<NamePart> {
    let part = |kind, pieces: &[Piece]| NamePart { kind, pieces: pieces.to_vec(), end: None };
    match syntax {
        Syntax::Value => vec![part(PartKind::Value, pieces)],
        Syntax::Label => vec![part(PartKind::Label, pieces)],
        Syntax::Dns => labels(pieces),
        Syntax::Uri => uri(pieces),
        Syntax::Email => {
            let at = pieces.iter().rposition(|piece| *piece == Piece::Char('@'));
            let (local, domain) = cut(pieces, at);
            let mut out = vec![part(PartKind::Mailbox, local)];
            if let Some(domain) = domain {
                end(&mut out, '@');
                out.extend(labels(domain));
            }
            out
        }
    }
}

/// The pieces before and after this place; none after if there is no such place.
fn cut(pieces: &[Piece], at: Option<usize>) -> (&[Piece], Option<&[Piece]>) {
    match at.and_then(|at| pieces.split_at_checked(at)) {
        Some((before, after)) => (before, after.get(1..)),
        None => (pieces, None),
    }
}

fn end(parts: &mut [NamePart], delimiter: char) {
    if let Some(last) = parts.last_mut() {
        last.end = Some(delimiter);
    }
}

/// Splits at each of these delimiters.
fn split_at(kind: PartKind, pieces: &[Piece], delimiters: &str) -> Vec<NamePart> {
    let mut out = vec![NamePart { kind, pieces: Vec::new(), end: None }];
    for piece in pieces {
        match piece {
            Piece::Char(delimiter) if delimiters.contains(*delimiter) => {
                end(&mut out, *delimiter);
                out.push(NamePart { kind, pieces: Vec::new(), end: None });
            }
            piece => out.iter_mut().last().into_iter().for_each(|last| last.pieces.push(*piece)),
        }
    }
    out
}

fn labels(pieces: &[Piece]) -> Vec<NamePart> {
    let mut out = split_at(PartKind::Label, pieces, ".");
    for part in &mut out {
        if part.pieces == [Piece::Variable(Variable::CertificateDns)] {
            part.kind = PartKind::Labels;
        }
    }
    out
}

/// Splits a URI into its components (RFC 3986 appendix B), the host at dots, and path, query and
/// fragment at every reserved character (section 2.2).
fn uri(pieces: &[Piece]) -> Vec<NamePart> {
    let find = |pieces: &[Piece], wanted: &str| {
        pieces.iter().position(|one| matches!(one, Piece::Char(c) if wanted.contains(*c)))
    };
    let fixed =
        |pieces: &[Piece]| NamePart { kind: PartKind::Fixed, pieces: pieces.to_vec(), end: None };
    let (scheme, rest) = cut(pieces, find(pieces, ":"));
    // Without a scheme it is no URI, which is found when its form is checked.
    let Some(mut rest) = rest else { return split_at(PartKind::Uri, pieces, "/") };
    let mut out = vec![fixed(scheme)];
    end(&mut out, ':');
    if let [Piece::Char('/'), Piece::Char('/'), after @ ..] = rest {
        out.push(fixed(&[Piece::Char('/'), Piece::Char('/')]));
        let length = find(after, "/?#").unwrap_or(after.len());
        let (authority, path) = after.split_at_checked(length).unwrap_or((after, &[]));
        rest = path;
        let at = authority.iter().rposition(|piece| *piece == Piece::Char('@'));
        let host = match cut(authority, at) {
            (user, Some(host)) => {
                out.push(fixed(user));
                end(&mut out, '@');
                host
            }
            (host, None) => host,
        };
        if host.first() == Some(&Piece::Char('[')) {
            out.push(fixed(host));
        } else {
            let (host, port) = cut(host, find(host, ":"));
            out.extend(labels(host));
            if let Some(port) = port {
                end(&mut out, ':');
                out.push(fixed(port));
            }
        }
    }
    out.extend(split_at(PartKind::Uri, rest, ":/?#[]@!$&'()*+,;="));
    out
}

/// Checks the form of a template's parts, before any value is known.
pub(super) fn check_parts(parts: &[NamePart]) -> Result<(), Defect> {
    for part in parts {
        let holes = || part.pieces.iter().filter(|piece| !matches!(piece, Piece::Char(_)));
        if part.kind == PartKind::Fixed && holes().next().is_some() {
            return Err(Defect::new(
                "got a variable or {*} in scheme, user information or port of a URI; expected: one in host, path, query or fragment",
                "write scheme, user information and port as text",
            ));
        }
        if holes().filter(|piece| **piece == Piece::Any).count() > 1 {
            return Err(Defect::new(
                "got {*} twice in one part of a name; expected: once",
                "write one {*} in a DNS label, an attribute value or a part of a URI",
            ));
        }
        let whole = Piece::Variable(Variable::CertificateDns);
        if part.kind == PartKind::Label && part.pieces.contains(&whole) {
            return Err(Defect::new(
                "got {certificate.dns} as a piece of a DNS label; expected: it alone, or between dots",
                "write {certificate.dns} without other characters between the dots: it is a whole DNS name",
            ));
        }
        if part.kind == PartKind::Label
            && part.pieces.contains(&Piece::Char('*'))
            && part.pieces.len() > 1
        {
            return Err(Defect::new(
                "got * as a piece of a DNS label; expected: * as the whole first label",
                "write *.example.com for a wildcard, or {*} for any one label",
            ));
        }
        if holes().next().is_some()
            && let Err(expected) = is_whole(part.kind, &sample(&part.pieces))
        {
            return Err(Defect::new(
                format!("got a part that no value completes; expected: {expected}"),
                "change the text around the variable",
            ));
        }
    }
    Ok(())
}

/// The text of a template with a value in each place that accepts every value, to check its form.
pub(super) fn sample(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Char(character) => out.push(*character),
            Piece::Variable(Variable::CertificateDns) => out.push_str("x.example"),
            // No hexadecimal digit: it must not complete a percent-encoded byte.
            Piece::Variable(_) | Piece::Any => out.push('x'),
        }
    }
    out
}

/// The text of a template with the values that are known, to show it.
pub(super) fn shown(pieces: &[Piece], proven: &Proven) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Char(character) => out.push(*character),
            Piece::Any => out.push_str("{*}"),
            Piece::Variable(variable) => match proven.value(*variable) {
                Some(value) => out.push_str(value),
                None => out.push_str(&variable.to_string()),
            },
        }
    }
    out
}

/// Fills in proven values. `place` is the template for the rejection.
pub(super) fn fill(
    parts: &[NamePart],
    proven: &Proven,
    place: &str,
) -> Result<Vec<FilledPart>, Rejection> {
    let mut out = Vec::new();
    for part in parts {
        if part.kind == PartKind::Labels {
            let name = proven.required(Variable::CertificateDns, place)?;
            if !is_dns_name(name) || name.contains('*') {
                return Err(unfit(Variable::CertificateDns, place, name, "a DNS name"));
            }
            let labels = name.split('.').map(|label| FilledPart {
                kind: PartKind::Label,
                before: label.to_owned(),
                after: None,
                end: Some('.'),
            });
            out.extend(labels);
            out.iter_mut().last().into_iter().for_each(|last| last.end = part.end);
            continue;
        }
        let mut text = String::new();
        let mut before = None;
        let mut filled = None;
        for piece in &part.pieces {
            match piece {
                Piece::Char(character) => text.push(*character),
                Piece::Any => before = Some(std::mem::take(&mut text)),
                Piece::Variable(variable) => {
                    let value = proven.required(*variable, place)?;
                    accepts(part.kind, value)
                        .map_err(|expected| unfit(*variable, place, value, expected))?;
                    text.push_str(value);
                    filled = Some(*variable);
                }
            }
        }
        let (before, after) = match before {
            Some(before) => (before, Some(text)),
            None => (text, None),
        };
        if let (Some(variable), None) = (filled, &after) {
            is_whole(part.kind, &before)
                .map_err(|expected| unfit(variable, place, &before, expected))?;
        }
        out.push(FilledPart { kind: part.kind, before, after, end: part.end });
    }
    Ok(out)
}

/// The rejection of a value, or of the part that it completes.
pub(super) fn unfit(
    variable: Variable,
    place: &str,
    got: &str,
    expected: impl Into<std::borrow::Cow<'static, str>>,
) -> Rejection {
    let rule = format!("the value of {variable} fits its place in {place}");
    Rejection::new(Code::NamesValue, rule, format!("\"{got}\""), expected)
}

/// Checks the characters of a value for a part of this kind. Returns the accepted form.
fn accepts(kind: PartKind, value: &str) -> Result<(), &'static str> {
    let ascii = |others: &[u8]| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
        !value.is_empty() && value.bytes().all(plain)
    };
    let (fits, expected) = match kind {
        PartKind::Value => (
            !value.is_empty()
                && hidden_character(value).is_none()
                && !value.starts_with([' ', '#'])
                && !value.ends_with(' ')
                && !value.contains(['"', '+', ',', ';', '<', '>', '=', '\\', '*']),
            "visible characters without \" + , ; < > = \\ * and without # or a blank at the ends",
        ),
        PartKind::Label => (ascii(b"-"), "letters, digits and hyphens"),
        PartKind::Uri => (
            ascii(b"-._~") && value.len() <= 255,
            "1 to 255 letters, digits and - . _ ~ (RFC 3986 section 2.3)",
        ),
        PartKind::Mailbox => (ascii(b"-._"), "letters, digits and - . _"),
        PartKind::Labels | PartKind::Fixed => (false, "no value"),
    };
    if fits { Ok(()) } else { Err(expected) }
}

/// Checks a part that a value completes. Returns the accepted form.
fn is_whole(kind: PartKind, text: &str) -> Result<(), &'static str> {
    let (fits, expected) = match kind {
        PartKind::Label => (
            (1..=63).contains(&text.len())
                && !text.starts_with('-')
                && !text.ends_with('-')
                // Otherwise a value could turn a label into an A-label (RFC 5890 §2.3.1).
                && text.get(2..4) != Some("--"),
            "a label of 1 to 63 characters, without a hyphen at its ends or in third and fourth place",
        ),
        // A dot-segment is removed when the URI is resolved (RFC 3986 §5.2.4).
        PartKind::Uri => (!matches!(text, "." | ".."), "a part that is not . or .."),
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(expected) }
}

/// The text of filled parts; none if `{*}` is among them.
pub(super) fn exact(parts: &[FilledPart]) -> Option<String> {
    let mut out = String::new();
    for part in parts {
        if part.after.is_some() {
            return None;
        }
        out.push_str(&part.before);
        out.extend(part.end);
    }
    Some(out)
}

/// Whether a text has these parts. `fold`: whether the case of labels and schemes does not count.
pub(super) fn has_parts(text: &str, syntax: Syntax, wanted: &[FilledPart], fold: bool) -> bool {
    let pieces: Vec<Piece> = text.chars().map(Piece::Char).collect();
    let parts = split(syntax, &pieces);
    parts.len() == wanted.len()
        && parts.iter().zip(wanted).enumerate().all(|(position, (part, wanted))| {
            let scheme = syntax == Syntax::Uri && position == 0;
            let fold = fold && (scheme || part.kind == PartKind::Label);
            part.kind == wanted.kind
                && part.end == wanted.end
                && has_text(&sample(&part.pieces), wanted, fold)
        })
}

fn has_text(text: &str, wanted: &FilledPart, fold: bool) -> bool {
    let same = |one: &str, other: &str| {
        if fold { one.eq_ignore_ascii_case(other) } else { one == other }
    };
    let Some(after) = &wanted.after else { return same(text, &wanted.before) };
    let middle = wanted.before.len()..text.len().saturating_sub(after.len());
    match (text.get(..middle.start), text.get(middle.clone()), text.get(middle.end..)) {
        (Some(start), Some(middle), Some(end)) => {
            same(start, &wanted.before)
                && same(end, after)
                && accepts(wanted.kind, middle).is_ok()
                && is_whole(wanted.kind, text).is_ok()
        }
        _ => false,
    }
}

/// The variables among pieces.
pub(super) fn variables(pieces: &[Piece]) -> impl Iterator<Item = Variable> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Variable(variable) => Some(*variable),
        Piece::Char(_) | Piece::Any => None,
    })
}
