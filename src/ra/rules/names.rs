//! The names of a certificate.

use super::{Case, Comparison, EntityNames, Outcome, Rule};
use crate::{
    naming::NameRules,
    pki::{self, ChangeSubjectName, DistinguishedName, oid},
    ra::Error,
    store::Grant,
    types::{Code, Operation, Rejection, SanKind},
};
use std::collections::BTreeSet;

pub(super) const CHANGE: Rule = Rule {
    name: "change-of-names",
    reason: "Only a label that allows it replaces names by changeSubjectName (RFC 6402 section 2.8).",
    check: change,
    shows: |case| Comparison {
        got: match case.changes_names() {
            true => format!("changeSubjectName to {}", case.names()),
            false => "no changeSubjectName, or one that is not accepted".to_owned(),
        },
        accepts: match case.rules().change_names {
            true => "changeSubjectName from a client that shows a certificate".to_owned(),
            false => "no changeSubjectName".to_owned(),
        },
    },
};

pub(super) const NAMES: Rule = Rule {
    name: "names",
    reason: "A certificate has only the names that the client's proofs give it (RFC 6402 section 2.4).",
    check: names,
    shows: |case| Comparison {
        got: case.names().to_string(),
        accepts: match (case.grant(), &case.rules().names, case.identity.certificate()) {
            (Some(Grant::Names { subject, san }), ..) => granted_names(subject, san),
            (_, NameRules::Own, Some(certificate)) if is_bounded(case) => {
                format!("names of {}", EntityNames::of_certificate(certificate))
            }
            (_, NameRules::Own | NameRules::Any, _) => "any names".to_owned(),
            (_, NameRules::Match(pattern), _) => pattern.texts(&case.proven()).to_string(),
            (_, NameRules::Set(template), _) => {
                format!("any names; sets {}", template.texts(&case.proven()))
            }
        },
    },
};

/// Whether the client may have the names of its certificate only.
fn is_bounded(case: &Case<'_>) -> bool {
    case.by_certificate_alone() && !case.is_ra()
}

/// Reads the names that replace those of the CSR, if it requests any. Whether the client may have them
/// is a rule of its own.
fn change(case: &Case<'_>) -> Result<Outcome, Error> {
    let unacceptable = |error: pki::Error| Error::Unacceptable(error.rejection().clone());
    let values = case.csr.attribute(oid::CHANGE_SUBJECT_NAME).map_err(unacceptable)?;
    let Some(values) = values else {
        return Ok(Outcome::NotApplicable("the CSR has no changeSubjectName"));
    };
    let rejected = |rule: &'static str, got: &'static str, expected: &'static str| {
        Err(Error::Forbidden(Rejection::new(Code::NamesChange, rule, got, expected)))
    };
    if !case.rules().change_names {
        return rejected(
            "this label changes no names",
            "changeSubjectName (RFC 6402)",
            "a CSR without this attribute; or the operator sets change_names = true",
        );
    }
    if case.identity.presented.is_none() {
        return rejected(
            "changeSubjectName changes the names of the certificate that is shown in TLS",
            "none that is trusted",
            "the certificate with the present names; or a CSR with the new names and without this attribute",
        );
    }
    let change = ChangeSubjectName::parse(values).map_err(unacceptable)?;
    // The rule is checked once for each case.
    let _ = case.change.set(change);
    Ok(Outcome::Passed)
}

/// Checks the names by the rule of the label. A renewal keeps its names, except where the label sets
/// them.
fn names(case: &Case<'_>) -> Result<Outcome, Error> {
    const RENEWAL: Outcome = Outcome::NotApplicable("a renewal keeps its names");
    if case.is_unknown() {
        return Ok(RENEWAL);
    }
    if let Some(Grant::Names { subject, san }) = case.grant() {
        return granted(case, subject, san);
    }
    let renews = case.predecessor().is_some() && !case.changes_names();
    match &case.rules().names {
        NameRules::Any => Ok(Outcome::Passed),
        NameRules::Own => own(case),
        NameRules::Match(_) if renews => Ok(RENEWAL),
        NameRules::Match(pattern) => {
            let names = case.names();
            let matched = pattern.check(&case.proven(), names.subject, names.san);
            matched.map(|()| Outcome::Passed).map_err(Error::Forbidden)
        }
        NameRules::Set(template) => match template.names(&case.proven()) {
            Ok(names) => {
                // The rule is checked once for each case.
                let _ = case.set.set(names);
                Ok(Outcome::Passed)
            }
            // The proof of a renewal is the certificate: it has the names that were set before.
            Err(_) if renews => Ok(RENEWAL),
            Err(rejection) => Err(Error::Forbidden(rejection)),
        },
    }
}

/// Checks that the names are exactly those of the token, whatever the label's rule.
fn granted(case: &Case<'_>, subject: &str, san: &[String]) -> Result<Outcome, Error> {
    let names = case.names();
    let same_subject = match DistinguishedName::from_text(subject) {
        _ if subject.is_empty() => names.subject.is_empty(),
        Ok(subject) => names.subject.same_as(&subject),
        Err(_) => false,
    };
    let entries = names.san.map(|san| san.entries()).unwrap_or_default();
    // The text of an otherName does not say all of it.
    let named = entries.iter().all(|entry| !matches!(entry.kind, None | Some(SanKind::Other)));
    let requested: BTreeSet<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    if same_subject && named && requested == san.iter().map(String::as_str).collect() {
        return Ok(Outcome::Passed);
    }
    Err(Error::Forbidden(Rejection::new(
        Code::NamesMatch,
        "the names are exactly those of the token",
        names,
        granted_names(subject, san),
    )))
}

fn granted_names(subject: &str, san: &[String]) -> String {
    let subject = if subject.is_empty() { "an empty subject" } else { subject };
    match san.is_empty() {
        true => format!("{subject} without subjectAltName"),
        false => format!("{subject} with {}", san.join(", ")),
    }
}

/// Checks that a client with a certificate and no password requests only the names of that
/// certificate, those of changeSubjectName included (R-7030-4.2.2-f). An RA may request any names.
fn own(case: &Case<'_>) -> Result<Outcome, Error> {
    let Some(certificate) = case.identity.certificate() else {
        return Ok(Outcome::NotApplicable("the client proved a password"));
    };
    if case.operation == Operation::SimpleReenroll && !case.changes_names() {
        return Ok(Outcome::NotApplicable("a renewal keeps its names"));
    }
    let names = case.names();
    if !is_bounded(case) || names.are_of(certificate) {
        return Ok(Outcome::Passed);
    }
    let own = EntityNames::of_certificate(certificate);
    Err(case.forbidden(Rejection::new(
        Code::EnrollNames,
        "a client that shows a certificate and no password may have the names of that certificate only",
        names,
        format!("{own}; or a password; or mode = \"any\" in the label's names"),
    )))
}
