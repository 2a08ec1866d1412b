//! A rule: its id, its text, and a function that checks it.

use super::{
    RuleKept,
    view::{CertificateView, CrlView, EitherView, EntryView},
};
use std::fmt;

/// A rule of the linter.
#[derive(Clone, Copy)]
pub struct LintRule {
    /// Its stable id: the document, its section, and a word, such as
    /// `rfc5280.4.1.2.2.serial-positive`.
    pub id: &'static str,
    /// The rule in one sentence.
    pub text: &'static str,
    pub(super) check: LintCheck,
}

impl LintRule {
    /// The structures that it is about, for documents.
    #[must_use]
    pub const fn applies_to(&self) -> &'static str {
        match self.check {
            LintCheck::ByParser(of) => of,
            LintCheck::Either(_) => "both",
            LintCheck::Certificate(_) => "certificate",
            LintCheck::Crl(_) | LintCheck::Entry(_) => "CRL",
        }
    }
}

impl fmt::Debug for LintRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// The part that a rule is about.
#[derive(Clone, Copy)]
pub(super) enum LintCheck {
    /// The parser finds it, in these structures.
    ByParser(&'static str),
    Either(fn(&EitherView<'_>) -> RuleKept),
    Certificate(fn(&CertificateView<'_>) -> RuleKept),
    Crl(fn(&CrlView<'_>) -> RuleKept),
    /// Each of the revoked certificates; the error is the field in it.
    Entry(fn(&EntryView<'_>) -> Result<(), &'static str>),
}

impl LintCheck {
    pub(super) fn of_certificate(self, view: &CertificateView<'_>) -> RuleKept {
        match self {
            Self::Either(check) => check(&view.either),
            Self::Certificate(check) => check(view),
            Self::ByParser(_) | Self::Crl(_) | Self::Entry(_) => Ok(()),
        }
    }

    pub(super) fn of_crl(self, view: &CrlView<'_>) -> RuleKept {
        match self {
            Self::Either(check) => check(&view.either),
            Self::Crl(check) => check(view),
            Self::Entry(check) => view
                .entries
                .iter()
                .flatten()
                .try_for_each(|entry| check(entry).map_err(|field| entry.field(field))),
            Self::ByParser(_) | Self::Certificate(_) => Ok(()),
        }
    }
}

/// A rule about both structures.
pub(super) const fn either(
    id: &'static str,
    text: &'static str,
    check: fn(&EitherView<'_>) -> RuleKept,
) -> LintRule {
    LintRule { id, text, check: LintCheck::Either(check) }
}

/// A rule about certificates.
pub(super) const fn of_certificate(
    id: &'static str,
    text: &'static str,
    check: fn(&CertificateView<'_>) -> RuleKept,
) -> LintRule {
    LintRule { id, text, check: LintCheck::Certificate(check) }
}

/// A rule about CRLs.
pub(super) const fn of_crl(
    id: &'static str,
    text: &'static str,
    check: fn(&CrlView<'_>) -> RuleKept,
) -> LintRule {
    LintRule { id, text, check: LintCheck::Crl(check) }
}

/// A rule about each entry of a CRL.
pub(super) const fn of_entry(
    id: &'static str,
    text: &'static str,
    check: fn(&EntryView<'_>) -> Result<(), &'static str>,
) -> LintRule {
    LintRule { id, text, check: LintCheck::Entry(check) }
}

/// A rule that the parser checks.
pub(super) const fn by_shape(of: &'static str, id: &'static str, text: &'static str) -> LintRule {
    LintRule { id, text, check: LintCheck::ByParser(of) }
}
