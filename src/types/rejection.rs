//! Rejections of requests, in a form that each reader of an error can use.

use super::{Code, escaped};
use std::{borrow::Cow, fmt};

/// A rule that a request breaks: its name, the received value, and the accepted values.
///
/// Its text is sent to the client unchanged. So it holds only values that the client sent, and
/// requirements of the protocol or the operator's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Stable name of the rule, such as `csr.key-size`.
    pub code: Code,
    /// The rule as text, with its source if it is from a standard.
    pub rule: Cow<'static, str>,
    /// The received value: printable ASCII, at most 120 characters.
    pub got: String,
    /// The values that the server accepts.
    pub expected: Cow<'static, str>,
}

impl Rejection {
    /// Creates a rejection by the rule that the table of codes has; otherwise as [`Self::new`].
    pub fn of(code: Code, got: impl fmt::Display, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, code.clause(), got, expected)
    }

    /// Creates a rejection by a rule that is narrower than that of the code. Cuts and escapes `got`, and `expected` unless it is constant: a client may
    /// have chosen either.
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

/// The text is written to header fields and terminals.
fn printable(text: impl fmt::Display, longest: usize) -> String {
    escaped(text).ascii().at_most(longest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_received_value_cannot_break_the_line_or_the_terminal() {
        let rejection = Rejection::new(Code::CsrForm, "rule", "x\r\n\u{1b}[31my", "z");
        assert_eq!(rejection.to_string(), "csr.form: rule; got x\\r\\n\\u{1b}[31my; expected: z");
        assert_eq!(Rejection::new(Code::CsrForm, "", "x".repeat(500), "").got.len(), 123);
        assert_eq!(Rejection::new(Code::CsrForm, "", "", "a\nb".to_owned()).expected, "a\\nb");
    }
}
