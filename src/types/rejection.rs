//! What is wrong with a request, in a form that each reader of an error can use.

use super::{Code, escaped};
use std::{borrow::Cow, fmt};

/// A rule that a request breaks: which, what the server got, what it accepts.
///
/// Its text goes to the client as it is, so it holds nothing but what the client sent and what
/// the protocol or the operator's policy demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Stable name of the rule, such as `csr.key-size`.
    pub code: Code,
    /// The rule in words, with its source where a standard makes it.
    pub rule: Cow<'static, str>,
    /// What was got: printable ASCII, at most 120 characters.
    pub got: String,
    /// What the server accepts.
    pub expected: Cow<'static, str>,
}

impl Rejection {
    /// States a rejection; what was got, and what it accepts if it is no constant, is cut and
    /// escaped: both may hold what a client chose.
    pub fn new(
        code: Code,
        rule: impl Into<Cow<'static, str>>,
        got: impl fmt::Display,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        let expected = match expected.into() {
            Cow::Owned(text) => Cow::Owned(printable(text, 400)),
            constant @ Cow::Borrowed(_) => constant,
        };
        Self { code, rule: rule.into(), got: printable(got, 120), expected }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; got {}; expected: {}", self.code, self.rule, self.got, self.expected)
    }
}

impl std::error::Error for Rejection {}

/// The text goes into header fields and terminals.
fn printable(text: impl fmt::Display, longest: usize) -> String {
    escaped(text).ascii().at_most(longest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_cannot_break_the_line_or_the_terminal() {
        let rejection = Rejection::new(Code::CsrForm, "rule", "x\r\n\u{1b}[31my", "z");
        assert_eq!(rejection.to_string(), "csr.form: rule; got x\\r\\n\\u{1b}[31my; expected: z");
        assert_eq!(Rejection::new(Code::CsrForm, "", "x".repeat(500), "").got.len(), 123);
        assert_eq!(Rejection::new(Code::CsrForm, "", "", "a\nb".to_owned()).expected, "a\\nb");
    }
}
