//! The linter: reads the bytes that will be signed, and checks them against a table of rules.
//!
//! It shares no code with the writers in `pki`, so that one error is not made twice. A signer takes only a
//! [`LintedTbs`]: bytes that keep every rule. docs/design/lint.md describes
//! when it runs; docs/reference/lint.md lists the rules.

mod certificate;
mod constraints;
mod crl;
mod extensions;
mod general_name;
mod key;
mod name;

mod policies;
mod profile;
mod read;
mod rule;
mod status;
mod table;
mod time;
mod view;

pub use rule::LintRule;

use crate::types::{KeyKind, SanKind, Serial, Time};
use const_oid::ObjectIdentifier;
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

/// A field of the structure, such as `extensions.subjectAltName`.
type FieldName = Cow<'static, str>;

/// Whether a rule is kept; otherwise the field that breaks it.
type RuleKept = Result<(), FieldName>;

fn when(kept: bool, field: &'static str) -> RuleKept {
    if kept { Ok(()) } else { Err(Cow::Borrowed(field)) }
}

/// A TBSCertificate or TBSCertList that keeps every rule. Only the linter creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintedTbs(Arc<[u8]>);

impl LintedTbs {
    /// The bytes, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

/// A broken rule, and the field that breaks it.
#[derive(Clone, Debug)]
pub struct LintFinding {
    /// Which.
    pub rule: &'static LintRule,
    /// Where, such as `extensions.subjectAltName`.
    pub field: Cow<'static, str>,
}

impl fmt::Display for LintFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.rule.id, self.field, self.rule.text)
    }
}

/// Every broken rule, in the order of the table; at least one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct LintFindings(Vec<LintFinding>);

impl LintFindings {
    /// The findings.
    #[must_use]
    pub fn findings(&self) -> &[LintFinding] {
        &self.0
    }

    /// The ids of the rules, for an event.
    #[must_use]
    pub fn rules(&self) -> String {
        self.0.iter().map(|finding| finding.rule.id).collect::<Vec<_>>().join(" ")
    }

    /// The fields, one for each rule, for an event.
    #[must_use]
    pub fn fields(&self) -> String {
        self.0.iter().map(|finding| &*finding.field).collect::<Vec<_>>().join(" ")
    }
}

/// The issuer that will sign.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedIssuer<'a> {
    /// Its subject, DER.
    pub name: &'a [u8],
    /// Its subjectKeyIdentifier.
    pub key_identifier: &'a [u8],
    /// AlgorithmIdentifier of its signatures, DER.
    pub signature_algorithm: &'a [u8],
    /// First time of its certificate.
    pub not_before: Time,
    /// Last time of its certificate.
    pub not_after: Time,
}

/// Facts that a certificate must agree with, beside RFC 5280.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedCertificate<'a> {
    /// The CA; of a self-signed certificate, its own subject.
    pub issuer: ExpectedIssuer<'a>,
    /// The serial number that is on record.
    pub serial: &'a Serial,
    /// SHA-256 of the SubjectPublicKeyInfo that is on record.
    pub spki_sha256: &'a [u8; 32],
    /// The kind of certificate.
    pub role: CertificateRole<'a>,
}

/// The kind of a certificate.
#[derive(Clone, Copy, Debug)]
pub enum CertificateRole<'a> {
    /// A device, server or person. Without limits for a record of earlier: the profile that it followed
    /// may be another one by now.
    EndEntity(Option<&'a ProfileLimits>),
    /// A CA.
    Ca {
        /// How many CAs may follow below it.
        path_len: Option<u8>,
        /// Whether it signs itself.
        self_signed: bool,
    },
}

/// The limits that a profile sets to a certificate.
#[derive(Clone, Debug)]
pub struct ProfileLimits {
    /// extKeyUsage: all that it may list.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Kinds of key; an RSA kind stands for larger ones, too.
    pub keys: Vec<KeyKind>,
    /// Kinds of subjectAltName entry.
    pub san: Vec<SanKind>,
    /// Time from notBefore to notAfter, at most.
    pub longest: Duration,
}

/// Facts that a CRL must agree with, beside RFC 5280.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedCrl<'a> {
    /// The CA.
    pub issuer: ExpectedIssuer<'a>,
    /// The content bytes of the last cRLNumber of this scope; none if this is the first CRL.
    pub last_number: Option<&'a [u8]>,
    /// Which certificates it is about.
    pub scope: CrlScope<'a>,
}

/// The certificates that a CRL is about (D-37).
#[derive(Clone, Copy, Debug)]
pub enum CrlScope<'a> {
    /// All of the CA: no issuingDistributionPoint.
    Full,
    /// Those whose cRLDistributionPoints has this URI.
    Partition(&'a str),
}

/// Every rule, in the order of the documents.
pub fn lint_rules() -> impl Iterator<Item = &'static LintRule> {
    table::every_rule()
}

/// Checks a TBSCertificate.
///
/// # Errors
/// [`LintFindings`]: the rules that it breaks.
pub fn certificate(
    tbs: Arc<[u8]>,
    expected: &ExpectedCertificate<'_>,
) -> Result<LintedTbs, LintFindings> {
    let found = view::CertificateView::parse(&tbs, expected)
        .map_or_else(table::unread, |view| table::broken(|check| check.of_certificate(&view)));
    linted(tbs, found)
}

/// Checks a TBSCertList.
///
/// # Errors
/// [`LintFindings`]: the rules that it breaks.
pub fn crl(tbs: Arc<[u8]>, expected: &ExpectedCrl<'_>) -> Result<LintedTbs, LintFindings> {
    let found = view::CrlView::parse(&tbs, expected)
        .map_or_else(table::unread, |view| table::broken(|check| check.of_crl(&view)));
    linted(tbs, found)
}

fn linted(tbs: Arc<[u8]>, found: Vec<LintFinding>) -> Result<LintedTbs, LintFindings> {
    if found.is_empty() { Ok(LintedTbs(tbs)) } else { Err(LintFindings(found)) }
}
