//! Renewal: of which certificate, with which names, and when.

use super::{Case, Comparison, EntityNames, Outcome, Rule};
use crate::{
    pki::Certificate,
    ra::{Error, authn::needed_to_renew},
    types::{Code, Operation, Rejection},
};

pub(super) const RENEWAL_ONLY: Rule = Rule {
    name: "renewal-only",
    reason: "A client whose proofs do not enroll may renew the certificate that it shows, whatever the operation (D-32).",
    check: renewal_only,
    shows: |case| Comparison {
        got: match case.predecessor() {
            Some(certificate) => format!("a renewal of {}", certificate.serial()),
            None => "an enrollment".to_owned(),
        },
        accepts: match case.identity.rights.renewal_only {
            true => format!("a renewal; or {}", case.rules().accept),
            false => "an enrollment or a renewal".to_owned(),
        },
    },
};

pub(super) const CERTIFICATE: Rule = Rule {
    name: "renewed-certificate",
    reason: "Re-enrollment renews a certificate that this label's CA issued (RFC 7030 section 4.2.2).",
    check: certificate,
    shows: |case| Comparison {
        got: case.identity.certificate().map_or_else(|| "no certificate".to_owned(), about),
        accepts: format!("a certificate of CA {}", case.rules().ca),
    },
};

pub(super) const IDENTITY: Rule = Rule {
    name: "same-identity",
    reason: "A renewal keeps subject and subjectAltName (RFC 7030 section 4.2.2).",
    check: identity,
    shows: |case| Comparison {
        got: EntityNames::of_csr(case.csr).to_string(),
        accepts: match case.identity.certificate() {
            Some(certificate) => EntityNames::of_certificate(certificate).to_string(),
            None => "any names".to_owned(),
        },
    },
};

pub(super) const WINDOW: Rule = Rule {
    name: "renewal-window",
    reason: "A certificate is renewed in the last part of its lifetime, so that a client in a loop does not fill the store (D-39).",
    check: window,
    shows: |case| Comparison {
        got: case.now.to_string(),
        accepts: match case.predecessor() {
            Some(certificate) => format!(
                "from {}",
                case.rules()
                    .renewal
                    .window
                    .opens(certificate.not_before(), certificate.not_after())
            ),
            None => "any time".to_owned(),
        },
    },
};

const NO_RENEWAL: Outcome = Outcome::NotApplicable("the request renews no certificate");

fn about(certificate: &Certificate) -> String {
    format!("{} issued by {}", certificate.serial(), certificate.issuer())
}

fn renewal_only(case: &Case<'_>) -> Result<Outcome, Error> {
    if let Some(reason) = &case.identity.rights.retry_only {
        return Err(Error::TooLate(reason.clone()));
    }
    if !case.identity.rights.renewal_only {
        return Ok(Outcome::NotApplicable("the client's proofs enroll"));
    }
    if case.predecessor().is_some() {
        return Ok(Outcome::Passed);
    }
    Err(case.forbidden(case.identity.why_renewal_only(case.rules(), case.operation)))
}

fn certificate(case: &Case<'_>) -> Result<Outcome, Error> {
    if case.operation != Operation::SimpleReenroll {
        return Ok(Outcome::NotApplicable("the operation is no re-enrollment"));
    }
    if case.predecessor().is_some() {
        return Ok(Outcome::Passed);
    }
    let got = case.identity.certificate().map_or_else(|| "none that is trusted".to_owned(), about);
    Err(Error::Forbidden(needed_to_renew(got)))
}

/// Checks that the CSR has the names of the certificate to be renewed. One that is not on record gets no
/// other names: no setting of the label and no password adds any (D-36).
fn identity(case: &Case<'_>) -> Result<Outcome, Error> {
    let Some(certificate) = case.identity.certificate() else { return Ok(NO_RENEWAL) };
    let present = EntityNames::of_certificate(certificate);
    let same = EntityNames::of_csr(case.csr).same_as(present);
    let applies = match case.operation {
        _ if case.is_unknown() => true,
        Operation::SimpleReenroll => true,
        // An RA passes on the CSRs of others, which have other names.
        _ => case.changes_names() && !case.is_ra(),
    };
    if !applies {
        return Ok(NO_RENEWAL);
    }
    if same && (!case.is_unknown() || case.names().same_as(present)) {
        return Ok(Outcome::Passed);
    }
    Err(Error::IdentityChanged(Rejection::new(
        Code::ReenrollIdentity,
        "subject and subjectAltName are those of the certificate to be renewed (RFC 7030 section 4.2.2)",
        EntityNames::of_csr(case.csr),
        present.to_string(),
    )))
}

/// Checks the time. A retry passes as its first request did.
fn window(case: &Case<'_>) -> Result<Outcome, Error> {
    let Some(certificate) = case.predecessor() else { return Ok(NO_RENEWAL) };
    let window = case.rules().renewal.window;
    let opens = window.opens(certificate.not_before(), certificate.not_after());
    if case.now >= opens {
        return Ok(Outcome::Passed);
    }
    let wait = u32::try_from(opens.since(case.now).as_secs()).unwrap_or(u32::MAX);
    let rejection = Rejection::new(
        Code::RenewalEarly,
        "a certificate is renewed in the last part of its lifetime (renewal.window of the label)",
        format!(
            "a renewal at {} of a certificate that is valid until {}",
            case.now,
            certificate.not_after()
        ),
        format!("the same request from {opens}"),
    );
    Err(Error::TooEarly(rejection, wait))
}
