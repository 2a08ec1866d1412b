//! The names of a certificate.

use super::{Case, Comparison, EntityNames, Outcome, Rule};
use crate::{
    pki::{self, ChangeSubjectName, oid},
    policy::CertificateNames,
    ra::Error,
    types::{Code, Operation, Rejection},
};

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
    reason: "A client has only the names that its proof gives it (RFC 6402 section 2.4).",
    check: names,
    shows: |case| Comparison {
        got: case.names().to_string(),
        accepts: match (case.rules().certificate_names, case.identity.certificate()) {
            (CertificateNames::Own, Some(certificate)) if is_bounded(case) => {
                format!("names of {}", EntityNames::of_certificate(certificate))
            }
            _ => "any names".to_owned(),
        },
    },
};

/// Whether the client may have the names of its certificate only.
fn is_bounded(case: &Case<'_>) -> bool {
    case.rules().certificate_names == CertificateNames::Own
        && case.by_certificate_alone()
        && !case.is_ra()
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

/// Checks that a client with a certificate and no password requests only the names of that
/// certificate, those of changeSubjectName included (R-7030-4.2.2-f). An RA may request any names; the
/// label may allow that to all clients.
fn names(case: &Case<'_>) -> Result<Outcome, Error> {
    let Some(certificate) = case.identity.certificate() else {
        return Ok(Outcome::NotApplicable("the client proved a password"));
    };
    let renews = case.operation == Operation::SimpleReenroll && !case.changes_names();
    if renews || case.is_unknown() {
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
