//! The rules about a CSR, in order. Each is a value: a name, its reason, and a pure function of a
//! [`Case`]. The server stops at the first rejection; an explanation runs them all. A channel binding is
//! spent after the last rule.
//!
//! | File | Rules |
//! |---|---|
//! | `linking` | the channel binding |
//! | `names` | changeSubjectName, and the names that the client may have |
//! | `renewal` | the certificate to be renewed, its names, its key, the time |
//! | `device` | the device, and its right to enroll |
//! | `key` | the keys that a certificate may have |
//! | `profile` | the profile's demands and limits |
//!
//! `placeholder` has the bindings of a request without a connection.

mod case;
pub(super) mod device;
mod key;
pub(super) mod linking;
mod names;
mod placeholder;
mod profile;
mod renewal;

pub(super) use case::{Case, EntityNames, predecessor};
pub use linking::has_binding;
pub use placeholder::claimed_binding;
pub(super) use placeholder::without_secrets;

use super::Error;

/// A rule about a CSR.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// Why it exists.
    pub reason: &'static str,
    /// Checks a case.
    check: fn(&Case<'_>) -> Result<Outcome, Error>,
    /// Shows what the rule looks at, for an explanation.
    shows: fn(&Case<'_>) -> Comparison,
}

/// The outcome of a rule that does not reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The case is as the rule demands.
    Passed,
    /// The rule is not about this case, for this reason.
    NotApplicable(&'static str),
}

/// The value that a rule looks at, and those that it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The value of the case.
    pub got: String,
    /// The values that the rule accepts.
    pub accepts: String,
}

/// A rule's finding about a case, for an explanation.
#[derive(Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The value that it looked at.
    pub shown: Comparison,
    /// Its decision.
    pub outcome: Result<Outcome, Error>,
}

/// Every rule, in the order of their checks.
pub static RULES: [Rule; 10] = [
    linking::LINKING,
    names::CHANGE,
    renewal::RENEWAL_ONLY,
    renewal::CERTIFICATE,
    device::DEVICE,
    names::NAMES,
    renewal::IDENTITY,
    key::KEY,
    renewal::WINDOW,
    profile::PROFILE,
];

/// Checks a case by every rule, up to the first rejection.
///
/// # Errors
/// That rejection.
pub(super) fn check_all(case: &Case<'_>) -> Result<(), Error> {
    RULES.iter().try_for_each(|rule| (rule.check)(case).map(|_| ()))
}

impl Rule {
    /// Checks a case, and shows what the rule looked at.
    pub(super) fn explain(&'static self, case: &Case<'_>) -> Finding {
        let outcome = (self.check)(case);
        Finding { rule: self, shown: (self.shows)(case), outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Proof;
    use std::fmt::Write as _;

    /// Puts lines between two marks of a page.
    fn put(page: &str, mark: &str, lines: &str) -> String {
        let (start, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
        let (before, rest) = page.split_once(&start).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        format!("{before}{start}{lines}{end}{after}")
    }

    /// The tables of the page, generated: `ESTD_BLESS=1 cargo test --lib rules_and_proofs_are_documented`
    /// writes them.
    #[test]
    fn rules_and_proofs_are_documented() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md");
        let found = std::fs::read_to_string(file).unwrap();
        let mut rules = "| | Rule | Why |\n|---|---|---|\n".to_owned();
        for (rule, number) in RULES.iter().zip(1..) {
            assert!(rule.reason.ends_with('.'), "{}: its reason is a sentence", rule.name);
            writeln!(rules, "| {number} | `{}` | {} |", rule.name, rule.reason).unwrap();
        }
        let mut proofs = "| Proof | The client shows |\n|---|---|\n".to_owned();
        for word in Proof::WORDS.split(", ").flat_map(|words| words.split(" and ")) {
            let proof: Proof = word.parse().unwrap();
            writeln!(proofs, "| `{word}` | {} |", proof.meaning()).unwrap();
        }
        let page = put(&put(&found, "proofs", &proofs), "rules", &rules);
        if std::env::var_os("ESTD_BLESS").is_some() {
            std::fs::write(file, &page).unwrap();
        }
        assert_eq!(found, page, "ESTD_BLESS=1 writes the tables of docs/policy.md");
    }
}
