//! The profile's demands and limits.

use super::{Case, Comparison, Outcome, Rule};
use crate::{ca::ProfileError, ra::Error};

pub(super) const PROFILE: Rule = Rule {
    name: "profile",
    reason: "A certificate has the keys, names and extensions of its profile, and nothing that was not checked.",
    check: profile,
    shows: |case| Comparison {
        got: format!("a {} key, {}", case.csr.key().kind(), case.final_names()),
        accepts: format!("what profile {} accepts", case.rules().profile),
    },
};

fn profile(case: &Case<'_>) -> Result<Outcome, Error> {
    let names = case.final_names();
    let content = case.policy.profile.content_with_names(case.csr, names.subject, names.san)?;
    // The rule is checked once for each case.
    let _ = case.content.set(content);
    Ok(Outcome::Passed)
}

impl From<ProfileError> for Error {
    fn from(rejection: ProfileError) -> Self {
        match rejection {
            ProfileError::Unacceptable(rejection) => Self::Unacceptable(rejection),
            ProfileError::Forbidden(rejection) => Self::Forbidden(rejection),
        }
    }
}
