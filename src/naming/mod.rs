//! Rules about the names in a certificate: one rule states subject and subjectAltName together.
//!
//! A template is parsed when the configuration is read. Then its RDNs, attribute types, DNS labels and
//! URI parts are fixed. A proven value fills a piece of one of them and is never parsed; a value that
//! does not fit is rejected. Plain values, no I/O.

mod part;
mod san;
mod subject;
#[cfg(test)]
mod tests;
mod variable;

pub use san::SanTemplate;
pub use subject::SubjectTemplate;
pub use variable::{Proven, Variable, VariableSource};

use crate::pki::{DistinguishedName, SubjectAltName, san::Entry};
use crate::types::{Code, Rejection};
use part::{Defect, Piece};
use std::{collections::BTreeSet, fmt};

/// The key `mode` of the names' rule: where the names of a certificate are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameMode {
    /// The CSR requests the names of the client's certificate.
    Own,
    /// The CSR requests any names.
    Any,
    /// The CSR requests exactly the names that the templates give.
    Match,
    /// The certificate has the names that the templates give; those of the CSR are not used.
    Set,
}

impl NameMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Own, Self::Any, Self::Match, Self::Set];

    /// Its word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Any => "any",
            Self::Match => "match",
            Self::Set => "set",
        }
    }
}

impl fmt::Display for NameMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rule about the names of a label's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameRules {
    /// The CSR requests the names of the client's certificate.
    Own,
    /// The CSR requests any names.
    Any,
    /// The CSR requests exactly the names that match.
    Match(NamePattern),
    /// The certificate has the names of the template.
    Set(NameTemplate),
}

/// The names that a CSR may request: a subject, entries that it must have, and entries that it may
/// have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    subject: Option<SubjectTemplate>,
    san: Vec<SanTemplate>,
    allow_san: Vec<SanTemplate>,
}

/// The names that a certificate gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate {
    subject: Option<SubjectTemplate>,
    san: Vec<SanTemplate>,
}

/// An error in the rule about names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The key: `subject`, `san` or `allow_san`.
    pub key: &'static str,
    /// The value, as the operator wrote it; none for a key that is missing.
    pub value: Option<String>,
    /// The error: `got …; expected: …`.
    pub text: String,
    /// The remedy.
    pub remedy: String,
}

impl TemplateError {
    fn of(key: &'static str, value: &str, defect: Defect) -> Self {
        let Defect { text, remedy } = defect;
        Self { key, value: Some(value.to_owned()), text, remedy }
    }
}

impl NameRules {
    /// Reads the values of the keys `subject`, `san` and `allow_san`.
    ///
    /// # Errors
    /// Every error of the rule.
    pub fn parse(
        mode: NameMode,
        subject: Option<&str>,
        san: &[String],
        allow_san: &[String],
    ) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let mut unused = |key, value: Option<&str>, expected: &str| {
            errors.extend(value.map(|value| TemplateError {
                key,
                value: Some(value.to_owned()),
                text: format!("got {key} with mode = \"{mode}\"; expected: {expected}"),
                remedy: format!("remove {key}, or set mode = \"match\""),
            }));
        };
        let first = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
        if matches!(mode, NameMode::Own | NameMode::Any) {
            let expected = "templates only with mode = \"match\" or \"set\"";
            unused("subject", subject, expected);
            unused("san", first(san).as_deref(), expected);
        }
        if mode != NameMode::Match {
            let expected = "entries that a CSR may have only with mode = \"match\"";
            unused("allow_san", first(allow_san).as_deref(), expected);
        }
        match mode {
            NameMode::Own | NameMode::Any if !errors.is_empty() => return Err(errors),
            NameMode::Own => return Ok(Self::Own),
            NameMode::Any => return Ok(Self::Any),
            NameMode::Match | NameMode::Set => {}
        }
        if subject.is_none() && san.is_empty() {
            errors.push(TemplateError {
                key: "subject",
                value: None,
                text: format!(
                    "got no names with mode = \"{mode}\"; expected: subject, san or both"
                ),
                remedy: "write the subject, as in subject = \"CN={idevid.serial}\"".to_owned(),
            });
        }
        let patterns = mode == NameMode::Match;
        let subject = subject.and_then(|text| {
            let parsed = SubjectTemplate::parse(text).and_then(|template| {
                if patterns || !template.pieces().contains(&Piece::Any) {
                    return Ok(template);
                }
                Err(no_pattern())
            });
            parsed.map_err(|defect| errors.push(TemplateError::of("subject", text, defect))).ok()
        });
        let san = entries("san", san, patterns, &mut errors);
        let allow_san = match mode {
            NameMode::Match => entries("allow_san", allow_san, patterns, &mut errors),
            _ => Vec::new(),
        };
        match mode {
            _ if !errors.is_empty() => Err(errors),
            NameMode::Match => Ok(Self::Match(NamePattern { subject, san, allow_san })),
            _ => Ok(Self::Set(NameTemplate { subject, san })),
        }
    }

    /// Its mode.
    #[must_use]
    pub const fn mode(&self) -> NameMode {
        match self {
            Self::Own => NameMode::Own,
            Self::Any => NameMode::Any,
            Self::Match(_) => NameMode::Match,
            Self::Set(_) => NameMode::Set,
        }
    }

    /// The variables that it uses.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<Variable> {
        let (subject, san, allow_san): (_, &[_], &[_]) = match self {
            Self::Own | Self::Any => return BTreeSet::new(),
            Self::Match(names) => (&names.subject, &names.san, &names.allow_san),
            Self::Set(names) => (&names.subject, &names.san, &[]),
        };
        let of_subject = subject.iter().flat_map(|one| part::variables(one.pieces()));
        let of_san = san.iter().chain(allow_san).flat_map(|one| part::variables(one.pieces()));
        of_subject.chain(of_san).collect()
    }
}

fn no_pattern() -> Defect {
    Defect::new(
        "got a pattern with mode = \"set\"; expected: one name, of text and variables",
        "write one name without {*} and /BITS, or set mode = \"match\"",
    )
}

/// Reads a list of entries, each written once.
fn entries(
    key: &'static str,
    texts: &[String],
    patterns: bool,
    errors: &mut Vec<TemplateError>,
) -> Vec<SanTemplate> {
    let mut out: Vec<SanTemplate> = Vec::new();
    for text in texts {
        let parsed = SanTemplate::parse(text).and_then(|template| {
            if !patterns && template.is_pattern() {
                return Err(no_pattern());
            }
            match out.iter().any(|other| other.same_as(&template)) {
                false => Ok(template),
                true => Err(Defect::new(
                    format!("got {text:?} twice; expected: each entry once"),
                    "remove one of them",
                )),
            }
        });
        match parsed {
            Ok(template) => out.push(template),
            Err(defect) => errors.push(TemplateError::of(key, text, defect)),
        }
    }
    out
}

impl NamePattern {
    /// Checks that a CSR requests exactly these names.
    ///
    /// - The subject has the RDNs, types and values of the template; without a template it is empty.
    /// - Each entry of `san` is met by exactly one entry of the CSR. An entry of the CSR belongs to the
    ///   first one that it matches.
    /// - Further entries of the CSR match an entry of `allow_san`.
    ///
    /// # Errors
    /// [`Code::NamesValue`] if a value is not proven or does not fit; [`Code::NamesMatch`] if a name
    /// does not match.
    pub fn check(
        &self,
        proven: &Proven,
        subject: &DistinguishedName,
        san: Option<&SubjectAltName>,
    ) -> Result<(), Rejection> {
        let filled =
            self.subject.iter().map(|one| one.fill(proven)).collect::<Result<Vec<_>, _>>()?;
        let fill = |templates: &[SanTemplate]| {
            templates.iter().map(|one| one.fill(proven)).collect::<Result<Vec<_>, _>>()
        };
        let (wanted, allowed) = (fill(&self.san)?, fill(&self.allow_san)?);
        let same = match filled.first() {
            Some(filled) => subject::matches(filled, subject),
            None => subject.is_empty(),
        };
        if !same {
            let got = match subject.is_empty() {
                true => "an empty subject".to_owned(),
                false => format!("subject {subject}"),
            };
            let expected = match &self.subject {
                Some(template) => format!("subject {}", template.shown(proven)),
                None => "an empty subject".to_owned(),
            };
            return Err(mismatch("the subject is that of the label's rule", got, expected));
        }
        let entries = san.map(SubjectAltName::entries).unwrap_or_default();
        // The entries of the CSR that belong to each of `san`.
        let mut met: Vec<Vec<&Entry>> = vec![Vec::new(); wanted.len()];
        let is_allowed = |entry: &Entry| allowed.iter().any(|one| one.matches(entry));
        for entry in entries {
            let place = wanted.iter().position(|one| one.matches(entry));
            match place.and_then(|place| met.get_mut(place)) {
                Some(list) => list.push(entry),
                None if is_allowed(entry) => {}
                None => {
                    let shown: Vec<_> =
                        wanted.iter().chain(&allowed).map(|one| one.shown.as_str()).collect();
                    let expected = match shown.is_empty() {
                        true => "no subjectAltName".to_owned(),
                        false => format!("entries that match {}", shown.join(", ")),
                    };
                    let rule = "each entry of subjectAltName matches one of the label's rule";
                    return Err(mismatch(rule, &entry.text, expected));
                }
            }
        }
        for (wanted, met) in wanted.iter().zip(&met) {
            // One of them meets `wanted`; the others need a permission of their own.
            let others = met.iter().filter(|entry| !is_allowed(entry)).count();
            if met.is_empty() {
                let got = match san {
                    Some(san) => format!("only {}", san.texts().join(", ")),
                    None => "no subjectAltName".to_owned(),
                };
                let rule = "subjectAltName has each entry that the label's rule demands";
                return Err(mismatch(rule, got, format!("an entry that matches {}", wanted.shown)));
            }
            if others > 1 {
                let texts: Vec<_> = met.iter().map(|entry| entry.text.as_str()).collect();
                let got = format!("{} entries: {}", met.len(), texts.join(", "));
                let rule = "subjectAltName has each entry of the label's rule once";
                return Err(mismatch(
                    rule,
                    got,
                    format!("one entry that matches {}", wanted.shown),
                ));
            }
        }
        Ok(())
    }

    /// The names that it accepts from this client, as text: the subject, then the entries that the CSR
    /// must have, then those that it may have. A variable without a value stays.
    #[must_use]
    pub fn texts(&self, proven: &Proven) -> NameTexts {
        NameTexts::of(&self.subject, &self.san, &self.allow_san, proven)
    }
}

impl NameTemplate {
    /// Builds the names of a certificate: the subject, which may be empty, and the subjectAltName.
    /// Entries that become equal are one.
    ///
    /// # Errors
    /// [`Code::NamesValue`] if a value is not proven or does not fit.
    pub fn names(
        &self,
        proven: &Proven,
    ) -> Result<(DistinguishedName, Option<SubjectAltName>), Rejection> {
        // A name of checked values can be built.
        let broken = || {
            let rule = "the names of the label's rule can be in a certificate (RFC 5280 section 4)";
            Rejection::new(Code::NamesValue, rule, self.texts(proven), "shorter or other values")
        };
        let subject = match &self.subject {
            Some(template) => subject::build(&template.fill(proven)?).ok_or_else(broken)?,
            None => DistinguishedName::of_rdns(&[]).map_err(|_| broken())?,
        };
        let mut entries = Vec::new();
        for template in &self.san {
            let content = template.fill(proven)?.content().ok_or_else(broken)?;
            if !entries.contains(&content) {
                entries.push(content);
            }
        }
        if entries.is_empty() {
            return Ok((subject, None));
        }
        let kinds: Vec<_> = entries.iter().map(|(kind, _)| *kind).collect();
        let san = SubjectAltName::of_entries(&entries).map_err(|_| broken())?;
        san.check(&kinds).map_err(|_| broken())?;
        Ok((subject, Some(san)))
    }

    /// The names that it gives to this client, as text. A variable without a value stays.
    #[must_use]
    pub fn texts(&self, proven: &Proven) -> NameTexts {
        NameTexts::of(&self.subject, &self.san, &[], proven)
    }
}

/// The names of a rule as text, with the values that are proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTexts {
    /// The subject; none for an empty one.
    pub subject: Option<String>,
    /// The entries of subjectAltName that the CSR or the certificate has.
    pub san: Vec<String>,
    /// The entries that the CSR may have.
    pub allow_san: Vec<String>,
}

impl NameTexts {
    fn of(
        subject: &Option<SubjectTemplate>,
        san: &[SanTemplate],
        allow_san: &[SanTemplate],
        proven: &Proven,
    ) -> Self {
        let texts = |list: &[SanTemplate]| list.iter().map(|one| one.shown(proven)).collect();
        Self {
            subject: subject.as_ref().map(|one| one.shown(proven)),
            san: texts(san),
            allow_san: texts(allow_san),
        }
    }
}

/// On one line: `subject CN=1; san dns:1.example; may have ip:10.0.0.0/8`.
impl fmt::Display for NameTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Some(subject) => write!(f, "subject {subject}")?,
            None => f.write_str("an empty subject")?,
        }
        for (what, list) in [("san", &self.san), ("may have", &self.allow_san)] {
            if !list.is_empty() {
                write!(f, "; {what} {}", list.join(", "))?;
            }
        }
        Ok(())
    }
}

fn mismatch(rule: &'static str, got: impl fmt::Display, expected: String) -> Rejection {
    Rejection::new(Code::NamesMatch, rule, got, expected)
}
