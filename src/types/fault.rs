//! What is wrong with a request, in a form that each reader of an error can use.

use super::{Code, escaped};
use std::{borrow::Cow, fmt};

/// A rule that a request breaks: which, what was seen, what would pass.
///
/// Its text goes to the client as it is, so it holds nothing but what the client sent and what
/// the protocol or the operator's policy demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable name of the rule, such as `csr.key-size`.
    pub code: Code,
    /// The rule in words, with its source where a standard makes it.
    pub rule: Cow<'static, str>,
    /// What was seen: printable ASCII, at most 120 characters.
    pub seen: String,
    /// What would pass.
    pub wanted: Cow<'static, str>,
}

impl Fault {
    /// States a fault; what was seen, and what would pass if it is no constant, is cut and
    /// escaped: both may hold what a client chose.
    pub fn new(
        code: Code,
        rule: impl Into<Cow<'static, str>>,
        seen: impl fmt::Display,
        wanted: impl Into<Cow<'static, str>>,
    ) -> Self {
        let wanted = match wanted.into() {
            Cow::Owned(text) => Cow::Owned(printable(text, 400)),
            constant @ Cow::Borrowed(_) => constant,
        };
        Self { code, rule: rule.into(), seen: printable(seen, 120), wanted }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; saw {}; would pass: {}", self.code, self.rule, self.seen, self.wanted)
    }
}

impl std::error::Error for Fault {}

/// The text goes into header fields and terminals.
fn printable(text: impl fmt::Display, longest: usize) -> String {
    escaped(text).ascii().at_most(longest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_cannot_break_the_line_or_the_terminal() {
        let fault = Fault::new(Code::CsrForm, "rule", "x\r\n\u{1b}[31my", "z");
        assert_eq!(fault.to_string(), "csr.form: rule; saw x\\r\\n\\u{1b}[31my; would pass: z");
        assert_eq!(Fault::new(Code::CsrForm, "", "x".repeat(500), "").seen.len(), 123);
        assert_eq!(Fault::new(Code::CsrForm, "", "", "a\nb".to_owned()).wanted, "a\\nb");
    }
}
