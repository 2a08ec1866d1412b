//! Templates of subjects.

use super::{
    part::{self, Defect, FilledPart, NamePart, Piece, Syntax},
    variable::Proven,
};
use crate::pki::{DistinguishedName, SubjectAltName, oid};
use crate::types::{Code, Rejection, SanKind, hidden_character};
use const_oid::ObjectIdentifier;
use std::fmt;

/// A subject with variables inside its values, such as `CN={idevid.serial},O=Example`.
///
/// RDNs and attribute types are those of the template's text (RFC 4514). A value fills a piece of one
/// attribute's value and is never parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectTemplate {
    text: String,
    pieces: Vec<Piece>,
    /// In the order of the certificate.
    rdns: Vec<Vec<SubjectPart>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SubjectPart {
    kind: ObjectIdentifier,
    syntax: Syntax,
    parts: Vec<NamePart>,
}

/// A template with its values, in the order of the certificate.
pub(super) type FilledSubject = Vec<Vec<(ObjectIdentifier, Syntax, Vec<FilledPart>)>>;

/// Placeholders of variables while the text is parsed: private characters, which no template has.
const FIRST: u32 = 0xe000;
const MOST: usize = 1000;

impl SubjectTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, Defect> {
        let pieces = part::scan(text)?;
        let mut holes = Vec::new();
        let mut plain = String::new();
        for piece in &pieces {
            if let Piece::Char(character) = piece {
                plain.push(*character);
                continue;
            }
            let placeholder = u32::try_from(holes.len())
                .ok()
                .and_then(|n| char::from_u32(FIRST + n).filter(|_| holes.len() < MOST));
            let Some(placeholder) = placeholder else {
                return Err(Defect::new(
                    format!("got more than {MOST} variables; expected: fewer"),
                    "write fewer variables",
                ));
            };
            plain.push(placeholder);
            holes.push((placeholder, *piece));
        }
        let name = parse_plain(&plain)?;
        let rdns = name
            .rdns()
            .map(|rdn| {
                let kinds: Vec<_> = rdn.iter().map(|(kind, _)| *kind).collect();
                if kinds
                    .iter()
                    .enumerate()
                    .any(|(at, kind)| kinds.iter().skip(at + 1).any(|other| other == kind))
                {
                    return Err(Defect::new(
                        "got one attribute type twice between commas; expected: types that differ",
                        "separate the attributes by a comma",
                    ));
                }
                rdn.into_iter().map(|(kind, value)| attribute(kind, value, &mut holes)).collect()
            })
            .collect::<Result<_, _>>()?;
        // A variable that is left over was consumed by an escape or a type.
        if !holes.is_empty() {
            return Err(not_a_name());
        }
        Ok(Self { text: text.to_owned(), pieces, rdns })
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Fills in proven values.
    pub(super) fn fill(&self, proven: &Proven) -> Result<FilledSubject, Rejection> {
        let attribute = |one: &SubjectPart| {
            let parts = part::fill(&one.parts, proven, &self.text)?;
            if let Some(value) = part::exact(&parts) {
                check_value(one.kind, one.syntax, &value).map_err(|(got, expected)| {
                    let rule = format!("the values of {} fit their places", self.text);
                    Rejection::new(Code::NamesValue, rule, got, expected)
                })?;
            }
            Ok((one.kind, one.syntax, parts))
        };
        self.rdns.iter().map(|rdn| rdn.iter().map(attribute).collect()).collect()
    }

    /// The text with the values that are proven.
    pub(super) fn shown(&self, proven: &Proven) -> String {
        part::shown(&self.pieces, proven)
    }
}

/// The text as the operator wrote it.
impl fmt::Display for SubjectTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Builds the name that a template without `{*}` gives.
pub(super) fn build(filled: &FilledSubject) -> Option<DistinguishedName> {
    let attribute = |(kind, _, parts): &(ObjectIdentifier, Syntax, Vec<FilledPart>)| {
        part::exact(parts).map(|value| (*kind, value))
    };
    let rdns: Option<Vec<Vec<_>>> =
        filled.iter().map(|rdn| rdn.iter().map(attribute).collect()).collect();
    DistinguishedName::of_rdns(&rdns?).ok().filter(|name| name.check_as_subject().is_ok())
}

/// Whether a name has the RDNs, types and values of a template. The string type of a value does not
/// count, case does (D-08).
pub(super) fn matches(filled: &FilledSubject, name: &DistinguishedName) -> bool {
    let rdns = name.rdns();
    rdns.len() == filled.len()
        && rdns.zip(filled).all(|(rdn, wanted)| {
            rdn.len() == wanted.len()
                && wanted.iter().all(|(kind, syntax, parts)| {
                    rdn.iter().any(|(one, value)| {
                        one == kind
                            && value
                                .is_some_and(|text| part::has_parts(text, *syntax, parts, false))
                    })
                })
        })
}

fn not_a_name() -> Defect {
    Defect::new(
        "got a text that is no subject; expected: TYPE=value, separated by commas (RFC 4514), variables only in values",
        "write it as in CN={idevid.serial},O=Example",
    )
}

/// Parses a text in which placeholders replace the variables. Accepts less than the library: its
/// escapes of backslashes, and separators that it reads as text.
fn parse_plain(plain: &str) -> Result<DistinguishedName, Defect> {
    let mut clean = String::with_capacity(plain.len());
    let (mut escaped, mut at_start, mut after_equals) = (false, true, false);
    for character in plain.chars() {
        if at_start && character == ' ' {
            continue;
        }
        if escaped && character == '\\' || !escaped && "\";<>".contains(character) {
            return Err(Defect::new(
                format!(
                    "got {character} in a subject; expected: a value without it, or escaped (RFC 4514 section 2.4)"
                ),
                match character {
                    '\\' => "write the subject without a backslash in a value".to_owned(),
                    _ => format!(
                        "separate attributes by commas; write \\{character} for the character itself"
                    ),
                },
            ));
        }
        if after_equals && !escaped && character == '#' {
            return Err(Defect::new(
                "got a value in hexadecimal digits; expected: text",
                "write the value as text, with \\# for a # at its start",
            ));
        }
        after_equals = !escaped && character == '=';
        at_start = !escaped && matches!(character, ',' | '+');
        escaped = !escaped && character == '\\';
        clean.push(character);
    }
    if clean.is_empty() || escaped {
        return Err(not_a_name());
    }
    DistinguishedName::from_text(&clean).map_err(|_| not_a_name())
}

/// Reads the value of one attribute, and removes its variables from `holes`.
fn attribute(
    kind: ObjectIdentifier,
    value: Option<&str>,
    holes: &mut Vec<(char, Piece)>,
) -> Result<SubjectPart, Defect> {
    let mut pieces = Vec::new();
    for character in value.ok_or_else(not_a_name)?.chars() {
        match holes.iter().position(|(placeholder, _)| *placeholder == character) {
            Some(place) => pieces.push(holes.remove(place).1),
            None => pieces.push(Piece::Char(character)),
        }
    }
    let syntax = match kind {
        oid::DOMAIN_COMPONENT => Syntax::Label,
        oid::EMAIL_ADDRESS => Syntax::Email,
        _ => Syntax::Value,
    };
    let parts = part::split(syntax, &pieces);
    part::check_parts(&parts)?;
    let blank = Piece::Char(' ');
    if pieces.first() == Some(&blank) || pieces.last() == Some(&blank) {
        return Err(Defect::new(
            "got a value with a blank at its start or end; expected: a value without it",
            "remove the blank",
        ));
    }
    let sample = match pieces.as_slice() {
        [Piece::Any] if kind == oid::COUNTRY => "XX".to_owned(),
        pieces => part::sample(pieces),
    };
    if let Some(hidden) = hidden_character(&sample) {
        return Err(Defect::new(
            format!("got the hidden character {}; expected: visible text", hidden.escape_unicode()),
            "remove the character",
        ));
    }
    check_value(kind, syntax, &sample).map_err(|(_, expected)| {
        let written = part::shown(&pieces, &Proven::new());
        Defect::new(
            format!("got the value {written:?}; expected: {expected}"),
            "correct the text around the variables, or the attribute type",
        )
    })?;
    Ok(SubjectPart { kind, syntax, parts })
}

/// Checks a value for an attribute of this type. Returns the received and the accepted values.
fn check_value(
    kind: ObjectIdentifier,
    syntax: Syntax,
    value: &str,
) -> Result<(), (String, String)> {
    let mut checked = DistinguishedName::check_value(kind, value);
    if checked.is_ok() && syntax == Syntax::Email {
        checked = SubjectAltName::of_entries(&[(SanKind::Email, value.into())])
            .and_then(|san| san.check(&[SanKind::Email]));
    }
    checked.map_err(|error| {
        let rejection = error.rejection();
        (rejection.got.clone(), rejection.expected.clone().into_owned())
    })
}
