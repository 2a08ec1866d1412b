//! The key of a certificate.

use super::{Case, Comparison, Outcome, Rule};
use crate::{
    policy::RenewalKey,
    ra::{Error, Standing},
    types::{Code, Rejection},
};

pub(super) const KEY: Rule = Rule {
    name: "key",
    reason: "A renewal has a new key or the same one, as the label says; a device's key from its manufacturer is certified by nobody else (IEEE 802.1AR).",
    check: key,
    shows: |case| Comparison {
        got: match case.identity.certificate() {
            Some(certificate) if case.has_key_of(certificate) => OLD.to_owned(),
            _ => NEW.to_owned(),
        },
        accepts: match case.rules().renewal.key {
            _ if case.predecessor().is_none() => "a key that is not the manufacturer's".to_owned(),
            RenewalKey::New => NEW.to_owned(),
            RenewalKey::Same => OLD.to_owned(),
            RenewalKey::Either => "any key".to_owned(),
        },
    },
};

const OLD: &str = "the key of the certificate that is shown";
const NEW: &str = "a new key";

fn key(case: &Case<'_>) -> Result<Outcome, Error> {
    let Some(certificate) = case.identity.certificate() else {
        return Ok(Outcome::NotApplicable("the client shows no certificate"));
    };
    let same = case.has_key_of(certificate);
    if case.predecessor().is_none() {
        return of_manufacturer(case, same);
    }
    let (code, rule, got, expected) = match case.rules().renewal.key {
        RenewalKey::New if same => {
            let rule = "this label certifies a key once (noKeyReuse, RFC 5272 section 6.1.4)";
            (Code::ReenrollKeyReuse, rule, OLD, NEW)
        }
        RenewalKey::Same if !same => {
            let rule = "this label certifies no other key at re-enrollment";
            (Code::ReenrollKeyChange, rule, NEW, OLD)
        }
        RenewalKey::New | RenewalKey::Same | RenewalKey::Either => return Ok(Outcome::Passed),
    };
    Err(Error::Forbidden(Rejection::new(code, rule, got, expected)))
}

/// R-8021AR-8-e.
fn of_manufacturer(case: &Case<'_>, same: bool) -> Result<Outcome, Error> {
    let standing = case.identity.presented.as_ref().map(|presented| &presented.standing);
    let Some(Standing::Manufacturers(_)) = standing else {
        return Ok(Outcome::NotApplicable("the request renews no certificate"));
    };
    if !same || case.rules().idevid_key {
        return Ok(Outcome::Passed);
    }
    Err(Error::Forbidden(Rejection::new(
        Code::EnrollIdevidKey,
        "the key that the manufacturer certified gets no other certificate (IEEE 802.1AR)",
        "the key of the manufacturer's certificate that is shown",
        "a new key; or the operator sets idevid_key = true",
    )))
}
